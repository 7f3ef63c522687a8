//! Callbacks out, as Standard Webhooks has them: what a caller may ask for, secrets, signatures.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use crate::core::Core;
use crate::credentials::{Rotated, unopened};
use crate::error::RunError;
use crate::library::Modelrow;
use crate::sealed::{Owner, SealError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diag::{Code, Diagnostic, Diagnostics, ExposeSecret as _, Place, Secret};
use engine::egress::Policy;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use store::deliveries::WebhookSecret;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a caller may be told.
pub(crate) const EVENTS: [&str; 6] = [
    "run.succeeded",
    "run.failed",
    "run.canceled",
    "run.overdue",
    "run.reopened",
    PROGRESS,
];
/// On request only.
const PROGRESS: &str = "run.progress";
/// Secrets that are read at once.
const BATCH: i64 = 100;
/// Bytes of a new secret: the specification asks for 24 to 64.
const SECRET_LEN: usize = 32;
/// Before the base64 of a secret.
const PREFIX: &str = "whsec_";
/// Members of `callback`.
const MEMBERS: [&str; 2] = ["url", "events"];

/// A tenant's newest secret, for whoever verifies.
#[derive(Debug)]
pub struct WebhookSecretView {
    /// `whsec_…`
    pub secret: Secret,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When the one before it signs no more; absent: there is none.
    pub old_until: Option<OffsetDateTime>,
}

/// The same without the secret, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookSecretFacts {
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When the one before it signs no more; absent: there is none.
    #[serde(with = "time::serde::rfc3339::option")]
    pub old_until: Option<OffsetDateTime>,
}

impl WebhookSecretView {
    /// Without the secret.
    #[must_use]
    pub fn facts(&self) -> WebhookSecretFacts {
        WebhookSecretFacts {
            created_at: self.created_at,
            old_until: self.old_until,
        }
    }
}

impl Modelrow {
    /// Makes a new secret for a tenant's callbacks. The one before it signs beside it for `overlap`, so that receivers have
    /// time to change.
    ///
    /// # Errors
    ///
    /// [`RunError::Sealed`]: there is no key to seal it with (S147). [`RunError::NoSuchTenant`].
    pub async fn webhook_secret_rotate(
        &self,
        tenant: Uuid,
        overlap: Duration,
    ) -> Result<WebhookSecretView, RunError> {
        let core = self.core();
        let mut bytes = [0; SECRET_LEN];
        let random = SystemRandom::new().fill(&mut bytes);
        random.map_err(|_| SealError::NoKey)?;
        let secret = Secret::from(format!("{PREFIX}{}", STANDARD.encode(bytes)));
        let id = Uuid::now_v7();
        let keys = &core.options.secret_keys;
        let sealed = keys.seal(owner(tenant, id), &secret)?;
        if !core
            .store
            .webhook_secret_put(tenant, id, &sealed, overlap)
            .await?
        {
            let name = tenant.to_string();
            return Err(RunError::NoSuchTenant { name });
        }
        tracing::warn!(%tenant, "the tenant has a new webhook secret");
        self.webhook_secret(tenant).await
    }

    /// A tenant's newest secret.
    ///
    /// # Errors
    ///
    /// [`RunError::NoWebhookSecret`]; [`RunError::Sealed`]: it does not open here.
    pub async fn webhook_secret(&self, tenant: Uuid) -> Result<WebhookSecretView, RunError> {
        let core = self.core();
        let secrets = core.store.webhook_secrets(tenant).await?;
        let (current, old) = secrets.split_first().ok_or(RunError::NoWebhookSecret)?;
        let secret = opened(core, tenant, current)?;
        Ok(WebhookSecretView {
            secret,
            created_at: current.created_at,
            old_until: old.first().and_then(|old| old.expires_at),
        })
    }
}

/// Its own row, and no other's.
fn owner(tenant: Uuid, secret: Uuid) -> Owner {
    Owner {
        tenant,
        credential: secret,
    }
}

pub(crate) fn opened(
    core: &Core,
    tenant: Uuid,
    secret: &WebhookSecret,
) -> Result<Secret, SealError> {
    let keys = &core.options.secret_keys;
    keys.open(owner(tenant, secret.id), &secret.sealed)
}

/// Those that sign a tenant's callbacks now.
pub(crate) async fn secrets(core: &Core, tenant: Uuid) -> Result<Vec<Secret>, RunError> {
    let rows = core.store.webhook_secrets(tenant).await?;
    let opened: Result<_, SealError> = rows.iter().map(|row| opened(core, tenant, row)).collect();
    Ok(opened?)
}

/// Seals every secret anew that is not sealed under the first key; counted with what was sealed before.
pub(crate) async fn reseal(core: &Core, mut rotated: Rotated) -> Result<Rotated, RunError> {
    let keys = &core.options.secret_keys;
    let mut after = Uuid::nil();
    loop {
        let store = &core.store;
        let rows = store
            .webhook_secrets_sealed_under_others(&rotated.key, after, BATCH)
            .await?;
        let Some((_, last, _)) = rows.last() else {
            return Ok(rotated);
        };
        after = *last;
        for (tenant, id, sealed) in &rows {
            match keys.reseal(owner(*tenant, *id), sealed) {
                Ok(sealed) if store.webhook_secret_reseal(*id, &sealed).await? => {
                    rotated.sealed += 1
                }
                Ok(_) => rotated.changed += 1,
                Err(error) => {
                    let name = format!("of tenant {tenant}");
                    rotated.left.push(unopened("webhook secret", &name, &error));
                }
            }
        }
    }
}

/// Whether a recorded call asked to be told of its progress.
pub(crate) fn tells_progress(request: &Value) -> bool {
    let events = request
        .pointer("/callback/events")
        .and_then(Value::as_array);
    events.is_some_and(|events| events.iter().any(|event| event == PROGRESS))
}

/// A caller's `callback`, all findings at once. A tenant without a secret has nothing to sign with.
pub(crate) async fn check(core: &Core, tenant: Uuid, callback: &Value) -> Result<(), RunError> {
    let found = mistakes(callback, |address| {
        let given = Policy::given(address, core.options.allow);
        given.map(drop).map_err(|fault| fault.message)
    });
    if found.has_errors() {
        return Err(RunError::Refused(found));
    }
    match core.store.webhook_secrets(tenant).await?.is_empty() {
        true => Err(RunError::NoWebhookSecret),
        false => Ok(()),
    }
}

/// An address that callbacks may go to.
pub(crate) fn check_address(core: &Core, address: &str) -> Result<(), RunError> {
    let given = Policy::given(address, core.options.allow);
    given.map(drop).map_err(|fault| {
        let help = "give a public address with https";
        let found = Diagnostic::error(Code::C182, Place::pointer("/url"), fault.message, help);
        RunError::Refused(Diagnostics(vec![found]))
    })
}

fn mistakes(callback: &Value, address: impl Fn(&str) -> Result<(), String>) -> Diagnostics {
    let mut found = Diagnostics::new();
    let mut wrong = |pointer: &str, message: String, help: &str| {
        found.push(Diagnostic::error(
            Code::C182,
            Place::pointer(pointer),
            message,
            help,
        ));
    };
    let events = || format!("the events are {}", EVENTS.join(", "));
    let Value::Object(members) = callback else {
        wrong(
            "/callback",
            "the callback is no object".into(),
            "write {\"url\": \"https://…\"}",
        );
        return found;
    };
    for name in members
        .keys()
        .filter(|name| !MEMBERS.contains(&name.as_str()))
    {
        let message = format!("a callback has no member `{name}`");
        wrong("/callback", message, "a callback has `url` and `events`");
    }
    match members.get("url").and_then(Value::as_str).map(&address) {
        Some(Ok(())) => {}
        Some(Err(why)) => wrong("/callback/url", why, "give a public address with https"),
        None => wrong(
            "/callback/url",
            "the callback has no address".into(),
            "give a public address with https",
        ),
    }
    match members.get("events") {
        None | Some(Value::Null) => {}
        Some(Value::Array(items)) if (1..=EVENTS.len()).contains(&items.len()) => {
            for (i, item) in items.iter().enumerate() {
                if !item.as_str().is_some_and(|word| EVENTS.contains(&word)) {
                    wrong(
                        &format!("/callback/events/{i}"),
                        format!("{item} is no event"),
                        &events(),
                    );
                }
            }
        }
        Some(_) => wrong(
            "/callback/events",
            "the events are no list of events".into(),
            &events(),
        ),
    }
    found
}

/// `webhook-signature`: one for each secret, so that a receiver with the old or the new one is content.
///
/// `None`: a secret that is none of ours.
pub(crate) fn signatures(
    secrets: &[Secret],
    id: Uuid,
    timestamp: i64,
    body: &[u8],
) -> Option<String> {
    let sign = |secret: &Secret| {
        let key = secret.expose_secret().strip_prefix(PREFIX)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).ok()?);
        let mut signed = hmac::Context::with_key(&key);
        signed.update(format!("{id}.{timestamp}.").as_bytes());
        signed.update(body);
        Some(format!("v1,{}", STANDARD.encode(signed.sign())))
    };
    let all: Option<Vec<String>> = secrets.iter().map(sign).collect();
    all.map(|all| all.join(" ")).filter(|all| !all.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_signature_is_as_the_specification_computes_it() {
        // Computed with Python's hmac and base64 over `id.timestamp.body`.
        let secret = Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let id = Uuid::from_u128(1);
        let got = signatures(&[secret], id, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(got.as_deref(), Some(KNOWN));
    }

    /// See above.
    const KNOWN: &str = "v1,iCxWDzOB1td6pu5wFuJotaWTEKkcYodMae2NqIIaffg=";

    #[test]
    fn two_secrets_give_two_signatures_and_none_gives_nothing() {
        let secret = |byte: u8| Secret::from(format!("whsec_{}", STANDARD.encode([byte; 32])));
        let (old, new) = (secret(1), secret(2));
        let one = |secret: &Secret| {
            signatures(std::slice::from_ref(secret), Uuid::nil(), 1, b"x").unwrap()
        };
        let both = signatures(&[new.clone(), old.clone()], Uuid::nil(), 1, b"x").unwrap();
        assert_eq!(both, format!("{} {}", one(&new), one(&old)));
        assert_eq!(signatures(&[], Uuid::nil(), 1, b"x"), None);
        assert_eq!(
            signatures(&["whsec_###".to_owned().into()], Uuid::nil(), 1, b"x"),
            None
        );
    }

    #[test]
    #[rustfmt::skip]
    fn a_callback_is_checked_whole() {
        let cases = [
            (json!({"url": "https://ok"}),                                        vec![]),
            (json!({"url": "https://ok", "events": ["run.failed"]}),              vec![]),
            (json!({"url": "https://ok", "events": null}),                        vec![]),
            (json!("https://ok"),                                                 vec!["/callback"]),
            (json!({}),                                                           vec!["/callback/url"]),
            (json!({"url": "http://no", "events": []}),                           vec!["/callback/url", "/callback/events"]),
            (json!({"url": "https://ok", "events": ["run.failed", "run.gone"]}),  vec!["/callback/events/1"]),
            (json!({"url": "https://ok", "event": "run.failed"}),                 vec!["/callback"]),
        ];
        for (callback, want) in cases {
            let found = mistakes(&callback, |url| if url == "https://ok" { Ok(()) } else { Err("no".into()) });
            let got: Vec<&str> = found.iter().map(|one| one.place.pointer.as_str()).collect();
            assert_eq!(got, want, "{callback}");
            assert!(found.iter().all(|one| one.code == Code::C182));
        }
    }
}
