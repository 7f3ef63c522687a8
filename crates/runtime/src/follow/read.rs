//! Runs as their rows have them, read for the task that follows.

use super::Word;
use crate::core::Core;
use crate::live::Live;
use crate::setting::Unready;
use futures_util::StreamExt as _;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use store::work::WorkRow;
use uuid::Uuid;

/// Runs read in one query, and such queries at a time.
const READ_AT_ONCE: usize = 128;
const READS: usize = 4;
/// Runs of a new owner that are late are asked about over so long.
const PACE_MS: u64 = 1_000;
/// Fewer than so many are asked about at once.
const PACE_FROM: usize = 32;
/// A run whose state was stale is read again after so long.
const STALE_WAIT: Duration = Duration::from_millis(200);

pub(super) async fn look_after_a_while(core: Arc<Core>, run: Uuid) {
    tokio::time::sleep(STALE_WAIT).await;
    core.follow.say(Word::Again(run));
}

/// Reads runs to follow them, few at a time: a shard of a dead peer may hold ten thousand, and what is read is larger than
/// what is kept of it.
pub(super) async fn read(core: Arc<Core>, runs: Vec<Uuid>) {
    let late = runs.len() > PACE_FROM;
    let parts: Vec<Vec<Uuid>> = runs.chunks(READ_AT_ONCE).map(<[Uuid]>::to_vec).collect();
    let reads = parts.into_iter().map(|some| read_some(&core, some, late));
    let reads = futures_util::stream::iter(reads).buffer_unordered(READS);
    reads.collect::<()>().await;
}

async fn read_some(core: &Arc<Core>, runs: Vec<Uuid>, many: bool) {
    let rows = match core.store.work(&runs).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%error, runs = runs.len(), "runs are read later");
            core.follow.say(Word::Unread(runs));
            return;
        }
    };
    let mut left: HashSet<Uuid> = runs.into_iter().collect();
    for row in &rows {
        if let Some(live) = followed(core, row).await {
            left.remove(&row.run_id);
            let after = if many {
                rand::random::<u64>() % PACE_MS
            } else {
                0
            };
            let waiting = Box::new(live).fold(core).await;
            core.follow
                .say(Word::Adopt(waiting, Duration::from_millis(after)));
        }
    }
    core.follow.say(Word::Unread(left.into_iter().collect()));
}

async fn followed(core: &Core, row: &WorkRow) -> Option<Live> {
    use store::State;
    if !matches!(
        row.state,
        State::SubmitUnknown | State::Polling | State::Fetching | State::Validating
    ) {
        core.watches.state(row.run_id, row.state.as_str());
        return None;
    }
    match Live::read(core, row).await {
        Ok(live) => Some(live),
        Err(Unready::Fault(fault)) => {
            tracing::error!(run.id = %row.run_id, why = fault.message, help = fault.help, "a run cannot be followed");
            None
        }
        Err(why) => {
            tracing::warn!(run.id = %row.run_id, %why, "a run is left alone");
            None
        }
    }
}
