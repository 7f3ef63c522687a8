//! Drift: what answers had and the profile did not know. Noted in memory, written at most once a minute for each word.
//!
//! Words and names of members only: no value of an answer, and nothing of a call.

use crate::clock::boot_ms;
use engine::{Fault, Kind};
use profile::revision::{Action, Class, Match, Revision};
use serde_json::Value;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use store::drift::DriftNote;
use uuid::Uuid;

mod members;

pub(crate) use members::bytes_members;

/// Words remembered by one process; later ones are passed over.
const WORDS_MAX: usize = 2_000;
/// Longest word, in characters: what is longer is no word but a text.
const WORD_LEN: usize = 64;
/// Between two writes of one word.
const WRITE_EVERY_MS: i64 = 60_000;
/// Between two answers of one step whose members are looked at: the cost does not grow with the jobs.
const LOOK_EVERY_MS: i64 = 1_000;

/// Kind, step, and the word or member itself.
type Word<'a> = (&'static str, &'a str, &'a str);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    words: Mutex<HashMap<Key, Seen>>,
    /// When the answers of a revision's step were last looked at (boot clock).
    looks: Mutex<HashMap<[u8; 32], HashMap<String, i64>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    revision: Vec<u8>,
    kind: &'static str,
    step: String,
    word: String,
}

#[derive(Debug)]
struct Seen {
    /// Not written yet.
    runs: i64,
    run: Uuid,
    written_ms: Option<i64>,
}

impl Drift {
    /// A status word that the poll does not list.
    pub(crate) fn status(&self, revision: &Revision, word: &str, run: Uuid) {
        if is_word(word) {
            self.note(revision, ("status", &poll_step(revision), word), run);
        }
    }

    /// The code of a failure that no class lists.
    pub(crate) fn fault(&self, revision: &Revision, step: &str, fault: &Fault, run: Uuid) {
        if let Some(code) = unlisted(revision, fault) {
            self.note(revision, ("error", step, code), run);
        }
    }

    /// The members of an answer; not of every one.
    pub(crate) fn answer(&self, revision: &Revision, step: &str, body: &[u8], run: Uuid) {
        if !self.looks_now(revision, step) {
            return;
        }
        for member in bytes_members(body) {
            self.note(revision, ("member", step, &member), run);
        }
    }

    /// Asked for every answer: what is known already takes no memory.
    fn looks_now(&self, revision: &Revision, step: &str) -> bool {
        let now = boot_ms();
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = looks
            .get_mut(&revision.id.0)
            .and_then(|steps| steps.get_mut(step))
        {
            let due = now - *last >= LOOK_EVERY_MS;
            if due {
                *last = now;
            }
            return due;
        }
        let room = looks.values().map(HashMap::len).sum::<usize>() < WORDS_MAX;
        if room {
            let steps = looks.entry(revision.id.0).or_default();
            steps.insert(step.to_owned(), now);
        }
        room
    }

    fn note(&self, revision: &Revision, (kind, step, word): Word<'_>, run: Uuid) {
        let key = Key {
            revision: revision.id.0.to_vec(),
            kind,
            step: step.to_owned(),
            word: word.to_owned(),
        };
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let room = words.len() < WORDS_MAX;
        match words.entry(key) {
            Entry::Occupied(mut seen) => {
                let seen = seen.get_mut();
                seen.runs += i64::from(seen.run != run || seen.runs == 0);
                seen.run = run;
            }
            Entry::Vacant(first) if room => {
                first.insert(Seen {
                    runs: 1,
                    run,
                    written_ms: None,
                });
            }
            Entry::Vacant(_) => {}
        }
    }

    /// What is to be written now. It counts as written: counts are no ledger.
    pub(crate) fn due(&self) -> Vec<DriftNote> {
        let now = boot_ms();
        let is_due = |seen: &Seen| {
            seen.runs > 0 && seen.written_ms.is_none_or(|at| now - at >= WRITE_EVERY_MS)
        };
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let due = words.iter_mut().filter(|(_, seen)| is_due(seen));
        due.map(|(key, seen)| {
            seen.written_ms = Some(now);
            DriftNote {
                revision_id: key.revision.clone(),
                kind: key.kind.to_owned(),
                step: key.step.clone(),
                word: key.word.clone(),
                runs: std::mem::take(&mut seen.runs),
                run_id: seen.run,
            }
        })
        .collect()
    }
}

/// A word of a vocabulary, and no text that might quote a caller.
fn is_word(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.:/ ".contains(c);
    !text.is_empty()
        && text.len() <= WORD_LEN
        && text.chars().all(fits)
        && text.split(' ').count() <= 4
}

/// The polls, by name.
fn poll_step(revision: &Revision) -> String {
    let steps = revision.workflow.steps.iter();
    let polls = steps.filter(|step| matches!(step.action, Action::Poll(_)));
    polls
        .map(|step| step.name.as_str())
        .collect::<Vec<_>>()
        .join(",")
}

/// The code of a failure that its HTTP status alone has classed, where a class could have listed it.
fn unlisted<'f>(revision: &Revision, fault: &'f Fault) -> Option<&'f str> {
    let code = fault
        .provider_code
        .as_deref()
        .filter(|code| is_word(code))?;
    let by_status = matches!(
        (fault.kind, fault.http_status),
        (
            Kind::Class(Class::ProviderError | Class::InvalidRequest | Class::UnknownOutcome),
            _
        )
    );
    // A code that only repeats the HTTP status says nothing.
    let repeats = fault
        .http_status
        .is_some_and(|status| code == status.to_string());
    (by_status && !repeats && !lists_error(revision, code)).then_some(code)
}

/// Whether a class of the table lists this code.
pub(crate) fn lists_error(revision: &Revision, code: &str) -> bool {
    let mut all = revision
        .errors
        .classes
        .iter()
        .flat_map(|(_, matches)| matches);
    all.any(|one| matches_word(one, code))
        || revision
            .errors
            .ok
            .iter()
            .flatten()
            .any(|one| matches_word(one, code))
}

/// Whether a poll lists this status word.
pub(crate) fn lists_status(revision: &Revision, word: &str) -> bool {
    revision
        .workflow
        .steps
        .iter()
        .any(|step| match &step.action {
            Action::Poll(poll) => {
                let mut all = poll.states.iter().flat_map(|(_, matches)| matches);
                all.any(|one| matches_word(one, word))
            }
            Action::Request | Action::Download(_) => false,
        })
}

fn matches_word(one: &Match, word: &str) -> bool {
    match one {
        Match::Value(Value::String(text)) => text.eq_ignore_ascii_case(word),
        Match::Value(other) => {
            let text = other.to_string();
            text == word
        }
        Match::Condition(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn only_words_are_kept_and_never_a_text() {
        let long = "a".repeat(65);
        let cases = [
            ("musing", true), ("IN_PROGRESS", true), ("still at it", true), ("E-42.7", true),
            ("", false), (long.as_str(), false), ("a cat that plays the piano", false), ("say \"hi\"", false), ("катя", false),
        ];
        for (text, want) in cases {
            assert_eq!(is_word(text), want, "{text}");
        }
    }

    #[test]
    fn a_word_is_written_once_and_then_waits_however_often_it_is_seen() {
        let compiled = profile::bundle::check(
            "b",
            r#"{"language": 1, "provider": {"slug": "acme", "api_base_url": "https://api.acme.ai"},
                "models": [{"model_id": "a", "model_type": "chat", "is_default": true, "capabilities": {}}],
                "profiles": [{"profile_key": "p", "purpose": "chat", "transport": {"path": "/c", "body": {"q": "{{userPrompt}}"}},
                              "response_mapping": {"extract": {"text_path": "a"}}}]}"#,
        )
        .1;
        let revision = compiled.revisions[0].revision.clone().unwrap();
        let drift = Drift::default();
        for n in 1..=3 {
            drift.status(&revision, "musing", Uuid::from_u128(n));
        }
        let due = drift.due();
        assert_eq!(
            (due.len(), due[0].runs, due[0].run_id),
            (1, 3, Uuid::from_u128(3))
        );
        drift.status(&revision, "musing", Uuid::from_u128(4));
        assert_eq!(drift.due(), [], "within the minute nothing is written");
        for n in 0..WORDS_MAX + 10 {
            drift.status(&revision, &format!("w{n}"), Uuid::nil());
        }
        assert_eq!(drift.due().len(), WORDS_MAX - 1, "memory is bounded");
        drift.answer(&revision, "submit", br#"{"a": {"b": 1}}"#, Uuid::nil());
    }
}
