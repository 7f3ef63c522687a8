//! API keys: their hashes, whose they are, and what they may do. The keys themselves are never here.

mod seen;

pub use self::seen::JUST_NOW;
pub(crate) use self::seen::SeenKeys;

use crate::{Scope, Store, StoreError};
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

/// A key that is to be.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// UUIDv7.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// Its first characters.
    pub shown: String,
    /// 32 bytes.
    pub hash: Vec<u8>,
    /// `admin`, `caller`, `viewer`.
    pub role: String,
    /// For people, at most 100 characters.
    pub name: String,
    /// Good until then; absent: until it is revoked.
    pub expires_at: Option<OffsetDateTime>,
}

/// A key, as it is shown.
#[derive(Debug, Clone)]
pub struct ApiKeyRow {
    /// The row.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// Its first characters.
    pub shown: String,
    /// For people.
    pub name: String,
    /// `admin`, `caller`, `viewer`.
    pub role: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// By whom.
    pub created_by: String,
    /// Good until then.
    pub expires_at: Option<OffsetDateTime>,
    /// Not good since then.
    pub revoked_at: Option<OffsetDateTime>,
    /// The minute in which it was last used.
    pub last_used_at: Option<OffsetDateTime>,
}

/// Who holds a key, as a call needs it.
#[derive(Debug, Clone)]
pub struct KeyHolder {
    /// The key.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// Whether that is the system tenant.
    pub is_system: bool,
    /// `admin`, `caller`, `viewer`.
    pub role: String,
    /// Its first characters.
    pub shown: String,
    /// For people.
    pub name: String,
    /// Its time is over.
    pub expired: bool,
    /// It was revoked.
    pub revoked: bool,
    /// Nothing is paused, of anybody's, and its tenant has no limits: asked with the key, so that a call need not ask by itself
    /// ([`Store::may_go_unrecorded`]).
    pub unhindered: bool,
    /// When the database was asked.
    pub asked: Instant,
}

impl Store {
    /// The key under which API keys are hashed: random bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn api_key_hash_key(&self) -> Result<Vec<u8>, StoreError> {
        Ok(sqlx::query_scalar!("select key from api_key_hash_key")
            .fetch_one(&self.pool)
            .await?)
    }

    /// Who holds the key of this hash, and notes the use of a good one once a minute; `None`: nobody does. What the database said
    /// within [`JUST_NOW`] holds, unless this process has changed it since.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn api_key_holder(&self, hash: &[u8]) -> Result<Option<KeyHolder>, StoreError> {
        let now = Instant::now();
        let asked = match self.seen_keys.holder(hash, now) {
            Ok(holder) => return Ok(Some(holder)),
            Err(asked) => asked,
        };
        let holder = self.holder(hash, now).await?;
        if let Some(good) = holder
            .as_ref()
            .filter(|held| !held.expired && !held.revoked)
        {
            self.seen_keys.keep(hash, asked, good);
        }
        Ok(holder)
    }

    async fn holder(&self, hash: &[u8], asked: Instant) -> Result<Option<KeyHolder>, StoreError> {
        let row = sqlx::query!(
            r#"
            select k.api_key_id, k.tenant_id, t.is_system, k.role, k.shown, k.name,
                   coalesce(k.expires_at <= now(), false) as "expired!", k.revoked_at is not null as "revoked!",
                   coalesce(k.last_used_at < now() - interval '1 minute', true) as "is_new_use!",
                   not exists (select 1 from pauses) and not exists (select 1 from credential_limits where paused_until > now())
                   and not exists (select 1 from tenant_limits l where l.tenant_id = k.tenant_id) as "unhindered!"
            from api_keys k join tenants t using (tenant_id) where k.key_hash = $1
            "#,
            hash,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        // A statement of its own: one that may write costs each call half as much again.
        if row.is_new_use && !row.expired && !row.revoked {
            self.api_key_used(row.api_key_id).await?;
        }
        Ok(Some(KeyHolder {
            id: row.api_key_id,
            tenant: row.tenant_id,
            is_system: row.is_system,
            role: row.role,
            shown: row.shown,
            name: row.name,
            expired: row.expired,
            revoked: row.revoked,
            unhindered: row.unhindered,
            asked,
        }))
    }

    async fn api_key_used(&self, id: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            update api_keys set last_used_at = now()
            where api_key_id = $1 and coalesce(last_used_at < now() - interval '1 minute', true)
            "#,
            id,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Adds a key; `None`: the scope has no such tenant.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: perhaps added, and known to nobody.
    pub async fn api_key_add(
        &self,
        scope: impl Into<Scope>,
        actor: &str,
        key: &NewApiKey,
    ) -> Result<Option<ApiKeyRow>, StoreError> {
        let scope = scope.into();
        if scope.tenant().is_some_and(|own| own != key.tenant) {
            return Ok(None);
        }
        let mut tx = self.acting(scope, actor).await?;
        let added = insert(&mut tx, actor, key).await?;
        tx.commit().await?;
        Ok(added)
    }

    /// Adds the first key of all. `false`: there is a key already, or was.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: perhaps added, and known to nobody.
    pub async fn api_key_add_first(
        &self,
        actor: &str,
        key: &NewApiKey,
    ) -> Result<bool, StoreError> {
        let mut tx = self.acting(Scope::Operator, actor).await?;
        // Two processes that start at once make one key.
        sqlx::query!("lock table api_keys in share row exclusive mode")
            .execute(&mut *tx)
            .await?;
        let any = sqlx::query_scalar!(r#"select exists (select from api_keys) as "any!""#)
            .fetch_one(&mut *tx)
            .await?;
        if any {
            return Ok(false);
        }
        insert(&mut tx, actor, key).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Keys, newest first, of a tenant or of all that the scope sees.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn api_keys(
        &self,
        scope: impl Into<Scope>,
        tenant: Option<Uuid>,
        after: Option<(OffsetDateTime, Uuid)>,
        limit: i64,
    ) -> Result<Vec<ApiKeyRow>, StoreError> {
        let (after_at, after_id) = after.unzip();
        let mut tx = self.seen_by(scope.into()).await?;
        let rows = sqlx::query_as!(
            ApiKeyRow,
            r#"
            select api_key_id as id, tenant_id as tenant, shown, name, role, created_at, created_by, expires_at, revoked_at, last_used_at
            from api_keys
            where ($1::uuid is null or tenant_id = $1)
              and ($2::timestamptz is null or (created_at, api_key_id) < ($2, $3::uuid))
            order by created_at desc, api_key_id desc limit $4
            "#,
            tenant,
            after_at,
            after_id,
            limit,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Revokes a key, from its next use on, and in other processes [`JUST_NOW`] later at most; one that was revoked stays as it is.
    /// `None`: the scope sees no such key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: revoke again.
    pub async fn api_key_revoke(
        &self,
        scope: impl Into<Scope>,
        actor: &str,
        id: Uuid,
    ) -> Result<Option<ApiKeyRow>, StoreError> {
        let _seen = self.seen_keys.change();
        let mut tx = self.acting(scope.into(), actor).await?;
        let row = sqlx::query_as!(
            ApiKeyRow,
            r#"
            update api_keys set revoked_at = coalesce(revoked_at, now()) where api_key_id = $1
            returning api_key_id as id, tenant_id as tenant, shown, name, role, created_at, created_by, expires_at, revoked_at, last_used_at
            "#,
            id,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(row)
    }
}

async fn insert(
    tx: &mut Transaction<'static, Postgres>,
    actor: &str,
    key: &NewApiKey,
) -> Result<Option<ApiKeyRow>, StoreError> {
    Ok(sqlx::query_as!(
        ApiKeyRow,
        r#"
        insert into api_keys (api_key_id, tenant_id, shown, key_hash, role, name, expires_at, created_by)
        select $1, tenant_id, $3, $4, $5, $6, $7, $8 from tenants where tenant_id = $2
        returning api_key_id as id, tenant_id as tenant, shown, name, role, created_at, created_by, expires_at, revoked_at, last_used_at
        "#,
        key.id,
        key.tenant,
        key.shown,
        key.hash,
        key.role,
        key.name,
        key.expires_at,
        actor,
    )
    .fetch_optional(&mut **tx)
    .await?)
}
