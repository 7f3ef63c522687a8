//! The machine: where a run is, and what follows.

use super::called::Names;
use super::follow::Asked;
use super::record::{Record, Seen};
use super::{
    Action, ArtifactFacts, Ending, Event, Phase, Resume, Setting, Site, Values, Verdict, Why,
};
use crate::answer::Judge;
use crate::auth::Hidden;
use crate::fault::{Fault, Kind, class_word};
use crate::request::{Drawn, Received, Request};
use crate::state::RunState;
use crate::stream::Assembly;
use profile::lang::{Bound, Scope};
use profile::revision::{Action as Does, Class, Exchange, Poll, Revision, Step};
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// One run's machine. `Debug` shows where it is, and nothing that was captured.
pub struct Flow {
    pub(super) setting: Setting,
    pub(super) values: Values,
    site: Result<Arc<Site>, Fault>,
    pub(super) record: Record,
    pub(super) at: At,
    pub(super) wait: Option<(i64, Why)>,
    /// Repetitions of the exchange at hand.
    pub(super) tries: u32,
    pub(super) each: Option<Each>,
    /// Answers by step, the latest last.
    pub(super) seen: Vec<Seen>,
    pub(super) artifacts: Vec<ArtifactFacts>,
    pub(super) accepted_at_ms: Option<i64>,
    pub(super) sent_at_ms: Option<i64>,
    pub(super) sender_ended_at_ms: Option<i64>,
    pub(super) replays: u32,
    /// Whether the last look-up saw all that could be ours: only then does
    /// absence count.
    pub(super) saw_all: bool,
    /// How often an expired address made us ask the poll again.
    pub(super) asked_again: u32,
    pub(super) cancel: Cancel,
    /// Whether the submit may be on the wire.
    pub(super) in_flight: bool,
    /// Whether an access token proves that submit.
    pub(super) sent_token: bool,
    /// Whether the exchange at hand goes where credentials may go.
    pub(super) trusted: bool,
    /// It was folded, and the call was not kept.
    pub(super) lacks_call: bool,
    /// It was folded, and the poll at hand does without the call: its text, until something else comes.
    pub(super) kept_call: Option<Box<str>>,
    /// The step at which nothing reads what steps captured.
    pub(super) spares_steps: Option<usize>,
    /// The stream that is being heard.
    pub(super) assembly: Option<Box<Assembly>>,
    /// Whether text of a stream has been given away.
    pub(super) gave_part: bool,
    /// When a callback last moved a poll.
    pub(super) hinted_at_ms: Option<i64>,
    pub(super) names: Names,
    /// Why the last step of `cleanup` failed.
    pub(super) warning: Option<Fault>,
}

/// Where a run is.
#[derive(Debug, Clone)]
pub(super) enum At {
    Before(usize),
    Submit,
    Settle,
    Step(usize),
    Finish,
    /// Stops the job, then ends so; goes back to the step when the provider refuses.
    Cancel {
        then: Ending,
        back: usize,
    },
    Cleanup(usize),
    Ended(Ending),
}

/// Whether the caller still wants the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancel {
    NotAsked,
    Asked,
    /// The provider has been told, or has refused: its word about the job decides.
    Tried,
}

/// One exchange per item.
#[derive(Debug)]
pub(super) struct Each {
    pub(super) items: Vec<Bound<'static>>,
    pub(super) next: usize,
    pub(super) captures: Vec<Map<String, Value>>,
    /// Of the items so far.
    pub(super) answers: Vec<Seen>,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow")
            .field("run_id", &self.setting.identity.run_id)
            .field("at", &self.at)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

impl Flow {
    /// A run that was just claimed.
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        Self::start(setting, Record::default(), At::Before(0))
    }

    /// A run that is taken over, or claimed again.
    ///
    /// # Errors
    ///
    /// [`Fault`] of kind `BadRecord` when what was recorded is not ours, or is
    /// not enough to go on: report it and leave the run alone.
    pub fn resume(setting: Setting, resume: Resume) -> Result<Self, Fault> {
        let mut record = resume
            .captured
            .as_ref()
            .map(Record::read)
            .transpose()?
            .unwrap_or_default();
        record.answer = resume.answer.or(record.answer);
        if let Some(job_id) = &resume.job_id {
            record.set_job_id(job_id);
        }
        let state = resume.state.unwrap_or(RunState::Queued);
        let at = match state {
            RunState::Queued | RunState::Preparing if record.prepared => At::Submit,
            RunState::Queued | RunState::Preparing => At::Before(0),
            RunState::Submitting | RunState::SubmitUnknown => At::Settle,
            RunState::Polling | RunState::Fetching | RunState::Validating => At::Step(0),
            RunState::Succeeded | RunState::Failed | RunState::Canceled => {
                return Err(Fault::new(
                    Kind::BadRecord,
                    format!("a run that is `{state}` does not go on"),
                ));
            }
        };
        let mut flow = Self::start(setting, record, at);
        flow.accepted_at_ms = resume.accepted_at_ms;
        flow.sent_at_ms = resume.sent_at_ms;
        flow.sender_ended_at_ms = resume.sender_ended_at_ms;
        flow.replays = resume.replays;
        flow.cancel = if resume.cancel {
            Cancel::Asked
        } else {
            Cancel::NotAsked
        };
        flow.restore(state)?;
        Ok(flow)
    }

    /// The `cleanup` steps of a run that has ended. Ends as succeeded, with a
    /// null output: their failure is a warning, never the run's.
    ///
    /// # Errors
    ///
    /// As [`Flow::resume`].
    pub fn cleanup(setting: Setting, resume: Resume) -> Result<Self, Fault> {
        let resume = Resume {
            state: None,
            cancel: false,
            ..resume
        };
        let mut flow = Self::resume(setting, resume)?;
        flow.at = At::Cleanup(0);
        Ok(flow)
    }

    fn start(setting: Setting, record: Record, at: At) -> Self {
        let site = Site::of(&setting).map(Arc::new);
        Self::start_at(setting, site, record, at)
    }

    pub(super) fn start_at(
        setting: Setting,
        site: Result<Arc<Site>, Fault>,
        record: Record,
        at: At,
    ) -> Self {
        Self {
            values: Values::of(&setting),
            site,
            setting,
            record,
            at,
            wait: None,
            tries: 0,
            each: None,
            seen: Vec::new(),
            artifacts: Vec::new(),
            accepted_at_ms: None,
            sent_at_ms: None,
            sender_ended_at_ms: None,
            replays: 0,
            saw_all: false,
            asked_again: 0,
            cancel: Cancel::NotAsked,
            in_flight: false,
            sent_token: false,
            trusted: true,
            lacks_call: false,
            kept_call: None,
            spares_steps: None,
            assembly: None,
            gave_part: false,
            hinted_at_ms: None,
            names: Names::default(),
            warning: None,
        }
    }

    /// Puts back what is derived from the record.
    fn restore(&mut self, state: RunState) -> Result<(), Fault> {
        if !matches!(self.at, At::Step(_)) {
            return Ok(());
        }
        let accepted = self.accepted_at_ms.ok_or_else(|| {
            Fault::new(
                Kind::BadRecord,
                format!("a run that is `{state}` has no time of acceptance"),
            )
        })?;
        if let Some(received) = self.record.answer.clone() {
            self.seen.push(Seen::new("submit", received));
        }
        // Due long ago: a new owner asks at once, at the pace its caller sets.
        self.enter(0, accepted);
        Ok(())
    }

    /// What to do now. Asking twice without an event in between says the same.
    /// `drawn` is new for every request.
    pub fn next(&mut self, now_ms: i64, drawn: Drawn) -> Action {
        loop {
            self.heed_cancel();
            if let Some((until_ms, why)) = self.wait.filter(|(until_ms, _)| *until_ms > now_ms) {
                return Action::Wait { until_ms, why };
            }
            match self.advance(now_ms, drawn) {
                Ok(Some(action)) => return action,
                Ok(None) => {}
                Err(fault) => self.stop(fault),
            }
        }
    }

    /// `None`: it moved on and is to be asked again.
    fn advance(&mut self, now_ms: i64, drawn: Drawn) -> Result<Option<Action>, Fault> {
        self.read_kept_call()?;
        let revision = Arc::clone(&self.setting.revision);
        let workflow = &revision.workflow;
        match &self.at {
            At::Ended(ending) => Ok(Some(Action::Ended(ending.clone()))),
            At::Before(i) => match workflow.before.get(*i) {
                Some(step) => self.advance_step(step, Phase::Before, now_ms, drawn),
                None => {
                    self.record.prepared = true;
                    self.at = At::Submit;
                    Ok(None)
                }
            },
            At::Submit => self.advance_submit(now_ms, drawn).map(Some),
            At::Settle => self.advance_settle(now_ms, drawn),
            At::Step(i) => match workflow.steps.get(*i) {
                Some(step) => self.advance_step(step, phase_of(step), now_ms, drawn),
                None => {
                    self.at = At::Finish;
                    Ok(None)
                }
            },
            At::Finish => {
                self.at = At::Ended(self.finish(drawn)?);
                Ok(None)
            }
            At::Cancel { then, .. } => match &workflow.cancel {
                Some(step) => self.advance_step(step, Phase::Cancel, now_ms, drawn),
                None => {
                    self.at = At::Ended(then.clone());
                    Ok(None)
                }
            },
            At::Cleanup(i) => match workflow.cleanup.get(*i) {
                Some(step) => self.advance_step(step, Phase::Cleanup, now_ms, drawn),
                None => {
                    self.at = At::Ended(Ending::Succeeded {
                        output: Value::Null,
                        warnings: Vec::new(),
                    });
                    Ok(None)
                }
            },
        }
    }

    /// Judges what came. `random`, from 0 to 1, is the jitter of the next wait.
    /// What does not fit where the run stands is late, and changes nothing.
    pub fn on(&mut self, event: Event, now_ms: i64, random: f64) -> Verdict {
        let moment = Moment { now_ms, random };
        match event {
            Event::CancelAsked => self.on_cancel_asked(),
            Event::Called { proved } => self.on_called(proved, now_ms),
            Event::Named(job) => self.on_named(job),
            Event::Candidates(ids) => self.on_candidates(&ids, moment),
            Event::Contested => self.on_contested(moment),
            Event::Fetched(facts) => self.on_fetched(facts, moment),
            Event::FetchFailed(fault) => self.on_fetch_failed(fault, moment),
            Event::Answered(received) => self.on_answered(received, moment),
            Event::StreamEnded(fault) => {
                let verdict = self.on_stream_ended(fault, moment);
                verdict.unwrap_or_else(|fault| self.fail(fault))
            }
            Event::NoToken(fault) => self.on_no_token(fault, moment),
            Event::NotSent(fault) => self.on_nothing(fault, true, moment),
            Event::Broken(fault) => self.on_nothing(fault, false, moment),
        }
    }

    fn on_answered(&mut self, received: Received, moment: Moment) -> Verdict {
        let revision = Arc::clone(&self.setting.revision);
        let workflow = &revision.workflow;
        self.trusted &= received.trusted;
        let verdict = match &self.at {
            At::Submit => self.on_submit_answer(received, moment),
            At::Settle => self.on_settle_answer(received, moment),
            At::Before(i) => self.on_step_answer(workflow.before.get(*i), received, moment),
            At::Cleanup(i) => self.on_step_answer(workflow.cleanup.get(*i), received, moment),
            At::Cancel { .. } => self.on_cancel_answer(workflow.cancel.as_ref(), &received, moment),
            At::Step(i) => match workflow.steps.get(*i) {
                Some(Step {
                    action: Does::Poll(poll),
                    ..
                }) => self.on_poll_answer((*i, poll), received, Asked::ByItself, moment),
                step => self.on_step_answer(step, received, moment),
            },
            At::Finish | At::Ended(_) => Ok(Verdict::Continue),
        };
        verdict.unwrap_or_else(|fault| self.fail(fault))
    }

    /// The exchange gave no answer.
    fn on_nothing(&mut self, fault: Fault, not_sent: bool, moment: Moment) -> Verdict {
        match &self.at {
            At::Submit => self.on_submit_nothing(fault, not_sent, moment),
            At::Settle => self.on_settle_nothing(moment),
            At::Cancel { .. } => self.cancel_later(fault, None, moment),
            At::Finish | At::Ended(_) => Verdict::Continue,
            At::Before(_) | At::Step(_) | At::Cleanup(_) => {
                self.repeat(fault, Some(Class::Transient), None, moment)
            }
        }
    }

    /// Whether the submit is answered by a stream, to be heard piece by piece.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.setting.revision.response.stream.is_some()
    }

    /// All that must survive a crash, for `run_states.captured`. Stays below
    /// 64 KiB; an answer that does not fit is [`Flow::large_answer`].
    #[must_use]
    pub fn captured(&self) -> Value {
        self.record.to_json()
    }

    /// A synchronous answer too large for `captured`: store it before the
    /// acceptance is committed, and give it back in [`Resume::answer`].
    #[must_use]
    pub fn large_answer(&self) -> Option<&Received> {
        self.record
            .answer
            .as_ref()
            .filter(|_| self.record.answer_is_large())
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> Uuid {
        self.setting.identity.run_id
    }

    /// The slug of the provider whose revision it runs.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.setting.revision.provider
    }

    /// The provider's id of the job, once it has one.
    #[must_use]
    pub fn job_id(&self) -> Option<&str> {
        self.record.job_id()
    }

    /// The provider's last word about the job.
    #[must_use]
    pub fn provider_status(&self) -> Option<&str> {
        self.record.word.as_deref()
    }

    /// Why a step of `cleanup` has failed, once: a warning, for the run has ended.
    pub fn take_warning(&mut self) -> Option<Fault> {
        self.warning.take()
    }

    /// The token of a new attempt, before [`Flow::next`] renders its submit.
    pub fn set_token(&mut self, token: Uuid) {
        self.setting.identity.token = token;
        self.values.set_identity(&self.setting.identity);
    }

    /// Stand-ins for what answers give, for a plan.
    pub(crate) fn imagine(&mut self, job_id: &str, captures: &[(String, Map<String, Value>)]) {
        self.record.set_job_id(job_id);
        for (step, values) in captures {
            self.record.keep(step, values.clone(), &[]);
        }
    }

    /// Renders one exchange over what is known, for a plan.
    pub(crate) fn render_step(&self, exchange: &Exchange, drawn: Drawn) -> Result<Request, Fault> {
        let scope = self.scope(drawn);
        self.site()?
            .renderer(&self.setting, &scope, drawn)
            .request(exchange, None)
    }

    /// The revision that it runs.
    #[must_use]
    pub fn revision(&self) -> Arc<Revision> {
        Arc::clone(&self.setting.revision)
    }

    pub(super) fn site(&self) -> Result<&Site, Fault> {
        self.site.as_deref().map_err(Clone::clone)
    }

    pub(super) fn scope(&self, drawn: Drawn) -> Scope<'_> {
        let spared = matches!(self.at, At::Step(i) if self.spares_steps == Some(i));
        let mut scope = self
            .values
            .scope(&self.setting, &self.record, drawn, !spared);
        if let Some(each) = &self.each
            && let Some(item) = each.items.get(each.next)
        {
            scope.item(item.clone(), each.next);
        }
        scope
    }

    /// What no text for people may have in it.
    pub(super) fn hidden(&self) -> Hidden<'_> {
        Hidden::new(&self.setting.secrets, self.record.secret_texts())
    }

    pub(super) fn judge<'a>(&'a self, scope: &'a Scope<'a>) -> Judge<'a> {
        Judge {
            errors: &self.setting.revision.errors,
            scope,
            hidden: self.hidden(),
            trusted: self.trusted,
        }
    }
}

/// When something came, and the random part of the wait after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now_ms: i64,
    pub(super) random: f64,
}

impl Moment {
    /// For conditions that read answers: their draws are sent nowhere.
    pub(super) fn drawn(self) -> Drawn {
        Drawn {
            unix_ms: self.now_ms,
            seed: Uuid::nil(),
        }
    }
}

pub(super) fn poll_of(step: Option<&Step>) -> Option<&Poll> {
    match step {
        Some(Step {
            action: Does::Poll(poll),
            ..
        }) => Some(poll),
        _ => None,
    }
}

fn phase_of(step: &Step) -> Phase {
    match step.action {
        Does::Request => Phase::Step,
        Does::Poll(_) => Phase::Poll,
        Does::Download(_) => Phase::Download,
    }
}

/// Says which step a fault belongs to.
pub(super) fn in_step(step: &str, mut fault: Fault) -> Fault {
    if fault
        .class()
        .is_none_or(|class| class_word(class).is_empty())
    {
        fault.message = format!("step `{step}`: {}", fault.message);
    }
    fault
}
