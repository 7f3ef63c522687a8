//! Signed links: `POST …/link` makes one, and whoever has it needs no key.

use super::House;
use super::artifacts::{missing, served};
use super::path::ArtifactPath;
use crate::call::read_optional_body;
use crate::caller::Caller;
use crate::json;
use crate::openapi::bodies::NewLink;
use crate::problem::{Problem, Violation};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use diag::Code;
use runtime::{LINK_LONGEST, Link, LinkRefused, LinkTo, RunError, ShownLink};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

pub(super) const KNOWN: &[&str] = &["expires_in_ms"];

/// Makes a link to the first file of this name, good without an API key
///
/// For an hour at most, and no longer than the file is kept. Whoever has the link can read the file.
#[utoipa::path(
    post, path = "/v1/runs/{id}/artifacts/{name}/link", tag = "files", operation_id = "linkArtifact", request_body = Option<NewLink>,
    params(("id" = Uuid, Path, description = "The run"), ("name" = String, Path, description = "As the run's `artifacts` have it")),
    responses((status = 200, description = "The link", body = Link))
)]
pub(super) async fn first(
    house: State<House>,
    caller: Caller,
    path: ArtifactPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Link>, Problem> {
    made(house, caller, path, &headers, body).await
}

/// Makes a link to a file of this name by its number, good without an API key
///
/// For an hour at most, and no longer than the file is kept. Whoever has the link can read the file.
#[utoipa::path(
    post, path = "/v1/runs/{id}/artifacts/{name}/{idx}/link", tag = "files", operation_id = "linkArtifactByIndex", request_body = Option<NewLink>,
    params(("id" = Uuid, Path, description = "The run"), ("name" = String, Path, description = "As the run's `artifacts` have it"), ("idx" = i32, Path, description = "Number under that name, from 0")),
    responses((status = 200, description = "The link", body = Link))
)]
pub(super) async fn numbered(
    house: State<House>,
    caller: Caller,
    path: ArtifactPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Link>, Problem> {
    made(house, caller, path, &headers, body).await
}

async fn made(
    State(house): State<House>,
    caller: Caller,
    path: ArtifactPath,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Link>, Problem> {
    let within = within(json::read_optional(headers, body).await?)?;
    let (tenant, modelrow) = (caller.tenant(), &house.modelrow);
    let made = match path.idx {
        Some(idx) => {
            modelrow
                .link(tenant, (path.run, &path.name, idx), within)
                .await?
        }
        None => None,
    };
    match made {
        Some(link) => Ok(Json(link)),
        None => Err(missing(&modelrow.run(tenant, path.run).await?, &path)),
    }
}

/// How long the link is to be good: an hour unless the body says less.
fn within(body: Option<Value>) -> Result<Duration, Vec<Violation>> {
    read_optional_body(body, KNOWN, |fields| {
        let ms = fields.integer::<u64>("expires_in_ms");
        let within = ms.map_or(LINK_LONGEST, Duration::from_millis);
        if within < Duration::from_secs(1) || within > LINK_LONGEST {
            let message = "`expires_in_ms` is not between a second and an hour";
            let help = "give 1000 to 3600000, or leave it out: an hour";
            fields.refuse("expires_in_ms", Code::C154, message, help);
        }
        Some(within)
    })
}

/// Streams the file of a run that a link leads to
///
/// Needs no API key: the link is signed. Ranges and entity tags as with a key.
#[utoipa::path(
    get, path = "/files/artifacts/{run}/{name}/{idx}", tag = "files", operation_id = "openArtifactLink",
    params(("run" = Uuid, Path, description = "The run"), ("name" = String, Path, description = "Name of the file"), ("idx" = i32, Path, description = "Its number"), ("expires" = i64, Query, description = "As the link has it"), ("key" = i32, Query, description = "As the link has it"), ("signature" = String, Query, description = "As the link has it")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "*/*"))
)]
pub(super) async fn artifact(
    house: State<House>,
    path: Parts,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    opened(house, artifact_of(path, query), Method::GET, headers).await
}

/// Headers of the file of a run that a link leads to
#[utoipa::path(
    head, path = "/files/artifacts/{run}/{name}/{idx}", tag = "files", operation_id = "headArtifactLink",
    params(("run" = Uuid, Path, description = "The run"), ("name" = String, Path, description = "Name of the file"), ("idx" = i32, Path, description = "Its number"), ("expires" = i64, Query, description = "As the link has it"), ("key" = i32, Query, description = "As the link has it"), ("signature" = String, Query, description = "As the link has it")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "*/*"))
)]
pub(super) async fn artifact_head(
    house: State<House>,
    path: Parts,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    opened(house, artifact_of(path, query), Method::HEAD, headers).await
}

/// Streams the input of a run that has not ended, for its provider
///
/// Needs no API key: the address is signed, and stands in the request to the provider (`inputs.<name>.url` of a profile).
#[utoipa::path(
    get, path = "/files/inputs/{run}/{input}/{filename}", tag = "files", operation_id = "openInputLink",
    params(("run" = Uuid, Path, description = "The run"), ("input" = Uuid, Path, description = "The input"), ("filename" = String, Path, description = "As the link has it"), ("key" = i32, Query, description = "As the link has it"), ("signature" = String, Query, description = "As the link has it")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "*/*"))
)]
pub(super) async fn input(
    house: State<House>,
    path: Parts,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    opened(house, input_of(path, query), Method::GET, headers).await
}

/// Headers of the input of a run that has not ended
#[utoipa::path(
    head, path = "/files/inputs/{run}/{input}/{filename}", tag = "files", operation_id = "headInputLink",
    params(("run" = Uuid, Path, description = "The run"), ("input" = Uuid, Path, description = "The input"), ("filename" = String, Path, description = "As the link has it"), ("key" = i32, Query, description = "As the link has it"), ("signature" = String, Query, description = "As the link has it")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "*/*"))
)]
pub(super) async fn input_head(
    house: State<House>,
    path: Parts,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    opened(house, input_of(path, query), Method::HEAD, headers).await
}

async fn opened(
    State(house): State<House>,
    shown: Option<ShownLink>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let shown = shown.ok_or(LinkRefused::NotGood).map_err(refused)?;
    let stored = house.modelrow.linked(&shown).await.map_err(refused)?;
    served(&house.modelrow, stored, &method, &headers).await
}

/// Three parts; the error: they are not UTF-8.
type Parts = Result<Path<(String, String, String)>, PathRejection>;

/// `None`: no link of ours is written so.
fn artifact_of(path: Parts, RawQuery(query): RawQuery) -> Option<ShownLink> {
    let Path((run, name, idx)) = path.ok()?;
    let to = LinkTo::Artifact {
        run: Uuid::try_parse(&run).ok()?,
        name,
        idx: idx.parse().ok()?,
    };
    shown(to, query.as_deref()?)
}

fn input_of(path: Parts, RawQuery(query): RawQuery) -> Option<ShownLink> {
    let Path((run, input, filename)) = path.ok()?;
    let to = LinkTo::Input {
        run: Uuid::try_parse(&run).ok()?,
        input: Uuid::try_parse(&input).ok()?,
        filename,
    };
    shown(to, query.as_deref()?)
}

/// Digits and letters only stand in it, so nothing is decoded.
fn shown(to: LinkTo, query: &str) -> Option<ShownLink> {
    let (mut expires, mut key, mut signature) = (None, None, None);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        let again = match name {
            "expires" => expires.replace(value.parse().ok()?).is_some(),
            "key" => key.replace(value.parse().ok()?).is_some(),
            "signature" => signature.replace(value.to_owned()).is_some(),
            _ => true,
        };
        if again {
            return None;
        }
    }
    Some(ShownLink {
        to,
        expires,
        key: key?,
        signature: signature?,
    })
}

fn refused(why: LinkRefused) -> Problem {
    let (status, code, help) = match why {
        LinkRefused::Store(error) => return RunError::from(error).into(),
        LinkRefused::NotGood => (
            StatusCode::FORBIDDEN,
            Code::C210,
            "use it as it was given, with all that stands behind its `?`",
        ),
        LinkRefused::Expired => (StatusCode::FORBIDDEN, Code::C211, "ask for a new one"),
        LinkRefused::Gone => (
            StatusCode::GONE,
            Code::C162,
            "make a new run, and fetch files before their `expires_at`",
        ),
    };
    Problem::new(status, Violation::new(code, why.to_string(), help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn to() -> LinkTo {
        LinkTo::Artifact {
            run: Uuid::nil(),
            name: "video".to_owned(),
            idx: 0,
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_query_is_a_links_with_its_members_once_and_no_others() {
        let cases = [
            ("expires=9&key=1&signature=ab",       true),
            ("key=1&signature=ab",                 true),
            ("signature=ab&key=1&expires=9",       true),
            ("",                                   false),
            ("key=1",                              false),
            ("signature=ab",                       false),
            ("key=1&signature=ab&x=1",             false),
            ("key=1&key=1&signature=ab",           false),
            ("expires=&key=1&signature=ab",        false),
            ("expires=soon&key=1&signature=ab",    false),
            ("key=99999999999&signature=ab",       false),
        ];
        for (query, good) in cases {
            assert_eq!(shown(to(), query).is_some(), good, "{query}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_link_is_good_for_an_hour_at_most() {
        let cases = [
            (None,                                   Ok(3_600_000)),
            (Some(json!({})),                        Ok(3_600_000)),
            (Some(json!({"expires_in_ms": 60_000})), Ok(60_000)),
            (Some(json!({"expires_in_ms": 999})),    Err("/expires_in_ms")),
            (Some(json!({"expires_in_ms": 3_600_001})), Err("/expires_in_ms")),
            (Some(json!({"expires_in_ms": "1h"})),   Err("/expires_in_ms")),
            (Some(json!({"forever": true})),         Err("/forever")),
            (Some(json!([])),                        Err("")),
        ];
        for (body, want) in cases {
            let found = within(body.clone());
            let found = found.as_ref().map(Duration::as_millis).map_err(|found| found[0].pointer().unwrap_or_default());
            assert_eq!(found, want, "{body:?}");
        }
    }
}
