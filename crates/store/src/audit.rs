//! The audit log: who changed what, before and after. Triggers write it, so that no statement can forget it.

use crate::{Scope, Store, StoreError};
use serde_json::Value;
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

/// One change.
#[derive(Debug, Clone)]
pub struct AuditRow {
    /// The entry.
    pub id: Uuid,
    /// When it was made.
    pub at: OffsetDateTime,
    /// Whose row it was; absent: nobody's alone.
    pub tenant: Option<Uuid>,
    /// Who made it.
    pub actor: String,
    /// `api_key.create`, `tenant.change`, `run.delete`, …
    pub action: String,
    /// What was changed: `api_key/…`, `credential/provider/name`.
    pub object: String,
    /// The row before; absent: it was not there, or is not kept.
    pub before: Option<Value>,
    /// The row afterwards.
    pub after: Option<Value>,
}

/// Which entries to list. What is absent asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only this action.
    pub action: Option<String>,
    /// Only this object.
    pub object: Option<String>,
    /// Older than this entry.
    pub after: Option<(OffsetDateTime, Uuid)>,
    /// At most so many.
    pub limit: i64,
}

impl Store {
    /// A transaction that sees what the scope may see, and whose changes are written down as `actor`'s.
    pub(crate) async fn acting(
        &self,
        scope: Scope,
        actor: &str,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut tx = self.seen_by(scope).await?;
        sqlx::query!(
            "select set_config('modelrow.actor', $1, true) as actor",
            actor
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(tx)
    }

    /// Entries of the audit log, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn audit(
        &self,
        scope: impl Into<Scope>,
        filter: &AuditFilter,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let (after_at, after_id) = filter.after.unzip();
        let mut tx = self.seen_by(scope.into()).await?;
        let rows = sqlx::query_as!(
            AuditRow,
            r#"
            select audit_id as id, at, tenant_id as tenant, actor, action, object, before, after from audit_log
            where ($1::text is null or action = $1) and ($2::text is null or object = $2)
              and ($3::timestamptz is null or (at, audit_id) < ($3, $4::uuid))
            order by at desc, audit_id desc limit $5
            "#,
            filter.action,
            filter.object,
            after_at,
            after_id,
            filter.limit,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows)
    }
}
