//! What is kept, for how long, and what is taken away with it.

use crate::bucket::walk;
use crate::house::{House, LIMIT, cat, ended, quick};
use runtime::{Modelrow, Options, Retention, RunView, Status, Sweep, Swept, Work};
use std::time::Duration;
use store::DEFAULT_TENANT;
use uuid::Uuid;

/// A process that only sweeps when it is told to.
async fn sweeper(house: &House, retention: Retention) -> Modelrow {
    let options = Options {
        work: Work::No,
        retention,
        ..house.options()
    };
    Modelrow::start(options).await.unwrap()
}

/// A run that delivered, and nobody who works any more.
async fn delivered(house: &House) -> RunView {
    let retention = Retention {
        artifacts: Some(Duration::from_secs(86_400)),
        ..Retention::default()
    };
    let options = Options {
        retention,
        ..house.options()
    };
    let worker = Modelrow::start(options).await.unwrap();
    let view = ended(&worker, cat()).await;
    let expires = view.artifacts.iter().all(|file| file.expires_at.is_some());
    assert!(expires, "{view:#?}");
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    worker.shutdown(LIMIT).await;
    view
}

fn files(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    walk(house.folder.path(), &mut found);
    let name = |path: &std::path::PathBuf| {
        path.strip_prefix(house.folder.path())
            .unwrap()
            .display()
            .to_string()
    };
    let mut names: Vec<String> = found.iter().map(name).collect();
    names.sort();
    names
}

fn put(house: &House, key: &str) {
    let path = house.folder.path().join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, key).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_withdrawn_when_its_time_is_over_and_its_object_goes_an_hour_later() {
    let house = House::new(quick()).await;
    let view = delivered(&house).await;
    let sweeper = sweeper(
        &house,
        Retention {
            events: Some(Duration::from_secs(8 * 86_400)),
            ..Retention::default()
        },
    )
    .await;
    assert_eq!(
        sweeper.sweep(Sweep::Clean).await.unwrap(),
        Swept::default(),
        "nothing is due"
    );
    house
        .sql("update artifacts set delete_after = now() - interval '1 s'")
        .await;
    house.sql("update run_states set ended_at = now() - interval '10 d'; update run_events set at = now() - interval '9 d' where seq = 1").await;
    let due = sweeper.sweep(Sweep::DryRun).await.unwrap();
    assert_eq!((due.artifacts, due.objects, due.events), (1, 0, 1));
    let file = &view.artifacts[0];
    let stored = || sweeper.artifact(DEFAULT_TENANT, view.id, &file.name, file.idx);
    assert!(
        stored().await.unwrap().is_some(),
        "a dry run changes nothing"
    );
    assert_eq!(sweeper.sweep(Sweep::Clean).await.unwrap(), due);
    assert!(stored().await.unwrap().is_none());
    assert_eq!(
        files(&house).len(),
        1,
        "a download that has begun ends in peace"
    );
    house
        .sql("update artifacts set deleted_at = deleted_at - interval '2 h'")
        .await;
    assert_eq!(sweeper.sweep(Sweep::Clean).await.unwrap().objects, 1);
    assert_eq!(files(&house), [""; 0]);
    assert_eq!(sweeper.sweep(Sweep::Clean).await.unwrap(), Swept::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_two_runs_refer_to_lives_an_hour_longer_than_the_last() {
    let house = House::new(quick()).await;
    let (first, second) = (delivered(&house).await, delivered(&house).await);
    house.sql(&format!("update artifacts set object_key = (select object_key from artifacts where run_id = '{}')", first.id)).await;
    let withdrawn = |run: Uuid, ago: &str| {
        format!("update artifacts set deleted_at = now() - interval '{ago}' where run_id = '{run}'")
    };
    let sweeper = sweeper(&house, Retention::default()).await;
    let kept = files(&house).len();
    house.sql(&withdrawn(first.id, "2 h")).await;
    assert_eq!(
        sweeper.sweep(Sweep::Clean).await.unwrap().objects,
        0,
        "the other run refers to it"
    );
    house.sql(&withdrawn(second.id, "1 minute")).await;
    assert_eq!(
        sweeper.sweep(Sweep::Clean).await.unwrap().objects,
        0,
        "somebody may still read it"
    );
    assert_eq!(files(&house).len(), kept);
    house.sql(&withdrawn(second.id, "2 h")).await;
    assert_eq!(sweeper.sweep(Sweep::Clean).await.unwrap().objects, 1);
    assert_eq!(files(&house).len(), kept - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_of_a_run_that_goes_on_stay_and_go_after_it() {
    let house = House::new(quick()).await;
    let sweeper = sweeper(&house, Retention::default()).await;
    let run = sweeper.run_profile(cat()).await.unwrap();
    let (input, tenant) = (Uuid::from_u128(9), DEFAULT_TENANT);
    put(&house, &format!("inputs/{input}"));
    house
        .sql(&format!(
            "insert into inputs (input_id, tenant_id, object_key, sha256, bytes, content_type, delete_after)
             values ('{input}', '{tenant}', 'inputs/{input}', '', 1, 'image/png', now() - interval '1 d');
             insert into run_inputs (run_id, input_id) values ('{}', '{input}')",
            run.id()
        ))
        .await;
    assert_eq!(sweeper.sweep(Sweep::Clean).await.unwrap(), Swept::default());
    assert_eq!(files(&house).len(), 1);
    run.cancel().await.unwrap();
    let due = sweeper.sweep(Sweep::DryRun).await.unwrap();
    assert_eq!((due.inputs, files(&house).len()), (1, 1));
    assert_eq!(sweeper.sweep(Sweep::Clean).await.unwrap(), due);
    assert_eq!(files(&house), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_killed_processes_left_goes_and_nothing_that_anybody_may_need() {
    let house = House::new(quick()).await;
    let ended = delivered(&house).await.id;
    let careful = sweeper(&house, Retention::default()).await;
    let live = careful.run_profile(cat()).await.unwrap().id();
    let (gone, stored) = (Uuid::from_u128(7), files(&house));
    let strays = [
        format!("{ended}/video.0/9"),
        format!("{gone}/video.0/3"),
        format!("inputs/{gone}"),
        format!("{ended}/output/9"),
    ];
    let staged = format!("{ended}/video.0/8#1");
    let needed = [
        format!("{live}/video.0/3"),
        format!("{ended}/answer/1"),
        "not-ours.txt".to_owned(),
    ];
    strays
        .iter()
        .chain([&staged])
        .chain(&needed)
        .for_each(|key| put(&house, key));
    let young = careful.sweep(Sweep::Clean).await.unwrap();
    assert_eq!(young, Swept::default(), "their rows may be on their way");
    let strict = sweeper(
        &house,
        Retention {
            strays: Duration::ZERO,
            ..Retention::default()
        },
    )
    .await;
    let want = Swept {
        strays: 4,
        uploads: 1,
        foreign: 1,
        ..Swept::default()
    };
    assert_eq!(strict.sweep(Sweep::DryRun).await.unwrap(), want);
    assert_eq!(strict.sweep(Sweep::Clean).await.unwrap(), want);
    let mut left: Vec<String> = stored.into_iter().chain(needed).collect();
    left.sort();
    assert_eq!(files(&house), left);
}
