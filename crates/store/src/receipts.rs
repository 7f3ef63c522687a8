//! Callbacks in: stored before anything else is done with them.

use crate::{Store, StoreError};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// A callback as it came.
#[derive(Debug, Clone)]
pub struct NewReceipt {
    /// UUIDv7.
    pub receipt_id: Uuid,
    /// Whose hook.
    pub provider_id: Uuid,
    /// Whose credentials.
    pub tenant_id: Uuid,
    /// Known when the run's own hook was called, or when a live run follows the job.
    pub run_id: Option<Uuid>,
    /// A digest of what makes it another callback than others.
    pub dedup: Vec<u8>,
    /// When the body names one.
    pub provider_job_id: Option<String>,
    /// As an object: those that the profile reads.
    pub headers: Value,
    /// At most 256 KiB.
    pub body: Vec<u8>,
}

/// A stored callback that nobody has acted on.
#[derive(Debug, Clone)]
pub struct ReceiptRow {
    /// The row.
    pub receipt_id: Uuid,
    /// As an object.
    pub headers: Value,
    /// As it came.
    pub body: Vec<u8>,
    /// Milliseconds since it came.
    pub ago_ms: i64,
}

/// A run whose own hook was called.
#[derive(Debug, Clone)]
pub struct HookedRun {
    /// What it runs under now.
    pub revision_id: Vec<u8>,
    /// Of its credential.
    pub provider_id: Uuid,
    /// Of its credential.
    pub tenant_id: Uuid,
}

impl Store {
    /// What proves the addresses of callbacks: random bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn hook_key(&self) -> Result<Vec<u8>, StoreError> {
        Ok(sqlx::query_scalar!("select key from hook_key")
            .fetch_one(&self.pool)
            .await?)
    }

    /// A run, as its hook needs it; `None`: it is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn hooked_run(&self, run: Uuid) -> Result<Option<HookedRun>, StoreError> {
        Ok(sqlx::query_as!(
            HookedRun,
            r#"
            select s.revision_id, k.provider_id, k.tenant_id
            from run_states s join provider_api_credentials k on k.id = s.credential_id where s.run_id = $1
            "#,
            run,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The live run that follows a job of this tenant's credentials, if one does.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn run_of_job(
        &self,
        provider: Uuid,
        tenant: Uuid,
        job: &str,
    ) -> Result<Option<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select s.run_id from run_states s join provider_api_credentials k on k.id = s.credential_id
            where k.provider_id = $1 and k.tenant_id = $2 and s.provider_job_id = $3 and s.ended_at is null limit 1
            "#,
            provider,
            tenant,
            job,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Stores a callback, and hints at its run; `false`: it was there already, or its run (or, of callbacks that name a job
    /// nobody knows, its hook) has `most` of them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: answer 5xx, the sender repeats. [`crate::Rule::ReceiptTooLarge`].
    pub async fn receipt_store(&self, receipt: &NewReceipt, most: i64) -> Result<bool, StoreError> {
        let stored = sqlx::query_scalar!(
            r#"
            with new as (
                insert into webhook_receipts
                    (receipt_id, provider_id, tenant_id, run_id, dedup, provider_job_id, verified, headers, body)
                select $1, $2, $3, $4, $5, $6, false, $7, $8
                where $9 > (select count(*) from (
                    select 1 from webhook_receipts where run_id = $4
                    union all select 1 from webhook_receipts
                        where $4::uuid is null and run_id is null and provider_id = $2 and tenant_id = $3 and applied_at is null
                    limit $9) as there)
                on conflict (provider_id, dedup) do nothing returning receipt_id, run_id),
            hint as (select pg_notify('modelrow_called', run_id::text) from new where run_id is not null)
            select receipt_id as "receipt_id!" from new left join hint on true
            "#,
            receipt.receipt_id,
            receipt.provider_id,
            receipt.tenant_id,
            receipt.run_id,
            receipt.dedup,
            receipt.provider_job_id,
            receipt.headers,
            receipt.body,
            most,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(stored.is_some())
    }

    /// Hints at a run whose job a stored callback names. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn called_hint(&self, run: Uuid) -> Result<(), StoreError> {
        sqlx::query!("select pg_notify('modelrow_called', $1::uuid::text)", run)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Callbacks for a run or its job that nobody has acted on, oldest first: asked when its hook was called, when a job id
    /// becomes known and when a run becomes unknown.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn receipts_of(&self, run: Uuid, limit: i64) -> Result<Vec<ReceiptRow>, StoreError> {
        Ok(sqlx::query_as!(
            ReceiptRow,
            r#"
            select receipt_id as "receipt_id!", headers as "headers!", body as "body!",
                   (extract(epoch from now() - received_at) * 1000)::bigint as "ago_ms!"
            from (
                select r.* from webhook_receipts r where r.run_id = $1 and r.applied_at is null
                union all
                select r.* from run_states s join provider_api_credentials k on k.id = s.credential_id
                join webhook_receipts r on r.provider_id = k.provider_id and r.tenant_id = k.tenant_id
                    and r.provider_job_id = s.provider_job_id and r.run_id is null and r.applied_at is null
                where s.run_id = $1) as open
            order by received_at, receipt_id limit $2
            "#,
            run,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// These were acted on; `proved`: those whose signature was checked.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: they are acted on again, which is harmless.
    pub async fn receipts_applied(
        &self,
        receipts: &[Uuid],
        proved: &[Uuid],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            update webhook_receipts set applied_at = now(), verified = receipt_id = any($2)
            where receipt_id = any($1) and applied_at is null
            "#,
            receipts,
            proved,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets callbacks older than `keep`, and those that named a job nobody has known for an hour, at most `limit`; how many
    /// went.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn receipts_expire(&self, keep: Duration, limit: i64) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            r#"
            delete from webhook_receipts where receipt_id in (
                select receipt_id from webhook_receipts
                where received_at < now() - make_interval(secs => $1)
                   or (run_id is null and applied_at is null and received_at < now() - interval '1 hour')
                limit $2)
            "#,
            keep.as_secs_f64(),
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
