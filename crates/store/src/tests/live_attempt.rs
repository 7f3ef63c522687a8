//! The unique index under raw clients that know nothing of our functions.

use super::house::House;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sqlx::{Connection as _, Executor as _, PgConnection};

const CLIENTS: usize = 6;
const STEPS: usize = 120;
const LIVE: &str = "outcome in ('pending', 'accepted', 'unknown')";

fn statement(random: &mut StdRng) -> String {
    let n = random.random_range(1..=6);
    let words = [
        "pending",
        "not_sent",
        "refused",
        "accepted",
        "unknown",
        "job_failed",
        "written_off",
    ];
    let word = words[random.random_range(0..words.len())];
    match random.random_range(0..10) {
        0..=3 => format!(
            "insert into submit_attempts (run_id, n, token, revision_id, credential_id, endpoint, request_sha256, worker_id, outcome)
             select run_id, {n}, run_id, revision_id, credential_id, 'e', '\\x01', run_id, '{word}' from run_states on conflict (run_id, n) do nothing"
        ),
        4..=8 => format!("update submit_attempts set outcome = '{word}' where n = {n}"),
        _ => format!("delete from submit_attempts where n = {n}"),
    }
}

/// Autocommit, or a few statements in a transaction that may be rolled back.
async fn client(url: String, seed: u64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut refused = 0;
    for _ in 0..STEPS {
        let statements: Vec<String> = (0..random.random_range(1..4))
            .map(|_| statement(&mut random))
            .collect();
        let end = if random.random_bool(0.8) {
            "commit"
        } else {
            "rollback"
        };
        let sql = format!("begin; {}; {end}", statements.join("; "));
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        if let Err(error) = connection.execute(sql).await {
            // Deadlocks and taken numbers count for nothing.
            refused += usize::from(error.to_string().contains("submit_attempts_one_live"));
            connection.execute(sqlx::raw_sql("rollback")).await.unwrap();
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_interleaving_of_raw_clients_leaves_a_run_with_two_live_attempts() {
    let house = House::new().await;
    house.queue(1).await;
    // Looked at throughout, not only at the end.
    let clients = (0..CLIENTS as u64).map(|seed| client(house.database.url.clone(), seed));
    let watch = async {
        let mut most = 0;
        // On a busy machine the clients connect late.
        for look in 0..5_000 {
            if look >= 100 && most > 0 {
                break;
            }
            let live = house
                .one(&format!(
                    "select count(*) from submit_attempts where {LIVE}"
                ))
                .await;
            most = most.max(live.parse::<i32>().unwrap());
        }
        most
    };
    let (refused, most) = all(clients, watch).await;
    assert!(refused > 0, "the clients never met the index");
    assert_eq!(most, 1, "at every look at most one, and at some look one");
}

async fn all(
    clients: impl Iterator<Item = impl Future<Output = usize> + Send + 'static>,
    watch: impl Future<Output = i32>,
) -> (usize, i32) {
    let mut set = tokio::task::JoinSet::new();
    for client in clients {
        set.spawn(client);
    }
    let most = watch.await;
    let refused = set.join_all().await.into_iter().sum();
    (refused, most)
}
