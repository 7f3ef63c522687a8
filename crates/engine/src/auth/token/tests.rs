use super::*;
use crate::auth::keys;
use crate::egress::Allow;
use diag::ExposeSecret as _;

/// 2048 bits, made for this test alone.
const KEY: &str = include_str!("tests/key.pem");
const PUBLIC: &[u8] = include_bytes!("tests/key.pub.der");
const NOW: i64 = 1_700_000_000_000;

fn auth(auth_type: &str, config: Value) -> Auth {
    let bundle = json!({
        "language": 1,
        "provider": { "slug": "acme", "api_base_url": "https://auth.acme.ai/v1" },
        "auth_profiles": [{ "profile_key": "key", "auth_type": auth_type, "config": config }],
        "models": [{ "model_id": "m", "model_type": "chat", "is_default": true }],
        "profiles": [{
            "profile_key": "p", "purpose": "chat", "auth_profile": "key",
            "transport": { "path": "/chat", "body": { "model": "{{model}}" } },
        }],
    });
    let (_, compiled) = profile::bundle::check("acme", &bundle.to_string());
    let ask = profile::catalogue::Ask {
        purpose: "chat".into(),
        ..Default::default()
    };
    let chosen = profile::catalogue::choose(&compiled, &ask);
    let revision = chosen
        .unwrap_or_else(|found| panic!("{found}\n{}", compiled.diagnostics))
        .revision;
    drop(compiled);
    Arc::into_inner(revision).unwrap().auth.unwrap()
}

fn drawn(unix_ms: i64) -> Drawn {
    Drawn {
        unix_ms,
        seed: Uuid::nil(),
    }
}

fn policy() -> Arc<Policy> {
    let base = "https://auth.acme.ai/v1".parse().unwrap();
    Arc::new(Policy::new(
        &profile::revision::Egress::default(),
        &[base],
        Allow::default(),
    ))
}

fn places(policy: &Arc<Policy>) -> Places<'_> {
    Places {
        policy,
        metadata: None,
    }
}

fn source_of(auth: &Auth, secret: &Value) -> Result<Source, Fault> {
    let secret = Secret::from(secret.to_string());
    let keys = keys(auth, Some(&secret))?;
    source(auth, &keys, places(&policy()), drawn(NOW)).map(Option::unwrap)
}

fn asked(auth: &Auth, secret: &Value) -> (Request, Vec<(String, String)>) {
    let Source::Ask(request) = source_of(auth, secret).unwrap() else {
        panic!("nothing is asked")
    };
    let form = url::form_urlencoded::parse(request.body.as_ref().unwrap())
        .into_owned()
        .collect();
    (*request, form)
}

fn parts_of(token: &str) -> (Value, Value, Vec<u8>) {
    let parts: Vec<Vec<u8>> = token
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
        .collect();
    let json = |part: &[u8]| serde_json::from_slice(part).unwrap();
    (json(&parts[0]), json(&parts[1]), parts[2].clone())
}

fn made(config: Value, secret: &Value) -> Token {
    match source_of(&auth("jwt_hs256", config), secret).unwrap() {
        Source::Made(token) => token,
        Source::Ask(_) => panic!("a token is asked for"),
    }
}

#[test]
fn a_signed_token_says_what_the_row_says_and_verifies_with_its_key_alone() {
    let config = json!({
        "parts": ["access_key", "secret_key"],
        "claims": {"iss": "{{secret.access_key}}", "exp": "{{json jwt.exp}}", "nbf": "{{json jwt.nbf}}"},
        "key": "{{secret.secret_key}}",
    });
    let secret = json!({"access_key": "ak", "secret_key": "sk"});
    let token = made(config, &secret);
    assert_eq!(token.expires_at_ms, NOW + 1_800_000);
    let text = token.secret.expose_secret();
    let (header, claims, signature) = parts_of(text);
    assert_eq!(header, json!({"alg": "HS256", "typ": "JWT"}));
    assert_eq!(
        claims,
        json!({"iss": "ak", "exp": 1_700_001_800, "nbf": 1_699_999_995})
    );
    // Verified by another library than the one that signed.
    let signed = text.rsplit_once('.').unwrap().0;
    let verify = |key: &str| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes());
        ring::hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
    };
    assert!(verify("sk"));
    assert!(!verify("other"));
}

#[test]
fn a_signed_token_counts_in_the_unit_of_the_row() {
    let config = json!({
        "split": {"by": ".", "into": ["id", "key"]}, "unit": "ms", "lifetime_s": 60, "skew_s": 0,
        "header": {"alg": "HS256", "sign_type": "SIGN"},
        "claims": {"api_key": "{{secret.id}}", "timestamp": "{{json jwt.now}}", "exp": "{{json jwt.exp}}"},
        "key": "{{secret.key}}",
    });
    let auth = auth("jwt_hs256", config);
    let keys = keys(&auth, Some(&Secret::from("an-id.a-key".to_owned()))).unwrap();
    let Source::Made(token) = source(&auth, &keys, places(&policy()), drawn(NOW))
        .unwrap()
        .unwrap()
    else {
        panic!("a token is asked for")
    };
    let (header, claims, _) = parts_of(token.secret.expose_secret());
    assert_eq!(header.to_string(), r#"{"alg":"HS256","sign_type":"SIGN"}"#);
    assert_eq!(
        claims,
        json!({"api_key": "an-id", "timestamp": NOW, "exp": NOW + 60_000})
    );
}

#[test]
fn a_client_sends_its_id_and_secret_where_the_row_says() {
    let secret = json!({"client_id": "an id", "client_secret": "s&c"});
    let config =
        json!({"token_url": "https://auth.acme.ai/token", "scopes": ["a", "b"], "audience": "aud"});
    let (request, form) = asked(&auth("oauth2_client_credentials", config.clone()), &secret);
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(
        form,
        [
            pair("grant_type", "client_credentials"),
            pair("scope", "a b"),
            pair("audience", "aud"),
            pair("client_id", "an id"),
            pair("client_secret", "s&c"),
        ]
    );
    assert!(
        request.submit,
        "a token is asked for once, and follows no redirect"
    );
    let mut basic = config;
    basic["client_auth"] = json!("basic");
    let (request, form) = asked(&auth("oauth2_client_credentials", basic), &secret);
    assert_eq!(form.len(), 3);
    assert_eq!(
        request.header("authorization"),
        Some("Basic YW4raWQ6cyUyNmM=")
    );
}

#[test]
fn an_assertion_of_a_key_file_verifies_with_the_public_key() {
    let config = json!({"token_url": "https://auth.acme.ai/token", "scopes": ["s1", "s2"]});
    let file = json!({
        "type": "service_account", "client_email": "a@acme.ai", "private_key": KEY, "private_key_id": "k1",
    });
    for kind in ["oauth2_service_account", "google_adc"] {
        let (_, form) = asked(&auth(kind, config.clone()), &file);
        assert_eq!(form[0].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let (header, claims, signature) = parts_of(&form[1].1);
        assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        assert_eq!(
            claims,
            json!({
                "iss": "a@acme.ai", "scope": "s1 s2", "aud": "https://auth.acme.ai/token",
                "iat": 1_700_000_000, "exp": 1_700_003_600,
            })
        );
        let signed = form[1].1.rsplit_once('.').unwrap().0.as_bytes();
        let public = ring::signature::UnparsedPublicKey::new(
            &ring::signature::RSA_PKCS1_2048_8192_SHA256,
            PUBLIC,
        );
        public.verify(signed, &signature).unwrap();
        assert!(public.verify(&signed[1..], &signature).is_err());
    }
}

#[test]
fn the_machines_own_credentials_are_refreshed_or_asked_of_the_metadata_server() {
    let adc = auth(
        "google_adc",
        json!({"token_url": "https://auth.acme.ai/token", "scopes": ["s1"]}),
    );
    let user = json!({"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"});
    let (_, form) = asked(&adc, &user);
    assert_eq!(form[0].1, "refresh_token");
    assert_eq!(form[3], ("refresh_token".to_owned(), "r".to_owned()));
    let other = source_of(&adc, &json!({"type": "external_account"})).unwrap_err();
    assert!(other.message.contains("external_account"), "{other}");
    let keys = keys(&adc, None).unwrap();
    let Some(Source::Ask(request)) = source(&adc, &keys, places(&policy()), drawn(NOW)).unwrap()
    else {
        panic!("nothing is asked")
    };
    assert_eq!(
        request.url.path(),
        "/computeMetadata/v1/instance/service-accounts/default/token"
    );
    assert_eq!(request.header("metadata-flavor"), Some("Google"));
    assert!(request.submit && request.body.is_none());
    request.policy.check(&request.url, Author::Row).unwrap();
    let elsewhere = "http://169.254.169.1/".parse().unwrap();
    assert!(request.policy.check(&elsewhere, Author::Row).is_err());
}

#[test]
fn a_token_endpoint_where_credentials_may_not_go_is_not_asked() {
    // The row's check cannot see through `config_…`; the guard does.
    let config = json!({"token_url": "{{config_at}}", "at": "https://elsewhere.example/token"});
    let secret = json!({"client_id": "i", "client_secret": "s"});
    let refused = source_of(&auth("oauth2_client_credentials", config), &secret).unwrap_err();
    assert_eq!(refused.kind, Kind::EgressRefused);
}

#[test]
#[rustfmt::skip]
fn an_answer_is_a_token_or_a_refusal_of_its_class() {
    let cases = [
        (200, json!({"access_token": "t", "expires_in": 3600}),      Ok(NOW + 3_600_000)),
        (200, json!({"access_token": "t", "expires_in": "60"}),      Ok(NOW + 60_000)),
        (200, json!({"access_token": "t"}),                          Ok(NOW + 300_000)),
        (200, json!({"access_token": ""}),                           Err(Class::Transient)),
        (200, json!({"access_token": "a\r\nb"}),                     Err(Class::Transient)),
        (200, json!("no object"),                                    Err(Class::Transient)),
        (400, json!({"error": "invalid_grant"}),                     Err(Class::Authentication)),
        (400, json!({"error": "temporarily_unavailable"}),           Err(Class::Transient)),
        (401, json!({"error": "invalid_client"}),                    Err(Class::Authentication)),
        (403, Value::Null,                                           Err(Class::Authentication)),
        (429, Value::Null,                                           Err(Class::Transient)),
        (503, Value::Null,                                           Err(Class::Transient)),
    ];
    for (status, body, want) in cases {
        let received = Received { status, headers: Vec::new(), body: body.to_string().into(), trusted: true };
        let got = read(&received, NOW);
        let got = got.map(|token| token.expires_at_ms).map_err(|fault| fault.class().unwrap());
        assert_eq!(got, want, "{status} {body}");
    }
}

#[test]
fn a_refusal_shows_nothing_of_what_was_sent() {
    let body =
        json!({"error": "invalid_client", "error_description": "client_secret s3cret is wrong"});
    let received = Received {
        status: 401,
        headers: Vec::new(),
        body: body.to_string().into(),
        trusted: true,
    };
    let fault = read(&received, NOW).unwrap_err();
    assert_eq!(fault.code(), diag::Code::R134);
    assert!(fault.message.contains("invalid_client"));
    assert!(!format!("{fault:?}").contains("s3cret"));
}

#[test]
fn a_key_that_is_none_is_refused_without_being_shown() {
    let config = json!({"token_url": "https://auth.acme.ai/token"});
    for key in [
        "no-key-at-all",
        "-----BEGIN PRIVATE KEY-----\nbm9uZQ==\n-----END PRIVATE KEY-----\n",
    ] {
        let file = json!({"client_email": "a", "private_key": key});
        let fault = source_of(&auth("oauth2_service_account", config.clone()), &file).unwrap_err();
        assert_eq!(fault.kind, Kind::BadSecret);
        assert!(!format!("{fault:?}").contains("no-key"), "{fault:?}");
    }
}
