//! Bundles into the database: rows with their recorded cases, and neither when a case fails.

use crate::error::RunError;
use crate::{Modelrow, gate, rows};
use diag::{Diagnostics, Place};
use profile::case::Case;
use profile::catalogue::{Ask, Compiled, choose, compile_rows};
use profile::rows::{ProfileRow, Rows};
use store::cases::StoredCase;
use store::catalogue::{Applied, Apply, CaseRow};
use uuid::Uuid;

/// Who applies bundles, where nobody is named.
const BY: &str = "the program";

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
    pub async fn apply(&self, tenant: Uuid, bundle: &Rows) -> Result<Applied, RunError> {
        self.apply_with(tenant, bundle, &Cases::default(), SealedSecrets::Stay)
            .await
    }

    /// The same with recorded cases, which are replayed, with those that are stored already, and stored with the rows.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] with every failing case: nothing was applied. [`RunError::Store`]: nothing was applied, or,
    /// in doubt, all of it: apply again.
    pub async fn apply_with(
        &self,
        tenant: Uuid,
        bundle: &Rows,
        cases: &Cases,
        sealed: SealedSecrets,
    ) -> Result<Applied, RunError> {
        let core = self.core();
        let mut tables = rows::to_tables(bundle);
        let there = core.store.catalogue(Some(tenant)).await?;
        let stored = match cases.only_these {
            true => Vec::new(),
            false => {
                core.store
                    .cases(&ids_of(&tables.profiles, &there.profiles))
                    .await?
            }
        };
        if !(cases.given.is_empty() && stored.is_empty()) {
            let compiled = compile_rows(bundle);
            let found = failing(&compiled, cases, &stored, &there.profiles);
            if found.has_errors() {
                return Err(RunError::Refused(found));
            }
            tables.cases = cases
                .given
                .iter()
                .filter_map(|case| row_of(case, bundle, &compiled))
                .collect();
        }
        tables.only_these_cases = cases.only_these;
        tables.unseal = sealed == SealedSecrets::Go;
        rows::add_credentials(&mut tables, &there);
        let applied = core
            .store
            .bundle_apply(&Apply::to(tenant, BY), &tables)
            .await?;
        core.catalogue.load(&core.store).await?;
        Ok(applied)
    }
}

type Table = store::catalogue::ProfileRow;

fn same_key(one: &Table, other: &Table) -> bool {
    (&one.provider, &one.profile_key, &one.model)
        == (&other.provider, &other.profile_key, &other.model)
}

/// The stored rows that the bundle's profiles stand for. What a tenant inherits is not its own, and has no case of its.
fn ids_of(bundle: &[Table], there: &[Table]) -> Vec<Uuid> {
    let is_in = |row: &&Table| bundle.iter().any(|own| same_key(own, row));
    there
        .iter()
        .filter(is_in)
        .filter_map(|row| row.id)
        .collect()
}

/// Every failing case of a bundle, given or stored.
fn failing(
    compiled: &Compiled,
    cases: &Cases,
    stored: &[StoredCase],
    there: &[Table],
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
    for case in &cases.given {
        judge(&case.source, &case.name, &case.document, None);
    }
    let replaced = |case: &&StoredCase| !cases.given.iter().any(|given| given.name == case.name);
    for case in stored.iter().filter(replaced) {
        let row = there.iter().find(|row| row.id == Some(case.profile));
        let source = row.map_or_else(String::new, |row| {
            format!("profile_cases/{}/{}", rows::profile_name(row), case.name)
        });
        let profile = row.map(|row| row.profile_key.as_str());
        judge(&source, &case.name, &case.document, profile);
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
