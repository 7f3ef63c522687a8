//! The OpenAI-compatible face, `/openai/v1`: calls, objects and errors in the shapes of that API, in front of any profile of the
//! purpose. Official clients work by changing their base URL. Nothing here knows a provider: what a profile calls things is in its row.
//!
//! A purpose comes to the face in four steps; [`videos`] shows them:
//!
//! 1. The handler reads the body with [`Call::read`], as JSON or as a form, and takes what that API itself defines
//!    ([`Call::text`], [`Call::flag`], …): each member that was taken is known, each that is left is an option or an input of the profile.
//! 2. It writes a [`runtime::RunRequest`] from what it took and gives both to [`make()`], which maps the rest by the names of the profile
//!    ([`profile::openai::ApiNames`]), refuses what means nothing with its `param`, and makes the run under the rules of this face: the
//!    same run for a repetition of an official client. Where that API's name of the prompt is another one, [`Call::named`] says so.
//! 3. It answers in the API's shape; a run with its call is [`runtime::Modelrow::asked`], one that is awaited [`runtime::Modelrow::wait`].
//! 4. What went wrong is a [`Refusal`]: every [`Problem`](crate::problem::Problem) becomes one (`?` does it), and what only this face
//!    says is made with [`Refusal::new`]. [`Refusal::object`] is the same for an event of a stream. Problems that others answered with
//!    (the gate, the router) are translated by the same function at the edge ([`refusal::translate`]).
//!
//! The route goes into [`keyed`], and the OpenAPI document has it.

mod asked;
mod awaited;
mod bodies;
mod call;
mod chat;
mod conversation;
mod embeddings;
mod ended;
mod form;
mod hints;
mod images;
mod leaving;
mod make;
mod media;
mod models;
mod narrate;
mod refusal;
mod responses;
mod serving;
mod speech;
mod stream;
mod subtitles;
mod target;
#[cfg(test)]
mod testing;
mod transcriptions;
mod videos;

pub(crate) use call::Call;
pub(crate) use leaving::Listeners;
use make::begin;
pub(crate) use make::make;
pub(crate) use refusal::{ErrorBody, Refusal, translate};

use crate::routes::House;
use axum::http::HeaderName;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where the face stands.
const BASE: &str = "/openai";

/// The refusal of a call as the document describes it.
pub(crate) const ERROR_SCHEMA: &str = "OpenAiError";

/// Calls of the face; all need a key.
pub(crate) fn keyed() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(models::list))
        .routes(routes!(models::show))
        .routes(routes!(videos::list, videos::create))
        .routes(routes!(videos::retrieve, videos::delete))
        .routes(routes!(videos::content))
        .routes(routes!(videos::remix))
        .routes(routes!(chat::create))
        .routes(routes!(responses::create))
        .routes(routes!(images::create))
        .routes(routes!(speech::create))
        .routes(routes!(transcriptions::create))
        .routes(routes!(embeddings::create))
}

/// Whether a path is of this face.
pub(crate) fn has(path: &str) -> bool {
    let rest = path.strip_prefix(BASE);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What clients of that API send, so that pages of other origins may send it too. All but the count of retries is of no meaning here.
pub(crate) const REQUEST_HEADERS: [HeaderName; 14] = [
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HeaderName::from_static("x-stainless-arch"),
    HeaderName::from_static("x-stainless-custom-poll-interval"),
    HeaderName::from_static("x-stainless-helper-method"),
    HeaderName::from_static("x-stainless-lang"),
    HeaderName::from_static("x-stainless-os"),
    HeaderName::from_static("x-stainless-package-version"),
    HeaderName::from_static("x-stainless-poll-helper"),
    HeaderName::from_static("x-stainless-retry-count"),
    HeaderName::from_static("x-stainless-runtime"),
    HeaderName::from_static("x-stainless-runtime-version"),
    HeaderName::from_static("x-stainless-timeout"),
];

/// What this face answers with beside the headers of the others.
pub(crate) const RESPONSE_HEADERS: [HeaderName; 3] = [POLL_AFTER, SHOULD_RETRY, RUN_ID];

/// When a job that goes on is worth another look, in milliseconds: clients that wait for it read it.
pub(crate) const POLL_AFTER: HeaderName = HeaderName::from_static("openai-poll-after-ms");
/// The run that answered, for those answers that have no id of their own.
pub(crate) const RUN_ID: HeaderName = HeaderName::from_static("x-run-id");
/// `false`: a client must not send the call again.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
