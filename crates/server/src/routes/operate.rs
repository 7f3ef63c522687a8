//! `/admin/v1/runs`: the runs of all tenants to an operator, of its own to a tenant's admin; and what is decided by hand.

use super::House;
use super::list::{self, Asked};
use super::path::RunPath;
use crate::call::{Fields, read_body};
use crate::caller::Caller;
use crate::json;
use crate::openapi::bodies::{Reason, ResolveRun};
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use diag::Code;
use runtime::{Because, Released, Resolution, RunPage, RunView, Scope, Status};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Members of a resolution.
pub(super) const RESOLVE: &[&str] = &["as", "provider_job_id", "reason"];
/// Members of what needs a reason alone.
pub(super) const REASON: &[&str] = &["reason"];

/// Lists runs, newest first: of your tenant, of all to an operator
#[utoipa::path(
    get, path = "/admin/v1/runs", tag = "operators", operation_id = "listAllRuns",
    params(("tenant" = Option<String>, Query, description = "Id or slug"), ("state" = Option<String>, Query, description = "`submit_unknown`, …; may be repeated: one of them"),
        ("status" = Option<Status>, Query, description = "May be repeated: one of them"), ("held" = Option<bool>, Query, description = "Only those that are held, or that are not"),
        ("purpose" = Option<String>, Query), ("provider" = Option<String>, Query), ("model" = Option<String>, Query), ("created_after" = Option<String>, Query, description = "RFC 3339"),
        ("metadata.key" = Option<String>, Query, description = "`metadata.<name>`: runs whose metadata hold this value"), ("limit" = Option<u16>, Query, description = "On the page, 1 to 500; 50 without it"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page, newest first", body = RunPage))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
) -> Result<Json<RunPage>, Problem> {
    let mut asked = list::pairs(query)?;
    let tenant = taken(&mut asked, "tenant");
    let held = taken(&mut asked, "held").map(|text| list::flag("held", &text));
    let mut filter = list::filter(asked).map_err(list::refuse)?;
    filter.held = held.transpose()?;
    let scope = match tenant {
        Some(named) => house
            .modelrow
            .tenant_seen(caller.admin_scope(), &named)
            .await?
            .into(),
        None => caller.admin_scope(),
    };
    Ok(Json(house.modelrow.runs(scope, &filter).await?))
}

fn taken(asked: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = asked.iter().position(|(have, _)| have == name)?;
    Some(asked.remove(at).1)
}

/// Shows a run with its attempts; to an operator with what the provider answered to each
#[utoipa::path(
    get, path = "/admin/v1/runs/{id}", tag = "operators", operation_id = "getAnyRun", params(("id" = Uuid, Path, description = "The run")),
    responses((status = 200, description = "The run", body = RunView))
)]
pub(super) async fn show(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
) -> Result<Json<RunView>, Problem> {
    Ok(Json(house.modelrow.run(caller.admin_scope(), id).await?))
}

/// Says what became of a submit whose outcome is unknown
///
/// It is your word and consent, and stands in the run's timeline with its reason. `accepted`: the provider has the job, and the run
/// follows it. `not_accepted`: it has not, and the run is queued again. `failed`: nobody will find out.
#[utoipa::path(
    post, path = "/admin/v1/runs/{id}/resolve", tag = "operators", operation_id = "resolveRun", request_body = ResolveRun, params(("id" = Uuid, Path, description = "The run")),
    responses(
        (status = 200, description = "As it stands now", body = RunView),
        (status = 409, description = "Its outcome is not unknown, or the job is another run's", body = crate::openapi::bodies::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn resolve(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RunView>, Problem> {
    let (scope, modelrow) = (caller.admin_scope(), &house.modelrow);
    modelrow.run(scope, id).await?;
    let (resolution, because) = resolution(json::read(&headers, body).await?, &caller)?;
    modelrow.resolve(id, &resolution, &because).await?;
    Ok(Json(modelrow.run(scope, id).await?))
}

fn resolution(body: Value, caller: &Caller) -> Result<(Resolution, Because), Vec<Violation>> {
    read_body(body, RESOLVE, |fields| {
        let (resolution, because) = (outcome(fields), because(fields, caller));
        resolution.zip(because)
    })
}

fn outcome(fields: &mut Fields<'_>) -> Option<Resolution> {
    match fields.required_text("as")?.as_str() {
        "accepted" => {
            let provider_job_id = fields.required_text("provider_job_id")?;
            Some(Resolution::Accepted { provider_job_id })
        }
        "not_accepted" => Some(Resolution::NotAccepted),
        "failed" => Some(Resolution::Failed),
        _ => {
            let help = "give `accepted` with `provider_job_id`, `not_accepted` or `failed`";
            fields.refuse("as", Code::C154, "`as` is no outcome", help);
            None
        }
    }
}

/// The reason, and who gives it.
pub(super) fn because(fields: &mut Fields<'_>, caller: &Caller) -> Option<Because> {
    let reason = fields.required_text("reason")?;
    Some(Because {
        reason,
        by: caller.actor().to_owned(),
    })
}

/// Lets a run go on that was held because the database may have gone back in time
///
/// What is queued may have been sent before: this is consent to send it, perhaps again. A run that is not held stays as it is.
#[utoipa::path(
    post, path = "/admin/v1/runs/{id}/release", tag = "operators", operation_id = "releaseRun", request_body = Reason, params(("id" = Uuid, Path, description = "The run")),
    responses((status = 200, description = "As it stands now", body = RunView))
)]
pub(super) async fn release(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RunView>, Problem> {
    let (scope, modelrow) = (caller.admin_scope(), &house.modelrow);
    modelrow.run(scope, id).await?;
    let because = reason(json::read(&headers, body).await?, &caller)?;
    modelrow.release(Some(&[id]), &because).await?;
    Ok(Json(modelrow.run(scope, id).await?))
}

/// Lets every held run go on: an operator's
///
/// What is queued of them may have been sent before: this is consent to send it, perhaps again.
#[utoipa::path(
    post, path = "/admin/v1/release", tag = "operators", operation_id = "releaseAllRuns", request_body = Reason,
    responses((status = 200, description = "Those that were held", body = ReleasedRuns))
)]
pub(super) async fn release_all(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ReleasedRuns>, Problem> {
    caller.must_be_operator()?;
    let because = reason(json::read(&headers, body).await?, &caller)?;
    let released = house.modelrow.release(None, &because).await?;
    Ok(Json(ReleasedRuns { released }))
}

/// Runs that go on.
#[derive(Serialize, ToSchema)]
pub(super) struct ReleasedRuns {
    /// Each as it stands.
    released: Vec<Released>,
}

fn reason(body: Value, caller: &Caller) -> Result<Because, Vec<Violation>> {
    read_body(body, REASON, |fields| because(fields, caller))
}

/// What an admin may touch of a tenant that is named; the scope's own without a name.
pub(super) async fn tenant_of(
    house: &House,
    caller: &Caller,
    named: Option<&str>,
) -> Result<Uuid, Problem> {
    match named {
        Some(named) => Ok(house
            .modelrow
            .tenant_seen(caller.admin_scope(), named)
            .await?),
        None => Ok(caller.tenant()),
    }
}

/// Everything, or one tenant's.
pub(super) fn own(scope: Scope) -> Option<Uuid> {
    match scope {
        Scope::Tenant(tenant) => Some(tenant),
        Scope::Operator => None,
    }
}
