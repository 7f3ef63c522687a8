//! What follows a commit at the provider: `cancel` and `cleanup`. Both may be
//! repeated, and neither changes how the run ended.

use crate::core::Core;
use crate::quota::{Asker, urgency_of};
use crate::setting::{self, Unready};
use crate::tasks::Until;
use crate::tokens;
use crate::traces::{Before, judged};
use engine::flow::Phase;
use engine::{Action, Flow, Resume, RunState};
use std::sync::Arc;
use std::time::Duration;
use store::StoreError;
use store::outbox::{Delivery, OutboxRow};
use store::work::WorkRow;

const KINDS: [&str; 2] = ["cancel", "cleanup"];
/// One try may take so long before another worker takes it.
const HOLD: Duration = Duration::from_secs(300);
const AGAIN: Duration = Duration::from_secs(30);
/// Tries before it is given up.
const TRIES: i32 = 10;
/// A wait that is longer than this is left to another look.
const PATIENCE: Duration = Duration::from_secs(60);
const AT_ONCE: i64 = 16;

/// Takes what is due and does it on tasks of their own.
pub(crate) async fn take(core: &Arc<Core>) -> Result<(), StoreError> {
    for row in core.store.outbox_claim(&KINDS, AT_ONCE, HOLD).await? {
        core.tasks.spawn(
            "outbox",
            Until::Death,
            Box::pin(deliver(Arc::clone(core), row)),
        );
    }
    Ok(())
}

async fn deliver(core: Arc<Core>, row: OutboxRow) {
    let (delivery, error) = match step(&core, &row).await {
        Ok(()) => (Delivery::Done, None),
        Err(why) if row.attempts >= TRIES => (Delivery::GaveUp, Some(why)),
        Err(why) => (Delivery::Again(AGAIN), Some(why)),
    };
    if let Some(why) = &error {
        tracing::warn!(run.id = %row.run_id, kind = row.kind, why, "what follows the end is not done");
    }
    if let Err(error) = core
        .store
        .outbox_close(row.outbox_id, delivery, None, error.as_deref())
        .await
    {
        tracing::warn!(run.id = %row.run_id, %error, "it will be repeated");
    }
}

async fn step(core: &Core, row: &OutboxRow) -> Result<(), String> {
    let rows = core
        .store
        .work(&[row.run_id])
        .await
        .map_err(|error| error.to_string())?;
    let Some(run) = rows.into_iter().next() else {
        return Ok(());
    };
    if !setting::state_of(run.state).is_terminal() {
        core.follow.cancel(row.run_id);
        return Ok(());
    }
    let cancels = row.kind == "cancel";
    let flow = flow(core, &run, cancels)
        .await
        .map_err(|error| error.to_string())?;
    let asker = Asker {
        credential: run.credential_id,
        tenant: run.tenant_id,
    };
    drive(
        core,
        flow,
        asker,
        if cancels {
            Phase::Cancel
        } else {
            Phase::Cleanup
        },
    )
    .await;
    Ok(())
}

async fn flow(core: &Core, run: &WorkRow, cancels: bool) -> Result<Flow, Unready> {
    let (setting, resume) = setting::parts(core, run).await?;
    let resume = Resume {
        state: Some(RunState::Polling),
        accepted_at_ms: resume.accepted_at_ms.or(Some(core.clock.now_ms())),
        cancel: cancels,
        ..resume
    };
    let flow = if cancels {
        Flow::resume(setting, resume)
    } else {
        Flow::cleanup(setting, resume)
    };
    flow.map_err(Unready::Fault)
}

/// Only exchanges of this phase are made: the job itself is nobody's any more.
async fn drive(core: &Core, mut flow: Flow, asker: Asker, only: Phase) {
    let mut renewed = false;
    loop {
        let drawn = core.drawn();
        match flow.next(drawn.unix_ms, drawn) {
            Action::Exchange { phase, request } if phase == only => {
                if request.trusted {
                    core.quotas.wait(core, asker, urgency_of(phase)).await;
                }
                let traced = Before::new(core, &flow, (phase, &request));
                let outcome = tokens::sent(core, &mut flow, &request, &mut renewed).await;
                let Some(outcome) = outcome else { continue };
                drop(judged(core, &mut flow, outcome, traced));
                if let Some(fault) = flow.take_warning() {
                    tracing::warn!(
                        run.id = %flow.run_id(),
                        step = request.step,
                        why = fault.message,
                        "what is left at the provider was not cleaned up"
                    );
                }
            }
            Action::Token { auth } => {
                drop(tokens::supplied(core, &mut flow, auth.as_deref()).await);
            }
            Action::Wait { until_ms, .. } if core.clock.until(until_ms) < PATIENCE => {
                tokio::time::sleep(core.clock.until(until_ms)).await;
            }
            _ => return,
        }
    }
}
