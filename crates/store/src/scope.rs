//! Whose runs a call may see and touch.

use crate::{Store, StoreError};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

/// Whose runs a call may see and touch. A tenant's id is a scope by itself; all runs are an operator's, who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The runs of one tenant.
    Tenant(Uuid),
    /// Every tenant's.
    Operator,
}

impl Scope {
    /// Whether the tenant is one of its own: all are an operator's.
    #[must_use]
    pub fn has(self, tenant: Uuid) -> bool {
        self.tenant().is_none_or(|own| own == tenant)
    }

    /// The tenant, for statements that take one; absent: all.
    pub(crate) fn tenant(self) -> Option<Uuid> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Operator => None,
        }
    }
}

impl From<Uuid> for Scope {
    fn from(tenant: Uuid) -> Self {
        Self::Tenant(tenant)
    }
}

impl Store {
    /// A transaction that sees what the scope may see: row security holds a tenant to its own.
    pub(crate) async fn seen_by(
        &self,
        scope: Scope,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        match scope {
            Scope::Tenant(tenant) => self.as_tenant(tenant).await,
            Scope::Operator => Ok(self.pool.begin().await?),
        }
    }
}
