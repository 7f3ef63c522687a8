//! The log of who changed what; triggers write it (migration 16).

use super::{PageOf, asked};
use crate::error::RunError;
use crate::library::Modelrow;
use crate::list;
use serde::Serialize;
use serde_json::Value;
use store::Scope;
use store::audit::AuditRow;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// The entry.
    pub id: Uuid,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Whose row it was; absent: nobody's alone.
    pub tenant: Option<Uuid>,
    /// Who made it: a key by its first characters, a person at the command line, a role of the database.
    pub actor: String,
    /// `api_key.create`, `credential.change`, `run.delete`, …
    pub action: String,
    /// `api_key/…`, `credential/provider/name`, …
    pub object: String,
    /// The row before, secrets never; absent: it was not there, or is not kept.
    pub before: Option<Value>,
    /// The row afterwards, secrets never.
    pub after: Option<Value>,
}

/// A page of changes, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditPage {
    /// The changes.
    pub entries: Vec<AuditEntry>,
    /// For the next page; absent: this was the last.
    pub next: Option<String>,
}

/// Which changes to list. What is absent asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only this action.
    pub action: Option<String>,
    /// Only this object.
    pub object: Option<String>,
    /// Which part.
    pub page: PageOf,
}

impl Modelrow {
    /// Who changed what, newest first.
    ///
    /// # Errors
    ///
    /// [`RunError::BadCursor`], [`RunError::Store`].
    pub async fn audit(
        &self,
        scope: impl Into<Scope>,
        filter: &AuditFilter,
    ) -> Result<AuditPage, RunError> {
        let (limit, after) = asked(&filter.page)?;
        let wanted = store::audit::AuditFilter {
            action: filter.action.clone(),
            object: filter.object.clone(),
            after,
            limit: list::asked_for(limit),
        };
        let rows = self.core().store.audit(scope, &wanted).await?;
        let (rows, next) = list::page(rows, limit, |row| (row.at, row.id));
        Ok(AuditPage {
            entries: rows.into_iter().map(entry).collect(),
            next,
        })
    }
}

fn entry(row: AuditRow) -> AuditEntry {
    AuditEntry {
        id: row.id,
        at: row.at,
        tenant: row.tenant,
        actor: row.actor,
        action: row.action,
        object: row.object,
        before: row.before,
        after: row.after,
    }
}
