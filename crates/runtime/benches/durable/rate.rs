//! How fast one process can poll, against the shortest client.

use crate::Size;
use crate::copies;
use crate::ground::Ground;
use crate::processes::start;
use crate::table::Table;
use runtime::Concurrency;
use simulator::crowd::{CrowdConfig, job_id};
use std::time::Duration;
use tokio::time::sleep;

const AT_ONCE: usize = 256;

pub(crate) async fn measure(size: Size, table: &mut Table) {
    let seconds: u64 = size.pick(2, 15, 60);
    // More than can be asked in time: the worker is never idle.
    let runs: u64 = size.pick(1_000, 60_000, 60_000);
    let ground = Ground::new(CrowdConfig {
        answer_after: Duration::ZERO,
        content_bytes: 100_000,
        keep_polls: false,
    });
    let ground = ground.await;
    let url = format!("{}/videos/{}", ground.provider.said, job_id(1, 1 << 40, 1));
    let bare = || {
        let args =
            ["--client", &url, &AT_ONCE.to_string(), &seconds.to_string()].map(str::to_owned);
        let done: u64 = start(&args).said.parse().unwrap();
        done / seconds
    };
    let before = tokio::task::block_in_place(bare);
    let library = ground.library().await;
    let worker = ground.worker(Concurrency {
        polls: AT_ONCE,
        ..Concurrency::default()
    });
    copies::waiting(&ground, &library, "often", runs, 1_000).await;
    let begun = ground.asked("polled").await;
    sleep(Duration::from_secs(seconds)).await;
    let polls = (ground.asked("polled").await - begun) / seconds;
    worker.end();
    let after = tokio::task::block_in_place(bare);
    let bare = before.midpoint(after);
    table.beside(
        "a bare client loop, before and after, requests a second",
        before,
        after,
    );
    let share = 100 * polls / bare;
    table.judged(
        "polls a second of one process",
        [polls.to_string(), format!("{share} %")],
        "at least 60 %",
        share >= 60,
    );
}
