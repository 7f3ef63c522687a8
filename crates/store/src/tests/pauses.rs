//! The brake.

use super::house::{HOUR, House, intent};
use crate::facts::Unknown;
use crate::pauses::Paused;
use crate::runs::NewRun;
use crate::{Scope, State};
use uuid::Uuid;

const NEIGHBOUR: Uuid = Uuid::from_u128(0xb0b);
const OTHER_CREDENTIAL: Uuid = Uuid::from_u128(0xc2);

/// Two providers with a credential each, two tenants; each tenant has a run at each credential: 11, 12 are the house's, 21, 22 the neighbour's.
async fn crossroads() -> House {
    let house = House::new().await;
    house
        .sql(&format!(
            "insert into tenants (tenant_id, slug) values ('{NEIGHBOUR}', 'neighbour');
             insert into ai_providers (id, slug, api_base_url) values ('{0}', 'other', 'https://other.test');
             insert into provider_api_credentials (id, provider_id) values ('{OTHER_CREDENTIAL}', '{0}')",
            Uuid::from_u128(0x22)
        ))
        .await;
    for (tenant, digit) in [(house.tenant, 10), (NEIGHBOUR, 20)] {
        for (credential, last) in [(house.credential, 1), (OTHER_CREDENTIAL, 2)] {
            let call = NewRun {
                tenant_id: tenant,
                credential_id: credential,
                ..house.call(digit + last, None)
            };
            house.store.run_insert(&call).await.unwrap();
        }
    }
    house
}

/// The runs that a worker could send now.
async fn sendable(house: &House, worker: Uuid) -> Vec<u128> {
    let mut all = Vec::new();
    for credential in house.store.credentials_due().await.unwrap() {
        let claim = house.store.claim(worker, credential).await.unwrap();
        let Some(mut claim) = claim else { continue };
        let picked = claim.pick(10).await.unwrap();
        all.extend(picked.into_iter().map(|run| run.run_id.as_u128()));
        // One that is dropped holds the credential's lock until its connection has been told.
        claim.commit().await.unwrap();
    }
    all.sort_unstable();
    all
}

#[tokio::test]
async fn the_brake_stops_the_submits_of_its_scope_and_no_others() {
    let house = crossroads().await;
    let (a, _lease, _) = house.worker(10).await;
    assert_eq!(sendable(&house, a).await, [11, 12, 21, 22]);
    for (what, left) in [
        (Paused::All, vec![]),
        (Paused::Provider("acme".into()), vec![12, 22]),
        (Paused::Credential(OTHER_CREDENTIAL), vec![11, 21]),
        (Paused::Tenant(NEIGHBOUR), vec![11, 12]),
        (Paused::Tenant(house.tenant), vec![21, 22]),
    ] {
        assert!(
            house
                .store
                .pause(Scope::Operator, &what, ("why", "ann"))
                .await
                .unwrap()
        );
        assert_eq!(sendable(&house, a).await, left, "{what:?}");
        assert!(
            house
                .store
                .resume(Scope::Operator, &what, "ann")
                .await
                .unwrap()
        );
        assert!(
            !house
                .store
                .resume(Scope::Operator, &what, "ann")
                .await
                .unwrap(),
            "once"
        );
    }
    assert_eq!(sendable(&house, a).await, [11, 12, 21, 22]);
}

#[tokio::test]
async fn a_claim_that_was_asked_for_by_name_heeds_the_brake_too() {
    let house = crossroads().await;
    let (a, _lease, _) = house.worker(10).await;
    for what in [
        Paused::All,
        Paused::Provider("acme".into()),
        Paused::Credential(house.credential),
    ] {
        house
            .store
            .pause(Scope::Operator, &what, ("why", "ann"))
            .await
            .unwrap();
        let claim = house.store.claim(a, house.credential).await.unwrap();
        assert!(claim.is_none(), "{what:?}");
        house
            .store
            .resume(Scope::Operator, &what, "ann")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_paused_tenant_hides_nobody_behind_it() {
    let house = crossroads().await;
    let (a, _lease, _) = house.worker(10).await;
    let paused = Paused::Tenant(house.tenant);
    house
        .store
        .pause(Scope::Operator, &paused, ("why", "ann"))
        .await
        .unwrap();
    let mut claim = house.claim(a).await;
    let picked = claim.pick(1).await.unwrap();
    assert_eq!(picked[0].tenant_id, NEIGHBOUR);
}

#[tokio::test]
async fn a_run_that_prepares_when_the_brake_is_pulled_is_queued_again_and_not_sent() {
    let house = crossroads().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = Uuid::from_u128(11);
    let why = [
        Some(Paused::All),
        Some(Paused::Provider("acme".into())),
        Some(Paused::Credential(house.credential)),
        Some(Paused::Tenant(house.tenant)),
        // Held since: the database went back in time.
        None,
    ];
    for what in why {
        let mut claim = house.claim(a).await;
        assert_eq!(claim.prepare(&[run]).await.unwrap().len(), 1);
        claim.commit().await.unwrap();
        match &what {
            Some(what) => assert!(
                house
                    .store
                    .pause(Scope::Operator, what, ("why", "ann"))
                    .await
                    .unwrap()
            ),
            None => house.sql("update run_states set held = true").await,
        }
        assert!(house.store.run_is_braked(run).await.unwrap(), "{what:?}");
        let intended = house.store.intend_prepared(a, &intent(run, 1)).await;
        assert_eq!(intended.unwrap(), None, "{what:?}");
        assert_eq!(house.stands(run).await, (State::Queued, "none".into()));
        if let Some(what) = &what {
            house
                .store
                .resume(Scope::Operator, what, "ann")
                .await
                .unwrap();
        }
    }
    assert_eq!(house.one("select count(*) from submit_attempts").await, "0");
    house.sql("update run_states set held = false").await;
    assert!(!house.store.run_is_braked(run).await.unwrap());
}

#[tokio::test]
async fn nothing_is_replayed_under_the_brake() {
    let house = crossroads().await;
    let (a, _lease, _) = house.worker(10).await;
    let run = Uuid::from_u128(11);
    house.submit(a, &[run], 1).await;
    let unknown = Unknown {
        run_id: run,
        n: 1,
        shard: 1,
        http_status: None,
        answer: None,
    };
    house.store.fact_unknown(&unknown).await.unwrap().unwrap();
    for (what, stops) in [
        (Paused::Provider("acme".into()), true),
        (Paused::Tenant(house.tenant), true),
        (Paused::Credential(OTHER_CREDENTIAL), false),
        (Paused::Tenant(NEIGHBOUR), false),
    ] {
        house
            .store
            .pause(Scope::Operator, &what, ("why", "ann"))
            .await
            .unwrap();
        let replay = house.store.replay_intend(run, 1, HOUR).await.unwrap();
        assert_eq!(replay.is_none(), stops, "{what:?}");
        house
            .store
            .resume(Scope::Operator, &what, "ann")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn pauses_are_listed_with_who_and_why_and_nothing_is_paused_by_a_typing_error() {
    let house = crossroads().await;
    let store = &house.store;
    let nobody = Uuid::from_u128(0xdead);
    for what in [
        Paused::Provider("acne".into()),
        Paused::Credential(nobody),
        Paused::Tenant(nobody),
    ] {
        assert!(
            !store
                .pause(Scope::Operator, &what, ("why", "ann"))
                .await
                .unwrap(),
            "{what:?}"
        );
    }
    assert!(store.pauses().await.unwrap().is_empty());
    let tenant = Paused::Tenant(NEIGHBOUR);
    let credential = Paused::Credential(house.credential);
    store
        .pause(Scope::Operator, &tenant, ("unpaid", "ann"))
        .await
        .unwrap();
    store
        .pause(Scope::Operator, &credential, ("leaked", "bob"))
        .await
        .unwrap();
    store
        .pause(Scope::Operator, &tenant, ("still unpaid", "cid"))
        .await
        .unwrap();
    let mut listed: Vec<_> = store
        .pauses()
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.name, row.reason, row.by))
        .collect();
    listed.sort();
    let text = str::to_owned;
    assert_eq!(
        listed,
        [
            (Some(text("acme/default")), text("leaked"), text("bob")),
            (Some(text("neighbour")), text("still unpaid"), text("cid")),
        ]
    );
    assert_eq!(
        house
            .one("select count(*) from audit_log where action = 'pause'")
            .await,
        "3"
    );
    assert_eq!(
        store
            .credentials_named("acme", Some("default"))
            .await
            .unwrap(),
        [house.credential]
    );
    assert_eq!(
        store.tenant_named("neighbour").await.unwrap(),
        Some(NEIGHBOUR)
    );
}

#[tokio::test]
async fn to_resume_a_credential_ends_the_wait_that_a_refused_key_made() {
    let house = crossroads().await;
    let (a, _lease, _) = house.worker(10).await;
    let store = &house.store;
    store
        .credential_pause(house.credential, HOUR, "authentication")
        .await
        .unwrap();
    let waits = store.credential_pauses().await.unwrap();
    assert_eq!(
        (waits.len(), waits[0].why.as_deref()),
        (1, Some("authentication"))
    );
    assert!(waits[0].for_ms > 3_500_000);
    assert_eq!(sendable(&house, a).await, [12, 22]);
    assert!(
        store
            .resume(
                Scope::Operator,
                &Paused::Credential(house.credential),
                "ann"
            )
            .await
            .unwrap()
    );
    assert_eq!(sendable(&house, a).await, [11, 12, 21, 22]);
    assert!(store.credential_pauses().await.unwrap().is_empty());
}
