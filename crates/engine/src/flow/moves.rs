//! How a run moves on, repeats and ends.

use super::machine::{At, Flow, Moment, poll_of};
use super::record::Seen;
use super::{Action, Ending, Phase, Verdict, Why};
use crate::fault::{Fault, Kind, OF_THE_ACCOUNT, PASSING};
use crate::output;
use crate::request::{Drawn, Request};
use crate::wait::{self, Pace};
use profile::revision::{Class, Poll, Revision};

/// A job without a poll of its own is given up after a day.
const LIFE_MS: u64 = 86_400_000;

/// How long a job may take, from its acceptance, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobTimes {
    /// Until its caller is told that it is overdue.
    pub deadline_ms: u64,
    /// Until it may be given up.
    pub life_ms: u64,
}

/// What the polls of a revision say about its jobs; without one, a day. Of several the shortest deadline: each has its own,
/// [`Flow::overdue_at_ms`]. A job has one life, the longest.
#[must_use]
pub fn job_times(revision: &Revision) -> JobTimes {
    let deadline = polls(revision).map(|poll| poll.deadline_ms).min();
    let life = polls(revision).map(|poll| poll.max_job_life_ms).max();
    JobTimes {
        deadline_ms: deadline.unwrap_or(LIFE_MS),
        life_ms: life.unwrap_or(LIFE_MS),
    }
}

fn polls(revision: &Revision) -> impl Iterator<Item = &Poll> {
    let steps = revision.workflow.steps.iter();
    steps.filter_map(|step| poll_of(Some(step)))
}

impl Flow {
    /// Goes to a step after the submit.
    pub(super) fn enter(&mut self, i: usize, now_ms: i64) {
        self.at = At::Step(i);
        self.tries = 0;
        self.each = None;
        self.wait = None;
        let revision = self.revision();
        if let (Some(poll), Some(accepted)) =
            (poll_of(revision.workflow.steps.get(i)), self.accepted_at_ms)
        {
            let due = wait::due_at(poll, accepted, now_ms);
            self.wait = Some((self.in_rounds(poll, due, Pace::Own, now_ms), Why::Poll));
        }
    }

    /// The moment at which runs that share a request ask together; without a `batch` its own.
    pub(super) fn in_rounds(&self, poll: &Poll, next_ms: i64, pace: Pace, now_ms: i64) -> i64 {
        match &poll.batch {
            Some(_) => wait::in_rounds(poll, (next_ms, pace), self.setting.phase_ms, now_ms),
            None => next_ms,
        }
    }

    /// Ends the run for a reason of ours, unless it only stops or cleans up.
    pub(super) fn stop(&mut self, fault: Fault) {
        let _ = self.fail(fault);
    }

    pub(super) fn fail(&mut self, fault: Fault) -> Verdict {
        self.wait = None;
        match &self.at {
            At::Cleanup(i) => {
                self.at = At::Cleanup(i + 1);
                (self.tries, self.each) = (0, None);
                self.warning = Some(fault);
                Verdict::Continue
            }
            At::Cancel { then, .. } => {
                self.at = At::Ended(then.clone());
                Verdict::Continue
            }
            // What kept us from settling says nothing about the job.
            At::Settle => {
                let fault = Fault {
                    kind: Kind::Class(Class::UnknownOutcome),
                    ..fault
                };
                self.end(fault)
            }
            _ => self.end(fault),
        }
    }

    fn end(&mut self, fault: Fault) -> Verdict {
        self.at = At::Ended(Ending::Failed(fault.clone()));
        Verdict::Failed(fault)
    }

    /// An exchange that may be repeated has failed: again by `retry`, later when
    /// the credential is refused, or not at all, as its class says. Once the job
    /// is paid for, what passes is repeated for as long as the job may live.
    pub(super) fn repeat(
        &mut self,
        fault: Fault,
        class: Option<Class>,
        hint_ms: Option<u64>,
        moment: Moment,
    ) -> Verdict {
        let paid = self.accepted_at_ms.is_some() && matches!(self.at, At::Step(_));
        let alive = paid && moment.now_ms < self.give_up_at_ms();
        let is_of = |classes: &[Class]| class.is_some_and(|class| classes.contains(&class));
        let (passes, account) = (is_of(PASSING), is_of(OF_THE_ACCOUNT));
        let retry = &self.setting.revision.retry;
        if passes && (self.tries < retry.max || alive) || account && alive {
            let ms = hint_ms.unwrap_or_else(|| wait::backoff(retry, self.tries, moment.random));
            self.tries = self.tries.saturating_add(1);
            let why = if account {
                Why::Credential
            } else {
                Why::Backoff
            };
            let ms = if account {
                ms.max(retry.max_backoff_ms)
            } else {
                ms
            };
            self.wait = Some((wait::at(moment.now_ms, ms), why));
            return if account {
                Verdict::CredentialRefused(fault)
            } else {
                Verdict::Continue
            };
        }
        self.fail(fault)
    }

    /// When the job is given up.
    pub(super) fn give_up_at_ms(&self) -> i64 {
        self.after_lives(1)
    }

    /// The moment that is so many lives of the job after its acceptance.
    pub(super) fn after_lives(&self, lives: u64) -> i64 {
        let times = job_times(&self.setting.revision);
        let life_ms = times.life_ms.saturating_mul(lives);
        wait::at(self.accepted_at_ms.unwrap_or(0), life_ms)
    }

    /// When the caller is told at the earliest that the job is overdue.
    pub(super) fn deadline_at_ms(&self) -> i64 {
        let times = job_times(&self.setting.revision);
        wait::at(self.accepted_at_ms.unwrap_or(0), times.deadline_ms)
    }

    pub(super) fn first_poll_ms(&self, of: impl Fn(&Poll) -> u64) -> Option<u64> {
        polls(&self.setting.revision).next().map(of)
    }

    /// When the caller is told that the job is overdue: by the poll at hand, else the last one before. Milliseconds since
    /// 1970; absent before acceptance, and without a poll.
    #[must_use]
    pub fn overdue_at_ms(&self) -> Option<i64> {
        let At::Step(at) = self.at else {
            return None;
        };
        let steps = &self.setting.revision.workflow.steps;
        let mut here = steps.iter().skip(at);
        let mut before = steps.iter().take(at).rev();
        let poll = here.find_map(|step| poll_of(Some(step)));
        let poll = poll.or_else(|| before.find_map(|step| poll_of(Some(step))))?;
        Some(wait::at(self.accepted_at_ms?, poll.deadline_ms))
    }

    /// The answer that the next step reads: the nearest before that is not a download's.
    pub(super) fn last(&self) -> Option<&Seen> {
        self.seen.iter().rev().find(|seen| !seen.is_download)
    }

    pub(super) fn remember(&mut self, seen: Seen) {
        self.seen.retain(|have| have.step != seen.step);
        self.seen.push(seen);
    }

    pub(super) fn finish(&self, drawn: Drawn) -> Result<Ending, Fault> {
        let scope = self.scope(drawn);
        let made = output::assemble(&output::Made {
            revision: &self.setting.revision,
            call: &self.setting.checked.call,
            run_id: self.setting.identity.run_id,
            job_id: self.record.job_id(),
            word: self.record.word.as_deref(),
            last: self.last().map(Seen::view),
            last_text: self.last_text(),
            captures: self.record.shown(),
            artifacts: &self.artifacts,
            scope: &scope,
        })?;
        Ok(Ending::Succeeded {
            output: made.output,
            warnings: made.warnings,
        })
    }

    /// The text of a stream or, in the mode `text`, of the last answer.
    fn last_text(&self) -> Option<&str> {
        if self.setting.revision.response.stream.is_some() {
            let submit = self.seen.iter().find(|seen| seen.step == "submit")?;
            return submit.answer.view().text;
        }
        std::str::from_utf8(&self.last()?.received.body).ok()
    }

    pub(super) fn deadline_fault(&self) -> Fault {
        let job = self.record.job_id().unwrap_or_default();
        let word = self.record.word.as_deref().unwrap_or("nothing");
        let mut fault = Fault::new(
            Kind::DeadlineExceeded,
            format!(
                "job `{job}` did not end within its life; the provider's last word is `{word}`"
            ),
        );
        fault.provider_code.clone_from(&self.record.word);
        fault
    }

    pub(super) fn send(&mut self, phase: Phase, request: Request) -> Action {
        if let Some(first) = Self::token_first(&request, request.drawn.unix_ms) {
            return first;
        }
        self.trusted = request.trusted;
        Action::Exchange { phase, request }
    }
}
