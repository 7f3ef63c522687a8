//! How answers are judged and read (section 5).

use crate::lang::{Condition, Path, Tree};
use serde_json::Value;

/// The classes of failure, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of the language, section 5")]
pub enum Class {
    Moderated,
    Billing,
    Authentication,
    InvalidRequest,
    Expired,
    NotFound,
    RateLimited,
    Overloaded,
    Transient,
    UnknownOutcome,
    ProviderError,
}

/// `errors`, merged over the conventions'.
#[derive(Debug)]
pub struct ErrorTable {
    /// Where the code stands; the usual places when the row says nothing.
    pub code: Path,
    /// Where the message stands.
    pub message: Path,
    /// A hint when to come again.
    pub retry_after: Option<Duration>,
    /// The codes of success; absent: HTTP status alone decides.
    pub ok: Option<Vec<Match>>,
    /// Classes in the order of the table, each with what matches it.
    pub classes: Vec<(Class, Vec<Match>)>,
}

/// A value or a condition, as `errors` and `states` list them.
#[derive(Debug)]
pub enum Match {
    /// A value of the path: a word whatever its case, an integer, a boolean.
    Value(Value),
    /// A condition on the answer.
    Condition(Condition),
}

/// A path to a duration, and the unit of a bare number there.
#[derive(Debug)]
pub struct Duration {
    /// Where.
    pub path: Path,
    /// Milliseconds a bare number counts: 1, 1000, …
    pub unit_ms: u64,
}

/// `response_mapping`.
#[derive(Debug)]
pub struct Response {
    /// How the submit's answer is read.
    pub mode: Mode,
    /// `response_mapping.content_type`.
    pub content_type: Option<String>,
    /// What is captured from the submit's answer, by name.
    pub captures: Vec<(String, Capture)>,
    /// The job's id in the submit's answer; absent: the answer is final.
    pub job_id: Option<Path>,
    /// How a stream of events is read; there exactly for the modes `sse` and `ndjson`.
    pub stream: Option<Stream>,
    /// `text_path` of the last answer.
    pub text: Option<Path>,
    /// `usage`: name and the paths that are summed.
    pub usage: Vec<(String, Vec<Path>)>,
    /// `output`; absent: the purpose's default.
    pub output: Option<Tree>,
    /// Of the model.
    pub schema: Option<ResponseSchema>,
}

/// `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the language, section 5")]
pub enum Mode {
    Json,
    Binary,
    JsonBase64,
    JsonHex,
    Text,
    Multipart,
    Sse,
    Ndjson,
}

impl Mode {
    /// Whether the answer is a stream of events.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Sse | Self::Ndjson)
    }
}

/// `stream`: what the events of an answer mean.
#[derive(Debug)]
pub struct Stream {
    /// What an event adds to `text`.
    pub delta: Path,
    /// Holds for the events that add something; absent: for every one.
    pub when: Option<Condition>,
    /// Holds for the event that ends the stream well; what follows it is not read.
    pub done: Condition,
}

/// The schema that the output must satisfy.
#[derive(Debug)]
pub struct ResponseSchema {
    /// `response_schemas.name`.
    pub name: String,
    /// A mismatch fails the run; else it is a warning.
    pub strict: bool,
    /// As written.
    pub schema: Value,
    /// Compiled.
    pub validator: jsonschema::Validator,
}

/// One value taken from an answer.
#[derive(Debug)]
pub struct Capture {
    /// Where.
    pub path: Path,
    /// `parse: "json"`: the text there is JSON.
    pub parse_json: bool,
    /// Joins several values to one text.
    pub join: Option<String>,
    /// Never shown, never in an output.
    pub secret: bool,
}
