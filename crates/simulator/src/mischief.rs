//! What the rules that meet on one request add up to.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::Response;
use serde_json::Value;

use crate::answer::{Answer, BodyFault, Drip, Payload};
use crate::rule::{Action, Cut, JobPatch, Scripted};
use crate::wire::{ErrorKind, Wire, status};

/// The sum of the actions; the default does nothing.
#[derive(Debug, Default)]
pub(crate) struct Mischief {
    stall_ms: u64,
    delay_ms: u64,
    instead: Option<Answer>,
    afterwards: Option<Answer>,
    cut: bool,
    fault: Option<BodyFault>,
    drip: Option<Drip>,
    truncate: Option<u64>,
    headers: BTreeMap<String, String>,
    pub(crate) patches: Vec<JobPatch>,
}

impl Mischief {
    /// A later action of one kind replaces an earlier one; waits add up.
    pub(crate) fn add(&mut self, action: &Action, wire: &Wire) {
        match action {
            Action::Answer(scripted) => self.give(scripted.answer(), scripted.after_accepting),
            Action::RateLimit {
                retry_after_s,
                retry_after_ms,
            } => {
                let mut answer = wire.refuse_as(ErrorKind::RateLimit, 429);
                for (name, value) in [
                    ("retry-after", retry_after_s),
                    ("retry-after-ms", retry_after_ms),
                ] {
                    if let Some(value) = value {
                        answer = answer.header(name, &value.to_string());
                    }
                }
                self.give(answer, false);
            }
            Action::ServerError {
                status,
                after_accepting,
            } => {
                self.give(wire.refuse_as(ErrorKind::Server, *status), *after_accepting);
            }
            Action::Cut(Cut::MidBody(bytes)) => self.fault = Some(BodyFault::Cut(*bytes)),
            Action::Cut(Cut::BeforeReading | Cut::AfterAccepting) => self.cut = true,
            Action::Stall { ms } => self.stall_ms += ms,
            Action::DelayAnswer { ms } => self.delay_ms += ms,
            Action::StallBody { after_bytes, ms } => {
                self.fault = Some(BodyFault::Stall {
                    after_bytes: *after_bytes,
                    ms: *ms,
                });
            }
            Action::Drip { bytes, ms } => {
                self.drip = Some(Drip {
                    bytes: *bytes,
                    ms: *ms,
                });
            }
            Action::Headers(headers) => self.headers.extend(headers.clone()),
            Action::Truncate { bytes } => self.truncate = Some(*bytes),
            Action::Oversized { bytes } => {
                let mut answer = Answer::json(status(200), &Value::Null);
                // The shortest document it can be.
                answer.body = Payload::Padded((*bytes).max(14));
                self.give(answer, true);
            }
            Action::Job(patch) => self.patches.push(patch.clone()),
        }
    }

    fn give(&mut self, answer: Answer, after_accepting: bool) {
        let place = if after_accepting {
            &mut self.afterwards
        } else {
            &mut self.instead
        };
        *place = Some(answer);
    }

    /// The answer that is given without the request being taken.
    pub(crate) fn instead(&mut self) -> Option<Answer> {
        self.instead.take()
    }

    /// Where the body of the answer will break off.
    pub(crate) fn cut_in_body(&self) -> Option<Cut> {
        match self.fault {
            Some(BodyFault::Cut(bytes)) => Some(Cut::MidBody(bytes)),
            Some(BodyFault::Stall { .. }) | None => None,
        }
    }

    pub(crate) async fn stall(&self) {
        pause(self.stall_ms).await;
    }

    /// What the caller gets of the real answer; `None` when the connection is cut.
    pub(crate) async fn spoil(mut self, answer: Answer) -> Option<Response> {
        let mut answer = self.afterwards.take().unwrap_or(answer);
        pause(self.delay_ms).await;
        if self.cut {
            return None;
        }
        for (name, value) in &self.headers {
            answer = answer.header(name, value);
        }
        if let Some(bytes) = self.truncate {
            answer.truncate(bytes);
        }
        Some(match self.drip {
            Some(drip) => answer.dripping(drip, self.fault),
            None => answer.into_response(self.fault),
        })
    }
}

impl Scripted {
    fn answer(&self) -> Answer {
        let code = status(if self.status == 0 { 200 } else { self.status });
        let mut answer = match &self.body {
            Some(body) => Answer::json(code, body),
            None => Answer::new(code, "text/plain; charset=utf-8", self.text.clone()),
        };
        for (name, value) in &self.headers {
            answer = answer.header(name, value);
        }
        answer
    }
}

async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
