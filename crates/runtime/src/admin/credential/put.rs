//! Credentials are made, changed and taken away.

use super::CredentialShown;
use crate::Modelrow;
use crate::admin::error::RowError;
use crate::admin::operator;
use crate::admin::save::{Admin, of_rule};
use crate::credentials::{CredentialName, fits};
use crate::error::RunError;
use crate::sealed::Owner;
use diag::{Diagnostic, Diagnostics, Place, Secret};
use profile::rows::Kind;
use store::Scope;
use store::catalogue::{Removed, Table};
use store::credentials::{Put, Stored};
use time::OffsetDateTime;
use uuid::Uuid;

/// What a credential is to be.
#[derive(Debug)]
pub struct CredentialPut {
    /// Slug of its provider.
    pub provider: String,
    /// Its name within the provider.
    pub name: String,
    /// Sealed here; absent: what is there stays.
    pub secret: Option<Secret>,
    /// `env:NAME` or `file:/path`, in place of a secret: an operator's.
    pub reference: Option<String>,
    /// Another address of the same API.
    pub endpoint_url: Option<String>,
    /// Whether it serves auth profiles that name none.
    pub is_default: Option<bool>,
    /// Requests a minute.
    pub rate_limit_per_minute: Option<i32>,
    /// Requests a day.
    pub rate_limit_per_day: Option<i32>,
    /// Jobs in flight.
    pub max_concurrent_jobs: Option<i32>,
    /// Only `active` ones serve.
    pub status: String,
}

impl Modelrow {
    /// Makes a credential of a tenant; its secret is sealed.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`], [`RowError::Taken`], [`RowError::Rule`], [`RunError::Store`].
    pub async fn credential_create(
        &self,
        admin: Admin<'_>,
        tenant: Uuid,
        new: &CredentialPut,
    ) -> Result<CredentialShown, RunError> {
        admin.may_write(tenant)?;
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let credential = Uuid::now_v7();
        let owner = Owner { tenant, credential };
        let secret = self.kept(admin, owner, new, None)?;
        let put = put(owner, new, secret.as_ref());
        let made = core.store.credential_make(admin.by, &put).await;
        made.map_err(|error| of_credential(error, new))?;
        core.catalogue.load(&core.store).await?;
        self.credential_shown(admin.scope, credential).await
    }

    /// Changes a credential that is as it was `seen`; without a secret it keeps its own.
    ///
    /// # Errors
    ///
    /// As [`Modelrow::credential_create`], and [`RowError::NotThere`], [`RowError::Stale`], [`RowError::Renamed`],
    /// [`RowError::OfSystem`].
    pub async fn credential_replace(
        &self,
        admin: Admin<'_>,
        (id, seen): (Uuid, OffsetDateTime),
        new: &CredentialPut,
    ) -> Result<CredentialShown, RunError> {
        let there = self.credential_shown(admin.scope, id).await?;
        admin.may_write(there.tenant)?;
        for (member, same) in [
            ("provider", there.provider == new.provider),
            ("name", there.name == new.name),
        ] {
            if !same {
                return Err(RunError::Row(RowError::Renamed { member }));
            }
        }
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let owner = Owner {
            tenant: there.tenant,
            credential: id,
        };
        let secret = self.kept(admin, owner, new, Some(&there))?;
        let put = put(owner, new, secret.as_ref());
        let changed = core.store.credential_change(admin.by, seen, &put).await;
        changed.map_err(|error| of_credential(error, new))?;
        core.catalogue.load(&core.store).await?;
        self.credential_shown(admin.scope, id).await
    }

    /// Takes a credential away that no run was ever sent with, and that no auth profile names.
    ///
    /// # Errors
    ///
    /// [`RowError::NotThere`], [`RowError::Stale`], [`RowError::InUse`], [`RowError::OfSystem`]; [`RunError::Store`].
    pub async fn credential_delete(
        &self,
        admin: Admin<'_>,
        (id, seen): (Uuid, OffsetDateTime),
    ) -> Result<(), RunError> {
        let core = self.core();
        let there = self.credential_shown(admin.scope, id).await?;
        admin.may_write(there.tenant)?;
        let by = (there.tenant, admin.by);
        let removed = core
            .store
            .row_remove(by, Table::Credentials, (id, seen), &[]);
        match removed.await {
            Ok(Removed::Gone) => Ok(core.catalogue.load(&core.store).await?),
            Ok(Removed::Stale) => Err(RunError::Row(RowError::Stale)),
            Ok(Removed::UsedBy(runs)) => {
                let rows = Vec::new();
                Err(RunError::Row(RowError::InUse { runs, rows }))
            }
            Err(error) => Err(match of_rule(error, Kind::AuthProfiles, &there.name) {
                RunError::Row(RowError::InUse { .. }) => {
                    let rows = self.named_by(&there);
                    let runs = Vec::new();
                    RunError::Row(RowError::InUse { runs, rows })
                }
                other => other,
            }),
        }
    }

    /// Auth profiles that name a credential.
    fn named_by(&self, there: &CredentialShown) -> Vec<String> {
        let snapshot = self.core().catalogue.now();
        let all = snapshot.rows.auth_profiles.iter();
        let names = all.filter(|row| {
            row.provider.as_ref() == Some(&there.provider)
                && row.credential.as_ref() == Some(&there.name)
        });
        names
            .map(|row| format!("auth_profiles/{}/{}", there.provider, row.profile_key))
            .collect()
    }

    /// The secret as it is kept; `None`: what is there stays.
    fn kept(
        &self,
        admin: Admin<'_>,
        owner: Owner,
        new: &CredentialPut,
        there: Option<&CredentialShown>,
    ) -> Result<Option<Stored>, RunError> {
        if let Some(reference) = &new.reference {
            let known = there.and_then(|there| there.reference.as_ref()) == Some(reference);
            if matches!(admin.scope, Scope::Tenant(_)) && !known {
                let help = "give the secret itself: `secret`";
                let found = operator::reference(Place::pointer("/reference"), help);
                return Err(RunError::Refused(Diagnostics(vec![found])));
            }
            return Ok(Some(Stored::Reference(reference.clone())));
        }
        let Some(secret) = &new.secret else {
            return Ok(None);
        };
        let core = self.core();
        let which = CredentialName {
            tenant: owner.tenant,
            provider: new.provider.clone(),
            name: Some(new.name.clone()),
        };
        let row = self.named_row(&which)?;
        fits(core, &which, row.as_ref(), secret).map_err(at_secret)?;
        let sealed = core.options.secret_keys.seal(owner, secret);
        let sealed = sealed.map_err(|error| {
            let place = Place::pointer("/secret");
            let found = Diagnostic::error(error.code(), place, error.to_string(), error.help());
            RunError::Refused(Diagnostics(vec![found]))
        });
        Ok(Some(Stored::Sealed(sealed?)))
    }
}

/// What does not fit is the member of the body.
fn at_secret(error: RunError) -> RunError {
    match error {
        RunError::Refused(found) => RunError::Refused(found.at(&Place::pointer("/secret"))),
        other => other,
    }
}

fn put<'p>(owner: Owner, new: &'p CredentialPut, secret: Option<&'p Stored>) -> Put<'p> {
    Put {
        id: owner.credential,
        tenant: owner.tenant,
        provider: &new.provider,
        name: &new.name,
        secret,
        endpoint_url: new.endpoint_url.as_deref(),
        is_default: new.is_default,
        rate_limit_per_minute: new.rate_limit_per_minute,
        rate_limit_per_day: new.rate_limit_per_day,
        max_concurrent_jobs: new.max_concurrent_jobs,
        status: &new.status,
    }
}

fn of_credential(error: store::StoreError, new: &CredentialPut) -> RunError {
    let key = format!("{}/{}", new.provider, new.name);
    match of_rule(error, Kind::AuthProfiles, &key) {
        RunError::Row(RowError::Taken { key, .. }) => RunError::Row(RowError::Taken {
            key,
            member: "name",
        }),
        other => other,
    }
}
