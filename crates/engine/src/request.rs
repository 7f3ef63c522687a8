//! One request, ready to be sent, and what came back.

use crate::auth::Signer;
use crate::egress::Policy;
use crate::fault::Fault;
use bytes::Bytes;
use diag::{ExposeSecret as _, Secret};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
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
    /// Whether it is the submit: sent once, on a connection of its own unless it is `kept`, never redirected.
    pub submit: bool,
    /// Whether a submit may travel on a connection that was kept, and may die under it: what is sent twice then does no harm.
    pub kept: bool,
    /// Whether the address may have our credentials; where not, nothing was
    /// inherited, and the answer is judged by HTTP status alone.
    pub trusted: bool,
    /// Where it may go, on redirects too.
    pub policy: Arc<Policy>,
    /// What proves it, beside what its templates wrote.
    pub proof: Proof,
    /// What the rendering drew.
    pub drawn: Drawn,
}

/// What proves a request beside what its templates wrote. It changes between
/// two sendings of the same request, so [`Request::sha256`] leaves it out.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// Signs the final bytes, at the moment of sending and for every redirect.
    pub signer: Option<Arc<Signer>>,
    /// The access token that templates may have written.
    pub token: Option<Secret>,
    /// The auth profile of a step whose token it is; absent: the run's own.
    pub auth: Option<String>,
    /// Until when the token serves, milliseconds since 1970; absent: it is none
    /// that ends.
    pub fresh_until_ms: Option<i64>,
}

impl PartialEq for Proof {
    fn eq(&self, other: &Self) -> bool {
        let token = |proof: &Self| {
            proof
                .token
                .as_ref()
                .map(|token| token.expose_secret().to_owned())
        };
        let signer = match (&self.signer, &other.signer) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        signer && token(self) == token(other)
    }
}

impl Request {
    /// SHA-256 over method, address, headers and body, each with its length:
    /// `submit_attempts.request_sha256`. The access token counts as if it were
    /// `***`, and a signature is not there yet: a replay proves the same request anew.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut put = |part: &[u8]| {
            let part = self.without_token(part);
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

    fn without_token<'p>(&self, part: &'p [u8]) -> Cow<'p, [u8]> {
        let token = self.proof.token.as_ref();
        let Some(token) = token.map(|token| token.expose_secret().as_bytes()) else {
            return Cow::Borrowed(part);
        };
        let found = |part: &[u8]| {
            part.windows(token.len().max(1))
                .position(|piece| piece == token)
        };
        let (mut rest, mut clean) = (part, Vec::new());
        while let Some(at) = found(rest) {
            clean.extend_from_slice(rest.get(..at).unwrap_or_default());
            clean.extend_from_slice(diag::mask().as_bytes());
            rest = rest.get(at + token.len()..).unwrap_or_default();
        }
        if clean.is_empty() {
            return Cow::Borrowed(part);
        }
        clean.extend_from_slice(rest);
        Cow::Owned(clean)
    }

    /// Whether an access token must be had before it is sent at that time: what
    /// it has is a mask, or about to end.
    #[must_use]
    pub fn lacks_token(&self, now_ms: i64) -> bool {
        self.proof
            .fresh_until_ms
            .is_some_and(|until| until <= now_ms)
    }

    /// The request with its signature, where it has one and may be proved.
    /// `at_ms`: now, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// As [`Signer::headers`].
    pub(crate) fn signed(&self, at_ms: i64) -> Result<Cow<'_, Self>, Fault> {
        let Some(signer) = self.proof.signer.as_ref().filter(|_| self.trusted) else {
            return Ok(Cow::Borrowed(self));
        };
        let added = signer.headers(self, at_ms)?;
        let mut signed = self.clone();
        let replaced = |name: &str| {
            added
                .iter()
                .any(|(have, _)| have.eq_ignore_ascii_case(name))
        };
        signed.headers.retain(|(name, _)| !replaced(name));
        signed.headers.extend(added);
        Ok(Cow::Owned(signed))
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
