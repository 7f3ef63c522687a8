//! What the HTTP service costs: each line with its baseline in the same run.
//!
//! `cargo bench -p cli --bench service` takes a minute; `-- --full` measures at the sizes of the targets, `-- --only latency,load` some of it, and
//! `--check` makes a missed target a failure. The service is the program as a process, as are provider and Postgres, which syncs every commit.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, stops where it stands, and has a client of its own"
)]

mod create;
mod ground;
mod latency;
mod load;
mod rest;
#[path = "../../../engine/benches/shared/table.rs"]
#[expect(dead_code, reason = "the other bench measures times in turns")]
mod table;

use ground::Ground;
use std::process::ExitCode;
use table::{Mode, Table};

/// Measures some lines of the table.
type Part = fn(&Ground, Size, &mut Table, &tokio::runtime::Runtime);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size {
    /// Only whether it runs.
    Tiny,
    Short,
    /// The sizes of the targets.
    Full,
}

impl Size {
    pub(crate) fn pick<T>(self, tiny: T, short: T, full: T) -> T {
        match self {
            Self::Tiny => tiny,
            Self::Short => short,
            Self::Full => full,
        }
    }
}

fn main() -> ExitCode {
    let mode = Mode::read();
    let size = match std::env::args().any(|arg| arg == "--full") {
        _ if mode.quick => Size::Tiny,
        true => Size::Full,
        false => Size::Short,
    };
    let title = format!(
        "the HTTP service, {} cores",
        std::thread::available_parallelism().unwrap()
    );
    let mut table = Table::new(mode, &title, ["p50", "p99"]);
    let ground = Ground::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let parts: [(&str, Part); 4] = [
        ("latency", latency::measure),
        ("create", create::measure),
        ("rest", rest::measure),
        ("load", load::measure),
    ];
    for (name, measure) in parts {
        if wanted(name) {
            measure(&ground, size, &mut table, &runtime);
        }
    }
    table.finish()
}

/// `--only a,b`, or all.
fn wanted(part: &str) -> bool {
    let only = std::env::args().skip_while(|arg| arg != "--only").nth(1);
    only.is_none_or(|only| only.split(',').any(|name| name == part))
}
