//! Who may call: API keys, tenants, roles, and the log of who changed what.
//!
//! A key is 256 random bits behind a prefix that searches for leaked secrets find. It is shown once; the database has its
//! keyed hash (HMAC-SHA-256, RFC 2104), by which it is looked up: how long a look-up takes says nothing of another key.

use crate::error::RunError;
use crate::library::Modelrow;
use crate::list;
use diag::{ExposeSecret as _, Secret};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::api_keys::{ApiKeyRow, NewApiKey};
use store::audit::AuditRow;
use store::tenants::TenantRow;
use store::{Rule, SYSTEM_TENANT, Scope, StoreError};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// How every key begins.
const PREFIX: &str = "mrk_";
/// Random bytes of a key; it is written in hexadecimal.
const KEY_LEN: usize = 32;
/// Characters of a key that are shown for people to tell it by: 32 of its bits.
const SHOWN: usize = PREFIX.len() + 8;
/// Characters of a key's name.
const NAME_MAX: usize = 100;
/// Who makes the first key.
const FIRST: &str = "first start";

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

/// What a key is to be.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Whose it is.
    pub tenant: Uuid,
    /// What it may do.
    pub role: Role,
    /// For people, at most 100 characters.
    pub name: String,
    /// Good until then; absent: until it is revoked.
    pub expires_at: Option<OffsetDateTime>,
}

/// A key that was just made: the only time that it is shown.
#[derive(Debug)]
pub struct KeyMade {
    /// The whole key.
    pub key: Secret,
    /// What stays to be seen of it.
    pub view: ApiKeyView,
}

/// A key, without itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiKeyView {
    /// The row.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    /// Its first characters.
    pub shown: String,
    /// For people.
    pub name: String,
    /// `admin`, `caller`, `viewer`.
    pub role: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// By whom.
    pub created_by: String,
    /// Good until then; absent: until it is revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// Not good since then.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
    /// Last used in the minute that began then, or the next.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
}

/// A page of keys, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<ApiKeyView>,
    /// For the next page; absent: this was the last.
    pub next: Option<String>,
}

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

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// The entry.
    pub id: Uuid,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Whose row it was; absent: nobody's alone.
    pub tenant: Option<Uuid>,
    /// Who made it: a key by its first characters, a person at the command line, a role of the database.
    pub actor: String,
    /// `api_key.create`, `credential.change`, `run.delete`, …
    pub action: String,
    /// `api_key/…`, `credential/provider/name`, …
    pub object: String,
    /// The row before, secrets never; absent: it was not there, or is not kept.
    pub before: Option<Value>,
    /// The row afterwards, secrets never.
    pub after: Option<Value>,
}

/// A page of changes, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditPage {
    /// The changes.
    pub entries: Vec<AuditEntry>,
    /// For the next page; absent: this was the last.
    pub next: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Clone, Default)]
pub struct PageOf {
    /// `next` of the page before.
    pub after: Option<String>,
    /// On the page, at most 500; absent: 50.
    pub limit: Option<u16>,
}

/// Which changes to list. What is absent asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only this action.
    pub action: Option<String>,
    /// Only this object.
    pub object: Option<String>,
    /// Which part.
    pub page: PageOf,
}

/// The key of the hashes.
pub(crate) struct KeyHash(hmac::Key);

impl KeyHash {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn of(&self, key: &str) -> Vec<u8> {
        hmac::sign(&self.0, key.as_bytes()).as_ref().to_vec()
    }
}

impl Modelrow {
    /// Who holds a key. It is asked of the database each time: a revoked key is refused from then on, by every process.
    ///
    /// # Errors
    ///
    /// [`KeyRefused`].
    pub async fn authenticate(&self, key: &Secret) -> Result<Principal, KeyRefused> {
        let text = key.expose_secret();
        if !is_key(text) {
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
                actor: format!("{} {}", held.shown, held.name)
                    .trim_end()
                    .to_owned(),
            }),
        }
    }

    /// Makes a key, as `by`.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchTenant`]: also of one that the scope does not see. [`RunError::BadNew`], [`RunError::Store`].
    pub async fn key_create(
        &self,
        scope: impl Into<Scope>,
        new: &NewKey,
        by: &str,
    ) -> Result<KeyMade, RunError> {
        if new.name.chars().count() > NAME_MAX || new.name.chars().any(char::is_control) {
            return Err(bad(
                "/name",
                "the name has more than 100 characters, or control characters",
                "shorten it",
            ));
        }
        if new.expires_at.is_some_and(|until| until <= self.now()) {
            return Err(bad(
                "/expires_at",
                "the time is over already",
                "give a later one, or none",
            ));
        }
        let core = self.core();
        let (key, row) = drawn(&core.key_hash, new)?;
        let added = core.store.api_key_add(scope, by, &row).await?;
        let added = added.ok_or_else(|| RunError::NoSuchTenant {
            name: new.tenant.to_string(),
        })?;
        tracing::info!(key = row.shown, by, "an API key was made");
        Ok(KeyMade {
            key,
            view: key_view(added),
        })
    }

    /// Makes the key of the first operator, unless there is a key already, or ever was.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn first_key(&self) -> Result<Option<Secret>, RunError> {
        let core = self.core();
        let new = NewKey {
            tenant: SYSTEM_TENANT,
            role: Role::Admin,
            name: FIRST.to_owned(),
            expires_at: None,
        };
        let (key, row) = drawn(&core.key_hash, &new)?;
        let made = core.store.api_key_add_first(FIRST, &row).await?;
        Ok(made.then_some(key))
    }

    /// Keys, newest first: of one tenant, or of all that the scope sees.
    ///
    /// # Errors
    ///
    /// [`RunError::BadCursor`], [`RunError::Store`].
    pub async fn keys(
        &self,
        scope: impl Into<Scope>,
        tenant: Option<Uuid>,
        page: &PageOf,
    ) -> Result<KeyPage, RunError> {
        let (limit, after) = asked(page)?;
        let store = &self.core().store;
        let rows = store
            .api_keys(scope, tenant, after, list::asked_for(limit))
            .await?;
        let (rows, next) = list::page(rows, limit, |row| (row.created_at, row.id));
        Ok(KeyPage {
            keys: rows.into_iter().map(key_view).collect(),
            next,
        })
    }

    /// Revokes a key, as `by`: it is refused from now on. One that was revoked stays as it is.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchKey`]: also of one that the scope does not see. [`RunError::Store`]: revoke again.
    pub async fn key_revoke(
        &self,
        scope: impl Into<Scope>,
        id: Uuid,
        by: &str,
    ) -> Result<ApiKeyView, RunError> {
        let revoked = self.core().store.api_key_revoke(scope, by, id).await?;
        let view = revoked.map(key_view).ok_or(RunError::NoSuchKey { id })?;
        tracing::info!(key = view.shown, by, "an API key was revoked");
        Ok(view)
    }

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
        match scope == Scope::Operator || scope == Scope::Tenant(tenant) {
            true => Ok(tenant),
            false => Err(RunError::NoSuchTenant {
                name: name.to_owned(),
            }),
        }
    }

    /// Who changed what, newest first.
    ///
    /// # Errors
    ///
    /// [`RunError::BadCursor`], [`RunError::Store`].
    pub async fn audit(
        &self,
        scope: impl Into<Scope>,
        filter: &AuditFilter,
    ) -> Result<AuditPage, RunError> {
        let (limit, after) = asked(&filter.page)?;
        let wanted = store::audit::AuditFilter {
            action: filter.action.clone(),
            object: filter.object.clone(),
            after,
            limit: list::asked_for(limit),
        };
        let rows = self.core().store.audit(scope, &wanted).await?;
        let (rows, next) = list::page(rows, limit, |row| (row.at, row.id));
        Ok(AuditPage {
            entries: rows.into_iter().map(entry).collect(),
            next,
        })
    }
}

/// Whether it is written as keys are; all else need not be looked up.
fn is_key(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == 2 * KEY_LEN
        && digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A key from the system's randomness, and its row.
fn drawn(hash: &KeyHash, new: &NewKey) -> Result<(Secret, NewApiKey), RunError> {
    let mut bytes = [0; KEY_LEN];
    let random = SystemRandom::new().fill(&mut bytes);
    random.map_err(|_| bad("", "the system gives no randomness", "try again"))?;
    let text = format!("{PREFIX}{}", hex::encode(bytes));
    let row = NewApiKey {
        id: Uuid::now_v7(),
        tenant: new.tenant,
        shown: text.chars().take(SHOWN).collect(),
        hash: hash.of(&text),
        role: new.role.as_str().to_owned(),
        name: new.name.trim().to_owned(),
        expires_at: new.expires_at,
    };
    Ok((Secret::from(text), row))
}

fn bad(pointer: &'static str, why: &'static str, help: &'static str) -> RunError {
    RunError::BadNew { pointer, why, help }
}

type Asked = (usize, Option<(OffsetDateTime, Uuid)>);

fn asked(page: &PageOf) -> Result<Asked, RunError> {
    let after = list::after(page.after.as_deref())?;
    Ok((list::page_size(page.limit), after))
}

fn key_view(row: ApiKeyRow) -> ApiKeyView {
    ApiKeyView {
        id: row.id,
        tenant: row.tenant,
        shown: row.shown,
        name: row.name,
        role: row.role,
        created_at: row.created_at,
        created_by: row.created_by,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        last_used_at: row.last_used_at,
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

fn entry(row: AuditRow) -> AuditEntry {
    AuditEntry {
        id: row.id,
        at: row.at,
        tenant: row.tenant,
        actor: row.actor,
        action: row.action,
        object: row.object,
        before: row.before,
        after: row.after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_key() -> NewKey {
        NewKey {
            tenant: SYSTEM_TENANT,
            role: Role::Caller,
            name: " backend ".into(),
            expires_at: None,
        }
    }

    #[test]
    fn a_key_has_256_random_bits_behind_its_prefix_and_its_row_has_a_keyed_hash() {
        let (hash, other) = (KeyHash::new(&[1; 32]), KeyHash::new(&[2; 32]));
        let (key, row) = drawn(&hash, &new_key()).unwrap();
        let text = key.expose_secret();
        assert!(is_key(text) && text.starts_with("mrk_") && text.len() == 68);
        assert_eq!(
            (row.shown.as_str(), row.name.as_str()),
            (&text[..12], "backend")
        );
        assert_eq!(row.hash, hash.of(text));
        assert_ne!(
            row.hash,
            other.of(text),
            "without the key of the hashes a hash says nothing"
        );
        assert!(!format!("{row:?} {key:?}").contains(&text[12..]));
        let (again, _) = drawn(&hash, &new_key()).unwrap();
        assert_ne!(again.expose_secret(), text);
    }

    #[test]
    fn only_what_is_written_as_a_key_is_looked_up() {
        let good = format!("mrk_{}", "0a".repeat(32));
        for (text, want) in [
            (good.as_str(), true),
            ("", false),
            ("mrk_", false),
            (&good[1..], false),
            (&good[..67], false),
            (&format!("{good}0"), false),
            (&good.replace("0a", "0A"), false),
            (&good.replace("0a", "zz"), false),
        ] {
            assert_eq!(is_key(text), want, "{text}");
        }
    }

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
            };
            let other = Uuid::from_u128(9);
            assert_eq!(of(SYSTEM_TENANT).is_operator(), role == Role::Admin);
            assert_eq!(of(other).admin_scope(), Scope::Tenant(other));
        }
        assert_eq!(Role::parse("Admin"), None);
    }
}
