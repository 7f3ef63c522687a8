//! Drives a followed run from one wait to the next: exchanges, files, its end.
//! Written is only what changed; a decision that finds itself stale lets go.

use crate::callbacks;
use crate::core::Core;
use crate::fallback;
use crate::faults::At as _;
use crate::fetch;
use crate::lease::millis;
use crate::live::Live;
use crate::objects::ObjectsError;
use crate::quota::urgency_of;
use crate::read::{OUTPUT, OUTPUT_OBJECT, WARNINGS};
use crate::sender::Written;
use crate::{setting, tokens};
use engine::flow::{Pending, Phase};
use engine::http::Outcome;
use engine::{Action, Ending, Event, Fault, Kind, Verdict};
use serde_json::{Value, json};
use settle::{absent, answer_left_behind, candidates, replay, unsettled};
use std::sync::Arc;
use std::time::Duration;
use store::decisions::{Ended, JobFailed};
use store::limits::Urgency;
use store::{State, StoreError};
use uuid::Uuid;

mod settle;

/// The largest output that is kept in the run's row, in bytes of text.
const OUTPUT_MAX: usize = 24 * 1024;
/// A credential that was refused is asked again after so long.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// A replay that an operator forbids is asked about again after so long.
const BRAKED_MS: i64 = 2_000;
/// Progress of a run is written down at most so often.
const PROGRESS_EVERY_MS: i64 = 30_000;
/// What cannot be read now is read again after so long.
const UNREADY_MS: i64 = 5_000;

/// What becomes of a driven run.
#[derive(Debug)]
pub(crate) enum Driven {
    /// Nothing before then, milliseconds since 1970.
    Wait(Box<Live>, i64),
    /// It ended, or went back to the queue.
    Gone,
    /// What we know of it is stale: to be read again.
    Stale,
}

/// Goes on, or not.
enum Step {
    Go,
    Leave(Driven),
}

/// Drives until there is nothing to do.
///
/// Cancel safety: dropped, the process is dying; what was written stands, and the next owner repeats what was not.
pub(crate) async fn drive(core: &Core, mut live: Box<Live>) -> Driven {
    match steps(core, &mut live).await {
        Ok(Step::Leave(driven)) => driven,
        Ok(Step::Go) => Driven::Stale,
        Err(Trouble::Wait(until_ms)) => Driven::Wait(live, until_ms),
        Err(Trouble::Store(error)) => {
            tracing::warn!(run.id = %live.run, %error, "following waits for the database");
            Driven::Stale
        }
    }
}

enum Trouble {
    Wait(i64),
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What came while it waited.
async fn meanwhile(core: &Core, live: &mut Live) -> Result<Step, Trouble> {
    if let Some(verdict) = live.verdict.take()
        && let Step::Leave(driven) = heed(core, live, *verdict).await?
    {
        return Ok(Step::Leave(driven));
    }
    if live.cancel {
        let verdict = live
            .flow
            .on(Event::CancelAsked, core.clock.now_ms(), rand::random());
        if let Step::Leave(driven) = heed(core, live, verdict).await? {
            return Ok(Step::Leave(driven));
        }
    }
    if let Step::Leave(driven) = answer_left_behind(core, live).await? {
        return Ok(Step::Leave(driven));
    }
    callbacks::heed(core, live).at("drive.callbacks").await?;
    Ok(Step::Go)
}

async fn steps(core: &Core, live: &mut Live) -> Result<Step, Trouble> {
    if let Step::Leave(driven) = meanwhile(core, live).await? {
        return Ok(Step::Leave(driven));
    }
    let mut due_ms = live.flow.due_ms();
    let mut renewed = false;
    while !core.tasks.stop.is_cancelled() {
        tell_overdue(core, live).await?;
        if live.flow.lacks_call() {
            recall(core, live).await?;
        }
        let drawn = core.drawn();
        let verdict = match live.flow.next(drawn.unix_ms, drawn) {
            Action::Wait { until_ms, .. } => {
                let now = core.clock.now_ms();
                return Err(Trouble::Wait(live.next_look(now, until_ms)));
            }
            Action::Exchange { phase, request } => {
                if request.trusted {
                    its_turn(core, live, urgency_of(phase)).await?;
                }
                if let (Phase::Poll, Some(due)) = (phase, due_ms.take()) {
                    core.polled(due);
                }
                let outcome = tokens::sent(core, &mut live.flow, &request, &mut renewed)
                    .at("drive.exchange")
                    .await;
                let Some(outcome) = outcome else { continue };
                if let (Phase::Poll, Outcome::Answered(received)) = (phase, &outcome) {
                    core.drift
                        .answer(&live.revision, &request.step, &received.body, live.run);
                }
                live.flow
                    .on(outcome.into(), core.clock.now_ms(), rand::random())
            }
            Action::Token { auth } => supplied(core, live, auth.as_deref()).await,
            Action::Fetch { files, .. } => {
                let proof = tokens::proof_of(&files);
                let Some(event) = fetch::all(core, live, files).await? else {
                    return Ok(Step::Leave(Driven::Stale));
                };
                let came = (proof.as_ref(), &event);
                if tokens::files_refused(core, &mut live.flow, came, &mut renewed)
                    .at("drive.files_refused")
                    .await
                {
                    continue;
                }
                live.flow.on(event, core.clock.now_ms(), rand::random())
            }
            Action::Replay => {
                its_turn(core, live, Urgency::Follow).await?;
                match replay(core, live).await? {
                    Some(verdict) => verdict,
                    None if core
                        .store
                        .run_is_braked(live.run)
                        .at("drive.run_is_braked")
                        .await? =>
                    {
                        let again = core.clock.now_ms().saturating_add(BRAKED_MS);
                        return Err(Trouble::Wait(again));
                    }
                    None => return Ok(Step::Leave(Driven::Stale)),
                }
            }
            Action::Ended(ending) => return ended(core, live, ending).await,
            // Proved absent: whoever claims it sends it.
            Action::Submit(_) => return Ok(Step::Leave(Driven::Gone)),
        };
        if let Step::Leave(driven) = heed(core, live, verdict).await? {
            return Ok(Step::Leave(driven));
        }
    }
    Ok(Step::Leave(Driven::Gone))
}

async fn supplied(core: &Core, live: &mut Live, auth: Option<&str>) -> Verdict {
    tokens::supplied(core, &mut live.flow, auth)
        .at("drive.token")
        .await
}

/// A request of the credential's limits; else the run waits for one, and nobody waits for the run.
async fn its_turn(core: &Core, live: &Live, urgency: Urgency) -> Result<(), Trouble> {
    let taken = core
        .quotas
        .take(core, live.asker(), urgency)
        .at("drive.take")
        .await;
    taken.map_err(|wait| Trouble::Wait(core.clock.now_ms().saturating_add(millis(wait))))
}

/// Reads again what the caller gave: a waiting run does not keep it, and what comes now may read it.
async fn recall(core: &Core, live: &mut Live) -> Result<(), Trouble> {
    let asked = core.store.asked(live.run).at("drive.asked").await?;
    let read = match asked {
        Some((tenant, request)) => {
            setting::asked(core, (tenant, live.run), &request, &live.revision.id.0)
                .at("drive.inputs")
                .await
        }
        None => return Ok(()),
    };
    match read {
        Ok((checked, media)) => {
            live.flow.give_call(Arc::new(checked), Arc::new(media));
            Ok(())
        }
        Err(why) => {
            tracing::error!(run.id = %live.run, %why, "what the caller gave cannot be read; the run waits");
            Err(Trouble::Wait(
                core.clock.now_ms().saturating_add(UNREADY_MS),
            ))
        }
    }
}

/// Tells the caller, once, that the job is late. It is followed on.
async fn tell_overdue(core: &Core, live: &mut Live) -> Result<(), StoreError> {
    // Of several polls each has a deadline of its own.
    live.deadline_ms = live.flow.overdue_at_ms().or(live.deadline_ms);
    let late = live
        .deadline_ms
        .is_some_and(|deadline| deadline <= core.clock.now_ms());
    if live.overdue || !late || live.state != State::Polling {
        return Ok(());
    }
    if core
        .store
        .mark_overdue(live.run)
        .at("drive.mark_overdue")
        .await?
    {
        live.overdue = true;
        tracing::info!(run.id = %live.run, "overdue, and followed on");
        core.watches
            .tell(live.run, |progress| progress.overdue = true);
    }
    Ok(())
}

/// Writes what an answer came to.
async fn heed(core: &Core, live: &mut Live, verdict: Verdict) -> Result<Step, Trouble> {
    match verdict {
        Verdict::Continue | Verdict::NotSettled => Ok(Step::Go),
        Verdict::Pending(pending) => {
            told(core, live, &pending);
            Ok(Step::Go)
        }
        Verdict::JobDone => {
            live.done = true;
            core.watches
                .tell(live.run, |progress| progress.percent = Some(100));
            Ok(Step::Go)
        }
        Verdict::CredentialRefused(fault) => {
            core.store
                .credential_pause(live.credential, REFUSED_PAUSE, fault.class_word())
                .at("drive.credential_pause")
                .await?;
            tracing::error!(run.id = %live.run, credential = %live.credential, class = fault.class_word(), "the credential is refused; its submits are paused");
            Ok(Step::Go)
        }
        Verdict::AskAgain => ask_again(core, live).await,
        Verdict::Candidates(ids) => candidates(core, live, ids).await,
        Verdict::Accepted(job) => {
            let origin = endpoint(core, live).await?;
            let written = Written {
                core,
                endpoint: &origin,
                http_status: None,
                unwanted: false,
            };
            let follows = written.accepted(live, &job).at("drive.accepted").await?;
            Ok(if follows {
                // A callback may have named it, or come before we knew it.
                callbacks::early(core, live).at("drive.early").await;
                Step::Go
            } else {
                Step::Leave(Driven::Stale)
            })
        }
        Verdict::Answered => {
            let origin = endpoint(core, live).await?;
            let follows = Written {
                core,
                endpoint: &origin,
                http_status: None,
                unwanted: false,
            }
            .answered(live)
            .at("drive.answered")
            .await?;
            Ok(if follows {
                Step::Go
            } else {
                Step::Leave(Driven::Stale)
            })
        }
        Verdict::Absent => absent(core, live).await,
        Verdict::JobFailed(fault) => job_failed(core, live, &fault).await,
        Verdict::Failed(fault)
        | Verdict::Refused { fault, .. }
        | Verdict::NotSent { fault, .. }
        | Verdict::Unknown { fault, .. } => failed(core, live, &fault).await,
        Verdict::Canceled => canceled(core, live).await,
    }
}

/// Where the attempt went.
async fn endpoint(core: &Core, live: &Live) -> Result<String, StoreError> {
    let attempts = core.store.attempts(live.run).at("drive.attempts").await?;
    Ok(attempts
        .into_iter()
        .find(|sent| sent.n == live.n)
        .map(|sent| sent.endpoint)
        .unwrap_or_default())
}

/// Tells the watchers. Written down only for those of other processes, and seldom.
pub(crate) fn told(core: &Core, live: &mut Live, pending: &Pending) {
    if pending.drift && !live.drifted {
        live.drifted = true;
        if let Some(word) = &pending.provider_status {
            core.drift.status(&live.revision, word, live.run);
        }
        tracing::warn!(
            profile = live.revision.profile_key,
            word = pending.provider_status,
            "the provider uses a word that the profile does not list"
        );
    }
    let watched = core.watches.tell(live.run, |progress| {
        progress.percent = pending.progress.or(progress.percent);
        progress
            .provider_status
            .clone_from(&pending.provider_status);
        progress.overdue |= pending.overdue;
    });
    let watched = watched || live.tells_progress || core.watches.watched_elsewhere(live.run);
    let now = core.clock.now_ms();
    if let Some(percent) = pending
        .progress
        .filter(|_| watched && now - live.written_ms >= PROGRESS_EVERY_MS)
    {
        live.written_ms = now;
        core.follow.progress(live.run, i16::from(percent));
    }
}

async fn ask_again(core: &Core, live: &mut Live) -> Result<Step, Trouble> {
    if live.state == State::Fetching {
        let Some(ver) = core
            .store
            .poll_again(live.run, live.ver)
            .at("drive.poll_again")
            .await?
        else {
            return Ok(Step::Leave(Driven::Stale));
        };
        (live.ver, live.state, live.done) = (ver, State::Polling, false);
        core.watches.state(live.run, State::Polling.as_str());
    }
    Ok(Step::Go)
}

async fn job_failed(core: &Core, live: &Live, fault: &Fault) -> Result<Step, Trouble> {
    core.drift.fault(&live.revision, "poll", fault, live.run);
    core.metrics.failed(&live.revision, fault);
    if fault.kind == Kind::DeadlineExceeded {
        let written = core
            .store
            .run_gave_up(live.run, live.ver, Some(Duration::ZERO))
            .at("drive.run_gave_up")
            .await?;
        return Ok(gone(core, live, State::Failed, written));
    }
    if !matches!(live.state, State::Polling | State::Fetching) {
        return failed(core, live, fault).await;
    }
    // A run whose files are being fetched asks the poll again first: only from there does it go on.
    let fallback = match live.state {
        State::Polling => {
            fallback::after(core, (live.run, &live.revision), fault)
                .at("drive.fallback")
                .await?
        }
        _ => None,
    };
    let failed = JobFailed {
        run_id: live.run,
        n: live.n,
        ver: live.ver,
        failure: fault.to_json(),
        fallback,
    };
    let moved = core
        .store
        .job_failed(&failed)
        .at("drive.job_failed")
        .await?;
    let state = moved.map_or(State::Failed, |moved| moved.state);
    if let (State::Queued, Some(to)) = (state, &failed.fallback) {
        fallback::tell(core, live.run, to);
    }
    Ok(gone(core, live, state, moved.map(|moved| moved.ver)))
}

/// A failure of ours, after the submit.
async fn failed(core: &Core, live: &Live, fault: &Fault) -> Result<Step, Trouble> {
    if live.state == State::SubmitUnknown {
        return unsettled(core, live, fault).await;
    }
    core.metrics.failed(&live.revision, fault);
    let written = core
        .store
        .run_ended(&end(live, State::Failed, None, Some(fault.to_json())))
        .at("drive.end.failed")
        .await?;
    Ok(gone(core, live, State::Failed, written))
}

async fn canceled(core: &Core, live: &Live) -> Result<Step, Trouble> {
    let written = core
        .store
        .run_ended(&end(live, State::Canceled, None, None))
        .at("drive.end.canceled")
        .await?;
    Ok(gone(core, live, State::Canceled, written))
}

async fn ended(core: &Core, live: &mut Live, ending: Ending) -> Result<Step, Trouble> {
    match ending {
        Ending::Canceled => canceled(core, live).await,
        // The submit's own answer said that the job failed.
        Ending::Failed(fault)
            if !live.done && fault.class().is_some() && live.state == State::Polling =>
        {
            job_failed(core, live, &fault).await
        }
        Ending::Failed(fault) => failed(core, live, &fault).await,
        Ending::Succeeded { output, warnings } => {
            let captured = with_output(core, live, output, &warnings).await?;
            let written = core
                .store
                .run_ended(&end(live, State::Succeeded, Some(captured), None))
                .at("drive.end.succeeded")
                .await?;
            Ok(gone(core, live, State::Succeeded, written))
        }
    }
}

/// The record with its output, which goes to the artifact store when it is large.
async fn with_output(
    core: &Core,
    live: &Live,
    output: Value,
    warnings: &[String],
) -> Result<Value, Trouble> {
    let mut captured = live.flow.captured();
    let kept = kept_output(core, (live.run, live.ver), output).await;
    let (name, value) = kept.map_err(|error| {
        tracing::error!(run.id = %live.run, %error, "the output is not stored yet");
        Trouble::Wait(core.clock.now_ms() + 5_000)
    })?;
    if let Value::Object(members) = &mut captured {
        members.remove("answer");
        members.insert(name.to_owned(), value);
        if !warnings.is_empty() {
            members.insert(WARNINGS.to_owned(), json!(warnings));
        }
    }
    Ok(captured)
}

/// The member of `captured` that has the output, or the key of its object.
pub(crate) async fn kept_output(
    core: &Core,
    (run, ver): (Uuid, i64),
    output: Value,
) -> Result<(&'static str, Value), ObjectsError> {
    let text = output.to_string();
    if text.len() <= OUTPUT_MAX {
        return Ok((OUTPUT, output));
    }
    let key = format!("{run}/output/{ver}");
    core.objects
        .put(&key, text.into())
        .at("drive.put_object")
        .await?;
    Ok((OUTPUT_OBJECT, json!(key)))
}

fn end(live: &Live, to: State, captured: Option<Value>, failure: Option<Value>) -> Ended {
    let cleans = !live.revision.workflow.cleanup.is_empty();
    Ended {
        run_id: live.run,
        from: live.state,
        to,
        captured,
        failure,
        cleanup: (cleans && to == State::Succeeded).then(|| json!({})),
    }
}

/// After the statement that ended it, or queued it again: no row means that somebody else was first.
fn gone(core: &Core, live: &Live, to: State, written: Option<i64>) -> Step {
    if written.is_none() {
        return Step::Leave(Driven::Stale);
    }
    tracing::info!(run.id = %live.run, state = to.as_str(), "let go");
    core.ended(live.run, to);
    core.tick.notify_one();
    Step::Leave(Driven::Gone)
}
