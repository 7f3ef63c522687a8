//! `/admin/v1/profiles/{id}/revisions`: what served of a profile, what differs, and going back.

use super::House;
use super::list::{self, Asked};
use super::path::{IdPath, RevisionPath};
use super::rows::{self, admin};
use crate::caller::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use profile::rows::Kind;
use runtime::{BundleView, Difference, RevisionPage, RevisionView, Seen};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Lists the revisions that served of a profile
#[utoipa::path(
    get, path = "/admin/v1/profiles/{id}/revisions", tag = "rows", operation_id = "listRevisions",
    params(("id" = Uuid, Path, description = "The profile"), ("limit" = Option<u16>, Query, description = "On the page, 1 to 500; 50 without it"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page, the latest first", body = RevisionPage))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
    IdPath(id): IdPath,
    query: Asked,
) -> Result<Json<RevisionPage>, Problem> {
    let page = list::page(query, "limit, after", |_, _| false)?;
    let scope = caller.admin_scope();
    let listed = house.modelrow.profile_revisions(scope, id, &page);
    Ok(Json(listed.await?))
}

/// Shows a revision with its content
#[utoipa::path(
    get, path = "/admin/v1/profiles/{id}/revisions/{revision}", tag = "rows", operation_id = "getRevision",
    params(("id" = Uuid, Path, description = "The profile"), ("revision" = String, Path, description = "Its id, or at least eight of its first digits")),
    responses((status = 200, description = "The rows that were joined into it", body = RevisionView))
)]
pub(super) async fn show(
    State(house): State<House>,
    caller: Caller,
    RevisionPath(id, revision): RevisionPath,
) -> Result<Json<RevisionView>, Problem> {
    let scope = caller.admin_scope();
    let shown = house.modelrow.profile_revision(scope, id, &revision);
    Ok(Json(shown.await?))
}

/// What differs between two revisions.
#[derive(Serialize, ToSchema)]
pub(super) struct Differences {
    /// By the rows that were joined.
    differences: Vec<Difference>,
}

/// Compares a revision with another, or with what serves
#[utoipa::path(
    get, path = "/admin/v1/profiles/{id}/revisions/{revision}/diff", tag = "rows", operation_id = "diffRevisions",
    params(("id" = Uuid, Path, description = "The profile"), ("revision" = String, Path, description = "Its id, or at least eight of its first digits"),
        ("to" = Option<String>, Query, description = "Another one; what serves now without it")),
    responses((status = 200, description = "From this one to the other", body = Differences))
)]
pub(super) async fn diff(
    State(house): State<House>,
    caller: Caller,
    RevisionPath(id, revision): RevisionPath,
    query: Asked,
) -> Result<Json<Differences>, Problem> {
    let asked = list::Parameters::read(query, &["to"])?;
    let scope = caller.admin_scope();
    let between = (revision.as_str(), asked.text("to"));
    let differences = house.modelrow.profile_diff(scope, id, between).await?;
    Ok(Json(Differences { differences }))
}

/// Lets a revision serve again
///
/// Every row that was joined into it is written as it was, in one transaction, and the profile is active. Other profiles that share such
/// a row are checked; a failing case refuses it.
#[utoipa::path(
    post, path = "/admin/v1/profiles/{id}/revisions/{revision}/activate", tag = "rows", operation_id = "activateRevision",
    params(("id" = Uuid, Path, description = "The profile"), ("revision" = String, Path, description = "Its id, or at least eight of its first digits"),
        ("If-Match" = Option<String>, Header, description = "The profile's `ETag`, or `*`; a dry run needs none"),
        ("dry_run" = Option<bool>, Query, description = "Show what would differ, and change nothing")),
    responses((status = 200, description = "What it did, or would do", body = BundleView),
        (status = 422, description = "A case fails, or rows that are not yours differ", body = Object, content_type = "application/problem+json"))
)]
pub(super) async fn activate(
    State(house): State<House>,
    caller: Caller,
    RevisionPath(id, revision): RevisionPath,
    query: Asked,
    headers: HeaderMap,
) -> Result<Json<BundleView>, Problem> {
    let seen = seen(&house, &caller, id, (query, &headers)).await?;
    let activated = house
        .modelrow
        .profile_activate(admin(&caller), (id, seen), &revision);
    Ok(Json(activated.await?))
}

/// Lets the revision serve again that served before the one that serves now
#[utoipa::path(
    post, path = "/admin/v1/profiles/{id}/rollback", tag = "rows", operation_id = "rollBackProfile",
    params(("id" = Uuid, Path, description = "The profile"), ("If-Match" = Option<String>, Header, description = "The profile's `ETag`, or `*`; a dry run needs none"),
        ("dry_run" = Option<bool>, Query, description = "Show what would differ, and change nothing")),
    responses((status = 200, description = "What it did, or would do", body = BundleView),
        (status = 422, description = "A case fails, or rows that are not yours differ", body = Object, content_type = "application/problem+json"))
)]
pub(super) async fn rollback(
    State(house): State<House>,
    caller: Caller,
    IdPath(id): IdPath,
    query: Asked,
    headers: HeaderMap,
) -> Result<Json<BundleView>, Problem> {
    let seen = seen(&house, &caller, id, (query, &headers)).await?;
    let back = house.modelrow.profile_rollback(admin(&caller), (id, seen));
    Ok(Json(back.await?))
}

/// The profile as the caller has seen it; a dry run is of any state.
async fn seen(
    house: &House,
    caller: &Caller,
    id: Uuid,
    (query, headers): (Asked, &HeaderMap),
) -> Result<Seen, Problem> {
    if list::Parameters::read(query, &["dry_run"])?.flag("dry_run")? {
        return Ok(Seen::DryRun);
    }
    let row = rows::seen(house, caller, (Kind::Profiles, id), headers).await?;
    Ok(Seen::At(row.updated_at))
}
