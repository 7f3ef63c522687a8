//! Who calls: what the gate has found out, as handlers take it.

use crate::problem::{Problem, Violation};
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use diag::Code;
use runtime::{Principal, RunRequest, Scope};
use std::sync::Arc;
use uuid::Uuid;

/// Who calls. Only the gate ([`crate::gate`]) makes one, so a handler that takes it stands behind the gate.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Arc<Principal>);

impl Caller {
    pub(crate) fn new(principal: Principal) -> Self {
        Self(Arc::new(principal))
    }

    /// Whose runs this call may make and see.
    pub(crate) fn tenant(&self) -> Uuid {
        self.0.tenant
    }

    pub(crate) fn api_key_id(&self) -> Option<Uuid> {
        self.0.api_key_id
    }

    /// The call as this caller's.
    pub(crate) fn makes(&self, request: RunRequest) -> RunRequest {
        request.called_by(&self.0)
    }

    /// For the log of changes.
    pub(crate) fn actor(&self) -> &str {
        &self.0.actor
    }

    /// What it sees as an admin.
    pub(crate) fn admin_scope(&self) -> Scope {
        self.0.admin_scope()
    }

    /// # Errors
    ///
    /// 403 for everybody else.
    pub(crate) fn must_be_operator(&self) -> Result<(), Problem> {
        if self.0.is_operator() {
            return Ok(());
        }
        let message = "only an operator may do this";
        let help = "use a key with the role `admin` of the system tenant";
        Err(Problem::forbidden(Violation::new(
            Code::C174,
            message,
            help,
        )))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| {
            tracing::error!(
                path = parts.uri.path(),
                "a call that asks who calls does not stand behind the gate"
            );
            Problem::all(StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        })
    }
}
