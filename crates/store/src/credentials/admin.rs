//! Credentials as admins see and write them.

use super::{Stored, columns};
use crate::catalogue::{Table, is_as_seen};
use crate::{Store, StoreError};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A credential as it is shown: no secret.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The row.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// `ai_providers.slug`
    pub provider: String,
    /// Natural key within the provider.
    pub name: String,
    /// `env:NAME` or `file:/path`.
    pub reference: Option<String>,
    /// The key that its secret is sealed under.
    pub sealed_under: Option<String>,
    /// Overrides the provider's base URL.
    pub endpoint_url: Option<String>,
    /// Serves auth profiles that name none.
    pub is_default: bool,
    /// Requests a minute; absent: no limit.
    pub rate_limit_per_minute: Option<i32>,
    /// Requests a day; absent: no limit.
    pub rate_limit_per_day: Option<i32>,
    /// Jobs in flight; absent: no limit.
    pub max_concurrent_jobs: Option<i32>,
    /// Only `active` ones serve.
    pub status: String,
    /// Its last change.
    pub updated_at: OffsetDateTime,
    /// To the minute.
    pub last_used_at: Option<OffsetDateTime>,
    /// When the provider refused it last.
    pub last_refused_at: Option<OffsetDateTime>,
    /// The class of that refusal.
    pub last_refused_why: Option<String>,
    /// A worker's pause, after a refusal; absent: none stands.
    pub paused_until: Option<OffsetDateTime>,
    /// The class of the refusal that paused it.
    pub paused_why: Option<String>,
    /// An admin's pause; absent: none stands.
    pub braked_why: Option<String>,
    /// Who paused it.
    pub braked_by: Option<String>,
    /// Whether that was an operator.
    pub by_operator: Option<bool>,
}

/// What a credential is to be.
#[derive(Debug)]
pub struct Put<'a> {
    /// The row: it is sealed for it.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// `ai_providers.slug`
    pub provider: &'a str,
    /// Natural key within the provider.
    pub name: &'a str,
    /// Absent: it stays; of a new one: it has none.
    pub secret: Option<&'a Stored>,
    /// Overrides the provider's base URL.
    pub endpoint_url: Option<&'a str>,
    /// Serves auth profiles that name none. Absent: it stays; of a new one: if it is the first.
    pub is_default: Option<bool>,
    /// Requests a minute; absent: no limit.
    pub rate_limit_per_minute: Option<i32>,
    /// Requests a day; absent: no limit.
    pub rate_limit_per_day: Option<i32>,
    /// Jobs in flight; absent: no limit.
    pub max_concurrent_jobs: Option<i32>,
    /// Only `active` ones serve.
    pub status: &'a str,
}

impl Store {
    /// These credentials, without their secrets, in no order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn credentials_shown(&self, ids: &[Uuid]) -> Result<Vec<Shown>, StoreError> {
        Ok(sqlx::query_as!(
            Shown,
            r#"
            select k.id as "id!", k.tenant_id as "tenant!", p.slug as "provider!", k.name as "name!", k.secret_ref as "reference?",
                   sealed_under(k.secret) as "sealed_under?", k.endpoint_url as "endpoint_url?", k.is_default as "is_default!",
                   k.rate_limit_per_minute as "rate_limit_per_minute?", k.rate_limit_per_day as "rate_limit_per_day?",
                   k.max_concurrent_jobs as "max_concurrent_jobs?", k.status as "status!", k.updated_at as "updated_at!", l.last_used_at as "last_used_at?",
                   l.last_refused_at as "last_refused_at?", l.last_refused_why as "last_refused_why?",
                   case when l.paused_until > now() then l.paused_until end as "paused_until?",
                   case when l.paused_until > now() then l.paused_why end as "paused_why?",
                   b.reason as "braked_why?", b.paused_by as "braked_by?", b.by_operator as "by_operator?"
            from provider_api_credentials k join ai_providers p on p.id = k.provider_id
            left join credential_limits l on l.credential_id = k.id left join pauses b on b.credential_id = k.id
            where k.id = any($1)
            "#,
            ids,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Makes a credential, as `actor`.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchRow`]: the tenant has no such provider; [`StoreError::Broken`]: the name is taken, or a limit is none;
    /// [`StoreError::Unreachable`].
    pub async fn credential_make(&self, actor: &str, new: &Put<'_>) -> Result<(), StoreError> {
        let (sealed, reference) = new.secret.map(columns).unwrap_or_default();
        let mut tx = self.acting_for(new.tenant, actor).await?;
        default_moves(&mut tx, new).await?;
        let added = sqlx::query!(
            r#"
            insert into provider_api_credentials (id, tenant_id, provider_id, name, secret, secret_ref, is_default, endpoint_url,
                rate_limit_per_minute, rate_limit_per_day, max_concurrent_jobs, status)
            select $1, $2, p.id, $4, $5, $6, coalesce($7, not exists (
                select from provider_api_credentials k where k.tenant_id = $2 and k.provider_id = p.id)), $8, $9, $10, $11, $12
            from ai_providers p join tenants t using (tenant_id)
            where p.slug = $3 and (t.is_system or t.tenant_id = $2) order by t.is_system limit 1
            "#,
            new.id,
            new.tenant,
            new.provider,
            new.name,
            sealed,
            reference,
            new.is_default,
            new.endpoint_url,
            new.rate_limit_per_minute,
            new.rate_limit_per_day,
            new.max_concurrent_jobs,
            new.status,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        match added.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::NoSuchRow {
                table: "ai_providers",
                key: new.provider.to_owned(),
            }),
        }
    }

    /// Changes a credential that is as it was `seen`, as `actor`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Stale`]; [`StoreError::Broken`]: a limit is none; [`StoreError::Unreachable`].
    pub async fn credential_change(
        &self,
        actor: &str,
        seen: OffsetDateTime,
        put: &Put<'_>,
    ) -> Result<(), StoreError> {
        let (sealed, reference) = put.secret.map(columns).unwrap_or_default();
        let mut tx = self.acting_for(put.tenant, actor).await?;
        if !is_as_seen(&mut tx, Table::Credentials, put.tenant, (put.id, seen)).await? {
            return Err(StoreError::Stale);
        }
        default_moves(&mut tx, put).await?;
        sqlx::query!(
            r#"
            update provider_api_credentials set is_default = coalesce($2, is_default), endpoint_url = $3, rate_limit_per_minute = $4,
                rate_limit_per_day = $5, max_concurrent_jobs = $6, status = $7,
                secret = case when $8 then $9 else secret end, secret_ref = case when $8 then $10 else secret_ref end
            where id = $1 and tenant_id = $11
            "#,
            put.id,
            put.is_default,
            put.endpoint_url,
            put.rate_limit_per_minute,
            put.rate_limit_per_day,
            put.max_concurrent_jobs,
            put.status,
            put.secret.is_some(),
            sealed,
            reference,
            put.tenant,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

/// A provider has one default credential: a new one takes the place of the old.
async fn default_moves(connection: &mut PgConnection, put: &Put<'_>) -> Result<(), StoreError> {
    if put.is_default != Some(true) {
        return Ok(());
    }
    sqlx::query!(
        r#"
        update provider_api_credentials k set is_default = false from ai_providers p
        where p.id = k.provider_id and p.slug = $2 and k.tenant_id = $1 and k.id <> $3 and k.is_default
        "#,
        put.tenant,
        put.provider,
        put.id,
    )
    .execute(connection)
    .await?;
    Ok(())
}
