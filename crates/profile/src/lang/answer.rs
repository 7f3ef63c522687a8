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
    /// The body, when it is one text.
    pub text: Option<&'a str>,
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
}

impl Answer {
    /// Borrows the whole of it.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            status: self.status,
            headers: &self.headers,
            event: self.event.as_deref(),
            json: match &self.body {
                Body::Json(value) => Some(value),
                Body::Text(_) | Body::Empty => None,
            },
            text: match &self.body {
                Body::Text(text) => Some(text),
                Body::Json(_) | Body::Empty => None,
            },
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
            ..self
        }
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
