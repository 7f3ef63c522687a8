//! How fast one process can poll, against the shortest client.

use crate::Size;
use crate::copies;
use crate::cpu;
use crate::ground::Ground;
use crate::processes::start;
use crate::table::Table;
use runtime::Concurrency;
use simulator::crowd::{CrowdConfig, job_id};
use std::time::Duration;
use tokio::time::sleep;

const AT_ONCE: usize = 256;

/// So many requests in the time, and what each took of the processor, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Measured {
    a_second: u64,
    ours: f64,
    provider: f64,
}

impl Measured {
    fn mean(self, other: Self) -> Self {
        Self {
            a_second: self.a_second.midpoint(other.a_second),
            ours: f64::midpoint(self.ours, other.ours),
            provider: f64::midpoint(self.provider, other.provider),
        }
    }

    /// Both sides of a request.
    fn all(self) -> f64 {
        self.ours + self.provider
    }

    fn shown(self) -> [String; 2] {
        [self.ours, self.provider].map(|us| format!("{us:.1} µs"))
    }
}

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
    let before = bare(&ground, seconds);
    let library = ground.library().await;
    let worker = ground.worker(Concurrency {
        polls: AT_ONCE,
        ..Concurrency::default()
    });
    copies::waiting(&ground, &library, "often", runs, 1_000).await;
    let polls = {
        let begun = (
            ground.asked("polled").await,
            worker.cpu(),
            ground.provider.cpu(),
        );
        sleep(Duration::from_secs(seconds)).await;
        let n = ground.asked("polled").await - begun.0;
        Measured {
            a_second: n / seconds,
            ours: cpu::each(worker.cpu() - begun.1, n),
            provider: cpu::each(ground.provider.cpu() - begun.2, n),
        }
    };
    worker.end();
    let after = bare(&ground, seconds);
    report(table, [before, after], polls);
}

/// The shortest client.
fn bare(ground: &Ground, seconds: u64) -> Measured {
    let url = format!("{}/videos/{}", ground.provider.said, job_id(1, 1 << 40, 1));
    let args = ["--client", &url, &AT_ONCE.to_string(), &seconds.to_string()].map(str::to_owned);
    let begun = ground.provider.cpu();
    let said = tokio::task::block_in_place(|| start(&args).said.clone());
    let (n, spent) = said.split_once(' ').unwrap();
    let (n, spent) = (n.parse().unwrap(), spent.parse().unwrap());
    Measured {
        a_second: n / seconds,
        ours: cpu::each(Duration::from_micros(spent), n),
        provider: cpu::each(ground.provider.cpu() - begun, n),
    }
}

fn report(table: &mut Table, [before, after]: [Measured; 2], polls: Measured) {
    let bare = before.mean(after);
    let what = "a bare client loop, before and after, requests a second";
    table.beside(what, before.a_second, after.a_second);
    table.row("  processor of a request: client, provider", &bare.shown());
    let share = 100 * polls.a_second / bare.a_second;
    table.judged(
        "polls a second of one process",
        [polls.a_second.to_string(), format!("{share} %")],
        "at least 60 %",
        share >= 60,
    );
    table.row("  processor of a poll: worker, provider", &polls.shown());
    let most = format!("{:.0} %", 100.0 * bare.all() / polls.all());
    let what = "  share that this leaves, with the machine to themselves";
    table.beside(what, "", most);
}
