//! The submit: sent once, repeated only where nothing can have been paid for.

use crate::house::{House, LIMIT, cat, convention, ended, quick, quick_settle, until};
use runtime::{RunRequest, RunView, Status};
use simulator::{Action, Cut, Operation, Rule};
use store::DEFAULT_TENANT;

fn outcomes(view: &RunView) -> Vec<&str> {
    view.attempts
        .iter()
        .map(|attempt| attempt.outcome.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_for_policy_is_not_repeated() {
    let house = House::new(quick()).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, RunRequest::new("video").prompt("mario jumps")).await;
    assert_eq!(view.status, Status::Failed, "{view:#?}");
    assert_eq!(view.failure_text("class"), Some("moderated"));
    assert_eq!(house.asked(Operation::Create).len(), 1);
    assert_eq!(
        (view.spent.as_str(), outcomes(&view)),
        ("none", vec!["refused"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_for_load_is_waited_out() {
    let mut config = quick();
    let slow_down = Action::RateLimit {
        retry_after_s: None,
        retry_after_ms: Some(400),
    };
    config.rules = vec![Rule::on(Operation::Create, slow_down)];
    let house = House::new(config).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(outcomes(&view), ["refused", "accepted"]);
    let asked = house.asked(Operation::Create);
    assert_eq!(asked.len(), 2);
    assert!(
        asked[1].at_ms - asked[0].at_ms >= 400,
        "the provider's hint is kept"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_error_after_accepting_is_settled_by_the_list() {
    let mut config = quick();
    config.rules = vec![Rule::on(
        Operation::Create,
        Action::ServerError {
            status: 500,
            after_accepting: true,
        },
    )];
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
    assert!(view.attempts[0].adopted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_after_accepting_is_settled_by_the_list() {
    let mut config = quick();
    config.rules = vec![Rule::on(
        Operation::Create,
        Action::Cut(Cut::AfterAccepting),
    )];
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absence_counts_only_after_the_provider_had_time_to_show_the_job() {
    let mut config = quick();
    config.rules = vec![Rule::on(
        Operation::Create,
        Action::ServerError {
            status: 503,
            after_accepting: false,
        },
    )];
    let house = House::with(config, quick_settle).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(outcomes(&view), ["not_sent", "accepted"]);
    let (creates, lists) = (house.asked(Operation::Create), house.asked(Operation::List));
    assert_eq!((house.sim.accepted_jobs().len(), creates.len()), (1, 2));
    assert!(
        lists[0].at_ms - creates[0].at_ms >= 950,
        "not asked before `visible_after_ms`"
    );
    assert!(
        creates[1].at_ms >= lists[0].at_ms,
        "not sent again before absence was proved"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_the_list_shows_late_is_not_submitted_twice() {
    let mut config = quick();
    config.jobs.visible_after_ms = 700;
    config.rules = vec![Rule::on(
        Operation::Create,
        Action::ServerError {
            status: 500,
            after_accepting: true,
        },
    )];
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_ends_the_run_at_once_with_the_providers_words() {
    let mut config = quick();
    config.keys = vec!["another-key".into()];
    let house = House::new(config).await;
    let modelrow = house.start().await;
    let view = ended(&modelrow, cat()).await;
    assert_eq!(
        view.failure_text("class"),
        Some("authentication"),
        "{view:#?}"
    );
    let words = view.failure_text("provider_message").unwrap();
    assert!(
        !words.is_empty() && !words.contains(crate::house::KEY),
        "{words}"
    );
    assert_eq!(
        (house.asked(Operation::Create).len(), view.spent.as_str()),
        (1, "none")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_in_a_list_is_adopted_by_nobody_while_two_unknown_runs_could_have_made_it() {
    let mut config = quick();
    config.rules = vec![
        Rule::on(Operation::Create, Action::Cut(Cut::BeforeReading)),
        Rule::on(Operation::Create, Action::Cut(Cut::AfterAccepting)),
    ];
    let house = House::with(config, |bundle| {
        convention(bundle, "/settle/visible_after_ms", 2_000.into());
    })
    .await;
    let modelrow = house.start().await;
    // The first was never accepted. It looks first, and the list shows one job that nobody has: the second's.
    let lost = modelrow.run_profile(cat()).await.unwrap();
    until("the first is unknown", || async {
        lost.view().await.unwrap().state == "submit_unknown"
    })
    .await;
    let paid = modelrow.run_profile(cat()).await.unwrap();
    until("both have looked", || async {
        house.asked(Operation::List).len() >= 2
    })
    .await;
    assert_eq!(house.sim.accepted_jobs().len(), 1);
    assert_eq!(lost.view().await.unwrap().state, "submit_unknown");
    assert!(lost.view().await.unwrap().provider_job_id.is_none());
    // Once nobody else can have made it, it is its maker's: the next look adopts it.
    house
        .sql(&format!(
            "update run_states set state = 'failed', shard = null, ended_at = now() - interval '2 hours' where run_id = '{}'",
            lost.id()
        ))
        .await;
    let view = modelrow
        .wait(DEFAULT_TENANT, paid.id(), LIMIT)
        .await
        .unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert!(view.attempts[0].adopted);
    assert!(
        house.asked(Operation::List).len() >= 3,
        "not before the other was out of the question"
    );
    assert_eq!(
        (
            house.sim.accepted_jobs().len(),
            house.asked(Operation::Create).len()
        ),
        (1, 2)
    );
}
