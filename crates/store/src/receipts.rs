//! Callbacks in: stored before anything else is done with them.

use crate::{Store, StoreError};
use serde_json::Value;
use uuid::Uuid;

/// A callback as it came.
#[derive(Debug, Clone)]
pub struct NewReceipt {
    /// UUIDv7.
    pub receipt_id: Uuid,
    /// Whose hook.
    pub provider_id: Uuid,
    /// Known when the run's own hook was called.
    pub run_id: Option<Uuid>,
    /// The sender's message id, or a digest of the body.
    pub dedup: Vec<u8>,
    /// When the body names one.
    pub provider_job_id: Option<String>,
    /// Its signature was checked.
    pub verified: bool,
    /// As an object.
    pub headers: Value,
    /// At most 256 KiB.
    pub body: Vec<u8>,
}

/// A stored callback that nobody has acted on.
#[derive(Debug, Clone)]
pub struct ReceiptRow {
    /// The row.
    pub receipt_id: Uuid,
    /// Its signature was checked.
    pub verified: bool,
    /// When the body names one.
    pub provider_job_id: Option<String>,
    /// As it came.
    pub body: Vec<u8>,
}

impl Store {
    /// Stores a callback; `false`: it was there already.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: answer 5xx, the sender repeats. [`crate::Rule::ReceiptTooLarge`].
    pub async fn receipt_store(&self, receipt: &NewReceipt) -> Result<bool, StoreError> {
        let stored = sqlx::query_scalar!(
            r#"
            insert into webhook_receipts (receipt_id, provider_id, run_id, dedup, provider_job_id, verified, headers, body)
            values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (provider_id, dedup) do nothing returning receipt_id
            "#,
            receipt.receipt_id,
            receipt.provider_id,
            receipt.run_id,
            receipt.dedup,
            receipt.provider_job_id,
            receipt.verified,
            receipt.headers,
            receipt.body,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(stored.is_some())
    }

    /// Callbacks for a run or its job that nobody has acted on: asked when a job id becomes known and when a run becomes unknown.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn receipts_of(
        &self,
        provider: Uuid,
        run: Uuid,
        job: Option<&str>,
    ) -> Result<Vec<ReceiptRow>, StoreError> {
        Ok(sqlx::query_as!(
            ReceiptRow,
            r#"
            select receipt_id, verified, provider_job_id, body from webhook_receipts
            where applied_at is null and provider_id = $1 and (run_id = $2 or provider_job_id = $3) order by received_at
            "#,
            provider,
            run,
            job,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// It was acted on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: it is acted on again, which is harmless.
    pub async fn receipt_applied(&self, receipt: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "update webhook_receipts set applied_at = now() where receipt_id = $1 and applied_at is null",
            receipt
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
