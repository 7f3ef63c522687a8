//! The append-only timeline of a run.

use crate::{Scope, Store, StoreError};
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// One entry.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Numbered per run from 1: in order, without a gap.
    pub seq: i32,
    /// When, by the database's clock.
    pub at: OffsetDateTime,
    /// `accepted`, `overdue`, `succeeded`, …
    pub kind: String,
    /// What belongs to it.
    pub body: Value,
}

impl Store {
    /// Appends an event and returns its number; `None`: the run is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: perhaps appended.
    pub async fn event_append(
        &self,
        run: Uuid,
        kind: &str,
        body: &Value,
    ) -> Result<Option<i32>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with st as (update run_states set event_seq = event_seq + 1 where run_id = $1 returning run_id, tenant_id, event_seq)
            insert into run_events (run_id, seq, tenant_id, kind, body) select run_id, event_seq, tenant_id, $2, $3 from st returning seq
            "#,
            run,
            kind,
            body,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Events of a run after `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn events(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
        after: i32,
        limit: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut tx = self.seen_by(scope.into()).await?;
        let events = read(&mut tx, run, after, limit).await?;
        tx.commit().await?;
        Ok(events)
    }

    /// Makes the event partitions of the coming days; cheap when all are there. Called by the tick.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]; the default partition takes what has none.
    pub async fn events_prepare(&self) -> Result<i32, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select run_events_prepare() as "made!""#)
                .fetch_one(&self.pool)
                .await?,
        )
    }
}

pub(crate) async fn read(
    connection: &mut PgConnection,
    run: Uuid,
    after: i32,
    limit: i64,
) -> Result<Vec<EventRow>, StoreError> {
    Ok(sqlx::query_as!(
        EventRow,
        "select seq, at, kind, body from run_events where run_id = $1 and seq > $2 order by seq limit $3",
        run,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?)
}
