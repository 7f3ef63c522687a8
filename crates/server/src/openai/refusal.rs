//! Errors as that API writes them: `{"error": {"message", "type", "param", "code"}}`. The one translation from our [`Problem`].

use super::SHOULD_RETRY;
use crate::problem::Problem;
use axum::Json;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use diag::Code;
use runtime::{Limit, Over, RunError};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Official clients wait no longer than a minute before they try again; a limit that holds for longer is no reason to.
const LONGEST_WAIT_SECS: u64 = 60;

/// A call that is refused, as that API says it.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    /// `invalid_request_error`, `rate_limit_error`, …
    kind: &'static str,
    /// A word for programs.
    code: String,
    message: String,
    /// The parameter that is wrong.
    param: Option<String>,
    /// The same call must not be sent again: clients do that by themselves.
    is_final: bool,
    /// What else the answer says: when to come back, how to prove oneself.
    headers: Box<HeaderMap>,
}

/// What went wrong, in the shape of that API.
#[derive(ToSchema)]
#[schema(as = OpenAiError)]
#[expect(dead_code, reason = "described, and never made: a refusal writes it")]
pub(crate) struct ErrorBody {
    error: ErrorObject,
}

/// What is wrong, and where.
#[derive(ToSchema)]
#[schema(as = OpenAiErrorObject)]
#[expect(dead_code, reason = "described, and never made: a refusal writes it")]
struct ErrorObject {
    /// Every mistake of the call, and what to change.
    message: String,
    /// `invalid_request_error`, `permission_error`, `rate_limit_error`, `insufficient_quota`, `server_error`.
    r#type: String,
    /// The parameter that is wrong first.
    param: Option<String>,
    /// A word of that API, `unknown_parameter` for example, or our own code.
    code: String,
}

/// Marks an answer that is in the shape of this face.
#[derive(Debug, Clone)]
struct Written;

impl Refusal {
    /// What only this face says; of a status that clients repeat by themselves it is final.
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: kind(status),
            code: code.to_owned(),
            message: message.into(),
            param: None,
            is_final: repeated_by_clients(status),
            headers: Box::default(),
        }
    }

    /// 400, with the parameter that is wrong.
    pub(crate) fn param(code: &str, param: &str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.to_owned()),
            ..Self::new(StatusCode::BAD_REQUEST, code, message)
        }
    }

    /// A client may send the call again: what it waits for goes on.
    pub(crate) fn may_be_repeated(self) -> Self {
        Self {
            is_final: false,
            ..self
        }
    }

    /// The error object, `{"message", "type", "param", "code"}`: for an event of a stream, where no answer can be given any more.
    pub(crate) fn object(&self) -> Value {
        json!({"message": self.message, "type": self.kind, "param": self.param, "code": self.code})
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.object()}));
        let mut response = (self.status, *self.headers, body).into_response();
        if self.is_final {
            let no = HeaderValue::from_static("false");
            response.headers_mut().insert(SHOULD_RETRY, no);
        }
        response.extensions_mut().insert(Written);
        response
    }
}

impl From<RunError> for Refusal {
    fn from(error: RunError) -> Self {
        Problem::from(error).into()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let first = problem.violations().first();
        let status = status(problem.status(), first.map(|violation| violation.code));
        let code = match problem.over() {
            Some(over) => of_limit(over),
            None => first.map_or("server_error", |violation| word(violation.code)),
        };
        let param = first
            .and_then(|violation| violation.pointer())
            .and_then(param);
        let wait = problem.retry_after_secs();
        let soon = wait.is_some_and(|secs| secs <= LONGEST_WAIT_SECS);
        let message = message(&problem);
        let headers = problem.into_response().into_parts().0.headers;
        Self {
            status,
            kind: kind_of(status, code),
            code: code.to_owned(),
            message,
            param,
            is_final: match status {
                // It will not be another answer.
                StatusCode::CONFLICT => true,
                StatusCode::TOO_MANY_REQUESTS => !soon,
                // A create that is repeated finds its run; what broke may be whole again.
                _ => false,
            },
            headers: Box::new(without_body(headers)),
        }
    }
}

/// What the body's own headers say is not said of another body.
fn without_body(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    headers
}

/// Gives every refusal below the face's path its shape, whoever refused.
pub(crate) async fn translate(request: Request, next: Next) -> Response {
    let inside = super::has(request.uri().path());
    let response = next.run(request).await;
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if !inside || !is_error || response.extensions().get::<Written>().is_some() {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    if let Some(problem) = parts.extensions.remove::<Problem>() {
        return Refusal::from(problem).into_response();
    }
    let what = parts
        .status
        .canonical_reason()
        .unwrap_or("error")
        .to_lowercase();
    let said = Refusal::new(parts.status, &what.replace([' ', '-'], "_"), what);
    let mut answer = said.into_response();
    for (name, value) in &without_body(parts.headers) {
        answer.headers_mut().entry(name).or_insert(value.clone());
    }
    answer
}

/// That API says 400 where we say 422, and knows a model that is not there by 404.
fn status(ours: StatusCode, code: Option<Code>) -> StatusCode {
    match (ours, code) {
        (StatusCode::UNPROCESSABLE_ENTITY, Some(Code::C130 | Code::C131)) => StatusCode::NOT_FOUND,
        (StatusCode::UNPROCESSABLE_ENTITY, _) => StatusCode::BAD_REQUEST,
        (status, _) => status,
    }
}

fn repeated_by_clients(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 429 | 500..)
}

fn kind_of(status: StatusCode, code: &str) -> &'static str {
    match code {
        "insufficient_quota" => "insufficient_quota",
        _ => kind(status),
    }
}

fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// The words of that API where it has one; else our own code, which `modelrow explain` explains.
fn word(code: Code) -> &'static str {
    match code {
        Code::C101 | Code::C106 | Code::C110 | Code::C153 | Code::C190 => "unknown_parameter",
        Code::C107 | Code::C111 | Code::C116 | Code::C155 => "missing_required_parameter",
        Code::C102 | Code::C154 => "invalid_type",
        Code::C103
        | Code::C104
        | Code::C105
        | Code::C108
        | Code::C109
        | Code::C112
        | Code::C113
        | Code::C114
        | Code::C115
        | Code::C117
        | Code::C118
        | Code::C120
        | Code::C166 => "invalid_value",
        Code::C130 | Code::C131 | Code::C191 => "model_not_found",
        Code::C158 => "unknown_url",
        Code::C159 => "method_not_allowed",
        Code::C172 | Code::C173 => "invalid_api_key",
        Code::C174 => "insufficient_permissions",
        Code::C175 => "rate_limit_exceeded",
        other => other.as_str(),
    }
}

/// A limit that ends with the runs of others is a rate; one of a day or a month is a quota.
fn of_limit(over: &Over) -> &'static str {
    match over.limit {
        Limit::InFlight | Limit::Queued => "rate_limit_exceeded",
        Limit::RunsPerDay | Limit::Spend => "insufficient_quota",
    }
}

/// `/input_reference/0/image_url` as `input_reference.0.image_url`; the whole body is no parameter.
fn param(pointer: &str) -> Option<String> {
    let path = pointer.strip_prefix('/')?;
    let names = path.split('/');
    let names: Vec<String> = names
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect();
    Some(names.join("."))
}

/// Every mistake with what to change: the shape has room for one message only.
fn message(problem: &Problem) -> String {
    let said = problem.violations().iter().map(|violation| {
        let place = violation.pointer().and_then(param);
        let place = place.map_or_else(String::new, |name| format!("`{name}`: "));
        format!("{place}{}; {}", violation.message(), violation.help())
    });
    let all: Vec<String> = said.collect();
    match all.is_empty() {
        true => "the call failed".to_owned(),
        false => all.join("\n"),
    }
}

#[cfg(test)]
mod tests;
