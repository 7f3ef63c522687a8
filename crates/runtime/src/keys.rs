//! The keys of a run: of its own credential, and of those of the auth profiles
//! that its steps name.

use crate::core::Core;
use crate::sealed::Owner;
use crate::setting::Unready;
use diag::{ExposeSecret as _, Secret};
use engine::auth::{self, Keyring, Keys};
use engine::{Fault, Kind};
use profile::revision::{Auth, AuthKind, Revision};
use store::SYSTEM_TENANT;
use store::credentials::{Credential, Sealed, Stored};
use uuid::Uuid;

/// Where libraries of a cloud look for the application's default credentials: the file that is named here,
const KEY_FILE: &str = "env:GOOGLE_APPLICATION_CREDENTIALS";
/// else the one that a developer's log-in writes, below the home.
const LOGGED_IN: &str = ".config/gcloud/application_default_credentials.json";

/// Opens the secrets of a run's credential, and of the auth profiles that its steps name.
pub(crate) async fn keyring(
    core: &Core,
    revision: &Revision,
    own: &Credential,
) -> Result<Keyring, Unready> {
    let mut ring = Keyring::new(match &revision.auth {
        Some(auth) => keys(core, auth, own)?,
        None => Keys::default(),
    });
    for auth in &revision.step_auths {
        let credential = of_step(core, revision, auth, own.tenant).await?;
        ring = ring.with_step(&auth.profile_key, keys(core, auth, &credential)?);
    }
    Ok(ring)
}

/// The credential of an auth profile that a step names, as the owner of the run's own one sees it: what runs of several
/// tenants share has no key of one of them.
async fn of_step(
    core: &Core,
    revision: &Revision,
    auth: &Auth,
    owner: Uuid,
) -> Result<Credential, Unready> {
    let missing = || {
        let key = &auth.profile_key;
        let message = format!("the auth profile `{key}`, which a step names, has no credential");
        Unready::Fault(Fault::new(Kind::BadSecret, message))
    };
    let snapshot = core.catalogue.now();
    let row = snapshot
        .credential_of(revision, Some(&auth.profile_key), owner)
        .map_err(|_| missing())?;
    let id = row.id.ok_or_else(missing)?;
    core.store.credential(id).await?.ok_or_else(missing)
}

fn keys(core: &Core, auth: &Auth, credential: &Credential) -> Result<Keys, Unready> {
    let from_machine = matches!(auth.kind, AuthKind::ApplicationDefault(_));
    let secret = match &credential.secret {
        Stored::Reference(reference) => Some(opened(core, reference)?),
        Stored::Sealed(sealed) => Some(unsealed(core, credential, sealed)?),
        Stored::Nowhere if from_machine => of_machine(core, credential.tenant)?,
        Stored::Nowhere => None,
    };
    Ok(auth::keys(auth, secret.as_ref())?.of_credential(credential.id))
}

/// Another process may have the key that this one lacks: the run is left to it.
fn unsealed(core: &Core, credential: &Credential, sealed: &Sealed) -> Result<Secret, Unready> {
    let owner = Owner {
        tenant: credential.tenant,
        credential: credential.id,
    };
    core.options
        .secret_keys
        .open(owner, sealed)
        .map_err(|error| {
            if error.is_ours_alone() {
                return Unready::Later(error.to_string());
            }
            let mut fault = Fault::new(Kind::BadSecret, error.to_string());
            fault.help = format!(
                "{}; `modelrow explain {}` says more",
                error.help(),
                error.code()
            );
            Unready::Fault(fault)
        })
}

/// The machine is the operator's: a tenant's own row does not act in its name.
fn of_machine(core: &Core, owner: Uuid) -> Result<Option<Secret>, Fault> {
    if owner != SYSTEM_TENANT {
        let message = "a tenant's own credential has no secret, and may not use this machine's";
        return Err(Fault::new(Kind::BadSecret, message));
    }
    let secrets = &core.options.secrets;
    if let Ok(path) = secrets.open(KEY_FILE) {
        return opened(core, &format!("file:{}", path.expose_secret().trim())).map(Some);
    }
    // Neither there: the metadata server is asked.
    let home = secrets.open("env:HOME").ok();
    let file = home.map(|home| format!("file:{}/{LOGGED_IN}", home.expose_secret().trim()));
    Ok(file.and_then(|file| secrets.open(&file).ok()))
}

fn opened(core: &Core, reference: &str) -> Result<Secret, Fault> {
    core.options.secrets.open(reference).map_err(|missing| {
        let mut fault = Fault::new(Kind::BadSecret, missing.why);
        fault.help = missing.help;
        fault
    })
}
