//! The fault suite: workers are processes, PostgreSQL is real and is killed, the provider counts what was paid for.
//! Each seed stops a worker at a named point, strikes, and checks what durable runs promise.
//!
//! `cargo test -p cli --features faults --test fault_suite -- --seeds 1000`; one of them again: `-- --seed 17`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at what it did not expect, and its table is to be read"
)]

mod broken;
mod bundle;
mod check;
mod choice;
mod lane;
#[path = "../shared/points.rs"]
mod points;
mod scenario;
mod seed;
mod stories;
mod table;
mod wire;
mod worker;

use bundle::Model;
use choice::{Choice, Fault, Survey, choose, count, reached, survey, survey_of};
use clap::Parser as _;
use lane::Lane;
use scenario::SCENARIOS;
use seed::{Came, Seed};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use table::Table;

/// Kills, freezes and starves workers at named points, and counts what was paid for.
#[derive(Debug, clap::Parser)]
struct Args {
    /// How many seeds; `full`: as many as fill every cell of the table, and 1,000 at least
    #[arg(long, default_value = "16")]
    seeds: String,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// This one alone
    #[arg(long)]
    seed: Option<u64>,
    /// Seeds at a time, each on a server of its own
    #[arg(long, default_value_t = 2)]
    lanes: u64,
    /// Only seeds whose description holds this text
    #[arg(long, default_value = "")]
    only: String,
    /// Writes `survey.txt`: the points that each scenario reaches; with `--only A,B` those of the scenarios named so
    #[arg(long)]
    survey: bool,
    /// Only the stories of a database that goes back or away, so often: they end at the first that goes wrong
    #[arg(long, value_name = "TIMES")]
    stories: Option<u64>,
    /// Another `modelrow`, of a build with the feature `faults`
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Shows that the suite fails on each build that is broken on purpose; with `--only` on those named so
    #[arg(long)]
    broken: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(program) = &args.program {
        worker::PROGRAM.set(program.clone()).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let good = runtime.block_on(async {
        if args.survey {
            take_survey(&args.only).await
        } else if args.broken {
            broken::all(&args.only).await
        } else if let Some(times) = args.stories {
            again_and_again(times).await
        } else if args.seed.is_some() || !args.only.is_empty() {
            seeds(&args).await
        } else {
            let told = stories::all(args.seeds == "full").await;
            seeds(&args).await && told
        }
    });
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn again_and_again(times: u64) -> bool {
    for _ in 0..times {
        if !stories::all(false).await {
            return false;
        }
    }
    true
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn chosen(args: &Args, survey: &Survey) -> Vec<Choice> {
    let wanted = match args.seeds.as_str() {
        "full" => count(survey).max(1_000),
        number => number.parse().unwrap(),
    };
    let all = match args.seed {
        Some(seed) => seed..=seed,
        None => args.from..=args.from + wanted - 1,
    };
    let all = all.map(|seed| choose(seed, survey));
    all.filter(|choice| choice.to_string().contains(&args.only))
        .collect()
}

async fn seeds(args: &Args) -> bool {
    let survey = survey();
    let chosen = chosen(args, &survey);
    let begun = Instant::now();
    let (table, failed) = run_all(&chosen, args.lanes, None).await;
    let points = reached(&survey);
    table.print(&points);
    println!(
        "took {} s; {} of {} seeds failed",
        begun.elapsed().as_secs(),
        failed.len(),
        chosen.len()
    );
    for choice in &failed {
        println!(
            "  again: cargo test -p cli --features faults --test fault_suite -- --seed {}",
            choice.seed
        );
    }
    let mut good = failed.is_empty();
    if args.seed.is_none() && args.only.is_empty() && chosen.len() as u64 >= count(&survey) {
        let empty = table.empty(&points);
        println!(
            "empty cells: {}{}",
            empty.len(),
            empty
                .iter()
                .map(|cell| format!("\n  {cell}"))
                .collect::<String>()
        );
        good &= empty.is_empty();
    }
    good
}

/// Runs these on so many lanes.
async fn run_all(
    chosen: &[Choice],
    lanes: u64,
    broken: Option<&'static str>,
) -> (Table, Vec<Choice>) {
    let models: BTreeSet<Model> = chosen.iter().map(|choice| choice.scenario.model).collect();
    let models: Vec<Model> = models.into_iter().collect();
    let next = AtomicU64::new(0);
    let table = Mutex::new(Table::default());
    let failed = Mutex::new(Vec::new());
    let lanes = (0..lanes.min(chosen.len() as u64)).map(|n| {
        let (next, table, failed, models) = (&next, &table, &failed, &models);
        async move {
            let there = broken.and_then(lane::broken_there);
            let lane = Lane::start(n, models, there).await;
            let told = broken.filter(|_| there.is_none());
            loop {
                let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                let Some(choice) = chosen.get(at) else { return };
                let came = Box::pin(Seed::run(&lane, choice, told, false)).await;
                table.lock().unwrap().add(choice, came.struck, &came.end);
                if came.wrong.is_empty() {
                    println!(
                        "ok    {choice}: {}{} ({:.1} s)",
                        came.end,
                        if came.struck { "" } else { ", not struck" },
                        came.took.as_secs_f64()
                    );
                    let _left = std::fs::remove_dir_all(&came.logs);
                } else {
                    let kept = keep(choice, &came);
                    println!(
                        "WRONG {choice}: {} ({:.1} s)\n      {}\n      logs: {}",
                        came.end,
                        came.took.as_secs_f64(),
                        came.wrong.join("\n      "),
                        kept.display()
                    );
                    failed.lock().unwrap().push(choice.clone());
                }
            }
        }
    });
    futures_util::future::join_all(lanes).await;
    (table.into_inner().unwrap(), failed.into_inner().unwrap())
}

/// The logs of a seed that failed, where the next run does not remove them.
fn keep(choice: &Choice, came: &Came) -> PathBuf {
    let kept = top().join(format!("target/faults/seed-{}", choice.seed));
    let _old = std::fs::remove_dir_all(&kept);
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    let moved = std::process::Command::new("cp")
        .arg("-r")
        .arg(&came.logs)
        .arg(&kept)
        .status();
    assert!(
        moved.is_ok_and(|status| status.success()),
        "the logs cannot be kept"
    );
    kept
}

/// Runs every scenario without a fault and writes down the points on its way.
async fn take_survey(only: &str) -> bool {
    let lane = Lane::start(0, &Model::ALL, None).await;
    let mut lines = vec!["# scenario point times: written by `--survey`".to_owned()];
    let file = top().join("tests/faults/survey.txt");
    let (mut good, mut known) = (true, survey_of(&std::fs::read_to_string(&file).unwrap()));
    for (n, scenario) in SCENARIOS.into_iter().enumerate() {
        if !only.split(',').any(|part| scenario.name.contains(part)) {
            continue;
        }
        let choice = Choice {
            seed: 1_000_000 + n as u64,
            scenario,
            fault: Fault::Backends,
            point: String::new(),
            side: "before",
            nth: 1,
            mischief: None,
            clock_ms: 0,
            twice: false,
            random: 0,
        };
        let came = Box::pin(Seed::run(&lane, &choice, None, true)).await;
        println!(
            "{}: {} ({:.1} s) {:?}",
            scenario.name,
            came.end,
            came.took.as_secs_f64(),
            came.wrong
        );
        good &= came.wrong.is_empty();
        let mut points: BTreeMap<String, u64> = BTreeMap::new();
        for point in Seed::traced(&came.logs) {
            *points.entry(point).or_default() += 1;
        }
        // Two workers share what comes with time: each reaches it at least half as often.
        points
            .values_mut()
            .for_each(|count| *count = count.div_ceil(2));
        known.insert(scenario.name, points);
        if !came.wrong.is_empty() {
            println!("  logs: {}", keep(&choice, &came).display());
        }
    }
    for scenario in SCENARIOS {
        let points = known.get(scenario.name).into_iter().flatten();
        lines.extend(points.map(|(point, count)| format!("{} {point} {count}", scenario.name)));
    }
    let seen = reached(&known);
    let all = points::points(&top().join("crates/runtime/src")).names;
    for point in all.keys().filter(|point| !seen.contains(*point)) {
        println!("not reached: {point}");
    }
    std::fs::write(file, lines.join("\n") + "\n").unwrap();
    good
}
