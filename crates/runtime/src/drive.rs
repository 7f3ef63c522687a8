//! Drives a followed run from one wait to the next: exchanges, files, its end.
//! Written is only what changed; a decision that finds itself stale lets go.

use crate::callbacks;
use crate::core::Core;
use crate::fallback;
use crate::faults::At as _;
use crate::fetch;
use crate::lease::millis;
use crate::live::Live;
use crate::quota::urgency_of;
use crate::sender::{Follows, Written};
use crate::traces::{Before, judged};
use crate::{setting, tokens};
use end::{canceled, ended, failed, gone, keep_last};
use engine::flow::{FetchFault, FileTask, Pending, Phase};
use engine::http::Outcome;
use engine::{Action, Event, Fault, Kind, Verdict};
use serde_json::json;
use settle::{absent, answer_left_behind, candidates, replay};
use std::num::NonZeroI64;
use std::sync::Arc;
use std::time::Duration;
use store::decisions::JobFailed;
use store::limits::Urgency;
use store::{State, StoreError};

pub(crate) use end::{kept_output, let_go, success};

mod end;
mod settle;

/// In the timeline: a file could not be had, and is tried again.
const FETCH_FAILED: &str = "fetch_failed";
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
    Wait(i64),
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
pub(crate) async fn drive(core: &Core, live: &mut Live) -> Driven {
    match steps(core, live).await {
        Ok(Step::Leave(driven)) => driven,
        Ok(Step::Go) => Driven::Stale,
        Err(Trouble::Wait(until_ms)) => Driven::Wait(until_ms),
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
    if let Some(verdict) = live.take_verdict()
        && let Step::Leave(driven) = heed(core, live, verdict).await?
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
    if live.has_news()
        && let Step::Leave(driven) = Box::pin(meanwhile(core, live)).await?
    {
        return Ok(Step::Leave(driven));
    }
    let mut due_ms = live.flow.due_ms();
    let mut renewed = false;
    while !core.tasks.stop.is_cancelled() {
        tell_overdue(core, live).await?;
        if live.flow.lacks_call() {
            Box::pin(recall(core, live)).await?;
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
                let traced = Before::new(core, &live.flow, (phase, &request));
                let outcome = tokens::sent(core, &mut live.flow, &request, &mut renewed)
                    .at("drive.exchange")
                    .await;
                let Some(outcome) = outcome else { continue };
                if let (Phase::Poll, Outcome::Answered(received)) = (phase, &outcome) {
                    core.drift.answer(
                        &live.common.revision,
                        &request.step,
                        &received.body,
                        live.run,
                    );
                }
                judged(core, &mut live.flow, outcome, traced)
            }
            Action::Token { auth } => Box::pin(supplied(core, live, auth.as_deref())).await,
            Action::Fetch { files, .. } => {
                match Box::pin(fetched(core, live, files, &mut renewed)).await? {
                    Files::Judged(verdict) => verdict,
                    Files::AskedAgain => continue,
                    Files::Leave(driven) => return Ok(Step::Leave(driven)),
                }
            }
            Action::Replay => {
                its_turn(core, live, Urgency::Follow).await?;
                match Box::pin(replay(core, live)).await? {
                    Some(verdict) => verdict,
                    None if Box::pin(core.store.run_is_braked(live.run))
                        .at("drive.run_is_braked")
                        .await? =>
                    {
                        let again = core.clock.now_ms().saturating_add(BRAKED_MS);
                        return Err(Trouble::Wait(again));
                    }
                    None => return Ok(Step::Leave(Driven::Stale)),
                }
            }
            Action::Ended(ending) => return Box::pin(ended(core, live, ending)).await,
            // Proved absent: whoever claims it sends it.
            Action::Submit(_) => return Ok(Step::Leave(Driven::Gone)),
        };
        match verdict {
            Verdict::Continue | Verdict::NotSettled => {}
            Verdict::Pending(pending) => told(core, live, &pending),
            // Seldom, and large: a poll that changed nothing does not carry it.
            verdict => {
                if let Step::Leave(driven) = Box::pin(heed(core, live, verdict)).await? {
                    return Ok(Step::Leave(driven));
                }
            }
        }
    }
    Ok(Step::Leave(Driven::Gone))
}

/// What the files of a download came to.
enum Files {
    Judged(Verdict),
    /// With another token.
    AskedAgain,
    Leave(Driven),
}

async fn fetched(
    core: &Core,
    live: &mut Live,
    files: Vec<FileTask>,
    renewed: &mut bool,
) -> Result<Files, Trouble> {
    let proof = tokens::proof_of(&files);
    let Some(fetch::Came { event, last }) = fetch::all(core, live, files).await? else {
        return Ok(Files::Leave(Driven::Stale));
    };
    let came = (proof.as_ref(), &event);
    if tokens::files_refused(core, &mut live.flow, came, renewed)
        .at("drive.files_refused")
        .await
    {
        return Ok(Files::AskedAgain);
    }
    let failed = why_no_file(&event);
    let verdict = live.flow.on(event, core.clock.now_ms(), rand::random());
    if let (Some(fault), Verdict::Continue | Verdict::AskAgain) = (failed, &verdict) {
        Box::pin(tell_no_file(core, live, &fault)).await;
    }
    if let Some(last) = last
        && let Step::Leave(driven) = keep_last(core, live, &last).await?
    {
        return Ok(Files::Leave(driven));
    }
    Ok(Files::Judged(verdict))
}

/// Why a file could not be had; absent where it was, or where that is the run's own failure.
fn why_no_file(event: &Event) -> Option<Fault> {
    match event {
        Event::FetchFailed(FetchFault::Broken(fault) | FetchFault::Answer { fault, .. }) => {
            Some(fault.clone())
        }
        _ => None,
    }
}

/// The run goes on without it, or tries again until its job's life is over: the caller and the operator are told, once by
/// each owner, for a paid file that cannot be had is worth a look before it expires.
async fn tell_no_file(core: &Core, live: &mut Live, fault: &Fault) {
    let class = fault.class_word();
    if std::mem::replace(&mut live.rare_mut().told_no_file, true) {
        tracing::debug!(run.id = %live.run, class, why = fault.message, "a file could not be fetched again");
        return;
    }
    tracing::warn!(run.id = %live.run, class, why = fault.message, "a file could not be fetched");
    let body = json!({ "class": class, "message": fault.message });
    let said = core.store.event_append(live.run, FETCH_FAILED, &body);
    if let Err(error) = said.at("drive.event_append").await {
        tracing::warn!(run.id = %live.run, %error, "that a file could not be fetched is not in the timeline");
    }
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
            setting::asked(
                core,
                (tenant, live.run),
                &request,
                &live.common.revision.id.0,
            )
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
    let deadline = live.flow.overdue_at_ms();
    live.deadline_ms = deadline.and_then(NonZeroI64::new).or(live.deadline_ms);
    let late = live
        .deadline_ms
        .is_some_and(|deadline| deadline.get() <= core.clock.now_ms());
    if live.overdue || !late || live.state != State::Polling {
        return Ok(());
    }
    // Seldom, and large: a poll does not carry it.
    let told = Box::pin(core.store.mark_overdue(live.run));
    if told.at("drive.mark_overdue").await? {
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
            let word = live.flow.provider_status();
            core.watches.tell(live.run, |progress| {
                progress.percent = Some(100);
                progress.provider_status = word.map(str::to_owned);
            });
            Ok(Step::Go)
        }
        Verdict::CredentialRefused(fault) => {
            core.store
                .credential_pause(live.common.credential, REFUSED_PAUSE, fault.class_word())
                .at("drive.credential_pause")
                .await?;
            tracing::error!(run.id = %live.run, credential = %live.common.credential, class = fault.class_word(), "the credential is refused; its submits are paused");
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
            Ok(if follows == Follows::Yes {
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
            Ok(if follows == Follows::Yes {
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
    if pending.drift && !std::mem::replace(&mut live.rare_mut().drifted, true) {
        if let Some(word) = &pending.provider_status {
            core.drift.status(&live.common.revision, word, live.run);
        }
        tracing::warn!(
            run.id = %live.run,
            profile = live.common.revision.profile_key,
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
    let written = live.rare().map_or(0, |rare| rare.written_ms);
    if let Some(percent) = pending
        .progress
        .filter(|_| watched && now - written >= PROGRESS_EVERY_MS)
    {
        live.rare_mut().written_ms = now;
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
    core.drift
        .fault(&live.common.revision, "poll", fault, live.run);
    core.metrics.failed(&live.common.revision, fault);
    let word = live.flow.provider_status();
    core.watches.tell(live.run, |progress| {
        progress.provider_status = word.map(str::to_owned);
    });
    if fault.kind == Kind::DeadlineExceeded {
        let written = core
            .store
            .run_gave_up(live.run, live.ver, Some(Duration::ZERO))
            .at("drive.run_gave_up")
            .await?;
        return Ok(gone(core, live, (State::Failed, fault), written));
    }
    if !matches!(live.state, State::Polling | State::Fetching) {
        return failed(core, live, fault).await;
    }
    // A run whose files are being fetched asks the poll again first: only from there does it go on.
    let fallback = match live.state {
        State::Polling => {
            fallback::after(core, (live.run, &live.common.revision), fault)
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
    let moved = moved.map(|moved| moved.ver);
    Ok(gone(core, live, (state, fault), moved))
}
