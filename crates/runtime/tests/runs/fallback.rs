//! A routing rule's fallback: another model in place of one that is not to be had, and never a second paid job.

use crate::house::{House, LIMIT, cat, convention, ended, quick, quick_settle, until};
use futures_util::StreamExt as _;
use runtime::{
    FallbackStatus, Modelrow, Options, RunEvent, RunFilter, RunRequest, RunView, Status, Work,
};
use serde_json::{Value, json};
use simulator::{Action, Config, Cut, Failure, Operation, Rule, Scripted, Simulator};
use store::{DEFAULT_TENANT, SYSTEM_TENANT};

/// The first model is the target, the second its fallback.
fn names(bundle: &Value) -> [String; 2] {
    [0, 1].map(|i| bundle["models"][i]["model_id"].as_str().unwrap().to_owned())
}

fn rule(bundle: &mut Value, more: Value) {
    let [target, fallback] = names(bundle);
    let mut rule = json!({"conditions": {}, "target_model": target, "fallback_model": fallback});
    let members = more.as_object().unwrap().clone();
    rule.as_object_mut().unwrap().extend(members);
    bundle["routing_rules"] = json!([rule]);
    for (i, amount) in [(0, 0.1), (1, 0.3)] {
        bundle["models"][i]["capabilities"]["pricing"] = json!({
            "currency": "USD", "per": "second", "quantity": "params.seconds", "price": [{"amount": amount}],
        });
    }
}

async fn house(config: Config) -> House {
    House::with(config, |bundle| rule(bundle, json!({}))).await
}

/// What the first submit is answered with.
fn first(action: Action) -> Vec<Rule> {
    vec![Rule::on(Operation::Create, action)]
}

fn says(status: u16, code: &str) -> Action {
    let body = json!({"error": {"code": code, "message": "not now"}});
    Action::Answer(Scripted::json(status, body))
}

fn outcomes(view: &RunView) -> Vec<(&str, &str)> {
    let attempts = view.attempts.iter();
    attempts
        .map(|one| (one.model.as_deref().unwrap(), one.outcome.as_str()))
        .collect()
}

/// The model that each submit asked for, in the order of the requests.
fn asked(house: &House) -> Vec<String> {
    let creates = house.asked(Operation::Create).into_iter();
    creates
        .map(|entry| {
            let [target, fallback] = names(&house.bundle);
            let text = format!("{:?}", entry.body);
            // One name begins with the other.
            if text.contains(&fallback) {
                fallback
            } else {
                target
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_refused_is_replaced_by_the_fallback_and_exactly_one_job_is_accepted() {
    let mut config = quick();
    config.rules = first(says(401, "invalid_api_key"));
    let house = house(config).await;
    let [target, fallback] = names(&house.bundle);
    let modelrow = house.start().await;
    let handle = modelrow.run_profile(cat()).await.unwrap();
    let before = handle.view().await.unwrap();
    assert_eq!(before.fallback.unwrap().model.model, Some(fallback.clone()));
    let mut events = handle.events();
    let mut told = None;
    while let Some(event) = events.next().await {
        match event {
            RunEvent::Entry { kind, body, .. } if kind == "fallback" => told = Some(body),
            RunEvent::End(_) => break,
            _ => {}
        }
    }
    let view = handle.view().await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(
        (house.sim.accepted_jobs().len(), asked(&house)),
        (1, vec![target.clone(), fallback.clone()])
    );
    assert_eq!(
        outcomes(&view),
        [
            (target.as_str(), "refused"),
            (fallback.as_str(), "accepted")
        ]
    );
    // Which model ran, instead of which, and why.
    assert_eq!(
        (view.model.as_ref(), view.fallen_to()),
        (Some(&fallback), Some(fallback.as_str()))
    );
    let used = view.fallback.as_ref().unwrap();
    assert_eq!(
        (
            used.status,
            used.instead_of.as_ref().unwrap().model.as_ref()
        ),
        (FallbackStatus::Used, Some(&target))
    );
    let after = used.after.as_ref().unwrap();
    assert_eq!(
        (&after["class"], &after["provider_code"]),
        (&json!("authentication"), &json!("invalid_api_key"))
    );
    let told = told.unwrap();
    assert_eq!(
        (&told["from"]["model"], &told["to"]["model"]),
        (&json!(target), &json!(fallback))
    );
    assert_eq!(told["failure"]["class"], "authentication");
    let listed = |model: &str| RunFilter {
        model: Some(model.to_owned()),
        ..RunFilter::default()
    };
    let one = modelrow
        .runs(DEFAULT_TENANT, &listed(&fallback))
        .await
        .unwrap()
        .runs;
    assert_eq!((one[0].id, &one[0].cost), (view.id, &view.cost));
    assert!(
        modelrow
            .runs(DEFAULT_TENANT, &listed(&target))
            .await
            .unwrap()
            .runs
            .is_empty()
    );
    // 8 seconds at the fallback's price, and the refused attempt cost nothing.
    assert_eq!(
        (view.cost.unwrap().estimate.as_deref(), view.spent.as_str()),
        (Some("2.4"), "yes")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[rustfmt::skip]
async fn the_fallback_runs_for_a_reason_that_is_not_the_requests_and_for_no_other() {
    let cases = [
        // the answer to the first submit                 submits  class of the target
        (says(401, "invalid_api_key"),                    2,       "authentication"),
        (says(403, "forbidden"),                          2,       "authentication"),
        (says(402, "no_money"),                           2,       "billing"),
        (says(429, "insufficient_quota"),                 2,       "billing"),
        (says(429, "rate_limit_exceeded"),                2,       "rate_limited"),
        (says(503, "busy"),                               2,       "overloaded"),
        (says(400, "bad_size"),                           1,       "invalid_request"),
        (says(400, "content_policy_violation"),           1,       "moderated"),
        (says(404, "no_such_model"),                      1,       "not_found"),
    ];
    let house = House::with(quick(), |bundle| {
        rule(bundle, json!({}));
        convention(bundle, "/errors", json!({
            "billing": ["insufficient_quota"], "moderated": ["content_policy_violation"], "overloaded": ["busy"],
        }));
    }).await;
    let modelrow = house.start().await;
    for (answer, submits, class) in cases {
        let (asked_before, jobs_before) = (asked(&house).len(), house.sim.accepted_jobs().len());
        house.sim.script(first(answer));
        let view = ended(&modelrow, cat()).await;
        let falls = submits == 2;
        assert_eq!(view.status == Status::Succeeded, falls, "{class}: {view:#?}");
        assert_eq!(asked(&house).len() - asked_before, submits, "{class}");
        assert_eq!(house.sim.accepted_jobs().len() - jobs_before, usize::from(falls), "{class}");
        let why = match falls {
            true => view.fallback.unwrap().after.unwrap(),
            false => view.failure.unwrap(),
        };
        assert_eq!(why["class"], class);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_unknown_outcome_no_fallback_runs() {
    let mut config = quick();
    config.rules = first(Action::Cut(Cut::AfterAccepting));
    let house = House::with(config, |bundle| {
        rule(bundle, json!({}));
        let conventions = bundle["provider"]["conventions"].as_object_mut().unwrap();
        conventions.remove("settle");
        for profile in bundle["profiles"].as_array_mut().unwrap() {
            let transport = profile["transport"].as_object_mut().unwrap();
            transport.remove("settle");
        }
    })
    .await;
    let [target, _] = names(&house.bundle);
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        view.failure_text("code"),
        Some("unknown_outcome"),
        "{view:#?}"
    );
    assert_eq!(view.fallback.unwrap().status, FallbackStatus::Ready);
    assert_eq!(
        (house.sim.accepted_jobs().len(), asked(&house)),
        (1, vec![target])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_that_is_settled_goes_on_with_the_target() {
    let mut config = quick();
    config.rules = first(Action::ServerError {
        status: 500,
        after_accepting: true,
    });
    let house = House::with(config, |bundle| {
        rule(bundle, json!({}));
        quick_settle(bundle);
    })
    .await;
    let [target, _] = names(&house.bundle);
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        (view.status, view.model.as_ref()),
        (Status::Succeeded, Some(&target)),
        "{view:#?}"
    );
    assert_eq!(
        (house.sim.accepted_jobs().len(), asked(&house)),
        (1, vec![target])
    );
}

/// The first job fails with this code.
fn failing(code: &str) -> Vec<Rule> {
    let fails = Failure {
        code: code.to_owned(),
        message: "it broke".to_owned(),
        at_progress: 10,
    };
    first(Action::Job(simulator::JobPatch {
        fails: Some(fails),
        ..simulator::JobPatch::default()
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[rustfmt::skip]
async fn a_job_that_failed_with_a_class_that_the_rule_lists_is_followed_by_the_fallback() {
    let cases = [
        // the rule lists                       the job fails with   jobs   class
        (json!({}),                             "no_gpu",            2,     "overloaded"),
        (json!({}),                             "broke",             1,     "provider_error"),
        (json!({"fallback_on": ["billing"]}),   "no_gpu",            1,     "overloaded"),
        (json!({"fallback_on": ["provider_error"]}), "broke",        2,     "provider_error"),
    ];
    for (listed, code, jobs, class) in cases {
        let mut config = quick();
        config.rules = failing(code);
        let house = House::with(config, |bundle| {
            rule(bundle, listed.clone());
            bundle["provider"]["conventions"]["errors"]["overloaded"] = json!(["no_gpu"]);
        }).await;
        let [target, fallback] = names(&house.bundle);
        let modelrow = house.start().await;
        let view = ended(&modelrow, cat()).await;
        assert_eq!(house.sim.accepted_jobs().len(), jobs, "{listed} {code}: {view:#?}");
        assert_eq!(view.spent, "yes");
        if jobs == 1 {
            assert_eq!(view.failure_text("class"), Some(class));
            continue;
        }
        assert_eq!(view.status, Status::Succeeded, "{view:#?}");
        assert_eq!(outcomes(&view), [(target.as_str(), "job_failed"), (fallback.as_str(), "accepted")]);
        // Nothing of the failed job is left: the file is the second job's.
        assert_eq!(view.provider_job_id, view.attempts[1].provider_job_id);
        assert_ne!(view.attempts[0].provider_job_id, view.attempts[1].provider_job_id);
        assert_eq!((view.artifacts.len(), view.failure), (1, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_has_no_fallback() {
    let mut config = quick();
    config.rules = vec![Rule::on(Operation::Create, says(401, "invalid_api_key")).always()];
    let house = house(config).await;
    let [target, fallback] = names(&house.bundle);
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        view.failure_text("class"),
        Some("authentication"),
        "{view:#?}"
    );
    assert_eq!(
        (asked(&house), view.spent.as_str()),
        (vec![target, fallback], "none")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_while_the_target_is_asked_keeps_the_fallback_from_being_sent() {
    let mut config = quick();
    config.rules = vec![
        Rule::on(Operation::Create, says(401, "invalid_api_key")),
        Rule::on(Operation::Create, Action::Stall { ms: 1_500 }),
    ];
    let house = house(config).await;
    let modelrow = house.start().await;
    let handle = modelrow.run_profile(cat()).await.unwrap();
    until("it is sent", || async {
        handle.view().await.unwrap().state == "submitting"
    })
    .await;
    handle.cancel().await.unwrap();
    let view = modelrow
        .wait(DEFAULT_TENANT, handle.id(), LIMIT)
        .await
        .unwrap();
    assert_eq!(
        (view.status, view.spent.as_str()),
        (Status::Canceled, "none"),
        "{view:#?}"
    );
    assert_eq!(asked(&house).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_between_the_refusal_and_the_fallback_is_replaced() {
    let (house, rival) = two(quick(), |_| {}).await;
    house.sim.script(first(says(402, "no_money")));
    let first = house.start().await;
    // Its claim waits, so that the worker dies in between.
    house.sql(&format!("update credential_limits set paused_until = now() + interval '1 hour' where credential_id in ({})", of_rival("k.id"))).await;
    let run = first.run_profile(cat()).await.unwrap().id();
    until("it is queued under the fallback", || async {
        house.count("select count(*) from run_states where state = 'queued' and revision_id <> (select revision_id from runs)").await == 1
    })
    .await;
    drop(first);
    house
        .sql("update credential_limits set paused_until = null")
        .await;
    let second = house.start().await;
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(
        (house.sim.accepted_jobs().len(), rival.accepted_jobs().len()),
        (0, 1)
    );
}

fn of_rival(column: &str) -> String {
    format!(
        "select {column} from provider_api_credentials k join ai_providers p on p.id = k.provider_id where p.slug = 'rival'"
    )
}

/// The target's provider, and another that has the same models, at an address of its own.
async fn two(config: Config, change: impl FnOnce(&mut Value)) -> (House, Simulator) {
    let mut house = House::of(config, crate::house::bundle()).await;
    let rival = Simulator::start(quick()).await.unwrap();
    let mut other = house.bundle.clone();
    other["provider"]["slug"] = json!("rival");
    for profile in other["auth_profiles"].as_array_mut().unwrap() {
        profile["profile_key"] = json!("rival_key");
    }
    for profile in other["profiles"].as_array_mut().unwrap() {
        profile["auth_profile"] = json!("rival_key");
    }
    for model in other["models"].as_array_mut().unwrap() {
        model["is_default"] = json!(false);
    }
    let [target, _] = names(&house.bundle);
    house.bundle["routing_rules"] =
        json!([{"target_model": target, "fallback_model": target, "fallback_provider": "rival"}]);
    change(&mut house.bundle);
    let admin = Modelrow::start(Options {
        work: Work::No,
        ..house.options()
    })
    .await
    .unwrap();
    for bundle in [&other, &house.bundle] {
        let (checked, _) = profile::bundle::check("bundle.json", &bundle.to_string());
        assert!(!checked.diagnostics.has_errors(), "{}", checked.diagnostics);
        admin.apply(SYSTEM_TENANT, &checked.rows).await.unwrap();
    }
    let url = rival.base_url();
    house
        .sql(&format!(
            "update provider_api_credentials set endpoint_url = '{url}' where id in ({})",
            of_rival("k.id")
        ))
        .await;
    (house, rival)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_too_busy_is_left_for_another_at_once_and_its_key_rests() {
    let (house, rival) = two(quick(), |_| {}).await;
    house.sim.script(first(Action::RateLimit {
        retry_after_s: Some(300),
        retry_after_ms: None,
    }));
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        (view.status, view.provider.as_deref()),
        (Status::Succeeded, Some("rival")),
        "{view:#?}"
    );
    assert_eq!(
        (house.sim.accepted_jobs().len(), rival.accepted_jobs().len()),
        (0, 1)
    );
    let resting =
        "select count(*) from credential_limits where paused_until > now() + interval '4 minutes'";
    assert_eq!(
        house.count(resting).await,
        1,
        "the target's, and not the fallback's"
    );
    // A pause is no refusal: what comes meanwhile waits for the target.
    let waiting = modelrow.run_profile(cat()).await.unwrap();
    house.sql("update credential_limits set paused_until = now() + interval '1 second' where paused_until is not null").await;
    let view = modelrow
        .wait(DEFAULT_TENANT, waiting.id(), LIMIT)
        .await
        .unwrap();
    assert_eq!(view.fallback.unwrap().status, FallbackStatus::Ready);
    assert_eq!(
        (house.sim.accepted_jobs().len(), rival.accepted_jobs().len()),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_cannot_be_reached_is_tried_as_often_as_retry_says_and_then_replaced() {
    let (house, rival) = two(quick(), |bundle| {
        convention(
            bundle,
            "/retry",
            json!({"max": 1, "backoff_ms": 50, "max_backoff_ms": 50}),
        );
    })
    .await;
    // Nobody listens there.
    house.sql(&format!("update provider_api_credentials set endpoint_url = 'http://127.0.0.1:1' where id not in ({})", of_rival("k.id"))).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        (view.status, rival.accepted_jobs().len()),
        (Status::Succeeded, 1),
        "{view:#?}"
    );
    let outcomes: Vec<&str> = view
        .attempts
        .iter()
        .map(|one| one.outcome.as_str())
        .collect();
    assert_eq!(outcomes, ["not_sent", "not_sent", "accepted"]);
    assert_eq!(view.fallback.unwrap().after.unwrap()["class"], "transient");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_before_the_submit_that_is_refused_leaves_the_target_too_with_nothing_of_it_sent() {
    let (house, rival) = two(quick(), |bundle| {
        for profile in bundle["profiles"].as_array_mut().unwrap() {
            profile["workflow"]["before"] =
                json!([{"name": "enter", "action": "request", "path": "/enter"}]);
        }
    })
    .await;
    house.sim.script(vec![Rule::on(
        Operation::Unknown,
        says(401, "invalid_api_key"),
    )]);
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        (view.status, rival.accepted_jobs().len()),
        (Status::Succeeded, 1),
        "{view:#?}"
    );
    assert_eq!(
        (view.attempts.len(), house.asked(Operation::Create).len()),
        (1, 0)
    );
    assert_eq!(
        view.fallback.unwrap().after.unwrap()["class"],
        "authentication"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_that_refuses_the_options_is_a_warning_and_not_available() {
    let mut config = quick();
    config.rules = first(says(401, "invalid_api_key"));
    let house = House::with(config, |bundle| {
        rule(bundle, json!({}));
        bundle["models"][1]["capabilities"]["options"]["seconds"] =
            json!({"type": "int", "min": 4, "max": 6});
        bundle["models"][1]["capabilities"]["limits"] = json!({});
    })
    .await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        view.failure_text("class"),
        Some("authentication"),
        "{view:#?}"
    );
    assert_eq!(asked(&house).len(), 1);
    let fallback = view.fallback.as_ref().unwrap();
    assert_eq!(fallback.status, FallbackStatus::Unavailable);
    assert!(fallback.why[0].contains("8"), "{fallback:?}");
    assert!(
        view.warnings[0].contains(&names(&house.bundle)[1]),
        "{:?}",
        view.warnings
    );
    // What it accepts is sent as it understands it: its own defaults, not the target's.
    house.sim.script(first(says(401, "invalid_api_key")));
    let mut short = RunRequest::new("video").prompt("a cat");
    short.call.params.insert("seconds".into(), json!(4));
    let view = ended(&modelrow, short).await;
    assert_eq!(
        (view.status, view.fallback.unwrap().status),
        (Status::Succeeded, FallbackStatus::Used)
    );
}
