//! `/hooks/{provider}/{token}`: what providers call. Stored and answered at
//! once; whether it is the provider's, and what it means, is found out later.

use super::House;
use super::path::HookPath;
use crate::body;
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{
    ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use diag::Code;
use runtime::{Callback, Heard};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Of a callback's body.
const BOUNDS: body::Bounds = body::Bounds {
    bytes: 256 * 1024,
    within: Duration::from_secs(10),
    pause: Duration::from_secs(10),
    instead: "it is not read; the run is polled all the same",
};

/// Takes a callback of a provider
#[utoipa::path(
    post, path = "/hooks/{provider}/{token}", tag = "service", operation_id = "receiveCallback",
    request_body(content = Vec<u8>, content_type = "*/*", description = "As the provider writes it, at most 256 KiB"), params(("provider" = String, Path, description = "Its short name"), ("token" = String, Path, description = "Proves that the address is ours")),
    responses((status = 200, description = "Stored; what it says is proved later"))
)]
pub(super) async fn receive(
    State(house): State<House>,
    path: HookPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let HookPath { provider, token } = path;
    if !house.modelrow.knows_hook(&provider, &token) {
        return Err(no_address());
    }
    let callback = Callback {
        body: body::read(&headers, body, BOUNDS).await?.into(),
        headers: texts(&headers),
    };
    match house.modelrow.callback(&provider, &token, callback).await? {
        Heard::NoAddress => Err(no_address()),
        Heard::Challenge { name, value } => Ok(Json(json!({ name: value })).into_response()),
        Heard::Kept => Ok(StatusCode::OK.into_response()),
    }
}

/// Answers a provider that asks whether the address is ours
#[utoipa::path(
    get, path = "/hooks/{provider}/{token}", tag = "service", operation_id = "registerCallback", params(("provider" = String, Path, description = "Its short name"), ("token" = String, Path, description = "Proves that the address is ours")),
    responses((status = 200, description = "The value that was asked for", body = String, content_type = "text/plain"))
)]
pub(super) async fn register(
    State(house): State<House>,
    path: HookPath,
    uri: Uri,
) -> Result<Response, Problem> {
    let HookPath { provider, token } = path;
    let query = Query::<Vec<(String, String)>>::try_from_uri(&uri);
    let pairs = query.map(|Query(pairs)| pairs).unwrap_or_default();
    let members: Map<String, Value> = pairs
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)))
        .collect();
    let asked = Callback {
        headers: Vec::new(),
        body: Value::Object(members).to_string().into(),
    };
    let heard = house.modelrow.callback_challenge(&provider, &token, &asked);
    match heard.await? {
        Heard::NoAddress => Err(no_address()),
        Heard::Challenge { value, .. } => Ok(plain(value)),
        Heard::Kept => {
            let message =
                "a callback is a `POST`; this `GET` has no challenge that the profile names";
            let help = "send a `POST`, or give the profile's `webhook` a `challenge_path`";
            let violation = Violation::new(Code::C159, message, help);
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, violation);
            Ok(([(ALLOW, "POST")], problem).into_response())
        }
    }
}

/// What was in a query, and must act as nothing else than text.
fn plain(value: String) -> Response {
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; sandbox"),
        ),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, value).into_response()
}

fn no_address() -> Problem {
    let violation = Violation::new(
        Code::C171,
        "no callback is expected at this address",
        "give the provider the `callback_url` of a run, or what `modelrow profile callback-url` prints",
    );
    Problem::new(StatusCode::NOT_FOUND, violation)
}

/// Values that are text; others can be no signature.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)))
        .collect()
}
