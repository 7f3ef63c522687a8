//! Signatures against examples of their specifications, and everything that must not pass.

use super::*;
use crate::testing::revision_of;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::sync::Arc;

fn webhook(value: Value) -> Arc<profile::revision::Revision> {
    let provider = json!({"egress": {"hosts": ["keys.acme.ai"]}});
    revision_of(&json!({"workflow": {"webhook": value}}), &provider)
}

fn callback(body: &str, headers: &[(&str, &str)]) -> Callback {
    Callback {
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        body: Bytes::from(body.to_owned()),
    }
}

fn secret(text: &str) -> Key {
    Key::Secret(Secret::from(text.to_owned()))
}

/// The example of the Standard Webhooks libraries.
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &str = r#"{"test": 2432232314}"#;
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: &str = "1614265330";
const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const AT_MS: i64 = 1_614_265_330_000;

#[test]
#[rustfmt::skip]
fn a_standard_webhook_is_the_providers_only_as_it_was_signed() {
    let revision = webhook(json!({"verify": {"kind": "standard_webhooks", "secret": "env:HOOK"}}));
    let hook = revision.webhook.as_ref().unwrap();
    let of = |id: &str, at: &str, signature: &str, body: &str| {
        callback(body, &[("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature)])
    };
    let two = format!("v1,AAAA {SIGNED}");
    let cases = [
        ("as it came",              of(ID, AT, SIGNED, BODY),               AT_MS,             Proof::Proved),
        ("one of two signatures",   of(ID, AT, &two, BODY),                 AT_MS,             Proof::Proved),
        ("late, within tolerance",  of(ID, AT, SIGNED, BODY),               AT_MS + 300_000,   Proof::Proved),
        ("replayed too late",       of(ID, AT, SIGNED, BODY),               AT_MS + 301_000,   Proof::Forged),
        ("from the future",         of(ID, AT, SIGNED, BODY),               AT_MS - 301_000,   Proof::Forged),
        ("another body",            of(ID, AT, SIGNED, "{}"),               AT_MS,             Proof::Forged),
        ("another id",              of("msg_x", AT, SIGNED, BODY),          AT_MS,             Proof::Forged),
        ("another time",            of(ID, "1614265331", SIGNED, BODY),     AT_MS,             Proof::Forged),
        ("a time that is none",     of(ID, "now", SIGNED, BODY),            AT_MS,             Proof::Forged),
        ("without its prefix",      of(ID, AT, &SIGNED[3..], BODY),         AT_MS,             Proof::Forged),
        ("another version",         of(ID, AT, &SIGNED.replace("v1", "v2"), BODY), AT_MS,      Proof::Forged),
        ("cut short",               of(ID, AT, "v1,g0hM9SsE", BODY),        AT_MS,             Proof::Forged),
        ("empty",                   of(ID, AT, "v1,", BODY),                AT_MS,             Proof::Forged),
        ("no signature",            callback(BODY, &[("webhook-id", ID), ("webhook-timestamp", AT)]), AT_MS, Proof::Forged),
        ("no id",                   callback(BODY, &[("webhook-timestamp", AT), ("webhook-signature", SIGNED)]), AT_MS, Proof::Forged),
        ("two ids",                 callback(BODY, &[("webhook-id", ID), ("webhook-id", ID), ("webhook-timestamp", AT), ("webhook-signature", SIGNED)]), AT_MS, Proof::Forged),
    ];
    for (why, callback, at_ms, want) in cases {
        assert_eq!(proof(hook, &callback, Some(&secret(WHSEC)), at_ms), want, "{why}");
    }
    let good = of(ID, AT, SIGNED, BODY);
    for (key, want) in [(None, Proof::Unproved), (Some(secret("whsec_AAAA")), Proof::Forged), (Some(secret("")), Proof::Forged)] {
        assert_eq!(proof(hook, &good, key.as_ref(), AT_MS), want);
    }
    assert_eq!(
        headers_read(hook).into_iter().collect::<Vec<_>>(),
        ["webhook-id", "webhook-signature", "webhook-timestamp"]
    );
}

#[test]
fn an_hmac_is_over_what_the_row_says_in_its_encoding_and_after_its_prefix() {
    // RFC 4231, test case 2.
    let (key, body) = ("Jefe", "what do ya want for nothing?");
    let mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let revision = webhook(
        json!({"verify": {"kind": "hmac_sha256", "secret": "env:HOOK", "header": "X-Signature", "prefix": "sha256="}}),
    );
    let hook = revision.webhook.as_ref().unwrap();
    let check = |signature: &str, body: &str| {
        proof(
            hook,
            &callback(body, &[("x-signature", signature)]),
            Some(&secret(key)),
            0,
        )
    };
    assert_eq!(check(&format!("sha256={mac}"), body), Proof::Proved);
    assert_eq!(
        check(&format!("sha256={}", mac.to_uppercase()), body),
        Proof::Proved
    );
    for forged in [
        mac,
        &format!("sha256={}", &mac[..62]),
        &format!("sha256={mac}0"),
        "sha256=+1",
    ] {
        assert_eq!(check(forged, body), Proof::Forged, "{forged}");
    }
    assert_eq!(
        check(&format!("sha256={mac}"), "what do ya want"),
        Proof::Forged
    );
    let binary = Callback {
        headers: vec![("x-signature".into(), format!("sha256={mac}"))],
        body: Bytes::from_static(&[0xff, 0xfe]),
    };
    assert_eq!(proof(hook, &binary, Some(&secret(key)), 0), Proof::Forged);
}

#[test]
fn an_ed25519_signature_is_checked_with_the_keys_of_the_set() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
    let set = json!({"keys": [
        {"kty": "RSA", "n": "AQAB"},
        {"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([1; 32])},
        {"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(public)},
    ]});
    let keys = public_keys(set.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 2);
    for none in [
        "",
        "[]",
        "{\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}]}",
    ] {
        assert!(public_keys(none.as_bytes()).is_err(), "{none}");
    }
    let revision = webhook(
        json!({"verify": {"kind": "ed25519_jwks", "jwks_url": "https://keys.acme.ai/set.json", "header": "X-Hook-Signature",
        "signed": "{{header.x-hook-id}}\n{{header.x-hook-timestamp}}\n{{body_sha256}}", "timestamp_header": "X-Hook-Timestamp"}}),
    );
    let hook = revision.webhook.as_ref().unwrap();
    let digest: String = Sha256::digest(BODY)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let signature: String = pair
        .sign(format!("7\n100\n{digest}").as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let of = |id: &str, body: &str| {
        callback(
            body,
            &[
                ("x-hook-id", id),
                ("x-hook-timestamp", "100"),
                ("x-hook-signature", &signature),
            ],
        )
    };
    let key = Key::Public(keys);
    let other = Key::Public(vec![[1; 32]]);
    assert_eq!(
        proof(hook, &of("7", BODY), Some(&key), 100_000),
        Proof::Proved
    );
    assert_eq!(
        proof(hook, &of("8", BODY), Some(&key), 100_000),
        Proof::Forged
    );
    assert_eq!(
        proof(hook, &of("7", "{}"), Some(&key), 100_000),
        Proof::Forged
    );
    assert_eq!(
        proof(hook, &of("7", BODY), Some(&other), 100_000),
        Proof::Forged
    );
    assert_eq!(
        proof(hook, &of("7", BODY), Some(&secret("x")), 100_000),
        Proof::Forged
    );
    assert_eq!(format!("{key:?}"), "Key");
}

#[test]
fn a_challenge_is_given_back_under_its_name_when_it_is_short() {
    let revision = webhook(json!({"challenge_path": "event.challenge", "job_id_path": "id"}));
    let hook = revision.webhook.as_ref().unwrap();
    let of = |body: Value| callback(&body.to_string(), &[]).challenge(hook);
    let pair = |value: &str| Some(("challenge".to_owned(), value.to_owned()));
    assert_eq!(of(json!({"event": {"challenge": "abc"}})), pair("abc"));
    assert_eq!(of(json!({"event": {"challenge": 12}})), pair("12"));
    for none in [
        json!({"id": "j"}),
        json!({"event": {"challenge": ""}}),
        json!({"event": {"challenge": {}}}),
        json!({"event": {"challenge": "x".repeat(CHALLENGE_MAX + 1)}}),
        json!(null),
    ] {
        assert_eq!(of(none.clone()), None, "{none}");
    }
    assert_eq!(
        callback(r#"{"id":"j-1"}"#, &[]).job_id(hook),
        Some("j-1".into())
    );
    let long = json!({"id": "x".repeat(2_000)}).to_string();
    assert_eq!(callback(&long, &[]).job_id(hook), None);
}

#[test]
fn a_copy_with_another_header_beside_is_the_same_callback_and_one_with_another_signature_is_not() {
    let hook = Hook::Run(Uuid::from_u128(1));
    let one = callback("{}", &[("b", "2"), ("a", "1")]).digest(hook, None);
    assert_eq!(
        callback("{}", &[("a", "1"), ("b", "2")]).digest(hook, None),
        one
    );
    for other in [
        callback("{}", &[("a", "1"), ("b", "3")]),
        callback("{ }", &[("a", "1"), ("b", "2")]),
        callback("{}", &[("a", "1")]),
    ] {
        assert_ne!(other.digest(hook, None), one);
    }
    assert_ne!(
        callback("{}", &[("b", "2"), ("a", "1")]).digest(Hook::Tenant(Uuid::from_u128(1)), None),
        one
    );
    assert_ne!(
        callback("{}", &[("b", "2"), ("a", "1")]).digest(hook, Some("j")),
        one
    );
}
