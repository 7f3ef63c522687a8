//! Our addresses for callbacks: one of each run, and one that stays the same
//! for whoever holds an account at a provider. Nothing is stored for them: the
//! token proves itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use sha2::Sha256;
use uuid::Uuid;

/// What stands in a segment of a path as it is (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Bytes of the proof in a token: 128 bits cannot be guessed.
const PROOF: usize = 16;

/// Whose address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Of this run alone: `callback_url`.
    Run(Uuid),
    /// Of the tenant whose credentials are used: its callbacks find their runs by the job they name.
    Tenant(Uuid),
}

impl Hook {
    /// Seventeen bytes: the kind, and the id.
    pub(super) fn bytes(self) -> [u8; 17] {
        let (kind, id) = match self {
            Self::Run(id) => (1, id),
            Self::Tenant(id) => (2, id),
        };
        let mut bytes = [kind; 17];
        for (byte, of) in bytes.iter_mut().skip(1).zip(id.as_bytes()) {
            *byte = *of;
        }
        bytes
    }
}

/// What makes and opens the tokens. `Debug` does not show it.
#[derive(Clone)]
pub struct HookKey(Vec<u8>);

impl std::fmt::Debug for HookKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookKey")
    }
}

impl HookKey {
    /// `bytes`: at least 16 of them, random.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The last two segments of an address: `{provider}/{token}`.
    #[must_use]
    pub fn path(&self, provider: &str, hook: Hook) -> String {
        let segment = percent_encoding::utf8_percent_encode(provider, SEGMENT);
        format!("{segment}/{}", self.token(provider, hook))
    }

    fn token(&self, provider: &str, hook: Hook) -> String {
        let mut bytes = hook.bytes().to_vec();
        let proof = self
            .mac(provider, hook)
            .map(|mac| mac.finalize().into_bytes());
        bytes.extend(proof.iter().flatten().take(PROOF));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whose address it is; none for a token that is not ours, or of another provider.
    #[must_use]
    pub fn open(&self, provider: &str, token: &str) -> Option<Hook> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (head, proof) = bytes.split_at_checked(17)?;
        let (kind, id) = head.split_first()?;
        let id = Uuid::from_slice(id).ok()?;
        let hook = match kind {
            1 => Hook::Run(id),
            2 => Hook::Tenant(id),
            _ => return None,
        };
        let whole = proof.len() == PROOF;
        let mac = self.mac(provider, hook).filter(|_| whole)?;
        mac.verify_truncated_left(proof).is_ok().then_some(hook)
    }

    fn mac(&self, provider: &str, hook: Hook) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(b"modelrow hook 1\0");
        mac.update(&hook.bytes());
        mac.update(provider.as_bytes());
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_for_its_own_provider_and_key_and_as_it_was_made() {
        let key = HookKey::new(vec![7; 32]);
        let id = Uuid::from_u128(9);
        for hook in [Hook::Run(id), Hook::Tenant(id)] {
            let path = key.path("acme", hook);
            let token = path.strip_prefix("acme/").unwrap();
            assert_eq!(key.open("acme", token), Some(hook));
            assert_eq!(key.open("other", token), None);
            assert_eq!(HookKey::new(vec![8; 32]).open("acme", token), None);
            for at in 0..token.len() {
                let other = if token.as_bytes()[at] == b'A' {
                    "B"
                } else {
                    "A"
                };
                let forged = format!("{}{other}{}", &token[..at], &token[at + 1..]);
                assert_eq!(key.open("acme", &forged), None, "{at}");
            }
            assert_eq!(key.open("acme", &token[..token.len() - 2]), None);
        }
        assert_ne!(
            key.path("acme", Hook::Run(id)),
            key.path("acme", Hook::Tenant(id))
        );
        for odd in ["", "x", "..", &"A".repeat(10_000)] {
            assert_eq!(key.open("acme", odd), None);
        }
    }
}
