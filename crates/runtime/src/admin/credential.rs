//! Credentials over HTTP: secrets go in and never come out.

mod put;

pub use put::CredentialPut;

use super::error::RowError;
use super::save::Admin;
use crate::access::PageOf;
use crate::credentials::{CredentialName, Verified};
use crate::error::RunError;
use crate::operate::Because;
use crate::{Modelrow, list};
use serde::Serialize;
use store::Scope;
use store::catalogue::{IndexFilter, Table};
use store::credentials::Shown;
use store::pauses::Paused;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// A credential, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CredentialShown {
    /// The row.
    pub id: Uuid,
    /// Whose it is; the system's serves every tenant.
    pub tenant: Uuid,
    /// Slug of its provider.
    pub provider: String,
    /// Its name within the provider.
    pub name: String,
    /// Where its secret is: `sealed` (here), `reference`, or `none`.
    pub secret: String,
    /// `env:NAME` or `file:/path`.
    pub reference: Option<String>,
    /// The id of the key that it is sealed under.
    pub sealed_under: Option<String>,
    /// Another address of the same API.
    pub endpoint_url: Option<String>,
    /// Whether it serves auth profiles that name none.
    pub is_default: bool,
    /// Requests a minute.
    pub rate_limit_per_minute: Option<i32>,
    /// Requests a day.
    pub rate_limit_per_day: Option<i32>,
    /// Jobs in flight.
    pub max_concurrent_jobs: Option<i32>,
    /// Only `active` ones serve.
    pub status: String,
    /// Its last change.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Last used in the minute that began then, or the next.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    /// When the provider refused it last.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_refused_at: Option<OffsetDateTime>,
    /// The class of that refusal: `authentication`, `rate_limited`, …
    pub last_refused_why: Option<String>,
    /// What keeps it from being sent with.
    pub pauses: Vec<CredentialStop>,
}

/// Why a credential's submits wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CredentialStop {
    /// Who paused it; absent: a worker, after a refusal.
    pub by: Option<String>,
    /// An operator did, and ends it.
    pub by_operator: bool,
    /// Why.
    pub why: Option<String>,
    /// Ends by itself then; absent: until it is resumed.
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
}

/// A page of credentials, the last changed first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CredentialPage {
    /// The credentials.
    pub credentials: Vec<CredentialShown>,
    /// For the next page; absent: this was the last.
    pub next: Option<String>,
}

impl Modelrow {
    /// Credentials: a tenant's own and the system's; an operator's are all.
    ///
    /// # Errors
    ///
    /// [`RunError::BadCursor`], [`RunError::Store`].
    pub async fn credentials_shown(
        &self,
        scope: Scope,
        provider: Option<String>,
        page: &PageOf,
    ) -> Result<CredentialPage, RunError> {
        let limit = list::page_size(page.limit);
        let wanted = IndexFilter {
            provider,
            after: list::after(page.after.as_deref())?,
            limit: list::asked_for(limit),
            ..IndexFilter::default()
        };
        let store = &self.core().store;
        let found = store.row_index(scope, Table::Credentials, &wanted).await?;
        let (found, next) = list::page(found, limit, |row| (row.updated_at, row.id));
        let ids: Vec<Uuid> = found.iter().map(|row| row.id).collect();
        let mut read = store.credentials_shown(&ids).await?;
        read.sort_by_key(|row| ids.iter().position(|id| *id == row.id));
        let credentials = read.into_iter().map(|row| shown(scope, row)).collect();
        Ok(CredentialPage { credentials, next })
    }

    /// One credential.
    ///
    /// # Errors
    ///
    /// [`RowError::NotThere`], [`RunError::Store`].
    pub async fn credential_shown(
        &self,
        scope: Scope,
        id: Uuid,
    ) -> Result<CredentialShown, RunError> {
        let wanted = IndexFilter {
            id: Some(id),
            limit: 1,
            ..IndexFilter::default()
        };
        let store = &self.core().store;
        let found = store.row_index(scope, Table::Credentials, &wanted).await?;
        let ids: Vec<Uuid> = found.iter().map(|row| row.id).collect();
        let one = store.credentials_shown(&ids).await?.pop();
        one.map(|row| shown(scope, row)).ok_or_else(|| {
            let kind = "credentials";
            RunError::Row(RowError::NotThere { kind, id })
        })
    }

    /// Proves a credential by a free exchange, or by the token that it gets.
    ///
    /// # Errors
    ///
    /// [`RowError::NotThere`], [`RowError::OfSystem`]; otherwise as [`Modelrow::credential_verify`].
    pub async fn credential_prove(&self, admin: Admin<'_>, id: Uuid) -> Result<Verified, RunError> {
        let there = self.credential_shown(admin.scope, id).await?;
        admin.may_write(there.tenant)?;
        let which = CredentialName {
            tenant: there.tenant,
            provider: there.provider,
            name: Some(there.name),
        };
        self.credential_verify(&which).await
    }

    /// Stops the submits of a credential. An operator's pause stands as it is before a tenant's admin.
    ///
    /// # Errors
    ///
    /// [`RowError::NotThere`], [`RowError::OfSystem`]; [`RunError::BadReason`]; [`RunError::Store`].
    pub async fn credential_pause(
        &self,
        admin: Admin<'_>,
        id: Uuid,
        reason: &str,
    ) -> Result<CredentialShown, RunError> {
        let there = self.credential_shown(admin.scope, id).await?;
        admin.may_write(there.tenant)?;
        let because = Because {
            reason: reason.to_owned(),
            by: admin.by.to_owned(),
        };
        self.brake(admin.scope, &Paused::Credential(id), &because)
            .await?;
        self.credential_shown(admin.scope, id).await
    }

    /// Lets the submits of a credential go on, also those that a worker paused after a refusal.
    ///
    /// # Errors
    ///
    /// [`RowError::NotThere`], [`RowError::OfSystem`]; [`RowError::Braked`]; [`RunError::Store`].
    pub async fn credential_resume(
        &self,
        admin: Admin<'_>,
        id: Uuid,
    ) -> Result<CredentialShown, RunError> {
        let there = self.credential_shown(admin.scope, id).await?;
        admin.may_write(there.tenant)?;
        self.release_brake(admin.scope, &Paused::Credential(id), admin.by)
            .await?;
        self.credential_shown(admin.scope, id).await
    }
}

/// An address may carry a key: it is its owner's to see.
fn shown(scope: Scope, row: Shown) -> CredentialShown {
    let owned = scope.has(row.tenant);
    let mut pauses = Vec::new();
    if row.braked_by.is_some() {
        pauses.push(CredentialStop {
            by: row.braked_by,
            by_operator: row.by_operator.unwrap_or_default(),
            why: row.braked_why,
            until: None,
        });
    }
    if row.paused_until.is_some() {
        pauses.push(CredentialStop {
            by: None,
            by_operator: false,
            why: row.paused_why,
            until: row.paused_until,
        });
    }
    CredentialShown {
        id: row.id,
        tenant: row.tenant,
        provider: row.provider,
        name: row.name,
        secret: match (&row.sealed_under, &row.reference) {
            (Some(_), _) => "sealed",
            (None, Some(_)) => "reference",
            (None, None) => "none",
        }
        .to_owned(),
        reference: row.reference,
        sealed_under: row.sealed_under,
        endpoint_url: row.endpoint_url.filter(|_| owned),
        is_default: row.is_default,
        rate_limit_per_minute: row.rate_limit_per_minute,
        rate_limit_per_day: row.rate_limit_per_day,
        max_concurrent_jobs: row.max_concurrent_jobs,
        status: row.status,
        updated_at: row.updated_at,
        last_used_at: row.last_used_at,
        last_refused_at: row.last_refused_at,
        last_refused_why: row.last_refused_why,
        pauses,
    }
}
