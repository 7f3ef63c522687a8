//! Which call goes where.

mod artifacts;
mod events;
mod health;
mod hooks;
mod list;
mod models;
mod path;
mod runs;

use crate::problem::{Problem, Violation};
use crate::serve::Exposure;
use crate::{hosts, request_id};
use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use diag::Code;
use runtime::Modelrow;
use tokio_util::sync::CancellationToken;

/// What handlers work with.
#[derive(Debug, Clone)]
struct House {
    modelrow: Modelrow,
    /// Nobody is made to wait any longer.
    stopping: CancellationToken,
}

/// The API as a service, for tests and for programs that have a server of their own.
///
/// It asks for no key: whoever reaches it calls as the default tenant. [`crate::serve()`] guards it.
pub fn router(modelrow: Modelrow) -> Router {
    guarded(modelrow, CancellationToken::new(), Exposure::Anyone)
}

pub(crate) fn guarded(
    modelrow: Modelrow,
    stopping: CancellationToken,
    exposure: Exposure,
) -> Router {
    let house = House { modelrow, stopping };
    let calls = calls(house.clone());
    let calls = match exposure {
        Exposure::Loopback => calls.layer(from_fn(hosts::only_local)),
        Exposure::Anyone => calls,
    };
    // Providers call us by our public name, whoever may call the rest.
    let all = calls.merge(hooks(house));
    all.layer(from_fn(request_id::assign))
}

fn hooks(house: House) -> Router {
    let hook = post(hooks::receive).get(hooks::register);
    Router::new()
        .route("/hooks/{provider}/{token}", hook)
        .method_not_allowed_fallback(no_such_method)
        .with_state(house)
}

fn calls(house: House) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/v1/runs", get(list::list).post(runs::create))
        .route("/v1/runs/{id}", get(runs::show).delete(runs::delete))
        .route("/v1/runs/{id}/cancel", post(runs::cancel))
        .route("/v1/runs/{id}/retry", post(runs::retry))
        .route("/v1/runs/{id}/events", get(events::events))
        .route("/v1/plan", post(models::plan))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*model}", get(models::show))
        .route("/v1/runs/{id}/artifacts/{name}", get(artifacts::download))
        .route(
            "/v1/runs/{id}/artifacts/{name}/{idx}",
            get(artifacts::download),
        )
        .fallback(no_such_call)
        .method_not_allowed_fallback(no_such_method)
        .with_state(house)
}

async fn no_such_call(uri: Uri) -> Problem {
    let message = format!("there is no call at `{}`", uri.path());
    let help = "see the list of calls in the documentation; they begin with `/v1/`";
    Problem::new(
        StatusCode::NOT_FOUND,
        Violation::new(Code::C158, message, help),
    )
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let message = format!("`{}` does not take {method}", uri.path());
    let help = "the `Allow` header lists what it takes";
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Violation::new(Code::C159, message, help),
    )
}
