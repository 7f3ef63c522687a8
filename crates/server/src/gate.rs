//! The one way in: every call shows its key here (RFC 6750), before anything else of it is read.

use crate::caller::Caller;
use crate::key_rate::KeyRate;
use crate::openai;
use crate::problem::{Problem, Violation};
use crate::settings::Access;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use diag::{Code, Secret};
use runtime::{KeyRefused, Modelrow, Principal, Role, RunError, RunRequest};
use std::sync::Arc;

/// Who lets calls in, and how.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) modelrow: Modelrow,
    pub(crate) access: Access,
    pub(crate) rate: Arc<KeyRate>,
}

/// Lets a call in whose key is good and whose role allows it; handlers get its [`Caller`].
pub(crate) async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let admitted = gate.principal(request.headers()).await;
    match admitted.and_then(|principal| allowed(principal, &request)) {
        Ok(principal) => {
            request.extensions_mut().insert(Caller::new(principal));
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl Gate {
    async fn principal(&self, headers: &HeaderMap) -> Result<Principal, Problem> {
        if self.access == Access::Local {
            return Ok(local());
        }
        let key = presented(headers)?;
        let principal = self.modelrow.authenticate(&key).await.map_err(refused)?;
        if let Some(id) = principal.api_key_id {
            self.rate.count(id)?;
        }
        Ok(principal)
    }
}

/// Who calls where there are no keys: whoever sits at this machine.
fn local() -> Principal {
    Principal {
        tenant: RunRequest::new(String::new()).tenant,
        role: Role::Admin,
        api_key_id: None,
        actor: "a local caller".to_owned(),
        unhindered: None,
    }
}

/// The text behind `Authorization: Bearer`.
fn presented(headers: &HeaderMap) -> Result<Secret, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(nobody("the call has no API key, or several"));
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty() => {
            Ok(Secret::from(key.trim().to_owned()))
        }
        _ => Err(nobody("`Authorization` is not `Bearer` with an API key")),
    }
}

fn nobody(message: &str) -> Problem {
    let help = "send `Authorization: Bearer mrk_…`; `modelrow key create` makes a key";
    let violation = Violation::new(Code::C172, message, help);
    Problem::no_key(violation.in_header(AUTHORIZATION))
}

fn refused(why: KeyRefused) -> Problem {
    let message = why.to_string();
    let help = match why {
        KeyRefused::Store(error) => return RunError::from(error).into(),
        KeyRefused::Unknown => "check that the whole key was sent, and to the right server",
        KeyRefused::Expired | KeyRefused::Revoked => "use another key: an admin makes one",
    };
    tracing::info!(why = message, "a key was refused");
    let violation = Violation::new(Code::C173, message, help);
    Problem::bad_key(violation.in_header(AUTHORIZATION))
}

fn allowed(principal: Principal, request: &Request) -> Result<Principal, Problem> {
    let path = request.extensions().get::<MatchedPath>();
    let needed = needed(request.method(), path.map(MatchedPath::as_str));
    if principal.role >= needed {
        return Ok(principal);
    }
    let (role, needed) = (principal.role.as_str(), needed.as_str());
    let message = format!("the key has the role `{role}`; this call needs `{needed}`");
    let help = format!("use a key with the role `{needed}`");
    Err(Problem::forbidden(Violation::new(
        Code::C174,
        message,
        help,
    )))
}

/// Whether what stands there is behind the gate.
pub(crate) fn guards(path: &str) -> bool {
    path.starts_with("/v1/") || path.starts_with("/admin/") || openai::has(path)
}

/// The least role that a call needs: who looks is a viewer, who does is a caller, and settings are an admin's.
/// What stands nowhere is an admin's.
pub(crate) fn needed(method: &Method, path: Option<&str>) -> Role {
    match path {
        Some(path) if path.starts_with("/v1/") || openai::has(path) => match *method {
            Method::GET | Method::HEAD => Role::Viewer,
            _ => Role::Caller,
        },
        _ => Role::Admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use diag::ExposeSecret as _;

    #[test]
    fn only_one_bearer_is_a_key() {
        let cases: [(&[&str], Option<&str>); 9] = [
            (&["Bearer mrk_1"], Some("mrk_1")),
            (&["bearer  mrk_1 "], Some("mrk_1")),
            (&[], None),
            (&[""], None),
            (&["Bearer"], None),
            (&["Bearer "], None),
            (&["mrk_1"], None),
            (&["Basic bXJrXzE6"], None),
            (&["Bearer mrk_1", "Bearer mrk_1"], None),
        ];
        for (given, want) in cases {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            let found = presented(&headers).ok();
            assert_eq!(
                found.as_ref().map(|key| key.expose_secret()),
                want,
                "{given:?}"
            );
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_a_call_needs_follows_from_its_method_and_its_place() {
        let cases = [
            (Method::GET,    Some("/v1/runs"),       Role::Viewer),
            (Method::HEAD,   Some("/v1/runs/{id}"),  Role::Viewer),
            (Method::POST,   Some("/v1/runs"),       Role::Caller),
            (Method::DELETE, Some("/v1/runs/{id}"),  Role::Caller),
            (Method::PATCH,  Some("/v1/new"),        Role::Caller),
            (Method::GET,    Some("/admin/v1/keys"), Role::Admin),
            (Method::GET,    Some("/v2/runs"),       Role::Admin),
            (Method::GET,    None,                   Role::Admin),
        ];
        for (method, path, want) in cases {
            assert_eq!(needed(&method, path), want, "{method} {path:?}");
        }
    }
}
