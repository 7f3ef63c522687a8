//! API keys: made, shown once, listed, revoked.

use super::{PageOf, Role, asked, bad};
use crate::error::RunError;
use crate::library::Modelrow;
use crate::list;
use diag::Secret;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use store::api_keys::{ApiKeyRow, NewApiKey};
use store::{SYSTEM_TENANT, Scope};
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

/// The key of the hashes.
pub(crate) struct KeyHash(hmac::Key);

impl KeyHash {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    pub(super) fn of(&self, key: &str) -> Vec<u8> {
        hmac::sign(&self.0, key.as_bytes()).as_ref().to_vec()
    }
}

impl Modelrow {
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
}

/// Whether it is written as keys are; all else need not be looked up.
pub(super) fn is_key(text: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use diag::ExposeSecret as _;

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
}
