//! Rows as they are shown: what they hold as a bundle has it, what was found in them, and what serves of them.

use super::error::RowError;
use crate::access::PageOf;
use crate::catalogue::{Snapshot, is_of};
use crate::error::RunError;
use crate::{Modelrow, list, rows};
use diag::{Diagnostic, Diagnostics};
use profile::rows::Kind;
use serde::Serialize;
use serde_json::Value;
use store::Scope;
use store::catalogue::{IndexFilter, IndexRow, Rows};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// A row of the language.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RowView {
    /// The row.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// For people: `provider/name`.
    pub key: String,
    /// Its last change.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// What it holds, as a bundle has it and `PUT` takes it.
    #[schema(value_type = Object)]
    pub row: Value,
    /// What was found in it; a row that was inserted with plain SQL may have mistakes.
    pub diagnostics: Vec<RowFinding>,
    /// Of an active profile: what serves, of each model. With mistakes in the row it is the last good revision.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub serving: Vec<Serving>,
}

/// Something found in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RowFinding {
    /// `modelrow explain` says more.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// JSON Pointer into `row`.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

/// What serves of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Serving {
    /// Absent: it serves calls without a model.
    pub model: Option<String>,
    /// The revision, in hex.
    pub revision: String,
}

/// A page of rows, the last changed first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RowPage {
    /// The rows.
    pub rows: Vec<RowView>,
    /// For the next page; absent: this was the last.
    pub next: Option<String>,
}

/// Which rows to list. What is absent asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct RowFilter {
    /// Only of this tenant.
    pub tenant: Option<Uuid>,
    /// Only of this provider.
    pub provider: Option<String>,
    /// Only of this key.
    pub key: Option<String>,
    /// Which part.
    pub page: PageOf,
}

impl Modelrow {
    /// Rows of one kind: a tenant's own and the system's; an operator's are all.
    ///
    /// # Errors
    ///
    /// [`RunError::BadCursor`], [`RunError::Store`].
    pub async fn rows(
        &self,
        scope: Scope,
        kind: Kind,
        filter: &RowFilter,
    ) -> Result<RowPage, RunError> {
        let limit = list::page_size(filter.page.limit);
        let wanted = IndexFilter {
            tenant: filter.tenant,
            provider: filter.provider.clone(),
            key: filter.key.clone(),
            after: list::after(filter.page.after.as_deref())?,
            limit: list::asked_for(limit),
            ..IndexFilter::default()
        };
        let (found, next) = {
            let found = self
                .core()
                .store
                .row_index(scope, rows::table(kind), &wanted);
            list::page(found.await?, limit, |row| (row.updated_at, row.id))
        };
        let rows = self.views(scope, kind, found).await?;
        Ok(RowPage { rows, next })
    }

    /// One row.
    ///
    /// # Errors
    ///
    /// [`RowError::NotThere`], [`RunError::Store`].
    pub async fn row(&self, scope: Scope, kind: Kind, id: Uuid) -> Result<RowView, RunError> {
        let wanted = IndexFilter {
            id: Some(id),
            limit: 1,
            ..IndexFilter::default()
        };
        let found = self
            .core()
            .store
            .row_index(scope, rows::table(kind), &wanted);
        let one = self.views(scope, kind, found.await?).await?.pop();
        one.ok_or_else(|| not_there(kind, id))
    }

    /// The tenant of that slug or id whose rows the scope sees.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchTenant`]: also of one whose rows it does not see. [`RunError::Store`].
    pub async fn tenant_of_rows(&self, scope: Scope, name: &str) -> Result<Uuid, RunError> {
        match self.tenant(name).await? {
            store::SYSTEM_TENANT => Ok(store::SYSTEM_TENANT),
            _ => self.tenant_seen(scope, name).await,
        }
    }

    /// Rows that were taken away meanwhile are left out.
    async fn views(
        &self,
        scope: Scope,
        kind: Kind,
        found: Vec<IndexRow>,
    ) -> Result<Vec<RowView>, RunError> {
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let ids: Vec<Uuid> = found.iter().map(|row| row.id).collect();
        let read = core.store.rows(scope, rows::table(kind), &ids).await?;
        let snapshot = core.catalogue.now();
        let views = found
            .into_iter()
            .filter_map(|row| view(&snapshot, kind, row, &read));
        Ok(views.collect())
    }
}

pub(super) fn not_there(kind: Kind, id: Uuid) -> RunError {
    let kind = kind.as_str();
    RunError::Row(RowError::NotThere { kind, id })
}

fn view(snapshot: &Snapshot, kind: Kind, index: IndexRow, read: &Rows) -> Option<RowView> {
    let one = rows::only(read, kind, index.id);
    let language = rows::to_language(&one);
    let row = profile::bundle::write_row(kind, &language);
    if row.is_null() {
        return None;
    }
    let found = match snapshot.found.get(&index.id) {
        Some(found) => findings(found.iter()),
        None => {
            let source = rows::source(kind, &language);
            let all = snapshot.compiled.diagnostics.iter();
            findings(all.filter(|one| one.place.source == source))
        }
    };
    Some(RowView {
        id: index.id,
        tenant: index.tenant,
        key: index.key,
        updated_at: index.updated_at,
        row,
        diagnostics: found,
        serving: serving(snapshot, &one),
    })
}

pub(super) fn findings<'d>(found: impl Iterator<Item = &'d Diagnostic>) -> Vec<RowFinding> {
    let finding = |one: &Diagnostic| RowFinding {
        code: one.code.as_str().to_owned(),
        severity: match one.is_error() {
            true => "error".to_owned(),
            false => "warning".to_owned(),
        },
        pointer: one.place.pointer.clone(),
        message: one.message.clone(),
        help: one.help.clone(),
    };
    found.map(finding).collect()
}

/// Findings of a row that is saved with them, beside those that it has by itself.
pub(super) fn with(mut view: RowView, found: &Diagnostics) -> RowView {
    for one in findings(found.iter()) {
        if !view.diagnostics.contains(&one) {
            view.diagnostics.push(one);
        }
    }
    view
}

fn serving(snapshot: &Snapshot, one: &Rows) -> Vec<Serving> {
    let Some(profile) = one.profiles.first().filter(|row| row.is_active) else {
        return Vec::new();
    };
    let entries = snapshot.compiled.revisions.iter();
    let of_it = entries.filter(|entry| is_of(profile, entry));
    let good = of_it.filter_map(|entry| Some((entry, entry.revision.as_ref().ok()?)));
    good.map(|(entry, revision)| Serving {
        model: entry.key.model.clone(),
        revision: hex::encode(revision.id.0),
    })
    .collect()
}
