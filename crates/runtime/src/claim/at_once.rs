//! A run that is claimed with its insert: who works sends what it is called for at once, where nobody waits before it. It spares
//! the run the queue, a commit, and the statements of a claim; what a claim must count goes the claim's way.

use super::{Ready, Sorted, doubt, hold, ready, start};
use crate::core::Core;
use crate::faults::At as _;
use crate::options::Work;
use crate::places::Place;
use crate::sender;
use std::sync::Arc;
use store::catalogue::CredentialRow;
use store::runs::{Inserted, Insertion, NewRun};
use store::work::WorkRow;
use store::{State, StoreError};
use uuid::Uuid;

/// A run that is not there yet, rendered, with its place at the provider.
pub(crate) struct Head {
    ready: Box<Ready>,
    worker: Uuid,
    place: Place,
}

/// The run as it would be sent; `None`: it is to be queued.
pub(crate) async fn rendered(core: &Core, new: &NewRun, row: &CredentialRow) -> Option<Head> {
    let is_limited = row.max_concurrent_jobs.is_some()
        || row.rate_limit_per_minute.is_some()
        || row.rate_limit_per_day.is_some();
    if is_limited || core.options.work != Work::Yes || core.tasks.stop.is_cancelled() {
        return None;
    }
    let worker = core.lease.current()?.worker;
    let provider = Arc::from(row.provider.as_str());
    let place = core.submits.take(&provider, 1).pop()?;
    match ready(core, &as_it_will_stand(new)).await {
        Sorted::Send(ready) => Some(Head {
            ready,
            worker,
            place,
        }),
        // The claim says so, and where it is written.
        Sorted::Prepare | Sorted::Refuse(_) | Sorted::Leave => None,
    }
}

/// Inserts the run with its intent, and sends it if that stands. `None`: we stop, it is to be queued.
///
/// Cancel safety: dropped before the answer, the attempt is asked about as one whose commit was not answered.
pub(crate) async fn insert(
    core: &Arc<Core>,
    new: &NewRun,
    head: Head,
) -> Result<Option<Insertion>, StoreError> {
    let Head {
        ready,
        worker,
        place,
    } = head;
    // What memory does not hold is looked for before this attempt is held, or after its commit. Who stops waits for those who
    // are here, and nobody comes after them.
    let _made = core.intends.read().at("claim.at_once.intends").await;
    if core.tasks.stop.is_cancelled() {
        return Ok(None);
    }
    hold(core, &ready);
    let intent = ready.intent.clone();
    let mut held = Held(core, Some(ready));
    let made = core
        .store
        .run_make(new, Some((worker, &intent)))
        .at("claim.at_once.insert")
        .await?;
    match (held.1.take(), made.inserted) {
        (Some(mut ready), Inserted::Claimed(stands)) => {
            ready.live.ver = stands.ver;
            start(core, *ready, worker, place);
        }
        _ => sender::forget(core, (intent.run_id, intent.n)),
    }
    Ok(Some(made))
}

/// Dropped with what it holds: the commit was not answered.
struct Held<'a>(&'a Core, Option<Box<Ready>>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(ready) = &self.1 {
            doubt(self.0, ready);
        }
    }
}

/// The row that the insert writes, as a claim would read it.
fn as_it_will_stand(new: &NewRun) -> WorkRow {
    WorkRow {
        run_id: new.run_id,
        tenant_id: new.tenant_id,
        revision_id: new.revision_id.clone(),
        credential_id: new.credential_id,
        state: State::Queued,
        ver: 0,
        shard: None,
        worker_id: None,
        held: false,
        request: new.request.clone(),
        captured: None,
        endpoint: None,
        provider_job_id: None,
        cancel_requested: false,
        overdue: false,
        accepted_ago_ms: None,
        deadline_in_ms: None,
        give_up_in_ms: None,
        result_expires_in_ms: None,
        created_ago_ms: 0,
        start_by_in_ms: None,
        attempt: 0,
        sent: None,
    }
}
