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
            let items = match (phase, self.last()) {
                (Phase::Before, _) | (_, None) => path.items(&scope),
                (_, Some(seen)) => path.items(seen.view()),
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
            });
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
        let mut seen = Seen::new(&step.name, received);
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
        seen.is_download = matches!(step.action, Does::Download(_));
        if seen.is_download {
            // Its files are read from it, by the same step.
            self.remember(seen);
            return Ok(Verdict::Continue);
        }
        self.keep_captures(&step.name, &step.captures, &seen)?;
        self.remember(seen);
        if self.each.is_none() {
            self.leave(moment.now_ms);
        }
        Ok(Verdict::Continue)
    }

    /// Keeps what a step captures; of an `each`, once the last item is done.
    pub(super) fn keep_captures(
        &mut self,
        step: &str,
        captures: &[(String, Capture)],
        seen: &Seen,
    ) -> Result<(), Fault> {
        let mut taken = captured(captures, seen.view());
        if let Some(each) = &mut self.each {
            each.captures.push(taken);
            each.next += 1;
            if each.next < each.items.len() {
                return Ok(());
            }
            taken = lists(captures, &each.captures);
            self.each = None;
            self.record.keep(step, taken, &secret_names(captures));
            // The step is left by its caller, which sees that no item is left.
        } else {
            self.record.keep(step, taken, &secret_names(captures));
        }
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
