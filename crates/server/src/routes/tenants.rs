//! `/admin/v1/tenants`: an operator's.

use super::House;
use super::list::{self, Asked};
use crate::call::read_body;
use crate::caller::Caller;
use crate::json;
use crate::openapi::bodies::NewTenant;
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use runtime::{TenantPage, TenantView};

/// Lists tenants: an operator's
#[utoipa::path(
    get, path = "/admin/v1/tenants", tag = "admin", operation_id = "listTenants", params(("limit" = Option<u16>, Query, description = "On the page, 1 to 500; 50 without it"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page, newest first", body = TenantPage))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
) -> Result<Json<TenantPage>, Problem> {
    caller.must_be_operator()?;
    let page = list::page(query, "limit, after", |_, _| false)?;
    let tenants = house.modelrow.tenants(caller.admin_scope(), &page).await;
    Ok(Json(tenants?))
}

/// Makes a tenant: an operator's
#[utoipa::path(
    post, path = "/admin/v1/tenants", tag = "admin", operation_id = "createTenant", request_body = NewTenant,
    responses((status = 201, description = "Made", body = TenantView))
)]
pub(super) async fn create(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<TenantView>), Problem> {
    caller.must_be_operator()?;
    let body = json::read(&headers, body).await?;
    let slug = read_body(body, &["slug"], |fields| fields.required_text("slug"))?;
    let made = house.modelrow.tenant_create(&slug, caller.actor()).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
