//! What a run keeps of itself across attempts, and the database's clock.

use crate::{Store, StoreError};
use serde_json::Value;
use uuid::Uuid;

impl Store {
    /// Milliseconds since 1970 by the database's clock.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn now_ms(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select (extract(epoch from clock_timestamp()) * 1000)::bigint as "now!""#
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Replaces what a run captured while its attempt `n` is the current one and not accepted: counts of refusals, what
    /// the steps before the submit gave. No `ver` is asked or moved. `false`: it has gone on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: write it again. [`crate::Rule::CapturedTooLarge`].
    pub async fn captured_put(
        &self,
        run: Uuid,
        n: i32,
        captured: &Value,
    ) -> Result<bool, StoreError> {
        let written = sqlx::query!(
            r#"
            update run_states set captured = $3
            where run_id = $1 and attempt = $2 and state in ('preparing', 'submitting', 'submit_unknown')
            "#,
            run,
            n,
            captured,
        )
        .execute(&self.pool)
        .await?;
        Ok(written.rows_affected() > 0)
    }
}
