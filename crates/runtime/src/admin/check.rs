//! What rows would mean with a change that is not there yet: checked before it is written, by the functions that compile what is.

use crate::catalogue::Snapshot;
use crate::core::Core;
use crate::error::RunError;
use crate::tasks::aside;
use crate::{gate, rows};
use diag::{Diagnostic, Diagnostics, Place};
use profile::catalogue::{Compiled, compile_rows};
use std::sync::Arc;
use store::catalogue::{ProfileRow, Rows};
use uuid::Uuid;

/// A change that is to be made to a tenant's rows.
pub(crate) struct Change {
    /// Whose rows; absent: the system's.
    pub(crate) owner: Option<Uuid>,
    /// Rows that are put in place of those of their names, or beside the others.
    pub(crate) put: Rows,
    /// Rows that go.
    pub(crate) gone: Vec<Uuid>,
}

/// What was found with the change.
#[derive(Default)]
pub(crate) struct Found {
    /// In the row that stands there, with pointers into it.
    pub(crate) own: Diagnostics,
    /// Mistakes elsewhere that are not there without the change.
    pub(crate) elsewhere: Diagnostics,
}

impl Found {
    pub(crate) fn errors(self) -> Diagnostics {
        let all = self.own.into_iter().chain(self.elsewhere);
        Diagnostics(all.filter(Diagnostic::is_error).collect())
    }
}

/// Checks a change. `source`: where its own row stands; absent: it is a bundle, which was checked, with its cases, alone.
pub(crate) async fn check(
    core: &Core,
    change: Change,
    source: Option<String>,
) -> Result<Found, RunError> {
    let snapshot = core.catalogue.now();
    let owner = change.owner;
    let alone: Vec<Option<String>> = match source {
        Some(_) => Vec::new(),
        None => of_profiles(&change),
    };
    let (after, compiled) = compiled(&snapshot, change).await;
    let mut found = told(&snapshot, &compiled, source.as_deref());
    let (gate, build) = core.catalogue.gate();
    let judged = gate
        .would_judge(&core.store, &after, &compiled, build)
        .await?;
    let owned = after.profiles.iter().filter(|row| row.tenant == owner);
    for row in owned {
        let place = rows::profile_place(row);
        if alone.contains(&place.source) {
            continue;
        }
        let is_own = place.source == source;
        let Some((id, verdict)) = row.id.and_then(|id| Some((id, judged.get(&id)?))) else {
            continue;
        };
        if gate::is_against(verdict) && (is_own || !gate.fails(id)) {
            found
                .elsewhere
                .extend(gate::told(row, &verdict.found).into_iter().map(|one| {
                    let at = Place::default();
                    Diagnostic { place: at, ..one }
                }));
        }
    }
    Ok(found)
}

/// Where the profiles of a change will stand.
fn of_profiles(change: &Change) -> Vec<Option<String>> {
    let owned = |row: &ProfileRow| ProfileRow {
        tenant: change.owner,
        ..row.clone()
    };
    let profiles = change.put.profiles.iter().map(owned);
    profiles
        .map(|row| rows::profile_place(&row).source)
        .collect()
}

/// What the owner sees after the change, compiled.
pub(crate) async fn compiled(snapshot: &Arc<Snapshot>, change: Change) -> (Rows, Compiled) {
    let snapshot = Arc::clone(snapshot);
    let compile = move || {
        let mut after = rows::seen_by(&snapshot.rows, change.owner);
        rows::take_out(&mut after, &change.gone);
        rows::put_in(&mut after, change.put, change.owner);
        let compiled = compile_rows(&rows::to_language(&after));
        (after, compiled)
    };
    aside(compile).await
}

/// What is said of the row itself, and what is new of the others.
fn told(before: &Snapshot, after: &Compiled, source: Option<&str>) -> Found {
    let mut found = Found::default();
    let known = &before.compiled.diagnostics;
    for one in after.diagnostics.iter() {
        if source.is_some() && one.place.source.as_deref() == source {
            found.own.push(one.clone());
        } else if one.is_error() && !known.iter().any(|known| known == one) {
            found.elsewhere.push(Diagnostic {
                message: format!("{}: {}", one.place, one.message),
                place: Place::default(),
                ..one.clone()
            });
        }
    }
    found
}

/// The same profile, active: what would be found in it then.
pub(crate) fn active(row: &ProfileRow) -> ProfileRow {
    ProfileRow {
        is_active: true,
        ..row.clone()
    }
}
