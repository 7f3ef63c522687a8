//! Secrets that the database keeps: sealed, so that who reads the database alone reads nothing.
//!
//! AES-256-GCM (NIST SP 800-38D) under a random nonce. The envelope is `version 1 | length of the key's id | id | nonce of 12 bytes |
//! ciphertext | tag of 16 bytes`. Its head, the tenant and the credential are authenticated with it: a sealed secret opens in its own
//! row and in no other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diag::{Code, ExposeSecret as _, Secret};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::sync::Arc;
use store::credentials::Sealed;
use uuid::Uuid;

const VERSION: u8 = 1;
/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Characters of a key's id.
const ID_MAX: usize = 32;
/// Longest secret, in bytes: what an auth profile takes.
pub(crate) const SECRET_MAX: usize = 64 * 1024;
/// Separates what is sealed here from all else that a key may have sealed.
const DOMAIN: &[u8] = b"modelrow credential secret";

/// Keys that secrets are sealed under. The first one seals, all of them open: so a key is rotated. Cheap to clone.
#[derive(Clone, Default)]
pub struct SecretKeys(Arc<Vec<Key>>);

struct Key {
    id: String,
    key: LessSafeKey,
}

/// Shows the ids.
impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// A setting that gives no keys. Nothing of a key is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{from}: {why}")]
pub struct BadKeys {
    /// Where they were read.
    pub from: String,
    why: String,
}

impl BadKeys {
    /// Its page.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::S148
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        "write `id:base64` with 32 bytes in base64, several by commas or lines, the one that seals first; `modelrow credential new-key` makes one"
    }

    /// A file of keys that cannot be read.
    #[must_use]
    pub fn unreadable(from: impl Into<String>, error: &std::io::Error) -> Self {
        Self {
            from: from.into(),
            why: format!("it cannot be read: {error}"),
        }
    }

    /// The setting stands in two places.
    #[must_use]
    pub fn twice(from: impl Into<String>, other: &str) -> Self {
        Self {
            from: from.into(),
            why: format!("`{other}` is set too"),
        }
    }
}

/// Why a secret is not sealed or opened. Nothing of it is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is sealed under a key that this process does not have.
    #[error("the secret is sealed under the key `{id}`, which this process does not have")]
    UnknownKey {
        /// As the envelope says.
        id: String,
    },
    /// The key of that id is another one, or bytes were changed, or it was sealed for another row.
    #[error("the secret does not open with the key `{id}`")]
    DoesNotOpen {
        /// Of the key that was tried.
        id: String,
    },
    /// The envelope is not whole.
    #[error("the sealed secret is damaged")]
    Damaged,
    /// This process has no keys.
    #[error("there is no key to seal and open secrets with")]
    NoKey,
}

impl SealError {
    /// Its page.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownKey { .. } => Code::S144,
            Self::DoesNotOpen { .. } => Code::S145,
            Self::Damaged => Code::S146,
            Self::NoKey => Code::S147,
        }
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => {
                "add that key to `MODELROW_SECRET_KEY`, behind the others, or set the secret again"
            }
            Self::DoesNotOpen { .. } => {
                "give this process the key that it was sealed with, or set the secret again with `modelrow credential set`"
            }
            Self::Damaged => {
                "restore the row from a backup, or set the secret again with `modelrow credential set`"
            }
            Self::NoKey => {
                "make a key with `modelrow credential new-key`, keep it, and set `MODELROW_SECRET_KEY` or `MODELROW_SECRET_KEY_FILE` for every process"
            }
        }
    }

    /// Whether another process may have what this one lacks.
    pub(crate) fn is_ours_alone(&self) -> bool {
        matches!(self, Self::UnknownKey { .. } | Self::NoKey)
    }
}

/// The row that a secret is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) tenant: Uuid,
    pub(crate) credential: Uuid,
}

impl Owner {
    /// What is authenticated with the secret.
    fn aad(self, head: &[u8]) -> Aad<Vec<u8>> {
        let ids = [
            self.tenant.as_bytes().as_slice(),
            self.credential.as_bytes(),
        ];
        Aad::from([DOMAIN, head, ids.concat().as_slice()].concat())
    }
}

impl SecretKeys {
    /// Reads `id:base64`, several separated by commas or lines; empty ones are passed over. `from`: where it stands, for people.
    ///
    /// # Errors
    ///
    /// [`BadKeys`]: no key at all, or one that is none.
    pub fn parse(text: &Secret, from: &str) -> Result<Self, BadKeys> {
        let bad = |why: String| BadKeys {
            from: from.to_owned(),
            why,
        };
        let mut keys: Vec<Key> = Vec::new();
        let entries = text.expose_secret().split([',', '\n', '\r']).map(str::trim);
        for (n, entry) in (1..).zip(entries.filter(|entry| !entry.is_empty())) {
            let key = key(entry).map_err(|why| bad(format!("key {n} {why}")))?;
            if keys.iter().any(|have| have.id == key.id) {
                return Err(bad(format!("two keys are called `{}`", key.id)));
            }
            keys.push(key);
        }
        match keys.is_empty() {
            true => Err(bad("it has no key".into())),
            false => Ok(Self(Arc::new(keys))),
        }
    }

    /// A new key as a setting has it. Without an id it has a random one.
    ///
    /// # Errors
    ///
    /// [`BadKeys`]: the id is none, or the system gives no randomness.
    pub fn generate(id: Option<&str>) -> Result<Secret, BadKeys> {
        let bad = |why: &str| BadKeys {
            from: "the new key".into(),
            why: why.into(),
        };
        let mut bytes = [0; KEY_LEN + 3];
        let random = SystemRandom::new().fill(&mut bytes);
        random.map_err(|_| bad("the system gives no randomness"))?;
        let (name, key) = bytes.split_at(3);
        let id = id.map_or_else(|| format!("k{}", hex::encode(name)), str::to_owned);
        if !is_id(&id) {
            return Err(bad(BAD_ID));
        }
        Ok(Secret::from(format!("{id}:{}", STANDARD.encode(key))))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the key of this id is there.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id == id)
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.ids().next()
    }

    /// The ids of all keys; the first one's seals.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// Whether what is sealed under that key may be opened here.
    pub(crate) fn may_open(&self, id: &str) -> Result<(), SealError> {
        match self.0.iter().any(|key| key.id == id) {
            true => Ok(()),
            false if self.is_empty() => Err(SealError::NoKey),
            false => Err(SealError::UnknownKey { id: id.to_owned() }),
        }
    }

    /// Seals a secret for one row, under the first key.
    pub(crate) fn seal(&self, owner: Owner, secret: &Secret) -> Result<Sealed, SealError> {
        let Key { id, key } = self.0.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        let random = SystemRandom::new().fill(&mut nonce);
        random.map_err(|_| SealError::NoKey)?;
        let mut envelope = vec![VERSION, u8::try_from(id.len()).unwrap_or(u8::MAX)];
        envelope.extend_from_slice(id.as_bytes());
        let aad = owner.aad(&envelope);
        let mut text = secret.expose_secret().as_bytes().to_vec();
        let nonce_of = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce_of, aad, &mut text)
            .map_err(|_| SealError::Damaged)?;
        envelope.extend_from_slice(&nonce);
        envelope.append(&mut text);
        Ok(Sealed(envelope))
    }

    /// The same secret, sealed anew under the first key.
    pub(crate) fn reseal(&self, owner: Owner, sealed: &Sealed) -> Result<Sealed, SealError> {
        self.seal(owner, &self.open(owner, sealed)?)
    }

    /// Opens what was sealed for that row.
    pub(crate) fn open(&self, owner: Owner, sealed: &Sealed) -> Result<Secret, SealError> {
        let Envelope {
            head,
            id,
            nonce,
            text,
        } = envelope(&sealed.0).ok_or(SealError::Damaged)?;
        self.may_open(id)?;
        let found = self.0.iter().find(|key| key.id == id);
        let Key { key, .. } = found.ok_or(SealError::NoKey)?;
        let wrong = || SealError::DoesNotOpen { id: id.to_owned() };
        let mut text = text.to_vec();
        let length = key
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                owner.aad(head),
                &mut text,
            )
            .map_err(|_| wrong())?
            .len();
        text.truncate(length);
        String::from_utf8(text)
            .map(Secret::from)
            .map_err(|_| wrong())
    }
}

const BAD_ID: &str = "has an id that is not 1 to 32 letters, digits, `-` and `_`";

fn is_id(id: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(fine)
}

/// Reads `id:base64`. What is wrong repeats no more than the id, and that only when it is one.
fn key(entry: &str) -> Result<Key, String> {
    let (id, text) = entry.split_once(':').ok_or("is not `id:base64`")?;
    if !is_id(id) {
        return Err(BAD_ID.into());
    }
    let bytes = STANDARD
        .decode(text.trim())
        .map_err(|_| format!("(`{id}`) is no base64"))?;
    if bytes.len() != KEY_LEN {
        return Err(format!("(`{id}`) has {} bytes, not {KEY_LEN}", bytes.len()));
    }
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| "cannot be used")?;
    Ok(Key {
        id: id.to_owned(),
        key: LessSafeKey::new(key),
    })
}

struct Envelope<'a> {
    /// Version and id, as they are authenticated.
    head: &'a [u8],
    id: &'a str,
    nonce: [u8; NONCE_LEN],
    text: &'a [u8],
}

fn envelope(bytes: &[u8]) -> Option<Envelope<'_>> {
    let [VERSION, length, ..] = bytes else {
        return None;
    };
    let (head, rest) = bytes.split_at_checked(2 + usize::from(*length))?;
    let id = std::str::from_utf8(head.get(2..)?)
        .ok()
        .filter(|id| is_id(id))?;
    let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
    (text.len() > AES_256_GCM.tag_len()).then_some(Envelope {
        head,
        id,
        nonce: *nonce,
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner {
        tenant: Uuid::from_u128(1),
        credential: Uuid::from_u128(2),
    };

    fn keys(text: &str) -> SecretKeys {
        SecretKeys::parse(&Secret::from(text.to_owned()), "test").unwrap()
    }

    fn key_of(id: &str, byte: u8) -> String {
        format!("{id}:{}", STANDARD.encode([byte; 32]))
    }

    fn secret() -> Secret {
        Secret::from("sk-plain-text-1234".to_owned())
    }

    #[test]
    fn what_is_sealed_opens_in_its_own_row_only() {
        let keys = keys(&key_of("a", 1));
        let sealed = keys.seal(OWNER, &secret()).unwrap();
        let opened = keys.open(OWNER, &sealed).unwrap();
        assert_eq!(opened.expose_secret(), secret().expose_secret());
        let others = [
            Owner {
                tenant: Uuid::from_u128(9),
                ..OWNER
            },
            Owner {
                credential: Uuid::from_u128(9),
                ..OWNER
            },
        ];
        for owner in others {
            let refused = keys.open(owner, &sealed).unwrap_err();
            assert_eq!(refused.code(), Code::S145, "{owner:?}");
        }
        let text = String::from_utf8_lossy(&sealed.0).into_owned();
        assert!(!text.contains("plain"), "{text}");
        assert!(!format!("{keys:?} {sealed:?}").contains("plain"));
        // The same secret never looks the same.
        assert_ne!(keys.seal(OWNER, &secret()).unwrap(), sealed);
    }

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let old = keys(&key_of("old", 1));
        let both = keys(&format!("{},\n{}\n", key_of("new", 2), key_of("old", 1)));
        let sealed = old.seal(OWNER, &secret()).unwrap();
        assert!(both.open(OWNER, &sealed).is_ok());
        let again = both.seal(OWNER, &secret()).unwrap();
        assert_eq!(both.first(), Some("new"));
        assert_eq!(
            old.open(OWNER, &again).unwrap_err(),
            SealError::UnknownKey { id: "new".into() }
        );
        let none = SecretKeys::default();
        assert_eq!(none.open(OWNER, &sealed).unwrap_err().code(), Code::S147);
        assert_eq!(none.seal(OWNER, &secret()).unwrap_err(), SealError::NoKey);
        let other = keys(&key_of("old", 7));
        assert_eq!(other.open(OWNER, &sealed).unwrap_err().code(), Code::S145);
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let keys = keys(&format!("{},{}", key_of("a", 1), key_of("b", 1)));
        let sealed = keys.seal(OWNER, &secret()).unwrap();
        for at in 0..sealed.0.len() {
            let mut changed = sealed.clone();
            changed.0[at] ^= 1;
            let refused = keys.open(OWNER, &changed).unwrap_err();
            let codes = [Code::S144, Code::S145, Code::S146];
            assert!(codes.contains(&refused.code()), "byte {at}: {refused}");
            let cut = Sealed(sealed.0[..at].to_vec());
            assert!(keys.open(OWNER, &cut).is_err(), "cut at {at}");
        }
        // The id of another key with the same bytes does not do.
        let mut renamed = sealed.clone();
        renamed.0[2] = b'b';
        assert_eq!(
            keys.open(OWNER, &renamed).unwrap_err(),
            SealError::DoesNotOpen { id: "b".into() }
        );
        assert_eq!(
            keys.open(OWNER, &Sealed(Vec::new())).unwrap_err().code(),
            Code::S146
        );
    }

    #[test]
    #[rustfmt::skip]
    fn a_setting_that_gives_no_keys_is_refused_without_being_shown() {
        let good = key_of("a", 1);
        let cases = [
            ("",                                     "it has no key"),
            (" ,\n,",                                "it has no key"),
            ("c2VjcmV0c2VjcmV0",                     "key 1 is not `id:base64`"),
            ("a b:c2VjcmV0",                         "key 1 has an id that is not 1 to 32 letters, digits, `-` and `_`"),
            (&format!("{good},b:c2VjcmV0"),          "key 2 (`b`) has 6 bytes, not 32"),
            ("a:not/base64!",                        "key 1 (`a`) is no base64"),
            (&format!("{good}\n{good}"),             "two keys are called `a`"),
        ];
        for (text, why) in cases {
            let refused = SecretKeys::parse(&Secret::from(text.to_owned()), "MODELROW_SECRET_KEY").unwrap_err();
            assert_eq!(refused.to_string(), format!("MODELROW_SECRET_KEY: {why}"), "{text}");
            assert_eq!(refused.code(), Code::S148);
        }
    }

    #[test]
    fn a_new_key_is_one_and_no_two_are_alike() {
        let (one, other) = (
            SecretKeys::generate(None).unwrap(),
            SecretKeys::generate(None).unwrap(),
        );
        assert_ne!(one.expose_secret(), other.expose_secret());
        let named = SecretKeys::generate(Some("2026-11")).unwrap();
        assert_eq!(keys(named.expose_secret()).first(), Some("2026-11"));
        assert!(SecretKeys::generate(Some("a:b")).is_err());
    }
}
