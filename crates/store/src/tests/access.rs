//! API keys, tenants, and the log of who changed them.

use super::house::{HOUR, House};
use crate::api_keys::{JUST_NOW, NewApiKey};
use crate::audit::{AuditFilter, AuditRow};
use crate::budgets::{OverLimit, TenantLimits};
use crate::credentials::{Sealed, Stored};
use crate::pauses::Paused;
use crate::{Rule, SYSTEM_TENANT, Scope, StoreError};
use uuid::Uuid;

const NEIGHBOUR: Uuid = Uuid::from_u128(9);

fn key(n: u8, tenant: Uuid) -> NewApiKey {
    NewApiKey {
        id: Uuid::now_v7(),
        tenant,
        shown: "mrk_12345678".into(),
        hash: vec![n; 32],
        role: "caller".into(),
        name: "backend".into(),
        expires_at: None,
    }
}

/// A house with a second tenant and a key of each.
async fn two_tenants() -> (House, [Uuid; 2]) {
    let house = House::new().await;
    let store = &house.store;
    store
        .tenant_add("ann", NEIGHBOUR, "neighbour")
        .await
        .unwrap();
    let keys = [key(1, house.tenant), key(2, NEIGHBOUR)];
    for key in &keys {
        let added = store.api_key_add(Scope::Operator, "ann", key).await;
        assert_eq!(added.unwrap().unwrap().created_by, "ann");
    }
    let ids = keys.map(|key| key.id);
    (house, ids)
}

async fn log(house: &House, scope: impl Into<Scope>) -> Vec<AuditRow> {
    let filter = AuditFilter {
        limit: 99,
        ..AuditFilter::default()
    };
    house.store.audit(scope, &filter).await.unwrap()
}

#[tokio::test]
async fn a_query_for_keys_tenants_or_the_log_that_forgets_its_tenant_finds_nothing() {
    let (house, _) = two_tenants().await;
    house
        .sql(
            "begin; set local role modelrow_api; do $$ begin
                 assert (select count(*) from api_keys) = 0, 'keys, without a tenant';
                 assert (select count(*) from audit_log) = 0, 'the log, without a tenant';
                 assert (select count(*) from tenants where not is_system) = 0, 'tenants, without a tenant';
                 perform set_config('modelrow.tenant', '00000000-0000-0000-0000-000000000002', true);
                 assert (select count(*) from api_keys) = 1, 'its own key';
                 assert (select array_agg(distinct tenant_id) from audit_log) = array['00000000-0000-0000-0000-000000000002'::uuid], 'its own log';
                 assert (select array_agg(slug order by slug) from tenants) = array['default', 'system'], 'itself, and whose rows it inherits';
                 update api_keys set revoked_at = now() where tenant_id = '00000000-0000-0000-0000-000000000009';
                 assert not found, 'another one''s key';
             end $$; rollback",
        )
        .await;
}

#[tokio::test]
async fn a_key_of_another_tenant_is_neither_seen_nor_made_nor_revoked() {
    let (house, [own, other]) = two_tenants().await;
    let store = &house.store;
    let seen = store.api_keys(house.tenant, None, None, 9).await.unwrap();
    assert_eq!(seen.iter().map(|key| key.id).collect::<Vec<_>>(), [own]);
    let asked = store.api_keys(house.tenant, Some(NEIGHBOUR), None, 9).await;
    assert!(asked.unwrap().is_empty());
    let foreign = key(3, NEIGHBOUR);
    let made = store.api_key_add(house.tenant, "eve", &foreign);
    assert!(made.await.unwrap().is_none());
    let revoked = store.api_key_revoke(house.tenant, "eve", other).await;
    assert!(revoked.unwrap().is_none());
    let all = store
        .api_keys(Scope::Operator, None, None, 9)
        .await
        .unwrap();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|key| key.revoked_at.is_none()));
    assert!(
        log(&house, Scope::Operator)
            .await
            .iter()
            .all(|entry| entry.actor != "eve")
    );
}

#[tokio::test]
async fn a_key_is_good_until_it_is_revoked_or_its_time_is_over_and_its_use_is_noted_once_a_minute()
{
    let (house, [own, _]) = two_tenants().await;
    let store = &house.store;
    let holder = async || {
        drop(store.seen_keys.change());
        store.api_key_holder(&[1; 32]).await.unwrap().unwrap()
    };
    let used = async || {
        let sql = format!("select last_used_at from api_keys where api_key_id = '{own}'");
        house.one(&sql).await
    };
    assert!(store.api_key_holder(&[7; 32]).await.unwrap().is_none());
    assert_eq!(used().await, "");
    let good = holder().await;
    assert_eq!((good.tenant, good.is_system), (house.tenant, false));
    assert!(!good.expired && !good.revoked);
    let first = used().await;
    holder().await;
    assert_eq!(used().await, first, "once a minute");
    house
        .sql("update api_keys set last_used_at = now() - interval '2 minutes', expires_at = now() - interval '1 ms'")
        .await;
    let stale = used().await;
    assert!(holder().await.expired);
    assert_eq!(used().await, stale, "a refused use is none");
    let revoked = store
        .api_key_revoke(house.tenant, "ann", own)
        .await
        .unwrap()
        .unwrap();
    let again = store
        .api_key_revoke(house.tenant, "ann", own)
        .await
        .unwrap()
        .unwrap();
    assert!(revoked.revoked_at.is_some() && revoked.revoked_at == again.revoked_at);
    assert!(holder().await.revoked);
}

#[tokio::test]
async fn what_a_process_changes_itself_it_sees_with_the_next_use_of_a_key() {
    let (house, [own, _]) = two_tenants().await;
    let store = &house.store;
    let unhindered = async || {
        let held = store.api_key_holder(&[1; 32]).await.unwrap().unwrap();
        (!held.revoked).then_some(held.unhindered)
    };
    assert_eq!(unhindered().await, Some(true));
    let (all, why) = (Paused::All, ("a bad day", "ann"));
    assert!(store.pause(Scope::Operator, &all, why).await.unwrap());
    assert_eq!(unhindered().await, Some(false), "a brake");
    assert!(store.resume(Scope::Operator, &all, "ann").await.unwrap());
    assert_eq!(unhindered().await, Some(true));
    let refused = store.credential_pause(house.credential, HOUR, "429");
    refused.await.unwrap();
    assert_eq!(unhindered().await, Some(false), "a refused credential");
    store.credential_resume(house.credential).await.unwrap();
    assert_eq!(unhindered().await, Some(true));
    let limits = TenantLimits {
        max_in_flight: Some(9),
        max_queued: None,
        runs_per_day: None,
        spend_per_month: None,
        currency: "USD".into(),
        over_limit: OverLimit::Refuse,
    };
    let put = async |limits| {
        let put = store.tenant_limits_put(house.tenant, limits, "ann");
        put.await.unwrap()
    };
    assert!(put(Some(&limits)).await);
    assert_eq!(unhindered().await, Some(false), "limits");
    assert!(put(None).await);
    assert_eq!(unhindered().await, Some(true));
    store
        .api_key_revoke(Scope::Operator, "ann", own)
        .await
        .unwrap();
    assert_eq!(unhindered().await, None, "revoked");
}

#[tokio::test]
async fn what_another_process_changes_is_seen_a_moment_later() {
    let (house, [own, _]) = two_tenants().await;
    let store = &house.store;
    let seen = store.api_key_holder(&[1; 32]).await.unwrap().unwrap();
    house
        .sql(&format!(
            "update api_keys set revoked_at = now() where api_key_id = '{own}'"
        ))
        .await;
    tokio::time::sleep_until(seen.asked + JUST_NOW).await;
    let held = store.api_key_holder(&[1; 32]).await.unwrap().unwrap();
    assert!(held.revoked);
}

#[tokio::test]
async fn processes_that_start_at_once_make_one_first_key_and_a_revoked_one_counts() {
    let house = House::new().await;
    let store = &house.store;
    let (one, two) = (key(1, SYSTEM_TENANT), key(2, SYSTEM_TENANT));
    let (one, two) = tokio::join!(
        store.api_key_add_first("first start", &one),
        store.api_key_add_first("first start", &two)
    );
    assert!(one.unwrap() ^ two.unwrap(), "one of the two");
    house.sql("update api_keys set revoked_at = now()").await;
    let third = key(3, SYSTEM_TENANT);
    let third = store.api_key_add_first("first start", &third);
    assert!(!third.await.unwrap());
}

#[tokio::test]
async fn a_tenant_has_a_plain_slug_of_its_own() {
    let (house, _) = two_tenants().await;
    for (slug, rule) in [
        ("neighbour", Rule::KeyTaken),
        ("", Rule::SlugNotPlain),
        ("With Space", Rule::SlugNotPlain),
        (&"a".repeat(64), Rule::SlugNotPlain),
    ] {
        let made = house.store.tenant_add("ann", Uuid::now_v7(), slug).await;
        assert!(
            matches!(made, Err(StoreError::Broken(broken)) if broken == rule),
            "{slug}: {made:?}"
        );
    }
    let all = house.store.tenants(Scope::Operator, None, 9).await.unwrap();
    assert_eq!(all.len(), 3);
}

#[tokio::test]
async fn the_log_says_who_changed_what_before_and_after_and_holds_no_secret() {
    let (house, [own, _]) = two_tenants().await;
    let store = &house.store;
    store
        .api_key_revoke(house.tenant, "key mrk_1", own)
        .await
        .unwrap();
    let sealed = |byte| Stored::Sealed(Sealed([&[1, 2], b"k1".as_slice(), &[byte; 29]].concat()));
    for byte in [0xab, 0xcd] {
        let secret = sealed(byte);
        let put = store.credential_secret_put("bob", house.credential, &secret, None);
        assert!(put.await.unwrap());
    }
    house
        .sql("update provider_api_credentials set endpoint_url = 'https://ann:sesame@acme.test/v1?key=sesame'")
        .await;
    let entries = log(&house, Scope::Operator).await;
    let told: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} {} {}", entry.actor, entry.action, entry.object))
        .collect();
    assert_eq!(
        &told[..4],
        [
            "database role modelrow credential.change credential/acme/default".to_owned(),
            "bob credential.change credential/acme/default".to_owned(),
            "bob credential.change credential/acme/default".to_owned(),
            format!("key mrk_1 api_key.change api_key/{own}"),
        ]
    );
    let (before, after) = (
        entries[3].before.as_ref().unwrap(),
        entries[3].after.as_ref().unwrap(),
    );
    assert!(before["revoked_at"].is_null() && after["revoked_at"].is_string());
    let changed = entries[1].after.as_ref().unwrap();
    assert_eq!(
        (
            changed["sealed_under"].as_str(),
            changed["secret_changed"].as_bool()
        ),
        (Some("k1"), Some(true))
    );
    assert_eq!(
        entries[0].after.as_ref().unwrap()["endpoint_url"],
        "https://***@acme.test/v1"
    );
    for held in ["abababab", "cdcdcdcd", "sesame", &hex::encode([1; 32])] {
        let sql = format!("select count(*) from audit_log t where t::text like '%{held}%'");
        assert_eq!(house.one(&sql).await, "0", "{held}");
    }
    let own_entries = log(&house, house.tenant).await;
    assert!(
        own_entries
            .iter()
            .all(|entry| entry.tenant == Some(house.tenant))
    );
    assert_eq!(own_entries.len(), 2, "its key, made and revoked");
    for statement in [
        "update audit_log set actor = 'nobody'",
        "delete from audit_log",
    ] {
        assert!(
            super::schema::run(&house.database.url, statement)
                .await
                .is_err(),
            "{statement}"
        );
    }
}

#[tokio::test]
async fn the_newest_key_signs_and_each_verifies_until_it_is_taken_away() {
    let house = House::new().await;
    let first = house.store.link_key_now().await.unwrap().unwrap();
    assert!(first.key.len() >= 32);
    house.sql("insert into link_keys default values").await;
    let second = house.store.link_key_now().await.unwrap().unwrap();
    assert!(second.id > first.id && second.key != first.key);
    let kept = house.store.link_key(first.id).await.unwrap();
    assert_eq!(kept.map(|kept| kept.key), Some(first.key));
    house
        .sql(&format!(
            "delete from link_keys where link_key_id = {}",
            first.id
        ))
        .await;
    assert!(house.store.link_key(first.id).await.unwrap().is_none());
}
