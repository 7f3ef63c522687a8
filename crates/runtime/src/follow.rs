//! The runs that this worker follows, and when each is due. A waiting run is a
//! record in a timer wheel, not a task; nothing is written for its waiting.

use crate::core::Core;
use crate::drive::{Driven, drive};
use crate::live::Live;
use crate::setting::Unready;
use crate::tasks::Until;
use futures_util::StreamExt as _;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use store::work::WorkRow;
use store::workers::ShardRun;
use tokio::sync::mpsc;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;
use uuid::Uuid;

/// Runs read in one query.
const READ_AT_ONCE: usize = 500;
/// Runs of a new owner that are late are asked about over so long.
const PACE_MS: u64 = 1_000;
/// A run whose state was stale is read again after so long.
const STALE_WAIT: Duration = Duration::from_millis(200);
/// Fewer than so many are asked about at once.
const PACE_FROM: usize = 32;

/// What is said to the task that follows.
#[derive(Debug)]
enum Word {
    /// Follow this one.
    Adopt(Box<Live>, Duration),
    /// Read these again, unless they are being driven.
    Look(Vec<Uuid>),
    /// Could not be read: the next look at its shard tries again.
    Unread(Vec<Uuid>),
    Cancel(Uuid),
    /// Let go of all other shards.
    Own(Vec<i16>),
    /// All that these shards hold.
    Shards(Vec<i16>, Vec<ShardRun>),
    Back(Uuid, Driven),
}

/// Speaks to the task that follows.
#[derive(Debug)]
pub(crate) struct Follow {
    words: mpsc::UnboundedSender<Word>,
    heard: Mutex<Option<mpsc::UnboundedReceiver<Word>>>,
    progress: Mutex<HashMap<Uuid, i16>>,
}

impl Default for Follow {
    fn default() -> Self {
        let (words, heard) = mpsc::unbounded_channel();
        Self {
            words,
            heard: Mutex::new(Some(heard)),
            progress: Mutex::default(),
        }
    }
}

impl Follow {
    /// Follows a run from now on.
    pub(crate) fn adopt(&self, live: Live) {
        self.say(Word::Adopt(Box::new(live), Duration::ZERO));
    }

    /// Reads runs again.
    pub(crate) fn look(&self, runs: Vec<Uuid>) {
        self.say(Word::Look(runs));
    }

    /// The caller no longer wants it.
    pub(crate) fn cancel(&self, run: Uuid) {
        self.say(Word::Cancel(run));
    }

    /// What this worker owns; the rest is let go.
    pub(crate) fn own(&self, shards: Vec<i16>) {
        self.say(Word::Own(shards));
    }

    /// All that these shards hold, as just read.
    pub(crate) fn shards(&self, shards: Vec<i16>, runs: Vec<ShardRun>) {
        self.say(Word::Shards(shards, runs));
    }

    /// Progress to be written with the next tick.
    pub(crate) fn progress(&self, run: Uuid, percent: i16) {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(run, percent);
    }

    /// Takes what is to be written.
    pub(crate) fn take_progress(&self) -> Vec<(Uuid, i16)> {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain()
            .collect()
    }

    fn say(&self, word: Word) {
        // Nobody hears when the library stops: the next owner reads it all.
        let _ = self.words.send(word);
    }
}

/// Starts the task.
pub(crate) fn start(core: &Arc<Core>) {
    let heard = core
        .follow
        .heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(heard) = heard else {
        return;
    };
    let follower = Follower {
        core: Arc::downgrade(core),
        runs: HashMap::new(),
        due: DelayQueue::new(),
    };
    core.tasks
        .spawn("follow", Until::Stop, Box::pin(follower.serve(heard)));
}

#[derive(Debug)]
enum Entry {
    /// Being read.
    Read,
    Waits(Box<Live>, Key),
    /// Being driven; what is asked meanwhile waits.
    Driven {
        cancel: bool,
    },
}

struct Follower {
    core: Weak<Core>,
    runs: HashMap<Uuid, Entry>,
    due: DelayQueue<Uuid>,
}

impl Follower {
    /// Cancel safety: a waiting run is nobody's loss; its next owner reads it.
    async fn serve(mut self, mut heard: mpsc::UnboundedReceiver<Word>) {
        loop {
            let word = tokio::select! {
                word = heard.recv() => word,
                Some(due) = self.due.next() => {
                    self.begin(due.into_inner(), false);
                    continue;
                }
            };
            match word {
                Some(word) => self.hear(word),
                None => return,
            }
        }
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Adopt(live, after) => self.adopt(live, after),
            Word::Look(runs) => self.look(runs),
            Word::Unread(runs) => runs.iter().for_each(|run| self.let_go(*run)),
            Word::Cancel(run) => self.cancel(run),
            Word::Own(shards) => self.own(&shards),
            Word::Shards(shards, runs) => self.compare(&shards, &runs),
            Word::Back(run, driven) => self.back(run, driven),
        }
    }

    fn adopt(&mut self, live: Box<Live>, after: Duration) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        if !core.owns(live.shard) {
            // Its shard was given away meanwhile; the owner reads it.
            self.let_go(live.run);
            return;
        }
        self.wait(live, after);
    }

    fn wait(&mut self, live: Box<Live>, after: Duration) {
        let run = live.run;
        self.let_go(run);
        let key = self.due.insert(run, after);
        self.runs.insert(run, Entry::Waits(live, key));
    }

    /// Forgets a run that waits or is read. One that is driven comes back by itself.
    fn let_go(&mut self, run: Uuid) {
        match self.runs.remove(&run) {
            Some(Entry::Waits(_, key)) => drop(self.due.try_remove(&key)),
            Some(driven @ Entry::Driven { .. }) => drop(self.runs.insert(run, driven)),
            Some(Entry::Read) | None => {}
        }
    }

    /// Drives a run that is due, on a task of its own.
    fn begin(&mut self, run: Uuid, cancel: bool) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let mut live = match self.runs.remove(&run) {
            Some(Entry::Waits(live, _)) => live,
            Some(other) => {
                self.runs.insert(run, other);
                return;
            }
            None => return,
        };
        live.cancel |= cancel;
        self.runs.insert(run, Entry::Driven { cancel: false });
        let tasks = core.tasks.clone();
        tasks.spawn("drive", Until::Death, Box::pin(driven(core, live)));
    }

    fn back(&mut self, run: Uuid, driven: Driven) {
        let asked = matches!(
            self.runs.remove(&run),
            Some(Entry::Driven { cancel: true, .. })
        );
        let Some(core) = self.core.upgrade() else {
            return;
        };
        match driven {
            Driven::Wait(live, _) if !core.owns(live.shard) => {}
            Driven::Wait(mut live, until_ms) => {
                let ms = u64::try_from(until_ms.saturating_sub(core.clock.now_ms())).unwrap_or(0);
                live.cancel = asked;
                self.wait(
                    live,
                    if asked {
                        Duration::ZERO
                    } else {
                        Duration::from_millis(ms)
                    },
                );
            }
            Driven::Gone => {}
            Driven::Stale => self.look_later(run),
        }
    }

    fn cancel(&mut self, run: Uuid) {
        match self.runs.get_mut(&run) {
            Some(Entry::Driven { cancel, .. }) => *cancel = true,
            Some(Entry::Waits(_, key)) => {
                let key = *key;
                self.due.try_remove(&key);
                self.begin(run, true);
            }
            // Its row says so when it has been read.
            Some(Entry::Read) | None => {}
        }
    }

    fn own(&mut self, shards: &[i16]) {
        let lost: Vec<Uuid> = self
            .runs
            .iter()
            .filter(|(_, entry)| matches!(entry, Entry::Waits(live, _) if !shards.contains(&live.shard)))
            .map(|(run, _)| *run)
            .collect();
        lost.iter().for_each(|run| self.let_go(*run));
    }

    /// Compares what the shards hold with what memory holds: finds cancels, hand edits and what was missed.
    fn compare(&mut self, shards: &[i16], found: &[ShardRun]) {
        let mut unknown = Vec::new();
        for one in found {
            match self.runs.get_mut(&one.run_id) {
                None => unknown.push(one.run_id),
                Some(Entry::Waits(live, _)) if live.ver < one.ver => unknown.push(one.run_id),
                Some(Entry::Waits(live, _)) => {
                    live.missing = false;
                    if one.cancel && !live.cancel {
                        self.cancel(one.run_id);
                    }
                }
                Some(Entry::Read | Entry::Driven { .. }) => {}
            }
        }
        self.look(unknown);
        self.forget_missing(shards, found);
    }

    /// What is missing from two looks has ended elsewhere; one look may be older than an acceptance.
    fn forget_missing(&mut self, shards: &[i16], found: &[ShardRun]) {
        let there: HashSet<Uuid> = found.iter().map(|one| one.run_id).collect();
        let mut gone = Vec::new();
        for (run, entry) in &mut self.runs {
            if let Entry::Waits(live, _) = entry
                && shards.contains(&live.shard)
                && !there.contains(run)
                && std::mem::replace(&mut live.missing, true)
            {
                gone.push(*run);
            }
        }
        gone.iter().for_each(|run| self.let_go(*run));
    }

    /// What is stale is read again, but never in a tight circle with a provider in it.
    fn look_later(&mut self, run: Uuid) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        self.runs.insert(run, Entry::Read);
        let tasks = core.tasks.clone();
        tasks.spawn(
            "look again",
            Until::Stop,
            Box::pin(look_after_a_while(core, run)),
        );
    }

    fn look(&mut self, runs: Vec<Uuid>) {
        let mut wanted = Vec::new();
        for run in runs {
            if !matches!(
                self.runs.get(&run),
                Some(Entry::Driven { .. } | Entry::Read)
            ) {
                self.let_go(run);
                self.runs.insert(run, Entry::Read);
                wanted.push(run);
            }
        }
        let Some(core) = self.core.upgrade() else {
            return;
        };
        for some in wanted.chunks(READ_AT_ONCE) {
            let tasks = core.tasks.clone();
            tasks.spawn(
                "read runs",
                Until::Stop,
                Box::pin(read(Arc::clone(&core), some.to_vec())),
            );
        }
    }
}

async fn look_after_a_while(core: Arc<Core>, run: Uuid) {
    tokio::time::sleep(STALE_WAIT).await;
    core.follow.say(Word::Unread(vec![run]));
    core.follow.look(vec![run]);
}

async fn driven(core: Arc<Core>, live: Box<Live>) {
    let run = live.run;
    let driven = match core.polls.acquire().await {
        Ok(_place) => drive(&core, live).await,
        Err(_) => Driven::Gone,
    };
    core.follow.say(Word::Back(run, driven));
}

async fn read(core: Arc<Core>, runs: Vec<Uuid>) {
    let rows = match core.store.work(&runs).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%error, runs = runs.len(), "runs are read later");
            core.follow.say(Word::Unread(runs));
            return;
        }
    };
    let many = rows.len() > PACE_FROM;
    let mut left: HashSet<Uuid> = runs.into_iter().collect();
    for row in &rows {
        if let Some(live) = followed(&core, row).await {
            left.remove(&row.run_id);
            let after = if many {
                rand::random::<u64>() % PACE_MS
            } else {
                0
            };
            core.follow
                .say(Word::Adopt(Box::new(live), Duration::from_millis(after)));
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
