//! `GET /admin/v1/audit`: who changed what.

use super::House;
use super::list::{self, Asked};
use crate::caller::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use runtime::{AuditFilter, AuditPage};

/// Lists who changed what in your tenant, before and after, secrets never
///
/// An operator sees the changes of all.
#[utoipa::path(
    get, path = "/admin/v1/audit", tag = "admin", operation_id = "listAudit",
    params(("action" = Option<String>, Query, description = "`api_key.create`, `credential.change`, …"), ("object" = Option<String>, Query, description = "`credential/acme/default`, …"), ("limit" = Option<u16>, Query, description = "On the page, 1 to 500; 50 without it"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page, newest first", body = AuditPage))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
) -> Result<Json<AuditPage>, Problem> {
    let mut filter = AuditFilter::default();
    filter.page = list::page(query, "action, object, limit, after", |name, value| {
        match name {
            "action" => filter.action = Some(value),
            "object" => filter.object = Some(value),
            _ => return false,
        }
        true
    })?;
    let page = house.modelrow.audit(caller.admin_scope(), &filter).await;
    Ok(Json(page?))
}
