//! `/v1/runs`: make a run, look at it, cancel it, make it once more, delete it.

use super::House;
use super::path::RunPath;
use crate::call;
use crate::caller::Caller;
use crate::etag::ETag;
use crate::headers::{self, IDEMPOTENCY_REPLAYED};
use crate::json;
use crate::prefer;
use crate::problem::{Problem, chain};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use runtime::{RunError, RunHandle, RunView};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

/// When a run that goes on is worth another look.
pub(super) const LOOK_AGAIN_SECS: u64 = 2;

/// `POST /v1/runs`: 202, or 200 when the run has ended meanwhile. A run that failed is no error here.
pub(super) async fn create(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = json::read(&headers, body).await?;
    let call = call::read(body, headers::idempotency_key(&headers))
        .map_err(|found| Problem::all(StatusCode::UNPROCESSABLE_ENTITY, found))?;
    let mut request = call.request.tenant(caller.tenant());
    request.api_key_id = caller.api_key_id();
    let made = house.modelrow.run_profile(request).await;
    let run = made.map_err(|error| Problem::from(call.lone_inputs.point(error)))?;
    made_run(&house, &caller, &run, prefer::wait(&headers)).await
}

/// What the caller of a new run hears, or of one that its key made before.
async fn made_run(
    house: &House,
    caller: &Caller,
    run: &RunHandle,
    wait: Option<Duration>,
) -> Result<Response, Problem> {
    let mut response = match look(house, caller, run.id(), wait).await {
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

/// `GET /v1/runs/{id}`
pub(super) async fn show(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wait = prefer::wait(&headers);
    let view = look(&house, &caller, id, wait).await?;
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

/// `POST /v1/runs/{id}/cancel`: repeatable; a run that has ended is answered as it is.
pub(super) async fn cancel(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
) -> Result<Response, Problem> {
    let view = house.modelrow.cancel(caller.tenant(), id).await?;
    shown(&view, StatusCode::ACCEPTED)
}

/// `POST /v1/runs/{id}/retry`: a new run of the same call. The body may consent to paying twice.
pub(super) async fn retry(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = headers::idempotency_key(&headers);
    let mut how = call::retry(json::read_optional(&headers, body).await?, key)
        .map_err(|found| Problem::all(StatusCode::UNPROCESSABLE_ENTITY, found))?;
    how.api_key_id = caller.api_key_id();
    let run = house.modelrow.retry(caller.tenant(), id, how).await?;
    made_run(&house, &caller, &run, prefer::wait(&headers)).await
}

/// `DELETE /v1/runs/{id}`: of a run that has ended; 204.
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
async fn look(
    house: &House,
    caller: &Caller,
    id: Uuid,
    wait: Option<Duration>,
) -> Result<RunView, RunError> {
    let modelrow = &house.modelrow;
    let Some(limit) = wait.filter(|limit| !limit.is_zero()) else {
        return modelrow.run(caller.tenant(), id).await;
    };
    // Cancel safety: a look reads, and may be dropped at any point.
    tokio::select! {
        view = modelrow.wait(caller.tenant(), id, limit) => view,
        () = house.stopping.cancelled() => modelrow.run(caller.tenant(), id).await,
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
