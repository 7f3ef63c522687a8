//! Where a credential's secret is, and pausing its submits.

use crate::{Store, StoreError};
use std::time::Duration;
use uuid::Uuid;

/// A credential, as a sender needs it. The secret itself is never here.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The row.
    pub id: Uuid,
    /// Whose row it is.
    pub tenant: Uuid,
    /// `ai_providers.slug`
    pub provider: String,
    /// `env:NAME` or `file:/path`; absent: the provider asks for none.
    pub secret_ref: Option<String>,
    /// Overrides the provider's base URL.
    pub endpoint_url: Option<String>,
    /// Requests a minute; absent: no limit.
    pub rate_limit_per_minute: Option<i32>,
    /// Requests a day; absent: no limit.
    pub rate_limit_per_day: Option<i32>,
    /// Jobs in flight; absent: no limit.
    pub max_concurrent_jobs: Option<i32>,
    /// Whether it may be used.
    pub active: bool,
    /// Milliseconds until its pause ends; absent: not paused.
    pub paused_for_ms: Option<i64>,
    /// Why it is paused.
    pub paused_why: Option<String>,
}

impl Store {
    /// Reads a credential; `None`: no such row.
    ///
    /// # Errors
    ///
    /// [`StoreError::SecretEncrypted`]: bytes in `secret`; [`StoreError::Unreachable`].
    pub async fn credential(&self, id: Uuid) -> Result<Option<Credential>, StoreError> {
        let row = sqlx::query!(
            r#"
            select k.id, k.tenant_id, p.slug as provider, k.secret is not null as "encrypted!", k.secret_ref, k.endpoint_url,
                   k.rate_limit_per_minute, k.rate_limit_per_day, k.max_concurrent_jobs, k.status = 'active' as "active!",
                   case when l.paused_until > now()
                        then least((extract(epoch from l.paused_until - now()) * 1000), 9e15)::bigint end as paused_for_ms,
                   l.paused_why as "paused_why?"
            from provider_api_credentials k join ai_providers p on p.id = k.provider_id
            left join credential_limits l on l.credential_id = k.id
            where k.id = $1
            "#,
            id,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.encrypted {
            return Err(StoreError::SecretEncrypted { credential: id });
        }
        Ok(Some(Credential {
            id: row.id,
            tenant: row.tenant_id,
            provider: row.provider,
            secret_ref: row.secret_ref,
            endpoint_url: row.endpoint_url,
            rate_limit_per_minute: row.rate_limit_per_minute,
            rate_limit_per_day: row.rate_limit_per_day,
            max_concurrent_jobs: row.max_concurrent_jobs,
            active: row.active,
            paused_for_ms: row.paused_for_ms,
            paused_why: row.paused_why,
        }))
    }

    /// Pauses the credential's submits for so long; a longer pause that stands is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn credential_pause(
        &self,
        id: Uuid,
        wait: Duration,
        why: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            update credential_limits set paused_until = now() + make_interval(secs => $2), paused_why = $3
            where credential_id = $1 and coalesce(paused_until < now() + make_interval(secs => $2), true)
            "#,
            id,
            wait.as_secs_f64(),
            why,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends a pause.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn credential_resume(&self, id: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "update credential_limits set paused_until = null, paused_why = null where credential_id = $1",
            id
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
