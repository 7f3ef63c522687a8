//! Claiming queued runs: who may send, rendered and intended in one
//! transaction, sent only after its commit has answered.

pub(crate) mod at_once;

use crate::clock::boot_ms;
use crate::core::{Core, Doubt};
use crate::faults::At as _;
#[cfg(feature = "faults")]
use crate::faults::{Broken, broken};
use crate::lease::millis;
use crate::live::Live;
use crate::places::Place;
use crate::prepare;
use crate::sender::{self, Sending};
use crate::setting::{Recorded, Unready};
use crate::tasks::Until;
use crate::tokens;
use crate::traces::{self, End};
use diag::Code;
use engine::request::{Drawn, Request};
use engine::{Action, Ending, Fault};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use store::claim::{Claim, Intent, Picked};
use store::rewind::Remembered;
use store::runs::Cancel;
use store::work::WorkRow;
use store::{State, StoreError};
use uuid::Uuid;

/// Runs claimed in one transaction: it holds the credential's lock.
const BATCH: usize = 16;
/// A run whose `start_by` has passed.
const NOT_STARTED: &str = "not_started";
/// Who compares memory with the rows waits so long for intents under way; else the next round does.
const STILL: Duration = Duration::from_secs(1);
/// A commit in doubt may land so long afterwards.
const DOUBT: Duration = Duration::from_secs(60);

/// Claims until the library stops. Never dropped in the middle of a claim.
pub(crate) async fn serve(core: Arc<Core>) {
    while !core.tasks.stop.is_cancelled() {
        let mut limit = None;
        if let Some(held) = core.lease.current() {
            match all(&core, held.worker).await {
                Ok(wait) => limit = wait,
                Err(error) => tracing::warn!(%error, "claiming waits for the database"),
            }
        }
        if let Some(held) = core.lease.current()
            && let Err(error) = forgotten(&core, held.worker).await
        {
            tracing::warn!(%error, "what memory does not hold is looked for later");
        }
        let due = core
            .store
            .next_due_ms()
            .at("claim.next_due_ms")
            .await
            .ok()
            .flatten();
        wait(&core, due, limit).await;
    }
}

/// Cancel safety: holds nothing.
async fn wait(core: &Core, due_ms: Option<i64>, limit: Option<Duration>) {
    // What is due and was not taken waits for a place or a pause, not for time.
    let due = due_ms
        .filter(|ms| *ms > 0)
        .and_then(|ms| u64::try_from(ms).ok())
        .map(Duration::from_millis);
    let soonest = due.into_iter().chain(limit).min();
    let limit = soonest.map_or(core.options.tick, |soonest| soonest.min(core.options.tick));
    tokio::select! {
        () = core.queue.notified() => {}
        () = core.tasks.stop.cancelled() => {}
        () = tokio::time::sleep(limit.max(Duration::from_millis(5))) => {}
    }
}

/// A row `submitting` under our id that memory does not hold goes the way of the dead, one that prepares is queued again.
/// Asked between two claims.
async fn forgotten(core: &Core, worker: Uuid) -> Result<(), StoreError> {
    let Some(shard) = core.own_shard(Uuid::now_v7()) else {
        return Ok(());
    };
    // No intent is committed between the look at memory and that at the rows.
    let still = tokio::time::timeout(STILL, core.intends.write());
    let Ok(_still) = still.at("claim.intends").await else {
        return Ok(());
    };
    let mut known: Vec<Uuid> = {
        let sending = core.sending.lock().unwrap_or_else(PoisonError::into_inner);
        sending.keys().copied().collect()
    };
    {
        // Asked about as certainly not sent, which is more than unknown.
        let doubted = core.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(doubted.iter().map(|doubt| doubt.intent.run_id));
    }
    let preparing: Vec<Uuid> = preparing(core).iter().copied().collect();
    let lost = core
        .store
        .claim_forgotten(worker, (&known, &preparing), shard)
        .at("claim.claim_forgotten")
        .await?;
    let (queued, unknown): (Vec<_>, Vec<_>) =
        lost.into_iter().partition(|run| run.state == State::Queued);
    for run in &queued {
        tracing::warn!(run.id = %run.run_id, "its preparation came to nothing; the run is queued again");
    }
    if !queued.is_empty() {
        core.queue.notify_one();
    }
    for run in &unknown {
        tracing::error!(run.id = %run.run_id, "the run was submitting under our id, and memory did not hold it");
    }
    if !unknown.is_empty() {
        core.follow
            .look(unknown.into_iter().map(|run| run.run_id).collect());
    }
    Ok(())
}

/// Runs that this worker prepares: held from before the commit of their claim to the end of their preparation.
pub(crate) fn preparing(core: &Core) -> MutexGuard<'_, HashSet<Uuid>> {
    core.preparing
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// What a round of claims came to.
#[derive(Default)]
struct Claimed {
    /// Runs that moved.
    moved: usize,
    /// When a credential's limit lets the next one pass; absent: no limit stands in the way.
    wait: Option<Duration>,
}

/// When to look again for the sake of a limit.
async fn all(core: &Arc<Core>, worker: Uuid) -> Result<Option<Duration>, StoreError> {
    let mut soonest: Option<Duration> = None;
    for credential in core
        .store
        .credentials_due()
        .at("claim.credentials_due")
        .await?
    {
        loop {
            let claimed = one(core, worker, credential).await?;
            soonest = soonest.into_iter().chain(claimed.wait).min();
            if claimed.moved < BATCH || claimed.wait.is_some() {
                break;
            }
        }
    }
    Ok(soonest)
}

/// Claims from one credential.
async fn one(core: &Arc<Core>, worker: Uuid, id: Uuid) -> Result<Claimed, StoreError> {
    let nothing = Ok(Claimed::default());
    let Some(credential) = core
        .store
        .credential(id)
        .at("claim.credential")
        .await?
        .filter(|row| row.active)
    else {
        return nothing;
    };
    let places = core
        .submits
        .take(&Arc::from(credential.provider.as_str()), BATCH);
    if places.is_empty() || core.tasks.stop.is_cancelled() {
        return nothing;
    }
    let Some(mut claim) = core.store.claim(worker, id).at("claim.open").await? else {
        return nothing;
    };
    let picked = claim
        .pick(i32::try_from(places.len()).unwrap_or(1))
        .at("claim.pick")
        .await?;
    if picked.is_empty() {
        return nothing;
    }
    let mut batch = sort(core, &mut claim, &picked).await?;
    let limits = credential
        .rate_limit_per_minute
        .or(credential.rate_limit_per_day);
    let wait = match limits {
        Some(_) => within_limits(core, &mut claim, &mut batch).await?,
        None => None,
    };
    let tenants: Vec<Uuid> = picked
        .iter()
        .filter(|pick| batch.moves(pick.run_id))
        .map(|pick| pick.tenant_id)
        .collect();
    claim.served(&tenants).at("claim.served").await?;
    // Those that are left alone come again with the next tick, not at once.
    let moved = picked.len() - batch.left;
    settle(core, claim, batch, (worker, places)).await?;
    Ok(Claimed { moved, wait })
}

/// Leases the requests of the submits with the claim: rolled back with it, too. What is beyond the limit stays queued.
async fn within_limits(
    core: &Core,
    claim: &mut Claim,
    batch: &mut Batch,
) -> Result<Option<Duration>, StoreError> {
    let wanted = batch.send.len();
    if wanted == 0 {
        return Ok(None);
    }
    let asked = u32::try_from(wanted).unwrap_or(u32::MAX);
    let lease = claim
        .lease_requests(asked, core.options.limit_minute)
        .at("claim.lease_requests")
        .await?;
    let granted = usize::try_from(lease.granted).unwrap_or(0);
    batch.send.truncate(granted);
    batch.left += wanted - batch.send.len();
    Ok((granted < wanted).then_some(lease.wait))
}

/// What is to become of each picked run.
#[derive(Default)]
struct Batch {
    send: Vec<Ready>,
    prepare: Vec<Uuid>,
    cancel: Vec<(Uuid, Uuid)>,
    /// Ended by the claim, with why in a word.
    refused: Vec<(Uuid, &'static str)>,
    left: usize,
}

impl Batch {
    /// Whether the run goes on its way.
    fn moves(&self, run: Uuid) -> bool {
        self.send.iter().any(|ready| ready.intent.run_id == run) || self.prepare.contains(&run)
    }
}

/// A run that is rendered.
pub(crate) struct Ready {
    pub(crate) live: Live,
    pub(crate) request: Request,
    pub(crate) intent: Intent,
}

async fn sort(core: &Core, claim: &mut Claim, picked: &[Picked]) -> Result<Batch, StoreError> {
    let ids: Vec<Uuid> = picked.iter().map(|pick| pick.run_id).collect();
    let rows = claim.work(&ids).at("claim.work").await?;
    let mut batch = Batch::default();
    for pick in picked {
        let Some(row) = rows.iter().find(|row| row.run_id == pick.run_id) else {
            continue;
        };
        if row.cancel_requested {
            batch.cancel.push((row.tenant_id, row.run_id));
        } else if pick.too_late {
            claim
                .refuse(pick.run_id, &not_started())
                .at("claim.refuse.late")
                .await?;
            batch.refused.push((pick.run_id, NOT_STARTED));
        } else {
            match ready(core, row).await {
                Sorted::Send(ready) => batch.send.push(*ready),
                Sorted::Prepare => batch.prepare.push(pick.run_id),
                Sorted::Refuse(fault) => {
                    claim
                        .refuse(pick.run_id, &fault.to_json())
                        .at("claim.refuse")
                        .await?;
                    batch.refused.push((pick.run_id, fault.class_word()));
                }
                Sorted::Leave => batch.left += 1,
            }
        }
    }
    Ok(batch)
}

enum Sorted {
    Send(Box<Ready>),
    /// It has steps before the submit, media to be read, or a token to be asked for.
    Prepare,
    Refuse(Fault),
    Leave,
}

async fn ready(core: &Core, row: &WorkRow) -> Sorted {
    match Recorded::read(&row.request) {
        Ok(recorded) if !recorded.call.inputs.is_empty() => return Sorted::Prepare,
        Ok(_) => {}
        Err(fault) => return Sorted::Refuse(fault),
    }
    let mut live = match Live::read(core, row).at("claim.live").await {
        Ok(live) => live,
        Err(why) => return unready(row.run_id, why),
    };
    let n = row.attempt + 1;
    live.flow.set_token(engine::flow::token(row.run_id, n));
    let drawn = core.drawn();
    let action = match live.flow.next(drawn.unix_ms, drawn) {
        Action::Token { auth } if tokens::lent(core, &mut live.flow, auth.as_deref()) => {
            live.flow.next(drawn.unix_ms, drawn)
        }
        action => action,
    };
    match action {
        Action::Submit(request) => Sorted::Send(Box::new(intended(live, n, request, drawn))),
        // A token is asked for outside of the claim's transaction.
        Action::Exchange { .. } | Action::Token { .. } => Sorted::Prepare,
        Action::Ended(Ending::Failed(fault)) => Sorted::Refuse(fault),
        other => {
            tracing::error!(run.id = %row.run_id, ?other, "a queued run asks for something else than to be sent");
            Sorted::Leave
        }
    }
}

fn unready(run: Uuid, why: Unready) -> Sorted {
    match why {
        Unready::Fault(fault) => Sorted::Refuse(fault),
        Unready::Later(why) | Unready::NotOurs(why) => {
            tracing::warn!(run.id = %run, why, "a queued run is left alone");
            Sorted::Leave
        }
    }
}

/// The intent of a rendered submit.
pub(crate) fn intended(mut live: Live, n: i32, request: Request, drawn: Drawn) -> Ready {
    live.n = n;
    let intent = Intent {
        run_id: live.run,
        n,
        token: engine::flow::token(live.run, n),
        request_sha256: request.sha256().to_vec(),
        endpoint: request.origin(),
        drawn: serde_json::to_value(drawn).unwrap_or(Value::Null),
    };
    Ready {
        live,
        request,
        intent,
    }
}

/// Writes the intents and commits; what stands is sent.
async fn settle(
    core: &Arc<Core>,
    mut claim: Claim,
    batch: Batch,
    (worker, places): (Uuid, Vec<Place>),
) -> Result<(), StoreError> {
    let intents: Vec<Intent> = batch
        .send
        .iter()
        .map(|ready| ready.intent.clone())
        .collect();
    let intended = if intents.is_empty() {
        Vec::new()
    } else {
        claim.intend(&intents).at("claim.intend").await?
    };
    let prepared = if batch.prepare.is_empty() {
        Vec::new()
    } else {
        claim.prepare(&batch.prepare).at("claim.prepare").await?
    };
    let mut sending = Vec::new();
    for mut ready in batch.send {
        let Some(stands) = intended
            .iter()
            .find(|one| one.run_id == ready.intent.run_id)
        else {
            tracing::error!(run.id = %ready.intent.run_id, "the run has an attempt that may be paid for; it is not sent");
            continue;
        };
        ready.live.ver = stands.ver;
        hold(core, &ready);
        sending.push(ready);
    }
    #[cfg(feature = "faults")]
    let (mut sending, mut places) = (sending, places);
    #[cfg(feature = "faults")]
    if broken(Broken::IntentAfterSend) {
        let early = sending.drain(..).zip(places.drain(..));
        early.for_each(|(ready, place)| start(core, ready, worker, place));
    }
    preparing(core).extend(prepared.iter().map(|one| one.run_id));
    if let Err(error) = claim.commit().at("claim.commit").await {
        preparing(core).retain(|run| !prepared.iter().any(|one| one.run_id == *run));
        sending.iter().for_each(|ready| doubt(core, ready));
        return Err(error);
    }
    for (run, word) in batch.refused {
        let end = End {
            error: Some(word),
            ..State::Failed.into()
        };
        traces::ended(core, run, None, &end);
    }
    let mut places = places.into_iter();
    for (ready, place) in sending.into_iter().zip(&mut places) {
        start(core, ready, worker, place);
    }
    for (one, place) in prepared.into_iter().zip(places) {
        prepare::start(core, one.run_id, worker, place);
    }
    for (tenant, run) in batch.cancel {
        let canceled = core
            .store
            .run_cancel(tenant, run)
            .at("claim.run_cancel")
            .await?;
        if matches!(canceled, Some(Cancel::Canceled)) {
            traces::ended(core, run, None, &State::Canceled.into());
        }
        core.watches.state(run, State::Canceled.as_str());
    }
    Ok(())
}

/// Memory holds the attempt from before its commit until its fact is written.
pub(crate) fn hold(core: &Core, ready: &Ready) {
    let mut sending = core.sending.lock().unwrap_or_else(PoisonError::into_inner);
    let live = &ready.live;
    let attempt = Remembered {
        intent: ready.intent.clone(),
        tenant_id: live.common.tenant,
        credential_id: live.common.credential,
        revision_id: live.common.revision.id.0.to_vec(),
        ver: live.ver,
    };
    sending.insert(live.run, attempt);
}

/// The commit was not answered: it was not sent, and is asked about for a minute.
pub(crate) fn doubt(core: &Core, ready: &Ready) {
    let doubt = Doubt {
        intent: ready.intent.clone(),
        until_ms: boot_ms().saturating_add(millis(DOUBT)),
    };
    let mut doubted = core.doubted.lock().unwrap_or_else(PoisonError::into_inner);
    doubted.push(doubt);
    drop(doubted);
    sender::forget(core, (ready.intent.run_id, ready.intent.n));
}

/// Sends on a task of its own, which only death ends.
pub(crate) fn start(core: &Arc<Core>, ready: Ready, worker: Uuid, permit: Place) {
    let sending = Sending {
        core: Arc::clone(core),
        worker,
        live: ready.live,
        request: ready.request,
        endpoint: ready.intent.endpoint,
        permit,
    };
    core.tasks
        .spawn("send", Until::Death, Box::pin(sending.send()));
}

fn not_started() -> Value {
    json!({
        "code": NOT_STARTED, "diagnostic": Code::R163.as_str(), "class": NOT_STARTED,
        "message": "the run was not started before its `start_by`",
        "help": "start a new run, with a later `start_by` if it may wait",
    })
}
