//! `GET /admin/v1/audit`: who changed what.

use super::House;
use super::list::{self, Asked};
use crate::caller::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use runtime::{AuditFilter, AuditPage};

/// Of the admin's tenant; of all, to an operator.
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
