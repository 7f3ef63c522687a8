//! Bundles into the database: rows with their recorded cases, and neither when a case fails.

use crate::admin::check::{Change, check};
use crate::admin::{RowError, contents, owner};
use crate::core::Core;
use crate::difference::{self, Changed};
use crate::error::RunError;
use crate::rows::Row as _;
use crate::{Modelrow, gate, rows};
use diag::{Diagnostics, Place};
use profile::case::Case;
use profile::catalogue::{Ask, Compiled, choose, compile_rows};
use profile::rows::{ProfileRow, Rows};
use serde_json::Value;
use store::cases::StoredCase;
use store::catalogue::{Apply, CaseRow, Keep, OfProvider, Rows as Tables};
use store::{Rule, StoreError};
use uuid::Uuid;

/// The recorded cases that come with a bundle.
#[derive(Debug, Clone, Default)]
pub struct Cases {
    /// They are stored with the rows they speak of.
    pub given: Vec<BundleCase>,
    /// Cases that are stored for the bundle's profiles, and are not given, are removed.
    pub only_these: bool,
}

/// What becomes of sealed secrets where a bundle has references.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SealedSecrets {
    /// They stay: a bundle's reference is a provider's usual one, and who sealed a secret has said more.
    #[default]
    Stay,
    /// The references take their place.
    Go,
}

/// How a bundle is applied.
#[derive(Debug, Clone, Default)]
pub struct ApplyHow {
    /// Recorded cases that come with it.
    pub cases: Cases,
    /// What becomes of sealed secrets.
    pub sealed: SealedSecrets,
    /// The provider's rows that the bundle no longer names go. A credential stays: its secret is not the bundle's.
    pub prune: bool,
    /// It is shown, and nothing is changed.
    pub dry_run: bool,
    /// For the audit log; empty: the program itself.
    pub by: String,
}

/// What applying a bundle did, or would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BundleApplied {
    /// Rows that were inserted or changed.
    pub changed: u64,
    /// Rows that read so already.
    pub unchanged: u64,
    /// Rows that the bundle no longer names, and that went.
    pub removed: u64,
    /// Sealed secrets that stay, though the bundle has a reference.
    pub kept_secrets: u64,
    /// What differs in the provider's rows.
    pub differences: Vec<Changed>,
}

/// One recorded case.
#[derive(Debug, Clone)]
pub struct BundleCase {
    /// Its name, which replaces a stored case of that name.
    pub name: String,
    /// Where it comes from, for people.
    pub source: String,
    /// Its text.
    pub document: String,
}

impl Modelrow {
    /// Applies a bundle's rows, checked before, to a tenant; this process uses them when it answers. The stored cases
    /// of its profiles are replayed first.
    ///
    /// # Errors
    ///
    /// As [`Modelrow::apply_with`].
    pub async fn apply(&self, tenant: Uuid, bundle: &Rows) -> Result<BundleApplied, RunError> {
        self.apply_with(tenant, bundle, &ApplyHow::default()).await
    }

    /// The same with recorded cases, which are replayed, with those that are stored already, and stored with the rows; all of it
    /// or nothing.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] with every failing case, and every mistake that there would be elsewhere: nothing was applied.
    /// [`RowError::InUse`]: runs or rows use what would go. [`RunError::Store`]: nothing was applied, or, in doubt, all of it:
    /// apply again.
    pub async fn apply_with(
        &self,
        tenant: Uuid,
        bundle: &Rows,
        how: &ApplyHow,
    ) -> Result<BundleApplied, RunError> {
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let snapshot = core.catalogue.now();
        let there = rows::seen_by(&snapshot.rows, owner(tenant));
        let mut tables = rows::to_tables(bundle);
        self.cases_hold(bundle, &mut tables, &there, &how.cases)
            .await?;
        tables.only_these_cases = how.cases.only_these;
        tables.unseal = how.sealed == SealedSecrets::Go;
        rows::add_credentials(&mut tables, &there);
        let gone = match how.prune {
            true => rows::unnamed(&there, &tables, owner(tenant)),
            false => Vec::new(),
        };
        self.others_hold(tenant, &tables, &gone).await?;
        let by = Some(how.by.as_str()).filter(|by| !by.is_empty());
        let apply = Apply::to(tenant, by.unwrap_or("the program"));
        let gone: Vec<_> = gone.iter().map(|row| (row.table, row.id)).collect();
        let keep = match how.dry_run {
            true => Keep::No,
            false => Keep::Yes,
        };
        let changed = core.store.bundle_change(&apply, &tables, &gone, keep).await;
        let changed = changed.map_err(of_rule)?;
        if !how.dry_run {
            core.catalogue.load(&core.store).await?;
        }
        Ok(applied(&changed))
    }

    /// Every recorded case, given or stored, holds with the bundle; the given ones are put among its rows.
    async fn cases_hold(
        &self,
        bundle: &Rows,
        tables: &mut Tables,
        there: &Tables,
        cases: &Cases,
    ) -> Result<(), RunError> {
        let stored = stored_cases(self.core(), &tables.profiles, &there.profiles, cases).await?;
        if cases.given.is_empty() && stored.is_empty() {
            return Ok(());
        }
        let compiled = compile_rows(bundle);
        let found = failing(&compiled, &cases.given, &stored);
        if found.has_errors() {
            return Err(RunError::Refused(found));
        }
        let given = cases.given.iter();
        tables.cases = given
            .filter_map(|case| row_of(case, bundle, &compiled))
            .collect();
        Ok(())
    }

    /// Nothing that is not the bundle's gets worse by it. A provider that is new has no others.
    async fn others_hold(
        &self,
        tenant: Uuid,
        tables: &Tables,
        gone: &[rows::Unnamed],
    ) -> Result<(), RunError> {
        let core = self.core();
        let snapshot = core.catalogue.now();
        let known = |row: &store::catalogue::ProviderRow| {
            let mut all = snapshot.rows.providers.iter();
            all.any(|there| there.slug == row.slug)
        };
        if !tables.providers.iter().any(known) {
            return Ok(());
        }
        let contents: Vec<Value> = gone
            .iter()
            .flat_map(|row| contents(row.kind, &row.row))
            .collect();
        let runs = core.store.runs_of_contents(tenant, &contents).await?;
        let mut after = snapshot.rows.clone();
        rows::put_in(&mut after, tables.clone(), owner(tenant));
        let rows = rows::still_used(after, gone);
        if !(runs.is_empty() && rows.is_empty()) {
            return Err(RunError::Row(RowError::InUse { runs, rows }));
        }
        let change = Change {
            owner: owner(tenant),
            put: tables.clone(),
            gone: gone.iter().map(|row| row.id).collect(),
        };
        let found = check(core, change, None).await?.errors();
        match found.has_errors() {
            true => Err(RunError::Refused(found)),
            false => Ok(()),
        }
    }
}

/// A link that leads nowhere, or a rule of the tables, is the bundle's mistake.
fn of_rule(error: StoreError) -> RunError {
    match error {
        StoreError::Broken(Rule::InUse) => RunError::Row(RowError::InUse {
            runs: Vec::new(),
            rows: Vec::new(),
        }),
        StoreError::Broken(rule) => RunError::Row(RowError::Rule(rule)),
        StoreError::NoSuchRow { table, key } => RunError::Refused(rows::missing(table, &key)),
        other => other.into(),
    }
}

/// Rows as a bundle has them, and recorded cases: what each says, however it is written.
fn by_key(there: &OfProvider) -> difference::RowsByKey {
    if there.rows.providers.is_empty() {
        return difference::RowsByKey::new();
    }
    let language = rows::to_language(&there.rows);
    let mut by_key = difference::of_bundle(&profile::bundle::write(&language));
    for case in &there.cases {
        let mut profiles = there.rows.profiles.iter();
        let of = profiles.find(|row| row.id == Some(case.profile));
        let of = of.map_or("", |row| row.profile_key.as_str());
        let says = serde_json::from_str(&case.document).unwrap_or_default();
        by_key.insert(format!("cases/{of}/{}", case.name), says);
    }
    by_key
}

pub(crate) fn applied(changed: &store::catalogue::Changed) -> BundleApplied {
    BundleApplied {
        changed: changed.applied.changed,
        unchanged: changed.applied.unchanged,
        removed: changed.applied.removed,
        kept_secrets: changed.applied.kept_secrets,
        differences: difference::compare(&by_key(&changed.before), &by_key(&changed.after)),
    }
}

type Table = store::catalogue::ProfileRow;

/// The stored cases of a bundle's profiles that those that come with it leave, each with the row that it is of. What a tenant
/// inherits is not its own, and has no case of its.
pub(crate) async fn stored_cases(
    core: &Core,
    bundle: &[Table],
    there: &[Table],
    cases: &Cases,
) -> Result<Vec<(Table, StoredCase)>, StoreError> {
    if cases.only_these {
        return Ok(Vec::new());
    }
    let is_in = |row: &&Table| bundle.iter().any(|own| own.is(row));
    let rows: Vec<&Table> = there.iter().filter(is_in).collect();
    let ids: Vec<Uuid> = rows.iter().filter_map(|row| row.id).collect();
    let stored = core.store.cases(&ids).await?;
    let left = |case: &StoredCase| !cases.given.iter().any(|given| given.name == case.name);
    let with_row = |case: StoredCase| {
        let row = rows.iter().find(|row| row.id == Some(case.profile))?;
        Some((Table::clone(row), case))
    };
    let left = stored.into_iter().filter(left);
    Ok(left.filter_map(with_row).collect())
}

/// Every failing case of a bundle, given or stored.
fn failing(
    compiled: &Compiled,
    given: &[BundleCase],
    stored: &[(Table, StoredCase)],
) -> Diagnostics {
    let mut found = Diagnostics::new();
    let mut judge = |source: &str, name: &str, document: &str, profile: Option<&str>| {
        let differences = gate::differences(name, document, profile, compiled);
        if !differences.is_empty() {
            let place = Place {
                source: Some(source.to_owned()),
                ..Place::default()
            };
            found.push(gate::failed(place, name, &differences));
        }
    };
    for case in given {
        judge(&case.source, &case.name, &case.document, None);
    }
    for (row, case) in stored {
        let source = format!("profile_cases/{}/{}", rows::profile_name(row), case.name);
        judge(&source, &case.name, &case.document, Some(&row.profile_key));
    }
    found
}

/// The row with which a case is stored: of the profile that serves its call; of a call that no profile serves, the
/// first of its purpose. `None`: the bundle has no profile.
fn row_of(case: &BundleCase, bundle: &Rows, compiled: &Compiled) -> Option<CaseRow> {
    let input = Case::parse(&case.source, &case.document).ok()?.input;
    let ask = Ask {
        purpose: input.purpose.clone(),
        provider: input.provider,
        model: input.model,
        profile_key: input.profile_key,
        ..Ask::default()
    };
    let chosen = choose(compiled, &ask).ok().map(|choice| choice.revision);
    let serves = |row: &&ProfileRow| {
        chosen.as_ref().is_some_and(|revision| {
            row.profile_key == revision.profile_key
                && (row.model.is_none() || row.model == revision.model)
        })
    };
    let bound = bundle
        .profiles
        .iter()
        .filter(|row| row.model.is_some())
        .find(serves);
    let profile = bound
        .or_else(|| bundle.profiles.iter().find(serves))
        .or_else(|| {
            bundle
                .profiles
                .iter()
                .find(|row| row.purpose == input.purpose)
        })
        .or_else(|| bundle.profiles.first())?;
    Some(CaseRow {
        provider: profile.provider.clone(),
        profile_key: profile.profile_key.clone(),
        model: profile.model.clone(),
        name: case.name.clone(),
        document: case.document.clone(),
    })
}
