//! Whole runs, from the call to the checked output, against Postgres alone with statements of the same weight.

use crate::Size;
use crate::cpu;
use crate::ground::{Ground, call};
use crate::processes::Process;
use crate::table::Table;
use runtime::{Concurrency, Modelrow};
use simulator::crowd::CrowdConfig;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Runs that are on their way at a time.
const AT_ONCE: usize = 128;
const CLIENTS: &str = "32";

pub(crate) async fn measure(size: Size, table: &mut Table) {
    let seconds: u64 = size.pick(2, 20, 60);
    let ground = Ground::new(CrowdConfig {
        answer_after: Duration::ZERO,
        content_bytes: 100_000,
        keep_polls: false,
    });
    let ground = ground.await;
    let worker = ground.worker(Concurrency {
        fetches: 32,
        ..Concurrency::default()
    });
    let library = Arc::new(ground.library().await);
    let _warm = runs(&library, Duration::from_secs(2)).await;

    let (rows, commits) = (ground.rows_written().await, commits(&ground).await);
    let begun = spent(&ground, &worker);
    let done = runs(&library, Duration::from_secs(seconds)).await;
    let ended = spent(&ground, &worker);
    let took = std::array::from_fn(|i| cpu::each(ended[i] - begun[i], done) / 1e3);
    let rate = done / seconds;
    let rows = (ground.rows_written().await - rows) as f64 / done as f64;
    let commits = (self::commits(&ground).await - commits) as f64 / done as f64;
    worker.end();

    table.judged(
        "complete runs a second",
        [String::new(), rate.to_string()],
        "at least 400",
        rate >= 400,
    );
    against_pgbench(&ground, seconds, (rate, took), table).await;
    table.judged(
        "  commits that write, each run",
        [String::new(), format!("{commits:.2}")],
        "at most 5",
        commits <= 5.0,
    );
    table.judged(
        "  rows written, each run",
        [String::new(), format!("{rows:.2}")],
        "at most 14",
        rows <= 14.0,
    );
}

/// Processor time so far: Postgres, the worker, the callers with this bench, the provider.
fn spent(ground: &Ground, worker: &Process) -> [Duration; 4] {
    [
        ground.postgres_cpu(),
        worker.cpu(),
        cpu::of(std::process::id()),
        ground.provider.cpu(),
    ]
}

/// The baseline, and the milliseconds of processor that both take: on two cores it is that what decides.
async fn against_pgbench(
    ground: &Ground,
    seconds: u64,
    (rate, took): (u64, [f64; 4]),
    table: &mut Table,
) {
    let [postgres, worker, callers, provider] = took;
    let ms = |ms: f64| format!("{ms:.2} ms");
    table.row(
        "  processor of a run: Postgres, worker",
        &[postgres, worker].map(ms),
    );
    table.row(
        "    the callers, the provider",
        &[callers, provider].map(ms),
    );
    let names = names(ground).await;
    let begun = [ground.postgres_cpu(), cpu::of_us_and_ended()];
    let Some(bare) = tokio::task::block_in_place(|| pgbench(ground, &names, seconds)) else {
        table.beside("  pgbench is not on the PATH: no baseline", "", "");
        return;
    };
    let n = bare * seconds as f64;
    let each = |spent: Duration| cpu::each(spent, n as u64) / 1e3;
    let took_bare = [
        each(ground.postgres_cpu() - begun[0]),
        each(cpu::of_us_and_ended() - begun[1]),
    ];
    let what = "  pgbench with the same statements, a second";
    table.beside(what, "", format!("{bare:.0}"));
    table.row("    processor of it: Postgres, pgbench", &took_bare.map(ms));
    let share = 100.0 * rate as f64 / bare;
    table.judged(
        "  share of it",
        [String::new(), format!("{share:.0} %")],
        "at least 50 %",
        share >= 50.0,
    );
    let most = 100.0 * took_bare.iter().sum::<f64>() / took.iter().sum::<f64>();
    let what = "    share that the processor leaves, with the machine to themselves";
    table.beside(what, "", format!("{most:.0} %"));
}

/// Whole runs for so long, `AT_ONCE` at a time; how many ended well.
async fn runs(library: &Arc<Modelrow>, time: Duration) -> u64 {
    let ends = Instant::now() + time;
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let library = Arc::clone(library);
        callers.spawn(async move {
            let mut done = 0;
            while Instant::now() < ends {
                let view = library
                    .run_profile(call("quick", 0))
                    .await
                    .unwrap()
                    .wait()
                    .await
                    .unwrap();
                assert_eq!(view.state, "succeeded", "{:?}", view.failure);
                done += 1;
            }
            done
        });
    }
    callers.join_all().await.into_iter().sum()
}

/// Transactions that wrote, so far.
async fn commits(ground: &Ground) -> i64 {
    ground
        .count("select pg_current_xact_id()::text::bigint")
        .await
}

/// Transactions of the script a second, in the same database. `None`: `pgbench` is not on the path.
fn pgbench(ground: &Ground, names: &[String; 3], seconds: u64) -> Option<f64> {
    let [tenant, credential, revision] = names;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/durable/complete.sql");
    let out = Command::new("pgbench")
        .args([
            "-n",
            "-M",
            "prepared",
            "-c",
            CLIENTS,
            "-j",
            "2",
            "-T",
            &seconds.to_string(),
            "-f",
            script,
        ])
        .args([
            "-D",
            &format!("tenant={tenant}"),
            "-D",
            &format!("credential={credential}"),
        ])
        .args([
            "-D",
            &format!("revision={revision}"),
            &ground.postgres.owner_url(),
        ])
        .output()
        .ok()?;
    let text = String::from_utf8(out.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("tps = "));
    let tps = line.and_then(|line| line.split_whitespace().nth(2));
    let tps = tps.and_then(|tps| tps.parse().ok());
    assert!(
        tps.is_some(),
        "{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    tps
}

/// What the script's rows refer to.
async fn names(ground: &Ground) -> [String; 3] {
    use sqlx::Row as _;
    let row = ground
        .row("select tenant_id::text, credential_id::text, encode(revision_id, 'hex') from run_states limit 1")
        .await;
    [0, 1, 2].map(|n| row.get(n))
}
