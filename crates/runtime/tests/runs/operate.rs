//! What operators and callers do with runs that are there. The provider's ledger counts what it cost.

use crate::bundles::{PNG, house_of_forms, video};
use crate::doubt::{outcomes, taker, without_settle};
use crate::house::{
    House, LIMIT, cat, ended, holds_a_lease, quick, quick_polls, quick_settle, until,
};
use futures_util::StreamExt as _;
use runtime::{
    Because, InputMedium, Modelrow, PauseScope, Resolution, Retry, RunError, RunEvent, RunFilter,
    RunRequest, Scope, Status,
};
use serde_json::json;
use simulator::{Action, Cut, Operation, Recorded, Rule, Scripted};
use store::{DEFAULT_TENANT, State};
use uuid::Uuid;

fn because() -> Because {
    Because {
        reason: "seen in the provider's list".into(),
        by: "ann".into(),
    }
}

fn found(job: &str) -> Resolution {
    Resolution::Accepted {
        provider_job_id: job.to_owned(),
    }
}

/// The first submit is cut here, and the provider's list is out of order: the outcome stays unknown.
async fn house_of_doubt(cut: Cut) -> House {
    let mut config = quick();
    let away = Action::ServerError {
        status: 503,
        after_accepting: false,
    };
    config.rules = vec![
        Rule::on(Operation::Create, Action::Cut(cut)),
        Rule::on(Operation::List, away).always(),
    ];
    House::with(config, quick_polls).await
}

async fn in_state(modelrow: &Modelrow, run: Uuid, state: &str) {
    until(state, || async {
        modelrow.run(Scope::Operator, run).await.unwrap().state == state
    })
    .await;
}

async fn doubtful(modelrow: &Modelrow) -> Uuid {
    let run = modelrow.run_profile(cat()).await.unwrap().id();
    in_state(modelrow, run, "submit_unknown").await;
    run
}

async fn kinds(modelrow: &Modelrow, run: Uuid) -> Vec<String> {
    let timeline = modelrow.timeline(Scope::Operator, run, 0, 99).await;
    timeline
        .unwrap()
        .into_iter()
        .map(|entry| entry.kind)
        .collect()
}

fn spent(house: &House) -> (usize, usize) {
    (
        house.sim.accepted_jobs().len(),
        house.asked(Operation::Create).len(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_found_the_job_has_it_delivered_and_nothing_is_sent_again() {
    let house = house_of_doubt(Cut::AfterAccepting).await;
    let worker = house.start().await;
    let run = doubtful(&worker).await;
    let job = house.sim.accepted_jobs()[0].id.clone();
    // In a process that neither works nor has the secret, as an operator's command line.
    let desk = taker(&house).await;
    let view = desk.resolve(run, &found(&job), &because()).await.unwrap();
    assert_eq!(
        (view.state.as_str(), view.spent.as_str()),
        ("polling", "yes")
    );
    let view = worker.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert!(view.attempts[0].adopted);
    assert_eq!(spent(&house), (1, 1));
    assert_eq!(kinds(&desk, run).await, ["accepted", "succeeded"]);
    let entry = desk
        .timeline(Scope::Operator, run, 0, 1)
        .await
        .unwrap()
        .remove(0);
    let said =
        json!({"as": "accepted", "provider_job_id": job, "reason": because().reason, "by": "ann"});
    assert_eq!(entry.body, said);
    let again = desk.resolve(run, &Resolution::Failed, &because()).await;
    assert!(
        matches!(again, Err(RunError::NotUnknown { .. })),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_resolved_as_not_accepted_is_sent_again_once() {
    let house = house_of_doubt(Cut::BeforeReading).await;
    let worker = house.start().await;
    let run = doubtful(&worker).await;
    let desk = taker(&house).await;
    desk.resolve(run, &Resolution::NotAccepted, &because())
        .await
        .unwrap();
    let view = worker.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(outcomes(&view), ["written_off", "accepted"]);
    assert_eq!(spent(&house), (1, 2));
    assert_eq!(
        kinds(&desk, run).await,
        ["resolved", "accepted", "succeeded"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_resolved_as_failed_is_reopened_by_proof_and_by_nothing_else() {
    let house = house_of_doubt(Cut::AfterAccepting).await;
    let worker = house.start().await;
    let run = doubtful(&worker).await;
    let view = worker
        .resolve(run, &Resolution::Failed, &because())
        .await
        .unwrap();
    assert_eq!(view.status, Status::Failed, "{view:#?}");
    assert_eq!(view.failure_text("code"), Some("unknown_outcome"));
    assert_eq!(view.failure.as_ref().unwrap()["resolved"]["by"], "ann");
    assert_eq!(view.spent, "maybe");
    for no in [Resolution::NotAccepted, Resolution::Failed] {
        let refused = worker.resolve(run, &no, &because()).await;
        assert!(
            matches!(refused, Err(RunError::NotUnknown { .. })),
            "{refused:?}"
        );
    }
    let job = house.sim.accepted_jobs()[0].id.clone();
    worker.resolve(run, &found(&job), &because()).await.unwrap();
    let view = worker.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(spent(&house), (1, 1));
    assert_eq!(
        kinds(&worker, run).await,
        ["failed", "reopened", "succeeded"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_without_a_reason_about_anothers_job_or_about_a_settled_run_is_refused() {
    let house = house_of_doubt(Cut::AfterAccepting).await;
    let worker = house.start().await;
    let run = doubtful(&worker).await;
    let other = ended(&worker, cat()).await;
    let theirs = other.provider_job_id.clone().unwrap();
    let wordless = Because {
        reason: " ".into(),
        by: "ann".into(),
    };
    let code = |refused: Result<_, RunError>| {
        let found = refused
            .map(|_: runtime::RunView| ())
            .unwrap_err()
            .diagnostics();
        found.iter().next().unwrap().code
    };
    use diag::Code;
    let nobody = Uuid::from_u128(1);
    for (run, resolution, because, want) in [
        (run, found("x"), wordless, Code::C181),
        (run, found(&theirs), because(), Code::R174),
        (run, found(""), because(), Code::R175),
        (other.id, Resolution::NotAccepted, because(), Code::R173),
        (nobody, Resolution::Failed, because(), Code::R162),
    ] {
        let refused = worker.resolve(run, &resolution, &because).await;
        assert_eq!(code(refused), want, "{resolution:?}");
    }
    assert_eq!(
        worker.run(Scope::Operator, run).await.unwrap().state,
        "submit_unknown"
    );
    assert_eq!(spent(&house), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_refused_while_the_old_run_may_be_paid_for_and_made_once_it_is_accepted() {
    let mut config = quick();
    config.rules = vec![Rule::on(
        Operation::Create,
        Action::Cut(Cut::AfterAccepting),
    )];
    let house = House::of(config, without_settle()).await;
    let worker = house.start().await;
    let first = ended(&worker, cat().metadata("order", "12")).await;
    assert_eq!(first.failure_text("code"), Some("unknown_outcome"));
    let refused = worker
        .retry(DEFAULT_TENANT, first.id, Retry::default())
        .await;
    let found = refused.unwrap_err().diagnostics();
    assert_eq!(found.iter().next().unwrap().code, diag::Code::R172);
    assert_eq!(spent(&house), (1, 1), "nothing was made");
    let how = Retry {
        accept_duplicate: true,
        idempotency_key: Some("again".into()),
        ..Retry::default()
    };
    let second = worker
        .retry(DEFAULT_TENANT, first.id, how.clone())
        .await
        .unwrap();
    let same = worker.retry(DEFAULT_TENANT, first.id, how).await.unwrap();
    assert_eq!((second.id(), same.replayed()), (same.id(), true));
    let view = second.wait().await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(
        (view.retry_of, &view.metadata),
        (Some(first.id), &first.metadata)
    );
    assert_eq!(view.output.unwrap()["title"], "a cat that plays the piano");
    assert_eq!(spent(&house), (2, 2), "consented to");
    let refused = worker
        .retry(DEFAULT_TENANT, view.id, Retry::default())
        .await;
    assert!(
        matches!(refused, Err(RunError::MayBePaid { .. })),
        "it succeeded"
    );
    let stranger = worker
        .retry(Uuid::from_u128(8), first.id, Retry::default())
        .await;
    assert!(matches!(stranger, Err(RunError::NoSuchRun { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_run_is_retried_freely_with_its_media() {
    let house = house_of_forms().await;
    let no = Scripted::json(
        400,
        json!({"error": {"code": "no", "message": "not today"}}),
    );
    house
        .sim
        .script(vec![Rule::on(Operation::Create, Action::Answer(no))]);
    let worker = house.start().await;
    let call = video(&house).input("reference", InputMedium::file("cat.png", PNG));
    let first = ended(&worker, call).await;
    assert_eq!(
        (first.status, outcomes(&first)),
        (Status::Failed, vec!["refused"]),
        "{first:#?}"
    );
    let second = worker
        .retry(DEFAULT_TENANT, first.id, Retry::default())
        .await
        .unwrap();
    let view = second.wait().await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let asked = house.asked(Operation::Create);
    let names = |i: usize| match &asked[i].body {
        Recorded::Form(parts) => parts
            .iter()
            .map(|part| (part.name.clone(), part.bytes.len))
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!((asked.len(), names(0)), (2, names(1)));
    assert!(names(1).contains(&("input_reference".to_owned(), PNG.len() as u64)));
}

/// Cancels a run once `ready` holds, and waits for its end.
async fn canceled(house: &House, worker: &Modelrow, ready: impl Fn(&House) -> bool) -> Status {
    let run = worker.run_profile(cat()).await.unwrap();
    until("it is there", || async { ready(house) }).await;
    run.cancel().await.unwrap();
    let view = worker.wait(DEFAULT_TENANT, run.id(), LIMIT).await.unwrap();
    assert!(view.ended() && view.cancel_requested, "{view:#?}");
    view.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_canceled_while_it_is_held_while_it_is_sent_and_while_its_outcome_is_unknown() {
    let mut config = quick();
    config.jobs.never_ends = true;
    let change = |bundle: &mut serde_json::Value| {
        quick_polls(bundle);
        quick_settle(bundle);
    };
    let house = House::with(config, change).await;
    let desk = taker(&house).await;
    let held = desk.run_profile(cat()).await.unwrap();
    house.sql("update run_states set held = true").await;
    assert_eq!(held.cancel().await.unwrap().status, Status::Canceled);
    assert_eq!(spent(&house), (0, 0));
    let worker = house.start().await;
    let slow = Action::DelayAnswer { ms: 1_500 };
    house.sim.script(vec![Rule::on(Operation::Create, slow)]);
    let sent = |house: &House| house.asked(Operation::Create).len() == 1;
    assert_eq!(canceled(&house, &worker, sent).await, Status::Canceled);
    let cut = Rule::on(Operation::Create, Action::Cut(Cut::AfterAccepting));
    house.sim.script(vec![cut]);
    let cut = |house: &House| house.sim.accepted_jobs().len() == 2;
    // A cancel settles the unknown outcome first.
    assert_eq!(canceled(&house, &worker, cut).await, Status::Canceled);
    assert_eq!(spent(&house), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_while_the_file_is_fetched_comes_too_late_and_the_job_is_kept() {
    let mut config = quick();
    let stall = Action::StallBody {
        after_bytes: 1_000,
        ms: 1_500,
    };
    config.rules = vec![Rule::on(Operation::Content, stall)];
    let house = House::new(config).await;
    let worker = house.start().await;
    let fetching = |house: &House| !house.asked(Operation::Content).is_empty();
    assert_eq!(canceled(&house, &worker, fetching).await, Status::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_run_is_gone_with_its_objects_and_its_key_stays_used() {
    let house = House::new(quick()).await;
    let worker = house.start().await;
    let large = Action::DelayAnswer { ms: 300 };
    house.sim.script(vec![Rule::on(Operation::Create, large)]);
    let run = worker
        .run_profile(cat().idempotency_key("once"))
        .await
        .unwrap();
    let early = worker
        .delete(DEFAULT_TENANT, run.id(), "ann")
        .await
        .unwrap_err();
    assert!(matches!(early, RunError::NotEnded { .. }), "{early:?}");
    let view = run.wait().await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let stranger = worker.delete(Uuid::from_u128(8), run.id(), "eve").await;
    assert!(matches!(stranger, Err(RunError::NoSuchRun { .. })));
    worker
        .delete(DEFAULT_TENANT, run.id(), "ann")
        .await
        .unwrap();
    assert!(matches!(run.view().await, Err(RunError::NoSuchRun { .. })));
    let file = worker.artifact(DEFAULT_TENANT, run.id(), "video", 0).await;
    assert!(file.unwrap().is_none());
    let again = worker
        .run_profile(cat().idempotency_key("once"))
        .await
        .unwrap_err();
    assert_eq!(
        again.diagnostics().iter().next().unwrap().code,
        diag::Code::R170
    );
    assert_eq!(spent(&house), (1, 1));
    let stored = || walk(house.folder.path());
    assert_eq!(stored(), 1, "an hour for running downloads");
    house
        .sql("update artifacts set deleted_at = now() - interval '2 h'")
        .await;
    worker.sweep(runtime::Sweep::Clean).await.unwrap();
    assert_eq!(stored(), 0);
}

fn walk(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { walk(&path) } else { 1 })
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_too_large_for_its_row_goes_with_the_deleted_run() {
    let mut config = quick();
    config.jobs.run_ms = 100;
    let house = House::new(config).await;
    let worker = house.start().await;
    // The prompt is the output's title.
    let long: String = (0..6_000).map(|i| format!("{i} ")).collect();
    let call = RunRequest::new("video").prompt(long).param("seconds", 8);
    let view = ended(&worker, call).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(walk(house.folder.path()), 2);
    worker.delete(DEFAULT_TENANT, view.id, "ann").await.unwrap();
    assert_eq!(walk(house.folder.path()), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_every_run_once_and_a_watch_goes_on_where_it_was_left() {
    let mut config = quick();
    config.jobs.run_ms = 100;
    let house = House::with(config, quick_polls).await;
    let worker = house.start().await;
    let mut made = Vec::new();
    for order in 0..5 {
        let call = cat().metadata("order", order.to_string());
        made.push(worker.run_profile(call).await.unwrap().id());
    }
    made.reverse();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filter = RunFilter {
            after,
            limit: Some(2),
            ..RunFilter::default()
        };
        let page = worker.runs(DEFAULT_TENANT, &filter).await.unwrap();
        seen.extend(page.runs.iter().map(|run| run.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, made);
    let filter = RunFilter {
        metadata: vec![("order".into(), "3".into())],
        states: State::ALL.to_vec(),
        ..RunFilter::default()
    };
    let page = worker.runs(Scope::Operator, &filter).await.unwrap();
    assert_eq!((page.runs.len(), page.runs[0].id), (1, made[1]));
    let events = worker.events_after(DEFAULT_TENANT, made[0], 1);
    let events: Vec<RunEvent> = events.collect().await;
    let entries: Vec<i32> = events
        .iter()
        .filter_map(|event| match event {
            RunEvent::Entry { seq, .. } => Some(*seq),
            _ => None,
        })
        .collect();
    assert_eq!(entries, [2], "not the first again");
    let shown = worker.run(Scope::Operator, made[0]).await.unwrap();
    assert_eq!(
        shown.attempts[0].endpoint,
        Some(house.sim.base_url().trim_end_matches("/v1").to_owned())
    );
    let shown = worker.run(DEFAULT_TENANT, made[0]).await.unwrap();
    assert_eq!(shown.attempts[0].endpoint, None, "a caller is not shown it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_the_brake_jobs_are_followed_nothing_new_is_sent_and_a_restart_changes_nothing() {
    let mut config = quick();
    config.jobs.run_ms = 600_000;
    let house = House::with(config, quick_polls).await;
    let worker = house.start().await;
    let followed = worker.run_profile(cat()).await.unwrap();
    in_state(&worker, followed.id(), "polling").await;
    let desk = taker(&house).await;
    desk.pause(&PauseScope::All, &because()).await.unwrap();
    let queued = worker.run_profile(cat()).await.unwrap();
    house.sim.advance_to_completion();
    let view = followed.wait().await.unwrap();
    assert_eq!(
        view.status,
        Status::Succeeded,
        "polls and fetches go on: {view:#?}"
    );
    worker.shutdown(LIMIT).await;
    let worker = house.start().await;
    let queued = worker.handle(DEFAULT_TENANT, queued.id());
    still_queued(&house, &worker, queued.id()).await;
    assert_eq!(spent(&house), (1, 1));
    assert_eq!(
        desk.pauses().await.unwrap().pauses[0].reason,
        because().reason
    );
    assert!(desk.resume(&PauseScope::All, "ann").await.unwrap());
    until("it is sent", || async { spent(&house) == (2, 2) }).await;
    house.sim.advance_to_completion();
    assert_eq!(queued.wait().await.unwrap().status, Status::Succeeded);
}

/// The worker ticks, and asks for what is due, several times.
async fn still_queued(house: &House, worker: &Modelrow, run: Uuid) {
    holds_a_lease(worker).await;
    let renewed = "select (extract(epoch from max(expires_at)) * 1000)::bigint from workers";
    let from = house.count(renewed).await;
    until("a second is over", || async {
        house.count(renewed).await > from + 1_000
    })
    .await;
    assert_eq!(
        worker.run(Scope::Operator, run).await.unwrap().state,
        "queued"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brake_on_a_tenant_stops_its_runs_only() {
    let house = House::new(quick()).await;
    let neighbour = Uuid::from_u128(0xb0b);
    house
        .sql(&format!(
            "insert into tenants (tenant_id, slug) values ('{neighbour}', 'neighbour')"
        ))
        .await;
    let worker = house.start().await;
    let scope = PauseScope::Tenant {
        tenant: "neighbour".into(),
    };
    worker.pause(&scope, &because()).await.unwrap();
    let theirs = worker.run_profile(cat().tenant(neighbour)).await.unwrap();
    let ours = ended(&worker, cat()).await;
    assert_eq!(ours.status, Status::Succeeded, "{ours:#?}");
    assert_eq!(
        (theirs.view().await.unwrap().state.as_str(), spent(&house)),
        ("queued", (1, 1))
    );
    assert!(worker.resume(&scope, "ann").await.unwrap());
    let view = theirs.wait().await.unwrap();
    assert_eq!((view.status, spent(&house)), (Status::Succeeded, (2, 2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_media_are_read_first_is_not_sent_under_the_brake() {
    let house = house_of_forms().await;
    let worker = house.start().await;
    worker.pause(&PauseScope::All, &because()).await.unwrap();
    let call = video(&house).input("reference", InputMedium::file("cat.png", PNG));
    let run = worker.run_profile(call).await.unwrap();
    still_queued(&house, &worker, run.id()).await;
    assert_eq!(spent(&house), (0, 0));
    worker.resume(&PauseScope::All, "ann").await.unwrap();
    assert_eq!(run.wait().await.unwrap().status, Status::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_tells_how_busy_and_how_late_it_is_with_the_renewal_of_its_lease() {
    let mut config = quick();
    config.jobs.run_ms = 600_000;
    let house = House::with(config, quick_polls).await;
    let desk = taker(&house).await;
    let nobody = desk.fleet().await.unwrap();
    assert_eq!((nobody.workers.len(), nobody.orphan_shards), (0, 256));
    let worker = house.start().await;
    let run = worker.run_profile(cat()).await.unwrap();
    until("its polls, its submit and its run are told", || async {
        let fleet = desk.fleet().await.unwrap();
        let told = fleet.workers.first().map(|worker| worker.report.clone());
        told.is_some_and(|told| {
            told.following == 1
                && told.rates.polls > 0.0
                && told.rates.submits > 0.0
                && told.lateness.polls > 0
        })
    })
    .await;
    assert_eq!(desk.fleet().await.unwrap().runs["polling"], 1);
    house.sim.advance_to_completion();
    assert_eq!(run.wait().await.unwrap().status, Status::Succeeded);
    until("its end and its file are told", || async {
        let fleet = desk.fleet().await.unwrap();
        fleet.rates.succeeded > 0.0
            && fleet.rates.bytes > 0.0
            && fleet.workers[0].report.following == 0
    })
    .await;
    let fleet = desk.fleet().await.unwrap();
    assert_eq!((fleet.orphan_shards, fleet.workers[0].shards), (0, 256));
    let told = house
        .count("select max(pg_column_size(report))::bigint from workers")
        .await;
    assert!(
        (1..512).contains(&told),
        "the row that is written each second stays small: {told}"
    );
    worker.shutdown(LIMIT).await;
    assert!(desk.fleet().await.unwrap().workers.is_empty());
}
