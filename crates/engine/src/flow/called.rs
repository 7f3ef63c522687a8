//! A callback of the provider: it decides when we ask and, while nobody knows
//! the job, which one we ask about. What the answer is, only our own poll says.

use super::machine::{At, Moment, poll_of};
use super::record::Seen;
use super::{Action, Flow, Phase, Verdict, Why};
use crate::answer::{selected, unread};
use crate::fault::Fault;
use crate::request::{Drawn, Received};
use crate::wait;
use crate::webhook::Callback;
use profile::revision::{Exchange, JobState, Poll, Revision};

/// Jobs that callbacks name for one run; more are not asked about.
const NAMED_MAX: usize = 16;
/// A job that the provider does not know yet is asked about so often.
const MISSING_MAX: u8 = 3;

/// What a callback means to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// The profile passes it over, or it is about another job.
    Nothing,
    /// Something happened to the job: [`super::Event::Called`].
    Something,
    /// The job of a run that knows none: [`super::Event::Named`].
    Job(String),
}

/// The jobs that callbacks named while nobody knew ours.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// To be asked about, in the order in which they came.
    wait: Vec<Name>,
    /// No poll answered for these, or they are another run's.
    refused: Vec<String>,
    /// Our own poll answered for this one.
    pub(super) answered: Option<String>,
    /// The exchange at hand asks about the first.
    pub(super) asking: bool,
}

#[derive(Debug)]
struct Name {
    job: String,
    missing: u8,
}

/// What a poll says about a job that a callback named.
enum Answers {
    Yes,
    /// The provider does not know it, or says nothing of a job.
    No,
    Later(Option<u64>),
}

impl Flow {
    /// What a callback means, as the profile reads it.
    ///
    /// # Errors
    ///
    /// [`Fault`] when a condition of the profile cannot be judged: it means nothing then.
    pub fn meaning(&self, callback: &Callback, now_ms: i64) -> Result<Meant, Fault> {
        let revision = self.revision();
        let Some(webhook) = &revision.webhook else {
            return Ok(Meant::Something);
        };
        let moment = Moment {
            now_ms,
            random: 0.5,
        };
        let (answer, scope) = (callback.read(), self.scope(moment.drawn()));
        if let Some(when) = &webhook.when
            && !when
                .holds_for(answer.view(), &scope)
                .map_err(|error| unread(&error))?
        {
            return Ok(Meant::Nothing);
        }
        Ok(match (self.job_id(), callback.job_id(webhook)) {
            (Some(ours), Some(named)) if ours != named => Meant::Nothing,
            (None, Some(named)) => Meant::Job(named),
            _ => Meant::Something,
        })
    }

    /// The next poll is due at once; without a proof, once an interval at most.
    pub(super) fn on_called(&mut self, proved: bool, now_ms: i64) -> Verdict {
        let (At::Step(i), Some((until_ms, Why::Poll))) = (&self.at, self.wait) else {
            return Verdict::Continue;
        };
        let revision = self.revision();
        let poll = poll_of(revision.workflow.steps.get(*i));
        let due_ms = match (proved, self.hinted_at_ms, poll) {
            (false, Some(last), Some(poll)) => now_ms.max(wait::at(last, poll.interval_ms)),
            _ => now_ms,
        };
        if due_ms < until_ms {
            self.wait = Some((due_ms, Why::Poll));
            self.hinted_at_ms = Some(due_ms);
        }
        Verdict::Continue
    }

    /// A callback names a job while nobody knows ours: our own poll is asked about it.
    pub(super) fn on_named(&mut self, job: String) -> Verdict {
        let names = &mut self.names;
        let is_new = !names.refused.contains(&job) && names.wait.iter().all(|one| one.job != job);
        let count = names.wait.len() + names.refused.len();
        if matches!(self.at, At::Settle) && is_new && count < NAMED_MAX {
            names.wait.push(Name { job, missing: 0 });
            self.wait = None;
        }
        Verdict::Continue
    }

    /// Whether our poll did not answer for that job, or it is another run's.
    #[must_use]
    pub fn has_refused(&self, job: &str) -> bool {
        self.names.refused.iter().any(|refused| refused == job)
    }

    /// Asks the poll about the first job that was named. `None`: none was.
    pub(super) fn advance_named(&mut self, drawn: Drawn) -> Option<Action> {
        while let Some(name) = self.names.wait.first() {
            let job = name.job.clone();
            let revision = self.revision();
            let request = first_poll(&revision).and_then(|(exchange, _)| {
                self.about(&job, |flow| {
                    let scope = flow.scope(drawn);
                    flow.site()?
                        .renderer(&flow.setting, &scope, drawn)
                        .request(exchange, None)
                })
                .ok()
            });
            if let Some(request) = request {
                let action = self.send(Phase::Settle, request);
                self.names.asking = matches!(action, Action::Exchange { .. });
                return Some(action);
            }
            // A poll that needs what only the lost answer had cannot ask.
            self.refuse_named();
        }
        None
    }

    /// Our poll answered. A job that it answers for is ours, if no other run has it.
    pub(super) fn on_named_answer(
        &mut self,
        received: Received,
        moment: Moment,
    ) -> Result<Verdict, Fault> {
        self.names.asking = false;
        let Some(job) = self.names.wait.first().map(|name| name.job.clone()) else {
            return Ok(Verdict::Continue);
        };
        let seen = Seen::new("poll", received);
        let answers = self.about(&job, |flow| flow.answers(&seen, moment));
        match answers? {
            Answers::Yes => {
                self.names.answered = Some(job.clone());
                return Ok(Verdict::Candidates(vec![job]));
            }
            Answers::Later(hint_ms) => return Ok(self.settle_later(moment, hint_ms)),
            Answers::No => {}
        }
        if let Some(name) = self.names.wait.first_mut() {
            name.missing += 1;
            if name.missing < MISSING_MAX {
                return Ok(self.settle_later(moment, None));
            }
        }
        self.refuse_named();
        Ok(Verdict::NotSettled)
    }

    /// The job at hand is another's, or nobody's.
    pub(super) fn refuse_named(&mut self) {
        let names = &mut self.names;
        (names.answered, names.asking) = (None, false);
        if !names.wait.is_empty() {
            let name = names.wait.remove(0);
            names.refused.push(name.job);
        }
    }

    /// Does something as if that job were ours.
    fn about<T>(
        &mut self,
        job: &str,
        work: impl FnOnce(&Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let before = self.record.clone();
        self.record.set_job_id(job);
        let done = work(self);
        self.record = before;
        done
    }

    /// Only a good answer that says something of the job answers for it: a failure, an empty answer or an expired job may be
    /// anybody's.
    fn answers(&self, seen: &Seen, moment: Moment) -> Result<Answers, Fault> {
        let revision = self.revision();
        let Some((exchange, poll)) = first_poll(&revision) else {
            return Ok(Answers::No);
        };
        let scope = self.scope(moment.drawn());
        let (judge, whole) = (self.judge(&scope), seen.view());
        let good = (200..300).contains(&whole.status);
        let item = match &poll.select {
            Some(select) if good => selected(select, whole, &scope)?,
            _ => None,
        };
        let view = item.as_ref().map_or(whole, |item| whole.with_body(item));
        let is_there = good && (poll.select.is_none() || item.is_some());
        match judge.state(poll, view)?.filter(|_| is_there) {
            Some(JobState::Expired) => return Ok(Answers::No),
            Some(_) => return Ok(Answers::Yes),
            None => {}
        }
        if let Some(failure) = judge.failure(whole, &exchange.ok_status, moment.now_ms)? {
            return Ok(match failure.fault.passes() {
                true => Answers::Later(failure.hint_ms),
                false => Answers::No,
            });
        }
        Ok(match is_there && poll.status.first(view).is_some() {
            true => Answers::Yes,
            false => Answers::No,
        })
    }
}

fn first_poll(revision: &Revision) -> Option<(&Exchange, &Poll)> {
    let mut steps = revision.workflow.steps.iter();
    steps.find_map(|step| Some((step.exchange.as_ref()?, poll_of(Some(step))?)))
}
