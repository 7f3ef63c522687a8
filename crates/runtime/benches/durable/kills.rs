//! How late the jobs of a worker that dies are asked about by the others.

use crate::Size;
use crate::copies;
use crate::ground::{Ground, until};
use crate::processes::Process;
use crate::table::Table;
use runtime::{Concurrency, Modelrow};
use simulator::crowd::CrowdConfig;
use sqlx::Row as _;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

const WORKERS: usize = 4;
const INTERVAL_MS: u64 = 2_000;
/// What was not asked about by then counts as so late.
const MOST_MS: u64 = 12_000;

/// When jobs were asked about, milliseconds since 1970.
type Polls = HashMap<String, Vec<u64>>;

pub(crate) async fn measure(size: Size, table: &mut Table) {
    let kills = size.pick(1, 10, 100);
    let ground = Ground::new(CrowdConfig {
        answer_after: Duration::ZERO,
        content_bytes: 100_000,
        keep_polls: true,
    });
    let ground = ground.await;
    let library = ground.library().await;
    let mut workers: Vec<Process> = (0..WORKERS)
        .map(|_| ground.worker(Concurrency::default()))
        .collect();
    copies::waiting(
        &ground,
        &library,
        "watched",
        size.pick(200, 4_000, 4_000),
        INTERVAL_MS,
    )
    .await;
    // A dead process lets go of its advisory lock; one that is stopped holds it, and the lease has to run out.
    for (signal, most_ms) in [("KILL", 3_000), ("STOP", 7_000)] {
        let mut late = Vec::new();
        for n in 0..kills {
            balanced(&library).await;
            let victim = workers.remove(0);
            late.extend(orphans_wait(&ground, &victim, signal, n).await);
            drop(victim);
            workers.push(ground.worker(Concurrency::default()));
        }
        late.sort_unstable();
        let at = |share: usize| late[(late.len() * share / 100).min(late.len() - 1)];
        let what = format!(
            "first poll of {} orphans late after {kills} x {signal}: p50, p99",
            late.len()
        );
        let p99 = at(99);
        table.judged(
            &what,
            [format!("{} ms", at(50)), format!("{p99} ms")],
            &format!("at most {most_ms} ms"),
            p99 <= most_ms,
        );
    }
}

/// Every worker has its share of the shards.
async fn balanced(library: &Modelrow) {
    until(|| async {
        let fleet = library.fleet().await.unwrap();
        let fair = fleet
            .workers
            .iter()
            .all(|worker| (60..=68).contains(&worker.shards));
        fleet.workers.len() == WORKERS && fair && fleet.orphan_shards == 0
    })
    .await;
}

/// How late each job of the victim was asked about, in milliseconds.
async fn orphans_wait(ground: &Ground, victim: &Process, signal: &str, n: u64) -> Vec<u64> {
    polls(ground).await;
    // Each kill in another phase of the polls, the renewals and the ticks.
    sleep(Duration::from_millis(4_000 + n * 377 % INTERVAL_MS)).await;
    let orphans = jobs_of(ground, victim.id()).await;
    let killed = now_ms();
    victim.signal(signal);
    let polls = polls_until_each(ground, &orphans, killed).await;
    let late = |job: &String| {
        let times = polls.get(job)?;
        let last = times.iter().filter(|at| **at <= killed).max()?;
        let next = next_poll(&polls, job, killed).unwrap_or(killed + MOST_MS);
        Some(next.saturating_sub(last + INTERVAL_MS))
    };
    orphans.iter().filter_map(late).collect()
}

/// The times of polls by job, until each of `jobs` was asked about since.
async fn polls_until_each(ground: &Ground, jobs: &HashSet<String>, since_ms: u64) -> Polls {
    let mut all = Polls::new();
    let asked = |all: &Polls| {
        jobs.iter()
            .all(|job| next_poll(all, job, since_ms).is_some())
    };
    while now_ms() < since_ms + MOST_MS && !asked(&all) {
        sleep(Duration::from_millis(250)).await;
        for (job, times) in polls(ground).await {
            all.entry(job).or_default().extend(times);
        }
    }
    all
}

fn next_poll(polls: &Polls, job: &str, since_ms: u64) -> Option<u64> {
    let times = polls.get(job)?.iter().copied();
    times.filter(|at| *at > since_ms).min()
}

/// Those since the last such call.
async fn polls(ground: &Ground) -> Polls {
    let url = ground.provider.said.replace("/v1", "/_crowd/polls");
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

/// The jobs that this process follows; its number stands in its row.
async fn jobs_of(ground: &Ground, process: u32) -> HashSet<String> {
    let statement = format!(
        "select s.provider_job_id from run_states s join shards h on h.shard = s.shard join workers w on w.worker_id = h.owner
         where s.state = 'polling' and w.build = 'bench {process}'"
    );
    let mut connection = ground.connection().await;
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert!(!rows.is_empty());
    rows.iter().map(|row| row.get(0)).collect()
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}
