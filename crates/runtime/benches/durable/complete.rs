//! Whole runs, from the call to the checked output, against Postgres alone with the same statements.

use crate::Size;
use crate::cpu;
use crate::ground::{Ground, call};
use crate::processes::Process;
use crate::replay::Replay;
use crate::table::Table;
use runtime::{Concurrency, Modelrow};
use simulator::crowd::CrowdConfig;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Runs that are on their way at a time.
const AT_ONCE: usize = 128;
/// Seconds before the measurement.
const WARM: u64 = 2;
const CLIENTS: &str = "32";

pub(crate) async fn measure(size: Size, table: &mut Table) {
    let seconds: u64 = size.pick(2, 20, 60);
    let ground = Ground::new(CrowdConfig {
        answer_after: Duration::ZERO,
        content_bytes: 100_000,
        keep_polls: false,
    });
    let ground = ground.await;
    let mut serving = ground.serving(Concurrency {
        fetches: 32,
        ..Concurrency::default()
    });
    let _warm = runs_of(&mut serving, WARM);
    // As autovacuum does within a minute. Plans that were kept while the tables were empty read whole indexes.
    ground.sql("analyze").await;

    let (rows, commits) = (ground.rows_written().await, commits(&ground).await);
    let begun = spent(&ground, &serving);
    let done = runs_of(&mut serving, seconds);
    let ended = spent(&ground, &serving);
    let took = std::array::from_fn(|i| cpu::each(ended[i] - begun[i], done) / 1e3);
    let rate = done / seconds;
    let rows = (ground.rows_written().await - rows) as f64 / done as f64;
    let commits = (self::commits(&ground).await - commits) as f64 / done as f64;
    serving.end();

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

/// Processor time so far: Postgres, the process that is called and works, the provider.
fn spent(ground: &Ground, serving: &Process) -> [Duration; 3] {
    [ground.postgres_cpu(), serving.cpu(), ground.provider.cpu()]
}

fn runs_of(serving: &mut Process, seconds: u64) -> u64 {
    let said = tokio::task::block_in_place(|| serving.ask(&seconds.to_string()));
    said.parse().unwrap()
}

/// The baseline, and the milliseconds of processor that both take: on two cores it is that what decides.
async fn against_pgbench(
    ground: &Ground,
    seconds: u64,
    (rate, took): (u64, [f64; 3]),
    table: &mut Table,
) {
    let [postgres, serving, provider] = took;
    let ms = |ms: f64| format!("{ms:.2} ms");
    table.row(
        "  processor of a run: Postgres, who is called and works",
        &[postgres, serving].map(ms),
    );
    table.row("    the provider", &[String::new(), ms(provider)]);
    let (replay, ended) = (Replay::of_a_run(ground).await, ended(ground).await);
    let begun = [ground.postgres_cpu(), cpu::of_us_and_ended()];
    let Some(bare) = tokio::task::block_in_place(|| pgbench(ground, &replay, seconds)) else {
        table.beside("  pgbench is not on the PATH: no baseline", "", "");
        return;
    };
    let n = bare * seconds as f64;
    let really = self::ended(ground).await - ended;
    assert!(
        really as f64 > 0.95 * n,
        "of {n:.0} replays {really} brought a run to its end"
    );
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
pub(crate) async fn runs(library: &Arc<Modelrow>, time: Duration) -> u64 {
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

/// Runs that came to a good end so far.
async fn ended(ground: &Ground) -> i64 {
    let ended = "select count(*) from run_states where state = 'succeeded'";
    ground.count(ended).await
}

/// Runs replayed a second, in the same database and as the same role. `None`: `pgbench` is not on the path.
fn pgbench(ground: &Ground, replay: &Replay, seconds: u64) -> Option<f64> {
    let seconds = seconds.to_string();
    let out = Command::new("pgbench")
        .args([
            "-n", "-M", "prepared", "-c", CLIENTS, "-j", "2", "-T", &seconds, "-f",
        ])
        .arg(&replay.script)
        .args(replay.variables.iter().flat_map(|set| ["-D", set]))
        .arg(ground.postgres.url())
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
