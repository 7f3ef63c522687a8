//! The wire as data: names, models, limits and error objects come from `assets/*.json`, not from code.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::config::{Config, Flavour};

/// One wire. The README of this crate explains the fields to writers of scripts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire {
    /// Before every path: `/v1`.
    pub(crate) prefix: String,
    /// The name of the collection: `videos`.
    pub(crate) collection: String,
    pub(crate) id_prefix: String,
    /// What a create may be sent as.
    pub(crate) content_types: Vec<String>,
    pub(crate) fields: BTreeMap<String, Field>,
    pub(crate) models: BTreeMap<String, Model>,
    pub(crate) statuses: Statuses,
    pub(crate) result: ResultPlace,
    pub(crate) variants: Vec<String>,
    pub(crate) headers: HeaderNames,
    pub(crate) errors: BTreeMap<ErrorKind, ErrorShape>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldKind {
    String,
    Integer,
    Image,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    pub(crate) kind: FieldKind,
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default)]
    pub(crate) default: Value,
    #[serde(default)]
    pub(crate) min_chars: usize,
    #[serde(default)]
    pub(crate) max_chars: Option<usize>,
    /// The texts allowed; empty: any.
    #[serde(default)]
    pub(crate) values: Vec<String>,
    /// Another spelling of this field.
    #[serde(default)]
    pub(crate) same_as: Option<String>,
    /// The answer repeats it.
    #[serde(default)]
    pub(crate) echo: bool,
    /// The forms of an image: a part with a file, a JSON object, a text.
    #[serde(default)]
    pub(crate) accepts: Vec<ImageForm>,
    #[serde(default)]
    pub(crate) must_match_size: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ImageForm {
    File,
    Object,
    String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    pub(crate) sizes: Vec<String>,
    pub(crate) seconds: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statuses {
    pub(crate) queued: String,
    pub(crate) running: String,
    pub(crate) completed: String,
    pub(crate) failed: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResultPlace {
    /// Fetched below the job, with the key.
    Content,
    /// At a signed address in the poll answer, without the key.
    Url,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderNames {
    #[serde(default)]
    pub(crate) poll_after_ms: Option<String>,
    #[serde(default)]
    pub(crate) request_id: Option<String>,
}

/// Why a request is refused; the wire says in which words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorKind {
    NoKey,
    WrongKey,
    UnknownUrl,
    ContentType,
    Unreadable,
    UnknownParameter,
    Missing,
    WrongType,
    WrongValue,
    TooShort,
    TooLong,
    ReferenceSize,
    ReferenceType,
    NotFound,
    NotReady,
    Expired,
    StillRunning,
    NotRemixable,
    SignedAndKeyed,
    ContentPolicy,
    FailedPolicy,
    RateLimit,
    Server,
}

/// One error: the texts may name `{param}`, `{value}` and `{expected}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorShape {
    pub(crate) status: u16,
    pub(crate) message: String,
    #[serde(default = "invalid_request", rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) code: Option<String>,
}

fn invalid_request() -> String {
    "invalid_request_error".to_owned()
}

/// A refusal of one request, before it is put into the words of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) param: Option<String>,
    pub(crate) value: String,
    pub(crate) expected: String,
}

impl Refusal {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self {
            kind,
            param: None,
            value: String::new(),
            expected: String::new(),
        }
    }

    pub(crate) fn param(mut self, name: &str) -> Self {
        self.param = Some(name.to_owned());
        self
    }

    pub(crate) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }
}

/// The script's wire cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`wire` of the simulator's script does not describe a wire")]
pub struct BadWire(#[source] serde_json::Error);

impl Wire {
    /// The built-in wire of the script, with the script's changes.
    pub(crate) fn of(config: &Config) -> Result<Self, BadWire> {
        let mut wire = parse(include_str!("../assets/videos.json"))?;
        match config.flavour {
            Flavour::Videos => {}
            Flavour::Gateway => merge(&mut wire, &parse(include_str!("../assets/gateway.json"))?),
            Flavour::Notes => merge(&mut wire, &parse(include_str!("../assets/notes.json"))?),
        }
        if config.wire.is_object() {
            merge(&mut wire, &config.wire);
        }
        serde_json::from_value(wire).map_err(BadWire)
    }

    pub(crate) fn shape(&self, kind: ErrorKind) -> ErrorShape {
        self.errors
            .get(&kind)
            .cloned()
            .unwrap_or_else(|| ErrorShape {
                status: 400,
                message: format!("{kind:?}"),
                kind: invalid_request(),
                code: None,
            })
    }

    /// The error object of a refusal, with its status.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> Answer {
        let shape = self.shape(refusal.kind);
        let message = shape
            .message
            .replace("{param}", refusal.param.as_deref().unwrap_or_default())
            .replace("{expected}", &refusal.expected)
            .replace("{value}", &refusal.value);
        let body = json!({"error": {
            "message": message, "type": shape.kind, "param": refusal.param, "code": shape.code,
        }});
        Answer::json(status(shape.status), &body)
    }

    /// The error object of this kind, under another status.
    pub(crate) fn refuse_as(&self, kind: ErrorKind, code: u16) -> Answer {
        let mut answer = self.refuse(&Refusal::new(kind));
        answer.status = status(code);
        answer
    }
}

/// What is no status becomes a 500.
pub(crate) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn parse(text: &str) -> Result<Value, BadWire> {
    serde_json::from_str(text).map_err(BadWire)
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
