//! A provider's callback: what it says, and whether it is the provider's.
//!
//! It is never an answer. What it names and whether it is proved decide only
//! when we ask ourselves, with our own credential.

use crate::fault::{Fault, Kind};
use crate::request::Received;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use diag::{ExposeSecret as _, Secret};
use hmac::{Hmac, Mac as _};
use profile::lang::{Draws, Root, Scope, Seg};
use profile::revision::{Encoding, Signature, SignedBy, Verify, Webhook};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use uuid::Uuid;

mod address;
#[cfg(test)]
mod tests;

pub use address::{Hook, HookKey};

/// Bytes of a callback's body.
pub const BODY_MAX: usize = 256 * 1024;
/// Signatures in one header that are tried.
const SIGNATURES_MAX: usize = 16;
/// Keys of one set that are tried.
const KEYS_MAX: usize = 32;
/// Characters of a challenge that is given back.
const CHALLENGE_MAX: usize = 1_024;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// Names in lower case. Of a stored one, those that the profile reads.
    pub headers: Vec<(String, String)>,
    /// Its bytes, at most [`BODY_MAX`].
    pub body: Bytes,
}

/// What a signature came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It is the provider's.
    Proved,
    /// The profile asks for no proof, or its key cannot be had now.
    Unproved,
    /// It is not the provider's, or was kept too long.
    Forged,
}

/// What a signature is checked with. `Debug` shows no key.
#[derive(Clone)]
pub enum Key {
    /// The secret of an HMAC, as it is configured.
    Secret(Secret),
    /// The public keys of a set.
    Public(Vec<[u8; 32]>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Callback {
    /// As paths and conditions see it.
    #[must_use]
    pub fn read(&self) -> profile::lang::Answer {
        let received = Received {
            status: 200,
            headers: self.headers.clone(),
            body: self.body.clone(),
            trusted: false,
        };
        received.read()
    }

    /// The job that it names: none when the profile does not say where.
    #[must_use]
    pub fn job_id(&self, webhook: &Webhook) -> Option<String> {
        let answer = self.read();
        let id = webhook.job_id.as_ref()?.first_text(answer.view())?;
        crate::flow::is_id(&id).then_some(id)
    }

    /// What is to be given back because the address is being registered: the
    /// name that the profile's path ends with, and the value. A text or number
    /// of at most 1,024 characters; anything else is no challenge.
    #[must_use]
    pub fn challenge(&self, webhook: &Webhook) -> Option<(String, String)> {
        let path = webhook.challenge.as_ref()?;
        let answer = self.read();
        let value = path.first_text(answer.view())?;
        let short = !value.is_empty() && value.chars().count() <= CHALLENGE_MAX;
        let source = path.source();
        let name = source.rsplit('.').next().unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let name = match !name.is_empty() && name.chars().all(plain) {
            true => name,
            false => "challenge",
        };
        short.then(|| (name.to_owned(), value))
    }

    /// One text for the same callback: its body and the headers given, which are those that a profile reads. So a copy with
    /// another header beside them is the same, and one whose signature was changed is another. `about`: the job that it is
    /// about, for a hook of many runs.
    #[must_use]
    pub fn digest(&self, hook: Hook, about: Option<&str>) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut put = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        put(&hook.bytes());
        put(about.unwrap_or_default().as_bytes());
        put(&self.body);
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort_unstable();
        for (name, value) in headers {
            put(name.as_bytes());
            put(value.as_bytes());
        }
        hash.finalize().into()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(have, _)| have == name);
        let value = values.next()?;
        // Two of one name: what was signed is not clear.
        values.next().is_none().then_some(value.1.as_str())
    }
}

/// The headers of a callback that its proof and its paths read, in lower case. Others may hold secrets, and are not kept.
#[must_use]
pub fn headers_read(webhook: &Webhook) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Verify::Signed(signature) = &webhook.verify {
        names.insert(signature.header.clone());
        names.extend(signature.timestamp_header.clone());
        signature.signed.reads(&mut |read| {
            if let (Root::Header, Some(Seg::Key(name))) = (read.name.root, read.name.path.first()) {
                names.insert(name.to_string());
            }
        });
    }
    let mut see = |name: &str| {
        names.insert(name.to_owned());
    };
    let paths = webhook.job_id.iter().chain(&webhook.challenge);
    paths.for_each(|path| path.headers(&mut see));
    webhook.when.iter().for_each(|when| when.headers(&mut see));
    names
}

/// Checks a callback that came at `at_ms`, milliseconds since 1970. `key`: none when it cannot be had.
#[must_use]
pub fn proof(webhook: &Webhook, callback: &Callback, key: Option<&Key>, at_ms: i64) -> Proof {
    let Verify::Signed(signature) = &webhook.verify else {
        return Proof::Unproved;
    };
    // What can be seen without a key is judged without one.
    if !is_fresh(signature, callback, at_ms) {
        return Proof::Forged;
    }
    let (Some(signed), Some(header)) = (
        signed(signature, callback),
        callback.header(&signature.header),
    ) else {
        return Proof::Forged;
    };
    let Some(key) = key else {
        return Proof::Unproved;
    };
    let good = header
        .split_ascii_whitespace()
        .take(SIGNATURES_MAX)
        .filter_map(|one| bytes_of(signature, one))
        .any(|one| fits(&signature.by, key, signed.as_bytes(), &one));
    if good { Proof::Proved } else { Proof::Forged }
}

fn is_fresh(signature: &Signature, callback: &Callback, at_ms: i64) -> bool {
    let Some(name) = &signature.timestamp_header else {
        return true;
    };
    let stamp = callback
        .header(name)
        .and_then(|text| text.trim().parse::<i64>().ok());
    let tolerance = i64::try_from(signature.tolerance_s).unwrap_or(i64::MAX);
    stamp.is_some_and(|stamp| stamp.saturating_sub(at_ms / 1_000).saturating_abs() <= tolerance)
}

/// The text that is signed; none when a header of it is missing, or the body is no text.
fn signed(signature: &Signature, callback: &Callback) -> Option<String> {
    let body = std::str::from_utf8(&callback.body).ok()?;
    let mut headers = Map::new();
    for (name, _) in &callback.headers {
        if let Some(value) = callback.header(name) {
            headers.insert(name.clone(), json!(value));
        }
    }
    let digest = hex::encode(Sha256::digest(&callback.body));
    let mut scope = Scope::new(Draws::new(0, Uuid::nil()));
    scope.set(Root::Header, Value::Object(headers));
    scope.set(Root::Body, Value::String(body.to_owned()));
    scope.set(Root::BodySha256, Value::String(digest));
    signature.signed.eval_text(&scope).ok()?
}

fn bytes_of(signature: &Signature, text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix(signature.prefix.as_str())?;
    match signature.encoding {
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Hex => hex::decode(text).ok(),
    }
}

/// Whether these bytes are the signature. In constant time.
fn fits(by: &SignedBy, key: &Key, signed: &[u8], signature: &[u8]) -> bool {
    match (by, key) {
        (SignedBy::StandardWebhooks(_), Key::Secret(secret)) => {
            is_hmac(&standard_key(secret.expose_secret()), signed, signature)
        }
        (SignedBy::HmacSha256(_), Key::Secret(secret)) => {
            is_hmac(secret.expose_secret().as_bytes(), signed, signature)
        }
        (SignedBy::Ed25519Jwks(_), Key::Public(keys)) => keys.iter().any(|key| {
            UnparsedPublicKey::new(&ED25519, key)
                .verify(signed, signature)
                .is_ok()
        }),
        _ => false,
    }
}

/// The base64 after `whsec_`, else the text itself.
///
/// Source: the Standard Webhooks specification, "Signature scheme".
fn standard_key(secret: &str) -> Vec<u8> {
    let encoded = secret.strip_prefix("whsec_");
    let decoded = encoded.and_then(|text| STANDARD.decode(text).ok());
    decoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

fn is_hmac(key: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    // HMAC takes keys of any length but none.
    let Some(mut mac) = Hmac::<Sha256>::new_from_slice(key)
        .ok()
        .filter(|_| !key.is_empty())
    else {
        return false;
    };
    mac.update(signed);
    mac.verify_slice(signature).is_ok()
}

/// The Ed25519 keys of a JWK set, as it was fetched; others are passed over.
///
/// Source: RFC 7517, section 5; RFC 8037, section 2.
///
/// # Errors
///
/// [`Fault`] of kind `NotJson`: it is no set of keys, or has none of this kind.
pub fn public_keys(set: &[u8]) -> Result<Vec<[u8; 32]>, Fault> {
    let fault = || {
        Fault::new(
            Kind::NotJson,
            "the answer is no JWK set with an Ed25519 key",
        )
    };
    let set: Value = serde_json::from_slice(set).map_err(|_| fault())?;
    let keys = set
        .get("keys")
        .and_then(Value::as_array)
        .ok_or_else(fault)?;
    let key = |key: &Value| {
        let is = |name, want| key.get(name).and_then(Value::as_str) == Some(want);
        let text = key.get("x").and_then(Value::as_str);
        let text = text.filter(|_| is("kty", "OKP") && is("crv", "Ed25519"))?;
        URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .ok()?
            .try_into()
            .ok()
    };
    let keys: Vec<[u8; 32]> = keys.iter().take(KEYS_MAX).filter_map(key).collect();
    if keys.is_empty() {
        Err(fault())
    } else {
        Ok(keys)
    }
}
