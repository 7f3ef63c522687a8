//! `/admin/v1/keys`: the API keys of the admin's tenant; of all, to an operator.

use super::House;
use super::list::{self, Asked};
use super::path::KeyPath;
use crate::call::read_body;
use crate::caller::Caller;
use crate::json;
use crate::openapi::bodies::NewKey as NewKeyBody;
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use diag::{Code, ExposeSecret as _};
use runtime::{ApiKeyView, KeyPage, NewKey, Role, RunError};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

pub(super) const KNOWN: &[&str] = &["role", "name", "tenant", "expires_at"];

/// Lists the API keys of your tenant, without themselves
///
/// An operator sees those of all.
#[utoipa::path(
    get, path = "/admin/v1/keys", tag = "admin", operation_id = "listApiKeys",
    params(("tenant" = Option<String>, Query, description = "Id or slug"), ("limit" = Option<u16>, Query, description = "On the page, 1 to 500; 50 without it"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page, newest first", body = KeyPage))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
) -> Result<Json<KeyPage>, Problem> {
    let (named, page) = list::page_of_tenant(query)?;
    let scope = caller.admin_scope();
    let tenant = match named {
        Some(named) => Some(house.modelrow.tenant_seen(scope, &named).await?),
        None => None,
    };
    Ok(Json(house.modelrow.keys(scope, tenant, &page).await?))
}

/// Makes an API key
#[utoipa::path(
    post, path = "/admin/v1/keys", tag = "admin", operation_id = "createApiKey", request_body = NewKeyBody,
    responses((status = 201, description = "With the key, which is shown this once", body = KeyShown))
)]
pub(super) async fn create(
    State(house): State<House>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = read(json::read(&headers, body).await?)?;
    let scope = caller.admin_scope();
    let tenant: Uuid = match &asked.tenant {
        Some(named) => {
            let seen = house.modelrow.tenant_seen(scope, named).await;
            seen.map_err(in_body)?
        }
        None => caller.tenant(),
    };
    let new = NewKey {
        tenant,
        role: asked.role,
        name: asked.name,
        expires_at: asked.expires_at,
    };
    let made = house.modelrow.key_create(scope, &new, caller.actor());
    let made = made.await?;
    let shown = KeyShown {
        key: made.key.expose_secret().to_owned(),
        view: made.view,
    };
    let once = [(CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, once, Json(shown)).into_response())
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
struct KeyShown {
    /// The whole key.
    key: String,
    #[serde(flatten)]
    view: ApiKeyView,
}

/// What is wrong is a member of the body, not the address.
fn in_body(error: RunError) -> Problem {
    let RunError::NoSuchTenant { name } = &error else {
        return error.into();
    };
    let message = format!("there is no tenant `{name}`");
    let violation = Violation::new(Code::R182, message, "name your own, or leave it out");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, violation.at("/tenant"))
}

/// Revokes an API key
///
/// May be repeated.
#[utoipa::path(
    post, path = "/admin/v1/keys/{id}/revoke", tag = "admin", operation_id = "revokeApiKey", params(("id" = Uuid, Path, description = "The key")),
    responses((status = 200, description = "Refused from its next use on", body = ApiKeyView))
)]
pub(super) async fn revoke(
    State(house): State<House>,
    caller: Caller,
    KeyPath(id): KeyPath,
) -> Result<Json<ApiKeyView>, Problem> {
    let scope = caller.admin_scope();
    let revoked = house.modelrow.key_revoke(scope, id, caller.actor()).await;
    Ok(Json(revoked?))
}

/// The body of a new key.
struct Wanted {
    role: Role,
    name: String,
    tenant: Option<String>,
    expires_at: Option<OffsetDateTime>,
}

fn read(body: Value) -> Result<Wanted, Vec<Violation>> {
    read_body(body, KNOWN, |fields| {
        let word = fields.required_text("role");
        let role = word.as_deref().and_then(Role::parse);
        if word.is_some() && role.is_none() {
            let help = "give `admin`, `caller` or `viewer`";
            fields.refuse("role", Code::C154, "`role` is no role", help);
        }
        let (name, tenant) = (fields.text("name"), fields.text("tenant"));
        let expires_at = fields.time("expires_at");
        Some(Wanted {
            role: role?,
            name: name.unwrap_or_default(),
            tenant,
            expires_at,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_member_of_a_new_key_is_read_and_every_mistake_found_at_once() {
        let good = json!({"role": "viewer", "name": "board", "tenant": "acme", "expires_at": "2030-01-02T03:04:05Z"});
        let read_good = read(good).unwrap_or_else(|found| panic!("{found:?}"));
        assert_eq!(
            (read_good.role, read_good.name.as_str()),
            (Role::Viewer, "board")
        );
        assert!(read_good.tenant.is_some() && read_good.expires_at.is_some());
        let bad = json!({"role": "root", "name": 7, "expires_at": "soon", "rights": []});
        let found = read(bad).err().unwrap_or_default();
        let mut at: Vec<_> = found.iter().filter_map(Violation::pointer).collect();
        at.sort_unstable();
        assert_eq!(at, ["/expires_at", "/name", "/rights", "/role"]);
        assert_eq!(read(json!({})).err().map(|found| found.len()), Some(1));
        assert!(read(json!([])).is_err());
    }
}
