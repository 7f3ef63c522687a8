//! A run told to one client as it goes on.

use super::awaited;
use super::ended;
use super::leaving::Listening;
use super::narrate::Narrator;
use super::serving::with_run;
use super::{Call, Refusal};
use crate::routes::House;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use runtime::{RunEvent, RunHandle, RunView, Status};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A run that fails before its first word is an error like any other, with its status; whoever waits longer for it is told that the
/// stream has begun, or proxies would cut the silence.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Whether the call wants to be told as it goes on; what is neither true nor false is refused where it is read.
pub(super) fn is_wanted(call: &Call) -> bool {
    call.shown("stream").is_some_and(|stream| *stream == true)
}

/// Tells a run. `structured`: the model has a response schema.
///
/// Cancel safety: dropped at any point, the client has left, and `listening` sees to the run.
///
/// # Errors
///
/// The run has failed, and nothing was told.
pub(super) async fn tell<N: Narrator>(
    house: &House,
    run: &RunHandle,
    (narrator, structured): (N, bool),
    listening: Listening,
) -> Result<Response, Refusal> {
    let stopping = house.stopping.clone();
    let events = run.events().take_until(stopping.clone().cancelled_owned());
    let mut telling = Telling {
        events: events.boxed(),
        stopping,
        run: run.id(),
        narrator,
        structured,
        told: String::new(),
        ready: VecDeque::new(),
        stage: Stage::Told,
        listening,
    };
    match timeout(HEAD_WITHIN, telling.hear()).await {
        Ok(heard) => heard?,
        Err(_) => telling.begin(),
    }
    let events = stream::unfold(telling, |mut telling| async move {
        let event = telling.next().await?;
        Some((Ok::<_, Infallible>(event), telling))
    });
    Ok(with_run(run.id(), crate::routes::event_stream(events)))
}

/// What is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// More of the run.
    Told,
    /// The word that ends every stream.
    Done,
    Nothing,
}

struct Telling<N> {
    events: BoxStream<'static, RunEvent>,
    stopping: CancellationToken,
    run: Uuid,
    narrator: N,
    structured: bool,
    /// The text so far.
    told: String,
    ready: VecDeque<Event>,
    stage: Stage,
    listening: Listening,
}

impl<N: Narrator> Telling<N> {
    async fn next(&mut self) -> Option<Event> {
        if self.ready.is_empty()
            && self.stage == Stage::Told
            && let Err(refusal) = self.hear().await
        {
            let lines = self.narrator.fault(&refusal.object());
            self.ready
                .extend(lines.into_iter().map(super::narrate::Line::event));
        }
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        let last = self.stage == Stage::Done;
        self.stage = Stage::Nothing;
        last.then(|| Event::default().data("[DONE]"))
    }

    fn begin(&mut self) {
        let lines = self.narrator.begin();
        self.ready
            .extend(lines.into_iter().map(super::narrate::Line::event));
    }

    /// Listens until there is something to say, or nothing more.
    ///
    /// Cancel safety: an event that was not heard is heard the next time.
    async fn hear(&mut self) -> Result<(), Refusal> {
        while self.ready.is_empty() && self.stage == Stage::Told {
            match self.events.next().await {
                Some(RunEvent::Delta { text, .. }) => self.say(&text),
                Some(RunEvent::End(run)) => {
                    self.over();
                    self.end(&run)?;
                }
                Some(_) => {}
                None => {
                    self.over();
                    return Err(awaited::not_ended(self.run, self.stopping.is_cancelled()));
                }
            }
        }
        Ok(())
    }

    /// Whatever follows, the client has not left.
    fn over(&mut self) {
        self.stage = Stage::Done;
        self.listening.heard_all();
    }

    fn say(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.told.push_str(text);
        let lines = self.narrator.delta(text);
        self.ready
            .extend(lines.into_iter().map(super::narrate::Line::event));
    }

    fn end(&mut self, run: &RunView) -> Result<(), Refusal> {
        if run.status != Status::Succeeded {
            return Err(awaited::failed(run));
        }
        let whole = ended::text(run.output.as_ref(), self.structured);
        // What was not told live, by a profile without deltas or in another process, is told now.
        if let Some(rest) = whole.strip_prefix(self.told.as_str()) {
            let rest = rest.to_owned();
            self.say(&rest);
        }
        let lines = self.narrator.end(run, &self.told);
        self.ready
            .extend(lines.into_iter().map(super::narrate::Line::event));
        Ok(())
    }
}
