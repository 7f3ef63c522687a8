//! Which call goes where.

mod about;
mod allowances;
mod artifacts;
mod audit;
mod brake;
mod bundles;
mod credentials;
mod deliveries;
mod events;
mod health;
mod hooks;
mod inputs;
mod keys;
mod links;
mod list;
mod models;
mod operate;
mod path;
mod revisions;
mod rows;
mod runs;
mod tenants;
mod usage;
mod workers;

pub(crate) use artifacts::served;
pub(crate) use events::answer as event_stream;
pub(crate) use health::healthz;

use crate::body::Bounds;
use crate::gate::Gate;
use crate::key_rate::KeyRate;
use crate::problem::{Problem, Violation};
use crate::settings::{Access, Settings};
use crate::{answers, gate, hosts, openai, request_id, spans};
use about::About;
use axum::Router;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use diag::Code;
use runtime::Modelrow;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct House {
    pub(crate) modelrow: Modelrow,
    /// Nobody is made to wait any longer.
    pub(crate) stopping: CancellationToken,
    about: Arc<About>,
    /// Of a file that is uploaded.
    upload: Bounds,
    /// Who hears which run as a stream that is left at one's will.
    pub(crate) listeners: openai::Listeners,
}

/// The API as a service, for tests and for programs that have a server of their own. What guards the listener is
/// [`crate::serve()`]'s.
pub fn router(modelrow: Modelrow, settings: impl Into<Settings>) -> Router {
    guarded(modelrow, CancellationToken::new(), settings.into())
}

pub(crate) fn guarded(
    modelrow: Modelrow,
    stopping: CancellationToken,
    settings: Settings,
) -> Router {
    let gate = Gate {
        modelrow: modelrow.clone(),
        access: settings.access,
        rate: Arc::new(KeyRate::new(settings.calls_per_second)),
    };
    let traced = modelrow.clone();
    let (keyed, mut api) = keyed().split_for_parts();
    let (open, more) = open().split_for_parts();
    let (hooks, most) = hooks().split_for_parts();
    api.merge(more);
    api.merge(most);
    let house = House {
        modelrow,
        stopping,
        about: About::of(api),
        upload: inputs::bounds(settings.upload_bytes),
        listeners: openai::Listeners::default(),
    };
    // Behind the routes, so that what is nowhere is a 404 to everybody.
    let keyed = keyed.route_layer(from_fn_with_state(gate, gate::admit));
    let calls = keyed.merge(open).fallback(no_such_call);
    let calls = match settings.access {
        Access::Local => {
            let pages: Arc<[HeaderValue]> = settings.cors_origins.clone().into();
            calls.layer(from_fn_with_state(pages, hosts::only_local))
        }
        Access::Keys => calls,
    };
    // Providers call us by our public name, whoever may call the rest.
    let all = calls.merge(hooks);
    let all = all.method_not_allowed_fallback(no_such_method);
    // Around all that answers, or a preflight would be a 405.
    let all = answers::for_pages(all.with_state(house), &settings.cors_origins);
    let all = all
        .layer(from_fn(openai::translate))
        .layer(from_fn_with_state(traced, spans::trace));
    answers::guarded(all).layer(from_fn(request_id::assign))
}

/// Every route with what its handler says of itself.
pub(crate) fn described() -> OpenApi {
    keyed().merge(open()).merge(hooks()).into_openapi()
}

// A route is written down in one of these, and nowhere else: `routes!` takes its method and path from its description.

/// Calls whose address proves itself, and that providers make, too.
fn hooks() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(hooks::receive, hooks::register))
        .routes(routes!(links::artifact, links::artifact_head))
        .routes(routes!(links::input, links::input_head))
}

/// Calls that need no key.
fn open() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(about::document))
        .routes(routes!(about::page))
}

/// Calls that need a key: who looks needs the role `viewer`, who does the role `caller`, and what is below `/admin` is an
/// admin's ([`gate`]).
fn keyed() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(list::list, runs::create))
        .routes(routes!(runs::show, runs::delete))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::retry))
        .routes(routes!(events::events))
        .routes(routes!(models::plan))
        .routes(routes!(models::list))
        .routes(routes!(models::show))
        .routes(routes!(usage::usage))
        .routes(routes!(usage::limits))
        .routes(routes!(artifacts::first, artifacts::first_head))
        .routes(routes!(artifacts::numbered, artifacts::numbered_head))
        .routes(routes!(inputs::upload))
        .routes(routes!(links::first))
        .routes(routes!(links::numbered))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(audit::list))
        .routes(routes!(rows::list, rows::create))
        .routes(routes!(rows::show, rows::replace, rows::delete))
        .routes(routes!(credentials::list, credentials::create))
        .routes(routes!(
            credentials::show,
            credentials::replace,
            credentials::delete
        ))
        .routes(routes!(credentials::verify))
        .routes(routes!(credentials::pause))
        .routes(routes!(credentials::resume))
        .routes(routes!(bundles::export, bundles::apply))
        .routes(routes!(bundles::test))
        .routes(routes!(bundles::plan))
        .routes(routes!(revisions::list))
        .routes(routes!(revisions::show))
        .routes(routes!(revisions::diff))
        .routes(routes!(revisions::activate))
        .routes(routes!(revisions::rollback))
        .routes(routes!(bundles::test_profile))
        .routes(routes!(bundles::plan_profile))
        .merge(openai::keyed())
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::show))
        .routes(routes!(deliveries::resend))
        .routes(routes!(deliveries::rotate))
        .routes(routes!(deliveries::test))
        .merge(operators())
}

/// What operators do, and admins for their own tenant.
fn operators() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(operate::list))
        .routes(routes!(operate::show))
        .routes(routes!(operate::resolve))
        .routes(routes!(operate::release))
        .routes(routes!(operate::release_all))
        .routes(routes!(brake::list))
        .routes(routes!(brake::pause))
        .routes(routes!(brake::resume))
        .routes(routes!(workers::list))
        .routes(routes!(workers::drain))
        .routes(routes!(allowances::usage))
        .routes(routes!(
            allowances::limits,
            allowances::set_limits,
            allowances::no_limits
        ))
        .routes(routes!(
            allowances::cache,
            allowances::set_cache,
            allowances::clear_cache
        ))
}

/// Members of bodies that are read by hand, with the schema that describes each.
#[cfg(test)]
pub(crate) fn members() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("RotateSecret", deliveries::ROTATE),
        ("TestWebhook", deliveries::TEST),
        ("ResolveRun", operate::RESOLVE),
        ("Reason", operate::REASON),
        ("NewPause", brake::PAUSE),
        ("PausedPart", brake::RESUME),
        ("NewLimits", allowances::LIMITS),
        ("CacheChoice", &["on"]),
    ]
}

#[cfg(test)]
pub(crate) fn key_members() -> &'static [&'static str] {
    keys::KNOWN
}

#[cfg(test)]
pub(crate) fn link_members() -> &'static [&'static str] {
    links::KNOWN
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
