//! One request, ready to be sent, and what came back.

use crate::egress::Policy;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use url::Url;
use uuid::Uuid;

/// What one rendering drew: with it, a replay sends the same bytes.
///
/// `submit_attempts.drawn`, as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// Milliseconds since 1970, by the database's clock.
    pub unix_ms: i64,
    /// The uuids and the multipart boundary of the request come from it.
    pub seed: Uuid,
}

impl Drawn {
    /// The boundary of a multipart body: 32 hexadecimal digits after a prefix.
    #[must_use]
    pub fn boundary(&self) -> String {
        let seed = Uuid::new_v5(&self.seed, b"boundary");
        format!("modelrow-{}", seed.simple())
    }

    pub(crate) fn draws(self) -> profile::lang::Draws {
        profile::lang::Draws::new(i128::from(self.unix_ms) * 1_000_000, self.seed)
    }
}

/// A request, ready to be sent. `Debug` shows no header value and no body.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// The step that makes it; `submit` for the transport's own.
    pub step: String,
    /// Upper case.
    pub method: String,
    /// Whole address.
    pub url: Url,
    /// Names as written, with their values.
    pub headers: Vec<(String, String)>,
    /// Absent: no body.
    pub body: Option<Bytes>,
    /// Milliseconds: of the whole exchange, or of silence when the answer is a file.
    pub timeout_ms: u64,
    /// Largest answer read, in bytes.
    pub max_bytes: u64,
    /// Whether it is the submit: sent once, on a connection of its own, never redirected.
    pub submit: bool,
    /// Whether the address may have our credentials; where not, nothing was
    /// inherited, and the answer is judged by HTTP status alone.
    pub trusted: bool,
    /// Where it may go, on redirects too.
    pub policy: Arc<Policy>,
    /// What the rendering drew.
    pub drawn: Drawn,
}

impl Request {
    /// SHA-256 over method, address, headers and body, each with its length:
    /// `submit_attempts.request_sha256`.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut put = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        put(self.method.as_bytes());
        put(self.url.as_str().as_bytes());
        for (name, value) in &self.headers {
            put(name.as_bytes());
            put(value.as_bytes());
        }
        put(self.body.as_deref().unwrap_or_default());
        hash.finalize().into()
    }

    /// The first header of that name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Scheme, host and port: `submit_attempts.endpoint`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("step", &self.step)
            .field("method", &self.method)
            .field("origin", &self.origin())
            .field("header_names", &names)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}

/// What came back, as bytes. `Debug` shows no body.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body, bounded by `max_bytes`, decompressed.
    pub body: Bytes,
    /// Whether it came from where our credentials may go; what a redirect gave
    /// from another host is judged by its HTTP status alone.
    pub trusted: bool,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Received {
    /// As paths and conditions see it.
    #[must_use]
    pub fn read(&self) -> profile::lang::Answer {
        profile::lang::Answer {
            status: self.status,
            headers: self.headers.clone(),
            event: None,
            body: match crate::stream::read_assembled(self) {
                Some(stream) => profile::lang::Body::Events(stream),
                None => profile::lang::Body::read(&self.body),
            },
        }
    }

    /// The first header of that name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value.as_str())
    }
}
