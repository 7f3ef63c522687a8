//! `/admin/v1/workers`: an operator's.

use super::House;
use super::path::WorkerPath;
use crate::caller::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use runtime::{Fleet, WorkerView};

/// Shows the house at a glance: workers, shards, runs by state, rates, what is paused
///
/// An operator's.
#[utoipa::path(
    get, path = "/admin/v1/workers", tag = "operators", operation_id = "listWorkers",
    responses((status = 200, description = "As the database knows it now", body = Fleet))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
) -> Result<Json<Fleet>, Problem> {
    caller.must_be_operator()?;
    Ok(Json(house.modelrow.fleet().await?))
}

/// Tells a worker to hand over its shards and to start nothing new
///
/// An operator's. What it has sent it hears to the end. It takes calls as before, and works again after a restart. Where no other
/// worker lives it keeps its shards, so that jobs are followed. May be repeated.
#[utoipa::path(
    post, path = "/admin/v1/workers/{id}/drain", tag = "operators", operation_id = "drainWorker", params(("id" = Uuid, Path, description = "The worker")),
    responses((status = 202, description = "Told: it hands over with its next tick", body = WorkerView))
)]
pub(super) async fn drain(
    State(house): State<House>,
    caller: Caller,
    WorkerPath(id): WorkerPath,
) -> Result<(StatusCode, Json<WorkerView>), Problem> {
    caller.must_be_operator()?;
    let told = house.modelrow.drain(id, caller.actor()).await?;
    Ok((StatusCode::ACCEPTED, Json(told)))
}
