//! `/v1/runs/{id}/artifacts/{name}[/{idx}]`: the files of a run, streamed.

use super::House;
use super::path::ArtifactPath;
use super::runs::LOOK_AGAIN_SECS;
use crate::caller::Caller;
use crate::disposition;
use crate::etag::ETag;
use crate::problem::{Problem, Violation, chain};
use crate::range::{self, Asked};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use diag::Code;
use futures_util::TryStreamExt as _;
use runtime::{ArtifactView, Modelrow, RunView, Stored};
use serde_json::Value;
use std::ops::Range;

// What else a file is answered with stands in `openapi`, once.

/// Streams the first file of this name
#[utoipa::path(
    get, path = "/v1/runs/{id}/artifacts/{name}", tag = "files", operation_id = "downloadArtifact",
    params(("id" = Uuid, Path, description = "The run"), ("name" = String, Path, description = "As the run's `artifacts` have it")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "*/*"))
)]
pub(super) async fn first(
    house: State<House>,
    caller: Caller,
    path: ArtifactPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    download(house, caller, path, Method::GET, headers).await
}

/// Headers of the first file of this name
#[utoipa::path(
    head, path = "/v1/runs/{id}/artifacts/{name}", tag = "files", operation_id = "headArtifact",
    params(("id" = Uuid, Path, description = "The run"), ("name" = String, Path, description = "As the run's `artifacts` have it")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "*/*"))
)]
pub(super) async fn first_head(
    house: State<House>,
    caller: Caller,
    path: ArtifactPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    download(house, caller, path, Method::HEAD, headers).await
}

/// Streams a file of this name by its number
#[utoipa::path(
    get, path = "/v1/runs/{id}/artifacts/{name}/{idx}", tag = "files", operation_id = "downloadArtifactByIndex",
    params(("id" = Uuid, Path, description = "The run"), ("name" = String, Path, description = "As the run's `artifacts` have it"), ("idx" = i32, Path, description = "Number under that name, from 0")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "*/*"))
)]
pub(super) async fn numbered(
    house: State<House>,
    caller: Caller,
    path: ArtifactPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    download(house, caller, path, Method::GET, headers).await
}

/// Headers of a file of this name by its number
#[utoipa::path(
    head, path = "/v1/runs/{id}/artifacts/{name}/{idx}", tag = "files", operation_id = "headArtifactByIndex",
    params(("id" = Uuid, Path, description = "The run"), ("name" = String, Path, description = "As the run's `artifacts` have it"), ("idx" = i32, Path, description = "Number under that name, from 0")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "*/*"))
)]
pub(super) async fn numbered_head(
    house: State<House>,
    caller: Caller,
    path: ArtifactPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    download(house, caller, path, Method::HEAD, headers).await
}

/// Streams one file, or a range of it. `HEAD` gets the headers alone.
async fn download(
    State(house): State<House>,
    caller: Caller,
    path: ArtifactPath,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = caller.tenant();
    let modelrow = &house.modelrow;
    let found = match path.idx {
        Some(idx) => modelrow.stored(tenant, path.run, &path.name, idx).await?,
        None => None,
    };
    let Some(stored) = found else {
        return Err(missing(&modelrow.run(tenant, path.run).await?, &path));
    };
    served(modelrow, stored, &method, &headers).await
}

/// A stored file, or what is asked of it, as an answer.
pub(crate) async fn served(
    modelrow: &Modelrow,
    stored: Stored,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let head = head(&stored.view, headers);
    let Some(range) = head.range.filter(|_| method != Method::HEAD) else {
        return Ok((head.status, head.headers).into_response());
    };
    let stream = modelrow.read_stored(&stored, Some(range)).await?;
    let file = stored.view.url;
    let stream = stream.inspect_err(move |error| {
        tracing::error!(file, error = chain(error), "a download broke off")
    });
    Ok((head.status, head.headers, Body::from_stream(stream)).into_response())
}

/// Status and headers of an answer, and the bytes that follow; absent: none.
struct Head {
    status: StatusCode,
    headers: HeaderMap,
    range: Option<Range<u64>>,
}

fn head(view: &ArtifactView, asked: &HeaderMap) -> Head {
    let tag = ETag::of_sha256(&view.sha256);
    let mut headers = file_headers(view, &tag);
    let (status, range) = if tag.is_known(asked) {
        (StatusCode::NOT_MODIFIED, None)
    } else {
        match range::asked(asked, view.bytes, &tag) {
            Asked::Whole => (StatusCode::OK, Some(0..view.bytes)),
            Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, Some(part)),
            Asked::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, None),
        }
    };
    let whole = view.bytes;
    let place = match (&range, status) {
        (Some(part), StatusCode::PARTIAL_CONTENT) => Some(format!(
            "bytes {}-{}/{whole}",
            part.start,
            part.end.saturating_sub(1)
        )),
        (None, StatusCode::RANGE_NOT_SATISFIABLE) => Some(format!("bytes */{whole}")),
        _ => None,
    };
    headers.extend(place.and_then(|place| Some((CONTENT_RANGE, place.try_into().ok()?))));
    let length = range.as_ref().map(|range| range.end - range.start);
    headers.extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from(length))));
    Head {
        status,
        headers,
        range,
    }
}

fn file_headers(view: &ArtifactView, tag: &ETag) -> HeaderMap {
    let fixed = HeaderValue::from_static;
    let content_type =
        HeaderValue::try_from(&view.content_type).unwrap_or(fixed("application/octet-stream"));
    let disposition = disposition::attachment(&view.name, view.idx, &view.content_type);
    let mut headers = HeaderMap::from_iter([
        (CONTENT_TYPE, content_type),
        (CONTENT_DISPOSITION, disposition),
        // A provider's bytes never act as a page of ours.
        (
            CONTENT_SECURITY_POLICY,
            fixed("default-src 'none'; sandbox"),
        ),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (CACHE_CONTROL, fixed("private, no-cache")),
        (ACCEPT_RANGES, fixed("bytes")),
    ]);
    headers.extend(tag.header().map(|tag| (ETAG, tag)));
    headers
}

/// Why there is no such file: not yet, no longer, or never.
pub(super) fn missing(run: &RunView, path: &ArtifactPath) -> Problem {
    let file = match path.idx {
        None | Some(0) => path.name.clone(),
        Some(idx) => format!("{}/{idx}", path.name),
    };
    let problem = |status, code, message: String, help: &str| {
        Problem::new(status, Violation::new(code, message, help)).run(run.id)
    };
    if !run.ended() {
        let message = format!("`{file}` is not there yet: the run is `{}`", run.state);
        let help = "ask again after the time in `Retry-After`, or wait for the end of the run";
        return problem(StatusCode::CONFLICT, Code::C161, message, help)
            .retry_after(LOOK_AGAIN_SECS);
    }
    if run
        .output
        .as_ref()
        .is_some_and(|output| names(output, run, path))
    {
        let message = format!("`{file}` is past its retention");
        let help = "make a new run, and fetch files before their `expires_at`";
        return problem(StatusCode::GONE, Code::C162, message, help);
    }
    let message = format!("the run delivered no `{file}`");
    problem(
        StatusCode::NOT_FOUND,
        Code::C163,
        message,
        "the run's `artifacts` list its files",
    )
}

/// Whether the output still names the file by its address, which it keeps longer than the file.
fn names(output: &Value, run: &RunView, path: &ArtifactPath) -> bool {
    let Some(idx) = path.idx else { return false };
    let first = format!("/v1/runs/{}/artifacts/{}", run.id, path.name);
    let numbered = format!("{first}/{idx}");
    holds(output, &|text| {
        text.ends_with(&numbered) || (idx == 0 && text.ends_with(&first))
    })
}

fn holds(value: &Value, wanted: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => wanted(text),
        Value::Array(items) => items.iter().any(|item| holds(item, wanted)),
        Value::Object(members) => members.values().any(|item| holds(item, wanted)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    const RUN: &str = "018f0000-0000-7000-8000-000000000000";

    fn run(ended_at: Option<&str>, output: Value) -> RunView {
        let view = json!({
            "id": RUN, "tenant": RUN, "status": "running", "state": "polling", "purpose": "video", "provider": null, "model": null,
            "profile_key": null, "revision": "00", "progress": null, "output": output, "artifacts": [], "failure": null,
            "spent": "yes", "overdue": false, "cancel_requested": false, "held": false, "cost": null,
            "provider_job_id": null, "attempts": [], "metadata": {}, "seq": 3, "created_at": "2030-01-01T00:00:00Z",
            "accepted_at": null, "deadline_at": null, "ended_at": ended_at,
        });
        serde_json::from_value(view).unwrap()
    }

    #[test]
    #[rustfmt::skip]
    fn a_missing_file_is_not_there_yet_or_past_its_retention_or_never_was() {
        let ended = Some("2030-01-01T00:01:00Z");
        let output = json!({"video": {"download_url": format!("https://h.example/v1/runs/{RUN}/artifacts/video/0")},
                            "frames": [format!("/v1/runs/{RUN}/artifacts/frames/1")]});
        let cases = [
            ("video",  Some(0), None,  json!(null),    409, Code::C161),
            ("other",  None,    None,  json!(null),    409, Code::C161),
            ("video",  Some(0), ended, output.clone(), 410, Code::C162),
            ("frames", Some(1), ended, output.clone(), 410, Code::C162),
            ("frames", Some(0), ended, output.clone(), 404, Code::C163),
            ("video",  Some(1), ended, output.clone(), 404, Code::C163),
            ("video",  None,    ended, output.clone(), 404, Code::C163),
            ("ideo",   Some(0), ended, output.clone(), 404, Code::C163),
            ("video",  Some(0), ended, json!(null),    404, Code::C163),
        ];
        for (name, idx, ended_at, output, status, code) in cases {
            let path = ArtifactPath { run: Uuid::parse_str(RUN).unwrap(), name: name.to_owned(), idx };
            let problem = missing(&run(ended_at, output), &path);
            assert_eq!(problem.code(), Some(code), "{name} {idx:?} {ended_at:?}");
            let response = problem.into_response();
            assert_eq!(response.status().as_u16(), status, "{name} {idx:?}");
            assert_eq!(response.headers().contains_key("retry-after"), status == 409, "{name} {idx:?}");
        }
    }
}
