//! Reading requests: what is asked, and the body in the form it came in.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use serde_json::Value;

use crate::config::TagPlaces;
use crate::ledger::{Fingerprint, Recorded, RecordedPart, recorded_bytes, recorded_json};
use crate::rule::Operation;
use crate::wire::Wire;

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) operation: Operation,
    /// The job it names.
    pub(crate) id: Option<String>,
    /// The last part of a result's address.
    pub(crate) signature: Option<String>,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
}

/// A body, parsed as its content type says.
#[derive(Debug)]
pub(crate) enum ReadBody {
    Empty,
    Json(Value),
    Form(Vec<Part>),
    /// It is not what its content type says, and why.
    Unreadable(String),
    /// A content type that is neither.
    Other,
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) file_name: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) bytes: Bytes,
}

impl Head {
    pub(crate) fn read(wire: &Wire, parts: Parts) -> Self {
        let path = parts.uri.path().to_owned();
        let (operation, id, signature) = classify(wire, &parts.method, &path);
        Self {
            operation,
            id,
            signature,
            query: parts.uri.query().map(str::to_owned),
            method: parts.method,
            path,
            headers: parts.headers,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The content type without its parameters, in lower case; empty when there is none.
    pub(crate) fn content_type(&self) -> String {
        let value = self.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    }

    /// The mark of the run in the headers.
    pub(crate) fn tag(&self, places: &TagPlaces) -> Option<String> {
        places
            .headers
            .iter()
            .find_map(|name| self.header(name))
            .map(str::to_owned)
    }
}

fn classify(
    wire: &Wire,
    method: &Method,
    path: &str,
) -> (Operation, Option<String>, Option<String>) {
    let own = |text: &str| Some(text.to_owned());
    if let Some(file) = path.strip_prefix("/files/") {
        return match file.split_once('/') {
            Some((id, name)) if method == Method::GET => (Operation::File, own(id), own(name)),
            _ => (Operation::Unknown, None, None),
        };
    }
    let below = path
        .strip_prefix(wire.prefix.as_str())
        .and_then(|rest| rest.strip_prefix('/'));
    let mut segments = below.unwrap_or_default().split('/');
    if segments.next() != Some(wire.collection.as_str()) {
        return (Operation::Unknown, None, None);
    }
    let segments: Vec<&str> = segments.collect();
    let (operation, id) = match (method.as_str(), segments.as_slice()) {
        ("POST", []) => (Operation::Create, None),
        ("GET", []) => (Operation::List, None),
        ("GET", [id]) => (Operation::Retrieve, own(id)),
        ("DELETE", [id]) => (Operation::Delete, own(id)),
        ("GET", [id, "content"]) => (Operation::Content, own(id)),
        ("POST", [id, "remix"]) => (Operation::Remix, own(id)),
        _ => (Operation::Unknown, None),
    };
    (operation, id, None)
}

impl ReadBody {
    pub(crate) async fn read(head: &Head, bytes: Bytes) -> (Self, Recorded) {
        match head.content_type().as_str() {
            "application/json" => Self::json(&bytes),
            "multipart/form-data" => Self::form(head, bytes).await,
            _ if bytes.is_empty() => (Self::Empty, Recorded::None),
            _ => (Self::Other, recorded_bytes(&bytes)),
        }
    }

    fn json(bytes: &Bytes) -> (Self, Recorded) {
        match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => {
                let recorded = recorded_json(&value, bytes);
                (Self::Json(value), recorded)
            }
            Err(error) => (Self::Unreadable(error.to_string()), recorded_bytes(bytes)),
        }
    }

    async fn form(head: &Head, bytes: Bytes) -> (Self, Recorded) {
        match parts(head, bytes.clone()).await {
            Ok(parts) => {
                let recorded = Recorded::Form(parts.iter().map(Part::recorded).collect());
                (Self::Form(parts), recorded)
            }
            Err(why) => (Self::Unreadable(why), recorded_bytes(&bytes)),
        }
    }

    /// The prompt, wherever it stands.
    pub(crate) fn prompt(&self) -> Option<&str> {
        match self {
            Self::Json(body) => body.get("prompt")?.as_str(),
            Self::Form(parts) => parts.iter().find(|part| part.name == "prompt")?.text(),
            Self::Empty | Self::Unreadable(_) | Self::Other => None,
        }
    }

    /// The mark of the run in the prompt: the word after the marker.
    pub(crate) fn tag(&self, places: &TagPlaces) -> Option<String> {
        let marker = Some(places.prompt_marker.as_str()).filter(|marker| !marker.is_empty())?;
        let (_, after) = self.prompt()?.split_once(marker)?;
        let end = after
            .find(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)))
            .unwrap_or(after.len());
        after
            .get(..end)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
    }
}

impl Part {
    /// `None` for files, and for what is not UTF-8.
    pub(crate) fn text(&self) -> Option<&str> {
        if self.file_name.is_some() {
            None
        } else {
            std::str::from_utf8(&self.bytes).ok()
        }
    }

    fn recorded(&self) -> RecordedPart {
        RecordedPart {
            name: self.name.clone(),
            file_name: self.file_name.clone(),
            content_type: self.content_type.clone(),
            text: self.text().map(str::to_owned),
            bytes: Fingerprint::of(&self.bytes),
        }
    }
}

/// Reads the parts of a form.
///
/// # Errors
///
/// Why the body is not the form its content type announces.
pub(crate) async fn parts(head: &Head, bytes: Bytes) -> Result<Vec<Part>, String> {
    let mut request = Request::new(Body::from(bytes));
    request.headers_mut().clone_from(&head.headers);
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| error.to_string())?;
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| error.body_text())? {
        parts.push(Part {
            name: field.name().unwrap_or_default().to_owned(),
            file_name: field.file_name().map(str::to_owned),
            content_type: field.content_type().map(str::to_owned),
            bytes: field.bytes().await.map_err(|error| error.body_text())?,
        });
    }
    Ok(parts)
}
