//! What the suite asks of this process, from its environment: at which point it stops, what is broken on purpose.

use serde::Deserialize;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The variable that holds a [`Plan`] as JSON.
const VARIABLE: &str = "MODELROW_FAULTS";

/// One process's part in a seed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Plan {
    /// Where the suite listens.
    control: Option<String>,
    /// What this process is called there.
    name: String,
    /// Where it stops, once at each.
    stops: Vec<Stop>,
    /// Each point that is reached is written there, a line each.
    trace: Option<PathBuf>,
    /// The rule that is left out.
    broken: Option<Broken>,
    /// How far this machine's clock is off.
    clock_ms: i64,
    /// Every fact is written twice, and the second answer counts.
    twice: bool,
    /// The artifact store is listed with every sweep, not once an hour.
    sweeps: bool,
    /// What this build is called among its workers; absent: by its version.
    build: Option<String>,
}

/// The `nth` time, counted from 1, that this side of a point is reached.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    point: String,
    side: String,
    nth: u64,
}

/// Rules of the design that a build may be made without, to show that the suite sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Broken {
    /// The submit is sent before its intent is committed.
    IntentAfterSend,
    /// An answer that comes after the lease was lost is thrown away.
    StaleAnswersDropped,
    /// A look-up that finds nothing frees the run.
    AbsenceIsProof,
    /// All fetches of a file write to one key.
    OneKeyForAllFetches,
    /// What dead senders left is sent again, blindly.
    DeadSendersSentAgain,
    /// After the database went back in time, what memory holds is not written again.
    MemoryNotWritten,
}

struct Armed {
    plan: Plan,
    trace: Option<Mutex<File>>,
    reached: Mutex<HashMap<(&'static str, &'static str), u64>>,
}

static ARMED: LazyLock<Armed> = LazyLock::new(|| {
    #[expect(
        clippy::disallowed_methods,
        reason = "the fault build is told by its environment, and by nothing else"
    )]
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let plan: Plan = match serde_json::from_str(&text) {
        Ok(plan) => plan,
        Err(error) if text.is_empty() => {
            tracing::debug!(%error, "no faults are asked for");
            Plan::default()
        }
        Err(error) => {
            tracing::error!(%error, variable = VARIABLE, "the faults asked for cannot be read");
            std::process::abort();
        }
    };
    let trace = plan.trace.as_ref().and_then(|path| {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.ok().map(Mutex::new)
    });
    Armed {
        plan,
        trace,
        reached: Mutex::default(),
    }
});

/// Whether this rule is left out.
pub(crate) fn broken(what: Broken) -> bool {
    ARMED.plan.broken == Some(what)
}

/// How far the machine's clock is off.
pub(crate) fn clock_ms() -> i64 {
    ARMED.plan.clock_ms
}

/// Another name for this build: two of them on one database are then told apart.
pub(crate) fn build() -> Option<&'static str> {
    ARMED.plan.build.as_deref()
}

/// Whether the artifact store is listed with every sweep.
pub(crate) fn sweeps() -> bool {
    ARMED.plan.sweeps
}

/// Whether every fact is written twice.
pub(crate) fn twice() -> bool {
    ARMED.plan.twice
}

/// Stops here where the plan says so, until the suite lets it go on.
pub(super) async fn reached(name: &'static str, side: &'static str) {
    let nth = {
        let mut reached = ARMED.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let count = reached.entry((name, side)).or_default();
        *count += 1;
        *count
    };
    if let Some(trace) = &ARMED.trace {
        let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(trace, "{name} {side}");
    }
    let is_this = |stop: &Stop| stop.point == name && stop.side == side && stop.nth == nth;
    let Some(at) = ARMED.plan.stops.iter().position(is_this) else {
        return;
    };
    if let Some(control) = &ARMED.plan.control
        && let Err(error) = ask(control, at).await
    {
        tracing::error!(%error, "the suite does not answer");
    }
}

/// Says who stands at which of its points, and waits for the word to go on.
async fn ask(control: &str, at: usize) -> std::io::Result<()> {
    let mut suite = TcpStream::connect(control).await?;
    let said = format!("{} {at}\n", ARMED.plan.name);
    suite.write_all(said.as_bytes()).await?;
    suite.read_u8().await.map(drop)
}
