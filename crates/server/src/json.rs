//! The body of a call: its type, its size, its text, before its meaning.

use crate::body;
use crate::problem::{Problem, Violation};
use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use diag::{Code, Place};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

/// The largest body. Media may stand in it as `data_url`, a third longer than
/// their bytes: 48 MB of them fit. Larger ones come as `url`.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// Time for the largest body at 2 Mbit/s; a client that pauses is not awaited so long.
const BOUNDS: body::Bounds = body::Bounds {
    bytes: MAX_BODY_BYTES,
    within: Duration::from_secs(300),
    pause: Duration::from_secs(20),
    instead: "give large media as `url`",
};

/// The deepest nesting of objects and lists. The reader itself stops at 128.
const MAX_LEVELS: usize = 64;

/// Reads a JSON body whole.
///
/// # Errors
///
/// 415 for another type, 413 for too much, 408 for too slow, 400 for what is no JSON of ours.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Value, Problem> {
    check_type(headers)?;
    understood(&bounded(headers, body).await?)
}

/// The body whole, whatever it holds.
///
/// # Errors
///
/// 413 for too much, 408 for too slow, 400 for what ends before its end.
pub(crate) async fn bounded(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    body::read(headers, body, BOUNDS).await
}

fn understood(bytes: &[u8]) -> Result<Value, Problem> {
    parse(bytes).map_err(|violations| Problem::all(StatusCode::BAD_REQUEST, violations))
}

/// The same, of a call that may have no body.
///
/// # Errors
///
/// As [`read`].
pub(crate) async fn read_optional(
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<Value>, Problem> {
    let bytes = bounded(headers, body).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    check_type(headers)?;
    understood(&bytes).map(Some)
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |name, message: &str, help| {
        let violation = Violation::new(Code::C156, message, help).in_header(name);
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, violation))
    };
    if !headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| is_json(value.as_bytes()))
    {
        return refuse(
            CONTENT_TYPE,
            "the body is not announced as JSON",
            "send `Content-Type: application/json`",
        );
    }
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return refuse(
            CONTENT_ENCODING,
            "the body is encoded",
            "send the body as it is, without `Content-Encoding`",
        );
    }
    Ok(())
}

/// `application/json` or `application/…+json`, parameters aside.
fn is_json(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let essence = text.split(';').next().unwrap_or_default().trim();
    let subtype = essence.strip_prefix("application/").unwrap_or_default();
    subtype == "json" || subtype.ends_with("+json")
}

fn parse(bytes: &[u8]) -> Result<Value, Vec<Violation>> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| vec![not_json(&error)])?;
    let scanned = Scan::run(bytes);
    if scanned.deepest > MAX_LEVELS {
        let message = format!("the body is nested {} levels deep", scanned.deepest);
        let help = format!("at most {MAX_LEVELS} levels are read");
        return Err(vec![Violation::new(Code::C152, message, help).at("")]);
    }
    match scanned.found.is_empty() {
        true => Ok(value),
        false => Err(scanned.found),
    }
}

fn not_json(error: &serde_json::Error) -> Violation {
    let (line, column) = (error.line(), error.column());
    // The reader gives up at 128 levels and says so in its text only.
    if error.to_string().starts_with("recursion limit") {
        let help = format!("at most {MAX_LEVELS} levels are read");
        return Violation::new(Code::C152, "the body is nested too deep", help).at("");
    }
    let message = format!("the body is not JSON: line {line}, column {column}");
    let help = if error.is_eof() {
        "it ends too early: send it whole"
    } else {
        "correct the text there"
    };
    Violation::new(Code::C150, message, help).at("")
}

/// What the reader swallows: how deep the text is, members given twice, and texts that no database keeps.
/// For a text that is JSON.
#[derive(Default)]
struct Scan<'t> {
    open: Vec<Level<'t>>,
    deepest: usize,
    found: Vec<Violation>,
}

/// An object or list that is open.
struct Level<'t> {
    place: Place,
    /// Of an object: the names so far.
    keys: Option<HashSet<Cow<'t, str>>>,
    /// Where the next value belongs.
    index: usize,
    key: Option<Cow<'t, str>>,
}

impl<'t> Scan<'t> {
    fn run(text: &'t [u8]) -> Self {
        let mut scan = Self::default();
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            match byte {
                b'{' => scan.enter(Some(HashSet::new())),
                b'[' => scan.enter(None),
                b'}' | b']' => drop(scan.open.pop()),
                b',' => scan.next_value(),
                b'"' => {
                    let end = end_of_string(text, at);
                    scan.string(text.get(at..end).unwrap_or_default());
                    at = end;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        scan
    }

    fn enter(&mut self, keys: Option<HashSet<Cow<'t, str>>>) {
        let place = self.open.last().map_or_else(Place::default, Level::child);
        self.open.push(Level {
            place,
            keys,
            index: 0,
            key: None,
        });
        self.deepest = self.deepest.max(self.open.len());
    }

    fn next_value(&mut self) {
        if let Some(level) = self.open.last_mut() {
            level.index += 1;
            level.key = None;
        }
    }

    /// The first string of a member is its name.
    fn string(&mut self, quoted: &'t [u8]) {
        let Some(level) = self.open.last_mut() else {
            return;
        };
        if has_nul(quoted) {
            let message = "a text holds the character U+0000";
            let violation = Violation::new(Code::C154, message, "leave it out: it cannot be kept");
            // A name has no place of its own: its object's.
            let is_name = level.keys.is_some() && level.key.is_none();
            let place = match is_name {
                true => level.place.pointer.clone(),
                false => level.child().pointer,
            };
            self.found.push(violation.at(place));
        }
        let Some(keys) = level.keys.as_mut().filter(|_| level.key.is_none()) else {
            return;
        };
        let name = name(quoted);
        let twice = !keys.insert(name.clone());
        level.key = Some(name);
        if twice {
            let message = "a member is given twice";
            let violation = Violation::new(Code::C165, message, "give each member once");
            self.found.push(violation.at(level.child().pointer));
        }
    }
}

impl Level<'_> {
    fn child(&self) -> Place {
        match &self.key {
            Some(name) => self.place.child(name),
            None => self.place.child(self.index),
        }
    }
}

/// Whether the character U+0000 stands in it: in JSON it is always escaped.
fn has_nul(quoted: &[u8]) -> bool {
    let mut rest = quoted;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escaped = rest.get(at + 1..).unwrap_or_default();
        if escaped.starts_with(b"u0000") {
            return true;
        }
        rest = escaped.get(1..).unwrap_or_default();
    }
    false
}

/// What a quoted text says: `"a"` and `"\u0061"` are one name.
fn name(quoted: &[u8]) -> Cow<'_, str> {
    let inner = quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default();
    if inner.contains(&b'\\') {
        return serde_json::from_slice::<String>(quoted)
            .unwrap_or_default()
            .into();
    }
    String::from_utf8_lossy(inner)
}

/// The place behind the closing quote of the string that begins at `at`.
fn end_of_string(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests;
