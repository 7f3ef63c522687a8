//! A provider for tests: rows, compiled as they are when they are saved.

use crate::auth::secrets;
use crate::egress::Allow;
use crate::flow::{Flow, RunIdentity, Setting, token};
use crate::media::{Media, Medium};
use crate::request::{Drawn, Received};
use bytes::Bytes;
use diag::Secret;
use profile::call::Call;
use profile::catalogue::{Ask, choose};
use profile::lang::merge;
use profile::revision::Revision;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// The key of every test: it must never be seen.
pub(crate) const KEY: &str = "hidden-key";

/// A job that is polled and then downloaded.
fn bundle() -> Value {
    json!({
        "language": 1,
        "provider": {
            "slug": "acme", "provider_family": "acme", "name": "Acme", "api_base_url": "https://api.acme.ai/v1",
            "conventions": {
                "headers": {"Authorization": "Bearer {{apiKey}}"},
                "errors": {"moderated": ["policy"], "billing": ["quota"], "overloaded": ["busy"], "transient": ["hiccup"]},
                "retry": {"max": 2, "backoff_ms": 1000, "max_backoff_ms": 20000}
            },
            "egress": {}
        },
        "auth_profiles": [{"profile_key": "acme_key", "auth_type": "api_key", "secret": "env:ACME_API_KEY", "config": {}}],
        "response_schemas": [],
        "prompt_templates": [],
        "models": [{"model_id": "a-1", "model_type": "video", "is_default": true, "capabilities": {
            "options": {"seconds": {"type": "int", "min": 4, "max": 12, "step": 4}, "place": {"type": "string"}},
            "inputs": {"reference": {"kind": "image", "max_count": 2}},
            "defaults": {"seconds": 4}
        }}],
        "profiles": [{
            "profile_key": "acme_video_v1", "purpose": "video", "model": null, "auth_profile": "acme_key",
            "transport": {"kind": "http_json", "path": "/jobs",
                "body": {"model": "{{model}}", "prompt": "{{userPrompt}}", "seconds": "{{params_seconds}}"}},
            "response_mapping": {"extract": {"job_id_path": "id"}},
            "workflow": {"type": "async_job", "steps": [
                {"name": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 2000, "deadline_ms": 60000, "max_job_life_ms": 600_000,
                 "states": {"running": ["running"], "succeeded": ["done"], "failed": ["failed"], "canceled": ["canceled"]}},
                {"name": "download", "path": "/jobs/{{job_id}}/file", "mode": "binary", "content_type": "video/mp4"}
            ]}
        }],
        "routing_rules": []
    })
}

/// The revision of the test's profile, with a merge patch over the profile and
/// one over the provider.
pub(crate) fn revision_of(profile: &Value, provider: &Value) -> Arc<Revision> {
    let mut bundle = bundle();
    merge(&mut bundle["profiles"][0], profile);
    merge(&mut bundle["provider"], provider);
    chosen(&bundle)
}

/// The same, proved by an access token in another way: a merge patch over the auth profile.
pub(crate) fn revision_proved_by(auth: &Value, profile: &Value) -> Arc<Revision> {
    let mut bundle = bundle();
    merge(&mut bundle["profiles"][0], profile);
    merge(&mut bundle["auth_profiles"][0], auth);
    bundle["provider"]["conventions"]["headers"] =
        json!({"Authorization": "Bearer {{accessToken}}"});
    chosen(&bundle)
}

fn chosen(bundle: &Value) -> Arc<Revision> {
    let (_, compiled) = profile::bundle::check("acme", &bundle.to_string());
    assert!(
        !compiled.diagnostics.has_errors(),
        "{}",
        compiled.diagnostics
    );
    let ask = Ask {
        purpose: "video".into(),
        ..Ask::default()
    };
    choose(&compiled, &ask)
        .unwrap_or_else(|found| panic!("{found}"))
        .revision
}

pub(crate) fn call(prompt: &str) -> Call {
    Call {
        prompt: Some(prompt.into()),
        ..Call::default()
    }
}

pub(crate) fn setting_of(revision: Arc<Revision>, call: &Call) -> Setting {
    setting_with(revision, call, KEY)
}

/// With another secret.
pub(crate) fn setting_with(revision: Arc<Revision>, call: &Call, secret: &str) -> Setting {
    let key = Secret::from(secret.to_owned());
    let media: Vec<Medium> = (0..2)
        .map(|i| Medium {
            bytes: Some(Bytes::from(format!("\u{89}PNG{i}"))),
            mime: Some("image/png".into()),
            ..Medium::default()
        })
        .collect();
    let run_id = Uuid::from_u128(7);
    let checked = revision
        .capabilities
        .check(call, &std::collections::BTreeMap::new());
    Setting {
        checked: Arc::new(checked.unwrap_or_else(|found| panic!("{found}"))),
        identity: RunIdentity {
            run_id,
            token: token(run_id, 1),
            callback_url: None,
        },
        secrets: Arc::new(secrets(revision.auth.as_ref(), Some(&key)).unwrap()),
        media: Arc::new(Media([("reference".to_owned(), media)].into())),
        endpoint: None,
        allow: Allow::default(),
        phase_ms: 0,
        revision,
    }
}

pub(crate) fn setting(profile: &Value) -> Setting {
    /// Property tests ask for the same revision again and again.
    static MADE: Mutex<Vec<(Value, Arc<Revision>)>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap();
    let known = made.iter().find(|(have, _)| have == profile);
    let revision = match known {
        Some((_, revision)) => Arc::clone(revision),
        None => {
            let revision = revision_of(profile, &json!({}));
            made.push((profile.clone(), Arc::clone(&revision)));
            revision
        }
    };
    setting_of(revision, &call("a cat"))
}

pub(crate) fn flow(profile: &Value) -> Flow {
    Flow::new(setting(profile))
}

pub(crate) fn drawn(unix_ms: i64) -> Drawn {
    Drawn {
        unix_ms,
        seed: Uuid::from_u128(9),
    }
}

/// An answer; a text is the body itself, null none.
pub(crate) fn answer(status: u16, body: &Value) -> Received {
    let bytes = match body {
        Value::Null => Bytes::new(),
        Value::String(text) => Bytes::from(text.clone()),
        body => Bytes::from(body.to_string()),
    };
    Received {
        status,
        headers: Vec::new(),
        body: bytes,
        trusted: true,
    }
}
