//! Streams of events: from the bytes of an answer to its deltas, its text, and
//! the events that the profile's paths read (section 5 of the language).
//!
//! Pure: whoever has the bytes gives them, in pieces of any size. What comes out
//! does not depend on where they were cut.

mod frames;

use crate::answer::{Failure, Judge, unread};
use crate::fault::{Fault, Kind};
use crate::request::Received;
use bytes::Bytes;
use frames::{Excess, Frame, Frames};
use profile::lang::{Body, Condition, Path, Stream as Kept, StreamEvent, View};
use profile::revision::{Action, Expires, Mode, Revision, Stream, Workflow};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The media type of a stream that was assembled, as it is stored.
const ASSEMBLED: &str = "application/vnd.modelrow.stream+json";

/// How a stream ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Its last event came.
    Done,
    /// An event says that it failed.
    Failed(Failure),
    /// It cannot be read on.
    Broken(Fault),
}

/// A stream on its way.
pub(crate) struct Assembly {
    revision: Arc<Revision>,
    status: u16,
    headers: Vec<(String, String)>,
    frames: Frames,
    text: String,
    /// For each path that reads the answer, the last event that has a value for it.
    last: Vec<Option<Arc<(u32, StreamEvent)>>>,
    events: u32,
    end: Option<End>,
}

impl std::fmt::Debug for Assembly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembly")
            .field("events", &self.events)
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

impl Assembly {
    /// `None`: an answer with this head is no stream of this profile's.
    pub(crate) fn begin(
        revision: &Arc<Revision>,
        status: u16,
        headers: &[(String, String)],
    ) -> Option<Self> {
        let mode = revision.response.mode;
        revision.response.stream.as_ref()?;
        if !(200..300).contains(&status) || !is_events(mode, headers) {
            return None;
        }
        Some(Self {
            status,
            headers: headers.to_vec(),
            frames: Frames::new(mode),
            text: String::new(),
            last: vec![None; answer_paths(revision).count()],
            events: 0,
            end: None,
            revision: Arc::clone(revision),
        })
    }

    /// Hears the next bytes. What follows the end is not read.
    pub(crate) fn hear(&mut self, bytes: &[u8], judge: &Judge<'_>, now_ms: i64) {
        let mut found = Vec::new();
        let kept = self.frames.push(bytes, &mut found);
        self.take(found, kept, judge, now_ms);
    }

    /// No more bytes come.
    pub(crate) fn finish(&mut self, judge: &Judge<'_>, now_ms: i64) {
        let mut found = Vec::new();
        let kept = self.frames.finish(&mut found);
        self.take(found, kept, judge, now_ms);
    }

    /// The text so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether its end has come.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// How many events came.
    pub(crate) fn events(&self) -> u32 {
        self.events
    }

    /// How it ended; `None`: it was cut.
    pub(crate) fn end(&mut self) -> Option<End> {
        self.end.take()
    }

    fn take(
        &mut self,
        found: Vec<Frame>,
        kept: Result<(), Excess>,
        judge: &Judge<'_>,
        now_ms: i64,
    ) {
        for frame in found {
            if self.end.is_some() {
                return;
            }
            self.end = self
                .event(frame, judge, now_ms)
                .unwrap_or_else(|fault| Some(End::Broken(fault)));
        }
        if let (Err(excess), None) = (kept, &self.end) {
            let fault = Fault::new(Kind::AnswerTooLarge, excess.to_string());
            self.end = Some(End::Broken(fault));
        }
    }

    /// Reads one event as an answer; the end, when it brings it.
    fn event(
        &mut self,
        frame: Frame,
        judge: &Judge<'_>,
        now_ms: i64,
    ) -> Result<Option<End>, Fault> {
        self.events = self.events.saturating_add(1);
        let event = StreamEvent {
            name: frame.name,
            body: Body::read(frame.data.as_bytes()),
        };
        let end = match &self.revision.response.stream {
            Some(stream) => {
                let view = event.view(self.status, &self.headers);
                judged(view, stream, judge, now_ms, &mut self.text)?
            }
            None => None,
        };
        self.keep(event);
        Ok(end)
    }

    /// Keeps the event for the paths that find something in it.
    fn keep(&mut self, event: StreamEvent) {
        let view = event.view(self.status, &self.headers);
        let paths = answer_paths(&self.revision);
        let hits: Vec<bool> = paths.map(|path| path.first(view).is_some()).collect();
        if !hits.contains(&true) {
            return;
        }
        let event = Arc::new((self.events, event));
        for (slot, _) in self.last.iter_mut().zip(hits).filter(|(_, hit)| *hit) {
            *slot = Some(Arc::clone(&event));
        }
    }

    /// The whole as one answer, which is stored in place of the bytes: its text,
    /// and the events that paths read.
    pub(crate) fn assembled(&self) -> Received {
        let mut events: Vec<_> = self.last.iter().flatten().collect();
        events.sort_unstable_by_key(|event| event.0);
        events.dedup_by_key(|event| event.0);
        let events: Vec<Value> = events.iter().map(|event| event_to_json(&event.1)).collect();
        let body = json!({"text": self.text, "events": events});
        let others = self.headers.iter();
        let others = others.filter(|(name, _)| name != "content-type" && name != "content-length");
        let mut headers: Vec<_> = others.cloned().collect();
        headers.push(("content-type".to_owned(), ASSEMBLED.to_owned()));
        Received {
            status: self.status,
            headers,
            body: Bytes::from(body.to_string()),
            trusted: true,
        }
    }
}

/// Judges one event: adds its delta to the text, and says whether it is the end.
fn judged(
    event: View<'_>,
    stream: &Stream,
    judge: &Judge<'_>,
    now_ms: i64,
    text: &mut String,
) -> Result<Option<End>, Fault> {
    if let Some(failure) = judge.failure(event, &[], now_ms)? {
        return Ok(Some(End::Failed(failure)));
    }
    let holds = |condition: &Condition| {
        let held = condition.holds_for(event, judge.scope);
        held.map_err(|error| unread(&error))
    };
    if stream.when.as_ref().map_or(Ok(true), holds)? {
        text.extend(stream.delta.all_text(event));
    }
    Ok(holds(&stream.done)?.then_some(End::Done))
}

/// Whether the answer's media type is that of a stream in this mode. Lines of
/// JSON have no type that all providers agree on.
fn is_events(mode: Mode, headers: &[(String, String)]) -> bool {
    let given = headers.iter().find(|(name, _)| name == "content-type");
    let Some((_, given)) = given else {
        return true;
    };
    let given = given.split(';').next().unwrap_or_default();
    let given = given.trim().to_ascii_lowercase();
    match mode {
        Mode::Sse => given == "text/event-stream",
        Mode::Ndjson => {
            given != ASSEMBLED
                && (given.contains("json")
                    || ["text/plain", "application/octet-stream"].contains(&&*given))
        }
        _ => false,
    }
}

/// Every path that reads the submit's answer, or may.
fn answer_paths(revision: &Revision) -> impl Iterator<Item = &Path> {
    let response = &revision.response;
    let captures = response.captures.iter().map(|(_, capture)| &capture.path);
    let usage = response.usage.iter().flat_map(|(_, paths)| paths);
    captures.chain(usage).chain(step_paths(&revision.workflow))
}

fn step_paths(workflow: &Workflow) -> impl Iterator<Item = &Path> {
    workflow.steps.iter().flat_map(|step| {
        let download = match &step.action {
            Action::Download(download) => Some(download),
            Action::Poll(_) | Action::Request => None,
        };
        let expires = download.and_then(|download| match &download.expires {
            Some(Expires::At(path)) => Some(path),
            Some(Expires::InMs(_)) | None => None,
        });
        let own = download.into_iter().flat_map(|download| {
            let paths = [&download.url, &download.value, &download.mime];
            paths.into_iter().flatten()
        });
        step.each.iter().chain(own).chain(expires)
    })
}

fn event_to_json(event: &StreamEvent) -> Value {
    let mut object = Map::new();
    if let Some(name) = &event.name {
        object.insert("event".to_owned(), json!(name));
    }
    match &event.body {
        Body::Json(value) => {
            object.insert("data".to_owned(), value.clone());
        }
        Body::Text(text) => {
            object.insert("text".to_owned(), json!(text));
        }
        Body::Empty | Body::Events(_) => {}
    }
    Value::Object(object)
}

/// Reads what [`Assembly::assembled`] gave; `None`: it is something else.
pub(crate) fn read_assembled(received: &Received) -> Option<Kept> {
    if received.header("content-type") != Some(ASSEMBLED) {
        return None;
    }
    let whole: Value = serde_json::from_slice(&received.body).ok()?;
    let event = |value: &Value| {
        let data = value.get("data").cloned().map(Body::Json);
        let text = || Some(Body::Text(value.get("text")?.as_str()?.to_owned()));
        StreamEvent {
            name: value
                .get("event")
                .and_then(Value::as_str)
                .map(str::to_owned),
            body: data.or_else(text).unwrap_or(Body::Empty),
        }
    };
    Some(Kept {
        text: whole.get("text")?.as_str()?.to_owned(),
        events: whole.get("events")?.as_array()?.iter().map(event).collect(),
    })
}

#[cfg(test)]
mod tests;
