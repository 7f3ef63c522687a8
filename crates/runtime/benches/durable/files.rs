//! Memory of many large files on their way at once.

use crate::Size;
use crate::ground::{Ground, call, until};
use crate::table::Table;
use runtime::Concurrency;
use simulator::crowd::CrowdConfig;
use std::time::{Duration, Instant};

const FILES: usize = 64;
const MIB: u64 = 1024 * 1024;

pub(crate) async fn measure(size: Size, table: &mut Table) {
    let bytes: u64 = size.pick(1, 64, 256) * MIB;
    let ground = Ground::new(CrowdConfig {
        answer_after: Duration::ZERO,
        content_bytes: bytes,
        keep_polls: false,
    });
    let ground = ground.await;
    let library = ground.library().await;
    let worker = ground.worker(Concurrency {
        // One host may hold three of four places.
        fetches: FILES * 4 / 3 + 1,
        ..Concurrency::default()
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = worker.memory("VmRSS");
    let begun = Instant::now();
    for _ in 0..FILES {
        library.run_profile(call("quick", 0)).await.unwrap();
    }
    let mut most = idle;
    until(|| {
        most = most.max(worker.memory("VmRSS"));
        async {
            ground
                .count("select count(*) from run_states where state = 'succeeded'")
                .await
                == FILES as i64
        }
    })
    .await;
    let above = (worker.memory("VmHWM").max(most) - idle) / MIB;
    let speed = (FILES as u64 * bytes / MIB) as f64 / begun.elapsed().as_secs_f64();
    worker.end();
    table.beside(
        &format!(
            "  {FILES} files of {} MiB to a folder, with fsync, MiB a second",
            bytes / MIB
        ),
        "",
        format!("{speed:.0}"),
    );
    let what = format!(
        "memory above idle, {FILES} files of {} MiB at once",
        bytes / MIB
    );
    table.judged(
        &what,
        [String::new(), format!("{above} MiB")],
        "at most 128 MiB",
        above <= 128,
    );
}
