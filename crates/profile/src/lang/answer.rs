//! What a provider answered, as paths and conditions see it.

use super::Scope;
use serde_json::Value;

/// An answer that was read whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The name of the event, in a stream of them.
    pub event: Option<String>,
    /// What came.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// It was JSON.
    Json(Value),
    /// It was not: one text, `$`.
    Text(String),
    /// It was empty: absent.
    Empty,
    /// It was a stream of events.
    Events(Stream),
}

/// What is kept of a stream of events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stream {
    /// The deltas, in the order in which they came.
    pub text: String,
    /// Events that some path of the profile reads, in the order in which they
    /// came. A path gives the value of the last one that has it.
    pub events: Vec<StreamEvent>,
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamEvent {
    /// `@event`; absent when it has no name.
    pub name: Option<String>,
    /// What it carries; never a stream.
    pub body: Body,
}

/// A borrowed answer, or an item of one that stands for its body (`select`).
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: &'a [(String, String)],
    /// The name of the event, in a stream of them.
    pub event: Option<&'a str>,
    /// The body; absent when it is empty or one text.
    pub json: Option<&'a Value>,
    /// The body, when it is one text; of a stream, the text that its deltas make.
    pub text: Option<&'a str>,
    /// The events of a stream; empty for any other answer.
    pub events: &'a [StreamEvent],
    /// Of a step with `each`, the answers to its other items: a path walks them all.
    pub others: &'a [Answer],
}

impl Body {
    /// Reads bytes: JSON when they are, else one text (invalid UTF-8 replaced);
    /// white space alone is empty.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Self::Empty;
        }
        match serde_json::from_slice(bytes) {
            Ok(value) => Self::Json(value),
            Err(_) => Self::Text(String::from_utf8_lossy(bytes).into_owned()),
        }
    }

    fn json(&self) -> Option<&Value> {
        match self {
            Self::Json(value) => Some(value),
            Self::Text(_) | Self::Empty | Self::Events(_) => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Events(stream) => Some(&stream.text),
            Self::Json(_) | Self::Empty => None,
        }
    }
}

impl Answer {
    /// Borrows the whole of it.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            status: self.status,
            headers: &self.headers,
            event: self.event.as_deref(),
            json: self.body.json(),
            text: self.body.text(),
            events: match &self.body {
                Body::Events(stream) => &stream.events,
                Body::Json(_) | Body::Text(_) | Body::Empty => &[],
            },
            others: &[],
        }
    }
}

impl StreamEvent {
    /// As an answer, with the head of its stream.
    #[must_use]
    pub fn view<'a>(&'a self, status: u16, headers: &'a [(String, String)]) -> View<'a> {
        View {
            status,
            headers,
            event: self.name.as_deref(),
            json: self.body.json(),
            text: self.body.text(),
            events: &[],
            others: &[],
        }
    }
}

impl<'a> View<'a> {
    /// The same answer with one item as its body.
    #[must_use]
    pub fn with_body(self, item: &'a Value) -> Self {
        Self {
            json: Some(item),
            text: None,
            events: &[],
            others: &[],
            ..self
        }
    }

    /// The same answer and those to the other items of a step.
    #[must_use]
    pub fn with_others(self, others: &'a [Answer]) -> Self {
        Self { others, ..self }
    }

    /// This answer, then those to the other items.
    pub(super) fn each(self) -> impl Iterator<Item = View<'a>> {
        let own = std::iter::once(Self {
            others: &[],
            ..self
        });
        own.chain(self.others.iter().map(Answer::view))
    }

    /// What a path walks: the answer itself or, of a stream, its events, the
    /// latest first.
    pub(super) fn latest_first(self) -> impl Iterator<Item = View<'a>> {
        let own = self.events.is_empty().then_some(self);
        let events = self.events.iter().rev();
        own.into_iter()
            .chain(events.map(move |event| event.view(self.status, self.headers)))
    }

    /// The first header of that name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers.iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What a path walks: the variables, or an answer.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// Where something is made.
    Variables(&'a Scope<'a>),
    /// Where an answer is read.
    Answer(View<'a>),
}

impl<'a> From<&'a Answer> for Subject<'a> {
    fn from(answer: &'a Answer) -> Self {
        Self::Answer(answer.view())
    }
}

impl<'a> From<View<'a>> for Subject<'a> {
    fn from(view: View<'a>) -> Self {
        Self::Answer(view)
    }
}

impl<'a> From<&'a Scope<'a>> for Subject<'a> {
    fn from(scope: &'a Scope<'a>) -> Self {
        Self::Variables(scope)
    }
}
