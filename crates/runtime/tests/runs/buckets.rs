//! Files of runs in a bucket behind a real S3 server: whoever dies on the way, one stands.

use crate::bucket::{BucketServer, URL};
use crate::house::{House, LIMIT, cat, ended, quick, until};
use futures_util::TryStreamExt as _;
use runtime::{Artifacts, Modelrow, Options, RunView, Status};
use sha2::{Digest as _, Sha256};
use simulator::{Action, Config, Operation, Rule};
use store::DEFAULT_TENANT;

/// A part and a bit.
const FILM: u64 = 9 * 1024 * 1024;

fn long_film() -> Config {
    let mut config = quick();
    config.jobs.content_bytes = Some(FILM);
    config
}

fn options(house: &House, server: &BucketServer) -> Options {
    Options {
        artifacts: Artifacts::named(URL, server.settings()),
        ..house.options()
    }
}

/// The file of a run, read back and compared with its digest.
async fn film(modelrow: &Modelrow, view: &RunView) -> usize {
    let file = &view.artifacts[0];
    let stored = modelrow.artifact(DEFAULT_TENANT, view.id, &file.name, file.idx);
    let pieces: Vec<bytes::Bytes> = stored
        .await
        .unwrap()
        .unwrap()
        .bytes
        .try_collect()
        .await
        .unwrap();
    let bytes = pieces.concat();
    let digest: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(digest, file.sha256);
    bytes.len()
}

fn objects(server: &BucketServer) -> Vec<String> {
    let mut files = server.files();
    files.retain(|name| name.starts_with("films/below/here/") && !name.contains("/uploads/"));
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_delivers_into_a_bucket() {
    let (house, server) = (House::new(long_film()).await, BucketServer::start().await);
    let modelrow = Modelrow::start(options(&house, &server)).await.unwrap();
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(film(&modelrow, &view).await as u64, FILM);
    assert_eq!(server.files().len(), 1, "{:?}", server.files());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_killed_in_the_middle_leaves_one_file_with_the_right_digest() {
    let mut config = long_film();
    let stall = Action::StallBody {
        after_bytes: FILM - 1_000,
        ms: 60_000,
    };
    config.rules = vec![Rule::on(Operation::Content, stall)];
    let (house, server) = (House::new(config).await, BucketServer::start().await);
    let first = Modelrow::start(options(&house, &server)).await.unwrap();
    let run = first.run_profile(cat()).await.unwrap().id();
    until("a part is stored", || async {
        server.files().iter().any(|name| name.contains(".part-"))
    })
    .await;
    drop(first);
    let second = Modelrow::start(options(&house, &server)).await.unwrap();
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(film(&second, &view).await as u64, FILM);
    assert_eq!((view.artifacts.len(), objects(&server).len()), (1, 1));
}

/// The shard of the only run goes to the other of two workers, which gives one of its own: both have as many as before.
const SWAP: &str = "with mine as (select s.shard, s.owner from shards s join run_states r using (shard)),
    other as (select o.shard, o.owner from shards o, mine where o.owner <> mine.owner limit 1)
    update shards s set epoch = epoch + 1, owner = case when s.shard = mine.shard then other.owner else mine.owner end
    from mine, other where s.shard in (mine.shard, other.shard)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_that_fetch_one_file_leave_one_and_the_loser_takes_its_own_away() {
    let mut config = quick();
    let stall = Action::StallBody {
        after_bytes: 1_000,
        ms: 4_000,
    };
    config.rules = vec![Rule::on(Operation::Content, stall)];
    let (house, server) = (House::new(config).await, BucketServer::start().await);
    let first = Modelrow::start(options(&house, &server)).await.unwrap();
    let second = Modelrow::start(options(&house, &server)).await.unwrap();
    until("both have their share", || async {
        house
            .count("select count(distinct owner) from shards")
            .await
            == 2
    })
    .await;
    let run = first.run_profile(cat()).await.unwrap().id();
    until("the file is asked for", || async {
        !house.asked(Operation::Content).is_empty()
    })
    .await;
    house.sql(SWAP).await;
    let view = second.wait(DEFAULT_TENANT, run, LIMIT).await.unwrap();
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(house.asked(Operation::Content).len(), 2);
    // Whoever is late writes its fact, finds the other's, and takes its own object away.
    first.shutdown(LIMIT).await;
    second.shutdown(LIMIT).await;
    assert_eq!(objects(&server).len(), 1, "{:?}", server.files());
    assert_eq!(house.count("select count(*) from artifacts").await, 1);
}
