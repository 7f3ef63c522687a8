//! The tick: which shards are ours, what dead senders left, what rows changed.

use crate::clock::boot_ms;
use crate::core::Core;
use crate::faults::At as _;
#[cfg(feature = "faults")]
use crate::faults::{Broken, broken};
use crate::outbox;
use crate::rewind;
use crate::sweep::{self, Sweep, Swept};
use crate::tasks::Until;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use store::StoreError;
use store::claim::Intent;
use store::identity::{Failover, Identity};
use store::listen::Hint;
use tokio::time::Instant;
use uuid::Uuid;

/// Shards compared in one tick: all of them within 15 ticks.
const SLICES: usize = 15;
/// Dead senders' runs taken in one tick.
const SWEEP: i32 = 200;
/// Ticks between two looks at what changes seldom.
const SELDOM: u64 = 30;

/// Starts the tick and, for one that works, everything else.
pub(crate) fn start(core: &Arc<Core>) {
    core.tasks
        .spawn("tick", Until::Stop, Box::pin(tick(Arc::clone(core))));
    core.tasks
        .spawn("listen", Until::Stop, Box::pin(listen(Arc::clone(core))));
}

/// What the tick remembers.
#[derive(Debug, Default)]
struct Memory {
    worker: Option<Uuid>,
    /// Which server it was at the last look.
    identity: Option<Identity>,
    /// Peers' session locks can be seen: a dead process is found at once.
    locks_seen: bool,
    /// Owned shards and how often each changed hands.
    owned: HashMap<i16, i64>,
    count: u64,
    slice: usize,
}

/// Cancel safety: each statement stands alone; the next owner does what was not done.
async fn tick(core: Arc<Core>) {
    let mut memory = Memory::default();
    let mut lease = core.lease.changes();
    loop {
        if let Err(error) = once(&core, &mut memory).await {
            tracing::warn!(%error, "the tick waits for the database");
        }
        let next = Instant::now() + core.options.tick;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => break,
                () = core.tick.notified() => break,
                Ok(()) = lease.changed() => break,
                () = core.outbox.notified() => follow_up(&core).await,
            }
        }
    }
}

/// What follows a run's end at the provider: sooner than with the next tick, and without the rest of it.
async fn follow_up(core: &Arc<Core>) {
    if core.lease.current().is_some()
        && let Err(error) = outbox::take(core).at("worker.outbox.ended").await
    {
        tracing::warn!(%error, "what follows the end waits for the database");
    }
}

async fn once(core: &Arc<Core>, memory: &mut Memory) -> Result<(), StoreError> {
    read_clock(core).await?;
    core.catalogue
        .refresh(&core.store)
        .at("worker.refresh")
        .await?;
    let progress = core.follow.take_progress();
    if !progress.is_empty() {
        core.store
            .progress_many(&progress)
            .at("worker.progress_many")
            .await?;
    }
    let drift = core.drift.due();
    if !drift.is_empty() {
        core.store.drift_put(&drift).at("worker.drift_put").await?;
    }
    if memory.count.is_multiple_of(SELDOM) {
        seldom(core, memory).await?;
    }
    memory.count += 1;
    let Some(held) = core.lease.current() else {
        lost(core, memory);
        return Ok(());
    };
    if memory.worker != Some(held.worker) {
        lost(core, memory);
        if !rewound(core, memory).await? {
            core.follow.landed(false);
        }
        memory.worker = Some(held.worker);
        memory.locks_seen = core
            .store
            .lock_is_seen(held.no)
            .at("worker.lock_is_seen")
            .await?;
    }
    if memory.locks_seen {
        core.store
            .workers_expire_dead()
            .at("worker.workers_expire_dead")
            .await?;
    }
    shards(core, memory, held.worker).await?;
    senders(core, held.worker).await?;
    doubted(core).await?;
    compare(core, memory).await?;
    outbox::take(core).at("worker.outbox").await?;
    if memory.count.is_multiple_of(SELDOM) && core.owns(0) {
        core.tasks
            .spawn("sweep", Until::Stop, Box::pin(swept(Arc::clone(core))));
    }
    core.queue.notify_one();
    Ok(())
}

/// The owner of the first shard sweeps, so that in general one does; two at once do no harm.
///
/// Cancel safety: every step stands alone.
async fn swept(core: Arc<Core>) {
    let now = boot_ms();
    let lists = {
        let mut last = core.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let due = u128::try_from(now.saturating_sub(*last))
            .is_ok_and(|past| past >= core.options.retention.listing.as_millis());
        #[cfg(feature = "faults")]
        let due = due || crate::faults::sweeps();
        if due {
            *last = now;
        }
        due
    };
    let done = if lists {
        sweep::all(&core, Sweep::Clean).at("worker.sweep_all").await
    } else {
        sweep::rows(&core).at("worker.sweep_rows").await
    };
    match done {
        Ok(swept) if swept != Swept::default() => tracing::info!(?swept, "swept"),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the sweep goes on later"),
    }
}

/// Reads the database's clock.
pub(crate) async fn read_clock(core: &Core) -> Result<(), StoreError> {
    let before = boot_ms();
    let said = core.store.now_ms().at("worker.now_ms").await?;
    core.clock.set(before, said, boot_ms());
    Ok(())
}

/// Without a lease nothing is followed, and what was is kept until it is known which database it belongs to. Facts and
/// exchanges in flight are not touched.
fn lost(core: &Core, memory: &mut Memory) {
    memory.worker = None;
    memory.owned.clear();
    show(core, &memory.owned);
    core.follow.adrift();
}

fn show(core: &Core, owned: &HashMap<i16, i64>) {
    let mut shards: Vec<i16> = owned.keys().copied().collect();
    shards.sort_unstable();
    *core.shards.lock().unwrap_or_else(PoisonError::into_inner) = shards;
}

async fn seldom(core: &Arc<Core>, memory: &mut Memory) -> Result<(), StoreError> {
    core.store
        .events_prepare()
        .at("worker.events_prepare")
        .await?;
    core.store
        .workers_forget()
        .at("worker.workers_forget")
        .await?;
    rewound(core, memory).await.map(drop)
}

/// Asked with every new lease, for a new connection may be another server. Nothing is claimed on one that was not looked at.
/// `true`: it went back in time, and memory is written again.
async fn rewound(core: &Arc<Core>, memory: &mut Memory) -> Result<bool, StoreError> {
    let failover = if core.options.failover_is_lossless {
        Failover::Lossless
    } else {
        Failover::MayLose
    };
    let looked = core
        .store
        .database_rewound(failover)
        .at("worker.database_rewound")
        .await?;
    let before = memory.identity.replace(looked.identity.clone());
    let other = before.is_some_and(|before| before.differs(&looked.identity));
    if let Some(held) = &looked.held {
        // As many as there are: an operator who searches for one of them finds why it stands.
        for run in held {
            tracing::warn!(run.id = %run, "the run is held until an operator releases it");
        }
        tracing::error!(
            runs = held.len(),
            "the database may have gone back in time; these runs are held until an operator releases them"
        );
    }
    let back = (other || looked.held.is_some()) && failover == Failover::MayLose;
    if back {
        core.follow.landed(true);
        let attempts = Box::pin(rewind::in_flight(Arc::clone(core)));
        core.tasks.spawn("attempts again", Until::Death, attempts);
    }
    Ok(back)
}

/// Takes a fair share, gives what is above it, and reads the runs of shards that are new.
async fn shards(core: &Core, memory: &mut Memory, worker: Uuid) -> Result<(), StoreError> {
    core.store
        .shards_give_surplus(worker)
        .at("worker.shards_give_surplus")
        .await?;
    core.store
        .shards_take(worker)
        .at("worker.shards_take")
        .await?;
    let mine = core
        .store
        .shards_mine(worker)
        .at("worker.shards_mine")
        .await?;
    let owned: HashMap<i16, i64> = mine
        .iter()
        .map(|shard| (shard.shard, shard.epoch))
        .collect();
    if owned == memory.owned {
        return Ok(());
    }
    // Another epoch: it was somebody else's in between.
    let new: Vec<i16> = owned
        .iter()
        .filter(|(shard, epoch)| memory.owned.get(shard) != Some(epoch))
        .map(|(shard, _)| *shard)
        .collect();
    let kept: Vec<i16> = owned
        .keys()
        .filter(|shard| !new.contains(shard))
        .copied()
        .collect();
    core.follow.own(kept);
    memory.owned = owned;
    show(core, &memory.owned);
    if !new.is_empty() {
        let runs = core
            .store
            .shard_runs(&new)
            .at("worker.shards.shard_runs")
            .await?;
        tracing::info!(shards = new.len(), runs = runs.len(), "shards taken over");
        core.follow.shards(new, runs);
    }
    Ok(())
}

/// What dead senders left is never sent again blindly.
async fn senders(core: &Core, worker: Uuid) -> Result<(), StoreError> {
    let Some(shard) = core.own_shard(Uuid::now_v7()) else {
        return Ok(());
    };
    let swept = core
        .store
        .senders_sweep(worker, shard, SWEEP)
        .at("worker.senders_sweep")
        .await?;
    #[cfg(feature = "faults")]
    if broken(Broken::DeadSendersSentAgain) {
        let runs: Vec<Uuid> = swept.iter().map(|run| run.run_id).collect();
        crate::faults::sent_again(core, &runs)
            .at("worker.broken")
            .await?;
    }
    for run in &swept {
        tracing::warn!(run.id = %run.run_id, "its sender is dead; the outcome of the submit is unknown");
    }
    if !swept.is_empty() {
        core.follow
            .look(swept.into_iter().map(|run| run.run_id).collect());
    }
    Ok(())
}

/// Claims whose commit was not answered: certainly not sent.
async fn doubted(core: &Core) -> Result<(), StoreError> {
    let now = boot_ms();
    let asked: Vec<Intent> = {
        let mut doubted = core.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.retain(|doubt| doubt.until_ms > now);
        doubted.iter().map(|doubt| doubt.intent.clone()).collect()
    };
    if asked.is_empty() {
        return Ok(());
    }
    let closed = core
        .store
        .claim_doubted(&asked)
        .at("worker.claim_doubted")
        .await?;
    let mut doubted = core.doubted.lock().unwrap_or_else(PoisonError::into_inner);
    doubted.retain(|doubt| !closed.contains(&doubt.intent.run_id));
    Ok(())
}

/// A slice of the shards a tick: finds what notifications missed.
async fn compare(core: &Core, memory: &mut Memory) -> Result<(), StoreError> {
    let mut shards: Vec<i16> = memory.owned.keys().copied().collect();
    shards.sort_unstable();
    let size = shards.len().div_ceil(SLICES).max(1);
    let slices = shards.len().div_ceil(size).max(1);
    let slice: Vec<i16> = shards
        .into_iter()
        .skip(memory.slice % slices * size)
        .take(size)
        .collect();
    memory.slice = (memory.slice + 1) % slices;
    if !slice.is_empty() {
        let runs = core
            .store
            .shard_runs(&slice)
            .at("worker.compare.shard_runs")
            .await?;
        core.follow.shards(slice, runs);
    }
    Ok(())
}

/// Hints make things sooner; nothing is wrong without them.
async fn listen(core: Arc<Core>) {
    loop {
        if let Err(error) = hints(&core).await {
            tracing::debug!(%error, "no hints for now");
        }
        tokio::time::sleep(Duration::from_secs(1))
            .at("worker.sleep")
            .await;
    }
}

async fn hints(core: &Core) -> Result<(), StoreError> {
    let mut listener = core.store.listen().at("worker.listen").await?;
    loop {
        match listener.hint().at("worker.hint").await? {
            Hint::Catalogue => {
                core.grounds.stale();
                core.tick.notify_one();
            }
            Hint::Queue => core.queue.notify_one(),
            Hint::Outbox => core.callbacks.notify_one(),
            Hint::Run(run) => core.unwanted(run),
            Hint::Look(run) if core.lease.current().is_some() => core.follow.look(vec![run]),
            Hint::Look(_) => {}
            Hint::Called(run) => core.follow.called(run),
            Hint::Watched(run) if core.lease.current().is_some() => core.watches.elsewhere(run),
            Hint::Watched(_) => {}
            Hint::Ended(runs) => {
                for (run, state) in runs {
                    core.watches.state(run, state.as_str());
                }
            }
            Hint::Missed => {
                core.grounds.stale();
                core.tick.notify_one();
                core.queue.notify_one();
            }
        }
    }
}
