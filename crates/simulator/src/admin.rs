//! `/_sim`: looking at the simulator and steering it from outside. Not part of the ledger, and without a key.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use crate::callback::Delivery;
use crate::jobs::JobView;
use crate::ledger::Entry;
use crate::rule::Rule;
use crate::sim::Sim;

type Shared = State<Arc<Sim>>;

pub(crate) fn routes() -> Router<Arc<Sim>> {
    Router::new()
        .route(
            "/ledger",
            get(async |sim: Shared| -> Json<Vec<Entry>> { Json(sim.ledger()) }),
        )
        .route(
            "/jobs",
            get(async |sim: Shared| -> Json<Vec<JobView>> { Json(sim.views()) }),
        )
        .route(
            "/callbacks",
            get(async |sim: Shared| -> Json<Vec<Delivery>> {
                Json(sim.state().deliveries.clone())
            }),
        )
        .route("/script", post(script))
        .route("/advance", post(advance))
        .route("/reset", post(async |sim: Shared| sim.reset()))
}

async fn script(sim: Shared, Json(rules): Json<Vec<Rule>>) -> StatusCode {
    sim.script(rules);
    StatusCode::NO_CONTENT
}

/// How far to skip: `{"ms": n}`; without it, to the end of every job that ends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    #[serde(default)]
    ms: Option<u64>,
}

async fn advance(sim: Shared, Json(advance): Json<Advance>) -> StatusCode {
    match advance.ms {
        Some(ms) => sim.clock.skip(Duration::from_millis(ms)),
        None => sim.skip_to_completion(),
    }
    StatusCode::NO_CONTENT
}

impl Sim {
    pub(crate) fn ledger(&self) -> Vec<Entry> {
        self.state().ledger.entries()
    }

    pub(crate) fn views(&self) -> Vec<JobView> {
        let now = self.clock.now_ms();
        self.state()
            .jobs
            .iter()
            .map(|job| job.view(&self.wire, now))
            .collect()
    }

    pub(crate) fn skip_to_completion(&self) {
        let last = self
            .state()
            .jobs
            .iter()
            .filter_map(crate::jobs::Job::ends_ms)
            .max();
        let left = last.unwrap_or_default().saturating_sub(self.clock.now_ms());
        self.clock.skip(Duration::from_millis(left));
    }
}
