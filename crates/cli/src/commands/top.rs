//! `modelrow top`: the house at a glance, again and again.

use crate::args::{HouseArgs, TopArgs};
use crate::commands::pause;
use crate::commands::runs::in_house;
use crate::exit::Stop;
use crate::house::run_stop;
use crate::ui;
use anstream::println;
use runtime::{Fleet, LatenessView, Modelrow, State, WorkerView};
use serde_json::json;
use std::io::IsTerminal as _;
use std::time::Duration;

/// Cursor to the top left, and everything below it away.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(crate) async fn top(house: &HouseArgs, args: &TopArgs) -> Result<(), Stop> {
    in_house(house, async |modelrow| {
        // Cancel safety: looking only reads.
        tokio::select! {
            shown = show(modelrow, args) => shown,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
    .await
}

async fn show(modelrow: &Modelrow, args: &TopArgs) -> Result<(), Stop> {
    let terminal = std::io::stdout().is_terminal();
    loop {
        let fleet = modelrow.fleet().await.map_err(|error| run_stop(&error))?;
        if args.json {
            println!("{}", json!(fleet));
        } else {
            let clear = if terminal && !args.once { CLEAR } else { "" };
            ui::print_raw(&format!("{clear}{}\n", lines(&fleet).join("\n")));
        }
        // Without a terminal there is nothing to redraw; JSON goes on, a line each time.
        if args.once || !terminal && !args.json {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(args.interval)).await;
    }
}

fn lines(fleet: &Fleet) -> Vec<String> {
    let mut lines = vec![head(fleet), String::new()];
    lines.extend(workers(fleet));
    lines.push(String::new());
    lines.extend(runs(fleet));
    let paused = pause::lines(&fleet.paused, fleet.at);
    if !paused.is_empty() {
        lines.push(String::new());
        lines.push("PAUSED".to_owned());
        lines.extend(paused.into_iter().map(|line| format!("  {line}")));
    }
    lines
}

fn head(fleet: &Fleet) -> String {
    let count = match fleet.workers.len() {
        1 => "1 worker".to_owned(),
        n => format!("{n} workers"),
    };
    let mut line = format!("{}  {count}", ui::time(fleet.at));
    if fleet.workers.is_empty() {
        line += ": nothing moves until `modelrow work` or `modelrow serve` runs";
    } else if fleet.orphan_shards > 0 {
        line += &format!(", {} of 256 shards without one", fleet.orphan_shards);
    }
    line
}

fn workers(fleet: &Fleet) -> Vec<String> {
    if fleet.workers.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "{:<13}  {:<16}  {:>5}  {:>6}  {:>8}  {:>8}  {:>9}  {:>7}  {:>7}  LATE p50/p99/max ms",
        "WORKER", "HOST", "UP", "SHARDS", "FOLLOWS", "POLLS/S", "SUBMITS/S", "ENDED/S", "MB/S"
    )];
    lines.extend(fleet.workers.iter().map(|one| worker(one, fleet.at)));
    lines
}

fn worker(worker: &WorkerView, now: time::OffsetDateTime) -> String {
    let rates = &worker.report.rates;
    let ended = rates.succeeded + rates.failed + rates.canceled;
    let id = worker.id.to_string();
    let host: String = worker.host.chars().take(16).collect();
    format!(
        "{:<13}  {:<16}  {:>5}  {:>6}  {:>8}  {:>8.1}  {:>9.1}  {:>7.1}  {:>7.1}  {}",
        // The first half is its time of start, and tells workers of one house apart.
        id.get(..13).unwrap_or_default(),
        host,
        ui::age(now - worker.started_at),
        worker.shards,
        worker.report.following,
        rates.polls,
        rates.submits,
        ended,
        rates.bytes / 1_000_000.0,
        late(&worker.report.lateness),
    )
}

fn late(lateness: &LatenessView) -> String {
    match lateness.polls {
        0 => "-".to_owned(),
        _ => format!(
            "{}/{}/{}",
            lateness.p50_ms, lateness.p99_ms, lateness.max_ms
        ),
    }
}

fn runs(fleet: &Fleet) -> Vec<String> {
    // In the order of a run's life.
    let counts: Vec<String> = State::ALL
        .iter()
        .filter_map(|state| {
            let n = fleet.runs.get(state.as_str())?;
            Some(format!("{state} {n}"))
        })
        .collect();
    let mut lines = vec![format!("RUNS  {}", counts.join("  "))];
    let ago = |ms: i64| ui::age(time::Duration::milliseconds(ms));
    if let Some(ms) = fleet.queue_oldest_ms {
        lines.push(format!(
            "      the oldest that is due waits for {}",
            ago(ms)
        ));
    }
    if let Some(ms) = fleet.unknown_oldest_ms {
        lines.push(format!(
            "      an outcome is unknown for {}: `modelrow runs list --state submit_unknown`",
            ago(ms)
        ));
    }
    if fleet.held > 0 {
        lines.push(format!(
            "      {} are held: `modelrow runs list --held`",
            fleet.held
        ));
    }
    lines
}
