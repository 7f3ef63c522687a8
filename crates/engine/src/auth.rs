//! What proves who we are: a credential's secret as the names that templates
//! read, its access token, and its signatures.

use crate::fault::{Fault, Kind};
use diag::{ExposeSecret, Secret};
use profile::lang::Secrets;
use profile::revision::{Auth, AuthKind, Revision, Split};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use token::Token;
use uuid::Uuid;

mod sign;
pub mod token;

pub use sign::Signer;

/// Longest secret, in bytes: a key file has about 2,500.
const SECRET_MAX: usize = 64 * 1024;

/// What one auth profile and its credential give.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// What templates read. `accessToken` is put in by [`Keyring::set_token`].
    pub secrets: Secrets,
    /// Signs the final bytes of a request.
    pub signer: Option<Arc<Signer>>,
    /// Until when the access token serves, milliseconds since 1970; [`LACKS`]
    /// before it was had. Absent: the kind gives none, or it is a stand-in.
    fresh_until_ms: Option<i64>,
    /// The credential that they were made of.
    credential: Uuid,
    fingerprint: Fingerprint,
}

/// The token was never had, and a mask stands in its place.
const LACKS: i64 = i64::MIN;

/// Tells one secret from another, in memory alone. `Debug` does not show it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// Names an access token among those of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenId {
    /// Whose it is.
    pub credential: Uuid,
    /// [`Auth::digest`]: what it was asked for.
    pub auth: [u8; 32],
}

impl Keys {
    /// Says which credential they were made of.
    #[must_use]
    pub fn of_credential(mut self, credential: Uuid) -> Self {
        self.credential = credential;
        self
    }

    /// The name of their token, and which secret it was had with.
    #[must_use]
    pub fn token_id(&self, auth: &Auth) -> (TokenId, Fingerprint) {
        let id = TokenId {
            credential: self.credential,
            auth: auth.digest,
        };
        (id, self.fingerprint)
    }

    pub(crate) fn fresh_until_ms(&self) -> Option<i64> {
        self.fresh_until_ms
    }

    /// A part of the secret.
    fn part(&self, name: &str) -> Option<&str> {
        let found = self.secrets.parts.iter().find(|(have, _)| have == name);
        found.map(|(_, part)| part.expose_secret())
    }

    fn needed(&self, name: &str) -> Result<&str, Fault> {
        self.part(name)
            .ok_or_else(|| bad(&format!("the secret has no part `{name}`")))
    }
}

/// The keys of a run: of its own auth profile, and of those that its steps name.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    own: Keys,
    steps: Vec<(String, Keys)>,
}

impl Keyring {
    /// With the keys of the run's own auth profile.
    #[must_use]
    pub fn new(own: Keys) -> Self {
        Self {
            own,
            steps: Vec::new(),
        }
    }

    /// Adds the keys of an auth profile that steps name.
    #[must_use]
    pub fn with_step(mut self, profile_key: &str, keys: Keys) -> Self {
        self.steps.push((profile_key.to_owned(), keys));
        self
    }

    /// The keys of a step: of the auth profile that it names, else the run's own.
    /// A name that is not there gives nothing, never the run's own.
    #[must_use]
    pub fn of(&self, auth: Option<&str>) -> Option<&Keys> {
        match auth {
            None => Some(&self.own),
            Some(key) => {
                let found = self.steps.iter().find(|(have, _)| have == key);
                found.map(|(_, keys)| keys)
            }
        }
    }

    /// Puts an access token in, for those that name the auth profile.
    pub fn set_token(&mut self, auth: Option<&str>, token: &Token) {
        if let Some(keys) = self.of_mut(auth) {
            keys.secrets.access_token = Some(token.secret.clone());
            keys.fresh_until_ms = Some(token.fresh_until_ms);
        }
    }

    /// Takes it out again: it was refused.
    pub fn forget_token(&mut self, auth: Option<&str>) {
        if let Some(keys) = self
            .of_mut(auth)
            .filter(|keys| keys.fresh_until_ms.is_some())
        {
            (keys.secrets.access_token, keys.fresh_until_ms) = (Some(masked()), Some(LACKS));
        }
    }

    /// Whether an access token must be had before what it proves is sent.
    #[must_use]
    pub fn lacks_token(&self, auth: Option<&str>, now_ms: i64) -> bool {
        let until = self.of(auth).and_then(Keys::fresh_until_ms);
        until.is_some_and(|until| until <= now_ms)
    }

    fn of_mut(&mut self, auth: Option<&str>) -> Option<&mut Keys> {
        let Some(key) = auth else {
            return Some(&mut self.own);
        };
        let found = self.steps.iter_mut().find(|(have, _)| have == key);
        found.map(|(_, keys)| keys)
    }

    fn all(&self) -> impl Iterator<Item = &Keys> {
        std::iter::once(&self.own).chain(self.steps.iter().map(|(_, keys)| keys))
    }
}

/// The keyring of a run whose steps name no other auth profile.
///
/// # Errors
///
/// As [`keys`].
pub fn secrets(auth: Option<&Auth>, secret: Option<&Secret>) -> Result<Keyring, Fault> {
    let own = match auth {
        Some(auth) => keys(auth, secret)?,
        None => Keys::default(),
    };
    Ok(Keyring::new(own))
}

/// Makes `apiKey` and `secret.<part>` of a secret, a text or an object of named
/// parts as JSON, and what signs with them.
///
/// # Errors
///
/// [`Fault`] of kind `BadSecret`, which shows nothing of the secret.
pub fn keys(auth: &Auth, secret: Option<&Secret>) -> Result<Keys, Fault> {
    let from_machine = matches!(auth.kind, AuthKind::ApplicationDefault(_));
    let mut secrets = match secret {
        Some(secret) => api_key(secret.expose_secret(), auth.split.as_ref())?,
        // The metadata server needs none.
        None if from_machine => Secrets::default(),
        None => return Err(bad("the credential has no secret")),
    };
    let signer = match &auth.kind {
        AuthKind::Signature(how) => Some(Arc::new(Signer::new(how, &secrets.parts)?)),
        _ => None,
    };
    for part in needed_parts(&auth.kind) {
        if !secrets.parts.iter().any(|(have, _)| have == part) {
            return Err(bad(&format!("the secret has no part `{part}`")));
        }
    }
    let gives_token = auth.kind.gives_token();
    secrets.access_token = gives_token.then(masked);
    let text = secret.map_or("", |secret| secret.expose_secret());
    Ok(Keys {
        secrets,
        signer,
        fresh_until_ms: gives_token.then_some(LACKS),
        credential: Uuid::nil(),
        fingerprint: Fingerprint(Sha256::digest(text).into()),
    })
}

fn masked() -> Secret {
    Secret::from(diag::mask().to_owned())
}

fn needed_parts(kind: &AuthKind) -> &'static [&'static str] {
    match kind {
        AuthKind::ClientCredentials(_) => &["client_id", "client_secret"],
        AuthKind::ServiceAccount(_) => &["client_email", "private_key"],
        AuthKind::Signature(_) => &["access_key", "secret_key"],
        AuthKind::ApiKey | AuthKind::JwtHs256(_) | AuthKind::ApplicationDefault(_) => &[],
    }
}

fn api_key(text: &str, split: Option<&Split>) -> Result<Secrets, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(bad("the secret is empty"));
    }
    if text.len() > SECRET_MAX {
        return Err(bad("the secret is longer than 64 KiB"));
    }
    if let Some(parts) = named_parts(text)? {
        return Ok(Secrets {
            parts,
            ..Secrets::default()
        });
    }
    if text.chars().any(char::is_control) {
        return Err(bad("the secret has a control character in it"));
    }
    let parts = match split {
        Some(split) => split_parts(text, split)?,
        None => Vec::new(),
    };
    Ok(Secrets {
        api_key: Some(Secret::from(text.to_owned())),
        parts,
        ..Secrets::default()
    })
}

/// The members of a secret that is a JSON object of texts.
fn named_parts(text: &str) -> Result<Option<Vec<(String, Secret)>>, Fault> {
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(text) else {
        return Ok(None);
    };
    let part = |(name, value)| match value {
        Value::String(text) => Ok((name, Secret::from(text))),
        _ => Err(bad(&format!("part `{name}` of the secret is not a text"))),
    };
    members
        .into_iter()
        .map(part)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn split_parts(text: &str, split: &Split) -> Result<Vec<(String, Secret)>, Fault> {
    let pieces: Vec<&str> = text
        .splitn(split.into.len().max(1), split.by.as_str())
        .collect();
    if pieces.len() != split.into.len() || pieces.iter().any(|piece| piece.is_empty()) {
        let names = split.into.join("`, `");
        return Err(bad(&format!(
            "the secret does not split by `{}` into `{names}`",
            split.by
        )));
    }
    let parts = split.into.iter().cloned().zip(pieces);
    Ok(parts
        .map(|(name, piece)| (name, Secret::from(piece.to_owned())))
        .collect())
}

fn bad(message: &str) -> Fault {
    Fault::new(Kind::BadSecret, message)
}

/// All that no text for people may have in it.
#[derive(Clone)]
pub struct Hidden<'a>(Vec<&'a str>);

impl std::fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

impl<'a> Hidden<'a> {
    /// The credential's secrets, and the captures that are declared secret.
    #[must_use]
    pub fn new(keyring: &'a Keyring, captured: Vec<&'a str>) -> Self {
        let mut all = captured;
        for Keys { secrets, .. } in keyring.all() {
            let own = [&secrets.api_key, &secrets.access_token];
            let own = own.into_iter().flatten();
            let parts = secrets.parts.iter().map(|(_, secret)| secret);
            all.extend(own.chain(parts).map(ExposeSecret::expose_secret));
        }
        all.retain(|secret| !secret.is_empty());
        // One that has another in it goes first, so that nothing of it is left.
        all.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(all)
    }

    /// The text with a mask in place of each of them.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in &self.0 {
            if clean.contains(secret) {
                clean = clean.replace(secret, diag::mask());
            }
        }
        clean
    }
}

/// What the auth profiles of a revision would give, every value `***`, those of a
/// step's own auth profile with its key behind: for a plan and for recorded cases,
/// which need no credential.
#[must_use]
pub fn placeholders(revision: &Revision) -> Keyring {
    let own = revision.auth.as_ref();
    let own = own.map(|auth| placeholder(auth, "")).unwrap_or_default();
    let steps = revision.step_auths.iter();
    Keyring {
        own,
        steps: steps
            .map(|auth| {
                (
                    auth.profile_key.clone(),
                    placeholder(auth, &auth.profile_key),
                )
            })
            .collect(),
    }
}

/// `whose`: stands behind the mask.
fn placeholder(auth: &Auth, whose: &str) -> Keys {
    let masked = || Secret::from(format!("{}{whose}", diag::mask()));
    let parts: Vec<_> = auth
        .parts
        .iter()
        .map(|name| (name.clone(), masked()))
        .collect();
    let signer = match &auth.kind {
        AuthKind::Signature(how) => Signer::new(how, &parts).ok().map(Arc::new),
        _ => None,
    };
    Keys {
        secrets: Secrets {
            api_key: Some(masked()),
            access_token: auth.kind.gives_token().then(masked),
            parts,
        },
        signer,
        ..Keys::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(split: Option<(&str, &[&str])>) -> Auth {
        Auth {
            profile_key: "acme_key".into(),
            kind: AuthKind::ApiKey,
            parts: Vec::new(),
            config: Value::Null,
            digest: [0; 32],
            split: split.map(|(by, into)| Split {
                by: by.into(),
                into: into.iter().map(|name| (*name).into()).collect(),
            }),
        }
    }

    fn made(secret: &str, split: Option<(&str, &[&str])>) -> Result<Vec<(String, String)>, Fault> {
        let secret = Secret::from(secret.to_owned());
        let made = keys(&auth(split), Some(&secret))?.secrets;
        let key = made.api_key.iter().map(|key| ("apiKey".to_owned(), key));
        let parts = made.parts.iter().map(|(name, part)| (name.clone(), part));
        Ok(key
            .chain(parts)
            .map(|(name, text)| (name, text.expose_secret().to_owned()))
            .collect())
    }

    #[test]
    fn a_secret_gives_its_key_and_its_parts() {
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(made(" sk-1\n", None).unwrap(), [pair("apiKey", "sk-1")]);
        let split = made("a.b.c", Some((".", &["id", "key"]))).unwrap();
        assert_eq!(
            split,
            [pair("apiKey", "a.b.c"), pair("id", "a"), pair("key", "b.c")]
        );
        let named = made(r#"{"id":"x","key":"y"}"#, None).unwrap();
        assert_eq!(named, [pair("id", "x"), pair("key", "y")]);
    }

    #[test]
    fn a_secret_that_does_not_fit_is_refused_without_being_shown() {
        let cases = [
            ("", None),
            ("hidden\nvalue", None),
            ("hidden", Some((".", &["id", "key"][..]))),
            (r#"{"hidden":1}"#, None),
        ];
        for (secret, split) in cases {
            let fault = made(secret, split).unwrap_err();
            assert_eq!(fault.kind, Kind::BadSecret);
            assert!(!format!("{fault:?}").contains("hidden\n"), "{fault:?}");
            assert!(!format!("{fault:?}").contains("value"), "{fault:?}");
        }
    }

    #[test]
    fn a_secret_in_a_providers_message_is_masked() {
        let made = secrets(Some(&auth(None)), Some(&Secret::from("sk-1234".to_owned()))).unwrap();
        let hidden = Hidden::new(&made, vec!["1234", "", "up-sk-1234"]);
        assert_eq!(
            hidden.scrub("bad key sk-1234! 12345 up-sk-1234."),
            "bad key ***! ***5 ***."
        );
        assert!(!format!("{hidden:?}").contains("1234"));
    }
}
