//! How a run is told as a stream of server-sent events.

use axum::response::sse::Event;
use runtime::RunView;
use serde_json::Value;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// `event`; absent: the data says what it is.
    pub(super) name: Option<String>,
    pub(super) data: Value,
}

impl Line {
    pub(super) fn data(data: Value) -> Self {
        Self { name: None, data }
    }

    pub(super) fn named(name: impl Into<String>, data: Value) -> Self {
        let name = Some(name.into());
        Self { name, data }
    }

    pub(super) fn event(self) -> Event {
        let event = Event::default().data(self.data.to_string());
        match self.name {
            Some(name) => event.event(name),
            None => event,
        }
    }
}

/// Puts what happens to one run into the events of one call of the API.
pub(super) trait Narrator: Send + 'static {
    /// What is said before anything is known; saying it twice says nothing.
    fn begin(&mut self) -> Vec<Line>;
    /// More of the text.
    fn delta(&mut self, text: &str) -> Vec<Line>;
    /// It succeeded; `text` is the whole, which the deltas have told.
    fn end(&mut self, run: &RunView, text: &str) -> Vec<Line>;
    /// It did not. `error` is the API's object `{message, type, param, code}`.
    fn fault(&mut self, error: &Value) -> Vec<Line>;
}
