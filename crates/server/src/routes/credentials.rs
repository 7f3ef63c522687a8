//! `/admin/v1/credentials`: secrets go in and never come out.

use super::House;
use super::list::{self, Asked};
use super::path::IdPath;
use super::rows::{admin, tenant};
use crate::call::{Fields, read_body};
use crate::caller::Caller;
use crate::etag::ETag;
use crate::json;
use crate::openapi::bodies::{CredentialToBe, Reason};
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use diag::{Code, Secret};
use runtime::{CredentialPage, CredentialPut, CredentialShown, Verified};
use serde_json::{Value, json};
use uuid::Uuid;

const KNOWN: &[&str] = &[
    "provider",
    "name",
    "secret",
    "reference",
    "endpoint_url",
    "is_default",
    "rate_limit_per_minute",
    "rate_limit_per_day",
    "max_concurrent_jobs",
    "status",
];

/// Words of `status`.
const STATUSES: [&str; 3] = ["active", "inactive", "disabled"];

/// Lists credentials, without their secrets: your tenant's and the system's
///
/// With their last use and last refusal. An operator sees those of all.
#[utoipa::path(
    get, path = "/admin/v1/credentials", tag = "credentials", operation_id = "listCredentials",
    params(("provider" = Option<String>, Query, description = "Its slug"), ("limit" = Option<u16>, Query, description = "On the page, 1 to 500; 50 without it"), ("after" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "A page, the last changed first", body = CredentialPage))
)]
pub(super) async fn list(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
) -> Result<Json<CredentialPage>, Problem> {
    let mut provider = None;
    let page = list::page(query, "provider, limit, after", |name, value| {
        let known = name == "provider";
        provider = known.then_some(value).or(provider.take());
        known
    })?;
    let scope = caller.admin_scope();
    let listed = house.modelrow.credentials_shown(scope, provider, &page);
    Ok(Json(listed.await?))
}

/// Shows a credential, without its secret
#[utoipa::path(
    get, path = "/admin/v1/credentials/{id}", tag = "credentials", operation_id = "getCredential",
    params(("id" = Uuid, Path, description = "The credential")),
    responses((status = 200, description = "With a strong `ETag`", body = CredentialShown))
)]
pub(super) async fn show(
    State(house): State<House>,
    caller: Caller,
    IdPath(id): IdPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let shown = house.modelrow.credential_shown(caller.admin_scope(), id);
    let shown = shown.await?;
    if tag(&shown).is_known(&headers) {
        return Ok((StatusCode::NOT_MODIFIED, tagged(&shown)).into_response());
    }
    Ok((tagged(&shown), Json(shown)).into_response())
}

/// Makes a credential; its secret is sealed and never shown again
///
/// `secret` is a text, or an object of named parts. `reference` (`env:NAME`, `file:/path`) in its place is an operator's to write.
#[utoipa::path(
    post, path = "/admin/v1/credentials", tag = "credentials", operation_id = "createCredential",
    params(("tenant" = Option<String>, Query, description = "Id or slug; your own without it. Another one's is an operator's to make")),
    request_body(content = CredentialToBe, example = json!({"provider": "acme", "name": "default", "secret": "…", "rate_limit_per_minute": 60})),
    responses((status = 201, description = "Made, with its address in `Location` and its `ETag`", body = CredentialShown))
)]
pub(super) async fn create(
    State(house): State<House>,
    caller: Caller,
    query: Asked,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = list::Parameters::read(query, &["tenant"])?;
    let tenant = tenant(&house, &caller, asked.text("tenant")).await?;
    let new = read(json::read(&headers, body).await?)?;
    let made = house
        .modelrow
        .credential_create(admin(&caller), tenant, &new)
        .await?;
    let at = format!("/admin/v1/credentials/{}", made.id);
    let location = HeaderValue::try_from(at).ok();
    let location = HeaderMap::from_iter(location.map(|at| (LOCATION, at)));
    Ok((StatusCode::CREATED, location, tagged(&made), Json(made)).into_response())
}

/// Changes a credential; without a secret it keeps its own
#[utoipa::path(
    put, path = "/admin/v1/credentials/{id}", tag = "credentials", operation_id = "replaceCredential",
    params(("id" = Uuid, Path, description = "The credential"), ("If-Match" = String, Header, description = "Its `ETag`, or `*`")),
    request_body = CredentialToBe,
    responses((status = 200, description = "As it is now, with its `ETag`", body = CredentialShown))
)]
pub(super) async fn replace(
    State(house): State<House>,
    caller: Caller,
    IdPath(id): IdPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let seen = seen(&house, &caller, id, &headers).await?;
    let new = read(json::read(&headers, body).await?)?;
    let put = house
        .modelrow
        .credential_replace(admin(&caller), (id, seen.updated_at), &new);
    let now = put.await?;
    Ok((tagged(&now), Json(now)).into_response())
}

/// Takes a credential away that no run was ever sent with
///
/// Others stay for the record: `"status": "disabled"`.
#[utoipa::path(
    delete, path = "/admin/v1/credentials/{id}", tag = "credentials", operation_id = "deleteCredential",
    params(("id" = Uuid, Path, description = "The credential"), ("If-Match" = String, Header, description = "Its `ETag`, or `*`")),
    responses((status = 204, description = "Gone"))
)]
pub(super) async fn delete(
    State(house): State<House>,
    caller: Caller,
    IdPath(id): IdPath,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let seen = seen(&house, &caller, id, &headers).await?;
    let gone = house
        .modelrow
        .credential_delete(admin(&caller), (id, seen.updated_at));
    gone.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Proves a credential by the free exchange that its provider declares, or by the token that it gets
#[utoipa::path(
    post, path = "/admin/v1/credentials/{id}/verify", tag = "credentials", operation_id = "verifyCredential",
    params(("id" = Uuid, Path, description = "The credential")),
    responses((status = 200, description = "`failure` says what speaks against it; null: it is good", body = Verified),
        (status = 422, description = "Nothing proves it without costs, or its secret does not open here", body = Object, content_type = "application/problem+json"))
)]
pub(super) async fn verify(
    State(house): State<House>,
    caller: Caller,
    IdPath(id): IdPath,
) -> Result<Json<Verified>, Problem> {
    let verified = house.modelrow.credential_prove(admin(&caller), id).await;
    Ok(Json(verified?))
}

/// Stops new submits with a credential; polls and fetches go on
#[utoipa::path(
    post, path = "/admin/v1/credentials/{id}/pause", tag = "credentials", operation_id = "pauseCredential", request_body = Reason,
    params(("id" = Uuid, Path, description = "The credential")),
    responses((status = 200, description = "Until it is resumed", body = CredentialShown))
)]
pub(super) async fn pause(
    State(house): State<House>,
    caller: Caller,
    IdPath(id): IdPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<CredentialShown>, Problem> {
    let body = json::read(&headers, body).await?;
    let reason = read_body(body, &["reason"], |fields| fields.required_text("reason"))?;
    let paused = house.modelrow.credential_pause(admin(&caller), id, &reason);
    Ok(Json(paused.await?))
}

/// Lets the submits of a credential go on, those too that a worker paused after a refusal
///
/// May be repeated. An operator's pause ends by an operator alone.
#[utoipa::path(
    post, path = "/admin/v1/credentials/{id}/resume", tag = "credentials", operation_id = "resumeCredential",
    params(("id" = Uuid, Path, description = "The credential")),
    responses((status = 200, description = "As it is now", body = CredentialShown),
        (status = 409, description = "An operator has paused it", body = Object, content_type = "application/problem+json"))
)]
pub(super) async fn resume(
    State(house): State<House>,
    caller: Caller,
    IdPath(id): IdPath,
) -> Result<Json<CredentialShown>, Problem> {
    let resumed = house.modelrow.credential_resume(admin(&caller), id);
    Ok(Json(resumed.await?))
}

/// The credential as the caller has seen it.
async fn seen(
    house: &House,
    caller: &Caller,
    id: Uuid,
    headers: &HeaderMap,
) -> Result<CredentialShown, Problem> {
    let shown = house.modelrow.credential_shown(caller.admin_scope(), id);
    let shown = shown.await?;
    tag(&shown).must_match(headers)?;
    Ok(shown)
}

/// Its use is no change of it.
fn tag(shown: &CredentialShown) -> ETag {
    let nanos = shown.updated_at.unix_timestamp_nanos().to_string();
    let row = json!([shown.id, nanos]).to_string();
    let said = serde_json::to_vec(shown).unwrap_or_default();
    ETag::of_row(row.as_bytes(), &said)
}

fn tagged(shown: &CredentialShown) -> HeaderMap {
    HeaderMap::from_iter(tag(shown).header().map(|tag| (ETAG, tag)))
}

fn read(body: Value) -> Result<CredentialPut, Vec<Violation>> {
    read_body(body, KNOWN, |fields| {
        let put = CredentialPut {
            provider: fields.required_text("provider").unwrap_or_default(),
            name: fields.text("name").unwrap_or_else(|| "default".to_owned()),
            secret: secret(fields),
            reference: fields.text("reference"),
            endpoint_url: address(fields),
            is_default: fields.flag("is_default"),
            rate_limit_per_minute: limit(fields, "rate_limit_per_minute"),
            rate_limit_per_day: limit(fields, "rate_limit_per_day"),
            max_concurrent_jobs: limit(fields, "max_concurrent_jobs"),
            status: status(fields),
        };
        if put.secret.is_some() && put.reference.is_some() {
            let message = "`secret` and `reference` exclude each other";
            fields.refuse("reference", Code::C154, message, "give one of them");
        }
        if put.name.trim().is_empty() || put.name.chars().count() > 100 {
            let message = "`name` has 1 to 100 characters";
            fields.refuse(
                "name",
                Code::C154,
                message,
                "give another name, or leave it out",
            );
        }
        Some(put)
    })
}

/// A text, or an object of named parts. It is not repeated, whatever is wrong with it.
fn secret(fields: &mut Fields<'_>) -> Option<Secret> {
    match fields.take("secret")? {
        Value::String(text) => Some(Secret::from(text)),
        Value::Object(parts) => Some(Secret::from(Value::Object(parts).to_string())),
        _ => {
            let help = "give the text, or an object of named parts";
            fields.refuse(
                "secret",
                Code::C154,
                "`secret` is neither a text nor an object",
                help,
            );
            None
        }
    }
}

fn address(fields: &mut Fields<'_>) -> Option<String> {
    let text = fields.text("endpoint_url")?;
    let host = text.split_once("://").map(|(_, rest)| rest);
    let is_one = text.starts_with("http") && host.is_some_and(|host| !host.is_empty());
    if !is_one {
        let message = "`endpoint_url` is no absolute address";
        let help = "write it like `https://api.example.com/v1`";
        fields.refuse("endpoint_url", Code::C154, message, help);
    }
    Some(text)
}

fn limit(fields: &mut Fields<'_>, name: &'static str) -> Option<i32> {
    let number: u64 = fields.integer(name)?;
    match i32::try_from(number).ok().filter(|number| *number > 0) {
        Some(number) => Some(number),
        None => {
            let message = format!("`{name}` is a number from 1 to {}", i32::MAX);
            fields.refuse(name, Code::C154, message, "leave it out for no limit");
            None
        }
    }
}

fn status(fields: &mut Fields<'_>) -> String {
    let word = fields.text("status").unwrap_or_else(|| "active".to_owned());
    if !STATUSES.contains(&word.as_str()) {
        let help = format!("give one of {}", STATUSES.join(", "));
        fields.refuse("status", Code::C154, "`status` is no status", help);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use diag::ExposeSecret as _;

    #[test]
    fn every_mistake_of_a_credential_is_told_at_once_and_its_secret_never() {
        let good =
            json!({"provider": "acme", "secret": {"key": "k", "id": "i"}, "rate_limit_per_day": 5});
        let read_good = read(good).unwrap_or_else(|found| panic!("{found:?}"));
        assert_eq!(
            read_good.secret.unwrap().expose_secret(),
            r#"{"key":"k","id":"i"}"#
        );
        assert_eq!(
            (read_good.name.as_str(), read_good.status.as_str()),
            ("default", "active")
        );
        let bad = json!({
            "secret": ["sesame"], "reference": "env:X", "endpoint_url": "sesame", "rate_limit_per_minute": 0, "status": "sesame", "nam": "sesame",
        });
        let refused = read(bad).unwrap_err();
        let told = format!("{refused:?}");
        for place in [
            "/secret",
            "/endpoint_url",
            "/rate_limit_per_minute",
            "/status",
            "/nam",
        ] {
            assert!(told.contains(place), "{place}: {told}");
        }
        assert!(!told.contains("sesame"), "{told}");
    }
}
