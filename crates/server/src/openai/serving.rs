//! Which profile serves a call that is yet to be read, and the answer to one that was awaited.

use super::{Call, RUN_ID, stream};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::routes::House;
use axum::Json;
use axum::http::HeaderValue;
use axum::response::{IntoResponse as _, Response};
use profile::catalogue::{Compiled, Entry};
use profile::revision::Revision;
use runtime::{RunRequest, RunView};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// The profile that serves a call of a purpose.
///
/// # Errors
///
/// None does.
pub(super) fn serving(
    house: &House,
    caller: &Caller,
    purpose: &str,
    call: &Call,
) -> Result<Arc<Revision>, Problem> {
    let mut request = RunRequest::new(purpose).tenant(caller.tenant());
    let text = |name: &str| call.shown(name).and_then(Value::as_str).map(str::to_owned);
    (request.model, request.provider) = (text("model"), text("provider"));
    Ok(house.modelrow.serving(&request)?)
}

/// The profile that answers a conversation: of a stream one of the same model that tells its text as it comes goes before one that
/// tells it at its end.
///
/// # Errors
///
/// None serves the call.
pub(super) fn chatting(
    house: &House,
    caller: &Caller,
    call: &Call,
) -> Result<Arc<Revision>, Problem> {
    let chosen = serving(house, caller, "chat", call)?;
    let is_live = chosen.response.stream.is_some();
    if !stream::is_wanted(call) || is_live || call.shown("model").is_none() {
        return Ok(chosen);
    }
    let live = live(&house.modelrow.catalogue(), caller.tenant(), &chosen);
    Ok(live.unwrap_or(chosen))
}

/// As profiles are chosen: the tenant's own, the one bound to the model, the latest; then by name.
fn live(compiled: &Compiled, tenant: Uuid, chosen: &Revision) -> Option<Arc<Revision>> {
    let alike = |entry: &&Entry| {
        let key = &entry.key;
        key.tenant.is_none_or(|owner| owner == tenant)
            && key.provider == chosen.provider
            && key.model == chosen.model
            && key.purpose == chosen.purpose
    };
    let all = compiled.revisions.iter().filter(alike);
    let live = all.filter_map(|entry| {
        let revision = entry.revision.as_ref().ok()?;
        let name = std::cmp::Reverse(entry.key.profile_key.as_str());
        let rank = (
            entry.key.tenant.is_some(),
            entry.bound,
            entry.updated_at_us,
            name,
        );
        revision
            .response
            .stream
            .is_some()
            .then_some((rank, revision))
    });
    live.max_by_key(|(rank, _)| *rank)
        .map(|(_, revision)| Arc::clone(revision))
}

/// An answer, with the run that gave it.
pub(super) fn answered(run: &RunView, body: Value) -> Response {
    told_by(run, Json(body).into_response())
}

/// The same of an answer that is no JSON.
pub(super) fn told_by(run: &RunView, response: Response) -> Response {
    match run.recorded {
        true => with_run(run.id, response),
        // Nobody can look it up.
        false => response,
    }
}

pub(super) fn with_run(run: Uuid, mut response: Response) -> Response {
    if let Ok(id) = HeaderValue::try_from(run.to_string()) {
        response.headers_mut().insert(RUN_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::super::testing::{compiled, revision};
    use super::*;

    #[test]
    fn a_stream_is_served_by_a_profile_of_the_same_model_that_tells_its_text_live() {
        let (compiled, tenant) = (compiled(), Uuid::nil());
        let live = |model: &str| {
            let found = live(&compiled, tenant, &revision(model));
            found.map(|revision| revision.profile_key.clone())
        };
        assert_eq!(live("talk-1").as_deref(), Some("acme_chat_stream_v1"));
        assert_eq!(live("answer-1"), None);
    }
}
