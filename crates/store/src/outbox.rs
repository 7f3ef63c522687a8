//! What follows a commit and may be repeated: callbacks out, cancel and
//! cleanup at the provider.

use crate::{Store, StoreError};
use serde_json::Value;
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// One thing to do, claimed for a while.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// The `webhook-id`.
    pub outbox_id: Uuid,
    /// The run it belongs to.
    pub run_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// When its event was.
    pub created_at: OffsetDateTime,
    /// `callback`, `cancel` or `cleanup`.
    pub kind: String,
    /// `run.succeeded`, …; the kind itself for the provider's steps.
    pub event: String,
    /// Number of the event.
    pub event_seq: i32,
    /// Where a callback goes.
    pub url: Option<String>,
    /// What belongs to it.
    pub payload: Value,
    /// This one included.
    pub attempts: i32,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Done, never again.
    Done,
    /// Not yet: again after so long.
    Again(Duration),
    /// For good.
    GaveUp,
}

impl Store {
    /// Claims what is due, of these kinds, at most `limit`. What is not closed within `hold` is due again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn outbox_claim(
        &self,
        kinds: &[&str],
        limit: i64,
        hold: Duration,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let kinds: Vec<String> = kinds.iter().map(|&kind| kind.to_owned()).collect();
        Ok(sqlx::query_as!(
            OutboxRow,
            r#"
            with due as (select outbox_id from outbox where done_at is null and gave_up_at is null and next_at <= now()
                         and kind = any($3) order by next_at limit $1 for update skip locked)
            update outbox o set attempts = attempts + 1, next_at = now() + make_interval(secs => $2) from due
            where o.outbox_id = due.outbox_id
            returning o.outbox_id, o.run_id, o.tenant_id, o.created_at, o.kind, o.event, o.event_seq, o.url, o.payload, o.attempts
            "#,
            limit,
            hold.as_secs_f64(),
            &kinds,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Closes a try, with what came back.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: it will be repeated, which is allowed.
    pub async fn outbox_close(
        &self,
        outbox_id: Uuid,
        delivery: Delivery,
        status: Option<i16>,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let wait = match delivery {
            Delivery::Again(wait) => Some(wait.as_secs_f64()),
            Delivery::Done | Delivery::GaveUp => None,
        };
        sqlx::query!(
            r#"
            update outbox set done_at = case when $2 then now() end, gave_up_at = case when $3 then now() end,
                next_at = coalesce(now() + make_interval(secs => $4), next_at), last_status = $5, last_error = $6
            where outbox_id = $1
            "#,
            outbox_id,
            delivery == Delivery::Done,
            delivery == Delivery::GaveUp,
            wait,
            status,
            error,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
