//! Steps: one exchange, or one per item.

use super::machine::{At, Each, Flow, Moment, in_step};
use super::record::Seen;
use super::submit::secret_names;
use super::values::owned;
use super::{Action, Phase, Verdict};
use crate::answer::{Failure, captured, unread};
use crate::fault::{Fault, Kind};
use crate::request::{Drawn, Received};
use profile::revision::{Action as Does, Capture, Exchange, Step};
use serde_json::{Map, Value};

/// Bytes of all answers of a step with `each`: later steps and the output may read them.
const EACH_BYTES: usize = 64 * 1024 * 1024;

impl Flow {
    pub(super) fn advance_step(
        &mut self,
        step: &Step,
        phase: Phase,
        now_ms: i64,
        drawn: Drawn,
    ) -> Result<Option<Action>, Fault> {
        if self.each.is_none() && !self.begins(step, phase, drawn)? {
            self.leave(now_ms);
            return Ok(None);
        }
        if let Does::Download(download) = &step.action {
            return self.advance_download(step, download, now_ms, drawn);
        }
        match &step.exchange {
            Some(exchange) => self.exchange(exchange, phase, drawn).map(Some),
            None => Err(Fault::new(
                Kind::BadRecord,
                format!("step `{}` has no address", step.name),
            )),
        }
    }

    /// Whether the step has anything to do; reads its items.
    fn begins(&mut self, step: &Step, phase: Phase, drawn: Drawn) -> Result<bool, Fault> {
        let items = {
            let scope = self.scope(drawn);
            if let Some(condition) = &step.when
                && !condition
                    .holds(&scope)
                    .map_err(|error| in_step(&step.name, unread(&error)))?
            {
                return Ok(false);
            }
            let Some(path) = &step.each else {
                return Ok(true);
            };
            let walked = match from_of(step) {
                Some(from) => self.seen.iter().find(|seen| seen.step == from),
                None => self.last(),
            };
            let items = match (phase, walked) {
                (Phase::Before | Phase::Cleanup, _) => path.items(&scope),
                (_, Some(seen)) => path.items(seen.view()),
                (_, None) => None,
            };
            items
                .unwrap_or_default()
                .into_iter()
                .map(owned)
                .collect::<Vec<_>>()
        };
        let any = !items.is_empty();
        if any {
            self.each = Some(Each {
                items,
                next: 0,
                captures: Vec::new(),
                answers: Vec::new(),
            });
        } else if let Does::Download(download) = &step.action
            && !download.optional
        {
            return Err(super::fetch::no_file(&step.name));
        } else {
            self.record.keep(
                &step.name,
                lists(&step.captures, &[]),
                &secret_names(&step.captures),
            );
        }
        Ok(any)
    }

    pub(super) fn exchange(
        &mut self,
        exchange: &Exchange,
        phase: Phase,
        drawn: Drawn,
    ) -> Result<Action, Fault> {
        let request = {
            let scope = self.scope(drawn);
            self.site()?
                .renderer(&self.setting, &scope, drawn)
                .request(exchange, None)?
        };
        Ok(self.send(phase, request))
    }

    pub(super) fn on_step_answer(
        &mut self,
        step: Option<&Step>,
        received: Received,
        moment: Moment,
    ) -> Result<Verdict, Fault> {
        let Some(step) = step else {
            return Ok(Verdict::Continue);
        };
        let seen = Seen::new(&step.name, received);
        let ok = step
            .exchange
            .as_ref()
            .map_or(&[][..], |exchange| &exchange.ok_status);
        let failure = {
            let scope = self.scope(moment.drawn());
            self.judge(&scope).failure(seen.view(), ok, moment.now_ms)?
        };
        if let Some(Failure { fault, hint_ms }) = failure {
            let class = fault.class();
            return Ok(self.repeat(in_step(&step.name, fault), class, hint_ms, moment));
        }
        self.tries = 0;
        self.step_done(step, seen, moment)?;
        Ok(Verdict::Continue)
    }

    /// A step was answered, or one item of it; the rest follows once the last item is.
    fn step_done(&mut self, step: &Step, seen: Seen, moment: Moment) -> Result<(), Fault> {
        let mut taken = captured(&step.captures, seen.view());
        let mut all = seen;
        if let Some(each) = &mut self.each {
            each.captures.push(taken);
            each.answers.push(all);
            each.next += 1;
            let bytes: usize = each
                .answers
                .iter()
                .map(|seen| seen.received.body.len())
                .sum();
            if bytes > EACH_BYTES {
                let message = format!(
                    "the answers of step `{}` are more than {EACH_BYTES} bytes together",
                    step.name
                );
                return Err(Fault::new(Kind::AnswerTooLarge, message));
            }
            if each.next < each.items.len() {
                return Ok(());
            }
            taken = lists(&step.captures, &each.captures);
            match Seen::of_each(std::mem::take(&mut each.answers)) {
                Some(answers) => all = answers,
                None => return Ok(()),
            }
        }
        if matches!(step.action, Does::Download(_)) {
            // Its files are read from it, by the same step, which has no item left to ask for.
            all.is_download = true;
            self.remember(all);
            return Ok(());
        }
        self.keep(&step.name, &step.captures, taken)?;
        self.remember(all);
        self.leave(moment.now_ms);
        Ok(())
    }

    /// Keeps what a poll captures.
    pub(super) fn keep_captures(
        &mut self,
        step: &str,
        captures: &[(String, Capture)],
        seen: &Seen,
    ) -> Result<(), Fault> {
        self.keep(step, captures, captured(captures, seen.view()))
    }

    fn keep(
        &mut self,
        step: &str,
        captures: &[(String, Capture)],
        taken: Map<String, Value>,
    ) -> Result<(), Fault> {
        self.record.keep(step, taken, &secret_names(captures));
        if self.record.is_too_large() {
            self.record.clear_captures(step);
            return Err(Fault::new(
                Kind::AnswerTooLarge,
                format!("what step `{step}` captures is more than a run keeps (48 KiB)"),
            ));
        }
        Ok(())
    }

    /// Goes to what follows the step at hand.
    pub(super) fn leave(&mut self, now_ms: i64) {
        (self.tries, self.each, self.wait) = (0, None, None);
        match &self.at {
            At::Before(i) => self.at = At::Before(i + 1),
            At::Cleanup(i) => self.at = At::Cleanup(i + 1),
            At::Step(i) => {
                let next = i + 1;
                self.enter(next, now_ms);
            }
            At::Cancel { then, .. } => self.at = At::Ended(then.clone()),
            At::Submit | At::Settle | At::Finish | At::Ended(_) => {}
        }
    }
}

/// The answer that `each` of a download walks, where it is not the last.
pub(super) fn from_of(step: &Step) -> Option<&str> {
    match &step.action {
        Does::Download(download) => download.from.as_deref(),
        Does::Request | Does::Poll(_) => None,
    }
}

/// The captures of an `each`: lists, one element an item; null where an item gave nothing.
fn lists(captures: &[(String, Capture)], items: &[Map<String, Value>]) -> Map<String, Value> {
    let list = |name: &str| {
        items
            .iter()
            .map(|item| item.get(name).cloned().unwrap_or(Value::Null))
            .collect()
    };
    captures
        .iter()
        .map(|(name, _)| (name.clone(), Value::Array(list(name))))
        .collect()
}
