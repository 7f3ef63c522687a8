//! A row with a failing case is not activated: the recorded cases of profiles,
//! replayed when rows or cases have changed, and never again for the same state.

use crate::catalogue::{is_of, language};
use crate::rows;
use diag::{Code, Diagnostic, Diagnostics, Place};
use engine::replay::replay;
use profile::case::Case;
use profile::catalogue::{Compiled, Entry, RoutingRule};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use store::cases::StoredCase;
use store::catalogue::{ProfileRow, Rows};
use store::revisions::CasesVerdict;
use store::{Store, StoreError};
use uuid::Uuid;

/// Differences that are told of one case, and those that are kept.
const TOLD: usize = 3;
const KEPT: usize = 20;

/// The verdicts that are known.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    known: Mutex<HashMap<Uuid, CasesVerdict>>,
    /// Those of the database, read once: a restart replays nothing.
    read: tokio::sync::OnceCell<()>,
}

/// What the cases of each profile that has any came to.
pub(crate) type Judged = HashMap<Uuid, CasesVerdict>;

/// A profile whose cases must be replayed.
struct Due<'r> {
    id: Uuid,
    row: &'r ProfileRow,
    key: Vec<u8>,
    compiled: Compiled,
}

impl Gate {
    /// What the cases of each active profile come to; those without cases are not in it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing is known then, and nothing may be activated.
    pub(crate) async fn judge(
        &self,
        store: &Store,
        rows: &Rows,
        compiled: &Compiled,
        build: &str,
    ) -> Result<Judged, StoreError> {
        let judged = self.would_judge(store, rows, compiled, build).await?;
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&judged);
        Ok(judged)
    }

    /// The same for rows that are not there yet: nothing is remembered of it.
    ///
    /// # Errors
    ///
    /// As [`Gate::judge`].
    pub(crate) async fn would_judge(
        &self,
        store: &Store,
        rows: &Rows,
        compiled: &Compiled,
        build: &str,
    ) -> Result<Judged, StoreError> {
        self.read_known(store).await?;
        let digests: HashMap<Uuid, Vec<u8>> = store.case_digests().await?.into_iter().collect();
        let (mut judged, mut due) = (HashMap::new(), Vec::new());
        for row in rows.profiles.iter().filter(|row| row.is_active) {
            let Some((id, digest)) = row.id.and_then(|id| Some((id, digests.get(&id)?))) else {
                continue;
            };
            let compiled = seen_by(row, compiled);
            let key = key(&compiled, digest, build);
            match self.known(id, &key) {
                Some(verdict) => drop(judged.insert(id, verdict)),
                None => due.push(Due {
                    id,
                    row,
                    key,
                    compiled,
                }),
            }
        }
        judged.extend(replayed(store, due).await?);
        Ok(judged)
    }

    /// Whether a case of the profile fails already.
    pub(crate) fn fails(&self, profile: Uuid) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&profile).is_some_and(is_against)
    }

    async fn read_known(&self, store: &Store) -> Result<(), StoreError> {
        let read = async {
            let verdicts = store.case_verdicts(language()).await?;
            self.known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(verdicts);
            Ok::<(), StoreError>(())
        };
        self.read.get_or_try_init(|| read).await?;
        Ok(())
    }

    fn known(&self, profile: Uuid, key: &[u8]) -> Option<CasesVerdict> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&profile).filter(|one| one.key == key).cloned()
    }
}

/// What is due, on a thread that may take its time: a case is a run without waiting, yet a run.
async fn replayed(
    store: &Store,
    due: Vec<Due<'_>>,
) -> Result<Vec<(Uuid, CasesVerdict)>, StoreError> {
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = due.iter().map(|one| one.id).collect();
    let mut cases: HashMap<Uuid, Vec<StoredCase>> = HashMap::new();
    for case in store.cases(&ids).await? {
        cases.entry(case.profile).or_default().push(case);
    }
    let work: Vec<_> = due
        .into_iter()
        .map(|one| {
            let cases = cases.remove(&one.id).unwrap_or_default();
            (
                one.id,
                one.key,
                one.row.profile_key.clone(),
                one.compiled,
                cases,
            )
        })
        .collect();
    let replay_all = move || {
        let judged = work.into_iter().map(|(id, key, profile, compiled, cases)| {
            let found = failing(&profile, &compiled, &cases);
            (id, CasesVerdict { key, found })
        });
        judged.collect()
    };
    let judged = tokio::task::spawn_blocking(replay_all).await;
    Ok(judged.unwrap_or_else(|error| ids.iter().map(|id| (*id, ended_early(&error))).collect()))
}

/// A panic of the replay would be ours; a row is not activated by it. No state has this key: it is tried again.
fn ended_early(error: &tokio::task::JoinError) -> CasesVerdict {
    let told = format!("its replay ended early: {error}");
    CasesVerdict {
        key: Vec::new(),
        found: json!([{ "case": "*", "differences": [told]}]),
    }
}

/// The failing cases, each with its first differences.
fn failing(profile: &str, compiled: &Compiled, cases: &[StoredCase]) -> Value {
    let failing = cases.iter().filter_map(|case| {
        let differences = differences(&case.name, &case.document, Some(profile), compiled);
        let kept: Vec<&String> = differences.iter().take(KEPT).collect();
        (!kept.is_empty()).then(|| json!({ "case": case.name, "differences": kept }))
    });
    failing.collect()
}

/// In what a case differs from what its rows do; a case that cannot be read differs in that.
pub(crate) fn differences(
    name: &str,
    document: &str,
    profile: Option<&str>,
    compiled: &Compiled,
) -> Vec<String> {
    match Case::parse(name, document) {
        Err(found) => found
            .iter()
            .map(|one| format!("{}: {}", one.place.pointer, one.message))
            .collect(),
        Ok(mut case) => {
            // Another row of the purpose may have become the latest meanwhile: it has cases of its own.
            if let Some(profile) = profile {
                case.input
                    .profile_key
                    .get_or_insert_with(|| profile.to_owned());
            }
            let report = replay(&case, compiled);
            report.differences.iter().map(ToString::to_string).collect()
        }
    }
}

/// The rows of the profile's provider as its tenant sees them, and as a bundle would hold them.
pub(crate) fn seen_by(row: &ProfileRow, compiled: &Compiled) -> Compiled {
    let sees = |tenant: Option<Uuid>| tenant.is_none() || tenant == row.tenant;
    let mut entries: Vec<&Entry> = compiled
        .revisions
        .iter()
        .filter(|entry| entry.key.provider == row.provider && sees(entry.key.tenant))
        .collect();
    let own: Vec<_> = entries
        .iter()
        .filter(|entry| entry.key.tenant.is_some())
        .map(|entry| (entry.key.profile_key.clone(), entry.key.model.clone()))
        .collect();
    entries.retain(|entry| {
        entry.key.tenant.is_some()
            || !own.contains(&(entry.key.profile_key.clone(), entry.key.model.clone()))
    });
    let entry = |entry: &Entry| {
        let mut entry = entry.clone();
        entry.key.tenant = None;
        entry
    };
    let rule = |rule: &RoutingRule| RoutingRule {
        tenant: None,
        ..rule.clone()
    };
    Compiled {
        revisions: entries.into_iter().map(entry).collect(),
        rules: compiled
            .rules
            .iter()
            .filter(|rule| sees(rule.tenant))
            .map(rule)
            .collect(),
        diagnostics: Diagnostics::new(),
    }
}

/// All that a replay depends on.
fn key(compiled: &Compiled, cases: &[u8], build: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut put = |part: &[u8]| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    put(build.as_bytes());
    put(cases);
    let mut entries: Vec<&Entry> = compiled.revisions.iter().collect();
    entries.sort_by_key(|entry| (&entry.key.profile_key, &entry.key.model));
    for entry in entries {
        let revision = entry.revision.as_ref();
        put(format!("{:?} {}", entry.key, entry.is_default).as_bytes());
        put(&revision.map_or_else(|_| Vec::new(), |revision| revision.id.0.to_vec()));
    }
    for rule in compiled.rules.iter() {
        put(format!("{rule:?}").as_bytes());
    }
    hash.finalize().to_vec()
}

/// Takes from service what a failing case speaks against.
pub(crate) fn refuse(rows: &Rows, compiled: &mut Compiled, judged: &Judged) {
    for row in &rows.profiles {
        let verdict = row.id.and_then(|id| judged.get(&id));
        let found = verdict.map(|verdict| told(row, &verdict.found));
        let Some(found) = found.filter(Diagnostics::has_errors) else {
            continue;
        };
        let refused = compiled.revisions.iter().enumerate();
        let refused = refused.filter(|(_, entry)| is_of(row, entry) && entry.revision.is_ok());
        let refused: Vec<usize> = refused.map(|(at, _)| at).collect();
        for at in refused {
            compiled.revisions.put(at, Err(found.clone()));
        }
    }
}

/// Whether a case fails.
pub(crate) fn is_against(verdict: &CasesVerdict) -> bool {
    verdict
        .found
        .as_array()
        .is_some_and(|found| !found.is_empty())
}

pub(crate) fn told(row: &ProfileRow, found: &Value) -> Diagnostics {
    let cases = found.as_array().into_iter().flatten();
    let one = |case: &Value| {
        let name = case.pointer("/case").and_then(Value::as_str);
        let texts = case.pointer("/differences").and_then(Value::as_array);
        let texts: Vec<String> = texts
            .into_iter()
            .flatten()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect();
        let place = Place {
            pointer: format!("/cases/{}", name.unwrap_or_default()),
            ..rows::profile_place(row)
        };
        failed(place, name.unwrap_or_default(), &texts)
    };
    Diagnostics(cases.map(one).collect())
}

/// A case speaks against the rows: its first differences, and how many there are.
pub(crate) fn failed(place: Place, case: &str, differences: &[String]) -> Diagnostic {
    let told: Vec<&str> = differences.iter().take(TOLD).map(String::as_str).collect();
    let more = match differences.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Diagnostic::error(
        Code::P803,
        place,
        format!(
            "the recorded case `{case}` fails: {}{more}",
            told.join("; ")
        ),
        "mend the row, or, where the provider has changed, record the case again; `modelrow profile test` shows every difference",
    )
}
