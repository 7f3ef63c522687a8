//! What the simulator remembers of every request.

use std::collections::{BTreeMap, VecDeque};

use axum::http::{HeaderMap, header};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::rule::{Cut, Operation};

/// Bodies up to so many bytes are kept; of longer ones the digest is.
const KEPT_BYTES: usize = 64 * 1024;

/// One request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Counted from 1 since the start or the last reset.
    pub number: u64,
    /// When its head was read, in milliseconds since the Unix epoch of real time, which runs on whatever jobs skip.
    pub at_ms: u64,
    /// The connection it came over, by the port at the caller's end.
    pub caller_port: u16,
    /// What was asked.
    pub operation: Operation,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without its question mark.
    pub query: Option<String>,
    /// By lower-case name; of credentials only `sha256:` and the digest of the value. Repeated ones are joined by a comma.
    pub headers: BTreeMap<String, String>,
    /// The body, as far as it was read.
    pub body: Recorded,
    /// The mark of the run it belongs to.
    pub tag: Option<String>,
    /// The id of the job that this request created, or was given again for its idempotency key.
    pub accepted_job: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// The caller was gone before the answer was ready; the work was done all the same.
    pub caller_left: bool,
}

/// A body as it was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// There was none, or it was not read.
    None,
    /// A JSON document.
    Json(Value),
    /// The parts of a form.
    Form(Vec<RecordedPart>),
    /// Any other text.
    Text(String),
    /// Too long to keep, or not text.
    Digest(Fingerprint),
}

/// One part of a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedPart {
    /// The name of the field.
    pub name: String,
    /// Present for files.
    pub file_name: Option<String>,
    /// As the part says.
    pub content_type: Option<String>,
    /// The text of a part that is no file.
    pub text: Option<String>,
    /// What its bytes are.
    pub bytes: Fingerprint,
}

/// Length and digest of bytes that are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fingerprint {
    /// Length in bytes.
    pub len: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

impl Fingerprint {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            len: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(bytes)),
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Still at work.
    Open,
    /// Answered with this status.
    Answered(u16),
    /// The connection was cut, or breaks in the body of the answer.
    Cut(Cut),
    /// The caller did not send the body it had announced.
    BodyBroken,
}

/// The entries, the oldest of which go when there are too many.
#[derive(Debug)]
pub(crate) struct Ledger {
    entries: VecDeque<Entry>,
    next: u64,
    keep: usize,
}

impl Ledger {
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            next: 1,
            keep: keep.max(1),
        }
    }

    /// Gives the entry its number.
    pub(crate) fn open(&mut self, mut entry: Entry) -> u64 {
        entry.number = self.next;
        self.next += 1;
        if self.entries.len() == self.keep {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.next - 1
    }

    /// `None` once it has gone.
    pub(crate) fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let first = self.entries.front()?.number;
        self.entries
            .get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.iter().cloned().collect()
    }
}

/// The headers as the ledger keeps them.
pub(crate) fn recorded_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let text = if is_credential(name.as_str()) {
            format!("sha256:{}", hex::encode(Sha256::digest(value.as_bytes())))
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        kept.entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&text);
            })
            .or_insert(text);
    }
    kept
}

fn is_credential(name: &str) -> bool {
    let names = [
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
    ];
    names.iter().any(|known| name == known.as_str()) || name.contains("api-key")
}

/// A body that is neither JSON nor a form.
pub(crate) fn recorded_bytes(bytes: &[u8]) -> Recorded {
    match std::str::from_utf8(bytes) {
        Ok("") => Recorded::None,
        Ok(text) if text.len() <= KEPT_BYTES => Recorded::Text(text.to_owned()),
        _ => Recorded::Digest(Fingerprint::of(bytes)),
    }
}

/// The JSON itself, when it is not too long.
pub(crate) fn recorded_json(value: &Value, bytes: &[u8]) -> Recorded {
    if bytes.len() <= KEPT_BYTES {
        Recorded::Json(value.clone())
    } else {
        Recorded::Digest(Fingerprint::of(bytes))
    }
}
