//! What a retry is made from.

use crate::{Scope, State, Store, StoreError};
use serde_json::Value;
use uuid::Uuid;

/// A run that somebody wants once more.
#[derive(Debug, Clone)]
pub struct Before {
    /// Whose it is.
    pub tenant_id: Uuid,
    /// What it makes.
    pub purpose: String,
    /// What was asked.
    pub request: Value,
    /// The highest goes first within its tenant.
    pub priority: i16,
    /// Where it stands.
    pub state: State,
    /// An attempt that may be paid for, or is: pending, unknown or accepted.
    pub live_attempt: bool,
}

impl Store {
    /// Reads what a retry needs, in one statement, so that state and attempts belong together; `None`: there is no such run.
    /// Once it has ended without a live attempt it stays so.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn run_before(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
    ) -> Result<Option<Before>, StoreError> {
        let mut tx = self.seen_by(scope.into()).await?;
        let row = sqlx::query!(
            r#"
            select u.tenant_id, u.purpose, u.request, s.priority, s.state,
                   exists (select 1 from submit_attempts a where a.run_id = s.run_id
                           and a.outcome in ('pending', 'unknown', 'accepted')) as "live_attempt!"
            from runs u join run_states s using (run_id) where s.run_id = $1 and s.erased_at is null
            "#,
            run,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(|row| {
            Ok(Before {
                tenant_id: row.tenant_id,
                purpose: row.purpose,
                request: row.request,
                priority: row.priority,
                state: State::parse(&row.state)?,
                live_attempt: row.live_attempt,
            })
        })
        .transpose()
    }
}
