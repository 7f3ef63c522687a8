//! The span of each call, where calls are traced.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use runtime::Modelrow;

/// Load balancers ask there every second.
const NOT_TRACED: &str = "/healthz";

pub(crate) async fn trace(
    State(modelrow): State<Modelrow>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(|path| path.as_str().to_owned());
    let span = match route.as_deref() {
        Some(NOT_TRACED) => None,
        _ => modelrow.call_span(request.headers()),
    };
    let Some(span) = span else {
        return next.run(request).await;
    };
    let method = request.method().clone();
    let answer = span.around(next.run(request)).await;
    span.answered(method.as_str(), route.as_deref(), answer.status().as_u16());
    answer
}
