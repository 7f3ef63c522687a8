//! What answers had and the profiles did not know, and what to write where.

use crate::Modelrow;
use crate::catalogue::is_of;
use crate::drift::{bytes_members, lists_error, lists_status};
use crate::error::RunError;
use profile::case::Case;
use profile::catalogue::Entry;
use profile::revision::Revision;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use store::drift::DriftRow;
use time::OffsetDateTime;
use uuid::Uuid;

/// The drift of one profile that serves.
#[derive(Debug, Clone, Serialize)]
pub struct ProfileDrift {
    /// `ai_providers.slug`
    pub provider: String,
    /// `model_api_profiles.profile_key`
    pub profile_key: String,
    /// The model's id; absent: it serves none.
    pub model: Option<String>,
    /// In the order of kind, step and word.
    pub findings: Vec<DriftFinding>,
}

/// Something that answers had and the profile does not know.
#[derive(Debug, Clone, Serialize)]
pub struct DriftFinding {
    /// `status`, `error` or `member`.
    pub kind: String,
    /// Whose answer it was; `submit` for the transport's own.
    pub step: String,
    /// The word, or the member's place.
    pub word: String,
    /// In how many runs, about: counts are no ledger.
    pub seen: i64,
    /// By the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub first_seen: OffsetDateTime,
    /// By the database's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen: OffsetDateTime,
    /// The latest of those runs.
    pub run_id: Uuid,
    /// What to write where.
    pub help: String,
}

type ProfileName = (String, String, Option<String>);

impl Modelrow {
    /// What answers had and the profiles that serve now do not know. Members are compared with the recorded cases of a
    /// profile; of one without stored cases nothing is said about members.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn drift(&self) -> Result<Vec<ProfileDrift>, RunError> {
        let core = self.core();
        let rows = core.store.drift().await?;
        let now = core.catalogue.now();
        let mut revisions: HashMap<Vec<u8>, Option<ProfileName>> = HashMap::new();
        let mut all: Vec<ProfileDrift> = Vec::new();
        let mut known: HashMap<ProfileName, BTreeSet<String>> = HashMap::new();
        for row in rows {
            if !revisions.contains_key(&row.revision_id) {
                // One that this build cannot read is another build's to tell.
                let read = core.catalogue.revision(&core.store, &row.revision_id).await;
                let name = read.ok().map(|revision| name_of(&revision));
                revisions.insert(row.revision_id.clone(), name);
            }
            let Some(Some(name)) = revisions.get(&row.revision_id) else {
                continue;
            };
            let entry = now
                .compiled
                .revisions
                .iter()
                .find(|entry| is_named(entry, name));
            let Some((entry, Ok(revision))) = entry.map(|entry| (entry, &entry.revision)) else {
                continue;
            };
            if row.kind == "member" && !known.contains_key(name) {
                let ids = now.rows.profiles.iter().filter(|row| is_of(row, entry));
                let ids: Vec<Uuid> = ids.filter_map(|row| row.id).collect();
                let cases = core.store.cases(&ids).await?;
                let members = cases.iter().flat_map(|case| members_of(&case.document));
                known.insert(name.clone(), members.collect());
            }
            if is_known(&row, revision, known.get(name)) {
                continue;
            }
            add(&mut all, name, finding(row));
        }
        Ok(all)
    }
}

fn name_of(revision: &Arc<Revision>) -> ProfileName {
    (
        revision.provider.clone(),
        revision.profile_key.clone(),
        revision.model.clone(),
    )
}

fn is_named(entry: &Entry, (provider, profile_key, model): &ProfileName) -> bool {
    entry.key.provider == *provider
        && entry.key.profile_key == *profile_key
        && entry.key.model == *model
}

/// The members of all answers of a case.
fn members_of(document: &str) -> BTreeSet<String> {
    let Ok(case) = Case::parse("case", document) else {
        return BTreeSet::new();
    };
    let answers = case.exchanges.iter().filter_map(|one| one.answer.as_ref());
    answers
        .flat_map(|answer| bytes_members(&answer.body))
        .collect()
}

fn is_known(row: &DriftRow, revision: &Revision, members: Option<&BTreeSet<String>>) -> bool {
    match row.kind.as_str() {
        "status" => lists_status(revision, &row.word),
        "error" => lists_error(revision, &row.word),
        _ => members.is_none_or(|known| known.is_empty() || known.contains(&row.word)),
    }
}

fn add(all: &mut Vec<ProfileDrift>, name: &ProfileName, finding: DriftFinding) {
    let (provider, profile_key, model) = name;
    let is_it = |one: &&mut ProfileDrift| {
        (&one.provider, &one.profile_key, &one.model) == (provider, profile_key, model)
    };
    match all.iter_mut().find(is_it) {
        // Several revisions of one profile may have met the same word.
        Some(profile) => match profile.findings.iter_mut().find(|one| {
            (&one.kind, &one.step, &one.word) == (&finding.kind, &finding.step, &finding.word)
        }) {
            Some(same) => {
                same.seen += finding.seen;
                same.first_seen = same.first_seen.min(finding.first_seen);
                if finding.last_seen > same.last_seen {
                    (same.last_seen, same.run_id) = (finding.last_seen, finding.run_id);
                }
            }
            None => profile.findings.push(finding),
        },
        None => all.push(ProfileDrift {
            provider: provider.clone(),
            profile_key: profile_key.clone(),
            model: model.clone(),
            findings: vec![finding],
        }),
    }
}

fn finding(row: DriftRow) -> DriftFinding {
    let (word, step) = (&row.word, &row.step);
    let help = match row.kind.as_str() {
        "status" => format!(
            "add `{word}` to one of the lists in `states` of the step `{step}` (queued, running, succeeded, failed, …); until then the job is pending"
        ),
        "error" => format!(
            "add `{word}` to a class of `errors` (conventions or response_mapping): moderated, billing, rate_limited, …; until then the HTTP status alone classes it"
        ),
        _ => format!(
            "no recorded case has `{word}` in an answer of `{step}`: look at it, read it where it matters, and record a case that has it"
        ),
    };
    DriftFinding {
        kind: row.kind,
        step: row.step,
        word: row.word,
        seen: row.seen,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        run_id: row.run_id,
        help,
    }
}
