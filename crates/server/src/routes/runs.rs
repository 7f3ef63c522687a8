//! `/v1/runs`: make a run, look at it, cancel it, make it once more, delete it.

use super::House;
use super::path::RunPath;
use crate::call;
use crate::caller::Caller;
use crate::etag::ETag;
use crate::headers::{self, IDEMPOTENCY_REPLAYED};
use crate::json;
use crate::openapi::bodies::{NewRun, Problem as ProblemBody, RetryRun};
use crate::prefer;
use crate::problem::{Problem, chain};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use runtime::{Begun, RunError, RunHandle, RunView};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

/// When a run that goes on is worth another look.
pub(super) const LOOK_AGAIN_SECS: u64 = 2;

/// Makes a run
///
/// A run that fails is no HTTP error: its end says why.
#[utoipa::path(
    post, path = "/v1/runs", tag = "runs", operation_id = "createRun", request_body = NewRun,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same run, for 30 days; another body is a 409"), ("Prefer" = Option<String>, Header, description = "`wait=30`, at most 60: the answer is held until the run has ended, or so many seconds")),
    responses(
        (status = 202, description = "Made, or made before under this key", body = RunView, headers(("Location" = String, description = "The run"), ("Retry-After" = u64, description = "When to look again, in seconds"), ("Idempotency-Replayed" = Option<String>, description = "`true`: the key made it before"))),
        (status = 200, description = "It has ended meanwhile, well or not. With `recorded: false` there is no more of it than this answer: its profile gives up the record", body = RunView),
        (status = 409, description = "The key was used for another body", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "A limit of the tenant is reached", body = ProblemBody, content_type = "application/problem+json", headers(("Retry-After" = u64, description = "When to look again, in seconds"))),
    )
)]
pub(super) async fn create(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = json::read(&headers, body).await?;
    let call = call::read(body, headers::idempotency_key(&headers))?;
    let begun = house.modelrow.call(caller.makes(call.request)).await;
    match begun.map_err(|error| Problem::from(call.lone_inputs.point(error)))? {
        Begun::Recorded(run) => made_run(&house, &run, prefer::wait(&headers)).await,
        Begun::Ended(view) => shown(&view, StatusCode::OK),
    }
}

/// What the caller of a new run hears, or of one that its key made before.
async fn made_run(
    house: &House,
    run: &RunHandle,
    wait: Option<Duration>,
) -> Result<Response, Problem> {
    let mut response = match look(house, run, wait).await {
        Ok(view) => shown(&view, StatusCode::ACCEPTED)?,
        Err(error) => unseen(run.id(), &error),
    };
    let answer = response.headers_mut();
    answer.extend(wait.map(prefer::applied));
    if let Ok(location) = HeaderValue::try_from(format!("/v1/runs/{}", run.id())) {
        answer.insert(LOCATION, location);
    }
    if run.replayed() {
        answer.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Shows where a run stands, and what it gave
#[utoipa::path(
    get, path = "/v1/runs/{id}", tag = "runs", operation_id = "getRun",
    params(("id" = Uuid, Path, description = "The run"), ("Prefer" = Option<String>, Header, description = "`wait=30`, at most 60: the answer is held until the run has ended, or so many seconds"), ("If-None-Match" = Option<String>, Header, description = "`ETag` of the answer before")),
    responses(
        (status = 200, description = "Where it stands", body = RunView, headers(("ETag" = String), ("Retry-After" = u64, description = "When to look again, in seconds"))),
        (status = 304, description = "As it was"),
    )
)]
pub(super) async fn show(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wait = prefer::wait(&headers);
    let run = house.modelrow.handle(caller.tenant(), id);
    let view = look(&house, &run, wait).await?;
    let shown = Shown::of(&view)?;
    let known = shown.tag.is_known(&headers);
    let mut response = if known {
        shown.unchanged()
    } else {
        shown.response(StatusCode::OK)
    };
    response.headers_mut().extend(wait.map(prefer::applied));
    Ok(response)
}

/// Cancels a run
///
/// May be repeated.
#[utoipa::path(
    post, path = "/v1/runs/{id}/cancel", tag = "runs", operation_id = "cancelRun", params(("id" = Uuid, Path, description = "The run")),
    responses(
        (status = 202, description = "Asked for, at the provider too where the profile can", body = RunView),
        (status = 200, description = "It has ended, and stays as it is", body = RunView),
    )
)]
pub(super) async fn cancel(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
) -> Result<Response, Problem> {
    let view = house.modelrow.cancel(caller.tenant(), id).await?;
    shown(&view, StatusCode::ACCEPTED)
}

/// Makes a run once more
///
/// Refused while the first one is, or may be, paid for, unless that is accepted.
#[utoipa::path(
    post, path = "/v1/runs/{id}/retry", tag = "runs", operation_id = "retryRun", request_body = Option<RetryRun>,
    params(("id" = Uuid, Path, description = "The run"), ("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same run, for 30 days; another body is a 409"), ("Prefer" = Option<String>, Header, description = "`wait=30`, at most 60: the answer is held until the run has ended, or so many seconds")),
    responses(
        (status = 202, description = "A new run", body = RunView, headers(("Location" = String, description = "The run"), ("Retry-After" = u64, description = "When to look again, in seconds"))),
        (status = 200, description = "It has ended meanwhile", body = RunView),
        (status = 409, description = "The first one may still be paid for, or the key was used", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "A limit of the tenant is reached", body = ProblemBody, content_type = "application/problem+json", headers(("Retry-After" = u64, description = "When to look again, in seconds"))),
    )
)]
pub(super) async fn retry(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = headers::idempotency_key(&headers);
    let mut how = call::retry(json::read_optional(&headers, body).await?, key)?;
    how.api_key_id = caller.api_key_id();
    let run = house.modelrow.retry(caller.tenant(), id, how).await?;
    made_run(&house, &run, prefer::wait(&headers)).await
}

/// Deletes an ended run: what was asked, what came of it, and its files
#[utoipa::path(
    delete, path = "/v1/runs/{id}", tag = "runs", operation_id = "deleteRun", params(("id" = Uuid, Path, description = "The run")),
    responses(
        (status = 204, description = "Gone; its idempotency key stays used for 30 days"),
        (status = 409, description = "It has not ended", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
) -> Result<StatusCode, Problem> {
    let done = house.modelrow.delete(caller.tenant(), id, caller.actor());
    done.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The run as it stands, or, if the caller would rather wait, once it has ended.
async fn look(house: &House, run: &RunHandle, wait: Option<Duration>) -> Result<RunView, RunError> {
    let Some(limit) = wait.filter(|limit| !limit.is_zero()) else {
        return run.first_view().await;
    };
    // Cancel safety: a look reads, and may be dropped at any point.
    tokio::select! {
        view = run.wait_within(limit) => view,
        () = house.stopping.cancelled() => run.view().await,
    }
}

/// A run that has ended is a 200; one that goes on has the status given.
fn shown(view: &RunView, going_on: StatusCode) -> Result<Response, Problem> {
    let status = if view.ended() {
        StatusCode::OK
    } else {
        going_on
    };
    Ok(Shown::of(view)?.response(status))
}

/// A run as bytes, and their tag.
struct Shown {
    bytes: Vec<u8>,
    tag: ETag,
    ended: bool,
}

impl Shown {
    fn of(view: &RunView) -> Result<Self, Problem> {
        let bytes = serde_json::to_vec(view).map_err(|error| {
            tracing::error!(run.id = %view.id, error = chain(&error), "a run cannot be written as JSON");
            Problem::all(StatusCode::INTERNAL_SERVER_ERROR, Vec::new()).run(view.id)
        })?;
        Ok(Self {
            tag: ETag::of(&bytes),
            bytes,
            ended: view.ended(),
        })
    }

    fn response(self, status: StatusCode) -> Response {
        let headers = self.headers();
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (status, headers, [json], self.bytes).into_response()
    }

    fn unchanged(self) -> Response {
        (StatusCode::NOT_MODIFIED, self.headers()).into_response()
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.extend(self.tag.header().map(|tag| (ETAG, tag)));
        if !self.ended {
            headers.insert(RETRY_AFTER, LOOK_AGAIN_SECS.into());
        }
        headers
    }
}

/// The run is made, so its caller must hear its id, though it could not be looked at.
fn unseen(id: Uuid, error: &RunError) -> Response {
    tracing::warn!(run.id = %id, error = chain(error), "a new run could not be looked at");
    let body = json!({"id": id.to_string(), "status": "queued", "state": "queued"});
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    response
        .headers_mut()
        .insert(RETRY_AFTER, LOOK_AGAIN_SECS.into());
    response
}
