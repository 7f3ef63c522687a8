//! A row of `provider_auth_profiles`: what each `auth_type` takes.

use super::build::{
    described, field, flag, free_object, list, named, object, open_object, or_null, text, usual,
    whole, words,
};
use crate::check::{auth_types, bounds};
use serde_json::{Value, json};

/// The schema of an auth profile. `config` may hold primitives of any name beside
/// the kind's own members: they are read as `config_<key>`.
pub(super) fn profile() -> Value {
    let limit = || whole(0, u64::from(u32::MAX));
    let secret = json!({ "type": "string", "pattern": "^(env:[A-Za-z0-9_]+|file:.+)$" });
    let members = json!({
        "profile_key": field(text(), "The name by which profiles and steps name it.", "acme_key"),
        "auth_type": field(words(auth_types()), "How requests prove who we are.", "api_key"),
        "secret": field(secret, "Where the secret is, never the secret itself: it makes the credential.", "env:ACME_API_KEY"),
        "config": field(free_object(), "What the kind needs, and primitives of your own, read as `config_<key>`.", json!({ "region": "eu-1" })),
        "endpoint_url": field(text(), "The credential's own base address, in place of the provider's.", "https://eu.api.acme.ai/v1"),
        "is_default": field(flag(), "The credential serves auth profiles that name none. Left out: false.", true),
        "rate_limit_per_minute": field(limit(), "Requests that the credential may make in a minute, over all workers.", 60),
        "rate_limit_per_day": field(limit(), "The same in a day.", 10_000),
        "max_concurrent_jobs": field(limit(), "Jobs that the credential may have in flight.", 3),
    });
    let mut schema = object(&["profile_key", "auth_type"], members);
    let kinds = auth_types().into_iter().map(|kind| {
        let (config, is_needed) = config(kind);
        let needed: &[&str] = if is_needed { &["config"] } else { &[] };
        json!({
            "if": { "properties": { "auth_type": { "const": kind } }, "required": ["auth_type"] },
            "then": { "properties": { "config": config }, "required": needed },
        })
    });
    if let Some(members) = schema.as_object_mut() {
        members.insert("allOf".into(), kinds.collect());
    }
    named("auth_profile", schema)
}

/// What `config` of one kind holds, and whether it must.
fn config(kind: &str) -> (Value, bool) {
    let (says, members, required): (_, _, &[&str]) = match kind {
        "api_key" => (
            "The secret itself: `{{apiKey}}`, or `{{secret.<part>}}` of one with parts.",
            json!({ "split": split(), "parts": parts() }),
            &[],
        ),
        "jwt_hs256" => (
            "A token that we sign with HMAC-SHA256: `{{accessToken}}`.",
            jwt(),
            &["claims", "key"],
        ),
        "oauth2_client_credentials" => (
            "A token for the parts `client_id` and `client_secret` (RFC 6749, section 4.4): `{{accessToken}}`.",
            json!({
                "token_url": token_url(), "scopes": scopes(), "split": split(),
                "audience": field(text(), "Sent as `audience`, for endpoints that want one.", "https://api.acme.ai"),
                "client_auth": field(words(["post", "basic"]), "Where id and secret go: into the body, or into a `Basic` header. Left out: `post`.", "basic"),
            }),
            &["token_url"],
        ),
        "oauth2_service_account" => (
            "A token for an assertion that the secret, a key file, signs (RFC 7523): `{{accessToken}}`.",
            json!({ "token_url": token_url(), "scopes": scopes() }),
            &["token_url"],
        ),
        "google_adc" => (
            "A token for the machine's own identity: the file that GOOGLE_APPLICATION_CREDENTIALS names, the well-known file, or the metadata server; no secret: `{{accessToken}}`.",
            json!({ "token_url": token_url(), "scopes": scopes() }),
            &["token_url"],
        ),
        _ => (
            "A signature over the final bytes, with the parts `access_key` and `secret_key` of the secret (and `session_token`, if it has one).",
            signature(),
            match kind {
                "tc3_hmac_sha256" => &["service"],
                _ => &["region", "service"],
            },
        ),
    };
    let schema = open_object(required, members);
    let is_needed = !required.is_empty();
    let schema = if is_needed { schema } else { or_null(schema) };
    let named = named(&format!("config_{kind}"), schema);
    (described(named, says), is_needed)
}

fn jwt() -> Value {
    json!({
        "header": field(free_object(), "Left out: `{\"alg\": \"HS256\", \"typ\": \"JWT\"}`.", json!({ "alg": "HS256", "typ": "JWT", "kid": "1" })),
        "claims": field(free_object(), "A template over `secret.<part>`, `apiKey`, `config_<key>`, `jwt.now`, `jwt.nbf` and `jwt.exp`.", json!({ "iss": "{{secret.access_key}}", "exp": "{{json jwt.exp}}" })),
        "key": field(text(), "A template: the key, as text.", "{{secret.secret_key}}"),
        "unit": field(words(["s", "ms"]), "Of `jwt.now`, `jwt.nbf` and `jwt.exp`. Left out: `s`.", "ms"),
        "lifetime_s": field(usual(bounds::LIFETIME_S), "Seconds from `jwt.now` to `jwt.exp`.", 1_800),
        "skew_s": field(usual(bounds::SKEW_S), "Seconds from `jwt.nbf` to `jwt.now`.", 5),
        "split": split(),
        "parts": parts(),
    })
}

fn signature() -> Value {
    json!({
        "region": field(text(), "Of the scope that is signed.", "us-east-1"),
        "service": field(text(), "Of the scope that is signed; not always the name in the host.", "s3"),
        "split": split(),
    })
}

fn split() -> Value {
    let members = json!({
        "by": field(text(), "What stands between the parts.", ":"),
        "into": field(list(&text()), "The names of the parts.", json!(["access_key", "secret_key"])),
    });
    described(
        named("split", object(&["by", "into"], members)),
        "Makes named parts of a secret that is one text.",
    )
}

fn parts() -> Value {
    field(
        list(&text()),
        "The names of the parts of a secret that is an object of texts.",
        json!(["access_key", "secret_key"]),
    )
}

fn token_url() -> Value {
    field(
        text(),
        "Where the token comes from; its host is the base URL's, or stands in `egress.credential_hosts`.",
        "https://api.acme.ai/oauth2/token",
    )
}

fn scopes() -> Value {
    field(
        list(&text()),
        "Asked for with a space between.",
        json!(["video.write"]),
    )
}
