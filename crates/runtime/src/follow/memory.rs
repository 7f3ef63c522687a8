//! What a follower remembers beyond its lease: a database that went back in time may have lost it.

use super::{Entry, Follower, Word};
use crate::core::Core;
use crate::live::Waiting;
use crate::rewind;
use crate::tasks::Until;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Their next owner has read them by then: it does so with its tick, or compares all of its shards within fifteen of them.
const HANDED_FOR: Duration = Duration::from_secs(60);

/// They are forgotten together.
const TOGETHER: Duration = Duration::from_secs(1);

/// Runs that others follow, as far as is known: until their next owner has read them, this memory is the only one.
#[derive(Debug, Default)]
pub(super) struct Handed {
    /// With the moment from which each can be forgotten.
    runs: HashMap<Uuid, (Instant, Waiting)>,
    next: Option<Instant>,
}

impl Handed {
    /// Waits until some were handed over long enough ago, and forgets them.
    ///
    /// Cancel safety: nothing is forgotten before the wait is over.
    pub(super) async fn expired(&mut self) {
        let Some(next) = self.next else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(next).await;
        let now = Instant::now();
        self.runs.retain(|_, (until, _)| *until > now);
        let next = self.runs.values().map(|(until, _)| *until).min();
        match next {
            Some(next) => self.next = Some(next.max(now + TOGETHER)),
            None => *self = Self::default(),
        }
    }

    /// We follow it again, and know more.
    pub(super) fn forget(&mut self, run: Uuid) {
        if !self.runs.is_empty() {
            self.runs.remove(&run);
        }
    }

    fn keep(&mut self, waiting: Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        let until = Instant::now() + HANDED_FOR;
        for one in waiting {
            let known = self.runs.get(&one.run);
            if known.is_none_or(|(_, known)| is_older(known, &one)) {
                self.runs.insert(one.run, (until, one));
            }
        }
        self.next.get_or_insert(until);
    }

    fn take(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        let all = std::mem::take(self);
        all.runs.into_values().map(|(_, waiting)| waiting)
    }
}

fn is_older(one: &Waiting, other: &Waiting) -> bool {
    (one.n, one.ver) < (other.n, other.ver)
}

/// Of each run what knows the most: an attempt before it may be over.
fn latest(memory: Vec<Waiting>) -> Vec<Waiting> {
    let mut runs = Handed::default();
    runs.keep(memory);
    runs.take().collect()
}

/// Cancel safety: each is written by itself; the process is dying.
async fn compared(core: Arc<Core>, memory: Vec<Waiting>, rewinds: u64) {
    let stand = rewind::compared(&core, memory).await;
    core.follow.say(Word::Stand(stand, rewinds));
}

impl Follower {
    /// Follows nothing, and forgets nothing: the next lease may be of a database that went back in time.
    pub(super) fn drift(&mut self) {
        let waiting = self.lift_all();
        self.adrift.get_or_insert_default().extend(waiting);
    }

    /// Those whose shards are not ours any more: their owners read them, if the database has them.
    pub(super) fn leave(&mut self, waiting: Vec<Waiting>) {
        match &mut self.adrift {
            Some(adrift) => adrift.extend(waiting),
            None => self.compare_with_row(waiting),
        }
    }

    /// What was followed belongs to the owners of now, unless the database lacks it. Rewound, it may lack what else is held.
    pub(super) fn land(&mut self, rewound: bool) {
        let mut memory = self.adrift.take().unwrap_or_default();
        if rewound {
            self.rewinds += 1;
            memory.extend(self.handed.take());
            memory.extend(self.lift_all());
            for entry in self.runs.values_mut() {
                match entry {
                    Entry::Driven(meanwhile) => meanwhile.rewound = true,
                    Entry::Read(kept) => memory.extend(kept.take().map(|waiting| *waiting)),
                    Entry::Waits(..) => {}
                }
            }
        }
        self.compare_with_row(latest(memory));
    }

    /// Their rows have what memory has, or had before the database went back in time once more.
    pub(super) fn stand(&mut self, mut waiting: Vec<Waiting>, rewinds: u64) {
        if rewinds < self.rewinds {
            return self.compare_with_row(waiting);
        }
        waiting.retain(|one| matches!(self.runs.get(&one.run), None | Some(Entry::Read(_))));
        self.handed.keep(waiting);
    }

    /// Rows that are not to be followed, or could not be read. What memory had of them is compared; what came meanwhile stays.
    pub(super) fn unread(&mut self, runs: Vec<Uuid>) {
        let mut memory = Vec::new();
        for run in runs {
            if let Some(Entry::Read(_)) = self.runs.get(&run)
                && let Some(Entry::Read(Some(kept))) = self.runs.remove(&run)
            {
                memory.push(*kept);
            }
        }
        self.compare_with_row(memory);
    }

    fn lift_all(&mut self) -> Vec<Waiting> {
        let waiting = self.runs.iter();
        let waiting = waiting.filter(|(_, entry)| matches!(entry, Entry::Waits(..)));
        let runs: Vec<Uuid> = waiting.map(|(run, _)| *run).collect();
        self.lift_each(runs)
    }

    /// Those of them that waited.
    pub(super) fn lift_each(&mut self, runs: Vec<Uuid>) -> Vec<Waiting> {
        let lifted = runs.into_iter().filter_map(|run| self.lift(run));
        lifted.map(|waiting| *waiting).collect()
    }

    /// Memory is not forgotten before the rows are seen to have it.
    pub(super) fn compare_with_row(&self, memory: Vec<Waiting>) {
        if let Some(core) = self.core.upgrade()
            && !memory.is_empty()
        {
            let tasks = core.tasks.clone();
            let compared = Box::pin(compared(core, memory, self.rewinds));
            tasks.spawn("memory", Until::Death, compared);
        }
    }
}
