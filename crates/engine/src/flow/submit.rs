//! The submit: sent once, and what its answer means.

use super::machine::{At, Moment, poll_of};
use super::record::Seen;
use super::{Accepted, Action, Ending, Flow, Retry, Then, Verdict};
use crate::answer::{Failure, captured, is_json};
use crate::fault::{Fault, Kind};
use crate::render::Token;
use crate::request::{Drawn, Received, Request};
use crate::wait;
use profile::lang::Body;
use profile::revision::{Action as Does, Capture, Class, Mode, Settle, Submit, Terms};

/// Bytes of a job's id.
const ID_MAX: usize = 1_024;

/// What a submit's answer says.
enum Said {
    Failure(Failure),
    /// The id of a job.
    Job(String),
    /// The answer is final.
    Final,
}

impl Flow {
    pub(super) fn advance_submit(&mut self, now_ms: i64, drawn: Drawn) -> Result<Action, Fault> {
        let request = self.render_submit(drawn)?;
        if let Some(first) = Self::token_first(&request, now_ms) {
            return Ok(first);
        }
        self.trusted = request.trusted;
        self.sent_token = request.proof.fresh_until_ms.is_some();
        self.in_flight = true;
        // What is known of an attempt before says nothing about this one.
        (self.sent_at_ms, self.sender_ended_at_ms, self.replays) = (Some(now_ms), None, 0);
        Ok(Action::Submit(request))
    }

    /// Whether what is sent next belongs to the attempt to come.
    pub(crate) fn before_submit(&self) -> bool {
        matches!(self.at, At::Before(_) | At::Submit)
    }

    /// Renders the submit with recorded draws, for a replay: the same draws give
    /// the same bytes.
    ///
    /// # Errors
    ///
    /// The first value that could not be written. Nothing was sent.
    pub fn render_submit(&self, drawn: Drawn) -> Result<Request, Fault> {
        let scope = self.scope(drawn);
        let revision = &self.setting.revision;
        let submit = revision
            .submits
            .get(self.variant(drawn)?)
            .ok_or_else(no_variant)?;
        let token = submit.terms.idempotency.as_ref().map(|place| Token {
            place,
            token: self.setting.identity.token,
        });
        let mut request = self
            .site()?
            .renderer(&self.setting, &scope, drawn)
            .request(&submit.exchange, token)?;
        request.submit = true;
        Ok(request)
    }

    /// The first variant of the submit that holds, over the call and the steps before.
    fn variant(&self, drawn: Drawn) -> Result<usize, Fault> {
        let scope = self.scope(drawn);
        for (at, submit) in self.setting.revision.submits.iter().enumerate() {
            let holds = match &submit.when {
                Some(condition) => condition
                    .holds(&scope)
                    .map_err(|error| crate::answer::unread(&error))?,
                None => true,
            };
            if holds {
                return Ok(at);
            }
        }
        Err(no_variant())
    }

    /// What the submit of this run promises: of the variant that was sent, or would be. `None`: no variant can be
    /// chosen, and none was sent.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        self.chosen().map(|submit| &submit.terms)
    }

    fn chosen(&self) -> Option<&Submit> {
        self.setting.revision.submits.get(self.chosen_at()?)
    }

    /// One that was sent is chosen again by what it was sent with.
    pub(super) fn chosen_at(&self) -> Option<usize> {
        match self.setting.revision.submits.as_slice() {
            [_] => Some(0),
            _ => self.variant(self.attempt_drawn()).ok(),
        }
    }

    pub(super) fn settles(&self) -> Option<&Settle> {
        self.terms()?.settle.as_ref()
    }

    fn submit_retry(&self) -> profile::revision::Retry {
        self.terms()
            .map_or(self.setting.revision.retry, |terms| terms.retry)
    }

    pub(super) fn on_submit_answer(
        &mut self,
        received: Received,
        moment: Moment,
    ) -> Result<Verdict, Fault> {
        self.in_flight = false;
        if let Some(verdict) = self.hear_whole(&received, moment) {
            return verdict;
        }
        let seen = Seen::new("submit", received);
        match self.read_submit(&seen, moment)? {
            Said::Failure(failure) => Ok(self.refused(failure, moment)),
            Said::Job(job_id) => Ok(self.accepted(&job_id, Some(seen), false, moment)),
            Said::Final => self.answered(seen, moment),
        }
    }

    fn read_submit(&self, seen: &Seen, moment: Moment) -> Result<Said, Fault> {
        let scope = self.scope(moment.drawn());
        let judge = self.judge(&scope);
        let response = &self.setting.revision.response;
        if let Some(failure) = judge.failure(seen.view(), self.submit_ok_status(), moment.now_ms)? {
            return Ok(Said::Failure(failure));
        }
        let Some(path) = &response.job_id else {
            return Ok(Said::Final);
        };
        Ok(match path.first_text(seen.view()).filter(|id| is_id(id)) {
            Some(job_id) => Said::Job(job_id),
            None => Said::Failure(Failure {
                fault: no_id(path.source(), seen),
                hint_ms: None,
            }),
        })
    }

    fn submit_ok_status(&self) -> &[u16] {
        self.chosen()
            .map_or(&[], |submit| submit.exchange.ok_status.as_slice())
    }

    /// What may be repeated, the class alone decides.
    pub(super) fn refused(&mut self, failure: Failure, moment: Moment) -> Verdict {
        let Failure { fault, hint_ms } = failure;
        match fault.class() {
            Some(Class::UnknownOutcome) => self.unknown(fault, moment),
            Some(Class::RateLimited | Class::Overloaded) => {
                let retry = self.retry(hint_ms, false, moment);
                Verdict::Refused {
                    fault,
                    retry: Some(retry),
                }
            }
            Some(Class::Transient) if self.may_count() => {
                let retry = self.retry(hint_ms, true, moment);
                Verdict::Refused {
                    fault,
                    retry: Some(retry),
                }
            }
            Some(Class::Authentication) if self.may_renew(&fault) => {
                self.record.renewed = true;
                let mut retry = self.retry(Some(0), false, moment);
                retry.pauses_credential = false;
                Verdict::Refused {
                    fault,
                    retry: Some(retry),
                }
            }
            _ => {
                self.at = At::Ended(Ending::Failed(fault.clone()));
                Verdict::Refused { fault, retry: None }
            }
        }
    }

    /// A token that was refused may have ended before its time: once, another is had.
    fn may_renew(&self, fault: &Fault) -> bool {
        self.sent_token && fault.http_status == Some(401) && !self.record.renewed
    }

    pub(super) fn may_count(&self) -> bool {
        self.record.counted < self.submit_retry().max
    }

    /// Back to the submit, after a wait. A refusal for load pauses the
    /// credential and does not use up `retry.max`.
    pub(super) fn retry(&mut self, hint_ms: Option<u64>, counts: bool, moment: Moment) -> Retry {
        let backoff = wait::backoff(&self.submit_retry(), self.record.refused, moment.random);
        let not_before_ms = wait::at(moment.now_ms, hint_ms.unwrap_or(backoff));
        self.record.refused = self.record.refused.saturating_add(1);
        self.record.counted = self.record.counted.saturating_add(u32::from(counts));
        self.at = At::Submit;
        self.wait = Some((not_before_ms, super::Why::Backoff));
        Retry {
            not_before_ms,
            counts,
            pauses_credential: !counts,
        }
    }

    pub(super) fn on_submit_nothing(
        &mut self,
        fault: Fault,
        not_sent: bool,
        moment: Moment,
    ) -> Verdict {
        self.in_flight = false;
        if !not_sent {
            let fault = Fault {
                kind: Kind::Class(Class::UnknownOutcome),
                ..fault
            };
            return self.unknown(fault, moment);
        }
        // What the guard or the secret refuses will be refused again.
        if fault.class() == Some(Class::Transient) && self.may_count() {
            let retry = self.retry(None, true, moment);
            return Verdict::NotSent {
                fault,
                retry: Some(retry),
            };
        }
        self.at = At::Ended(Ending::Failed(fault.clone()));
        Verdict::NotSent { fault, retry: None }
    }

    pub(super) fn unknown(&mut self, fault: Fault, moment: Moment) -> Verdict {
        self.sender_ended_at_ms = Some(moment.now_ms);
        let repeats = self.terms().is_some_and(|terms| terms.repeat_on_unknown);
        let then = match (
            self.settles(),
            repeats && self.may_count() && !self.gave_part,
        ) {
            (Some(_), _) => Then::Settle,
            (None, true) => Then::Repeat,
            (None, false) => Then::Fail,
        };
        match then {
            Then::Settle => self.begin_settling(),
            Then::Repeat => {
                let _ = self.retry(None, true, moment);
            }
            Then::Fail => self.at = At::Ended(Ending::Failed(fault.clone())),
        }
        Verdict::Unknown { fault, then }
    }

    /// The provider has the job. `seen` is the sender's own answer, if it came.
    pub(super) fn accepted(
        &mut self,
        job_id: &str,
        seen: Option<Seen>,
        found: bool,
        moment: Moment,
    ) -> Verdict {
        self.record.set_job_id(job_id);
        self.accepted_at_ms = Some(moment.now_ms);
        self.enter(0, moment.now_ms);
        if let Some(seen) = seen {
            self.keep_submit(&seen);
            self.first_poll(&seen, moment);
            self.remember(seen);
        }
        Verdict::Accepted(Accepted {
            job_id: job_id.to_owned(),
            deadline_at_ms: self.deadline_at_ms(),
            give_up_at_ms: self.give_up_at_ms(),
            found,
        })
    }

    pub(super) fn answered(&mut self, seen: Seen, moment: Moment) -> Result<Verdict, Fault> {
        if self.setting.revision.response.mode == Mode::Json && is_json(&seen.answer) == Some(false)
        {
            return Err(self.not_json(&seen));
        }
        if self.setting.revision.response.stream.is_some()
            && !matches!(seen.answer.body, Body::Events(_))
        {
            return Err(no_events(&seen));
        }
        self.accepted_at_ms = Some(moment.now_ms);
        self.keep_submit(&seen);
        self.record.answer = Some(seen.received.clone());
        self.remember(seen);
        self.enter(0, moment.now_ms);
        Ok(Verdict::Answered)
    }

    fn not_json(&self, seen: &Seen) -> Fault {
        let text = String::from_utf8_lossy(&seen.received.body);
        let text = self.hidden().scrub(&text);
        let start: String = text.chars().take(80).filter(|c| !c.is_control()).collect();
        let fault = Fault::new(
            Kind::NotJson,
            format!("the answer is not JSON; it begins with `{start}`"),
        );
        fault.with_provider(seen.received.status, None, None)
    }

    fn keep_submit(&mut self, seen: &Seen) {
        let revision = self.revision();
        let captures = &revision.response.captures;
        self.record.keep(
            "submit",
            captured(captures, seen.view()),
            &secret_names(captures),
        );
        // A paid job is followed even when its captures are more than we keep.
        if self.record.is_too_large() {
            self.record.clear_captures("submit");
        }
        if self.reads_submit() {
            self.record.answer = Some(seen.received.clone());
        }
        if self.record.answer_is_large() {
            self.record.answer = None;
        }
    }

    /// Whether a step reads the submit's answer, so that it must survive.
    fn reads_submit(&self) -> bool {
        let steps = &self.setting.revision.workflow.steps;
        let first_is_poll = poll_of(steps.first()).is_some();
        let from_submit = steps.iter().any(|step| match &step.action {
            Does::Download(download) => download.from.as_deref() == Some("submit"),
            _ => false,
        });
        from_submit || !first_is_poll
    }
}

fn no_variant() -> Fault {
    Fault::new(Kind::BadRecord, "no variant of the submit holds")
}

pub(super) fn secret_names(captures: &[(String, Capture)]) -> Vec<String> {
    let secret = captures.iter().filter(|(_, capture)| capture.secret);
    secret.map(|(name, _)| name.clone()).collect()
}

/// What can be the id of a job. An index of the database takes no longer one.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len())
}

fn no_events(seen: &Seen) -> Fault {
    let given = seen.received.header("content-type").unwrap_or_default();
    let given = crate::fault::bounded(given);
    let message = format!("a stream of events was asked for, and `{given}` came");
    Fault::new(Kind::NotEvents, message).with_provider(seen.received.status, None, None)
}

fn no_id(path: &str, seen: &Seen) -> Fault {
    let what = match is_json(&seen.answer) {
        Some(true) => "has no job id",
        Some(false) => "is not JSON",
        None => "is empty",
    };
    let status = seen.received.status;
    let message = format!(
        "the answer {what} where the profile looks for it (`{path}`), with HTTP status {status}"
    );
    Fault::new(Kind::Class(Class::UnknownOutcome), message).with_provider(status, None, None)
}
