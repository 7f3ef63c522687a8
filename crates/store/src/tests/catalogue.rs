//! Rows by hand, rows by bundle, verdicts.

use super::house::House;
use crate::catalogue::{
    Apply, AuthProfileRow, CredentialRow, ModelRow, ProfileRow, ProviderRow, RoutingRow, Rows,
    SchemaRow, TemplateRow,
};
use crate::credentials::{Sealed, Stored};
use crate::revisions::{RevisionRow, Verdict};
use crate::{DEFAULT_TENANT, Rule, SYSTEM_TENANT, StoreError};
use serde_json::json;

fn bundle() -> Rows {
    let provider = "bolt".to_owned();
    Rows {
        providers: vec![ProviderRow {
            slug: provider.clone(),
            api_base_url: "https://bolt.test".into(),
            conventions: json!({"n": 12_345_678_901_234_567_890_u64}),
            egress: json!({}),
            status: "active".into(),
            ..ProviderRow::default()
        }],
        credentials: vec![CredentialRow {
            provider: provider.clone(),
            name: "key".into(),
            secret_ref: Some("env:BOLT_KEY".into()),
            is_default: true,
            status: "active".into(),
            ..CredentialRow::default()
        }],
        auth_profiles: vec![AuthProfileRow {
            provider: Some(provider.clone()),
            profile_key: "key".into(),
            auth_type: "api_key".into(),
            credential: Some("key".into()),
            config: json!({}),
            ..AuthProfileRow::default()
        }],
        prompt_templates: vec![TemplateRow {
            name: "t".into(),
            version: 1,
            body: json!({}),
            ..TemplateRow::default()
        }],
        response_schemas: vec![SchemaRow {
            name: "s".into(),
            version: 1,
            strict: true,
            schema: json!({}),
            ..SchemaRow::default()
        }],
        models: vec![ModelRow {
            provider: provider.clone(),
            model_id: "b-1".into(),
            model_type: "video".into(),
            capabilities: json!({}),
            prompt_template: Some("t".into()),
            response_schema: Some("s".into()),
            status: "active".into(),
            ..ModelRow::default()
        }],
        profiles: vec![ProfileRow {
            face: json!({}),
            provider: provider.clone(),
            profile_key: "bolt_video_v1".into(),
            purpose: "video".into(),
            auth_profile: Some("key".into()),
            transport: json!({"path": "/v"}),
            response_mapping: json!({}),
            workflow: json!({}),
            is_active: true,
            ..ProfileRow::default()
        }],
        routing_rules: vec![RoutingRow {
            provider,
            target_model: "b-1".into(),
            conditions: json!({"feature": "x"}),
            ..RoutingRow::default()
        }],
        ..Rows::default()
    }
}

#[tokio::test]
async fn rows_by_plain_sql_need_their_keys_only_and_move_the_version_with_them() {
    let house = House::new().await;
    let before = house.store.catalogue_version().await.unwrap();
    house
        .sql(
            "insert into response_schemas (name, schema) values ('video', '{}');
             insert into prompt_templates (name, body) values ('video', '{}');
             insert into provider_auth_profiles (provider_id, profile_key, auth_type) select id, 'k', 'api_key' from ai_providers;
             insert into ai_models (provider_id, model_id, model_type) select id, 'a-1', 'video' from ai_providers;
             insert into model_api_profiles (provider_id, profile_key, purpose, transport) select id, 'p', 'video', '{}' from ai_providers;
             insert into model_routing_rules (target_model_id) select id from ai_models",
        )
        .await;
    let rows = house.store.catalogue(Some(house.tenant)).await.unwrap();
    assert_eq!(rows.version, before + 6);
    assert_eq!(
        (
            rows.models.len(),
            rows.profiles.len(),
            rows.routing_rules.len(),
            rows.auth_profiles.len()
        ),
        (1, 1, 1, 1)
    );
    assert_eq!(rows.profiles[0].tenant, None, "the system's");
    assert_eq!(
        house.one("select count(*) from credential_limits").await,
        "1",
        "born with its credential"
    );
    assert_eq!(rows.prompt_templates[0].version, 1);
}

#[tokio::test]
async fn an_edit_by_hand_moves_updated_at_and_one_that_changes_nothing_does_not() {
    let house = House::new().await;
    house
        .sql("update ai_providers set updated_at = '2020-01-01'")
        .await;
    house.sql("update ai_providers set name = name").await;
    assert_eq!(
        house
            .one("select updated_at < '2021-01-01' from ai_providers")
            .await,
        "true"
    );
    house.sql("update ai_providers set name = 'Acme'").await;
    assert_eq!(
        house
            .one("select updated_at < '2021-01-01' from ai_providers")
            .await,
        "false"
    );
}

#[tokio::test]
async fn a_bundle_applies_whole_and_twice_changes_nothing() {
    let house = House::new().await;
    let first = house
        .store
        .bundle_apply(&Apply::to(SYSTEM_TENANT, "the test"), &bundle())
        .await
        .unwrap();
    assert_eq!((first.changed, first.unchanged), (8, 0));
    let again = house
        .store
        .bundle_apply(&Apply::to(SYSTEM_TENANT, "the test"), &bundle())
        .await
        .unwrap();
    assert_eq!((again.changed, again.unchanged), (0, 8));
    let rows = house
        .store
        .catalogue_export(SYSTEM_TENANT, "bolt")
        .await
        .unwrap();
    assert_eq!(
        rows.providers[0].conventions,
        json!({"n": 12_345_678_901_234_567_890_u64}),
        "every digit"
    );
    assert_eq!(rows.auth_profiles[0].credential.as_deref(), Some("key"));
    assert_eq!(rows.models[0].prompt_template.as_deref(), Some("t"));
    assert_eq!(rows.profiles[0].auth_profile.as_deref(), Some("key"));
    assert_eq!(
        (
            rows.prompt_templates.len(),
            rows.response_schemas.len(),
            rows.routing_rules.len()
        ),
        (1, 1, 1)
    );
    let back = house
        .store
        .bundle_apply(&Apply::to(SYSTEM_TENANT, "the test"), &rows)
        .await
        .unwrap();
    assert_eq!(back.changed, 0, "what was exported reads as what stands");

    let mut broken = bundle();
    broken.providers[0].name = Some("changed".into());
    broken.profiles[0].auth_profile = Some("nobody".into());
    let refused = house
        .store
        .bundle_apply(&Apply::to(SYSTEM_TENANT, "the test"), &broken)
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            StoreError::NoSuchRow {
                table: "provider_auth_profiles",
                ..
            }
        ),
        "{refused:?}"
    );
    assert_eq!(
        house
            .one("select name from ai_providers where slug = 'bolt'")
            .await,
        "",
        "all or nothing"
    );
    assert!(
        house
            .store
            .catalogue_export(DEFAULT_TENANT, "bolt")
            .await
            .is_err(),
        "a tenant exports its own rows"
    );
}

#[tokio::test]
async fn a_tenant_sees_its_rows_and_the_systems_and_no_others() {
    let house = House::new().await;
    house
        .store
        .bundle_apply(&Apply::to(DEFAULT_TENANT, "the test"), &bundle())
        .await
        .unwrap();
    let mine = house.store.catalogue(Some(DEFAULT_TENANT)).await.unwrap();
    assert_eq!(
        mine.providers.iter().map(|p| p.tenant).collect::<Vec<_>>(),
        [None, Some(DEFAULT_TENANT)]
    );
    assert_eq!(
        house
            .store
            .catalogue(Some(uuid::Uuid::from_u128(9)))
            .await
            .unwrap()
            .providers
            .len(),
        1
    );
    assert_eq!(
        house.store.catalogue(None).await.unwrap().providers.len(),
        2
    );
}

#[tokio::test]
async fn a_bad_row_is_reported_and_the_last_good_revision_stays() {
    let house = House::new().await;
    house
        .store
        .bundle_apply(&Apply::to(SYSTEM_TENANT, "the test"), &bundle())
        .await
        .unwrap();
    let rows = house.store.catalogue(None).await.unwrap();
    let profile = rows.profiles[0].id.unwrap();
    let revision = RevisionRow {
        revision_id: vec![5; 32],
        language: 1,
        content: json!({"a": 1}),
    };
    house
        .store
        .revisions_put(&[revision.clone(), revision])
        .await
        .unwrap();
    assert_eq!(
        house
            .store
            .revision(&[5; 32])
            .await
            .unwrap()
            .unwrap()
            .content,
        json!({"a": 1})
    );
    let mut verdict = Verdict {
        profile_id: profile,
        language: 1,
        revision_id: Some(vec![5; 32]),
        diagnostics: json!([{"severity": "warning"}]),
        build: "b".into(),
        cases: None,
    };
    house.store.verdicts_put(&[verdict.clone()]).await.unwrap();
    let status = house
        .store
        .profile_statuses(DEFAULT_TENANT)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (status.ok, status.serving.as_deref()),
        (Some(true), Some("05".repeat(32).as_str())),
        "a warning passes"
    );
    verdict.revision_id = None;
    verdict.diagnostics = json!([{"severity": "error"}]);
    let gone = Verdict {
        profile_id: uuid::Uuid::from_u128(99),
        ..verdict.clone()
    };
    house.store.verdicts_put(&[verdict, gone]).await.unwrap();
    let status = house
        .store
        .profile_statuses(DEFAULT_TENANT)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((status.ok, status.serving.is_some()), (Some(false), true));
    assert_eq!(
        house.store.last_good(1).await.unwrap()[0].1.revision_id,
        [5; 32]
    );
}

#[tokio::test]
async fn a_secret_is_a_reference_or_sealed_and_nothing_else_can_be_written() {
    let house = House::new().await;
    house
        .sql("update provider_api_credentials set secret_ref = 'env:ACME'")
        .await;
    let read = async || {
        let read = house.store.credential(house.credential).await.unwrap();
        let read = read.unwrap();
        assert_eq!((read.provider.as_str(), read.active), ("acme", true));
        read.secret
    };
    assert_eq!(read().await, Stored::Reference("env:ACME".into()));
    let put = async |secret: &Stored| {
        let put = house
            .store
            .credential_secret_put("ann", house.credential, secret, None);
        put.await.map_err(|error| error.to_string())
    };
    // Version 1, the key `k1`, a nonce, and a ciphertext with its tag.
    let whole = [&[1, 2], b"k1".as_slice(), &[7; 12 + 17]].concat();
    for plain in [
        b"sk-plain-1234".to_vec(),
        Vec::new(),
        whole[..30].to_vec(),
        vec![1; 40],
        [&[1, 2], b"k ".as_slice(), &[7; 29]].concat(),
    ] {
        let refused = put(&Stored::Sealed(Sealed(plain.clone())))
            .await
            .unwrap_err();
        assert_eq!(refused, Rule::SecretNotSealed.meaning(), "{plain:?}");
    }
    for plain in ["sk-plain-1234", "env:", "file:", "env:A B", " env:ACME"] {
        let refused = put(&Stored::Reference(plain.into())).await.unwrap_err();
        assert_eq!(refused, Rule::NoReference.meaning(), "{plain}");
    }
    assert_eq!(
        read().await,
        Stored::Reference("env:ACME".into()),
        "nothing was written"
    );
    let sealed = Sealed(whole);
    assert_eq!(put(&Stored::Sealed(sealed.clone())).await, Ok(true));
    assert_eq!(read().await, Stored::Sealed(sealed.clone()));
    assert!(!format!("{sealed:?}").contains('7'), "{sealed:?}");
    // Somebody who read another one leaves it alone.
    let other = Sealed(vec![1; 40]);
    let late =
        house
            .store
            .credential_secret_put("ann", house.credential, &Stored::Nowhere, Some(&other));
    assert!(!late.await.unwrap());
    assert_eq!(read().await, Stored::Sealed(sealed.clone()));
    let rows = house.store.catalogue(None).await.unwrap().credentials;
    assert_eq!(rows[0].sealed_under.as_deref(), Some("k1"));
}

#[tokio::test]
async fn a_bundles_reference_leaves_a_sealed_secret_alone_unless_it_is_told_to_take_its_place() {
    let house = House::new().await;
    let mut rows = bundle();
    house
        .store
        .bundle_apply(&Apply::to(SYSTEM_TENANT, "the test"), &rows)
        .await
        .unwrap();
    let there = house.store.catalogue(None).await.unwrap().credentials;
    let id = there
        .iter()
        .find(|row| row.name == "key")
        .unwrap()
        .id
        .unwrap();
    let now = async || house.store.credential(id).await.unwrap().unwrap().secret;
    let reference = Stored::Reference("env:BOLT_KEY".into());
    assert_eq!(now().await, reference);
    let sealed = Stored::Sealed(Sealed([&[1, 2], b"k1".as_slice(), &[7; 29]].concat()));
    assert!(
        house
            .store
            .credential_secret_put("ann", id, &sealed, None)
            .await
            .unwrap()
    );
    let applied = house
        .store
        .bundle_apply(&Apply::to(SYSTEM_TENANT, "the test"), &rows)
        .await
        .unwrap();
    assert_eq!(
        (applied.kept_secrets, applied.changed, now().await),
        (1, 0, sealed)
    );
    rows.unseal = true;
    let applied = house
        .store
        .bundle_apply(&Apply::to(SYSTEM_TENANT, "the test"), &rows)
        .await
        .unwrap();
    assert_eq!(
        (applied.kept_secrets, applied.changed, now().await),
        (0, 1, reference)
    );
}

#[tokio::test]
async fn a_second_default_credential_is_refused_by_its_meaning() {
    let house = House::new().await;
    let mut two = bundle();
    two.credentials.push(CredentialRow {
        name: "other".into(),
        ..two.credentials[0].clone()
    });
    let refused = house
        .store
        .bundle_apply(&Apply::to(SYSTEM_TENANT, "the test"), &two)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, StoreError::Broken(Rule::OneDefaultCredential)),
        "{refused:?}"
    );
}
