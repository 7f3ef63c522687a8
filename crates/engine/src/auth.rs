//! A credential's secret as the names that templates read.

use crate::fault::{Fault, Kind};
use diag::{ExposeSecret, Secret};
use profile::lang::Secrets;
use profile::revision::{Auth, AuthKind, Split};
use serde_json::Value;

/// Makes `apiKey` and `secret.<part>` of a secret: a text, or an object of
/// named parts as JSON. Without an auth profile nothing is made.
///
/// # Errors
///
/// [`Fault`] of kind `BadSecret`, which shows nothing of the secret.
pub fn secrets(auth: Option<&Auth>, secret: Option<&Secret>) -> Result<Secrets, Fault> {
    let Some(auth) = auth else {
        return Ok(Secrets::default());
    };
    let Some(secret) = secret else {
        return Err(bad("the credential has no secret"));
    };
    match auth.kind {
        AuthKind::ApiKey => api_key(secret.expose_secret(), auth.split.as_ref()),
    }
}

fn api_key(text: &str, split: Option<&Split>) -> Result<Secrets, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(bad("the secret is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(bad("the secret has a control character in it"));
    }
    let parts = match (named_parts(text)?, split) {
        (Some(parts), _) => {
            return Ok(Secrets {
                parts,
                ..Secrets::default()
            });
        }
        (None, Some(split)) => split_parts(text, split)?,
        (None, None) => Vec::new(),
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
    pub fn new(secrets: &'a Secrets, captured: Vec<&'a str>) -> Self {
        let own = [&secrets.api_key, &secrets.access_token]
            .into_iter()
            .flatten();
        let parts = secrets.parts.iter().map(|(_, secret)| secret);
        let mut all = captured;
        all.extend(own.chain(parts).map(ExposeSecret::expose_secret));
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

/// The same names, every value `***`: for a plan that people read.
#[must_use]
pub fn masked(secrets: &Secrets) -> Secrets {
    let mask = || Secret::from(diag::mask().to_owned());
    Secrets {
        api_key: secrets.api_key.as_ref().map(|_| mask()),
        access_token: secrets.access_token.as_ref().map(|_| mask()),
        parts: secrets
            .parts
            .iter()
            .map(|(name, _)| (name.clone(), mask()))
            .collect(),
    }
}

/// What an auth profile would give, every value `***`: for a plan without a credential.
#[must_use]
pub fn placeholders(auth: Option<&Auth>) -> Secrets {
    let Some(auth) = auth else {
        return Secrets::default();
    };
    let mask = || Secret::from(diag::mask().to_owned());
    let names = auth.split.iter().flat_map(|split| split.into.iter());
    Secrets {
        api_key: Some(mask()),
        access_token: None,
        parts: names.map(|name| (name.clone(), mask())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(split: Option<(&str, &[&str])>) -> Auth {
        Auth {
            profile_key: "acme_key".into(),
            kind: AuthKind::ApiKey,
            split: split.map(|(by, into)| Split {
                by: by.into(),
                into: into.iter().map(|name| (*name).into()).collect(),
            }),
        }
    }

    fn made(secret: &str, split: Option<(&str, &[&str])>) -> Result<Vec<(String, String)>, Fault> {
        let secret = Secret::from(secret.to_owned());
        let made = secrets(Some(&auth(split)), Some(&secret))?;
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
        assert_eq!(masked(&made).api_key.unwrap().expose_secret(), "***");
    }
}
