//! `batch` of a poll: one request that answers for many jobs of a credential.

use super::{Exchange, Select};
use crate::lang::Condition;

/// `batch`.
#[derive(Debug)]
pub struct Batch {
    /// Asks for the jobs in `job_ids`, and reads nothing that differs between runs.
    pub exchange: Exchange,
    /// Most jobs in one request; at least 2.
    pub size: usize,
    /// The item of a run: it stands for the answer of the run's own poll. Its filter is always there, and reads
    /// something of the run.
    pub item: Select,
}

impl Batch {
    /// What the item of a run must satisfy.
    #[must_use]
    pub fn filter(&self) -> Option<&Condition> {
        self.item.filter.as_ref()
    }
}
