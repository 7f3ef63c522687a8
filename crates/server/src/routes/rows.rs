//! `/admin/v1/{kind}`: the rows of the profile language, one by one.

use super::House;
use super::list::{self, Asked};
use super::path::{KindPath, RowPath};
use crate::caller::Caller;
use crate::etag::ETag;
use crate::json;
use crate::openapi::bodies::RowKind;
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use profile::rows::Kind;
use runtime::{Admin, RowFilter, RowPage, RowView};
use serde_json::{Value, json};
use uuid::Uuid;

/// Lists rows of one kind with what was found in them: your tenant's and the system's
///
/// An operator sees those of all. Rows that were inserted with plain SQL are among them.
#[utoipa::path(
    get, path = "/admin/v1/{kind}", tag = "rows", operation_id = "listRows",
    params(("kind" = inline(RowKind), Path), ("tenant" = Option<String>, Query, description = "Id or slug"), ("provider" = Option<String>, Query, description = "Its slug"),
        ("key" = Option<String>, Query, description = "As the list has it: `provider/name`"), ("limit" = Option<u16>, Query, description = "On the page, 1 to 500; 50 without it"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page, the last changed first", body = RowPage))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
    KindPath(kind): KindPath,
    query: Asked,
) -> Result<Json<RowPage>, Problem> {
    let mut filter = RowFilter::default();
    let mut tenant = None;
    let known = "tenant, provider, key, limit, after";
    filter.page = list::page(query, known, |name, value| {
        match name {
            "tenant" => tenant = Some(value),
            "provider" => filter.provider = Some(value),
            "key" => filter.key = Some(value),
            _ => return false,
        }
        true
    })?;
    let scope = caller.admin_scope();
    if let Some(name) = tenant {
        filter.tenant = Some(house.modelrow.tenant_of_rows(scope, &name).await?);
    }
    Ok(Json(house.modelrow.rows(scope, kind, &filter).await?))
}

/// Shows a row, with what was found in it and what serves of it
#[utoipa::path(
    get, path = "/admin/v1/{kind}/{id}", tag = "rows", operation_id = "getRow",
    params(("kind" = inline(RowKind), Path), ("id" = Uuid, Path, description = "The row")),
    responses((status = 200, description = "With a strong `ETag`", body = RowView))
)]
pub(super) async fn show(
    State(house): State<House>,
    caller: Caller,
    RowPath(kind, id): RowPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = house.modelrow.row(caller.admin_scope(), kind, id).await?;
    if tag(&row).is_known(&headers) {
        return Ok((StatusCode::NOT_MODIFIED, tagged(&row)).into_response());
    }
    Ok((tagged(&row), Json(row)).into_response())
}

/// Makes a row
///
/// It is written as a bundle has it; what belongs to a provider names it, and an auth profile names its credential. Every mistake is
/// told at once, with its place in your body.
#[utoipa::path(
    post, path = "/admin/v1/{kind}", tag = "rows", operation_id = "createRow",
    params(("kind" = inline(RowKind), Path), ("tenant" = Option<String>, Query, description = "Id or slug; your own without it. Another one's is an operator's to make")),
    request_body(content = Object, description = "A row of the kind", examples(
        ("provider" = (summary = "`providers`", value = json!({"slug": "acme", "name": "Acme", "api_base_url": "https://api.acme.example/v1"}))),
        ("auth_profile" = (summary = "`auth_profiles`", value = json!({"provider": "acme", "profile_key": "acme_key", "auth_type": "api_key", "credential": "default"}))),
        ("model" = (summary = "`models`", value = json!({"provider": "acme", "model_id": "a-1", "model_type": "chat", "is_default": true}))),
        ("prompt_template" = (summary = "`prompt_templates`", value = json!({"name": "acme-chat", "version": 1, "purpose": "chat", "body": {"prompt": "{{userPrompt}}"}}))),
        ("response_schema" = (summary = "`response_schemas`", value = json!({"name": "answer", "version": 1, "strict": true, "schema": {"type": "object"}}))),
        ("routing_rule" = (summary = "`routing_rules`", value = json!({"provider": "acme", "conditions": {"feature": "draft"}, "target_model": "a-1", "priority": 10}))),
    )),
    responses((status = 201, description = "Made, with its address in `Location` and its `ETag`", body = RowView))
)]
pub(super) async fn create(
    State(house): State<House>,
    caller: Caller,
    (KindPath(kind), query): (KindPath, Asked),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = list::Parameters::read(query, &["tenant"])?;
    let tenant = tenant(&house, &caller, asked.text("tenant")).await?;
    let body = json::read(&headers, body).await?;
    let made = house
        .modelrow
        .row_create(admin(&caller), tenant, kind, &body);
    let row = made.await?;
    let at = format!("/admin/v1/{}/{}", kind.as_str(), row.id);
    let location = HeaderValue::try_from(at).ok();
    let location = HeaderMap::from_iter(location.map(|at| (LOCATION, at)));
    Ok((StatusCode::CREATED, location, tagged(&row), Json(row)).into_response())
}

/// Puts a row in place of the one that is there
///
/// `row` of what `GET` shows is what this takes. The members that name the row stay as they are. Runs in flight keep what they began with.
#[utoipa::path(
    put, path = "/admin/v1/{kind}/{id}", tag = "rows", operation_id = "replaceRow",
    params(("kind" = inline(RowKind), Path), ("id" = Uuid, Path, description = "The row"), ("If-Match" = String, Header, description = "Its `ETag`, or `*`")),
    request_body(content = Object, description = "The whole row", example = json!({"name": "acme-chat", "version": 1, "purpose": "chat", "body": {"prompt": "{{userPrompt}}"}})),
    responses((status = 200, description = "As it is now, with its `ETag`", body = RowView))
)]
pub(super) async fn replace(
    State(house): State<House>,
    caller: Caller,
    RowPath(kind, id): RowPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let seen = seen(&house, &caller, (kind, id), &headers).await?;
    let body = json::read(&headers, body).await?;
    let put = house
        .modelrow
        .row_replace(admin(&caller), kind, (id, seen.updated_at), &body);
    let row = put.await?;
    Ok((tagged(&row), Json(row)).into_response())
}

/// Takes a row away that nothing uses
///
/// What runs or other rows use is a 409 that names them: deactivate it instead.
#[utoipa::path(
    delete, path = "/admin/v1/{kind}/{id}", tag = "rows", operation_id = "deleteRow",
    params(("kind" = inline(RowKind), Path), ("id" = Uuid, Path, description = "The row"), ("If-Match" = String, Header, description = "Its `ETag`, or `*`")),
    responses((status = 204, description = "Gone"))
)]
pub(super) async fn delete(
    State(house): State<House>,
    caller: Caller,
    RowPath(kind, id): RowPath,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let seen = seen(&house, &caller, (kind, id), &headers).await?;
    let gone = house
        .modelrow
        .row_delete(admin(&caller), kind, (id, seen.updated_at));
    gone.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose rows a call writes: of the tenant that it names, else the caller's own.
pub(super) async fn tenant(
    house: &House,
    caller: &Caller,
    named: Option<&str>,
) -> Result<Uuid, Problem> {
    match named {
        Some(name) => Ok(house
            .modelrow
            .tenant_seen(caller.admin_scope(), name)
            .await?),
        None => Ok(caller.tenant()),
    }
}

pub(super) fn admin(caller: &Caller) -> Admin<'_> {
    Admin {
        scope: caller.admin_scope(),
        by: caller.actor(),
    }
}

/// The row as the caller has seen it.
pub(super) async fn seen(
    house: &House,
    caller: &Caller,
    (kind, id): (Kind, Uuid),
    headers: &HeaderMap,
) -> Result<RowView, Problem> {
    let row = house.modelrow.row(caller.admin_scope(), kind, id).await?;
    tag(&row).must_match(headers)?;
    Ok(row)
}

fn tag(row: &RowView) -> ETag {
    let written = json!([
        row.id,
        row.tenant,
        row.updated_at.unix_timestamp_nanos().to_string(),
        row.row
    ]);
    let said = Value::from(
        row.diagnostics
            .iter()
            .map(|one| json!([one.code, one.severity, one.pointer, one.message, one.help]))
            .chain(
                row.serving
                    .iter()
                    .map(|one| json!([one.model, one.revision])),
            )
            .collect::<Vec<_>>(),
    );
    ETag::of_row(written.to_string().as_bytes(), said.to_string().as_bytes())
}

fn tagged(row: &RowView) -> HeaderMap {
    HeaderMap::from_iter(tag(row).header().map(|tag| (ETAG, tag)))
}
