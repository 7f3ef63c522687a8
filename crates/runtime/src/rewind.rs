//! After the database went back in time: what memory holds of runs is written again, whoever saw the change first. A run
//! that the restored database lacks is noted with its job, for an operator.
//!
//! What a run holds is more than its row when the row's `ver` is below the memory's, for that never goes down.

use crate::core::Core;
use crate::facts::written;
#[cfg(feature = "faults")]
use crate::faults::{Broken, broken};
use crate::live::{Followed, Waiting};
use engine::flow::job_times;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use store::claim::Intent;
use store::facts::{Acceptance, Accepted, Answered, Unknown};
use store::rewind::{Known, Remembered, Standing};
use store::{State, StoreError};
use uuid::Uuid;

/// Runs compared in one query, and written at a time.
const COMPARED: usize = 500;
const WRITTEN: usize = 8;

/// Writes an acceptance, with its attempt where the database has lost that.
pub(crate) async fn accepted<F>(
    core: &Core,
    of: &Followed<F>,
    fact: &Accepted,
) -> Result<Acceptance, StoreError> {
    let came = core.store.fact_accepted(fact).await?;
    if came != Acceptance::Contradicts(None) {
        return Ok(came);
    }
    let memory = remembered(core, of, &fact.endpoint);
    let sent = (Some(fact.job.as_str()), fact.captured.as_ref());
    match attempted(core, &memory, fact.shard, sent).await? {
        Known::Stands | Known::Again => core.store.fact_accepted(fact).await,
        Known::Passed | Known::NoRun => Ok(came),
    }
}

/// Writes a synchronous answer, with its attempt where the database has lost that.
pub(crate) async fn answered<F>(
    core: &Core,
    of: &Followed<F>,
    fact: &Answered,
) -> Result<Option<i64>, StoreError> {
    let came = core.store.fact_answered(fact).await?;
    if came.is_some() {
        return Ok(came);
    }
    let memory = remembered(core, of, &fact.endpoint);
    let sent = (None, Some(&fact.captured));
    match attempted(core, &memory, fact.shard, sent).await? {
        Known::Again => core.store.fact_answered(fact).await,
        Known::Stands | Known::Passed | Known::NoRun => Ok(None),
    }
}

/// Writes that an exchange ended without a verdict, with its attempt where the database has lost that.
pub(crate) async fn unknown<F>(
    core: &Core,
    (of, endpoint): (&Followed<F>, &str),
    fact: &Unknown,
) -> Result<Option<i64>, StoreError> {
    let came = core.store.fact_unknown(fact).await?;
    if came.is_some() {
        return Ok(came);
    }
    let memory = remembered(core, of, endpoint);
    match attempted(core, &memory, fact.shard, (None, None)).await? {
        Known::Again => core.store.fact_unknown(fact).await,
        Known::Stands | Known::Passed | Known::NoRun => Ok(None),
    }
}

/// Attempts whose exchange is under way: their intents stand again before anything is known of them.
///
/// Cancel safety: each is written by itself, and its sender writes what came of it in any case.
pub(crate) async fn in_flight(core: Arc<Core>) {
    let attempts: Vec<Remembered> = {
        let sending = core.sending.lock().unwrap_or_else(PoisonError::into_inner);
        sending.values().cloned().collect()
    };
    for memory in attempts {
        let run = memory.intent.run_id;
        match written(("attempt", run), || stands_again(&core, &memory)).await {
            Ok(Known::Again) => {
                tracing::warn!(run.id = %run, attempt = memory.intent.n, "an attempt under way was written again");
            }
            Ok(Known::Stands) => {}
            Ok(Known::Passed | Known::NoRun) => {
                tracing::error!(run.id = %run, attempt = memory.intent.n, "an attempt is under way for a run that the database does not have");
            }
            Err(error) => {
                tracing::error!(run.id = %run, %error, "an attempt cannot be written again");
            }
        }
    }
}

async fn stands_again(core: &Core, memory: &Remembered) -> Result<Known, StoreError> {
    let shard = core.shard_for(memory.intent.run_id).await?;
    core.store.attempt_again(memory, shard).await
}

/// Compares what memory holds with the rows, and writes again what they lack. Those whose rows lack nothing, or could not be
/// seen, are given back.
///
/// Cancel safety: each is written by itself; the process is dying.
pub(crate) async fn compared(core: &Core, waiting: Vec<Waiting>) -> Vec<Waiting> {
    #[cfg(feature = "faults")]
    if broken(Broken::MemoryNotWritten) {
        return waiting;
    }
    let mut stand = Vec::new();
    let mut waiting = waiting.into_iter();
    loop {
        let some: Vec<Waiting> = waiting.by_ref().take(COMPARED).collect();
        if some.is_empty() {
            return stand;
        }
        let runs: Vec<Uuid> = some.iter().map(|one| one.run).collect();
        let first = runs.first().copied().unwrap_or_default();
        let rows = match written(("standings", first), || core.store.standings(&runs)).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "what memory holds cannot be compared with the database");
                stand.extend(some);
                stand.extend(waiting);
                return stand;
            }
        };
        let rows: HashMap<Uuid, Standing> = rows.into_iter().map(|one| (one.run_id, one)).collect();
        let (lost, others): (Vec<Waiting>, Vec<Waiting>) = some.into_iter().partition(|one| {
            let job = job_of(&one.flow.captured());
            is_lost((one.ver, one.n, job.as_deref()), rows.get(&one.run))
        });
        stand.extend(others);
        let again = lost.into_iter().map(|one| again(core, one));
        let again = futures_util::stream::iter(again).buffer_unordered(WRITTEN);
        again.collect::<()>().await;
    }
}

/// Whether the row lacks what memory has: the version, the attempt, and the job.
fn is_lost((ver, n, job): (i64, i32, Option<&str>), row: Option<&Standing>) -> bool {
    let Some(row) = row else {
        return true;
    };
    let another = row.attempt == n
        && matches!((&row.provider_job_id, job), (Some(row), Some(job)) if row != job);
    row.ver < ver || row.attempt < n || another
}

fn job_of(captured: &Value) -> Option<String> {
    captured.get("job_id")?.as_str().map(str::to_owned)
}

/// One that waits: its attempt, and what it came to.
async fn again(core: &Core, waiting: Waiting) {
    let run = waiting.run;
    match told(core, &waiting).await {
        Ok(()) => {
            tracing::warn!(run.id = %run, attempt = waiting.n, state = waiting.state.as_str(), "what memory held of a run was written again");
            core.follow.look(vec![run]);
        }
        Err(error) => {
            tracing::error!(run.id = %run, %error, "what memory holds of a run cannot be written");
        }
    }
}

async fn told(core: &Core, waiting: &Waiting) -> Result<(), StoreError> {
    let captured = waiting.flow.captured();
    let shard = written(("shard", waiting.run), || core.shard_for(waiting.run)).await?;
    match (waiting.state, job_of(&captured)) {
        // Also where the acceptance could not be written.
        (_, Some(job)) => {
            let fact = acceptance(core, waiting, (job, shard), captured);
            written(("accepted", waiting.run), || follows(core, waiting, &fact)).await
        }
        (State::Validating | State::Fetching, None) => {
            let fact = Answered {
                run_id: waiting.run,
                n: waiting.n,
                shard,
                endpoint: waiting.common.host.to_string(),
                captured,
                http_status: None,
            };
            let ver = written(("answered", waiting.run), || answered(core, waiting, &fact));
            ver.await.map(drop)
        }
        (_, None) => {
            let memory = remembered(core, waiting, &waiting.common.host);
            let again = || attempted(core, &memory, shard, (None, None));
            written(("attempt", waiting.run), again).await.map(drop)
        }
    }
}

fn acceptance(
    core: &Core,
    waiting: &Waiting,
    (job, shard): (String, i16),
    captured: Value,
) -> Accepted {
    let life = i64::try_from(job_times(&waiting.common.revision).life_ms).unwrap_or(i64::MAX);
    let since = waiting.flow.accepted_at_ms();
    let since = since.unwrap_or_else(|| core.clock.now_ms());
    Accepted {
        run_id: waiting.run,
        n: waiting.n,
        job,
        shard,
        endpoint: waiting.common.host.to_string(),
        captured: Some(captured),
        deadline: waiting
            .deadline_ms
            .map(|until| core.clock.until(until.get())),
        give_up: core.clock.until(since.saturating_add(life)),
        http_status: None,
        // The weaker claim: a sender that saw the job itself may have it.
        adopted: true,
    }
}

async fn follows(core: &Core, waiting: &Waiting, fact: &Accepted) -> Result<(), StoreError> {
    if let Acceptance::Contradicts(Some(outcome)) = accepted(core, waiting, fact).await? {
        tracing::error!(run.id = %waiting.run, attempt = waiting.n, ?outcome, "the database has the attempt otherwise");
        let memory = remembered(core, waiting, &fact.endpoint);
        let captured = fact.captured.as_ref();
        orphaned(core, &memory, Some(&fact.job), captured).await?;
    }
    Ok(())
}

/// Writes an attempt again that the database has lost. Where no run there can have it, its job and what is known are noted.
async fn attempted(
    core: &Core,
    memory: &Remembered,
    shard: i16,
    (job, captured): (Option<&str>, Option<&Value>),
) -> Result<Known, StoreError> {
    let known = core.store.attempt_again(memory, shard).await?;
    if matches!(known, Known::Passed | Known::NoRun) {
        orphaned(core, memory, job, captured).await?;
    }
    Ok(known)
}

/// An operator sees it in the log, and with `modelrow runs orphans`.
async fn orphaned(
    core: &Core,
    of: &Remembered,
    job: Option<&str>,
    captured: Option<&Value>,
) -> Result<(), StoreError> {
    tracing::error!(run.id = %of.intent.run_id, attempt = of.intent.n, job, endpoint = of.intent.endpoint, "what was sent may be paid for, and no run of this database follows it: `modelrow runs orphans`");
    core.store.orphan_note(of, job, captured).await
}

/// The attempt as memory has it: whole while it is sent; what waits keeps neither the hash of its bytes nor what they drew.
fn remembered<F>(core: &Core, of: &Followed<F>, endpoint: &str) -> Remembered {
    let sending = core.sending.lock().unwrap_or_else(PoisonError::into_inner);
    let sent = sending
        .get(&of.run)
        .filter(|sent| sent.intent.n == of.n)
        .cloned();
    drop(sending);
    sent.unwrap_or_else(|| Remembered {
        intent: Intent {
            run_id: of.run,
            n: of.n,
            token: engine::flow::token(of.run, of.n),
            request_sha256: Vec::new(),
            endpoint: endpoint.to_owned(),
            drawn: json!({}),
        },
        tenant_id: of.common.tenant,
        credential_id: of.common.credential,
        revision_id: of.common.revision.id.0.to_vec(),
        ver: of.ver,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_lacks_what_memory_has_by_its_version_its_attempt_or_its_job() {
        let row = |ver, attempt, job: Option<&str>| Standing {
            run_id: Uuid::nil(),
            ver,
            attempt,
            provider_job_id: job.map(str::to_owned),
        };
        let cases = [
            ("as it is", Some(row(4, 1, Some("j"))), false),
            ("somebody went on", Some(row(6, 1, Some("j"))), false),
            ("its job was disowned", Some(row(5, 1, None)), false),
            ("a fallback went on", Some(row(9, 2, Some("k"))), false),
            ("before the acceptance", Some(row(2, 1, None)), true),
            ("released too soon", Some(row(7, 0, None)), true),
            ("and sent again", Some(row(7, 1, Some("k"))), true),
            ("no run", None, true),
        ];
        for (what, row, lost) in cases {
            assert_eq!(is_lost((4, 1, Some("j")), row.as_ref()), lost, "{what}");
        }
    }
}
