//! Very many jobs that wait: lateness, memory, and what their polls write.

use crate::Size;
use crate::copies;
use crate::ground::{Ground, call};
use crate::processes::Process;
use crate::table::Table;
use runtime::{Concurrency, Modelrow};
use simulator::crowd::CrowdConfig;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Runs that begin each second, and as many that end.
const COMING: u64 = 50;
const LIFE_MS: u64 = 20_000;

pub(crate) async fn measure(size: Size, table: &mut Table) {
    let runs: u64 = size.pick(2_000, 100_000, 100_000);
    let quiet = Duration::from_secs(size.pick(12, 60, 600));
    let busy = Duration::from_secs(size.pick(12, 120, 600));
    let ground = Ground::new(CrowdConfig {
        answer_after: Duration::from_millis(100),
        content_bytes: 100_000,
        keep_polls: false,
    });
    let ground = ground.await;
    let mut worker = ground.worker(Concurrency {
        polls: 2_048,
        ..Concurrency::default()
    });
    let library = ground.library().await;

    copies::waiting(&ground, &library, "waiting", 1_000, 10_000).await;
    sleep(Duration::from_secs(12)).await;
    let idle = worker.memory("VmRSS");
    copies::waiting(&ground, &library, "waiting", runs - 1_000, 10_000).await;
    sleep(Duration::from_secs(20)).await;
    let each = worker.memory("VmRSS").saturating_sub(idle) / (runs - 1_000);
    let what = format!("memory of a waiting run, RSS at 1,000 and at {runs}");
    table.judged(
        &what,
        [String::new(), format!("{each} B")],
        "at most 1536 B",
        each <= 1_536,
    );

    writes(&ground, quiet, table).await;
    let before = in_time(&mut worker);
    come_and_go(&ground, &library, busy, table).await;
    let now = in_time(&mut worker);
    lateness([0, 1].map(|i| now[i] - before[i]), runs, busy, table);
    worker.end();
}

/// Nothing begins and nothing ends.
async fn writes(ground: &Ground, quiet: Duration, table: &mut Table) {
    let (rows, polls, bytes) = (
        ground.rows_written().await,
        ground.asked("polled").await,
        size_of(ground).await,
    );
    sleep(quiet).await;
    let rows = ground.rows_written().await - rows;
    let polls = ground.asked("polled").await - polls;
    let grown = size_of(ground).await - bytes;
    let each = rows as f64 / polls as f64;
    let what = format!("row writes per poll that changed nothing, {polls} polls");
    table.judged(
        &what,
        [format!("{rows} rows"), format!("{each:.6}")],
        "below 0.001",
        each < 0.001,
    );
    let what = format!("growth of the tables of runs in {} s", quiet.as_secs());
    table.judged(
        &what,
        [String::new(), format!("{grown} B")],
        "none",
        grown <= 0,
    );
}

async fn size_of(ground: &Ground) -> i64 {
    ground
        .count("select sum(pg_total_relation_size(t))::bigint from unnest('{runs,run_states,submit_attempts,artifacts,outbox}'::regclass[]) t")
        .await
}

/// Polls so far that were at most 250 ms late, and all.
fn in_time(worker: &mut Process) -> [u64; 2] {
    let said = worker.ask("polls");
    let (in_time, all) = said.split_once(' ').unwrap();
    [in_time, all].map(|n| n.parse().unwrap())
}

/// The 99th percentile is at most so late if 99 of 100 polls are.
fn lateness([in_time, all]: [u64; 2], runs: u64, busy: Duration, table: &mut Table) {
    let share = 100.0 * in_time as f64 / all as f64;
    let what = format!(
        "polls at most 250 ms late, {runs} runs every 10 s, {} s",
        busy.as_secs()
    );
    table.judged(
        &what,
        [format!("of {all}"), format!("{share:.2} %")],
        "at least 99 %",
        share >= 99.0,
    );
}

/// Runs begin and end while the others are polled.
async fn come_and_go(ground: &Ground, library: &Modelrow, busy: Duration, table: &mut Table) {
    let polls = ground.asked("polled").await;
    let (mut seconds, mut p99, mut begun) = (interval(Duration::from_secs(1)), Vec::new(), 0);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for second in 1..=busy.as_secs() {
        seconds.tick().await;
        for _ in 0..COMING {
            library.run_profile(call("waiting", LIFE_MS)).await.unwrap();
            begun += 1;
        }
        if second % 10 == 0 {
            let worker = &library.fleet().await.unwrap().workers[0];
            p99.push(worker.report.lateness.p99_ms);
        }
    }
    let polled = (ground.asked("polled").await - polls) / busy.as_secs();
    let ended = ground
        .count("select count(*) from run_states where state = 'succeeded'")
        .await;
    let following = copies::following(library).await;
    table.beside(
        &format!("  {following} runs followed, {begun} begun, {ended} ended, polls a second"),
        "",
        polled,
    );
    p99.sort_unstable();
    let (middle, worst) = (p99[p99.len() / 2], p99[p99.len() - 1]);
    let shown = [middle, worst].map(|ms| format!("{ms} ms"));
    table.row(
        "  p99 lateness in 10 s: in the middle, in the worst",
        &shown,
    );
}
