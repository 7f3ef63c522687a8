//! Which call goes where.

mod artifacts;
mod audit;
mod events;
mod health;
mod hooks;
mod keys;
mod list;
mod models;
mod path;
mod runs;
mod tenants;

use crate::gate::Gate;
use crate::problem::{Problem, Violation};
use crate::serve::Access;
use crate::{gate, hosts, request_id};
use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
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

/// The API as a service, for tests and for programs that have a server of their own. What guards the listener is
/// [`crate::serve()`]'s.
pub fn router(modelrow: Modelrow, access: Access) -> Router {
    guarded(modelrow, CancellationToken::new(), access)
}

pub(crate) fn guarded(modelrow: Modelrow, stopping: CancellationToken, access: Access) -> Router {
    let gate = Gate {
        modelrow: modelrow.clone(),
        access,
    };
    let house = House { modelrow, stopping };
    let calls = v1().merge(admin_calls());
    // Behind the routes, so that what is nowhere is a 404 to everybody.
    let calls = calls.route_layer(from_fn_with_state(gate, gate::admit));
    let calls = calls.merge(open_calls()).with_state(house.clone());
    let calls = match access {
        Access::Local => calls.layer(from_fn(hosts::only_local)),
        Access::Keys => calls,
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

/// Calls that need no key.
fn open_calls() -> Router<House> {
    Router::new()
        .route("/healthz", get(health::healthz))
        .fallback(no_such_call)
        .method_not_allowed_fallback(no_such_method)
}

/// What callers call: who looks needs the role `viewer`, who does the role `caller` ([`gate`]).
fn v1() -> Router<House> {
    Router::new()
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
        .method_not_allowed_fallback(no_such_method)
}

/// What admins call.
fn admin_calls() -> Router<House> {
    Router::new()
        .route("/admin/v1/keys", get(keys::list).post(keys::create))
        .route("/admin/v1/keys/{id}/revoke", post(keys::revoke))
        .route(
            "/admin/v1/tenants",
            get(tenants::list).post(tenants::create),
        )
        .route("/admin/v1/audit", get(audit::list))
        .method_not_allowed_fallback(no_such_method)
}

async fn no_such_call(uri: Uri) -> Problem {
    let message = format!("there is no call at `{}`", uri.path());
    let help = "see the list of calls in the documentation; they begin with `/v1/` or `/admin/v1/`";
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
