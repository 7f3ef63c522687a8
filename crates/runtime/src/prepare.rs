//! Steps before the submit, and its access token: they cost nothing and may be
//! repeated. Then the intent, and the submit.

use crate::claim::{self, Ready, intended};
use crate::core::Core;
use crate::facts::written;
use crate::fallback;
use crate::faults::At as _;
use crate::live::Live;
use crate::places::Place;
use crate::setting::Unready;
use crate::tasks::Until;
use crate::tokens;
use crate::traces::{self, Before, judged};
use engine::{Action, Ending, Fault, Verdict};
use profile::revision::Revision;
use std::sync::Arc;
use std::time::Duration;
use store::limits::Urgency;
use store::{State, StoreError};
use uuid::Uuid;

/// A step that cannot be done now is tried again after so long.
const AGAIN: Duration = Duration::from_secs(5);

/// One wait for the credential's limit; then the run is queued again, and somebody else prepares it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Prepares a claimed run on a task of its own.
pub(crate) fn start(core: &Arc<Core>, run: Uuid, worker: Uuid, place: Place) {
    let work = prepared(Arc::clone(core), run, worker, place);
    core.tasks.spawn("prepare", Until::Death, Box::pin(work));
}

/// Held while a run is prepared. What memory does not hold is queued again with the next round of claims.
struct Held<'a>(&'a Core, Uuid);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        claim::preparing(self.0).remove(&self.1);
    }
}

async fn prepared(core: Arc<Core>, run: Uuid, worker: Uuid, place: Place) {
    let _held = Held(&core, run);
    let mut place = Some(place);
    let ready = match rendered(&core, run, &mut place).await {
        Ok(Some(ready)) => ready,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(run.id = %run, %error, "preparing waits for the database; the run is queued again");
            return;
        }
    };
    // Places are never closed.
    let Some(place) = had(&core, &ready.live, place).await else {
        return;
    };
    match intend(&core, &ready, worker).await {
        Ok(Some(ver)) => {
            let mut ready = ready;
            ready.live.ver = ver;
            claim::start(&core, ready, worker, place);
        }
        Ok(None) => {
            crate::sender::forget(&core, (run, ready.intent.n));
            tracing::warn!(run.id = %run, "the prepared run is not ours any more, or is not to be sent now");
        }
        Err(error) => {
            claim::doubt(&core, &ready);
            tracing::warn!(run.id = %run, %error, "the intent is in doubt; nothing is sent");
        }
    }
}

/// Its place, or another one after it had to wait.
async fn had(core: &Core, live: &Live, place: Option<Place>) -> Option<Place> {
    match place {
        Some(place) => Some(place),
        None => {
            let provider = Arc::from(live.common.revision.provider.as_str());
            core.submits.acquire(&provider).at("prepare.acquire").await
        }
    }
}

/// One request of the credential's limits. Who has to wait gives its place to others. `false`: it is not worth the wait.
async fn its_turn(core: &Core, live: &Live, place: &mut Option<Place>) -> bool {
    let taken = core
        .quotas
        .take(core, live.asker(), Urgency::Send)
        .at("prepare.take")
        .await;
    let Err(first) = taken else {
        return true;
    };
    *place = None;
    let waits = async {
        tokio::time::sleep(first).at("prepare.wait.first").await;
        core.quotas
            .wait(core, live.asker(), Urgency::Send)
            .at("prepare.wait.limit")
            .await;
    };
    tokio::select! {
        waited = tokio::time::timeout(PATIENCE, waits) => waited.is_ok(),
        () = core.tasks.stop.cancelled() => false,
    }
}

async fn intend(core: &Core, ready: &Ready, worker: Uuid) -> Result<Option<i64>, StoreError> {
    let making = core.intends.read().at("prepare.intends").await;
    claim::hold(core, ready);
    let stands = core
        .store
        .intend_prepared(worker, &ready.intent)
        .at("prepare.intend_prepared")
        .await?;
    drop(making);
    if stands.is_some() {
        let (run, n, captured) = (ready.live.run, ready.live.n, ready.live.flow.captured());
        written(("captured", run), || {
            core.store.captured_put(run, n, &captured)
        })
        .at("prepare.captured")
        .await?;
    }
    Ok(stands.map(|stands| stands.ver))
}

/// The run as its row has it, and the row's `ver`; `None`: it went elsewhere.
async fn read(core: &Core, run: Uuid) -> Result<Option<(Live, i64)>, StoreError> {
    let rows = core.store.work(&[run]).at("prepare.work").await?;
    let Some(row) = rows.into_iter().next() else {
        return Ok(None);
    };
    match Live::read(core, &row).at("prepare.live").await {
        Ok(mut live) => {
            live.n = row.attempt + 1;
            live.flow.set_token(engine::flow::token(run, live.n));
            Ok(Some((live, row.ver)))
        }
        Err(Unready::Fault(fault)) => {
            core.store
                .run_not_sent(run, &fault.to_json(), None)
                .at("prepare.refused.unreadable")
                .await?;
            traces::ended(core, run, None, &(State::Failed, &fault).into());
            core.watches.state(run, State::Failed.as_str());
            Ok(None)
        }
        Err(why) => {
            tracing::warn!(run.id = %run, %why, "preparing is put off");
            put_off(core, run, row.ver).await
        }
    }
}

/// Queued again, for somebody to prepare it later.
async fn put_off<T>(core: &Core, run: Uuid, ver: i64) -> Result<Option<T>, StoreError> {
    core.store
        .unprepare(run, ver, AGAIN)
        .at("prepare.put_off")
        .await?;
    Ok(None)
}

/// Does the steps and renders the submit; `None`: the run went elsewhere.
async fn rendered(
    core: &Core,
    run: Uuid,
    place: &mut Option<Place>,
) -> Result<Option<Ready>, StoreError> {
    let Some((mut live, ver)) = read(core, run).await? else {
        return Ok(None);
    };
    let (mut renewed, mut may_submit) = (false, false);
    loop {
        let drawn = core.drawn();
        let action = live.flow.next(drawn.unix_ms, drawn);
        let counts = match &action {
            Action::Submit(_) => !std::mem::replace(&mut may_submit, true),
            Action::Exchange { request, .. } => request.trusted,
            _ => false,
        };
        if counts && !its_turn(core, &live, place).await {
            return put_off(core, run, ver).await;
        }
        let verdict = match action {
            // After a wait it is rendered with the time at which it is sent.
            Action::Submit(_) if counts && place.is_none() => Verdict::Continue,
            Action::Submit(request) => {
                let n = live.n;
                return Ok(Some(intended(live, n, request, drawn)));
            }
            Action::Exchange { phase, request } => {
                let traced = Before::new(core, &live.flow, (phase, &request));
                match tokens::sent(core, &mut live.flow, &request, &mut renewed)
                    .at("prepare.exchange")
                    .await
                {
                    Some(outcome) => judged(core, &mut live.flow, outcome, traced),
                    None => Verdict::Continue,
                }
            }
            Action::Token { auth } => {
                tokens::supplied(core, &mut live.flow, auth.as_deref())
                    .at("prepare.token")
                    .await
            }
            Action::Wait { until_ms, .. } => {
                tokio::time::sleep(core.clock.until(until_ms))
                    .at("prepare.wait.retry")
                    .await;
                Verdict::Continue
            }
            Action::Ended(Ending::Failed(fault)) => {
                return refused(core, run, &live.common.revision, &fault).await;
            }
            other => {
                tracing::error!(run.id = %run, ?other, "a run that prepares asks for something else");
                return put_off(core, run, ver).await;
            }
        };
        if let Verdict::Failed(fault) = verdict {
            return refused(core, run, &live.common.revision, &fault).await;
        }
    }
}

/// Nothing was sent, so the run ends, or goes on under its fallback.
async fn refused(
    core: &Core,
    run: Uuid,
    revision: &Revision,
    fault: &Fault,
) -> Result<Option<Ready>, StoreError> {
    let fallback = fallback::after(core, (run, revision), fault)
        .at("prepare.fallback")
        .await?;
    let failure = fault.to_json();
    let moved = core
        .store
        .run_not_sent(run, &failure, fallback.as_ref())
        .at("prepare.refused")
        .await?;
    if let Some(moved) = moved {
        if let (State::Queued, Some(to)) = (moved.state, &fallback) {
            fallback::tell(core, run, to);
        }
        traces::ended(core, run, Some(revision), &(moved.state, fault).into());
        core.watches.state(run, moved.state.as_str());
    }
    Ok(None)
}
