//! Tenants: made, listed, found by name.

use super::{PageOf, asked, bad};
use crate::error::RunError;
use crate::library::Modelrow;
use crate::list;
use serde::Serialize;
use store::tenants::TenantRow;
use store::{Rule, Scope, StoreError};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TenantView {
    /// The row.
    pub id: Uuid,
    /// Its name.
    pub slug: String,
    /// Every tenant inherits its rows, and its admins are operators.
    pub is_system: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A page of tenants, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TenantPage {
    /// The tenants.
    pub tenants: Vec<TenantView>,
    /// For the next page; absent: this was the last.
    pub next: Option<String>,
}

impl Modelrow {
    /// Makes a tenant, as `by`.
    ///
    /// # Errors
    ///
    /// [`RunError::BadNew`]: the slug is taken, or is none; [`RunError::Store`].
    pub async fn tenant_create(&self, slug: &str, by: &str) -> Result<TenantView, RunError> {
        let made = self.core().store.tenant_add(by, Uuid::now_v7(), slug).await;
        match made {
            Ok(row) => Ok(tenant_view(row)),
            Err(StoreError::Broken(Rule::KeyTaken)) => Err(bad(
                "/slug",
                "there is a tenant of that name",
                "choose another one",
            )),
            Err(StoreError::Broken(rule @ Rule::SlugNotPlain)) => {
                Err(bad("/slug", rule.meaning(), rule.help()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tenants, newest first.
    ///
    /// # Errors
    ///
    /// [`RunError::BadCursor`], [`RunError::Store`].
    pub async fn tenants(
        &self,
        scope: impl Into<Scope>,
        page: &PageOf,
    ) -> Result<TenantPage, RunError> {
        let (limit, after) = asked(page)?;
        let store = &self.core().store;
        let rows = store.tenants(scope, after, list::asked_for(limit)).await?;
        let (rows, next) = list::page(rows, limit, |row| (row.created_at, row.id));
        Ok(TenantPage {
            tenants: rows.into_iter().map(tenant_view).collect(),
            next,
        })
    }

    /// The tenant of that slug or id, where the scope sees it.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchTenant`]: also of another tenant than the scope's. [`RunError::Store`].
    pub async fn tenant_seen(&self, scope: Scope, name: &str) -> Result<Uuid, RunError> {
        let tenant = self.tenant(name).await?;
        match scope.has(tenant) {
            true => Ok(tenant),
            false => Err(RunError::NoSuchTenant {
                name: name.to_owned(),
            }),
        }
    }
}

fn tenant_view(row: TenantRow) -> TenantView {
    TenantView {
        id: row.id,
        slug: row.slug,
        is_system: row.is_system,
        created_at: row.created_at,
    }
}
