//! The one send of an attempt, and the fact of what came of it.

use crate::callbacks;
use crate::core::Core;
use crate::exchange::once;
use crate::facts::written;
use crate::faults::At as _;
#[cfg(feature = "faults")]
use crate::faults::{Broken, broken};
use crate::live::Live;
use crate::places::Place;
use crate::rewind;
use crate::tokens;
use crate::traces::{self, Before};
use crate::watches::Speech;
use engine::flow::{Accepted as Job, Then as Next};
use engine::request::Request;
use engine::{Event, Fault, Kind, Verdict};
use std::num::NonZeroI64;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use store::decisions::Ended;
use store::facts::{Acceptance, Accepted, Closed, ClosedHow, Then, Unknown};
use store::{Rule, State, StoreError};
use uuid::Uuid;

mod answered;
mod closed;

/// What is kept of an answer that refused, in characters.
const EXCERPT: usize = 2_000;

/// An attempt whose intent is committed.
pub(crate) struct Sending {
    pub(crate) core: Arc<Core>,
    pub(crate) worker: Uuid,
    pub(crate) live: Live,
    pub(crate) request: Request,
    pub(crate) endpoint: String,
    pub(crate) permit: Place,
}

/// Memory need not hold attempt `n` any more. A later one of the run may be under way already.
pub(crate) fn forget(core: &Core, (run, n): (Uuid, i32)) {
    let mut sending = core.sending.lock().unwrap_or_else(PoisonError::into_inner);
    if sending.get(&run).is_some_and(|held| held.intent.n == n) {
        sending.remove(&run);
    }
}

impl Sending {
    /// Proves the lease, sends once, and writes what came until it stands.
    ///
    /// Cancel safety: dropped, the process is dying; the row says `submitting` and is swept to `submit_unknown`.
    pub(crate) async fn send(mut self) {
        let (run, n) = (self.live.run, self.live.n);
        let core = Arc::clone(&self.core);
        let speech = self.live.flow.streams().then(|| core.watches.speak(run));
        core.watches.state(run, State::Submitting.as_str());
        if !self.core.lease.proves(self.worker) {
            tracing::warn!(run.id = %run, "the lease is not proved; nothing is sent");
            return self.not_ours().await;
        }
        let (event, http_status, traced) =
            once(&core, &mut self.live.flow, &self.request, speech.as_ref())
                .at("sender.send")
                .await;
        drop(self.permit);
        #[cfg(feature = "faults")]
        if broken(Broken::StaleAnswersDropped) && !self.core.lease.proves(self.worker) {
            return forget(&self.core, (run, n));
        }
        if let Event::Answered(received) = &event {
            if received.status == 401 {
                // The next attempt has another token.
                tokens::renew(&core, &mut self.live.flow, &self.request.proof)
                    .at("sender.renew")
                    .await;
            }
            let live = &self.live;
            self.core
                .drift
                .answer(&live.common.revision, "submit", &received.body, live.run);
        }
        let sent = Written {
            core: &self.core,
            endpoint: &self.endpoint,
            http_status,
            unwanted: speech.as_ref().is_some_and(Speech::is_unwanted),
        };
        let follows = sent
            .event(&mut self.live, event, traced)
            .at("sender.event")
            .await;
        match follows {
            Ok(follows @ (Follows::Yes | Follows::AsItsRow)) => {
                if follows == Follows::Yes {
                    callbacks::early(&self.core, &mut self.live)
                        .at("sender.early")
                        .await;
                }
                let waiting = Box::new(self.live).fold(&self.core).at("sender.fold").await;
                match follows {
                    Follows::Yes => self.core.follow.adopt(waiting),
                    _ => self.core.follow.look_at(waiting),
                }
            }
            Ok(Follows::No) => self.core.queue.notify_one(),
            Ok(Follows::Ended) => {}
            Err(error) => {
                tracing::error!(run.id = %run, %error, "what the provider answered cannot be written")
            }
        }
        // Not before it is followed: a database that goes back in between is told by whoever holds it.
        forget(&core, (run, n));
    }

    /// The lease was lost between the commit and the first byte.
    async fn not_ours(self) {
        let fact = Closed {
            run_id: self.live.run,
            n: self.live.n,
            how: ClosedHow::NotSent,
            http_status: None,
            answer: None,
            then: Then::Again(Duration::ZERO),
        };
        if let Err(error) = written(("not sent", self.live.run), || {
            self.core.store.fact_closed(&fact)
        })
        .at("sender.not_sent")
        .await
        {
            tracing::error!(run.id = %fact.run_id, %error, "that nothing was sent cannot be written");
        }
        forget(&self.core, (fact.run_id, fact.n));
        self.core.queue.notify_one();
    }
}

/// What becomes of a run whose submit has come to something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follows {
    Yes,
    /// It may: an answer that was lost may have said so, or a sweep was first. Its row is read, and memory kept until then.
    AsItsRow,
    /// It is queued again, has failed, or is another's: whoever claims looks again.
    No,
    /// It has its result.
    Ended,
}

/// Writes facts of an attempt, from the sender's own answer or from settling.
pub(crate) struct Written<'a> {
    pub(crate) core: &'a Core,
    pub(crate) endpoint: &'a str,
    /// Of the sender's own answer; absent for a job that was found.
    pub(crate) http_status: Option<i16>,
    /// The caller canceled the run while it was sent, and its stream was let go.
    pub(crate) unwanted: bool,
}

impl Written<'_> {
    /// Judges what came of the submit and writes it.
    async fn event(
        &self,
        live: &mut Live,
        event: Event,
        traced: Option<Box<Before>>,
    ) -> Result<Follows, StoreError> {
        let now = self.core.clock.now_ms();
        let verdict = live.flow.on(event, now, rand::random());
        self.core.metrics.submitted(&live.common.revision, &verdict);
        if let Some(traced) = traced {
            traced.submitted(self.core, &live.common.revision, (live.n, &verdict));
        }
        match verdict {
            Verdict::Accepted(job) => self.accepted(live, &job).await,
            Verdict::Answered => self.came(live).await,
            Verdict::Refused { fault, retry } => {
                self.closed(live, ClosedHow::Refused, &fault, retry).await
            }
            Verdict::NotSent { fault, retry } => {
                self.closed(live, ClosedHow::NotSent, &fault, retry).await
            }
            Verdict::Unknown { fault, then } => self.unknown(live, &fault, then).await,
            // An answer that nobody can read says nothing about the job.
            Verdict::Failed(fault) => self.unknown(live, &fault, Next::Fail).await,
            other => {
                tracing::error!(run.id = %live.run, ?other, "a submit came to a verdict that is none");
                let fault = Fault::new(Kind::BadRecord, "the submit came to no verdict");
                self.unknown(live, &fault, Next::Fail).await
            }
        }
    }

    /// The provider has the job.
    pub(crate) async fn accepted(&self, live: &mut Live, job: &Job) -> Result<Follows, StoreError> {
        let clock = &self.core.clock;
        let fact = Accepted {
            run_id: live.run,
            n: live.n,
            job: job.job_id.clone(),
            shard: written(("shard", live.run), || self.core.shard_for(live.run))
                .at("sender.accepted.shard")
                .await?,
            endpoint: self.endpoint.to_owned(),
            captured: Some(live.flow.captured()),
            deadline: Some(clock.until(job.deadline_at_ms)),
            give_up: clock.until(job.give_up_at_ms),
            http_status: self.http_status,
            adopted: job.found,
        };
        live.shard = fact.shard;
        live.deadline_ms = NonZeroI64::new(job.deadline_at_ms);
        tracing::info!(run.id = %live.run, attempt = live.n, found = job.found, "accepted");
        match self.acceptance(live, fact).await? {
            Acceptance::Follows { ver, cancel } => {
                (live.ver, live.state, live.cancel) = (ver, State::Polling, cancel);
                self.core.watches.state(live.run, State::Polling.as_str());
                Ok(Follows::Yes)
            }
            Acceptance::Contradicts(outcome) => {
                tracing::error!(run.id = %live.run, job = job.job_id, ?outcome, "the provider has a job for an attempt that was closed");
                Ok(Follows::No)
            }
            Acceptance::Already => {
                live.state = State::Polling;
                Ok(Follows::AsItsRow)
            }
            Acceptance::CancelOnly | Acceptance::JobTaken => Ok(Follows::No),
        }
    }

    /// Writes an acceptance; what does not fit into the row is left out rather than lost.
    async fn acceptance(&self, live: &Live, mut fact: Accepted) -> Result<Acceptance, StoreError> {
        let store = &self.core.store;
        let first = match written(("accepted", live.run), || {
            rewind::accepted(self.core, live, &fact)
        })
        .at("sender.accepted")
        .await
        {
            Err(StoreError::Broken(Rule::CapturedTooLarge)) => {
                fact.captured = None;
                written(("accepted", live.run), || {
                    rewind::accepted(self.core, live, &fact)
                })
                .at("sender.accepted_without_record")
                .await?
            }
            other => other?,
        };
        if first != Acceptance::JobTaken || fact.adopted {
            return Ok(first);
        }
        // The sender's own answer beats what another run had only found in a list.
        let disowned = written(("disown", live.run), || {
            store.disown_adopted(live.common.credential, &fact.job, live.run)
        })
        .at("sender.disown")
        .await?;
        if let Some(other) = disowned {
            tracing::warn!(run.id = %live.run, other = %other, "another run had adopted this job; it is unknown again");
            self.core.follow.look(vec![other]);
        }
        // Also when nothing was disowned now: an answer that was lost may have said so.
        let again = written(("accepted", live.run), || store.fact_accepted(&fact))
            .at("sender.accepted_after_disowning")
            .await?;
        if again != Acceptance::JobTaken {
            return Ok(again);
        }
        tracing::error!(run.id = %live.run, job = fact.job, "another run follows this job");
        let message = format!("another run follows the job `{}`", fact.job);
        let fault = Fault::new(Kind::DuplicateJob, message);
        let failure = fault.to_json();
        written(("duplicate", live.run), || {
            store.duplicate_job(live.run, live.n, &fact.job, &failure)
        })
        .at("sender.duplicate")
        .await?;
        traces::ended(
            self.core,
            live.run,
            Some(&live.common.revision),
            &(State::Failed, &fault).into(),
        );
        Ok(Acceptance::JobTaken)
    }

    async fn unknown(
        &self,
        live: &mut Live,
        fault: &Fault,
        then: Next,
    ) -> Result<Follows, StoreError> {
        self.core
            .drift
            .fault(&live.common.revision, "submit", fault, live.run);
        let fact = Unknown {
            run_id: live.run,
            n: live.n,
            shard: written(("shard", live.run), || self.core.shard_for(live.run))
                .at("sender.unknown.shard")
                .await?,
            http_status: fault
                .http_status
                .and_then(|status| i16::try_from(status).ok()),
            answer: Some(excerpt(fault)),
        };
        live.shard = fact.shard;
        tracing::warn!(run.id = %live.run, attempt = live.n, ?then, "the outcome of the submit is unknown");
        let of = (&*live, self.endpoint);
        let ver = written(("unknown", live.run), || {
            rewind::unknown(self.core, of, &fact)
        })
        .at("sender.unknown")
        .await?;
        let Some(ver) = ver else {
            // A sweep was first: its new owner reads it; we may be that.
            return Ok(Follows::AsItsRow);
        };
        (live.ver, live.state) = (ver, State::SubmitUnknown);
        self.core
            .watches
            .state(live.run, State::SubmitUnknown.as_str());
        match then {
            Next::Settle => Ok(Follows::Yes),
            Next::Repeat => {
                let captured = live.flow.captured();
                written(("captured", live.run), || {
                    self.core.store.captured_put(live.run, live.n, &captured)
                })
                .at("sender.captured")
                .await?;
                written(("written off", live.run), || {
                    self.core.store.settle_written_off(live.run, live.n, ver)
                })
                .at("sender.settle_written_off")
                .await?;
                Ok(Follows::No)
            }
            // Decisions, and written until they stand: whoever reads the run later knows less, and waits.
            Next::Fail if self.unwanted => self.unheard(live, ver).await,
            Next::Fail => {
                let failure = fault.to_json();
                let gone = written(("unknown at last", live.run), || {
                    self.core.store.settle_gave_up(live.run, ver, &failure)
                })
                .at("sender.settle_gave_up")
                .await?;
                if gone.is_some() {
                    let end = (State::Failed, fault).into();
                    self.core.ended(live.run, &live.common.revision, &end);
                }
                Ok(Follows::No)
            }
        }
    }

    /// The caller of its stream has left: nobody waits for what is unknown.
    async fn unheard(&self, live: &Live, ver: i64) -> Result<Follows, StoreError> {
        let end = Ended {
            run_id: live.run,
            n: live.n,
            ver: Some(ver),
            from: State::SubmitUnknown,
            to: State::Canceled,
            captured: None,
            failure: None,
            cleanup: None,
            file: None,
            answer: None,
        };
        let gone = written(("canceled", live.run), || self.core.store.run_ended(&end))
            .at("sender.canceled")
            .await?;
        if gone.is_some() {
            let end = State::Canceled.into();
            self.core.ended(live.run, &live.common.revision, &end);
        }
        Ok(Follows::No)
    }
}

fn excerpt(fault: &Fault) -> String {
    let text = fault.provider_message.as_deref().unwrap_or(&fault.message);
    text.chars().take(EXCERPT).collect()
}
