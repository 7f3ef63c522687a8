//! Following a job: polls, its end, and stopping it.

use super::machine::{At, Cancel, Moment, poll_of};
use super::record::Seen;
use super::steps::from_of;
use super::{Ending, Flow, Pending, Verdict, Why};
use crate::answer::{Failure, progress, selected};
use crate::fault::{Fault, Kind, OF_THE_ACCOUNT, PASSING, bounded_to};
use crate::request::Received;
use crate::wait::{self, Pace};
use profile::lang::View;
use profile::revision::{Class, JobState, Poll, Step};
use serde_json::Value;

/// Characters of the provider's word about a job that we keep.
const WORD_MAX: usize = 200;

/// What was asked for what a poll judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// This job.
    ByItself,
    /// Many jobs: what is judged is the item of this one.
    InARound,
}

/// What a poll's answer says.
pub(super) struct Polled {
    said: Said,
    /// The provider's word, as text.
    word: Option<String>,
    /// The selected item.
    item: Option<Value>,
    hint_ms: Option<u64>,
}

enum Said {
    Pending(Pending),
    Done,
    /// Terminal, and no success.
    Ended(JobState, Fault),
    /// It says nothing about the job.
    Nothing(Fault),
}

impl Flow {
    /// A submit answer that holds a word about the job is a first poll.
    pub(super) fn first_poll(&mut self, seen: &Seen, moment: Moment) {
        let revision = self.revision();
        let steps = &revision.workflow.steps;
        let Some(poll) = poll_of(steps.first()).filter(|_| self.holds(steps.first(), moment))
        else {
            return;
        };
        let whole = seen.view();
        let in_body = poll.select.is_none()
            && !poll.status.source().starts_with('@')
            && poll.status.first(whole).is_some();
        let read = in_body.then(|| self.read_poll(poll, seen, Asked::ByItself, moment));
        let Some(Ok(polled)) = read else {
            return;
        };
        self.record.word = polled.word.or(self.record.word.take());
        match polled.said {
            Said::Done => {
                let step = steps.first();
                let captures = step
                    .map(|step| step.captures.as_slice())
                    .unwrap_or_default();
                let name = step.map_or("poll", |step| step.name.as_str());
                // What does not fit is absent: the job is paid, and goes on.
                let _ = self.keep_captures(name, captures, seen);
                if steps.iter().any(|step| from_of(step) == Some(name)) {
                    self.remember(seen.of_step(name));
                }
                self.enter(1, moment.now_ms);
            }
            Said::Ended(_, fault) => self.at = At::Ended(Ending::Failed(fault)),
            Said::Pending(_) => {
                if let Some(ms) = polled.hint_ms {
                    let next = wait::at(moment.now_ms, ms);
                    self.wait = Some((
                        self.in_rounds(poll, next, Pace::Hint, moment.now_ms),
                        Why::Poll,
                    ));
                }
            }
            Said::Nothing(_) => {}
        }
    }

    /// Whether the step is done at all. What cannot be judged is judged again where it fails the run.
    fn holds(&self, step: Option<&Step>, moment: Moment) -> bool {
        let condition = step.and_then(|step| step.when.as_ref());
        let scope = self.scope(moment.drawn());
        condition.is_none_or(|condition| condition.holds(&scope).unwrap_or(false))
    }

    pub(super) fn on_poll_answer(
        &mut self,
        (i, poll): (usize, &Poll),
        received: Received,
        asked: Asked,
        moment: Moment,
    ) -> Result<Verdict, Fault> {
        let revision = self.revision();
        let name = revision
            .workflow
            .steps
            .get(i)
            .map_or("poll", |step| step.name.as_str());
        let mut seen = Seen::new(name, received);
        let Polled {
            said,
            word,
            item,
            hint_ms,
        } = self.read_poll(poll, &seen, asked, moment)?;
        self.record.word = word.or(self.record.word.take());
        match said {
            Said::Pending(pending) => Ok(self.pending(poll, pending, hint_ms, moment)),
            Said::Nothing(fault) => Ok(self.unanswered(poll, fault, hint_ms, moment)),
            Said::Ended(state, fault) => Ok(self.job_ended(state, fault)),
            Said::Done => {
                seen.item = item;
                let captures = revision
                    .workflow
                    .steps
                    .get(i)
                    .map(|step| step.captures.as_slice())
                    .unwrap_or_default();
                self.keep_captures(name, captures, &seen)?;
                self.remember(seen);
                self.enter(i + 1, moment.now_ms);
                let more = revision
                    .workflow
                    .steps
                    .iter()
                    .skip(i + 1)
                    .any(|step| poll_of(Some(step)).is_some());
                Ok(if more {
                    Verdict::Continue
                } else {
                    Verdict::JobDone
                })
            }
        }
    }

    /// State, then `errors`, then HTTP status.
    fn read_poll(
        &self,
        poll: &Poll,
        seen: &Seen,
        asked: Asked,
        moment: Moment,
    ) -> Result<Polled, Fault> {
        let scope = self.scope(moment.drawn());
        let judge = self.judge(&scope);
        let whole = seen.view();
        let good = (200..300).contains(&whole.status);
        let select = poll.select.as_ref().filter(|_| asked == Asked::ByItself);
        let item = match select {
            Some(select) if good => selected(select, whole, &scope)?,
            _ => None,
        };
        let view = item.as_ref().map_or(whole, |item| whole.with_body(item));
        let hints = [poll.poll_after.as_ref(), judge.retry_after()];
        let hint_ms = wait::hint(view, &hints, moment.now_ms)
            .or_else(|| wait::hint(whole, &hints, moment.now_ms));
        let word = poll.status.first_text(view).filter(|_| good);
        let word = word.map(|word| bounded_to(&judge.hidden.scrub(&word), WORD_MAX));
        let is_missing = select.is_some() && good && item.is_none();
        let said = if is_missing {
            Said::Nothing(judge.fault(Class::NotFound, whole))
        } else {
            match judge.state(poll, view)? {
                Some(JobState::Succeeded) => Said::Done,
                Some(JobState::Running | JobState::Queued) => {
                    Said::Pending(self.pending_of(poll, view, word.as_deref(), moment))
                }
                Some(state) => Said::Ended(state, judge.job_failure(state, view, whole)?),
                None => match judge.failure(whole, self.poll_ok_status(), moment.now_ms)? {
                    Some(failure) => Self::not_a_state(failure),
                    None => {
                        let pending = self.pending_of(poll, view, word.as_deref(), moment);
                        let drift = poll.drift && word.is_some();
                        Said::Pending(Pending { drift, ..pending })
                    }
                },
            }
        };
        Ok(Polled {
            said,
            word,
            item,
            hint_ms,
        })
    }

    fn poll_ok_status(&self) -> &[u16] {
        let At::Step(i) = &self.at else {
            return &[];
        };
        let step = self.setting.revision.workflow.steps.get(*i);
        step.and_then(|step| step.exchange.as_ref())
            .map_or(&[], |exchange| exchange.ok_status.as_slice())
    }

    fn not_a_state(failure: Failure) -> Said {
        match failure.fault.class() {
            Some(Class::Moderated) => Said::Ended(JobState::Moderated, failure.fault),
            Some(Class::Expired) => Said::Ended(JobState::Expired, failure.fault),
            Some(Class::InvalidRequest | Class::ProviderError) => {
                Said::Ended(JobState::Failed, failure.fault)
            }
            _ => Said::Nothing(failure.fault),
        }
    }

    fn pending_of(
        &self,
        poll: &Poll,
        view: View<'_>,
        word: Option<&str>,
        moment: Moment,
    ) -> Pending {
        Pending {
            provider_status: word.map(str::to_owned),
            progress: progress(poll, view),
            drift: false,
            overdue: moment.now_ms
                >= wait::at(
                    self.accepted_at_ms.unwrap_or(moment.now_ms),
                    poll.deadline_ms,
                ),
        }
    }

    /// The job is being worked on. Past its life this was the last poll.
    fn pending(
        &mut self,
        poll: &Poll,
        pending: Pending,
        hint_ms: Option<u64>,
        moment: Moment,
    ) -> Verdict {
        if moment.now_ms >= self.give_up_at_ms() {
            return self.give_up();
        }
        self.tries = 0;
        self.poll_later(poll, hint_ms, moment);
        Verdict::Pending(pending)
    }

    /// Nothing was said about the job. No run ends for time without an answer
    /// younger than that time, or before twice its life.
    pub(super) fn unanswered(
        &mut self,
        poll: &Poll,
        fault: Fault,
        hint_ms: Option<u64>,
        moment: Moment,
    ) -> Verdict {
        let accepted = self.accepted_at_ms.unwrap_or(moment.now_ms);
        match fault.class() {
            Some(Class::NotFound)
                if moment.now_ms >= wait::at(accepted, poll.not_found_grace_ms) =>
            {
                let expired = Fault {
                    kind: Kind::Class(Class::Expired),
                    ..fault
                };
                return self.job_ended(JobState::Expired, expired);
            }
            _ if moment.now_ms >= self.after_lives(2) => return self.give_up(),
            _ => {}
        }
        self.poll_later(poll, hint_ms, moment);
        if fault.is_any(OF_THE_ACCOUNT) {
            self.wait = self.wait.map(|(until_ms, _)| (until_ms, Why::Credential));
            return Verdict::CredentialRefused(fault);
        }
        Verdict::Continue
    }

    /// The next poll: a hint, else the interval; never past the last one that
    /// the job's life allows.
    fn poll_later(&mut self, poll: &Poll, hint_ms: Option<u64>, moment: Moment) {
        let accepted = self.accepted_at_ms.unwrap_or(moment.now_ms);
        let ms = hint_ms
            .unwrap_or_else(|| wait::after_poll(poll, accepted, moment.now_ms, moment.random));
        let give_up = self.give_up_at_ms();
        let pace = match hint_ms {
            Some(_) => Pace::Hint,
            None => Pace::Own,
        };
        let next = wait::at(moment.now_ms, ms);
        let next = self.in_rounds(poll, next, pace, moment.now_ms);
        let next = if moment.now_ms < give_up {
            next.min(give_up)
        } else {
            next
        };
        self.wait = Some((next, Why::Poll));
    }

    /// A terminal failure never reaches the download.
    fn job_ended(&mut self, state: JobState, fault: Fault) -> Verdict {
        self.wait = None;
        if state == JobState::Canceled && self.cancel != Cancel::NotAsked {
            self.at = At::Ended(Ending::Canceled);
            return Verdict::Canceled;
        }
        self.at = At::Ended(Ending::Failed(fault.clone()));
        Verdict::JobFailed(fault)
    }

    fn give_up(&mut self) -> Verdict {
        let fault = self.deadline_fault();
        let ending = Ending::Failed(fault.clone());
        self.wait = None;
        if self.setting.revision.workflow.cancel.is_some() {
            self.stop_job(ending, 0);
            return Verdict::Continue;
        }
        self.at = At::Ended(ending);
        Verdict::JobFailed(fault)
    }

    fn stop_job(&mut self, then: Ending, back: usize) {
        self.cancel = Cancel::Tried;
        (self.tries, self.each, self.wait) = (0, None, None);
        self.at = At::Cancel { then, back };
    }

    pub(super) fn on_cancel_asked(&mut self) -> Verdict {
        if matches!(self.at, At::Ended(_) | At::Cleanup(_)) {
            return Verdict::Continue;
        }
        if self.cancel == Cancel::NotAsked {
            self.cancel = Cancel::Asked;
        }
        self.heed_cancel();
        match &self.at {
            At::Ended(Ending::Canceled) => Verdict::Canceled,
            _ => Verdict::Continue,
        }
    }

    /// Acts on a cancel where that is possible. What may be on the wire, or is
    /// not settled, is learnt first; a job that is done is kept.
    pub(super) fn heed_cancel(&mut self) {
        if self.cancel != Cancel::Asked || self.in_flight {
            return;
        }
        match &self.at {
            At::Before(_) | At::Submit => {
                self.wait = None;
                self.at = At::Ended(Ending::Canceled);
            }
            At::Step(i) => {
                let i = *i;
                let revision = self.revision();
                let followed = revision
                    .workflow
                    .steps
                    .iter()
                    .skip(i)
                    .any(|step| poll_of(Some(step)).is_some());
                if !followed {
                    self.cancel = Cancel::Tried;
                } else if revision.workflow.cancel.is_some() {
                    self.stop_job(Ending::Canceled, i);
                } else {
                    self.wait = None;
                    self.at = At::Ended(Ending::Canceled);
                }
            }
            At::Settle | At::Finish | At::Cancel { .. } | At::Cleanup(_) | At::Ended(_) => {}
        }
    }

    pub(super) fn on_cancel_answer(
        &mut self,
        step: Option<&Step>,
        received: &Received,
        moment: Moment,
    ) -> Result<Verdict, Fault> {
        let answer = received.read();
        let ok = step
            .and_then(|step| step.exchange.as_ref())
            .map_or(&[][..], |exchange| &exchange.ok_status);
        let failure = {
            let scope = self.scope(moment.drawn());
            self.judge(&scope)
                .failure(answer.view(), ok, moment.now_ms)?
        };
        match failure {
            Some(Failure { fault, hint_ms }) => Ok(self.cancel_later(fault, hint_ms, moment)),
            None => Ok(self.canceled()),
        }
    }

    fn canceled(&mut self) -> Verdict {
        let At::Cancel { then, .. } = &self.at else {
            return Verdict::Continue;
        };
        let then = then.clone();
        let verdict = match &then {
            Ending::Failed(fault) => Verdict::JobFailed(fault.clone()),
            Ending::Canceled | Ending::Succeeded { .. } => Verdict::Canceled,
        };
        self.at = At::Ended(then);
        verdict
    }

    /// The provider did not stop the job: again by `retry` where that may help,
    /// else its word about the job decides.
    pub(super) fn cancel_later(
        &mut self,
        fault: Fault,
        hint_ms: Option<u64>,
        moment: Moment,
    ) -> Verdict {
        let retry = self.setting.revision.retry;
        if fault.is_any(PASSING) && self.tries < retry.max {
            let ms = hint_ms.unwrap_or_else(|| wait::backoff(&retry, self.tries, moment.random));
            self.tries += 1;
            self.wait = Some((wait::at(moment.now_ms, ms), Why::Backoff));
            return Verdict::Continue;
        }
        match &self.at {
            At::Cancel {
                then: Ending::Canceled,
                back,
            } => {
                let back = *back;
                self.enter(back, moment.now_ms);
                Verdict::Continue
            }
            _ => self.canceled(),
        }
    }
}
