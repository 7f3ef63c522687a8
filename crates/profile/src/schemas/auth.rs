//! A row of `provider_auth_profiles`: what each `auth_type` takes.

use super::{flag, list, object, text, whole, words};
use crate::check::auth_types;
use serde_json::{Value, json};

/// The schema of an auth profile. `config` may hold primitives of any name beside
/// the kind's own members: they are read as `config_<key>`.
pub(super) fn profile() -> Value {
    let limit = whole(0, u64::from(u32::MAX));
    let mut schema = object(
        &["profile_key", "auth_type"],
        json!({
            "profile_key": text(),
            "auth_type": described(words(&auth_types()), "how requests prove who we are"),
            "secret": { "type": "string", "pattern": "^(env:[A-Za-z0-9_]+|file:.+)$",
                "description": "where the secret is, never the secret itself", "examples": ["env:ACME_API_KEY", "file:/run/secrets/acme"] },
            "config": { "type": "object" }, "endpoint_url": text(), "is_default": flag(),
            "rate_limit_per_minute": limit, "rate_limit_per_day": limit, "max_concurrent_jobs": limit,
        }),
    );
    let kinds = auth_types().into_iter().map(|kind| {
        json!({
            "if": { "properties": { "auth_type": { "const": kind } }, "required": ["auth_type"] },
            "then": { "properties": { "config": config(kind) } },
        })
    });
    if let Some(members) = schema.as_object_mut() {
        members.insert("allOf".into(), kinds.collect());
    }
    schema
}

fn described(mut schema: Value, description: &str) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".into(), json!(description));
    }
    schema
}

/// What `config` of one kind holds, with an example.
fn config(kind: &str) -> Value {
    let (description, members, required, example) = match kind {
        "api_key" => (
            "the secret itself: `{{apiKey}}`, or `{{secret.<part>}}` of one with parts",
            json!({ "split": split(), "parts": parts() }),
            json!([]),
            json!({ "split": { "by": ".", "into": ["id", "key"] } }),
        ),
        "jwt_hs256" => jwt(),
        "oauth2_client_credentials" => (
            "a token for the parts `client_id` and `client_secret` (RFC 6749, section 4.4): `{{accessToken}}`",
            json!({
                "token_url": token_url(), "scopes": scopes(), "split": split(),
                "audience": { "type": "string", "description": "sent as `audience`, for endpoints that want one" },
                "client_auth": described(words(&["post", "basic"]), "where id and secret go: into the body, or into a `Basic` header"),
            }),
            json!(["token_url"]),
            json!({ "token_url": "https://auth.example.com/oauth2/token", "scopes": ["video.write"] }),
        ),
        "oauth2_service_account" => (
            "a token for an assertion that the secret, a key file, signs (RFC 7523): `{{accessToken}}`",
            json!({ "token_url": token_url(), "scopes": scopes() }),
            json!(["token_url"]),
            json!({ "token_url": "https://auth.example.com/token", "scopes": ["https://auth.example.com/scopes/all"] }),
        ),
        "google_adc" => (
            "a token for the machine's own identity: the file that GOOGLE_APPLICATION_CREDENTIALS names, the well-known file, or the metadata server; no secret: `{{accessToken}}`",
            json!({ "token_url": token_url(), "scopes": scopes() }),
            json!(["token_url"]),
            json!({ "token_url": "https://auth.example.com/token", "scopes": ["https://auth.example.com/scopes/all"] }),
        ),
        _ => return signature(kind),
    };
    json!({ "type": "object", "description": description, "properties": members, "required": required, "examples": [example] })
}

fn jwt() -> (&'static str, Value, Value, Value) {
    (
        "a token that we sign with HMAC-SHA256: `{{accessToken}}`",
        json!({
            "header": { "type": "object", "description": "`{\"alg\": \"HS256\", \"typ\": \"JWT\"}` when left out" },
            "claims": { "type": "object", "description": "a template over `secret.<part>`, `apiKey`, `config_<key>`, `jwt.now`, `jwt.nbf` and `jwt.exp`" },
            "key": { "type": "string", "description": "a template: the key, as text" },
            "unit": described(words(&["s", "ms"]), "of `jwt.now`, `jwt.nbf` and `jwt.exp`"),
            "lifetime_s": described(whole(1, 86_400), "from `jwt.now` to `jwt.exp`; 1800 when left out"),
            "skew_s": described(whole(0, 3_600), "from `jwt.nbf` to `jwt.now`; 5 when left out"),
            "split": split(), "parts": parts(),
        }),
        json!(["claims", "key"]),
        json!({
            "parts": ["access_key", "secret_key"],
            "claims": { "iss": "{{secret.access_key}}", "exp": "{{json jwt.exp}}", "nbf": "{{json jwt.nbf}}" },
            "key": "{{secret.secret_key}}",
        }),
    )
}

fn signature(kind: &str) -> Value {
    let required = match kind {
        "tc3_hmac_sha256" => json!(["service"]),
        _ => json!(["region", "service"]),
    };
    json!({
        "type": "object",
        "description": "a signature over the final bytes, with the parts `access_key` and `secret_key` of the secret (and `session_token`, if it has one)",
        "properties": {
            "region": { "type": "string", "description": "of the scope that is signed" },
            "service": { "type": "string", "description": "of the scope that is signed; not always the name in the host" },
            "split": split(),
        },
        "required": required,
        "examples": [{ "region": "us-east-1", "service": "s3" }],
    })
}

fn split() -> Value {
    described(
        object(
            &["by", "into"],
            json!({ "by": text(), "into": list(&text()) }),
        ),
        "makes named parts of a secret that is one text",
    )
}

fn parts() -> Value {
    described(
        list(&text()),
        "the names of the parts of a secret that is an object of texts",
    )
}

fn token_url() -> Value {
    json!({ "type": "string", "description": "where the token comes from; its host is the base URL's, or stands in `egress.credential_hosts`" })
}

fn scopes() -> Value {
    described(list(&text()), "asked for with a space between")
}
