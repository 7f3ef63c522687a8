//! Profiles that give up the record of their runs: sent from the call, and gone with its answer.

use crate::house::{House, LIMIT, holds_a_lease, quick};
use runtime::{
    Because, Begun, Modelrow, Options, PauseScope, RunRequest, RunView, Status, TenantLimits, Work,
};
use serde_json::{Value, json};
use simulator::{Action, Cut, Operation, Rule, Scripted};
use store::DEFAULT_TENANT;

/// Numbers for a text; after them a step that asks what they cost.
fn bundle() -> Value {
    json!({
        "language": 1,
        "provider": {"slug": "acme", "provider_family": "acme", "name": "Acme", "api_base_url": "https://api.acme.ai/v1",
            "conventions": {}, "egress": {}},
        "auth_profiles": [{"profile_key": "acme_key", "auth_type": "api_key", "secret": "env:ACME_API_KEY", "config": {}}],
        "response_schemas": [], "prompt_templates": [],
        "models": [{"model_id": "a-1", "model_type": "embedding", "is_default": true,
            "capabilities": {"pricing": {"currency": "USD", "price": [{"amount": 0.25}]}}}],
        "profiles": [{
            "profile_key": "acme_embedding_v1", "purpose": "embedding", "model": null, "auth_profile": "acme_key",
            "transport": {"path": "/embed", "headers": {"Authorization": "Bearer {{apiKey}}"}, "durable": false,
                "body": {"model": "{{model}}", "text": "{{userPrompt}}"}, "timeout_ms": 2000,
                "retry": {"max": 2, "backoff_ms": 100, "max_backoff_ms": 200}},
            "response_mapping": {"extract": {"vector": "vector"}, "output": {"vector": "{{json steps.submit.vector}}"}},
            "workflow": {}
        }],
        "routing_rules": []
    })
}

async fn house(rules: Vec<Rule>) -> House {
    let house = House::of(quick(), bundle()).await;
    house.sim.script(rules);
    house
}

fn on(nth: u64, action: Action) -> Rule {
    Rule::on(Operation::Unknown, action).nth(nth)
}

fn vector(nth: u64) -> Rule {
    on(
        nth,
        Action::Answer(Scripted::json(200, json!({"vector": [0.5, -1]}))),
    )
}

fn text() -> RunRequest {
    RunRequest::new("embedding").prompt("a cat")
}

async fn called(modelrow: &Modelrow, request: RunRequest) -> Begun {
    let begun = tokio::time::timeout(LIMIT, modelrow.call(request)).await;
    begun.unwrap().unwrap()
}

async fn ended(modelrow: &Modelrow) -> RunView {
    match called(modelrow, text()).await {
        Begun::Ended(view) => *view,
        Begun::Recorded(run) => panic!("{run:?} has a record"),
    }
}

/// What its record says once it has ended.
async fn recorded(modelrow: &Modelrow, request: RunRequest) -> RunView {
    match called(modelrow, request).await {
        Begun::Ended(view) => panic!("no record: {view:#?}"),
        Begun::Recorded(run) => {
            let view = tokio::time::timeout(LIMIT, run.wait()).await;
            view.unwrap().unwrap()
        }
    }
}

async fn records(house: &House) -> i64 {
    house.count("select count(*) from runs").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_may_give_up_the_record_and_the_answer_is_all_there_is() {
    let house = house(vec![vector(1)]).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(view.output, Some(json!({"vector": [0.5, -1]})));
    assert!(!view.recorded && view.ended());
    assert_eq!(view.spent, "yes");
    let cost = view.cost.as_ref().unwrap();
    assert_eq!(cost.actual.as_deref(), Some("0.25"));
    assert_eq!(view.attempts.len(), 1);
    assert_eq!(view.attempts[0].http_status, Some(200));
    assert_eq!(serde_json::to_value(&view).unwrap()["recorded"], false);
    assert!(modelrow.run(DEFAULT_TENANT, view.id).await.is_err());
    let written = "select (select count(*) from runs) + (select count(*) from run_states) + (select count(*) from submit_attempts)";
    assert_eq!(house.count(written).await, 0);
    assert_eq!(house.sim.ledger().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_call_without_a_record_comes_to_is_judged_as_of_any_other() {
    let refused = Scripted::json(400, json!({"error": {"message": "no such text"}}));
    let broken = Scripted::json(500, json!({"error": {"message": "oops"}}));
    let busy = Scripted::json(429, json!({"error": {"message": "later"}}));
    let cases = [
        (
            vec![on(1, Action::Answer(refused))],
            "invalid_request",
            "none",
            1,
        ),
        (
            vec![on(1, Action::Answer(broken))],
            "unknown_outcome",
            "maybe",
            1,
        ),
        (
            vec![on(1, Action::Cut(Cut::AfterAccepting))],
            "unknown_outcome",
            "maybe",
            1,
        ),
        (vec![on(1, Action::Answer(busy)), vector(2)], "", "yes", 2),
    ];
    for (rules, code, spent, sent) in cases {
        let house = house(rules).await;
        let modelrow = house.start().await;
        let view = ended(&modelrow).await;
        let failed = view.failure_text("code").unwrap_or_default();
        assert_eq!((failed, view.spent.as_str()), (code, spent), "{view:#?}");
        assert_eq!(house.sim.ledger().len(), sent, "{code}");
        assert_eq!(view.attempts.len(), sent);
        assert_eq!(records(&house).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_may_be_sent_twice_spares_the_handshake() {
    for consents in [true, false] {
        let mut bundle = bundle();
        if consents {
            bundle["profiles"][0]["transport"]["on_unknown"] = json!("repeat");
        }
        let house = House::of(quick(), bundle).await;
        house.sim.script(vec![
            vector(1),
            vector(2),
            on(3, Action::Cut(Cut::AfterAccepting)),
            vector(4),
        ]);
        let modelrow = house.start().await;
        for _ in 0..2 {
            assert_eq!(ended(&modelrow).await.status, Status::Succeeded);
        }
        let cut = ended(&modelrow).await;
        let ledger = house.sim.ledger();
        let ports: Vec<u16> = ledger.iter().map(|entry| entry.caller_port).collect();
        if consents {
            assert_eq!(cut.status, Status::Succeeded, "{cut:#?}");
            assert_eq!((cut.attempts.len(), ports.len()), (2, 4));
            assert_eq!([ports[1], ports[2]], [ports[0]; 2], "kept");
            assert_ne!(ports[3], ports[2], "none that could have idled");
        } else {
            assert_eq!(cut.failure_text("code"), Some("unknown_outcome"));
            assert_eq!(ports.len(), 3);
            assert!(ports[0] != ports[1] && ports[1] != ports[2], "{ports:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_needs_a_record_has_one() {
    let house = house((1..=9).map(vector).collect()).await;
    let modelrow = house.start().await;
    let keyed = text().idempotency_key("once");
    let cached = RunRequest {
        cache: Some(true),
        ..text()
    };
    let late = RunRequest {
        start_by: Some(time::OffsetDateTime::now_utc() + time::Duration::HOUR),
        ..text()
    };
    for (i, request) in [keyed, cached, late].into_iter().enumerate() {
        let view = recorded(&modelrow, request).await;
        assert!(view.recorded);
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
        assert_eq!(records(&house).await, i64::try_from(i).unwrap() + 1);
    }
    // What the library makes to be followed is there to be followed.
    let run = modelrow.run_profile(text()).await.unwrap();
    assert!(run.wait().await.unwrap().recorded);

    let limits = TenantLimits {
        max_in_flight: None,
        max_queued: None,
        runs_per_day: Some(100),
        spend_per_month: None,
        currency: "USD".into(),
        over_limit: runtime::OverLimit::Refuse,
    };
    let set = modelrow.set_limits(DEFAULT_TENANT, Some(&limits), "ann");
    set.await.unwrap();
    assert!(recorded(&modelrow, text()).await.recorded);
    let set = modelrow.set_limits(DEFAULT_TENANT, None, "ann");
    set.await.unwrap();
    house
        .sql("update provider_api_credentials set max_concurrent_jobs = 5")
        .await;
    let until = tokio::time::Instant::now() + LIMIT;
    while !matches!(called(&modelrow, text()).await, Begun::Recorded(_)) {
        assert!(
            tokio::time::Instant::now() < until,
            "slots are counted in records"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_the_brake_a_call_without_a_record_is_not_sent_but_waits_with_one() {
    let house = house(vec![vector(1)]).await;
    let modelrow = house.start().await;
    let because = Because {
        reason: "a bad day".into(),
        by: "ann".into(),
    };
    modelrow.pause(&PauseScope::All, &because).await.unwrap();
    let Begun::Recorded(run) = called(&modelrow, text()).await else {
        panic!("it was sent");
    };
    assert_eq!(run.view().await.unwrap().state, "queued");
    assert_eq!(house.sim.ledger().len(), 0);
    modelrow
        .resume(&PauseScope::All, &because.by)
        .await
        .unwrap();
    let view = tokio::time::timeout(LIMIT, run.wait()).await.unwrap();
    assert_eq!(view.unwrap().status, Status::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_memory_has_of_a_recorded_call_is_what_its_rows_say() {
    let slow = on(1, Action::DelayAnswer { ms: 300 });
    let house = house(vec![slow, vector(1), vector(2)]).await;
    let metadata = json!({"order": 12345678901234567890_u64});
    let call = || RunRequest {
        metadata: metadata.as_object().unwrap().clone(),
        ..text()
    };
    let idle = Modelrow::start(Options {
        work: Work::No,
        ..house.options()
    });
    let idle = idle.await.unwrap();
    let queued = idle.run_profile(call()).await.unwrap();
    assert_eq!(
        queued.first_view().await.unwrap(),
        queued.view().await.unwrap()
    );
    house.sql("delete from runs").await;

    let modelrow = house.start().await;
    holds_a_lease(&modelrow).await;
    let run = modelrow.run_profile(call()).await.unwrap();
    let (first, read) = (run.first_view().await.unwrap(), run.view().await.unwrap());
    assert_eq!(first.state, "submitting", "{first:#?}");
    assert_eq!(first, read);
    let last = tokio::time::timeout(LIMIT, run.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.status, Status::Succeeded, "{last:#?}");
    assert_eq!(last, run.view().await.unwrap());
    assert_eq!(last.metadata["order"].to_string(), "12345678901234567890");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_with_the_callers_key_holds_for_a_moment_only() {
    let house = house(vec![vector(1)]).await;
    let modelrow = house.start().await;
    let new = runtime::NewKey {
        tenant: DEFAULT_TENANT,
        role: runtime::Role::Caller,
        name: String::new(),
        expires_at: None,
    };
    let key = modelrow.key_create(DEFAULT_TENANT, &new, "ann").await;
    let key = key.unwrap().key;
    let because = Because {
        reason: "a bad day".into(),
        by: "ann".into(),
    };
    let before = modelrow.authenticate(&key).await.unwrap();
    assert!(before.unhindered.is_some());
    modelrow.pause(&PauseScope::All, &because).await.unwrap();
    let after = modelrow.authenticate(&key).await.unwrap();
    assert!(after.unhindered.is_none());
    // A body that is slow to come must not carry an old look past the brake.
    while before.unhindered.unwrap().elapsed() < std::time::Duration::from_millis(60) {
        tokio::task::yield_now().await;
    }
    for caller in [before, after] {
        let begun = called(&modelrow, text().called_by(&caller)).await;
        assert!(matches!(begun, Begun::Recorded(_)), "{begun:?}");
    }
    assert_eq!(house.sim.ledger().len(), 0);
    modelrow
        .resume(&PauseScope::All, &because.by)
        .await
        .unwrap();
    let free = modelrow.authenticate(&key).await.unwrap();
    assert!(free.unhindered.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_does_not_cut_a_call_without_a_record() {
    let slow = vec![on(1, Action::DelayAnswer { ms: 300 }), vector(1)];
    let house = house(slow).await;
    let modelrow = house.start().await;
    {
        let call = modelrow.call(text());
        tokio::pin!(call);
        let until = tokio::time::Instant::now() + LIMIT;
        while house.sim.ledger().is_empty() {
            assert!(tokio::time::Instant::now() < until);
            let _ = tokio::time::timeout(std::time::Duration::from_millis(10), &mut call).await;
        }
    }
    // A shutdown waits for it, as for every exchange on its way.
    let stopped = modelrow.shutdown(LIMIT).await;
    assert_eq!(stopped.cut, 0);
    let ledger = house.sim.ledger();
    assert_eq!(ledger.len(), 1);
}
