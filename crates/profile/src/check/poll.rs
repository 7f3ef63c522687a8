//! The members of a poll: its times, and what its states mean (section 6).

use super::batch::batch;
use super::bounds;
use super::context::Context;
use super::errors::{duration, matches};
use super::reach::Lists;
use super::walk::{Fields, Sink, nearest};
use crate::lang::Path;
use crate::revision::{JobState, Match, Poll, Select};
use diag::{Code, Diagnostic, Place};
use serde_json::Value;

/// The states in the order of judgement.
pub(crate) const STATES: &[(&str, JobState)] = &[
    ("moderated", JobState::Moderated),
    ("expired", JobState::Expired),
    ("canceled", JobState::Canceled),
    ("failed", JobState::Failed),
    ("succeeded", JobState::Succeeded),
    ("running", JobState::Running),
    ("queued", JobState::Queued),
];

/// The common vocabulary of `terminal_states`.
const VOCABULARY: &[(JobState, &[&str])] = &[
    (
        JobState::Moderated,
        &["moderated", "banned", "nsfw", "blocked"],
    ),
    (JobState::Expired, &["expired", "deleted"]),
    (JobState::Canceled, &["canceled", "cancelled", "aborted"]),
    (
        JobState::Failed,
        &[
            "failed",
            "failure",
            "fail",
            "error",
            "errored",
            "rejected",
            "timeout",
            "timed_out",
        ],
    ),
    (
        JobState::Succeeded,
        &[
            "completed",
            "complete",
            "succeeded",
            "succeed",
            "success",
            "successful",
            "done",
            "finished",
            "ready",
            "ok",
        ],
    ),
];

/// What the step itself says about its waits, under which conventions were merged.
#[derive(Debug)]
pub(crate) struct Own {
    /// Where the step writes `max_attempts`.
    pub(crate) max_attempts: Option<Place>,
}

/// What no answer can reach of the states that one row writes. Conventions give
/// the path where the row does not.
pub(crate) fn reach(own: &Value, under: Option<&Value>, at: &Place, sink: &Sink) {
    let usual = Value::from("status");
    let path = own
        .get("status_path")
        .or_else(|| under.and_then(|under| under.get("status_path")))
        .unwrap_or(&usual);
    let lists = Lists {
        names: STATES.iter().map(|(name, _)| *name).collect(),
        path: Some(path),
    };
    if let Some(states) = own.get("states") {
        lists.check(states, &at.child("states"), sink);
    }
    let words = Lists {
        names: vec!["terminal_states"],
        path: None,
    };
    words.check(own, at, sink);
}

/// Reads the members of a merged poll.
pub(crate) fn poll(fields: &Fields<'_>, own: &Own, cx: &Context<'_>) -> Option<Poll> {
    let status = match fields.raw("status_path") {
        Some(source) => cx.answer_path(Some(source), &fields.place("status_path")),
        None => Path::fixed(&["status"]),
    };
    let times = times(fields, own, cx);
    let states = states(fields, cx);
    let select = select(fields, cx);
    let batch = batch(fields, cx);
    let path = |name| cx.answer_path(fields.raw(name), &fields.place(name));
    Some(Poll {
        drift: fields.raw("states").is_some(),
        poll_after: duration(fields, "poll_after_path", cx),
        progress: path("progress_path"),
        progress_max: bounds::PROGRESS_MAX.read(fields, cx.sink),
        not_found_grace_ms: bounds::NOT_FOUND_GRACE.read(fields, cx.sink),
        select,
        batch,
        states,
        status: status?,
        ..times?
    })
}

/// The waits. The other members are filled in by [`poll`].
fn times(fields: &Fields<'_>, own: &Own, cx: &Context<'_>) -> Option<Poll> {
    let sink = cx.sink;
    let interval_ms = bounds::INTERVAL.read(fields, sink);
    let initial = bounds::INITIAL_DELAY.given(fields, sink);
    let initial_delay_ms = initial.unwrap_or(interval_ms);
    let multiplier = bounds::MULTIPLIER.read(fields, sink);
    let longest = bounds::MAX_INTERVAL.read(fields, sink);
    let max_interval_ms = longest.max(interval_ms);
    let attempts = bounds::MAX_ATTEMPTS.given(fields, sink);
    let deadline = bounds::DEADLINE.given(fields, sink);
    let waits = attempts.map(|n| {
        sum_of_waits(
            n,
            initial_delay_ms,
            interval_ms,
            multiplier,
            max_interval_ms,
        )
    });
    let deadline_ms = deadline.or(waits).unwrap_or(HOUR_MS);
    if let (Some(at), Some(deadline), Some(waits)) = (&own.max_attempts, deadline, waits) {
        overridden(waits, deadline, at, cx);
    }
    let life = bounds::MAX_JOB_LIFE.given(fields, sink);
    let max_job_life_ms = life.unwrap_or(24 * HOUR_MS).max(match life {
        Some(_) => 0,
        None => deadline_ms,
    });
    order(fields, initial_delay_ms, deadline_ms, max_job_life_ms, cx);
    Some(Poll {
        interval_ms,
        initial_delay_ms,
        multiplier,
        max_interval_ms,
        jitter: bounds::JITTER.read(fields, sink),
        deadline_ms,
        max_job_life_ms,
        not_found_grace_ms: 0,
        select: None,
        batch: None,
        status: Path::fixed(&["status"])?,
        states: Vec::new(),
        drift: false,
        poll_after: None,
        progress: None,
        progress_max: 100.0,
    })
}

const HOUR_MS: u64 = 3_600_000;

/// What `attempts` waits take together, in milliseconds.
fn sum_of_waits(attempts: u64, initial: u64, interval: u64, factor: f64, longest: u64) -> u64 {
    let mut sum = initial;
    let mut wait = interval;
    for done in 1..attempts {
        if wait >= longest || factor <= 1.0 {
            return sum.saturating_add(wait.min(longest).saturating_mul(attempts - done));
        }
        sum = sum.saturating_add(wait);
        wait = scaled(wait, factor).min(longest);
    }
    sum
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a wait is at most an hour, the factor at most 10"
)]
fn scaled(wait: u64, factor: f64) -> u64 {
    (wait as f64 * factor) as u64
}

/// Time ends polling, not a count: a row that waits 180 s for jobs of 15
/// minutes is repaired by the deadline beside it, or of the conventions, and told.
fn overridden(waits: u64, deadline: u64, at: &Place, cx: &Context<'_>) {
    if waits >= deadline {
        return;
    }
    cx.sink.warn(
        Code::P605,
        at,
        format!(
            "the poll's own waits end after {} s, but `deadline_ms` gives {} s, which count",
            waits / 1000,
            deadline / 1000
        ),
        "leave `max_attempts` out; `deadline_ms`, here or in the conventions, decides",
    );
}

fn order(fields: &Fields<'_>, initial: u64, deadline: u64, life: u64, cx: &Context<'_>) {
    let wrong = if deadline < initial {
        Some(("the deadline", deadline, "the first wait", initial))
    } else if life < deadline {
        Some(("`max_job_life_ms`", life, "the deadline", deadline))
    } else {
        None
    };
    if let Some((short, short_ms, long, long_ms)) = wrong {
        cx.sink.error(
            Code::P607,
            fields.at(),
            format!("{short} ({short_ms} ms) is shorter than {long} ({long_ms} ms)"),
            format!("make {short} at least as long as {long}"),
        );
    }
}

/// `select`: `{"in": P, "where": C}`.
pub(crate) fn select(fields: &Fields<'_>, cx: &Context<'_>) -> Option<Select> {
    let inner = fields.fields("select")?;
    if inner.raw("in").is_none() {
        inner.missing("in");
    }
    let list = cx.answer_path(inner.raw("in"), &inner.place("in"));
    let filter = inner
        .raw("where")
        .and_then(|source| cx.answer_condition(source, &inner.place("where")));
    inner.finish();
    Some(Select {
        list: list?,
        filter,
    })
}

type States = Vec<(JobState, Vec<Match>)>;

fn states(fields: &Fields<'_>, cx: &Context<'_>) -> States {
    let terminal = fields.raw("terminal_states");
    if fields.raw("states").is_none() {
        if terminal.is_none() {
            cx.sink.error(
                Code::P601,
                fields.at(),
                "the poll does not know how a job ends",
                "add `states` or `terminal_states`, with at least one success",
            );
            return Vec::new();
        }
        return from_vocabulary(fields, cx);
    }
    if terminal.is_some() {
        cx.sink.error(
            Code::P113,
            &fields.place("terminal_states"),
            "`states` and `terminal_states` are both there",
            "keep `states`, which says what each word means",
        );
    }
    let Some(inner) = fields.fields("states") else {
        return Vec::new();
    };
    let all: States = STATES
        .iter()
        .filter_map(|(name, state)| Some((*state, matches(&inner, name, cx)?)))
        .collect();
    inner.finish();
    let succeeds =
        |(state, list): &(JobState, Vec<Match>)| *state == JobState::Succeeded && !list.is_empty();
    if !all.iter().any(succeeds) {
        no_success(&fields.place("states"), cx);
    }
    all
}

fn from_vocabulary(fields: &Fields<'_>, cx: &Context<'_>) -> States {
    let at = fields.place("terminal_states");
    let Some(words) = fields.texts("terminal_states") else {
        return Vec::new();
    };
    let mut all: States = VOCABULARY
        .iter()
        .map(|(state, _)| (*state, Vec::new()))
        .collect();
    let mut unknown = false;
    for (i, word) in words.iter().enumerate() {
        let lower = word.to_lowercase();
        let place = VOCABULARY
            .iter()
            .position(|(_, list)| list.contains(&lower.as_str()));
        match place.and_then(|place| all.get_mut(place)) {
            Some((_, list)) => list.push(Match::Value(Value::from(*word))),
            None => {
                unknown = true;
                cx.sink.push(unknown_word(word, &at.child(i)));
            }
        }
    }
    all.retain(|(_, list)| !list.is_empty());
    if !unknown && !all.iter().any(|(state, _)| *state == JobState::Succeeded) {
        no_success(&at, cx);
    }
    all
}

fn unknown_word(word: &str, at: &Place) -> Diagnostic {
    let words = VOCABULARY.iter().flat_map(|(_, list)| list.iter().copied());
    let near =
        nearest(word, words).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    Diagnostic::error(
        Code::P602,
        at.clone(),
        format!("nobody knows whether `{word}` is a success or a failure"),
        format!("{near}use `states`, which says what each word means"),
    )
}

fn no_success(at: &Place, cx: &Context<'_>) {
    cx.sink.error(
        Code::P601,
        at,
        "nothing here can be a success: every run would poll until its deadline",
        "use `states`, with at least one value under `succeeded`",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn the_sum_of_waits_counts_the_first_wait_and_grows_to_the_longest() {
        let cases = [
            (90, 2_000, 2_000, 1.0, 60_000, 180_000),
            (1,  5_000, 2_000, 1.0, 60_000, 5_000),
            (4,  0,     1_000, 2.0, 3_000,  6_000),
            (3,  1_000, 5_000, 1.0, 5_000,  11_000),
        ];
        for (n, initial, interval, factor, longest, want) in cases {
            assert_eq!(sum_of_waits(n, initial, interval, factor, longest), want, "{n} waits");
        }
    }
}
