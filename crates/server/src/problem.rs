//! What went wrong, as RFC 9457 writes it, with our codes.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use diag::{Code, Diagnostic};
use runtime::{Over, RowError, RunError};
use serde_json::{Map, Value, json};
use std::error::Error;
use uuid::Uuid;

mod over;

/// When a call is worth another try after the database or the artifact store was away.
const AWAY_SECS: u64 = 5;

/// One thing that is wrong, and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) code: Code,
    /// Where.
    at: At,
    message: String,
    help: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    /// Neither body nor header: the address, the method, our own house.
    Nowhere,
    /// JSON Pointer into the caller's body.
    Body(String),
    Header(HeaderName),
}

impl Violation {
    pub(crate) fn new(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            code,
            at: At::Nowhere,
            message: message.into(),
            help: help.into(),
        }
    }

    /// The value in the body that is wrong; empty is the whole body.
    pub(crate) fn at(self, pointer: impl Into<String>) -> Self {
        let at = At::Body(pointer.into());
        Self { at, ..self }
    }

    pub(crate) fn in_header(self, name: HeaderName) -> Self {
        let at = At::Header(name);
        Self { at, ..self }
    }

    /// The pointer, of a violation in the body.
    pub(crate) fn pointer(&self) -> Option<&str> {
        match &self.at {
            At::Body(pointer) => Some(pointer),
            At::Nowhere | At::Header(_) => None,
        }
    }

    /// What is wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to change.
    pub(crate) fn help(&self) -> &str {
        &self.help
    }

    fn to_json(&self) -> Value {
        let mut members = Map::new();
        members.insert("code".into(), self.code.as_str().into());
        match &self.at {
            At::Nowhere => {}
            At::Body(pointer) => drop(members.insert("pointer".into(), pointer.as_str().into())),
            At::Header(name) => drop(members.insert("header".into(), name.as_str().into())),
        }
        members.insert("message".into(), self.message.as_str().into());
        members.insert("help".into(), self.help.as_str().into());
        Value::Object(members)
    }
}

impl From<Diagnostic> for Violation {
    fn from(found: Diagnostic) -> Self {
        Self::new(found.code, found.message, found.help).at(found.place.pointer)
    }
}

/// An answer that is an error: a status and all that is wrong.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    /// At least one, except for a bug of ours.
    violations: Vec<Violation>,
    run_id: Option<Uuid>,
    retry_after_secs: Option<u64>,
    /// The limit of the tenant that was reached.
    over: Option<Over>,
    challenge: Option<Challenge>,
}

/// What `WWW-Authenticate` says (RFC 6750, section 3).
#[derive(Debug, Clone, Copy)]
enum Challenge {
    NoKey,
    BadKey,
    Role,
}

impl Challenge {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::NoKey => "Bearer realm=\"modelrow\"",
            Self::BadKey => "Bearer realm=\"modelrow\", error=\"invalid_token\"",
            Self::Role => "Bearer realm=\"modelrow\", error=\"insufficient_scope\"",
        })
    }
}

impl Problem {
    pub(crate) fn new(status: StatusCode, violation: Violation) -> Self {
        Self::all(status, vec![violation])
    }

    pub(crate) fn all(status: StatusCode, violations: Vec<Violation>) -> Self {
        Self {
            status,
            violations,
            run_id: None,
            retry_after_secs: None,
            over: None,
            challenge: None,
        }
    }

    /// Of a part of the body: what is wrong stands below it.
    pub(crate) fn below(mut self, part: &str) -> Self {
        for violation in &mut self.violations {
            if let At::Body(pointer) = &mut violation.at {
                pointer.insert_str(0, part);
            }
        }
        self
    }

    /// 401: the call shows no key.
    pub(crate) fn no_key(violation: Violation) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, violation).challenge(Challenge::NoKey)
    }

    /// 401: the key is not good.
    pub(crate) fn bad_key(violation: Violation) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, violation).challenge(Challenge::BadKey)
    }

    /// 403: who calls is known, and may not.
    pub(crate) fn forbidden(violation: Violation) -> Self {
        Self::new(StatusCode::FORBIDDEN, violation).challenge(Challenge::Role)
    }

    fn challenge(self, challenge: Challenge) -> Self {
        let challenge = Some(challenge);
        Self { challenge, ..self }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// All that is wrong; none is a bug of ours.
    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// When the same call is worth another try; absent: nobody knows.
    pub(crate) fn retry_after_secs(&self) -> Option<u64> {
        self.retry_after_secs
    }

    /// The limit of the tenant that was reached.
    pub(crate) fn over(&self) -> Option<&Over> {
        self.over.as_ref()
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> Option<Code> {
        self.violations.first().map(|violation| violation.code)
    }

    pub(crate) fn run(self, run_id: Uuid) -> Self {
        let run_id = Some(run_id);
        Self { run_id, ..self }
    }

    pub(crate) fn retry_after(self, secs: u64) -> Self {
        let retry_after_secs = Some(secs);
        Self {
            retry_after_secs,
            ..self
        }
    }

    fn document(&self) -> Value {
        let first = self.violations.first();
        let detail = match self.violations.as_slice() {
            [] => "the call failed".to_owned(),
            [one] => one.message.clone(),
            [first, more @ ..] => {
                format!("{}; and {} more, see `errors`", first.message, more.len())
            }
        };
        let mut document = json!({
            "type": first.map_or_else(|| "about:blank".to_owned(), |v| format!("urn:modelrow:code:{}", v.code)),
            "title": first.map_or("internal error", |v| v.code.title()),
            "status": self.status.as_u16(),
            "detail": detail,
            "code": self.over.as_ref().map(over::code).or(first.map(|v| word(v.code))),
            "errors": self.violations.iter().map(Violation::to_json).collect::<Vec<_>>(),
        });
        let run_id = self.run_id.map(|run_id| run_id.to_string());
        let until = self.over.as_ref().and_then(over::until);
        for (name, value) in [("run_id", &run_id), ("until", &until)] {
            if let (Some(value), Some(members)) = (value, document.as_object_mut()) {
                members.insert(name.into(), value.as_str().into());
            }
        }
        document
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.document())).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(secs) = self.retry_after_secs {
            headers.insert(RETRY_AFTER, secs.into());
            if let Some(over) = &self.over {
                headers.extend(over::headers(over, secs));
            }
        }
        let challenge = self.challenge.map(Challenge::header);
        headers.extend(challenge.map(|challenge| (WWW_AUTHENTICATE, challenge)));
        // Faces of other APIs write the same in their own shape.
        response.extensions_mut().insert(self);
        response
    }
}

/// What is wrong with a body that could be read.
impl From<Vec<Violation>> for Problem {
    fn from(found: Vec<Violation>) -> Self {
        Self::all(StatusCode::UNPROCESSABLE_ENTITY, found)
    }
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        let away = is_away(&error);
        let status = match &error {
            RunError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            RunError::KeyUsed { .. }
            | RunError::KeyOfDeleted { .. }
            | RunError::NotEnded { .. }
            | RunError::MayBePaid { .. }
            | RunError::NotUnknown { .. }
            | RunError::JobTaken { .. }
            // Not the caller's fault, and not to be tried again: whoever runs the house gives it a key.
            | RunError::Sealed(_) => StatusCode::CONFLICT,
            RunError::NoJob { .. }
            | RunError::NothingToPause { .. }
            | RunError::NoWebhookSecret
            | RunError::BadNew { .. }
            | RunError::BadReason => StatusCode::UNPROCESSABLE_ENTITY,
            RunError::Row(error) => of_row(error),
            RunError::OverLimit { .. } => StatusCode::TOO_MANY_REQUESTS,
            RunError::NoSuchRun { .. }
            | RunError::NoSuchDelivery { .. }
            | RunError::NoSuchTenant { .. }
            | RunError::NoSuchKey { .. }
            | RunError::NoSuchWorker { .. }
            | RunError::NoSuchCredential { .. } => StatusCode::NOT_FOUND,
            RunError::BadCursor { .. } => StatusCode::BAD_REQUEST,
            _ if away => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(error = chain(&error), "a call could not be served");
        }
        let problem = Self::all(status, violations(&error));
        let problem = match error {
            RunError::OverLimit { over, retry_after } => Self {
                over: Some(over),
                ..problem.retry_after(retry_after.as_secs().saturating_add(1))
            },
            RunError::KeyUsed { run_id }
            | RunError::KeyOfDeleted { run_id }
            | RunError::NotEnded { run_id, .. }
            | RunError::MayBePaid { run_id, .. }
            | RunError::NotUnknown { run_id, .. } => problem.run(run_id),
            RunError::Row(RowError::OfSystem) => problem.challenge(Challenge::Role),
            _ => problem,
        };
        if away {
            problem.retry_after(AWAY_SECS)
        } else {
            problem
        }
    }
}

fn of_row(error: &RowError) -> StatusCode {
    match error {
        RowError::NotThere { .. }
        | RowError::NoProvider { .. }
        | RowError::NoRevision { .. }
        | RowError::NoEarlier => StatusCode::NOT_FOUND,
        RowError::Taken { .. } | RowError::InUse { .. } | RowError::Braked => StatusCode::CONFLICT,
        RowError::Stale => StatusCode::PRECONDITION_FAILED,
        RowError::OfSystem => StatusCode::FORBIDDEN,
        RowError::Renamed { .. } | RowError::Rule(_) => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// Whether the same call may do better in a moment.
fn is_away(error: &RunError) -> bool {
    match error {
        RunError::Store(error) => error.is_transient(),
        RunError::Objects(_) => true,
        _ => false,
    }
}

/// Only what the caller sent has a pointer; warnings refuse nothing and stay out.
fn violations(error: &RunError) -> Vec<Violation> {
    let found = error.diagnostics();
    let errors = found.into_iter().filter(Diagnostic::is_error);
    errors
        .map(|found| match error {
            RunError::Refused(_) | RunError::BadNew { .. } => Violation::from(found),
            RunError::Row(row) if row.place().is_some() => Violation::from(found),
            RunError::KeyUsed { .. } | RunError::KeyOfDeleted { .. } => {
                Violation::new(found.code, found.message, found.help)
                    .in_header(crate::headers::IDEMPOTENCY_KEY)
            }
            _ => Violation::new(found.code, found.message, found.help),
        })
        .collect()
}

/// The document's `code`: of a limit a word, so that programs can tell limits from mistakes.
fn word(code: Code) -> &'static str {
    match code {
        Code::C175 => "too_many_requests",
        other => other.as_str(),
    }
}

/// An error with its causes, for the log.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
