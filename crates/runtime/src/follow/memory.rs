//! What a follower remembers beyond its lease: a database that went back in time may have lost it.

use super::{Entry, Follower};
use crate::live::Waiting;
use crate::rewind;
use crate::tasks::Until;
use uuid::Uuid;

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

    /// What was followed belongs to the owners of now, unless the database lacks it.
    pub(super) fn land(&mut self, rewound: bool) {
        let mut memory = self.adrift.take().unwrap_or_default();
        if rewound {
            memory.extend(self.lift_all());
            for entry in self.runs.values_mut() {
                match entry {
                    Entry::Driven(meanwhile) => meanwhile.rewound = true,
                    Entry::Read(kept) => memory.extend(kept.take().map(|waiting| *waiting)),
                    Entry::Waits(..) => {}
                }
            }
            self.compare_with_row(memory);
        }
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
            let compared = Box::pin(rewind::compared(core, memory));
            tasks.spawn("memory", Until::Death, compared);
        }
    }
}
