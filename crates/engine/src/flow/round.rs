//! Rounds: one request that answers for many waiting runs, and what its answer says of each.
//!
//! A run ends by an answer about its own job only. An answer that cannot be the list, and a list without the run's
//! job, says nothing of it: then its own poll is asked.

use super::follow::Asked;
use super::machine::{At, Moment};
use super::{Flow, Folded, Verdict};
use crate::answer::selected;
use crate::fault::{Fault, Kind};
use crate::http::Outcome;
use crate::request::{Drawn, Received, Request};
use crate::wait;
use profile::lang::{Answer, Root};
use profile::revision::{Action as Does, Batch, Class, Poll, Revision, Step};
use serde_json::Value;

/// What a request for many jobs came to, read once for all of them.
#[derive(Debug)]
pub struct Round(Came);

#[derive(Debug)]
enum Came {
    /// Its answer, and whether it is the provider's own.
    Answer { answer: Answer, trusted: bool },
    /// Nothing.
    Nothing(Fault),
}

impl Round {
    /// What came of `request`.
    #[must_use]
    pub fn of(request: &Request, came: &Outcome) -> Self {
        Self(match came {
            Outcome::Answered(received) => Came::Answer {
                answer: received.read(),
                trusted: request.trusted && received.trusted,
            },
            Outcome::NotSent(fault) | Outcome::Broken(fault) => Came::Nothing(fault.clone()),
        })
    }
}

/// What an answer says of one run.
enum Word {
    /// This, as its own poll would.
    Item(Received),
    /// The provider cannot say now.
    Nothing(Fault, Option<u64>),
    /// Its job is not there.
    Silent,
}

impl Folded {
    /// The step that it waits at, and how many runs one request may ask for there; absent: each asks for itself.
    #[must_use]
    pub fn round(&self, revision: &Revision) -> Option<(u16, usize)> {
        let step = revision.workflow.steps.get(usize::from(self.step()))?;
        Some((self.step(), batch_of(step)?.1.size))
    }
}

impl Flow {
    /// Renders the request for these jobs, its own among them, where a poll can be asked for many.
    ///
    /// # Errors
    ///
    /// [`Fault`] when it cannot be rendered: each run asks for itself.
    pub fn render_round(&self, job_ids: &[&str], drawn: Drawn) -> Option<Result<Request, Fault>> {
        let At::Step(i) = &self.at else {
            return None;
        };
        let revision = self.revision();
        let (_, batch) = batch_of(revision.workflow.steps.get(*i)?)?;
        let mut scope = self.scope(drawn);
        scope.set(
            Root::JobIds,
            job_ids.iter().copied().map(Value::from).collect(),
        );
        Some(self.site().and_then(|site| {
            site.renderer(&self.setting, &scope, drawn)
                .request(&batch.exchange, None)
        }))
    }

    /// What the round says of this run; absent: nothing, and its own poll is to be asked.
    #[must_use]
    pub fn on_round(&mut self, round: &Round, now_ms: i64, random: f64) -> Option<Verdict> {
        let At::Step(i) = &self.at else {
            return None;
        };
        let (i, revision) = (*i, self.revision());
        let (poll, batch) = batch_of(revision.workflow.steps.get(i)?)?;
        let moment = Moment { now_ms, random };
        // What cannot be judged here, its own poll will judge.
        match self.word_of(poll, batch, round, moment).ok()? {
            Word::Item(received) => {
                self.trusted = received.trusted;
                let verdict = self.on_poll_answer((i, poll), received, Asked::InARound, moment);
                Some(verdict.unwrap_or_else(|fault| self.fail(fault)))
            }
            Word::Nothing(fault, hint_ms) => Some(self.unanswered(poll, fault, hint_ms, moment)),
            Word::Silent => None,
        }
    }

    fn word_of(
        &self,
        poll: &Poll,
        batch: &Batch,
        round: &Round,
        moment: Moment,
    ) -> Result<Word, Fault> {
        let (answer, trusted) = match &round.0 {
            Came::Answer { answer, trusted } => (answer, *trusted),
            Came::Nothing(fault) => {
                let fault = Fault {
                    kind: Kind::Class(Class::Transient),
                    ..fault.clone()
                };
                return Ok(Word::Nothing(fault, None));
            }
        };
        let scope = self.scope(moment.drawn());
        let judge = crate::answer::Judge {
            trusted,
            ..self.judge(&scope)
        };
        let whole = answer.view();
        if let Some(failure) = judge.failure(whole, &batch.exchange.ok_status, moment.now_ms)? {
            return Ok(if failure.fault.passes() {
                Word::Nothing(failure.fault, failure.hint_ms)
            } else {
                Word::Silent
            });
        }
        let hints = [poll.poll_after.as_ref(), judge.errors.retry_after.as_ref()];
        Ok(match selected(&batch.item, whole, &scope)? {
            Some(item) => Word::Item(Received {
                status: answer.status,
                headers: with_hint(answer, wait::hint(whole, &hints, moment.now_ms)),
                body: item.to_string().into(),
                trusted,
            }),
            None => Word::Silent,
        })
    }
}

/// The answer's headers; a hint in the body of the list holds for every item without one of its own.
fn with_hint(answer: &Answer, hint_ms: Option<u64>) -> Vec<(String, String)> {
    let mut headers = answer.headers.clone();
    if let Some(ms) = hint_ms {
        headers.retain(|(name, _)| name != "retry-after-ms" && name != "retry-after");
        headers.push(("retry-after-ms".to_owned(), ms.to_string()));
    }
    headers
}

fn batch_of(step: &Step) -> Option<(&Poll, &Batch)> {
    match &step.action {
        Does::Poll(poll) if step.when.is_none() && step.each.is_none() => {
            Some((poll, poll.batch.as_ref()?))
        }
        _ => None,
    }
}
