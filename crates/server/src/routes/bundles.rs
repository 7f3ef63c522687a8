//! `/admin/v1/bundles`: the rows of a provider as one document; and tests and plans of rows that are not saved.

use super::House;
use super::list::{self, Asked};
use super::path::IdPath;
use super::rows::{admin, tenant};
use crate::call::{self, Fields, ParsedCall, read_body, read_optional_body};
use crate::caller::Caller;
use crate::json;
use crate::openapi::bodies::{BundleSent, BundleToPlan, Plan, ProfileToPlan, ProfileToTest};
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use diag::Code;
use runtime::{BundleHow, BundleView, CasesReport, GivenBundle, PlanRefused};
use serde_json::Value;

/// Applies a bundle in one transaction, all or nothing
///
/// The body is a bundle as a file has it, or `{"bundle": …, "cases": …}` with its recorded cases, which are replayed first. A row that the
/// bundle does not name stays unless it is pruned; a credential stays with its secret.
#[utoipa::path(
    post, path = "/admin/v1/bundles", tag = "rows", operation_id = "applyBundle",
    params(("tenant" = Option<String>, Query, description = "Id or slug; your own without it. Another one's is an operator's"),
        ("dry_run" = Option<bool>, Query, description = "Show what would differ, and change nothing"), ("prune" = Option<bool>, Query, description = "Remove the provider's rows that the bundle no longer names")),
    request_body(content = BundleSent, example = json!({"language": 1, "provider": {"slug": "acme", "api_base_url": "https://api.acme.example/v1"},
        "auth_profiles": [{"profile_key": "acme_key", "auth_type": "api_key", "secret": "env:ACME_API_KEY", "config": {}}],
        "models": [{"model_id": "a-1", "model_type": "chat", "is_default": true}]})),
    responses((status = 200, description = "What it did, or would do", body = BundleView),
        (status = 409, description = "Runs or rows use what would go: the problem names them", body = Object, content_type = "application/problem+json"))
)]
pub(super) async fn apply(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BundleView>, Problem> {
    let asked = list::Parameters::read(query, &["tenant", "dry_run", "prune"])?;
    let how = BundleHow {
        dry_run: asked.flag("dry_run")?,
        prune: asked.flag("prune")?,
    };
    let tenant = tenant(&house, &caller, asked.text("tenant")).await?;
    let sent = sent(json::read(&headers, body).await?)?;
    let applied = house
        .modelrow
        .bundle_put(admin(&caller), tenant, &sent.given, how);
    Ok(Json(applied.await.map_err(|error| sent.point(error))?))
}

/// Exports the rows of a provider as a bundle, without secrets
#[utoipa::path(
    get, path = "/admin/v1/bundles", tag = "rows", operation_id = "exportBundle",
    params(("provider" = String, Query, description = "Its slug"), ("tenant" = Option<String>, Query, description = "Id or slug; your own without it. `system` is everybody's to read"),
        ("cases" = Option<bool>, Query, description = "With its recorded cases: `{\"bundle\": …, \"cases\": …}`")),
    responses((status = 200, description = "What `POST` takes", body = Object),
        (status = 404, description = "The tenant has no such provider", body = Object, content_type = "application/problem+json"))
)]
pub(super) async fn export(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
) -> Result<Json<Value>, Problem> {
    let asked = list::Parameters::read(query, &["provider", "tenant", "cases"])?;
    let Some(provider) = asked.text("provider") else {
        let help = "add `?provider=` and its slug";
        let missing = Violation::new(Code::C190, "`provider` is missing", help);
        return Err(Problem::new(StatusCode::BAD_REQUEST, missing));
    };
    let scope = caller.admin_scope();
    let tenant = match asked.text("tenant") {
        Some(name) => house.modelrow.tenant_of_rows(scope, name).await?,
        None => caller.tenant(),
    };
    let cases = asked.flag("cases")?;
    let bundle = house.modelrow.bundle_get(scope, tenant, provider, cases);
    Ok(Json(bundle.await?))
}

/// Replays recorded cases with a bundle that is not applied
///
/// Those that come with it, and those that are stored for its profiles. Nothing is sent.
#[utoipa::path(
    post, path = "/admin/v1/bundles/test", tag = "rows", operation_id = "testBundle", request_body = BundleSent,
    params(("tenant" = Option<String>, Query, description = "Id or slug; your own without it. Another one's is an operator's")),
    responses((status = 200, description = "What each case came to", body = CasesReport))
)]
pub(super) async fn test(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<CasesReport>, Problem> {
    let asked = list::Parameters::read(query, &["tenant"])?;
    let tenant = tenant(&house, &caller, asked.text("tenant")).await?;
    let sent = sent(json::read(&headers, body).await?)?;
    let tested = house
        .modelrow
        .bundle_test(admin(&caller), tenant, &sent.given);
    Ok(Json(tested.await.map_err(|error| sent.point(error))?))
}

/// Plans a call with a bundle that is not applied
///
/// Every request in order, secrets masked. Nothing is sent.
#[utoipa::path(
    post, path = "/admin/v1/bundles/plan", tag = "rows", operation_id = "planBundle", request_body = BundleToPlan,
    responses((status = 200, description = "Every request in order", body = Plan))
)]
pub(super) async fn plan(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let body = json::read(&headers, body).await?;
    let (bundle, call) = read_body(body, &["bundle", "call"], |fields| {
        Some((bundle_of(fields), fields.take("call")))
    })?;
    let sent = Sent::alone(bundle, "/bundle");
    let call = call_of(call)?;
    let request = call.request.clone().tenant(caller.tenant());
    let planned = house
        .modelrow
        .bundle_plan(admin(&caller), &sent.given, &request);
    let planned = planned.await.map_err(|refused| match refused {
        PlanRefused::Rows(error) => sent.point(error),
        PlanRefused::Call(error) => of_call(&call, error),
    });
    Ok(Json(planned?.to_json()))
}

/// Replays the recorded cases of a profile, saved or not
///
/// As it is, or with `row` in its place; an inactive one as if it were active. Nothing is sent.
#[utoipa::path(
    post, path = "/admin/v1/profiles/{id}/test", tag = "rows", operation_id = "testProfile", request_body = Option<ProfileToTest>,
    params(("id" = Uuid, Path, description = "The profile")),
    responses((status = 200, description = "What each case came to", body = CasesReport))
)]
pub(super) async fn test_profile(
    State(house): State<House>,
    caller: Caller,
    IdPath(id): IdPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<CasesReport>, Problem> {
    let body = json::read_optional(&headers, body).await?;
    let row = read_optional_body(body, &["row"], |fields| Some(fields.take("row")))?;
    let tested = house
        .modelrow
        .profile_test(admin(&caller), id, row.as_ref());
    let tested = tested
        .await
        .map_err(|error| Problem::from(error).below("/row"));
    Ok(Json(tested?))
}

/// Plans a call with a profile, saved or not
///
/// As it is, or with `row` in its place; an inactive one as if it were active. Every request in order, secrets masked. Nothing is sent.
#[utoipa::path(
    post, path = "/admin/v1/profiles/{id}/plan", tag = "rows", operation_id = "planProfile", request_body = ProfileToPlan,
    params(("id" = Uuid, Path, description = "The profile")),
    responses((status = 200, description = "Every request in order", body = Plan))
)]
pub(super) async fn plan_profile(
    State(house): State<House>,
    caller: Caller,
    IdPath(id): IdPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let body = json::read(&headers, body).await?;
    let (row, asked) = read_body(body, &["row", "call"], |fields| {
        Some((fields.take("row"), fields.take("call")))
    })?;
    let call = call_of(asked)?;
    let request = call.request.clone().tenant(caller.tenant());
    let planned = house
        .modelrow
        .profile_plan(admin(&caller), id, row.as_ref(), &request);
    let planned = planned.await.map_err(|refused| match refused {
        PlanRefused::Rows(error) => Problem::from(error).below("/row"),
        PlanRefused::Call(error) => of_call(&call, error),
    });
    Ok(Json(planned?.to_json()))
}

/// A bundle that was sent, and where it stands in the body.
struct Sent {
    given: GivenBundle,
    at: &'static str,
}

impl Sent {
    fn alone(bundle: Value, at: &'static str) -> Self {
        let given = GivenBundle {
            bundle,
            ..GivenBundle::default()
        };
        Self { given, at }
    }

    fn point(&self, error: runtime::RunError) -> Problem {
        Problem::from(error).below(self.at)
    }
}

/// A bundle alone, or in an object with its cases. No bundle has a member `bundle`.
fn sent(body: Value) -> Result<Sent, Problem> {
    if body.get("bundle").is_none() {
        return Ok(Sent::alone(body, ""));
    }
    let known = &["bundle", "cases", "only_these_cases"];
    let sent = read_body(body, known, |fields| {
        Some(Sent {
            given: GivenBundle {
                bundle: bundle_of(fields),
                cases: fields.object("cases").unwrap_or_default(),
                only_these_cases: fields.flag("only_these_cases").unwrap_or_default(),
            },
            at: "/bundle",
        })
    });
    Ok(sent?)
}

fn bundle_of(fields: &mut Fields<'_>) -> Value {
    let bundle = fields.take("bundle");
    if bundle.is_none() {
        fields.refuse("bundle", Code::C155, "`bundle` is missing", "add it");
    }
    bundle.unwrap_or_default()
}

fn call_of(call: Option<Value>) -> Result<ParsedCall, Problem> {
    let Some(call) = call else {
        let missing = Violation::new(
            Code::C155,
            "`call` is missing",
            "add it, as `POST /v1/runs` takes it",
        );
        return Err(vec![missing.at("/call")].into());
    };
    let read = call::read(call, Ok(None));
    read.map_err(|found| Problem::from(found).below("/call"))
}

fn of_call(call: &ParsedCall, error: runtime::RunError) -> Problem {
    Problem::from(call.lone_inputs.point(error)).below("/call")
}
