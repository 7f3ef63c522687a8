//! What a run would send, before it is made.

use crate::catalogue::Snapshot;
use crate::core::Core;
use crate::cost;
use crate::error::RunError;
use crate::intake;
use crate::links;
use crate::request::RunRequest;
use crate::view::{Cost, ModelView};
use engine::plan::Planned;
use engine::{RunIdentity, Setting};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// What a call would do.
#[derive(Debug)]
pub struct Plan {
    /// What would serve it.
    pub model: ModelView,
    /// Every request in order, secrets masked.
    pub steps: Vec<Planned>,
    /// By the model's price list.
    pub cost: Option<Cost>,
}

impl Plan {
    /// The JSON of `POST /v1/plan`: `{model, steps, cost}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(Planned::to_json).collect();
        json!({ "model": self.model, "steps": steps, "cost": self.cost })
    }
}

/// Understands the call as [`intake::run`] does, and renders every step. No secret is opened.
pub(crate) async fn plan(core: &Core, request: &RunRequest) -> Result<Plan, RunError> {
    plan_in(core, core.catalogue.now(), request).await
}

/// The same with rows that may not be there.
pub(crate) async fn plan_in(
    core: &Core,
    snapshot: Arc<Snapshot>,
    request: &RunRequest,
) -> Result<Plan, RunError> {
    let understood = intake::understand(core, snapshot, request).await?;
    let credential = understood
        .snapshot
        .credential(&understood.revision, request.tenant)
        .ok();
    let cost = cost::estimate(
        &understood.revision,
        &understood.checked.call,
        &understood.given.media,
        core.clock.now_ms(),
    );
    let model = ModelView::of(&understood.revision);
    let run_id = Uuid::now_v7();
    let setting = Setting {
        checked: Arc::new(understood.checked),
        identity: RunIdentity {
            run_id,
            token: engine::flow::token(run_id, 1),
            callback_url: core.hooks.masked(&understood.revision.provider),
        },
        secrets: Arc::default(),
        media: Arc::new(links::masked(core, understood.given.media)),
        endpoint: credential.and_then(|row| row.endpoint_url.clone()),
        allow: core.options.allow,
        phase_ms: 0,
        revision: understood.revision,
    };
    Ok(Plan {
        model,
        steps: engine::plan::plan(setting, core.drawn()),
        cost,
    })
}
