//! What the durable run costs and carries: every line of the table with its baseline, in one command.
//!
//! `cargo bench -p runtime --bench durable` takes a few minutes; `-- --full` measures at the sizes of the targets (about
//! an hour), `-- --only waiting,rate` some of it, and `--check` makes a missed target a failure. The provider, each worker
//! and each baseline are processes of their own; Postgres syncs every commit.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, stops where it stands, and has a client of its own to compare with"
)]

mod complete;
mod copies;
mod cpu;
mod files;
mod ground;
mod kills;
mod news;
mod processes;
mod rate;
mod replay;
#[path = "../../../engine/benches/shared/table.rs"]
#[expect(dead_code, reason = "the other bench measures times in turns")]
mod table;
mod waiting;

use std::process::ExitCode;
use table::{Mode, Table};

/// As the program has it; the baselines have it, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Only whether it runs.
    Tiny,
    Short,
    /// The sizes of the targets.
    Full,
}

impl Size {
    fn read(mode: Mode) -> Self {
        match std::env::args().any(|arg| arg == "--full") {
            _ if mode.quick => Self::Tiny,
            true => Self::Full,
            false => Self::Short,
        }
    }

    pub(crate) fn pick<T>(self, tiny: T, short: T, full: T) -> T {
        match self {
            Self::Tiny => tiny,
            Self::Short => short,
            Self::Full => full,
        }
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let _ = engine::http::Http::new().unwrap();
    if let Some(role) = processes::role() {
        runtime.block_on(processes::play(role));
        return ExitCode::SUCCESS;
    }
    runtime.block_on(measure(Mode::read()))
}

async fn measure(mode: Mode) -> ExitCode {
    let size = Size::read(mode);
    let title = format!(
        "durable runs, {} cores",
        std::thread::available_parallelism().unwrap()
    );
    let mut table = Table::new(mode, &title, ["", ""]);
    if wanted("waiting") {
        waiting::measure(size, &mut table).await;
    }
    if wanted("rate") {
        rate::measure(size, &mut table).await;
    }
    if wanted("complete") {
        complete::measure(size, &mut table).await;
    }
    if wanted("kills") {
        kills::measure(size, &mut table).await;
    }
    if wanted("news") {
        news::measure(size, &mut table).await;
    }
    if wanted("files") {
        files::measure(size, &mut table).await;
    }
    table.finish()
}

/// `--only a,b`, or all.
fn wanted(part: &str) -> bool {
    let only = std::env::args().skip_while(|arg| arg != "--only").nth(1);
    only.is_none_or(|only| only.split(',').any(|name| name == part))
}
