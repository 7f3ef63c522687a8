//! Where a credential's secret is, putting it there, and pausing its submits. Sealing and opening are others' work.

mod admin;

pub use admin::{Put, Shown};

use crate::{Scope, Store, StoreError};
use std::time::Duration;
use uuid::Uuid;

/// Where a credential's secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The provider asks for none.
    Nowhere,
    /// `env:NAME` or `file:/path`.
    Reference(String),
    /// Here, sealed.
    Sealed(Sealed),
}

/// A sealed secret, as its column has it. `Debug` shows its size.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// A credential, as a sender needs it. The secret itself is never here.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The row.
    pub id: Uuid,
    /// Whose row it is.
    pub tenant: Uuid,
    /// `ai_providers.slug`
    pub provider: String,
    /// Where its secret is.
    pub secret: Stored,
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

/// A credential that is to be.
#[derive(Debug)]
pub struct NewCredential<'a> {
    /// Its row's id: it is sealed for it.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// `ai_providers.slug`
    pub provider: &'a str,
    /// Natural key within the provider.
    pub name: &'a str,
    /// Its secret.
    pub secret: &'a Stored,
}

/// A credential's sealed secret, and what it was sealed for.
#[derive(Debug)]
pub struct SealedRow {
    /// The row.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// `ai_providers.slug`
    pub provider: String,
    /// Natural key within the provider.
    pub name: String,
    /// As stored.
    pub secret: Sealed,
}

fn columns(secret: &Stored) -> (Option<&[u8]>, Option<&str>) {
    match secret {
        Stored::Nowhere => (None, None),
        Stored::Reference(reference) => (None, Some(reference)),
        Stored::Sealed(sealed) => (Some(&sealed.0), None),
    }
}

impl Store {
    /// Reads a credential; `None`: no such row.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn credential(&self, id: Uuid) -> Result<Option<Credential>, StoreError> {
        let row = sqlx::query!(
            r#"
            select k.id, k.tenant_id, p.slug as provider, k.secret, k.secret_ref, k.endpoint_url,
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
        Ok(Some(Credential {
            id: row.id,
            tenant: row.tenant_id,
            provider: row.provider,
            secret: match (row.secret, row.secret_ref) {
                (Some(bytes), _) => Stored::Sealed(Sealed(bytes)),
                (None, Some(reference)) => Stored::Reference(reference),
                (None, None) => Stored::Nowhere,
            },
            endpoint_url: row.endpoint_url,
            rate_limit_per_minute: row.rate_limit_per_minute,
            rate_limit_per_day: row.rate_limit_per_day,
            max_concurrent_jobs: row.max_concurrent_jobs,
            active: row.active,
            paused_for_ms: row.paused_for_ms,
            paused_why: row.paused_why,
        }))
    }

    /// Puts a secret into a credential, in place of what is there, as `actor`. `instead_of`: only while that is the sealed secret;
    /// `false`: it was another one, or there is no such row.
    ///
    /// # Errors
    ///
    /// [`StoreError::Broken`]: it is neither sealed nor a reference; [`StoreError::Unreachable`].
    pub async fn credential_secret_put(
        &self,
        actor: &str,
        id: Uuid,
        secret: &Stored,
        instead_of: Option<&Sealed>,
    ) -> Result<bool, StoreError> {
        let (sealed, reference) = columns(secret);
        let mut tx = self.acting(Scope::Operator, actor).await?;
        let put = sqlx::query!(
            r#"
            update provider_api_credentials set secret = $2, secret_ref = $3
            where id = $1 and ($4::bytea is null or secret = $4)
            "#,
            id,
            sealed,
            reference,
            instead_of.map(|sealed| sealed.0.as_slice()),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(put.rows_affected() == 1)
    }

    /// Makes a credential with a secret, as `actor`; the first of a tenant and provider is its default one.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchRow`]: the tenant has no such provider; [`StoreError::Broken`]: the name is taken, or it is
    /// neither sealed nor a reference; [`StoreError::Unreachable`].
    pub async fn credential_add(
        &self,
        actor: &str,
        new: &NewCredential<'_>,
    ) -> Result<(), StoreError> {
        let (sealed, reference) = columns(new.secret);
        let mut tx = self.acting(Scope::Operator, actor).await?;
        let added = sqlx::query!(
            r#"
            insert into provider_api_credentials (id, tenant_id, provider_id, name, secret, secret_ref, is_default)
            select $1, $2, p.id, $4, $5, $6, not exists (
                select from provider_api_credentials k where k.tenant_id = $2 and k.provider_id = p.id)
            from ai_providers p join tenants t using (tenant_id)
            where p.slug = $3 and (t.is_system or t.tenant_id = $2) order by t.is_system limit 1
            "#,
            new.id,
            new.tenant,
            new.provider,
            new.name,
            sealed,
            reference,
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

    /// Ids of the keys that secrets are sealed under.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn sealing_keys(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select distinct sealed_under(secret) as "key!" from provider_api_credentials where secret is not null order by 1"#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Secrets that are sealed under another key, of every tenant, in the order of their ids from `after` on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn credentials_sealed_under_others(
        &self,
        key: &str,
        after: Uuid,
        most: i64,
    ) -> Result<Vec<SealedRow>, StoreError> {
        let rows = sqlx::query!(
            r#"
            select k.id, k.tenant_id, p.slug as provider, k.name, k.secret as "secret!"
            from provider_api_credentials k join ai_providers p on p.id = k.provider_id
            where k.secret is not null and sealed_under(k.secret) is distinct from $1 and k.id > $2
            order by k.id limit $3
            "#,
            key,
            after,
            most,
        )
        .fetch_all(&self.pool)
        .await?;
        let row = rows.into_iter().map(|row| SealedRow {
            id: row.id,
            tenant: row.tenant_id,
            provider: row.provider,
            name: row.name,
            secret: Sealed(row.secret),
        });
        Ok(row.collect())
    }

    /// Pauses the credential's submits for so long, since the provider refused one; a longer pause that stands is kept.
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
        let _seen = self.seen_keys.change();
        sqlx::query!(
            r#"
            update credential_limits set last_refused_at = now(), last_refused_why = $3,
                paused_why = case when coalesce(paused_until < now() + make_interval(secs => $2), true) then $3 else paused_why end,
                paused_until = greatest(paused_until, now() + make_interval(secs => $2))
            where credential_id = $1
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
        let _seen = self.seen_keys.change();
        sqlx::query!(
            "update credential_limits set paused_until = null, paused_why = null where credential_id = $1",
            id
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
