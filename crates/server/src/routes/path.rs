//! What stands in the path of a call.

use crate::problem::{Problem, Violation};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;
use diag::Code;
use profile::rows::Kind;
use uuid::Uuid;

/// The run that is called for.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunPath(pub(super) Uuid);

/// The file of a run that is called for. Without a number it is the first of its name.
#[derive(Debug, Clone)]
pub(super) struct ArtifactPath {
    pub(super) run: Uuid,
    pub(super) name: String,
    /// `None`: what stands there is no number of a file.
    pub(super) idx: Option<i32>,
}

/// The API key that is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyPath(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for KeyPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let help = "use an `id` that `GET /admin/v1/keys` lists";
        let id = id(&read(parts, state).await?, (Code::R190, "an API key", help));
        id.map(Self)
    }
}

/// The callback that is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeliveryPath(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for DeliveryPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let help = "use an `id` that `GET /v1/deliveries` lists, which is its `webhook-id`";
        let id = id(&read(parts, state).await?, (Code::R178, "a delivery", help));
        id.map(Self)
    }
}

/// The worker that is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct WorkerPath(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for WorkerPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let help = "use an `id` that `GET /admin/v1/workers` lists";
        let id = id(&read(parts, state).await?, (Code::R196, "a worker", help));
        id.map(Self)
    }
}

/// The tenant that is meant, by its id or slug.
#[derive(Debug, Clone)]
pub(super) struct TenantPath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for TenantPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = read(parts, state).await?;
        Ok(Self(part(&path, "tenant").unwrap_or_default().to_owned()))
    }
}

fn id(path: &RawPathParams, (code, of, help): (Code, &str, &str)) -> Result<Uuid, Problem> {
    let text = part(path, "id").unwrap_or_default();
    Uuid::try_parse(text).map_err(|_| {
        let message = format!("`{text}` is no id of {of}");
        Problem::new(StatusCode::NOT_FOUND, Violation::new(code, message, help))
    })
}

/// The kind of rows that is called for.
#[derive(Debug, Clone, Copy)]
pub(super) struct KindPath(pub(super) Kind);

/// The row that is called for.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPath(pub(super) Kind, pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for KindPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        kind(&read(parts, state).await?).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RowPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = read(parts, state).await?;
        Ok(Self(kind(&path)?, row_id(&path)?))
    }
}

/// The row that is called for, of a kind that the route names.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdPath(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        row_id(&read(parts, state).await?).map(Self)
    }
}

/// The revision of a profile that is called for.
#[derive(Debug, Clone)]
pub(super) struct RevisionPath(pub(super) Uuid, pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for RevisionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = read(parts, state).await?;
        let revision = part(&path, "revision").unwrap_or_default().to_owned();
        Ok(Self(row_id(&path)?, revision))
    }
}

fn kind(path: &RawPathParams) -> Result<Kind, Problem> {
    let text = part(path, "kind").unwrap_or_default();
    Kind::parse(text).ok_or_else(|| {
        let known = Kind::ALL.map(Kind::as_str);
        let help = match diag::nearest(text, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("kinds of rows are: {}", known.join(", ")),
        };
        let message = format!("there is no call at `/admin/v1/{text}`");
        Problem::new(
            StatusCode::NOT_FOUND,
            Violation::new(Code::C158, message, help),
        )
    })
}

fn row_id(path: &RawPathParams) -> Result<Uuid, Problem> {
    let help = "use an `id` of the list: `GET /admin/v1/{kind}`";
    id(path, (Code::R200, "a row", help))
}

/// An address for callbacks.
#[derive(Debug, Clone)]
pub(super) struct HookPath {
    pub(super) provider: String,
    pub(super) token: String,
}

impl<S: Send + Sync> FromRequestParts<S> for HookPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = read(parts, state).await?;
        let part = |name| part(&path, name).unwrap_or_default().to_owned();
        Ok(Self {
            provider: part("provider"),
            token: part("token"),
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RunPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = read(parts, state).await?;
        run_id(&path).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ArtifactPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = read(parts, state).await?;
        Ok(Self {
            run: run_id(&path)?,
            name: part(&path, "name").unwrap_or_default().to_owned(),
            idx: part(&path, "idx").map_or(Some(0), number),
        })
    }
}

async fn read<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, Problem> {
    let path = RawPathParams::from_request_parts(parts, state).await;
    path.map_err(|_| {
        let violation = Violation::new(
            Code::C158,
            "the path is not UTF-8",
            "correct the percent-encoding",
        );
        Problem::new(StatusCode::NOT_FOUND, violation)
    })
}

/// A part of the path, decoded. `None`: the route has none of this name.
fn part<'p>(path: &'p RawPathParams, name: &str) -> Option<&'p str> {
    path.iter()
        .find(|(have, _)| *have == name)
        .map(|(_, value)| value)
}

fn run_id(path: &RawPathParams) -> Result<Uuid, Problem> {
    let help = "use the `id` that `POST /v1/runs` answered with";
    id(path, (Code::C160, "a run", help))
}

/// One spelling for one file: digits only, no leading zero.
fn number(text: &str) -> Option<i32> {
    let number: i32 = text.parse().ok()?;
    (number.to_string() == text && number >= 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_spelling_of_its_number() {
        let cases = [
            ("0", Some(0)),
            ("12", Some(12)),
            ("-1", None),
            ("+1", None),
            ("01", None),
            ("x", None),
            ("9999999999", None),
        ];
        for (text, want) in cases {
            assert_eq!(number(text), want, "{text}");
        }
    }
}
