//! The submit's answer as a stream of events: heard piece by piece, and then
//! one answer like any other.

use super::machine::{At, Flow, Moment};
use super::record::Seen;
use super::{Ending, Verdict};
use crate::fault::{Fault, Kind};
use crate::request::Received;
use crate::stream::{Assembly, End};
use profile::revision::Class;

/// What a piece of a stream brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard<'a> {
    /// The whole text so far.
    pub text: &'a str,
    /// Bytes of it that were there before.
    pub known: usize,
    /// Whether the end has come: what follows is not read.
    pub over: bool,
}

impl Flow {
    /// Begins to hear the answer to the submit that is in flight, if one with
    /// this head is a stream of events: then its pieces go to [`Flow::hear`], and
    /// its end is told by [`super::Event::StreamEnded`]. `false`: it is read
    /// whole. Names of headers are in lower case.
    #[must_use]
    pub fn begin_hearing(&mut self, status: u16, headers: &[(String, String)]) -> bool {
        let revision = self.revision();
        self.assembly = match self.at {
            At::Submit => Assembly::begin(&revision, status, headers).map(Box::new),
            _ => None,
        };
        self.assembly.is_some()
    }

    /// Hears the next bytes of the stream.
    pub fn hear(&mut self, bytes: &[u8], now_ms: i64) -> Heard<'_> {
        self.with_assembly(now_ms, |assembly, judge| {
            assembly.hear(bytes, judge, now_ms);
        })
    }

    fn with_assembly(
        &mut self,
        now_ms: i64,
        hear: impl FnOnce(&mut Assembly, &crate::answer::Judge<'_>),
    ) -> Heard<'_> {
        let mut known = 0;
        if let Some(mut assembly) = self.assembly.take() {
            known = assembly.text().len();
            let moment = Moment {
                now_ms,
                random: 0.5,
            };
            let scope = self.scope(moment.drawn());
            hear(&mut assembly, &self.judge(&scope));
            self.assembly = Some(assembly);
        }
        let assembly = self.assembly.as_deref();
        Heard {
            text: assembly.map_or("", Assembly::text),
            known,
            over: assembly.is_none_or(Assembly::is_over),
        }
    }

    /// A stream whose bytes are all there, such as a recorded one. `None`: the
    /// answer is no stream.
    pub(super) fn hear_whole(
        &mut self,
        received: &Received,
        moment: Moment,
    ) -> Option<Result<Verdict, Fault>> {
        if !self.begin_hearing(received.status, &received.headers) {
            return None;
        }
        self.hear(&received.body, moment.now_ms);
        Some(self.on_stream_ended(None, moment))
    }

    /// The stream is at its end. `fault`: it was cut.
    pub(super) fn on_stream_ended(
        &mut self,
        fault: Option<Fault>,
        moment: Moment,
    ) -> Result<Verdict, Fault> {
        self.in_flight = false;
        if fault.is_none() {
            self.with_assembly(moment.now_ms, |assembly, judge| {
                assembly.finish(judge, moment.now_ms);
            });
        }
        let Some(mut assembly) = self.assembly.take() else {
            return Ok(Verdict::Continue);
        };
        self.gave_part = !assembly.text().is_empty();
        match assembly.end() {
            Some(End::Done) => self.answered(Seen::new("submit", assembly.assembled()), moment),
            Some(End::Failed(failure)) if self.gave_part => {
                self.at = At::Ended(Ending::Failed(failure.fault.clone()));
                Ok(Verdict::Refused {
                    fault: failure.fault,
                    retry: None,
                })
            }
            Some(End::Failed(failure)) => Ok(self.refused(failure, moment)),
            Some(End::Broken(fault)) => Ok(self.cut(&assembly, Some(fault), moment)),
            None => Ok(self.cut(&assembly, fault, moment)),
        }
    }

    fn cut(&mut self, assembly: &Assembly, why: Option<Fault>, moment: Moment) -> Verdict {
        let why = why.map_or_else(
            || "its last event did not come".to_owned(),
            |why| why.message,
        );
        let message = format!(
            "the stream ended after {} events and {} bytes of text: {why}",
            assembly.events(),
            assembly.text().len()
        );
        let fault = Fault::new(Kind::Class(Class::UnknownOutcome), message);
        self.unknown(fault, moment)
    }

    /// Whether a part of the answer has been given to a caller: then nothing is
    /// sent again, to this provider or another.
    #[must_use]
    pub fn gave_part(&self) -> bool {
        self.gave_part
    }
}
