//! An unknown outcome, settled only as the profile declares.

use super::machine::{At, Moment};
use super::record::Seen;
use super::submit::is_id;
use super::{Action, Ending, Flow, Phase, Verdict, Why};
use crate::answer::{Failure, all_selected, is_json, unread};
use crate::fault::{Fault, Kind};
use crate::request::{Drawn, Received};
use crate::wait;
use profile::revision::{Class, Settle};
use uuid::Uuid;

/// After the transport's time-out and a minute, what is not settled fails visibly.
const PATIENCE_MS: u64 = 60_000;
/// Replays of one attempt.
const REPLAYS_MAX: u32 = 3;
/// Between two look-ups.
const AGAIN_MS: u64 = 15_000;

/// What a look-up found.
#[derive(Debug, Default)]
struct Found {
    /// Each once.
    ids: Vec<String>,
    /// Whether the answer is what was asked for, and every candidate has an id.
    all: bool,
}

impl Found {
    /// `readable`: the answer is what was asked for.
    fn of(found: Vec<Option<String>>, readable: bool) -> Self {
        let count = found.len();
        let ids = found.into_iter().flatten().filter(|id| is_id(id));
        let mut ids: Vec<String> = ids.collect();
        let all = readable && ids.len() == count;
        ids.sort_unstable();
        ids.dedup();
        Self { ids, all }
    }
}

impl Flow {
    pub(super) fn begin_settling(&mut self) {
        self.saw_all = false;
        self.at = At::Settle;
        self.tries = 0;
        self.wait = None;
    }

    pub(super) fn advance_settle(
        &mut self,
        now_ms: i64,
        drawn: Drawn,
    ) -> Result<Option<Action>, Fault> {
        if let Some(action) = self.advance_named(drawn) {
            return Ok(Some(action));
        }
        let revision = self.revision();
        let give_up = self.settle_until_ms();
        match self
            .chosen_at()
            .and_then(|at| revision.submits.get(at)?.terms.settle.as_ref())
        {
            Some(Settle::Lookup {
                exchange,
                visible_after_ms,
                ..
            }) => {
                let visible = wait::at(self.settle_from_ms(), *visible_after_ms);
                if now_ms < visible {
                    return Ok(Some(Action::Wait {
                        until_ms: visible,
                        why: Why::Settle,
                    }));
                }
                if now_ms >= give_up.max(wait::at(visible, PATIENCE_MS)) && self.tries > 0 {
                    return Ok(self.unsettled());
                }
                let attempt = self.attempt_drawn();
                let request = {
                    let scope = self.scope(attempt);
                    self.site()?
                        .renderer(&self.setting, &scope, drawn)
                        .request(exchange, None)?
                };
                Ok(Some(self.send(Phase::Settle, request)))
            }
            Some(Settle::Replay) if self.may_replay(now_ms) => {
                let lacks = self.setting.secrets.lacks_token(None, now_ms);
                Ok(Some(match lacks {
                    true => Action::Token { auth: None },
                    false => Action::Replay,
                }))
            }
            Some(Settle::Callback) => {
                let most = self
                    .first_poll_ms(|poll| poll.deadline_ms)
                    .unwrap_or(PATIENCE_MS);
                let until = give_up.max(wait::at(self.settle_from_ms(), most));
                // Another process may have heard it: looked at again and again.
                let soon = until.min(wait::at(now_ms, AGAIN_MS));
                Ok(self.wait_or_fail(now_ms, if now_ms < until { soon } else { until }))
            }
            Some(Settle::Replay) | None => Ok(self.wait_or_fail(now_ms, give_up)),
        }
    }

    fn wait_or_fail(&mut self, now_ms: i64, until_ms: i64) -> Option<Action> {
        if now_ms < until_ms {
            return Some(Action::Wait {
                until_ms,
                why: Why::Settle,
            });
        }
        self.unsettled()
    }

    fn unsettled(&mut self) -> Option<Action> {
        let fault = Fault::new(
            Kind::Class(Class::UnknownOutcome),
            "whether the provider took the job could not be found out",
        );
        self.at = At::Ended(Ending::Failed(fault));
        None
    }

    /// When the sender ended, as far as is known.
    fn settle_from_ms(&self) -> i64 {
        self.sender_ended_at_ms.or(self.sent_at_ms).unwrap_or(0)
    }

    fn settle_until_ms(&self) -> i64 {
        let submits = &self.setting.revision.submits;
        let timeout = submits
            .iter()
            .map(|submit| submit.exchange.timeout_ms)
            .max()
            .unwrap_or(PATIENCE_MS);
        wait::at(self.sent_at_ms.unwrap_or(0), timeout + PATIENCE_MS)
    }

    /// The same bytes again: within the life of the token less a tenth.
    fn may_replay(&self, now_ms: i64) -> bool {
        let token = self.terms().and_then(|terms| terms.idempotency.as_ref());
        let life_ms = token.map_or(0, |token| token.retention_s * 900);
        self.replays < REPLAYS_MAX && now_ms < wait::at(self.sent_at_ms.unwrap_or(0), life_ms)
    }

    /// Conditions of `settle` read the time at which the attempt was sent. When
    /// that is not known, 1970: every job may be ours, and no page goes back far
    /// enough.
    pub(super) fn attempt_drawn(&self) -> Drawn {
        Drawn {
            unix_ms: self.sent_at_ms.unwrap_or(0),
            seed: Uuid::nil(),
        }
    }

    pub(super) fn on_settle_answer(
        &mut self,
        received: Received,
        moment: Moment,
    ) -> Result<Verdict, Fault> {
        if self.names.asking {
            return self.on_named_answer(received, moment);
        }
        match self.settles() {
            Some(Settle::Lookup { .. }) => self.on_lookup(received, moment),
            Some(Settle::Replay) => self.on_replayed(received, moment),
            Some(Settle::Callback) | None => Ok(Verdict::Continue),
        }
    }

    /// A replay that gave no answer may have reached the provider all the same.
    pub(super) fn on_settle_nothing(&mut self, moment: Moment) -> Verdict {
        let asking = std::mem::take(&mut self.names.asking);
        if !asking && matches!(self.settles(), Some(Settle::Replay)) {
            self.replays = self.replays.saturating_add(1);
        }
        self.settle_later(moment, None)
    }

    fn on_lookup(&mut self, received: Received, moment: Moment) -> Result<Verdict, Fault> {
        let seen = Seen::new("settle", received);
        self.saw_all = false;
        match self.candidates(&seen, moment)? {
            Ok(found) => {
                self.saw_all = self.trusted && found.all && self.is_complete(&seen)?;
                Ok(Verdict::Candidates(found.ids))
            }
            Err(failure) => Ok(self.settle_later(moment, failure.hint_ms)),
        }
    }

    /// Whether our job would have to be in this answer.
    fn is_complete(&self, seen: &Seen) -> Result<bool, Fault> {
        let Some(Settle::Lookup {
            complete: Some(condition),
            ..
        }) = self.settles()
        else {
            return Ok(true);
        };
        let scope = self.scope(self.attempt_drawn());
        condition
            .holds_for(seen.view(), &scope)
            .map_err(|error| unread(&error))
    }

    /// Every id that may be ours; the failure when the look-up itself failed.
    fn candidates(&self, seen: &Seen, moment: Moment) -> Result<Result<Found, Failure>, Fault> {
        let Some(Settle::Lookup {
            exchange,
            select,
            job_id,
            ..
        }) = self.settles()
        else {
            return Ok(Ok(Found::default()));
        };
        let scope = self.scope(self.attempt_drawn());
        let view = seen.view();
        let failure = self
            .judge(&scope)
            .failure(view, &exchange.ok_status, moment.now_ms)?;
        match failure {
            // A look-up by our own tag answers so when there is nothing.
            Some(failure) if failure.fault.class() == Some(Class::NotFound) && select.is_none() => {
                return Ok(Ok(Found::of(Vec::new(), true)));
            }
            Some(failure) => return Ok(Err(failure)),
            None => {}
        }
        Ok(Ok(match select {
            Some(select) => {
                let items = all_selected(select, view, &scope)?;
                let ids = items.iter();
                let ids = ids.map(|item| job_id.first_text(view.with_body(item)));
                // Where no list is, nothing is missing from it.
                Found::of(ids.collect(), !select.list.all(view).is_empty())
            }
            None => {
                let ids = job_id.all_text(view).into_iter().map(Some);
                Found::of(ids.collect(), is_json(&seen.answer) == Some(true))
            }
        }))
    }

    /// Of the candidates, those that no attempt ever had. One is ours. None is
    /// proof only when the sender itself has ended, nothing was replayed, and the
    /// look-up before saw all that could be ours.
    pub(super) fn on_candidates(&mut self, ids: &[String], moment: Moment) -> Verdict {
        if !matches!(self.at, At::Settle) {
            return Verdict::Continue;
        }
        let saw_all = std::mem::take(&mut self.saw_all);
        let answered = self.names.answered.take();
        match ids {
            [id] if answered.as_ref().is_none_or(|ours| ours == id)
                && self.may_adopt(answered.is_some()) =>
            {
                self.accepted(id, None, true, moment)
            }
            _ if answered.is_some() => {
                // Another run has it.
                self.refuse_named();
                Verdict::NotSettled
            }
            [] if saw_all && self.sender_ended_at_ms.is_some() && self.replays == 0 => {
                self.absent(moment)
            }
            _ => {
                let _ = self.settle_later(moment, None);
                Verdict::NotSettled
            }
        }
    }

    /// What a callback names is adopted only once our own poll has answered for it.
    fn may_adopt(&self, answered: bool) -> bool {
        answered || !matches!(self.settles(), Some(Settle::Callback))
    }

    /// Neither ours for certain nor absent.
    pub(super) fn on_contested(&mut self, moment: Moment) -> Verdict {
        if !matches!(self.at, At::Settle) {
            return Verdict::Continue;
        }
        self.saw_all = false;
        let _ = self.settle_later(moment, None);
        Verdict::NotSettled
    }

    fn absent(&mut self, moment: Moment) -> Verdict {
        if !self.may_count() {
            let fault = Fault::new(
                Kind::Class(Class::Transient),
                "the provider failed on every try, and took the job on none",
            );
            // Proved, so it is not unknown any more.
            self.at = At::Submit;
            return self.fail(fault);
        }
        let _ = self.retry(None, true, moment);
        // Absence has just been waited for.
        self.wait = None;
        Verdict::Absent
    }

    pub(super) fn settle_later(&mut self, moment: Moment, hint_ms: Option<u64>) -> Verdict {
        self.tries = self.tries.saturating_add(1);
        self.wait = Some((
            wait::at(moment.now_ms, hint_ms.unwrap_or(AGAIN_MS)),
            Why::Settle,
        ));
        Verdict::Continue
    }

    /// Once a replay has begun, no refusal frees the run: only success settles it.
    fn on_replayed(&mut self, received: Received, moment: Moment) -> Result<Verdict, Fault> {
        self.replays = self.replays.saturating_add(1);
        let at = std::mem::replace(&mut self.at, At::Submit);
        let (ended, record) = (self.sender_ended_at_ms, self.record.clone());
        let verdict = self.on_submit_answer(received, moment)?;
        if matches!(verdict, Verdict::Accepted(_) | Verdict::Answered) {
            return Ok(verdict);
        }
        (self.at, self.sender_ended_at_ms, self.record) = (at, ended, record);
        Ok(self.settle_later(moment, None))
    }

    /// The sender's own answer, found where it was stored before its acceptance could be written: as good as when it came.
    /// Anything but a job or an answer changes nothing.
    #[must_use]
    pub fn found_answer(&mut self, received: Received, now_ms: i64) -> Verdict {
        if !matches!(self.at, At::Settle) {
            return Verdict::Continue;
        }
        let moment = Moment {
            now_ms,
            random: 0.5,
        };
        let at = std::mem::replace(&mut self.at, At::Submit);
        let (ended, record) = (self.sender_ended_at_ms, self.record.clone());
        match self.on_submit_answer(received, moment) {
            Ok(verdict @ (Verdict::Accepted(_) | Verdict::Answered)) => verdict,
            _ => {
                (self.at, self.sender_ended_at_ms, self.record) = (at, ended, record);
                Verdict::Continue
            }
        }
    }
}
