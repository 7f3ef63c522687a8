//! Who may call: API keys, tenants, roles, and the log of who changed what.
//!
//! A key is 256 random bits behind a prefix that searches for leaked secrets find. It is shown once; the database has its
//! keyed hash (HMAC-SHA-256, RFC 2104), by which it is looked up: how long a look-up takes says nothing of another key.

mod audit;
mod keys;
mod tenants;

pub use self::audit::{AuditEntry, AuditFilter, AuditPage};
pub(crate) use self::keys::KeyHash;
pub use self::keys::{ApiKeyView, KeyMade, KeyPage, NewKey};
pub use self::tenants::{TenantPage, TenantView};

use crate::error::RunError;
use crate::library::Modelrow;
use crate::list;
use diag::{ExposeSecret as _, Secret};
use serde::{Deserialize, Serialize};
use store::{SYSTEM_TENANT, Scope, StoreError};
use time::OffsetDateTime;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a key may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks at runs, files, models and usage.
    Viewer,
    /// Makes runs, too.
    Caller,
    /// Keys, rows and settings of its tenant, too. An admin of the system tenant is the operator.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Caller, Self::Admin];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Caller => "caller",
            Self::Admin => "admin",
        }
    }

    /// The role of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// Who calls, as the key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose key it is.
    pub tenant: Uuid,
    /// What it may do.
    pub role: Role,
    /// The key; absent: there are no keys here.
    pub api_key_id: Option<Uuid>,
    /// For the log of changes.
    pub actor: String,
    /// When it was seen that nothing is paused, and that the tenant has no limits; absent: something is, or nobody has looked.
    pub unhindered: Option<Instant>,
}

impl Principal {
    /// Whether it is an admin of the system tenant.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.role == Role::Admin && self.tenant == SYSTEM_TENANT
    }

    /// What it sees as an admin: its tenant, or everything.
    #[must_use]
    pub fn admin_scope(&self) -> Scope {
        match self.is_operator() {
            true => Scope::Operator,
            false => Scope::Tenant(self.tenant),
        }
    }
}

/// Why a text lets nobody in.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefused {
    /// It is no key, or nobody's.
    #[error("the API key is not known")]
    Unknown,
    /// Its time is over.
    #[error("the API key has expired")]
    Expired,
    /// It was revoked.
    #[error("the API key was revoked")]
    Revoked,
    /// Whose it is could not be asked.
    #[error("the database did not do its part")]
    Store(#[from] StoreError),
}

/// Which part of a list.
#[derive(Debug, Clone, Default)]
pub struct PageOf {
    /// `next` of the page before.
    pub after: Option<String>,
    /// On the page, at most 500; absent: 50.
    pub limit: Option<u16>,
}

impl Modelrow {
    /// Who holds a key, as the database said within the last 50 ms: a revoked key is refused from then on by the process that
    /// revoked it, and 50 ms later by every other.
    ///
    /// # Errors
    ///
    /// [`KeyRefused`].
    pub async fn authenticate(&self, key: &Secret) -> Result<Principal, KeyRefused> {
        let text = key.expose_secret();
        if !keys::is_key(text) {
            return Err(KeyRefused::Unknown);
        }
        let core = self.core();
        let held = core.store.api_key_holder(&core.key_hash.of(text)).await?;
        let held = held.ok_or(KeyRefused::Unknown)?;
        let role = Role::parse(&held.role).ok_or(KeyRefused::Unknown)?;
        match (held.revoked, held.expired) {
            (true, _) => Err(KeyRefused::Revoked),
            (_, true) => Err(KeyRefused::Expired),
            _ => Ok(Principal {
                tenant: held.tenant,
                role,
                api_key_id: Some(held.id),
                unhindered: held.unhindered.then_some(held.asked),
                actor: format!("{} {}", held.shown, held.name)
                    .trim_end()
                    .to_owned(),
            }),
        }
    }
}

fn bad(pointer: &'static str, why: &'static str, help: &'static str) -> RunError {
    RunError::BadNew { pointer, why, help }
}

type Asked = (usize, Option<(OffsetDateTime, Uuid)>);

fn asked(page: &PageOf) -> Result<Asked, RunError> {
    let after = list::after(page.after.as_deref())?;
    Ok((list::page_size(page.limit), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_those_before_it_may_and_an_admin_of_the_system_is_the_operator() {
        assert!(Role::Viewer < Role::Caller && Role::Caller < Role::Admin);
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            let of = |tenant| Principal {
                tenant,
                role,
                api_key_id: None,
                actor: String::new(),
                unhindered: None,
            };
            let other = Uuid::from_u128(9);
            assert_eq!(of(SYSTEM_TENANT).is_operator(), role == Role::Admin);
            assert_eq!(of(other).admin_scope(), Scope::Tenant(other));
        }
        assert_eq!(Role::parse("Admin"), None);
    }
}
