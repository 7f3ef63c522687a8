//! The operators' port: whether the process lives, whether it is ready, and its metrics. It asks for no key and tells no
//! run, tenant or secret; keep it inside the network all the same.

use crate::routes::healthz;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use runtime::Modelrow;
use std::io;
use tokio::net::TcpListener;

/// <https://prometheus.io/docs/specs/om/open_metrics_spec/#overall-structure>
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `/healthz`, `/readyz` and `/metrics` until it is dropped.
///
/// # Errors
///
/// Those of the listener.
pub async fn serve_ops(modelrow: Modelrow, listener: TcpListener) -> io::Result<()> {
    axum::serve(listener, router(modelrow)).await
}

/// The same as a service.
pub fn router(modelrow: Modelrow) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(modelrow)
}

async fn readyz(State(modelrow): State<Modelrow>) -> Response {
    let reasons = modelrow.readiness().await.reasons;
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let text = reasons.join("\n") + "\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics(State(modelrow): State<Modelrow>) -> Response {
    ([(CONTENT_TYPE, OPENMETRICS)], modelrow.metrics().await).into_response()
}
