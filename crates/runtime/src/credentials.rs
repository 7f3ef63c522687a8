//! Credentials, for operators: which there are, putting a secret in, sealing it anew, and proving it. No secret is ever given out.

use crate::core::Core;
use crate::error::RunError;
use crate::sealed::{Owner, SECRET_MAX, SealError};
use crate::{Modelrow, tokens, webhook};
use diag::{Code, Diagnostic, Diagnostics, ExposeSecret as _, Place, Secret};
use engine::flow::Action;
use engine::http::Outcome;
use engine::{Fault, Flow};
use profile::call::{Call, Checked};
use profile::revision::{Auth, Revision};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use store::credentials::{NewCredential, Stored};
use store::{StoreError, catalogue as table};
use utoipa::ToSchema;
use uuid::Uuid;

/// Sealed secrets that are read at once.
const BATCH: i64 = 100;
/// Who seals secrets anew.
const ROTATION: &str = "rotation of the secret keys";
/// Exchanges and tokens of one proof: a token, the exchange, and both again after a 401.
const STEPS: usize = 4;

/// Names a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialName {
    /// Whose it is; [`store::SYSTEM_TENANT`] serves every tenant.
    pub tenant: Uuid,
    /// `ai_providers.slug`
    pub provider: String,
    /// Its name; absent: the provider's only one, else its default one.
    pub name: Option<String>,
}

/// A credential, without its secret.
#[derive(Debug, Clone, Serialize)]
pub struct CredentialView {
    /// Its row.
    pub id: Option<Uuid>,
    /// Whose it is; absent: the system's, which serves every tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Uuid>,
    /// `ai_providers.slug`
    pub provider: String,
    /// Its name within the provider.
    pub name: String,
    /// `env:NAME` or `file:/path`, where its secret is read.
    pub reference: Option<String>,
    /// The id of the key that its secret is sealed under.
    pub sealed_under: Option<String>,
    /// Whether this process has what it takes to open it: that key, or what the reference names.
    pub opens: bool,
    /// Whether it serves auth profiles that name none.
    pub is_default: bool,
    /// Only `active` ones serve.
    pub status: String,
}

/// A secret that is to be put in.
#[derive(Debug)]
pub enum NewSecret {
    /// It is sealed under the first key.
    Sealed(Secret),
    /// `env:NAME` or `file:/path`.
    Reference(String),
}

/// A credential whose secret was put in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CredentialSet {
    /// Its row.
    pub id: Uuid,
    /// `ai_providers.slug`
    pub provider: String,
    /// Its name within the provider.
    pub name: String,
    /// Whether it was not there before.
    pub added: bool,
}

/// What a rotation came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Rotated {
    /// The key that all of them are sealed under now.
    pub key: String,
    /// Secrets that were sealed anew.
    pub sealed: usize,
    /// Those that somebody else changed meanwhile, and that stay as they are.
    pub changed: usize,
    /// Those that do not open here: `provider/name`, and why.
    pub left: Vec<Unopened>,
}

/// A sealed secret that this process cannot open.
#[derive(Debug, Clone, Serialize)]
pub struct Unopened {
    /// `ai_providers.slug`
    pub provider: String,
    /// Its name within the provider.
    pub name: String,
    /// The page that says more.
    pub code: Code,
    /// Why.
    pub why: String,
    /// What to do.
    pub help: String,
}

/// How a credential was proved, or what speaks against it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Verified {
    /// `ai_providers.slug`
    pub provider: String,
    /// Its name within the provider.
    pub name: String,
    /// The exchange that proved it, `GET https://host/path`, or the token endpoint that knows it.
    pub by: String,
    /// As a run's failure; absent: it is good.
    #[schema(value_type = Option<Object>)]
    pub failure: Option<Value>,
}

impl Modelrow {
    /// Every credential, of every tenant.
    #[must_use]
    pub fn credentials(&self) -> Vec<CredentialView> {
        let core = self.core();
        let snapshot = core.catalogue.now();
        let view = |row: &table::CredentialRow| CredentialView {
            id: row.id,
            tenant: row.tenant,
            provider: row.provider.clone(),
            name: row.name.clone(),
            reference: row.secret_ref.clone(),
            sealed_under: row.sealed_under.clone(),
            opens: opens(core, row),
            is_default: row.is_default,
            status: row.status.clone(),
        };
        snapshot.rows.credentials.iter().map(view).collect()
    }

    /// Puts a secret into a credential, or makes one with it, as `by`. A text is sealed; it must fit the auth profiles that the
    /// credential serves.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`]: no such provider, several credentials, or a secret that does not fit; [`RunError::Sealed`]:
    /// there is no key; [`RunError::Store`]. Nothing is changed then.
    pub async fn credential_set(
        &self,
        which: &CredentialName,
        secret: &NewSecret,
        by: &str,
    ) -> Result<CredentialSet, RunError> {
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let row = self.named_row(which)?;
        if let NewSecret::Sealed(secret) = secret {
            fits(core, which, row.as_ref(), secret)?;
        }
        let id = row.as_ref().and_then(|row| row.id);
        let owner = Owner {
            tenant: which.tenant,
            credential: id.unwrap_or_else(Uuid::now_v7),
        };
        let stored = match secret {
            NewSecret::Sealed(secret) => {
                Stored::Sealed(core.options.secret_keys.seal(owner, secret)?)
            }
            NewSecret::Reference(reference) => Stored::Reference(reference.clone()),
        };
        let given = which.name.as_deref().unwrap_or("default");
        let name = row.map_or_else(|| given.to_owned(), |row| row.name);
        match id {
            Some(id) => {
                let put = core.store.credential_secret_put(by, id, &stored, None);
                put.await?;
            }
            None => {
                self.added(which, (by, &name), (owner.credential, &stored))
                    .await?
            }
        }
        core.catalogue.refresh(&core.store).await?;
        Ok(CredentialSet {
            id: owner.credential,
            provider: which.provider.clone(),
            name,
            added: id.is_none(),
        })
    }

    async fn added(
        &self,
        which: &CredentialName,
        (by, name): (&str, &str),
        (id, secret): (Uuid, &Stored),
    ) -> Result<(), RunError> {
        let new = NewCredential {
            id,
            tenant: which.tenant,
            provider: &which.provider,
            name,
            secret,
        };
        match self.core().store.credential_add(by, &new).await {
            Err(StoreError::NoSuchRow { .. }) => {
                Err(RunError::Refused(self.no_such_provider(&which.provider)))
            }
            other => Ok(other?),
        }
    }

    /// The tenant's own row that is meant; `None`: it has none of that name, and none at all when no name is given.
    pub(crate) fn named_row(
        &self,
        which: &CredentialName,
    ) -> Result<Option<table::CredentialRow>, RunError> {
        let snapshot = self.core().catalogue.now();
        let own = Some(which.tenant).filter(|tenant| *tenant != store::SYSTEM_TENANT);
        let all = snapshot.rows.credentials.iter();
        let all: Vec<_> = all
            .filter(|row| row.provider == which.provider && row.tenant == own)
            .collect();
        let found = match (&which.name, all.as_slice()) {
            (Some(name), _) => all.iter().find(|row| row.name == *name),
            (None, []) => None,
            (None, [_]) => all.first(),
            (None, _) => Some(all.iter().find(|row| row.is_default).ok_or_else(|| {
                let names: Vec<_> = all.iter().map(|row| row.name.as_str()).collect();
                let message = format!(
                    "`{}` has several credentials, and no default one",
                    which.provider
                );
                refused(
                    Code::R160,
                    which,
                    message,
                    format!("name one of them: {}", names.join(", ")),
                )
            })?),
        };
        Ok(found.map(|row| (*row).clone()))
    }

    /// Seals every secret that another key has sealed under the first one, of every tenant. It may be stopped and begun
    /// again at any time, and beside workers and other rotations.
    ///
    /// # Errors
    ///
    /// [`RunError::Sealed`]: there is no key; [`RunError::Store`]: go on with another rotation.
    pub async fn credentials_rotate(&self) -> Result<Rotated, RunError> {
        let core = self.core();
        let keys = &core.options.secret_keys;
        let key = keys.first().ok_or(SealError::NoKey)?;
        let mut rotated = Rotated {
            key: key.to_owned(),
            ..Rotated::default()
        };
        let mut after = Uuid::nil();
        loop {
            let rows = core
                .store
                .credentials_sealed_under_others(key, after, BATCH)
                .await?;
            let Some(last) = rows.last() else {
                return webhook::reseal(core, rotated).await;
            };
            after = last.id;
            for row in &rows {
                let owner = Owner {
                    tenant: row.tenant,
                    credential: row.id,
                };
                match keys.reseal(owner, &row.secret) {
                    Ok(sealed) => {
                        let sealed = Stored::Sealed(sealed);
                        let put = core.store.credential_secret_put(
                            ROTATION,
                            row.id,
                            &sealed,
                            Some(&row.secret),
                        );
                        match put.await? {
                            true => rotated.sealed += 1,
                            false => rotated.changed += 1,
                        }
                    }
                    Err(error) => rotated
                        .left
                        .push(unopened(&row.provider, &row.name, &error)),
                }
            }
        }
    }

    /// Proves a credential: by the free exchange of the provider's `conventions.verify`, else by the token that its auth
    /// profile gets.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`]: no such credential, or nothing that proves it; [`RunError::Sealed`]: its secret does not open
    /// here; [`RunError::Store`].
    pub async fn credential_verify(&self, which: &CredentialName) -> Result<Verified, RunError> {
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let row = self.named_row(which)?;
        let row = row.ok_or_else(|| {
            let message = format!("`{}` has no such credential", which.provider);
            refused(
                Code::R160,
                which,
                message,
                "`modelrow credential list` shows those that are there",
            )
        })?;
        let id = row.id.unwrap_or_default();
        if let Some(read) = core.store.credential(id).await?
            && let Stored::Sealed(sealed) = &read.secret
        {
            let owner = Owner {
                tenant: read.tenant,
                credential: id,
            };
            drop(core.options.secret_keys.open(owner, sealed)?);
        }
        let served = served(core, which.tenant, &row);
        let revision = served
            .iter()
            .find(|revision| revision.verify.is_some())
            .or_else(|| served.iter().find(|revision| gives_token(revision)));
        let revision = revision.ok_or_else(|| {
            let message = format!("nothing of `{}` proves a credential without costs", which.provider);
            refused(Code::S149, which, message, "add `conventions.verify`, a free exchange such as `{\"path\": \"/models\"}`, to the provider")
        })?;
        let (by, proved) = proved(core, revision, id).await;
        Ok(Verified {
            provider: row.provider,
            name: row.name,
            by,
            failure: proved.err().map(|fault| fault.to_json()),
        })
    }
}

fn gives_token(revision: &Revision) -> bool {
    revision
        .auth
        .as_ref()
        .is_some_and(|auth| auth.kind.gives_token())
}

/// The revisions that serve with it.
fn served(core: &Core, tenant: Uuid, row: &table::CredentialRow) -> Vec<Arc<Revision>> {
    let snapshot = core.catalogue.now();
    let all = snapshot.compiled.revisions.iter();
    let all = all.filter_map(|entry| entry.revision.as_ref().ok());
    let uses = |revision: &&Arc<Revision>| {
        revision.provider == row.provider
            && snapshot
                .credential(revision, tenant)
                .is_ok_and(|found| found.id == row.id)
    };
    all.filter(uses).cloned().collect()
}

/// What it is proved by, and what came of it.
async fn proved(
    core: &Core,
    revision: &Arc<Revision>,
    credential: Uuid,
) -> (String, Result<(), Fault>) {
    let unready = |why: crate::setting::Unready| match why {
        crate::setting::Unready::Fault(fault) => fault,
        other => Fault::new(engine::Kind::BadSecret, other.to_string()),
    };
    let shared = match core.shared(revision, credential).await {
        Ok(shared) => shared,
        Err(why) => return (String::new(), Err(unready(why))),
    };
    let checked = Arc::new(Checked {
        call: Call::default(),
    });
    let identity = crate::setting::identity(core, &revision.provider, Uuid::nil(), 1);
    let mut flow = Flow::new(shared.ground.setting(checked, Arc::default(), identity));
    let mut by = String::new();
    let done = exchanges(core, &mut flow, &mut by).await;
    (by, done)
}

async fn exchanges(core: &Core, flow: &mut Flow, by: &mut String) -> Result<(), Fault> {
    let mut renewed = false;
    for _ in 0..STEPS {
        let drawn = core.drawn();
        match flow.verify(drawn)? {
            None => {
                "its access token".clone_into(by);
                return tokens::given(core, flow, None).await;
            }
            Some(Action::Token { auth }) => tokens::given(core, flow, auth.as_deref()).await?,
            Some(Action::Exchange { request, .. }) => {
                *by = format!(
                    "{} {}{}",
                    request.method,
                    request.origin(),
                    request.url.path()
                );
                let outcome = tokens::sent(core, flow, &request, &mut renewed).await;
                match outcome {
                    Some(Outcome::Answered(received)) => {
                        return flow.verified(&received, core.clock.now_ms());
                    }
                    Some(Outcome::NotSent(fault) | Outcome::Broken(fault)) => return Err(fault),
                    None => {}
                }
            }
            Some(_) => break,
        }
    }
    Err(Fault::new(
        engine::Kind::BadRecord,
        "the proof does not come to an end",
    ))
}

fn opens(core: &Core, row: &table::CredentialRow) -> bool {
    match (&row.sealed_under, &row.secret_ref) {
        (Some(id), _) => core.options.secret_keys.may_open(id).is_ok(),
        (None, Some(reference)) => core.options.secrets.open(reference).is_ok(),
        (None, None) => true,
    }
}

/// A text that no auth profile can use is better refused now than by every run.
pub(crate) fn fits(
    core: &Core,
    which: &CredentialName,
    row: Option<&table::CredentialRow>,
    secret: &Secret,
) -> Result<(), RunError> {
    let length = secret.expose_secret().len();
    if length == 0 || length > SECRET_MAX {
        let message = format!("the secret has {length} bytes");
        return Err(refused(
            Code::R128,
            which,
            message,
            "give it 1 byte to 64 KiB",
        ));
    }
    let Some(row) = row else { return Ok(()) };
    for revision in served(core, which.tenant, row) {
        let auth: Option<&Auth> = revision.auth.as_ref();
        let made = auth.map(|auth| engine::auth::keys(auth, Some(secret)));
        if let Some(Err(fault)) = made {
            return Err(refused(fault.code(), which, fault.message, fault.help));
        }
    }
    Ok(())
}

fn refused(
    code: Code,
    which: &CredentialName,
    message: impl Into<String>,
    help: impl Into<String>,
) -> RunError {
    let name = which.name.as_deref().unwrap_or("*");
    let place = Place {
        source: Some(format!(
            "provider_api_credentials/{}/{name}",
            which.provider
        )),
        ..Place::default()
    };
    RunError::Refused(Diagnostics(vec![Diagnostic::error(
        code, place, message, help,
    )]))
}

pub(crate) fn unopened(provider: &str, name: &str, error: &SealError) -> Unopened {
    Unopened {
        provider: provider.to_owned(),
        name: name.to_owned(),
        code: error.code(),
        why: error.to_string(),
        help: error.help().to_owned(),
    }
}
