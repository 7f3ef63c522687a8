//! A run that this worker follows: its machine, and where its rows stand.

use crate::core::Core;
use crate::setting::{self, Machine, Unready};
use engine::Flow;
use profile::revision::Revision;
use std::sync::Arc;
use store::State;
use store::work::WorkRow;
use uuid::Uuid;

/// One followed run.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) run: Uuid,
    pub(crate) credential: Uuid,
    /// Of the attempt that is followed.
    pub(crate) n: i32,
    /// As last written or read; guards decisions.
    pub(crate) ver: i64,
    pub(crate) shard: i16,
    pub(crate) state: State,
    pub(crate) flow: Flow,
    pub(crate) revision: Arc<Revision>,
    /// By the database's clock; absent before acceptance.
    pub(crate) deadline_ms: Option<i64>,
    /// The caller was told.
    pub(crate) overdue: bool,
    /// The provider says that the job is done: what fails now is not the job.
    pub(crate) done: bool,
    /// When progress was last written down.
    pub(crate) written_ms: i64,
    /// A word of the provider that the profile does not know was reported.
    pub(crate) drifted: bool,
    /// Missing from the last look at its shard.
    pub(crate) missing: bool,
    pub(crate) cancel: bool,
    /// The one job that a list showed for it, and since when (boot clock).
    pub(crate) sighted: Option<(String, i64)>,
}

impl Live {
    /// Of a row as it was read.
    pub(crate) async fn read(core: &Core, row: &WorkRow) -> Result<Self, Unready> {
        let Machine { flow, revision } = setting::machine(core, row).await?;
        Ok(Self {
            run: row.run_id,
            credential: row.credential_id,
            n: row.attempt,
            ver: row.ver,
            shard: row.shard.unwrap_or(0),
            state: row.state,
            flow,
            revision,
            deadline_ms: row
                .deadline_in_ms
                .map(|ms| core.clock.now_ms().saturating_add(ms)),
            overdue: row.overdue,
            done: row.state == State::Fetching,
            written_ms: 0,
            drifted: false,
            missing: false,
            cancel: row.cancel_requested,
            sighted: None,
        })
    }
}
