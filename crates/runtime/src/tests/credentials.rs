//! Whose key a run uses: section 1 of the language, `provider_api_credentials` and `provider_auth_profiles`.

use crate::catalogue::Snapshot;
use diag::{Code, Diagnostics};
use profile::catalogue::{Ask, choose};
use serde_json::json;
use store::catalogue::{AuthProfileRow, CredentialRow, Rows};
use uuid::Uuid;

const OWN: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

fn credential(name: &str, is_default: bool, tenant: Option<Uuid>) -> CredentialRow {
    CredentialRow {
        tenant,
        provider: "acme".into(),
        name: name.into(),
        secret_ref: Some("env:KEY".into()),
        is_default,
        status: "active".into(),
        ..CredentialRow::default()
    }
}

/// The name of the credential that a run of the tenant `OWN` uses, or the code of why it has none.
fn chosen(named: Option<&str>, credentials: Vec<CredentialRow>) -> Result<String, Code> {
    found(named, credentials).map_err(|found| found.0[0].code)
}

fn found(named: Option<&str>, credentials: Vec<CredentialRow>) -> Result<String, Diagnostics> {
    let bundle = json!({
        "language": 1,
        "provider": {"slug": "acme", "name": "Acme", "api_base_url": "https://api.acme.ai/v1"},
        "auth_profiles": [{"profile_key": "key", "auth_type": "api_key", "secret": "env:KEY"}],
        "models": [{"model_id": "a-1", "model_type": "chat", "is_default": true}],
        "profiles": [{"profile_key": "p", "purpose": "chat", "auth_profile": "key", "transport": {"path": "/chat"}}],
    });
    let (_, compiled) = profile::bundle::check("acme", &bundle.to_string());
    let ask = Ask {
        purpose: "chat".into(),
        ..Ask::default()
    };
    let revision = choose(&compiled, &ask).unwrap().revision;
    let auth = AuthProfileRow {
        provider: Some("acme".into()),
        profile_key: "key".into(),
        auth_type: "api_key".into(),
        credential: named.map(str::to_owned),
        ..AuthProfileRow::default()
    };
    let snapshot = Snapshot {
        rows: Rows {
            credentials,
            auth_profiles: vec![auth],
            ..Rows::default()
        },
        ..Snapshot::default()
    };
    let found = snapshot.credential(&revision, OWN);
    found.map(|row| row.name.clone())
}

#[test]
fn who_has_several_credentials_and_no_default_one_is_told_their_names_and_both_remedies() {
    let two = vec![credential("a", false, None), credential("b", false, None)];
    let told = found(None, two).unwrap_err().to_string();
    for part in ["a, b", "is_default = true", "credential_id"] {
        assert!(told.contains(part), "{told}");
    }
    let told = found(Some("c"), vec![credential("a", false, None)])
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("`c`") && told.contains("there are: a"),
        "{told}"
    );
    let told = found(None, Vec::new()).unwrap_err().to_string();
    assert!(told.contains("credential set"), "{told}");
}

#[test]
#[rustfmt::skip]
fn a_run_uses_the_credential_its_auth_profile_names_else_the_default_else_the_only_one_its_tenants_first() {
    let off = |row: CredentialRow| CredentialRow { status: "disabled".into(), ..row };
    let elsewhere = |row: CredentialRow| CredentialRow { provider: "rival".into(), ..row };
    let none = Err(Code::R160);
    let ok = |name: &str| Ok(name.to_owned());
    let cases = [
        // named     the rows                                                                            used
        (Some("b"),  vec![credential("a", true, None), credential("b", false, None)],                    ok("b")),
        (Some("b"),  vec![credential("a", true, None)],                                                  none.clone()),
        (Some("b"),  vec![credential("a", true, None), off(credential("b", false, None))],               none.clone()),
        (None,       vec![credential("a", false, None), credential("b", true, None)],                    ok("b")),
        (None,       vec![credential("a", false, None)],                                                 ok("a")),
        (None,       vec![credential("a", false, None), credential("b", false, None)],                   none.clone()),
        (None,       vec![credential("a", true, None), credential("own", true, Some(OWN))],              ok("own")),
        (Some("a"),  vec![credential("a", true, None), credential("own", true, Some(OWN))],              ok("a")),
        (None,       vec![credential("theirs", true, Some(OTHER))],                                      none.clone()),
        (None,       vec![elsewhere(credential("a", true, None))],                                       none.clone()),
        (None,       vec![off(credential("a", true, None)), credential("b", false, None)],               ok("b")),
        (None,       vec![],                                                                             none),
    ];
    for (i, (named, credentials, want)) in cases.into_iter().enumerate() {
        assert_eq!(chosen(named, credentials), want, "line {i}");
    }
}
