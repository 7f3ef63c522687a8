//! Where it is not known what became of a submit, or of our own commit.

use crate::house::{House, LIMIT, bundle, cat, ended, holds_a_lease, quick, quick_settle, until};
use crate::wire::Wire;
use runtime::{Modelrow, Options, RunHandle, RunView, Status, Work};
use serde_json::{Value, json};
use simulator::{Action, Config, Cut, Operation, Rule, Scripted};
use store::DEFAULT_TENANT;

pub(crate) fn outcomes(view: &RunView) -> Vec<&str> {
    view.attempts
        .iter()
        .map(|attempt| attempt.outcome.as_str())
        .collect()
}

/// Nothing says how to learn an unknown outcome.
pub(crate) fn without_settle() -> Value {
    let mut bundle = bundle();
    let conventions = bundle["provider"]["conventions"].as_object_mut().unwrap();
    conventions.remove("settle");
    for profile in bundle["profiles"].as_array_mut().unwrap() {
        profile["transport"]
            .as_object_mut()
            .unwrap()
            .remove("settle");
    }
    bundle
}

/// A provider that makes one job of one key, and a bundle that says so.
async fn house_of_replays(rules: Vec<Rule>) -> House {
    let mut config = quick();
    config.idempotency_header = Some("idempotency-key".into());
    config.rules = rules;
    let mut bundle = without_settle();
    bundle["provider"]["conventions"]["settle"] = json!({"kind": "replay"});
    for profile in bundle["profiles"].as_array_mut().unwrap() {
        profile["transport"]["idempotency"] =
            json!({"header": "Idempotency-Key", "retention_s": 3600});
    }
    House::of(config, bundle).await
}

fn cut() -> Action {
    Action::Cut(Cut::AfterAccepting)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_the_same_attempt_with_the_same_bytes_and_token_and_is_counted_first() {
    let late = Rule::on(Operation::Create, Action::DelayAnswer { ms: 1_500 }).nth(2);
    let house = house_of_replays(vec![Rule::on(Operation::Create, cut()), late]).await;
    let modelrow = house.start().await;
    let run = modelrow.run_profile(cat()).await.unwrap();
    until("it is sent again", || async {
        house.asked(Operation::Create).len() == 2
    })
    .await;
    let counted = house
        .count("select replays::bigint from submit_attempts")
        .await;
    assert_eq!(counted, 1, "while its answer is awaited");
    let view = modelrow
        .wait(DEFAULT_TENANT, run.id(), LIMIT)
        .await
        .unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let asked = house.asked(Operation::Create);
    let what = |i: usize| {
        let entry = &asked[i];
        (
            entry.method.clone(),
            entry.path.clone(),
            entry.headers.get("idempotency-key").cloned(),
            entry.body.clone(),
        )
    };
    assert_eq!(what(0), what(1));
    assert!(what(0).2.is_some());
    assert_eq!(
        (outcomes(&view), house.sim.accepted_jobs().len()),
        (vec!["accepted"], 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_a_replay_has_begun_a_late_refusal_does_not_free_the_run() {
    let no = Scripted::json(
        400,
        json!({"error": {"code": "no", "message": "no such thing"}}),
    );
    let refusal = Rule::on(Operation::Create, Action::Answer(no)).nth(2);
    let house = house_of_replays(vec![Rule::on(Operation::Create, cut()), refusal]).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(
        (outcomes(&view), view.attempts[0].replays),
        (vec!["accepted"], 2)
    );
    assert_eq!(
        (
            house.sim.accepted_jobs().len(),
            house.asked(Operation::Create).len()
        ),
        (1, 3)
    );
}

async fn house_of_repeats(config: Config) -> House {
    let mut bundle = without_settle();
    for profile in bundle["profiles"].as_array_mut().unwrap() {
        profile["transport"]["on_unknown"] = json!("repeat");
    }
    House::of(config, bundle).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_admins_consent_an_unknown_attempt_is_written_off_and_the_run_sent_again() {
    let mut config = quick();
    config.rules = vec![Rule::on(Operation::Create, cut())];
    let house = house_of_repeats(config).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(outcomes(&view), ["written_off", "accepted"]);
    assert_eq!(house.sim.accepted_jobs().len(), 2, "consented to");
}

async fn behind(house: &House, wire: &Wire) -> Modelrow {
    let options = Options {
        database_url: wire.url.clone().into(),
        ..house.options()
    };
    Modelrow::start(options).await.unwrap()
}

/// Jobs that the provider has, and how often it was asked for one.
fn jobs(house: &House) -> (usize, usize) {
    (
        house.sim.accepted_jobs().len(),
        house.asked(Operation::Create).len(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_commit_was_not_answered_is_closed_as_not_sent_and_sent_once() {
    let house = House::new(quick()).await;
    let wire = Wire::losing(&house.database.url, "insert into submit_attempts").await;
    let (_worker, taker) = (behind(&house, &wire).await, taker(&house).await);
    let view = ended(&taker, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(wire.lost(), 1);
    assert_eq!(outcomes(&view), ["not_sent", "accepted"]);
    assert_eq!(jobs(&house), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_commit_came_to_nothing_is_made_again_and_its_doubt_closes_no_other() {
    // Longer than a tick, at which claims in doubt are asked about.
    let slow = Rule::on(Operation::Create, Action::DelayAnswer { ms: 2_500 });
    let config = Config {
        rules: vec![slow],
        ..quick()
    };
    let house = House::new(config).await;
    let wire = Wire::breaking(&house.database.url, "insert into submit_attempts").await;
    let (_worker, taker) = (behind(&house, &wire).await, taker(&house).await);
    let view = ended(&taker, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(wire.lost(), 1);
    assert_eq!(outcomes(&view), ["accepted"]);
    assert_eq!(jobs(&house), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_claimed_with_its_insert_whose_commit_was_not_answered_is_looked_up_and_sent_once() {
    let house = House::new(quick()).await;
    let wire = Wire::losing(&house.database.url, "insert into submit_attempts").await;
    let modelrow = behind(&house, &wire).await;
    holds_a_lease(&modelrow).await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(wire.lost(), 1);
    assert_eq!(outcomes(&view), ["not_sent", "accepted"]);
    assert_eq!(jobs(&house), (1, 1));
    assert_eq!(house.count("select count(*) from runs").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_acceptance_was_written_without_an_answer_is_followed_at_once() {
    let house = House::new(quick()).await;
    let wire = Wire::losing(&house.database.url, "set outcome = 'accepted'").await;
    let options = Options {
        database_url: wire.url.clone().into(),
        // Nobody compares the rows with memory before the test is over.
        tick: LIMIT * 10,
        ..house.options()
    };
    let modelrow = Modelrow::start(options).await.unwrap();
    house.shards_are_owned().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(wire.lost(), 1);
    assert_eq!(outcomes(&view), ["accepted"]);
    assert_eq!(jobs(&house), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_looked_up_by_run_id_before_an_error_is_said() {
    let house = House::new(quick()).await;
    for (wire, what) in [
        (
            Wire::losing(&house.database.url, "insert into runs").await,
            "the answer",
        ),
        (
            Wire::breaking(&house.database.url, "insert into runs").await,
            "the commit",
        ),
    ] {
        let options = Options {
            work: Work::No,
            database_url: wire.url.clone().into(),
            ..house.options()
        };
        let modelrow = Modelrow::start(options).await.unwrap();
        let run = modelrow.run_profile(cat()).await.unwrap();
        assert_eq!(wire.lost(), 1, "{what}");
        let there = format!("select count(*) from runs where run_id = '{}'", run.id());
        assert_eq!(house.count(&there).await, 1, "{what}");
    }
    assert_eq!(house.count("select count(*) from runs").await, 2);
}

/// A run that nobody claims.
async fn held(modelrow: &Modelrow, house: &House) -> RunHandle {
    let run = modelrow.run_profile(cat()).await.unwrap();
    house.sql("update run_states set held = true").await;
    run
}

/// Makes the held run one that this worker was about to send, and does not remember.
async fn forget(house: &House, sent_at: &str) {
    house
        .sql(&format!(
            "insert into submit_attempts (run_id, n, token, revision_id, credential_id, endpoint, request_sha256, worker_id, sent_at)
                 select run_id, 1, run_id, revision_id, credential_id, 'http://acme.test', decode(repeat('07', 32), 'hex'), w.worker_id, {sent_at}
                 from run_states, workers w;
             update run_states set state = 'submitting', ver = 1, attempt = 1, held = false, worker_id = (select worker_id from workers)"
        ))
        .await;
}

pub(crate) async fn taker(house: &House) -> Modelrow {
    let options = Options {
        work: Work::No,
        ..house.options()
    };
    Modelrow::start(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_memory_does_not_hold_becomes_unknown_and_absence_proves_nothing_for_it() {
    let house = House::with(quick(), quick_settle).await;
    let taker = taker(&house).await;
    let run = held(&taker, &house).await;
    let modelrow = house.start().await;
    holds_a_lease(&modelrow).await;
    forget(&house, "now()").await;
    until("it is looked for twice", || async {
        house.asked(Operation::List).len() >= 2
    })
    .await;
    let view = run.view().await.unwrap();
    // The list is empty, and the sender has not said that its exchange ended.
    assert_eq!(
        (view.state.as_str(), view.spent.as_str(), outcomes(&view)),
        ("submit_unknown", "maybe", vec!["unknown"]),
        "{view:#?}"
    );
    assert!(house.asked(Operation::Create).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_database_went_back_in_time_nothing_is_sent_until_it_is_released() {
    let house = House::new(quick()).await;
    let taker = taker(&house).await;
    let run = taker.run_profile(cat()).await.unwrap();
    house
        .sql("update database_identity set timeline = '000000FF'")
        .await;
    let modelrow = house.start().await;
    until("it is held", || async { run.view().await.unwrap().held }).await;
    // A run that was asked for afterwards is sent: the worker works.
    let other = ended(&modelrow, cat()).await;
    assert_eq!(other.status, Status::Succeeded, "{other:#?}");
    assert_eq!(house.asked(Operation::Create).len(), 1);
    assert_eq!(run.view().await.unwrap().state, "queued");
    let because = runtime::Because {
        reason: "the provider has no such job".into(),
        by: "ann".into(),
    };
    let released = modelrow.release(Some(&[run.id()]), &because).await.unwrap();
    assert_eq!((released.len(), released[0].state.as_str()), (1, "queued"));
    let view = run.wait().await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_database_that_went_back_in_time_nothing_is_claimed_before_it_was_looked_at() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    holds_a_lease(&modelrow).await;
    house
        .sql("update credential_limits set paused_until = now() + interval '1 hour'")
        .await;
    let run = modelrow.run_profile(cat()).await.unwrap();
    // At once; the next look of this worker is seconds away.
    house
        .sql(
            "begin; update database_identity set timeline = '000000FF';
             update credential_limits set paused_until = null; commit",
        )
        .await;
    until("it is held", || async { run.view().await.unwrap().held }).await;
    assert!(house.asked(Operation::Create).is_empty());
    assert_eq!(run.view().await.unwrap().attempts.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_the_list_shows_after_a_server_error_is_waited_for_and_not_submitted_twice() {
    // The list answers late itself, and its first answers are errors.
    let mut config = quick();
    config.jobs.visible_after_ms = 700;
    config.rules = vec![
        Rule::on(
            Operation::Create,
            Action::ServerError {
                status: 502,
                after_accepting: true,
            },
        ),
        Rule::on(
            Operation::List,
            Action::ServerError {
                status: 500,
                after_accepting: false,
            },
        ),
    ];
    let house = House::with(config, quick_settle).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(
        (
            house.sim.accepted_jobs().len(),
            house.asked(Operation::Create).len()
        ),
        (1, 1)
    );
    assert!(view.attempts[0].adopted && house.asked(Operation::List).len() == 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admins_consent_holds_for_a_sender_that_died_once_its_answer_can_come_no_more() {
    let house = house_of_repeats(quick()).await;
    let taker = taker(&house).await;
    let run = held(&taker, &house).await;
    let modelrow = house.start().await;
    holds_a_lease(&modelrow).await;
    forget(&house, "now() - interval '10 minutes'").await;
    let view = run.wait().await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(outcomes(&view), ["written_off", "accepted"]);
    assert_eq!(house.asked(Operation::Create).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_of_unknown_outcome_says_all_that_is_known() {
    let mut config = quick();
    config.rules = vec![Rule::on(
        Operation::Create,
        Action::ServerError {
            status: 503,
            after_accepting: true,
        },
    )];
    let house = House::of(config, without_settle()).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    let failure = view.failure.clone().unwrap_or(Value::Null);
    assert_eq!(failure["code"], "unknown_outcome", "{view:#?}");
    assert_eq!(
        (
            view.spent.as_str(),
            view.attempts[0].http_status,
            house.asked(Operation::Create).len()
        ),
        ("maybe", Some(503), 1)
    );
}
