//! Bundles over HTTP: read and checked as files are, and applied by the one function that applies them.

use super::error::RowError;
use super::operator;
use super::save::{Admin, owner};
use super::view::{RowFinding, findings};
use crate::apply::{ApplyHow, BundleApplied, BundleCase, Cases};
use crate::difference::{Change, Changed};
use crate::error::RunError;
use crate::{Modelrow, rows};
use diag::{Diagnostic, Diagnostics, Place};
use profile::catalogue::Compiled;
use profile::rows::Rows;
use serde::Serialize;
use serde_json::{Map, Value, json};
use store::{Scope, StoreError};
use utoipa::ToSchema;
use uuid::Uuid;

/// A bundle that was sent.
#[derive(Debug, Clone, Default)]
pub struct GivenBundle {
    /// As a file has it.
    pub bundle: Value,
    /// Recorded cases by name.
    pub cases: Map<String, Value>,
    /// Stored cases of its profiles that are not among them go.
    pub only_these_cases: bool,
}

/// How a bundle that was sent is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BundleHow {
    /// The provider's rows that it no longer names go.
    pub prune: bool,
    /// It is shown, and nothing is changed.
    pub dry_run: bool,
}

/// What applying a bundle did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BundleView {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Rows that were inserted or changed.
    pub changed: u64,
    /// Rows that read so already.
    pub unchanged: u64,
    /// Rows that the bundle no longer names, and that went (`prune`).
    pub removed: u64,
    /// Sealed secrets that stay, though the bundle has a reference.
    pub kept_secrets: u64,
    /// What differs in the provider's rows.
    pub differences: Vec<Difference>,
    /// What is worth reading of the bundle, though it is applied.
    pub diagnostics: Vec<RowFinding>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Difference {
    /// Table and natural key: `models/a-1`.
    pub row: String,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// Of a changed row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberDifference>,
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MemberDifference {
    /// JSON Pointer into the row.
    pub pointer: String,
    /// Absent: it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Absent: it is there no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl BundleView {
    pub(super) fn of(applied: BundleApplied, dry_run: bool) -> Self {
        Self {
            dry_run,
            changed: applied.changed,
            unchanged: applied.unchanged,
            removed: applied.removed,
            kept_secrets: applied.kept_secrets,
            differences: applied.differences.into_iter().map(Into::into).collect(),
            diagnostics: Vec::new(),
        }
    }
}

impl From<Changed> for Difference {
    fn from(changed: Changed) -> Self {
        let (change, members) = match changed.change {
            Change::Added => ("added", Vec::new()),
            Change::Removed => ("removed", Vec::new()),
            Change::Members(members) => ("changed", members),
        };
        let members = members.into_iter().map(|member| MemberDifference {
            pointer: member.pointer,
            before: member.before,
            after: member.after,
        });
        Self {
            row: changed.key,
            change: change.to_owned(),
            members: members.collect(),
        }
    }
}

/// What recorded cases came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CasesReport {
    /// Whether all of them hold.
    pub hold: bool,
    /// Each.
    pub cases: Vec<CaseReport>,
}

/// What a recorded case came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CaseReport {
    /// Its name.
    pub case: String,
    /// Whether the rows do what it says.
    pub holds: bool,
    /// In what they differ.
    pub differences: Vec<String>,
}

impl From<Vec<CaseReport>> for CasesReport {
    fn from(cases: Vec<CaseReport>) -> Self {
        let hold = cases.iter().all(|case| case.holds);
        Self { hold, cases }
    }
}

impl GivenBundle {
    /// Its rows, and what they mean alone.
    ///
    /// # Errors
    ///
    /// Every mistake, by pointers into the bundle.
    pub(super) fn read(&self) -> Result<(Rows, Compiled), Diagnostics> {
        let (bundle, compiled) = profile::bundle::check("bundle", &self.bundle.to_string());
        let found = bundle.diagnostics.into_iter().map(|one| Diagnostic {
            place: Place::pointer(one.place.pointer),
            ..one
        });
        let found = Diagnostics(found.collect());
        match found.has_errors() {
            true => Err(found),
            false => Ok((
                bundle.rows,
                Compiled {
                    diagnostics: found,
                    ..compiled
                },
            )),
        }
    }

    pub(super) fn cases(&self) -> Cases {
        let case = |(name, document): (&String, &Value)| BundleCase {
            name: name.clone(),
            source: format!("cases/{name}"),
            document: document.to_string(),
        };
        Cases {
            given: self.cases.iter().map(case).collect(),
            only_these: self.only_these_cases,
        }
    }
}

impl Modelrow {
    /// Applies a bundle to a tenant, all or nothing.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] with every mistake, by pointers into the bundle, and every failing case; otherwise as
    /// [`Modelrow::apply_with`].
    pub async fn bundle_put(
        &self,
        admin: Admin<'_>,
        tenant: Uuid,
        given: &GivenBundle,
        how: BundleHow,
    ) -> Result<BundleView, RunError> {
        admin.may_write(tenant)?;
        let (bundle, compiled) = given.read().map_err(RunError::Refused)?;
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let mut found = operator::words(tenant, &bundle);
        found.extend(operator::refused(
            admin.scope,
            &core.catalogue.now().rows,
            &bundle,
        ));
        if found.has_errors() {
            return Err(RunError::Refused(found));
        }
        let applied = ApplyHow {
            cases: given.cases(),
            prune: how.prune,
            dry_run: how.dry_run,
            by: admin.by.to_owned(),
            ..ApplyHow::default()
        };
        let applied = self.apply_with(tenant, &bundle, &applied).await?;
        let view = BundleView::of(applied, how.dry_run);
        let diagnostics = findings(compiled.diagnostics.iter());
        Ok(BundleView {
            diagnostics,
            ..view
        })
    }

    /// The rows of a tenant's provider as a bundle, with references to secrets, and no secret; `cases`: with its recorded cases, as
    /// [`Modelrow::bundle_put`] takes them back.
    ///
    /// # Errors
    ///
    /// [`RowError::NoProvider`]: also of a tenant whose rows the scope does not see. [`RunError::Store`].
    pub async fn bundle_get(
        &self,
        scope: Scope,
        tenant: Uuid,
        provider: &str,
        cases: bool,
    ) -> Result<Value, RunError> {
        let store = &self.core().store;
        let none = || {
            let provider = provider.to_owned();
            RunError::Row(RowError::NoProvider { provider })
        };
        if !scope.has(tenant) && owner(tenant).is_some() {
            return Err(none());
        }
        let tables = match store.catalogue_export(tenant, provider).await {
            Err(StoreError::NoSuchRow { .. }) => return Err(none()),
            other => other?,
        };
        let bundle = profile::bundle::write(&rows::to_language(&tables));
        if !cases {
            return Ok(bundle);
        }
        let ids: Vec<Uuid> = tables.profiles.iter().filter_map(|row| row.id).collect();
        let mut by_name = Map::new();
        for case in store.cases(&ids).await? {
            let document = serde_json::from_str(&case.document).unwrap_or_default();
            by_name.insert(case.name, document);
        }
        Ok(json!({ "bundle": bundle, "cases": by_name }))
    }
}
