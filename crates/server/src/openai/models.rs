//! `/openai/v1/models`: what may be named.

use super::Refusal;
use crate::caller::Caller;
use crate::problem::{Problem, Violation};
use crate::routes::House;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use diag::Code;
use runtime::ModelCard;
use serde::Serialize;
use std::collections::HashSet;
use utoipa::ToSchema;

/// A model that may be named.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModel)]
pub(crate) struct Model {
    /// As a call names it.
    id: String,
    /// `model`
    object: &'static str,
    /// When its profile last changed, in seconds since 1970.
    created: i64,
    /// Short name of its provider.
    owned_by: String,
    /// When its provider shuts it down; null: nothing is announced.
    shutdown_date: Option<String>,
}

/// The models that may be named.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModels)]
pub(crate) struct Models {
    /// `list`
    object: &'static str,
    /// By provider and name.
    data: Vec<Model>,
}

/// Lists the models that may be named, each once
#[utoipa::path(
    get, path = "/openai/v1/models", tag = "openai", operation_id = "openaiListModels",
    responses((status = 200, description = "In the shape of that API", body = Models))
)]
pub(crate) async fn list(State(house): State<House>, caller: Caller) -> Json<Models> {
    let mut seen = HashSet::new();
    let cards = house.modelrow.models(caller.tenant(), None);
    let models = cards.into_iter().filter_map(model);
    Json(Models {
        object: "list",
        data: models
            .filter(|model| seen.insert(model.id.clone()))
            .collect(),
    })
}

/// Shows one model
#[utoipa::path(
    get, path = "/openai/v1/models/{*model}", tag = "openai", operation_id = "openaiGetModel",
    params(("model" = String, Path, description = "Its id; it may hold `/`")),
    responses((status = 200, description = "In the shape of that API", body = Model))
)]
pub(crate) async fn show(
    State(house): State<House>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Model>, Refusal> {
    let cards = house.modelrow.models(caller.tenant(), Some(&id));
    let found = cards.into_iter().find_map(model);
    found.map(Json).ok_or_else(|| {
        let message = format!("the model `{id}` does not exist");
        let violation = Violation::new(Code::C191, message, "the list of models has those that do");
        Problem::new(StatusCode::NOT_FOUND, violation.at("/model")).into()
    })
}

/// `None`: a profile without a model has no name to call.
fn model(card: ModelCard) -> Option<Model> {
    let life = card.lifecycle.as_ref();
    let shutdown = life.and_then(|life| life.get("shutdown_at")?.as_str().map(str::to_owned));
    Some(Model {
        id: card.model?,
        object: "model",
        created: card.updated_at.unix_timestamp(),
        owned_by: card.provider,
        shutdown_date: shutdown,
    })
}
