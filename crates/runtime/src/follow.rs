//! The runs that this worker follows, and when each is due. A waiting run is a
//! record in a timer wheel, not a task; nothing is written for its waiting.

use crate::callbacks::Unmet;
use crate::core::Core;
use crate::drive::{Driven, drive};
use crate::lanes::Lanes;
use crate::live::Waiting;
use crate::places::share;
use crate::setting::Unready;
use crate::tasks::Until;
use crate::vitals::Vitals;
use futures_util::{FutureExt as _, StreamExt as _};
use memory::Handed;
use read::{look_after_a_while, read};
use round::Rounds;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use store::workers::ShardRun;
use tokio::sync::mpsc;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;
use uuid::Uuid;

mod memory;
mod read;
mod round;

/// What cannot be unfolded now, for want of a secret or the database, is tried again after so long.
const UNREADY_MS: i64 = 5_000;

/// Words heard, or runs that are due, before others are begun and the task is left.
const AT_A_TIME: usize = 64;

/// What is said to the task that follows.
#[derive(Debug)]
enum Word {
    /// Follow this one, as its row was just read.
    Adopt(Box<Waiting>, Duration),
    /// Follow this one, of which memory may know more than its row.
    Sent(Box<Waiting>),
    /// Read these again, unless they are being driven.
    Look(Vec<Uuid>),
    /// Read this one, and keep what memory has of it until its row is seen.
    LookAt(Box<Waiting>),
    /// Could not be read: the next look at its shard tries again.
    Unread(Vec<Uuid>),
    /// One that was stale is to be read now.
    Again(Uuid),
    Cancel(Uuid),
    /// A callback was stored for this one.
    Called(Uuid),
    /// Let go of all other shards.
    Own(Vec<i16>),
    /// The lease is lost: follow nothing, and forget nothing.
    Adrift,
    /// The rows of these have what memory has, as seen after so many rewinds.
    Stand(Vec<Waiting>, u64),
    /// There is a lease again. `true`: on a database that went back in time.
    Landed(bool),
    /// All that these shards hold.
    Shards(Vec<i16>, Vec<ShardRun>),
    Back(Uuid, Back),
    /// It fetches: its place among the polls is free.
    Fetches(Uuid),
}

/// What becomes of a driven run.
#[derive(Debug)]
enum Back {
    /// Nothing before then, milliseconds since 1970.
    Wait(Box<Waiting>, i64),
    Gone,
    /// As memory has it: the row may have less.
    Stale(Box<Waiting>),
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
    pub(crate) fn adopt(&self, waiting: Box<Waiting>) {
        self.say(Word::Sent(waiting));
    }

    /// Its files are fetched, which takes a place of another kind.
    pub(crate) fn fetches(&self, run: Uuid) {
        self.say(Word::Fetches(run));
    }

    /// Reads runs again.
    pub(crate) fn look(&self, runs: Vec<Uuid>) {
        self.say(Word::Look(runs));
    }

    /// Reads a run of which memory knows what its row may not.
    pub(crate) fn look_at(&self, waiting: Box<Waiting>) {
        self.say(Word::LookAt(waiting));
    }

    /// The caller no longer wants it.
    pub(crate) fn cancel(&self, run: Uuid) {
        self.say(Word::Cancel(run));
    }

    /// A callback was stored for it.
    pub(crate) fn called(&self, run: Uuid) {
        self.say(Word::Called(run));
    }

    /// What this worker owns; the rest is let go.
    pub(crate) fn own(&self, shards: Vec<i16>) {
        self.say(Word::Own(shards));
    }

    /// The lease is lost: nothing is followed, and what was is kept.
    pub(crate) fn adrift(&self) {
        self.say(Word::Adrift);
    }

    /// There is a lease again: what was kept is the owners' of now. With `rewound` the database may lack what else memory
    /// holds, too. It is compared, and what is missing written again.
    pub(crate) fn landed(&self, rewound: bool) {
        self.say(Word::Landed(rewound));
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
    let polls = core.options.concurrency.polls;
    let follower = Follower {
        core: Arc::downgrade(core),
        vitals: Arc::clone(&core.vitals),
        runs: HashMap::new(),
        due: DelayQueue::new(),
        rounds: Rounds::default(),
        lanes: Lanes::new(polls, share(polls)),
        unmet: Unmet::default(),
        adrift: None,
        handed: Handed::default(),
        rewinds: 0,
    };
    core.tasks
        .spawn("follow", Until::Stop, Box::pin(follower.serve(heard)));
}

#[derive(Debug)]
enum Entry {
    /// Being read. What memory had of it is kept until its row is seen: the read may come to a database that went back in time.
    Read(Option<Box<Waiting>>),
    /// With its place in the wheel; without one it is due, and queues for its host.
    Waits(Box<Waiting>, Option<Key>),
    /// Being driven. In a box, for most runs wait.
    Driven(Box<Meanwhile>),
}

/// What is asked of a run while it is driven waits.
#[derive(Debug, Default)]
struct Meanwhile {
    cancel: bool,
    called: bool,
    /// The database went back in time: its row may have less than memory.
    rewound: bool,
    /// The host at which it holds a place.
    host: Option<Arc<str>>,
    /// What its sender has written meanwhile, of which who drives it knows nothing.
    sent: Option<Box<Waiting>>,
}

struct Follower {
    core: Weak<Core>,
    vitals: Arc<Vitals>,
    runs: HashMap<Uuid, Entry>,
    due: DelayQueue<Uuid>,
    /// Who can be asked about together.
    rounds: Rounds,
    lanes: Lanes,
    unmet: Unmet,
    /// While there is no lease: what was followed under the last one.
    adrift: Option<Vec<Waiting>>,
    handed: Handed,
    /// How often the database went back in time.
    rewinds: u64,
}

impl Follower {
    /// Cancel safety: a waiting run is nobody's loss; its next owner reads it.
    async fn serve(mut self, mut heard: mpsc::UnboundedReceiver<Word>) {
        let mut words = Vec::with_capacity(AT_A_TIME);
        loop {
            tokio::select! {
                n = heard.recv_many(&mut words, AT_A_TIME) => match n {
                    0 => return,
                    _ => words.drain(..).for_each(|word| self.hear(word)),
                },
                Some(due) = self.due.next() => self.arrive(due.into_inner()),
                () = self.handed.expired() => {}
            }
            // What is due by now arrives with it: all of them begin at once.
            for _ in 1..AT_A_TIME {
                let Some(Some(due)) = self.due.next().now_or_never() else {
                    break;
                };
                self.arrive(due.into_inner());
            }
            self.begin();
            let following = u64::try_from(self.runs.len()).unwrap_or(u64::MAX);
            self.vitals.following.store(following, Ordering::Relaxed);
        }
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Adopt(live, after) => self.found(live, after),
            Word::Sent(waiting) => self.sent(waiting),
            Word::Look(runs) => self.look(runs),
            Word::LookAt(waiting) => self.look_at(waiting),
            Word::Unread(runs) => self.unread(runs),
            Word::Again(run) if matches!(self.runs.get(&run), Some(Entry::Read(_))) => {
                self.read(vec![run]);
            }
            Word::Again(_) => {}
            Word::Cancel(run) => self.cancel(run),
            Word::Called(run) => self.called(run),
            Word::Own(shards) => self.own(&shards),
            Word::Adrift => self.drift(),
            Word::Landed(rewound) => self.land(rewound),
            Word::Stand(waiting, rewinds) => self.stand(waiting, rewinds),
            Word::Shards(shards, runs) => self.compare(&shards, &runs),
            Word::Back(run, back) => self.back(run, back),
            Word::Fetches(run) => self.free(run),
        }
    }

    fn sent(&mut self, waiting: Box<Waiting>) {
        match (self.core.upgrade(), self.runs.get_mut(&waiting.run)) {
            (_, Some(Entry::Driven(meanwhile))) => meanwhile.sent = Some(waiting),
            (Some(core), _) if !core.owns(waiting.shard) => self.leave(vec![*waiting]),
            _ => self.join(waiting, Duration::ZERO),
        }
    }

    /// As its row was read. Memory that knows more stays: the row may be of a database that went back in time.
    fn found(&mut self, live: Box<Waiting>, after: Duration) {
        self.unread(vec![live.run]);
        let knows_more =
            |entry: &Entry| matches!(entry, Entry::Waits(known, _) if known.ver > live.ver);
        if !self.runs.get(&live.run).is_some_and(knows_more) {
            self.adopt(live, after);
        }
    }

    fn adopt(&mut self, waiting: Box<Waiting>, after: Duration) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        if !core.owns(waiting.shard) {
            // Its shard was given away meanwhile; the owner reads it.
            self.let_go(waiting.run);
            return;
        }
        self.join(waiting, after);
    }

    fn join(&mut self, mut waiting: Box<Waiting>, after: Duration) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        waiting.called |= self.unmet.take(waiting.run);
        let now = core.clock.now_ms();
        let due = waiting.due_ms(now).unwrap_or(now);
        self.wait(waiting, after.max(millis_until(due, now)));
    }

    fn wait(&mut self, waiting: Box<Waiting>, after: Duration) {
        let run = waiting.run;
        self.let_go(run);
        self.handed.forget(run);
        let key = self.due.insert(run, after);
        self.rounds.join(&waiting);
        self.runs.insert(run, Entry::Waits(waiting, Some(key)));
    }

    /// Forgets a run that waits or is read. One that is driven comes back by itself.
    fn let_go(&mut self, run: Uuid) {
        drop(self.lift(run));
    }

    /// As [`Self::let_go`]; what waited is given back.
    fn lift(&mut self, run: Uuid) -> Option<Box<Waiting>> {
        match self.runs.remove(&run)? {
            Entry::Waits(waiting, key) => {
                self.rounds.leave(&waiting);
                key.map(|key| self.due.try_remove(&key));
                Some(waiting)
            }
            driven @ Entry::Driven(_) => {
                self.runs.insert(run, driven);
                None
            }
            Entry::Read(_) => None,
        }
    }

    /// One that waits, to be driven. It comes back by itself.
    fn take(&mut self, run: Uuid, host: Option<Arc<str>>) -> Option<Box<Waiting>> {
        let (waiting, key) = match self.runs.remove(&run)? {
            Entry::Waits(waiting, key) => (waiting, key),
            other => {
                self.runs.insert(run, other);
                return None;
            }
        };
        self.rounds.leave(&waiting);
        key.map(|key| self.due.try_remove(&key));
        let driven = Meanwhile {
            host,
            ..Meanwhile::default()
        };
        self.runs.insert(run, Entry::Driven(Box::new(driven)));
        Some(waiting)
    }

    /// A run that waits is due: it queues for its host.
    fn arrive(&mut self, run: Uuid) {
        if let Some(Entry::Waits(waiting, key)) = self.runs.get_mut(&run) {
            *key = None;
            self.lanes.arrive(&waiting.common.host, run);
        }
    }

    /// Drives those whose turn it is, each on a task of its own, or many that one request can ask for on one.
    fn begin(&mut self) {
        while let Some((host, run)) = self.lanes.next() {
            let Some(core) = self.core.upgrade() else {
                return;
            };
            let waits = matches!(self.runs.get(&run), Some(Entry::Waits(_, None)));
            match waits.then(|| self.take(run, Some(Arc::clone(&host)))) {
                Some(Some(waiting)) => self.drive(core, waiting),
                // It was let go, read again, or asked about with others since it was due.
                Some(None) | None => self.lanes.leave(&host),
            }
        }
    }

    fn drive(&mut self, core: Arc<Core>, waiting: Box<Waiting>) {
        // What was called is heard first, by itself.
        let mates = match waiting.called {
            true => Vec::new(),
            false => self.rounds.mates(&waiting, core.clock.now_ms()),
        };
        let mates: Vec<_> = mates
            .into_iter()
            .filter_map(|run| self.take(run, None))
            .collect();
        let tasks = core.tasks.clone();
        if mates.is_empty() {
            tasks.spawn("drive", Until::Death, Box::pin(driven_run(core, waiting)));
        } else {
            let all = std::iter::once(waiting).chain(mates).collect();
            tasks.spawn("round", Until::Death, Box::pin(round::ask(core, all)));
        }
    }

    fn free(&mut self, run: Uuid) {
        if let Some(Entry::Driven(meanwhile)) = self.runs.get_mut(&run)
            && let Some(host) = meanwhile.host.take()
        {
            self.lanes.leave(&host);
        }
    }

    fn back(&mut self, run: Uuid, back: Back) {
        self.free(run);
        let mut meanwhile = match self.runs.remove(&run) {
            Some(Entry::Driven(meanwhile)) => *meanwhile,
            _ => Meanwhile::default(),
        };
        let back = match meanwhile.sent.take() {
            Some(sent) => {
                meanwhile.cancel |= sent.cancel;
                Back::Wait(sent, i64::MIN)
            }
            None => back,
        };
        let Some(core) = self.core.upgrade() else {
            return;
        };
        match back {
            Back::Wait(waiting, _) if meanwhile.rewound => self.look_later(waiting),
            Back::Wait(waiting, _) if !core.owns(waiting.shard) => self.leave(vec![*waiting]),
            Back::Wait(mut waiting, until_ms) => {
                waiting.cancel = meanwhile.cancel;
                waiting.called |= meanwhile.called;
                let now = core.clock.now_ms();
                let at_once = meanwhile.cancel || meanwhile.called;
                let until_ms = if at_once { now } else { until_ms };
                self.wait(waiting, millis_until(until_ms, now));
            }
            Back::Gone => {}
            Back::Stale(waiting) => self.look_later(waiting),
        }
    }

    fn cancel(&mut self, run: Uuid) {
        match self.runs.get_mut(&run) {
            Some(Entry::Driven(meanwhile)) => meanwhile.cancel = true,
            Some(Entry::Waits(waiting, _)) => {
                waiting.cancel = true;
                self.hasten(run);
            }
            // Its row says so when it has been read.
            Some(Entry::Read(_)) | None => {}
        }
    }

    fn called(&mut self, run: Uuid) {
        match self.runs.get_mut(&run) {
            Some(Entry::Driven(meanwhile)) => meanwhile.called = true,
            Some(Entry::Waits(waiting, _)) => {
                waiting.called = true;
                self.hasten(run);
            }
            Some(Entry::Read(_)) | None => self.unmet.note(run),
        }
    }

    /// One that waits is due now, and by itself.
    fn hasten(&mut self, run: Uuid) {
        let Some(Entry::Waits(waiting, key)) = self.runs.get_mut(&run) else {
            return;
        };
        self.rounds.leave(waiting);
        if let Some(key) = key.take() {
            self.due.try_remove(&key);
            self.arrive(run);
        }
    }

    /// A shard may be gone because the database went back in time: what is let go with it is compared first.
    fn own(&mut self, shards: &[i16]) {
        let lost: Vec<Uuid> = self
            .runs
            .iter()
            .filter(
                |(_, entry)| matches!(entry, Entry::Waits(one, _) if !shards.contains(&one.shard)),
            )
            .map(|(run, _)| *run)
            .collect();
        let lost = self.lift_each(lost);
        self.leave(lost);
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
                Some(Entry::Read(_) | Entry::Driven(_)) => {}
            }
        }
        self.look(unknown);
        self.forget_missing(shards, found);
    }

    /// What is missing from two looks has ended elsewhere, or the row has less than memory; one look may be older than an
    /// acceptance.
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
        let gone = self.lift_each(gone);
        self.compare_with_row(gone);
    }

    /// What is stale is read again, but never in a tight circle with a provider in it.
    fn look_later(&mut self, waiting: Box<Waiting>) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let run = waiting.run;
        self.runs.insert(run, Entry::Read(Some(waiting)));
        let tasks = core.tasks.clone();
        let look = Box::pin(look_after_a_while(core, run));
        tasks.spawn("look again", Until::Stop, look);
    }

    fn look_at(&mut self, waiting: Box<Waiting>) {
        let run = waiting.run;
        self.let_go(run);
        // Who drives it has read its row.
        if !matches!(self.runs.get(&run), Some(Entry::Driven(_))) {
            self.runs.insert(run, Entry::Read(Some(waiting)));
            self.read(vec![run]);
        }
    }

    fn look(&mut self, runs: Vec<Uuid>) {
        let mut wanted = Vec::new();
        for run in runs {
            if !matches!(self.runs.get(&run), Some(Entry::Driven(_) | Entry::Read(_))) {
                let memory = self.lift(run);
                self.runs.insert(run, Entry::Read(memory));
                wanted.push(run);
            }
        }
        self.read(wanted);
    }

    fn read(&self, runs: Vec<Uuid>) {
        if let Some(core) = self.core.upgrade()
            && !runs.is_empty()
        {
            let tasks = core.tasks.clone();
            let reading = read(Arc::clone(&core), runs);
            tasks.spawn("read runs", Until::Stop, Box::pin(reading));
        }
    }
}

fn millis_until(until_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(0))
}

async fn driven_run(core: Arc<Core>, waiting: Box<Waiting>) {
    let run = waiting.run;
    let back = woken(&core, waiting).await;
    core.follow.say(Word::Back(run, back));
}

/// Unfolds, drives, folds again.
async fn woken(core: &Core, waiting: Box<Waiting>) -> Back {
    let mut live = match waiting.unfold(core).await {
        Ok(live) => live,
        Err((waiting, why)) => return unready(core, waiting, &why),
    };
    live.joins();
    let driven = drive(core, &mut live).await;
    if matches!(driven, Driven::Gone) {
        return Back::Gone;
    }
    let waiting = live.fold(core).await;
    match driven {
        Driven::Wait(until_ms) => Back::Wait(waiting, until_ms),
        Driven::Gone | Driven::Stale => Back::Stale(waiting),
    }
}

fn unready(core: &Core, waiting: Box<Waiting>, why: &Unready) -> Back {
    tracing::warn!(run.id = %waiting.run, %why, "a run waits for what it needs to be followed");
    let again = core.clock.now_ms().saturating_add(UNREADY_MS);
    Back::Wait(waiting, again)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// What 100,000 waiting runs and 2,000 polls under way cost: the text that a run captured comes on top.
    #[test]
    fn a_waiting_run_is_a_compact_record_and_a_poll_under_way_a_small_task() {
        // A size class of the allocator: 8 bytes more would take 32.
        assert!(size_of::<Waiting>() <= 128, "{}", size_of::<Waiting>());
        assert!(size_of::<Entry>() <= 24, "{}", size_of::<Entry>());
        let poll = size_of_future(driven_run);
        assert!(poll <= 6_144, "{poll}");
    }
}
