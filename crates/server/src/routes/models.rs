//! `/v1/models`: what may be called, and `/v1/plan`: what a call would do.

use super::House;
use crate::call;
use crate::caller::Caller;
use crate::json;
use crate::openapi::bodies::{ModelServed, Models, NewRun, Plan};
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use diag::Code;
use serde_json::{Value, json};

/// Lists what may be called: models with what each takes, costs, and until when
#[utoipa::path(
    get, path = "/v1/models", tag = "models", operation_id = "listModels",
    responses((status = 200, description = "By provider and name", body = Models))
)]
pub(super) async fn list(State(house): State<House>, caller: Caller) -> Json<Value> {
    let models = house.modelrow.models(caller.tenant(), None);
    Json(json!({ "models": models }))
}

/// Shows one model, as each provider that has it serves it
#[utoipa::path(
    get, path = "/v1/models/{*model}", tag = "models", operation_id = "getModel",
    params(("model" = String, Path, description = "Its id; it may hold `/`")),
    responses((status = 200, description = "With the JSON Schema of its params and inputs", body = ModelServed))
)]
pub(super) async fn show(
    State(house): State<House>,
    caller: Caller,
    Path(model): Path<String>,
) -> Result<Json<Value>, Problem> {
    let served = house.modelrow.models(caller.tenant(), Some(&model));
    if served.is_empty() {
        let message = format!("no model `{model}` serves");
        let help = "`GET /v1/models` lists those that do";
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            Violation::new(Code::C191, message, help),
        ));
    }
    Ok(Json(json!({ "model": model, "served": served })))
}

/// Checks and renders a call as a run would, and sends nothing
///
/// Secrets are masked.
#[utoipa::path(
    post, path = "/v1/plan", tag = "models", operation_id = "planRun", request_body = NewRun,
    responses((status = 200, description = "Every request in order", body = Plan))
)]
pub(super) async fn plan(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let body = json::read(&headers, body).await?;
    let call = call::read(body, Ok(None))?;
    let request = call.request.tenant(caller.tenant());
    let planned = house.modelrow.plan(&request).await;
    let planned = planned.map_err(|error| Problem::from(call.lone_inputs.point(error)))?;
    Ok(Json(planned.to_json()))
}
