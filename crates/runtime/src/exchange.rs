//! The one exchange of a submit, whatever becomes of its run.

use crate::clock::DbClock;
use crate::core::Core;
use crate::traces::Before;
use crate::watches::Speech;
use crate::{metrics, vitals};
use engine::flow::Phase;
use engine::http::Ear;
use engine::request::Request;
use engine::{Event, Fault, Flow, Kind};
use profile::revision::Class;
use std::ops::ControlFlow;
use tokio::time::Instant;

/// Sends a submit once: what came of it, the status of its answer, and its span, where it is traced, to be judged. What a stream says is passed on while it says it.
///
/// Cancel safety: as [`engine::http::Http::send`].
pub(crate) async fn once(
    core: &Core,
    flow: &mut Flow,
    request: &Request,
    speech: Option<&Speech<'_>>,
) -> (Event, Option<i16>, Option<Box<Before>>) {
    let mut traced = Before::new(core, flow, (Phase::Submit, request));
    vitals::count(&core.vitals.submits, 1);
    let begun = Instant::now();
    let (event, http_status) = if flow.streams() {
        let mut ear = StreamEar {
            flow,
            clock: &core.clock,
            speech,
            status: None,
        };
        // Cancel safety: a stream that is let go is cut, as by the network; the other may be dropped.
        let event = tokio::select! {
            event = core.http.listen(request, &mut ear) => event,
            () = unwanted(speech) => Event::StreamEnded(Some(let_go())),
        };
        let status = ear.status.or(status_of(&event));
        (event, status)
    } else {
        let event: Event = core.http.send(request).await.into();
        let status = status_of(&event);
        (event, status)
    };
    let word = metrics::heard(&event, http_status);
    core.metrics
        .exchanged(flow.provider(), &request.step, word, begun.elapsed());
    if let Some(traced) = &mut traced {
        traced.heard(
            http_status.and_then(|status| u16::try_from(status).ok()),
            word,
        );
    }
    (event, http_status, traced)
}

/// Returns once the caller has canceled the run.
async fn unwanted(speech: Option<&Speech<'_>>) {
    match speech {
        Some(speech) => speech.unwanted().await,
        None => std::future::pending().await,
    }
}

/// Why a stream is not heard to its end.
fn let_go() -> Fault {
    let message = "the run was canceled while its answer came, and the rest was not heard";
    Fault::new(Kind::Class(Class::Transient), message)
}

/// Hears a stream: the machine judges it, the watchers get its deltas.
struct StreamEar<'a> {
    flow: &'a mut Flow,
    clock: &'a DbClock,
    speech: Option<&'a Speech<'a>>,
    status: Option<i16>,
}

impl Ear for StreamEar<'_> {
    fn head(&mut self, status: u16, headers: &[(String, String)]) -> bool {
        self.status = i16::try_from(status).ok();
        self.flow.begin_hearing(status, headers)
    }

    fn piece(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let heard = self.flow.hear(bytes, self.clock.now_ms());
        let delta = heard.text.get(heard.known..).filter(|new| !new.is_empty());
        if let (Some(speech), Some(delta)) = (self.speech, delta) {
            speech.say(delta);
        }
        match heard.over {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn status_of(event: &Event) -> Option<i16> {
    match event {
        Event::Answered(received) => i16::try_from(received.status).ok(),
        _ => None,
    }
}
