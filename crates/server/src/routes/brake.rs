//! `/admin/v1/pause`, `/admin/v1/resume`, `/admin/v1/pauses`: the brake. It stops new submits; polls and fetches go on.

use super::House;
use super::operate::{because, own};
use crate::call::{Fields, read_body};
use crate::caller::Caller;
use crate::json;
use crate::openapi::bodies::{NewPause, PausedPart};
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use diag::Code;
use runtime::{Because, PauseScope, Pauses};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Members of a pause.
pub(super) const PAUSE: &[&str] = &["scope", "provider", "credential", "tenant", "reason"];
/// Members of its end.
pub(super) const RESUME: &[&str] = &["scope", "provider", "credential", "tenant"];

/// Lists what starts no submits now: pauses, and credentials that wait after a provider's answer
///
/// A tenant's admin sees the pause of its tenant.
#[utoipa::path(
    get, path = "/admin/v1/pauses", tag = "operators", operation_id = "listPauses",
    responses((status = 200, description = "All of it", body = Pauses))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
) -> Result<Json<Pauses>, Problem> {
    Ok(Json(seen(&house, &caller).await?))
}

async fn seen(house: &House, caller: &Caller) -> Result<Pauses, Problem> {
    let mut all = house.modelrow.pauses().await?;
    if let Some(tenant) = own(caller.admin_scope()) {
        let tenant = tenant.to_string();
        all.credentials.clear();
        all.pauses
            .retain(|pause| matches!(&pause.what, PauseScope::Tenant { tenant: paused } if *paused == tenant));
    }
    Ok(all)
}

/// Stops new submits: all, a provider's, a credential's, a tenant's
///
/// On every worker from now on, and over restarts. What is queued waits; jobs are followed and files fetched. A tenant's admin
/// may pause its own tenant.
#[utoipa::path(
    post, path = "/admin/v1/pause", tag = "operators", operation_id = "pause", request_body = NewPause,
    responses((status = 200, description = "All that is paused now", body = Pauses))
)]
pub(super) async fn pause(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Pauses>, Problem> {
    let asked = read(json::read(&headers, body).await?, Some(&caller))?;
    let scope = allowed(&house, &caller, asked.scope).await?;
    let who = caller.admin_scope();
    if let Some(because) = asked.because {
        house.modelrow.pause_as(who, &scope, &because).await?;
    }
    Ok(Json(seen(&house, &caller).await?))
}

/// Ends a pause; on a credential also the wait that a provider's answer brought
#[utoipa::path(
    post, path = "/admin/v1/resume", tag = "operators", operation_id = "resume", request_body = PausedPart,
    responses((status = 200, description = "Whether it was paused, and what still is", body = Resumed),
        (status = 409, description = "An operator's pause stands", body = Object, content_type = "application/problem+json"))
)]
pub(super) async fn resume(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Resumed>, Problem> {
    let asked = read(json::read(&headers, body).await?, None)?;
    let scope = allowed(&house, &caller, asked.scope).await?;
    let resumed = house
        .modelrow
        .resume_as(caller.admin_scope(), &scope, caller.actor())
        .await?;
    let paused = seen(&house, &caller).await?;
    Ok(Json(Resumed { resumed, paused }))
}

/// A pause that ended.
#[derive(Serialize, ToSchema)]
pub(super) struct Resumed {
    /// It was paused.
    resumed: bool,
    /// What still is.
    paused: Pauses,
}

/// The scope, if it is the caller's to pause: everything is an operator's, a tenant also its admin's.
async fn allowed(house: &House, caller: &Caller, scope: PauseScope) -> Result<PauseScope, Problem> {
    let Some(tenant) = own(caller.admin_scope()) else {
        return Ok(scope);
    };
    if let PauseScope::Tenant { tenant: named } = &scope {
        house.modelrow.tenant_seen(tenant.into(), named).await?;
        return Ok(scope);
    }
    caller.must_be_operator()?;
    Ok(scope)
}

struct Wanted {
    scope: PauseScope,
    because: Option<Because>,
}

/// With `by` a reason is asked for.
fn read(body: Value, by: Option<&Caller>) -> Result<Wanted, Vec<Violation>> {
    let known = if by.is_some() { PAUSE } else { RESUME };
    read_body(body, known, |fields| {
        let scope = scope(fields);
        let because = by.and_then(|by| because(fields, by));
        let scope = scope?;
        Some(Wanted { scope, because })
    })
}

fn scope(fields: &mut Fields<'_>) -> Option<PauseScope> {
    let word = fields.required_text("scope")?;
    Some(match word.as_str() {
        "all" => PauseScope::All,
        "provider" => PauseScope::Provider {
            provider: fields.required_text("provider")?,
        },
        "credential" => PauseScope::Credential {
            credential: fields.required_text("credential")?,
        },
        "tenant" => PauseScope::Tenant {
            tenant: fields.required_text("tenant")?,
        },
        _ => {
            let help =
                "give `all`, `provider`, `credential` or `tenant`, and its name under that word";
            fields.refuse(
                "scope",
                Code::C154,
                "`scope` is nothing that can be paused",
                help,
            );
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use serde_json::json;

    #[test]
    #[rustfmt::skip]
    fn what_is_resumed_is_named_by_its_kind() {
        let provider = || PauseScope::Provider { provider: "acme".into() };
        let cases = [
            (json!({"scope": "all"}),                             Some(PauseScope::All)),
            (json!({"scope": "provider", "provider": "acme"}),    Some(provider())),
            (json!({"scope": "provider"}),                        None),
            (json!({"scope": "provider", "tenant": "acme"}),      None),
            (json!({"scope": "world"}),                           None),
            (json!({"scope": "all", "reason": "x"}),              None),
            (json!({}),                                           None),
        ];
        for (body, want) in cases {
            let read = read(body.clone(), None).map(|wanted| wanted.scope);
            let read = read.map_err(|found| Problem::from(found).into_response().status().as_u16());
            assert_eq!(read, want.ok_or(422), "{body}");
        }
    }
}
