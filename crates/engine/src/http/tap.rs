//! What was exchanged, heard beside the exchange: for recording a case.

use crate::request::Request;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes kept of a body that says it is JSON or text, and of any other (a file).
const TEXT_KEPT: usize = 64 * 1024 * 1024;
const FILE_KEPT: usize = 64 * 1024;
/// Exchanges kept.
const EXCHANGES_KEPT: usize = 5_000;

/// Hears every exchange of the [`super::Http`] that it was given to. Cheap to clone; all clones hear the same.
#[derive(Clone, Default)]
pub struct Tap(Arc<Mutex<Vec<Heard>>>);

/// One exchange. `Debug` shows no header value and no body.
#[derive(Clone)]
pub struct Heard {
    /// As it was sent, secrets and all.
    pub request: Request,
    /// What came; absent: the connection broke.
    pub answer: Option<HeardAnswer>,
}

/// An answer, hop by hop: a redirect is one of its own.
#[derive(Clone, Default)]
pub struct HeardAnswer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its beginning, decompressed.
    pub body: Vec<u8>,
    /// How long it was.
    pub bytes: u64,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tap")
            .field(&self.with(|heard| heard.len()))
            .finish()
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.answer.as_ref().map(|answer| answer.status);
        f.debug_struct("Heard")
            .field("request", &self.request)
            .field("status", &status)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HeardAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeardAnswer")
            .field("status", &self.status)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Tap {
    /// What was heard so far, in the order of the answers' heads.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.with(|heard| heard.clone())
    }

    fn with<T>(&self, see: impl FnOnce(&mut Vec<Heard>) -> T) -> T {
        see(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The place of a new exchange; `None`: there is no room.
    fn begin(&self, request: &Request, answer: Option<HeardAnswer>) -> Option<usize> {
        self.with(|heard| {
            let room = heard.len() < EXCHANGES_KEPT;
            room.then(|| {
                heard.push(Heard {
                    request: request.clone(),
                    answer,
                });
                heard.len() - 1
            })
        })
    }

    /// No answer came.
    pub(super) fn broke(&self, request: &Request) {
        self.begin(request, None);
    }

    /// The same response, whose body is heard while it is read.
    pub(super) fn listen(
        &self,
        request: &Request,
        response: reqwest::Response,
    ) -> reqwest::Response {
        let answer = HeardAnswer {
            status: response.status().as_u16(),
            headers: super::headers_of(&response),
            ..HeardAnswer::default()
        };
        let kept = kept_of(&answer.headers);
        let (status, headers) = (response.status(), response.headers().clone());
        let Some(at) = self.begin(request, Some(answer)) else {
            return response;
        };
        let tap = self.clone();
        let body = response
            .bytes_stream()
            .inspect_ok(move |chunk| tap.hear(at, chunk, kept));
        let mut again = http::Response::new(reqwest::Body::wrap_stream(body));
        *again.status_mut() = status;
        *again.headers_mut() = headers;
        again.into()
    }

    fn hear(&self, at: usize, chunk: &Bytes, kept: usize) {
        self.with(|heard| {
            let Some(answer) = heard.get_mut(at).and_then(|heard| heard.answer.as_mut()) else {
                return;
            };
            answer.bytes += chunk.len() as u64;
            let room = kept.saturating_sub(answer.body.len()).min(chunk.len());
            answer.body.extend(chunk.iter().take(room));
        });
    }
}

fn kept_of(headers: &[(String, String)]) -> usize {
    let content_type = headers.iter().find(|(name, _)| name == "content-type");
    let is_text = content_type.is_none_or(|(_, value)| {
        let value = value.to_ascii_lowercase();
        value.contains("json") || value.starts_with("text/")
    });
    if is_text { TEXT_KEPT } else { FILE_KEPT }
}
