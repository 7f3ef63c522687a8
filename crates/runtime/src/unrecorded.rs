//! Runs without a record, for profiles that give it up (`durable: false`): sent from the call itself, and gone with its answer.
//!
//! Neither promise of durable runs holds for them. A call that needs a record has one all the same: an idempotency key, a
//! callback, the cache, a fallback, a limit that counts runs, or a pause, which it waits out in the queue.

use crate::cache;
use crate::core::Core;
use crate::cost::{estimate, so_far};
use crate::error::RunError;
use crate::exchange::once;
use crate::handle::RunHandle;
use crate::intake::{self, Understood};
use crate::metrics;
use crate::options::Work;
use crate::places::Place;
use crate::quota::{Asker, urgency_of};
use crate::read::status_of;
use crate::request::RunRequest;
use crate::tasks::Until;
use crate::tokens;
use crate::traces::{self, Before, End, Usage, judged};
use crate::view::{AttemptView, ModelView, RunView};
use engine::flow::{Retry, Then};
use engine::request::Request;
use engine::{Action, Ending, Event, Fault, Flow, Kind, Resume, Verdict};
use profile::revision::{Class, Revision};
use std::sync::Arc;
use std::time::Duration;
use store::api_keys::JUST_NOW;
use store::catalogue::CredentialRow;
use store::limits::Urgency;
use store::{State, StoreError};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

/// The call is held, and nothing else holds the run: what would be later than that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call that became a run.
#[derive(Debug)]
pub enum Begun {
    /// It has a record, under which it goes on.
    Recorded(RunHandle),
    /// It has ended, and there is no record of it.
    Ended(Box<RunView>),
}

/// What a run without a record has, before anything is sent.
pub(crate) struct Admitted {
    run: Uuid,
    flow: Flow,
    asker: Asker,
    place: Place,
}

/// `None`: the run is to have its record.
pub(crate) async fn admitted(
    core: &Core,
    request: &RunRequest,
    understood: &Understood,
) -> Result<Option<Admitted>, RunError> {
    let revision = &understood.revision;
    if !gives_up_its_record(revision) || core.options.work != Work::Yes {
        return Ok(None);
    }
    let row = intake::credential(core, &understood.snapshot, revision, request.tenant);
    let row = row.map_err(RunError::Refused)?;
    let (Some(credential), false) = (row.id, needs_record(request, understood, row)) else {
        return Ok(None);
    };
    let asker = Asker {
        credential,
        tenant: request.tenant,
    };
    let Some(place) = core.submits.take(&row.provider.as_str().into(), 1).pop() else {
        return Ok(None);
    };
    let Ok(shared) = core.shared(revision, credential).await else {
        return Ok(None);
    };
    let run = Uuid::now_v7();
    let checked = Arc::new(understood.checked.clone());
    let media = Arc::new(understood.given.media.clone());
    let identity = crate::setting::identity(core, &revision.provider, run, 1);
    let setting = shared.ground.setting(checked, media, identity);
    let Ok(flow) = Flow::resume(setting, Resume::default()) else {
        return Ok(None);
    };
    if !may(core, request, credential).await?
        || core.quotas.take(core, asker, Urgency::Send).await.is_err()
    {
        return Ok(None);
    }
    Ok(Some(Admitted {
        run,
        flow,
        asker,
        place,
    }))
}

/// Whether nothing is paused, and no limit counts records: as it was seen just now with the caller's key, or asked here.
async fn may(core: &Core, request: &RunRequest, credential: Uuid) -> Result<bool, StoreError> {
    if request.unhindered.is_some_and(|at| at.elapsed() < JUST_NOW) {
        return Ok(true);
    }
    core.store
        .may_go_unrecorded(request.tenant, credential)
        .await
}

fn gives_up_its_record(revision: &Revision) -> bool {
    revision.submits.iter().all(|submit| !submit.terms.durable)
}

/// Whether something of the call, or of its credential, lives in the record. Slots are counted there.
fn needs_record(request: &RunRequest, understood: &Understood, row: &CredentialRow) -> bool {
    request.idempotency_key.is_some()
        || request.callback.is_some()
        || request.start_by.is_some()
        || request.again.is_some()
        || understood.fallback.is_some()
        || row.max_concurrent_jobs.is_some()
        || cache::is_wanted(request, understood)
}

/// Sends it, and shows how it ended. It goes on when its caller goes away.
pub(crate) async fn run(
    core: &Arc<Core>,
    request: RunRequest,
    understood: Understood,
    admitted: Admitted,
) -> Result<RunView, RunError> {
    let (tell, told) = oneshot::channel();
    let run = admitted.run;
    traces::made(core, run, &understood.revision, core.clock.now_ms());
    let own = Arc::clone(core);
    let work = async move {
        let view = Unrecorded::new(&own, &understood.revision, admitted)
            .shown(&request, &understood)
            .await;
        // Nobody waits for it any more.
        let _ = tell.send(view);
    };
    core.tasks.spawn("unrecorded", Until::Death, Box::pin(work));
    // Nothing is known of it any more: the process is dying.
    told.await.map_err(|_| RunError::NoSuchRun { run_id: run })
}

/// One of them, under way.
struct Unrecorded<'a> {
    core: &'a Core,
    revision: &'a Arc<Revision>,
    run: Uuid,
    flow: Flow,
    asker: Asker,
    _place: Place,
    begun: Instant,
    created_at: OffsetDateTime,
    accepted_at: Option<OffsetDateTime>,
    attempts: Vec<AttemptView>,
}

impl<'a> Unrecorded<'a> {
    fn new(core: &'a Core, revision: &'a Arc<Revision>, admitted: Admitted) -> Self {
        Self {
            core,
            revision,
            run: admitted.run,
            flow: admitted.flow,
            asker: admitted.asker,
            _place: admitted.place,
            begun: Instant::now(),
            created_at: core.now(),
            accepted_at: None,
            attempts: Vec::new(),
        }
    }

    async fn shown(mut self, request: &RunRequest, understood: &Understood) -> RunView {
        let ending = self.drive().await;
        let end: End<'_> = match &ending {
            Ending::Succeeded { output, .. } => End {
                usage: Usage::of(output),
                ..State::Succeeded.into()
            },
            Ending::Failed(fault) => (State::Failed, fault).into(),
            Ending::Canceled => State::Canceled.into(),
        };
        traces::ended(self.core, self.run, Some(self.revision), &end);
        let state = end.state;
        self.core.vitals.ended(state);
        self.core.metrics.ended(state);
        tracing::info!(run.id = %self.run, state = state.as_str(), profile = self.revision.profile_key, "ended without a record");
        self.view(request, understood, ending, state)
    }

    /// From one action of the machine to the next.
    async fn drive(&mut self) -> Ending {
        let mut renewed = false;
        loop {
            let n = i32::try_from(self.attempts.len()).unwrap_or(i32::MAX);
            self.flow
                .set_token(engine::flow::token(self.run, n.saturating_add(1)));
            let drawn = self.core.drawn();
            let verdict = match self.flow.next(drawn.unix_ms, drawn) {
                Action::Ended(ending) => return ending,
                Action::Submit(request) => self.submit(request).await,
                Action::Token { auth } => {
                    tokens::supplied(self.core, &mut self.flow, auth.as_deref()).await
                }
                Action::Exchange { phase, request } => {
                    if let Err(fault) = self.its_turn(urgency_of(phase)).await {
                        return Ending::Failed(fault);
                    }
                    let traced = Before::new(self.core, &self.flow, (phase, &request));
                    let sent = tokens::sent(self.core, &mut self.flow, &request, &mut renewed);
                    let Some(outcome) = sent.await else { continue };
                    judged(self.core, &mut self.flow, outcome, traced)
                }
                Action::Wait { until_ms, .. } => match self.wait(until_ms).await {
                    Ok(()) => continue,
                    Err(fault) => return Ending::Failed(fault),
                },
                // `check` refuses profiles that would come here.
                other @ (Action::Fetch { .. } | Action::Replay) => {
                    tracing::error!(run.id = %self.run, ?other, "a run without a record asks for what needs one");
                    let message = "the run asks for what only a recorded one has";
                    return Ending::Failed(Fault::new(Kind::BadRecord, message));
                }
            };
            if let Some(ending) = self.heed(verdict).await {
                return ending;
            }
        }
    }

    fn heard(&mut self, event: Event) -> Verdict {
        let now = self.core.clock.now_ms();
        self.flow.on(event, now, rand::random())
    }

    /// Sends once. Whether it is sent again says the machine, as the profile allows.
    async fn submit(&mut self, mut request: Request) -> Verdict {
        if !self.attempts.is_empty()
            && let Err(fault) = self.its_turn(Urgency::Send).await
        {
            return Verdict::Failed(fault);
        }
        // Nobody waits for a handshake where the admin allows a second submit, which has a connection of its own.
        let repeats = self
            .flow
            .terms()
            .is_some_and(|terms| terms.repeat_on_unknown);
        request.kept = repeats && self.attempts.is_empty();
        let sent_at = self.core.now();
        let (event, http_status, traced) = once(self.core, &mut self.flow, &request, None).await;
        if let Event::Answered(received) = &event {
            if received.status == 401 {
                tokens::renew(self.core, &mut self.flow, &request.proof).await;
            }
            let drift = &self.core.drift;
            drift.answer(self.revision, "submit", &received.body, self.run);
        }
        let verdict = self.heard(event);
        self.core.metrics.submitted(self.revision, &verdict);
        let n = i32::try_from(self.attempts.len() + 1).unwrap_or(i32::MAX);
        if let Some(traced) = traced {
            traced.submitted(self.core, self.revision, (n, &verdict));
        }
        let now = self.core.now();
        let outcome = metrics::outcome(&verdict);
        if outcome == "accepted" {
            self.accepted_at = Some(now);
        }
        self.attempts.push(AttemptView {
            n,
            model: self.revision.model.clone(),
            outcome: outcome.to_owned(),
            http_status,
            provider_job_id: None,
            replays: 0,
            adopted: false,
            sent_at,
            ended_at: Some(now),
            answer: None,
            endpoint: None,
        });
        verdict
    }

    /// What a verdict ends; `None`: the machine goes on, now or after a wait.
    async fn heed(&self, verdict: Verdict) -> Option<Ending> {
        match verdict {
            Verdict::Refused { fault, retry } | Verdict::NotSent { fault, retry } => {
                let drift = &self.core.drift;
                drift.fault(self.revision, "submit", &fault, self.run);
                match retry {
                    Some(retry) => {
                        self.pause(&fault, retry).await;
                        None
                    }
                    None => Some(Ending::Failed(fault)),
                }
            }
            // A stream that gave a part of its answer is sent no more.
            Verdict::Unknown {
                then: Then::Repeat, ..
            } if !self.flow.gave_part() => None,
            Verdict::Unknown { fault, .. } | Verdict::Failed(fault) | Verdict::JobFailed(fault) => {
                Some(Ending::Failed(fault))
            }
            Verdict::CredentialRefused(fault) => Some(Ending::Failed(fault)),
            Verdict::Canceled => Some(Ending::Canceled),
            Verdict::Continue
            | Verdict::Answered
            | Verdict::Accepted(_)
            | Verdict::Candidates(_)
            | Verdict::Absent
            | Verdict::NotSettled
            | Verdict::Pending(_)
            | Verdict::JobDone
            | Verdict::AskAgain => None,
        }
    }

    /// A refusal for load holds the credential's other submits back, too.
    async fn pause(&self, fault: &Fault, retry: Retry) {
        if !retry.pauses_credential {
            return;
        }
        let wait = self.core.clock.until(retry.not_before_ms);
        let store = &self.core.store;
        let paused = store.credential_pause(self.asker.credential, wait, fault.class_word());
        if let Err(error) = paused.await {
            tracing::warn!(run.id = %self.run, credential = %self.asker.credential, %error, "the credential is not paused");
        }
    }

    async fn its_turn(&self, urgency: Urgency) -> Result<(), Fault> {
        let quotas = &self.core.quotas;
        while let Err(wait) = quotas.take(self.core, self.asker, urgency).await {
            self.patient(wait)?;
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    async fn wait(&self, until_ms: i64) -> Result<(), Fault> {
        let wait = self.core.clock.until(until_ms);
        self.patient(wait)?;
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Whether the call can be held so much longer.
    fn patient(&self, wait: Duration) -> Result<(), Fault> {
        if self.begun.elapsed() + wait <= PATIENCE {
            return Ok(());
        }
        let message = format!(
            "the provider has no room for it within {} s, and a run without a record cannot wait longer",
            PATIENCE.as_secs()
        );
        Err(Fault::new(Kind::Class(Class::Overloaded), message))
    }

    fn spent(&self) -> &'static str {
        let came = |outcome: &str| self.attempts.iter().any(|one| one.outcome == outcome);
        match (came("accepted"), came("unknown")) {
            (true, _) => "yes",
            (false, true) => "maybe",
            (false, false) => "none",
        }
    }

    fn view(
        self,
        request: &RunRequest,
        understood: &Understood,
        ending: Ending,
        state: State,
    ) -> RunView {
        let spent = self.spent();
        let call = &understood.checked.call;
        let now_ms = self.core.clock.now_ms();
        let cost = estimate(self.revision, call, &understood.given.media, now_ms);
        let model = ModelView::of(self.revision);
        let (output, warnings, failure) = match ending {
            Ending::Succeeded { output, warnings } => (Some(output), warnings, None),
            Ending::Failed(fault) => (None, Vec::new(), Some(fault.to_json())),
            Ending::Canceled => (None, Vec::new(), None),
        };
        RunView {
            id: self.run,
            tenant: request.tenant,
            status: status_of(state),
            state: state.as_str().to_owned(),
            recorded: false,
            purpose: request.purpose.clone(),
            provider: model.provider,
            model: model.model,
            profile_key: model.profile_key,
            fallback: None,
            revision: hex::encode(self.revision.id.0),
            progress: (state == State::Succeeded).then_some(100),
            output,
            warnings,
            artifacts: Vec::new(),
            failure,
            spent: spent.to_owned(),
            overdue: false,
            cancel_requested: false,
            held: false,
            cost: cost.map(|cost| so_far(cost, spent, true)),
            provider_job_id: None,
            attempts: self.attempts,
            metadata: request.metadata.clone(),
            retry_of: None,
            cached: false,
            cache_of: None,
            seq: 0,
            created_at: self.created_at,
            not_before: None,
            accepted_at: self.accepted_at,
            deadline_at: None,
            ended_at: Some(self.core.now()),
        }
    }
}
