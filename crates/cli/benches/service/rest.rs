//! From start to ready, and memory: idle, and with many open event streams.

use crate::Size;
use crate::ground::{Ground, Service, call};
use crate::table::{Table, shown};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const STREAMS: usize = 1_000;

pub(crate) fn measure(ground: &Ground, size: Size, table: &mut Table, runtime: &Runtime) {
    let mut bare: Vec<Duration> = (0..5).map(|_| process_alone()).collect();
    let mut ready: Vec<Duration> = Vec::new();
    for _ in 0..size.pick(1, 5, 9) {
        ready.push(ground.serve(&[]).ready_after);
    }
    bare.sort();
    ready.sort();
    table.row(
        "start of the process alone (`--version`)",
        &[shown(bare[bare.len() / 2]), shown(bare[bare.len() - 1])],
    );
    table.row(
        "  from start to ready, external Postgres",
        &[shown(ready[ready.len() / 2]), shown(ready[ready.len() - 1])],
    );

    let service = ground.serve(&["--no-work"]);
    let idle = service.process.memory();
    table.row("memory when idle", &[mib(idle), String::new()]);
    let with = runtime.block_on(streams(ground, &service, size.pick(20, STREAMS, STREAMS)));
    table.row(
        "  with 1,000 open event streams",
        &[mib(with), String::new()],
    );
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

fn process_alone() -> Duration {
    let begun = Instant::now();
    let done = Command::new(env!("CARGO_BIN_EXE_modelrow"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(done.status.success());
    begun.elapsed()
}

/// Memory while so many clients listen to runs that wait.
async fn streams(ground: &Ground, service: &Service, many: usize) -> u64 {
    let client = ground.client();
    let mut open = Vec::new();
    for _ in 0..many {
        let runs = format!("{}/v1/runs", service.url);
        let made = client
            .post(&runs)
            .body(call("recorded"))
            .send()
            .await
            .unwrap();
        let location = made.headers()["location"].to_str().unwrap().to_owned();
        made.bytes().await.unwrap();
        let events = client.get(format!("{}{location}/events", service.url));
        let mut events = events.send().await.unwrap();
        // What it says first: where the run stands.
        let first = events.chunk().await.unwrap();
        assert!(first.is_some());
        open.push(events);
    }
    let memory = service.process.memory();
    drop(open);
    memory
}
