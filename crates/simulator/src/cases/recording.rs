//! The file of a recorded case, as `profiles/CASES.md` lays it down. What others judge (`input`, `expect`) is passed over.

use std::collections::BTreeMap;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::BadCase;
use crate::answer::Answer;
use crate::wire::status;

/// A case file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// For editors.
    #[serde(default, rename = "$schema")]
    _schema: Option<String>,
    /// Where the clock of a replay starts. This player has the real one.
    #[serde(default, rename = "at")]
    _at: Option<String>,
    #[serde(default, rename = "why")]
    _why: Option<Value>,
    #[serde(default, rename = "input")]
    _input: Value,
    /// Other jobs that one request asks for, too: the request itself is among the exchanges.
    #[serde(default, rename = "batched_with")]
    _batched_with: Vec<String>,
    /// The address that a request gives away is among the exchanges, too.
    #[serde(default, rename = "callback_url")]
    _callback_url: Option<String>,
    pub(super) exchanges: Vec<Exchange>,
    #[serde(default, rename = "expect")]
    _expect: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    pub(super) request: Recorded,
    /// `None`: the connection is cut. It must be written down, so that it is never cut by an oversight.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) answer: Option<Given>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    pub(super) method: String,
    pub(super) url: String,
    /// `None`: must not be sent.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Option<String>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) body: Option<Value>,
    /// For bodies that are no JSON.
    #[serde(default)]
    body_base64: Option<String>,
    #[serde(default)]
    pub(super) multipart: Option<Vec<Part>>,
}

/// One part of a form: a text, or a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    pub(super) name: String,
    #[serde(default)]
    pub(super) value: Option<String>,
    #[serde(default)]
    pub(super) filename: Option<String>,
    #[serde(default)]
    pub(super) content_type: Option<String>,
    #[serde(default)]
    pub(super) base64: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "present")]
    body: Option<Value>,
    /// For bodies that are no text.
    #[serde(default)]
    body_base64: Option<String>,
}

fn ok() -> u16 {
    200
}

/// A `null` that is written down is a JSON document, and not a body left out.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Case {
    /// Reads a case, and refuses what could only be played by guessing.
    pub(super) fn read(case: &Value) -> Result<Self, BadCase> {
        let case = Self::deserialize(case).map_err(BadCase::Unreadable)?;
        for (index, exchange) in case.exchanges.iter().enumerate() {
            exchange.check().map_err(|what| BadCase::Contradiction {
                exchange: index + 1,
                what,
            })?;
        }
        Ok(case)
    }
}

impl Exchange {
    fn check(&self) -> Result<(), &'static str> {
        self.request.check()?;
        for part in self.request.multipart.iter().flatten() {
            part.check()?;
        }
        self.answer.as_ref().map_or(Ok(()), Given::check)
    }
}

impl Recorded {
    fn check(&self) -> Result<(), &'static str> {
        let bodies = [
            self.body.is_some(),
            self.body_base64.is_some(),
            self.multipart.is_some(),
        ];
        if bodies.into_iter().filter(|has| *has).count() > 1 {
            return Err("the request has two of `body`, `body_base64` and `multipart`");
        }
        decoded(self.body_base64.as_deref()).map(drop)
    }

    /// The bytes of a raw body; `None`: the body is written otherwise, or there is none.
    pub(super) fn raw(&self) -> Option<Bytes> {
        let text = self.body_base64.as_deref()?;
        Some(decoded(Some(text)).unwrap_or_default())
    }
}

impl Part {
    fn check(&self) -> Result<(), &'static str> {
        match (&self.value, &self.base64) {
            (Some(_), None) if self.filename.is_none() => Ok(()),
            (None, Some(_)) if self.filename.is_some() => decoded(self.base64.as_deref()).map(drop),
            _ => Err("a part is either a `value`, or a `filename` with its `base64`"),
        }
    }

    /// The bytes of the part.
    pub(super) fn bytes(&self) -> Bytes {
        match &self.value {
            Some(text) => Bytes::from(text.clone()),
            None => decoded(self.base64.as_deref()).unwrap_or_default(),
        }
    }
}

fn decoded(text: Option<&str>) -> Result<Bytes, &'static str> {
    let bytes = STANDARD.decode(text.unwrap_or_default());
    bytes
        .map(Bytes::from)
        .map_err(|_| "`base64` cannot be decoded")
}

impl Given {
    fn check(&self) -> Result<(), &'static str> {
        if self.body.is_some() && self.body_base64.is_some() {
            return Err("the answer has both `body` and `body_base64`");
        }
        if !(100..=599).contains(&self.status) {
            return Err("the answer's `status` is no HTTP status");
        }
        for (name, value) in &self.headers {
            HeaderName::try_from(name)
                .map_err(drop)
                .and(HeaderValue::try_from(value).map_err(drop))
                .map_err(|()| "a header of the answer cannot be sent")?;
        }
        decoded(self.body_base64.as_deref()).map(drop)
    }

    /// The answer as it goes over the wire: a JSON body has a type of its own, any other none.
    pub(super) fn answer(&self) -> Answer {
        let mut answer = match &self.body {
            Some(Value::String(text)) => untyped(self.status, text.clone()),
            Some(body) => Answer::json(status(self.status), body),
            None => untyped(
                self.status,
                decoded(self.body_base64.as_deref()).unwrap_or_default(),
            ),
        };
        for (name, value) in &self.headers {
            answer = answer.header(name, value);
        }
        answer
    }
}

fn untyped(code: u16, body: impl Into<Bytes>) -> Answer {
    let mut answer = Answer::new(status(code), "", body);
    answer.headers.remove(CONTENT_TYPE);
    answer
}
