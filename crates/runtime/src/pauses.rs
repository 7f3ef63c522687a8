//! The brake: an operator stops new submits, for all or for a part; polls and fetches go on.

use crate::RowError;
use crate::error::RunError;
use crate::library::Modelrow;
use crate::operate::Because;
use serde::{Deserialize, Serialize};
use store::Scope;
use store::pauses::{CredentialPause, PauseRow, Paused};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// What is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum PauseScope {
    /// Everything.
    All,
    /// Every submit to a provider.
    Provider {
        /// Its slug.
        provider: String,
    },
    /// Every submit with a credential.
    Credential {
        /// Its id, `provider/name`, or the provider alone when it has one credential only.
        credential: String,
    },
    /// Every run of a tenant.
    Tenant {
        /// Its id, or its slug.
        tenant: String,
    },
}

/// A pause that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PauseView {
    /// What is paused, by id.
    pub what: PauseScope,
    /// What people call it: the tenant's slug, `provider/name` of a credential.
    pub name: Option<String>,
    /// Why.
    pub reason: String,
    /// Who paused it.
    pub by: String,
    /// An operator did, and ends it.
    pub by_operator: bool,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// A credential that waits after the provider's answer: a 429, a refused key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CredentialPauseView {
    /// Its id.
    pub credential: Uuid,
    /// `provider/name`
    pub name: String,
    /// Milliseconds until it ends by itself.
    pub for_ms: i64,
    /// The class of the error.
    pub why: Option<String>,
}

/// All that starts no submits now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pauses {
    /// Until an operator resumes them.
    pub pauses: Vec<PauseView>,
    /// Until their time is over.
    pub credentials: Vec<CredentialPauseView>,
}

impl Modelrow {
    /// Stops new submits, on every worker from now on and over restarts: what is queued waits, and so does what would be
    /// sent again under its key. Requests that are on their way are answered, jobs are followed, files fetched.
    ///
    /// # Errors
    ///
    /// [`RunError::NothingToPause`], [`RunError::BadReason`], [`RunError::Store`]: pause again.
    pub async fn pause(&self, scope: &PauseScope, because: &Because) -> Result<(), RunError> {
        self.pause_as(Scope::Operator, scope, because).await
    }

    /// The same as an operator or a tenant's admin, before whom an operator's pause stands as it is.
    ///
    /// # Errors
    ///
    /// As [`Modelrow::pause`].
    pub async fn pause_as(
        &self,
        who: Scope,
        scope: &PauseScope,
        because: &Because,
    ) -> Result<(), RunError> {
        let what = self.found(scope).await?;
        match self.brake(who, &what, because).await? || who != Scope::Operator {
            true => Ok(()),
            false => Err(nothing(scope)),
        }
    }

    /// Ends a pause, and on a credential also the one that a worker put there. `false`: it was not paused.
    ///
    /// # Errors
    ///
    /// [`RunError::NothingToPause`], [`RunError::Store`]: resume again.
    pub async fn resume(&self, scope: &PauseScope, by: &str) -> Result<bool, RunError> {
        self.resume_as(Scope::Operator, scope, by).await
    }

    /// The same as an operator or a tenant's admin, who ends no pause of an operator.
    ///
    /// # Errors
    ///
    /// As [`Modelrow::resume`]; [`RowError::Braked`].
    pub async fn resume_as(
        &self,
        who: Scope,
        scope: &PauseScope,
        by: &str,
    ) -> Result<bool, RunError> {
        let what = self.found(scope).await?;
        self.release_brake(who, &what, by).await
    }

    /// `false`: there is no such thing, or an operator's pause stands.
    pub(crate) async fn brake(
        &self,
        who: Scope,
        what: &Paused,
        because: &Because,
    ) -> Result<bool, RunError> {
        let why = (because.checked()?.reason.trim(), because.by.as_str());
        let paused = self.core().store.pause(who, what, why).await?;
        if paused {
            tracing::warn!(?what, by = because.by, "submits are paused");
        }
        Ok(paused)
    }

    pub(crate) async fn release_brake(
        &self,
        who: Scope,
        what: &Paused,
        by: &str,
    ) -> Result<bool, RunError> {
        let resumed = self.core().store.resume(who, what, by).await?;
        self.core().queue.notify_one();
        tracing::warn!(?what, by, resumed, "submits are resumed");
        let stands = |row: &PauseRow| row.by_operator && row.what == *what;
        if who != Scope::Operator && self.core().store.pauses().await?.iter().any(stands) {
            return Err(RunError::Row(RowError::Braked));
        }
        Ok(resumed)
    }

    /// Every pause that stands.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn pauses(&self) -> Result<Pauses, RunError> {
        let store = &self.core().store;
        let (pauses, credentials) = (store.pauses().await?, store.credential_pauses().await?);
        Ok(Pauses {
            pauses: pauses.into_iter().map(shown).collect(),
            credentials: credentials.into_iter().map(waits).collect(),
        })
    }

    async fn found(&self, scope: &PauseScope) -> Result<Paused, RunError> {
        let store = &self.core().store;
        Ok(match scope {
            PauseScope::All => Paused::All,
            PauseScope::Provider { provider } => Paused::Provider(provider.clone()),
            PauseScope::Tenant { tenant } => Paused::Tenant(match Uuid::try_parse(tenant) {
                Ok(id) => id,
                Err(_) => {
                    let named = store.tenant_named(tenant).await?;
                    named.ok_or_else(|| nothing(scope))?
                }
            }),
            PauseScope::Credential { credential } => {
                if let Ok(id) = Uuid::try_parse(credential) {
                    return Ok(Paused::Credential(id));
                }
                let (provider, name) = match credential.split_once('/') {
                    Some((provider, name)) => (provider, Some(name)),
                    None => (credential.as_str(), None),
                };
                match store.credentials_named(provider, name).await?.as_slice() {
                    [only] => Paused::Credential(*only),
                    _ => return Err(nothing(scope)),
                }
            }
        })
    }
}

fn nothing(scope: &PauseScope) -> RunError {
    let what = match scope {
        PauseScope::All => "such pause".to_owned(),
        PauseScope::Provider { provider } => format!("provider `{provider}`"),
        PauseScope::Credential { credential } => format!("one credential `{credential}`"),
        PauseScope::Tenant { tenant } => format!("tenant `{tenant}`"),
    };
    RunError::NothingToPause { what }
}

fn shown(row: PauseRow) -> PauseView {
    PauseView {
        what: match row.what {
            Paused::All => PauseScope::All,
            Paused::Provider(provider) => PauseScope::Provider { provider },
            Paused::Credential(id) => PauseScope::Credential {
                credential: id.to_string(),
            },
            Paused::Tenant(id) => PauseScope::Tenant {
                tenant: id.to_string(),
            },
        },
        name: row.name,
        reason: row.reason,
        by: row.by,
        by_operator: row.by_operator,
        at: row.at,
    }
}

fn waits(row: CredentialPause) -> CredentialPauseView {
    CredentialPauseView {
        credential: row.credential_id,
        name: row.name,
        for_ms: row.for_ms,
        why: row.why,
    }
}
