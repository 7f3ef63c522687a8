//! A submit whose outcome is unknown: what the profile declares, and nothing else, settles it.

use super::{Driven, Step, Trouble, UNREADY_MS, gone, heed};
use crate::clock::boot_ms;
use crate::core::Core;
use crate::faults::At as _;
#[cfg(feature = "faults")]
use crate::faults::{Broken, broken};
use crate::live::Live;
use crate::metrics;
use crate::setting::stored_answer;
use crate::tokens;
use crate::traces::Before;
use engine::flow::Phase;
use engine::http::Outcome;
use engine::{Event, Fault, Kind, Verdict};
use profile::revision::{Class, Settle};
use std::time::Duration;
use store::{State, StoreError};
use tokio::time::Instant;

/// A large synchronous answer that its sender stored before it died, and could not write the acceptance of.
pub(super) async fn answer_left_behind(core: &Core, live: &mut Live) -> Result<Step, Trouble> {
    if live.state != State::SubmitUnknown || live.common.revision.response.job_id.is_some() {
        return Ok(Step::Go);
    }
    let stored = stored_answer(core, live.run, live.n)
        .at("settle.stored_answer")
        .await;
    let stored = stored.map_err(|error| {
        tracing::warn!(run.id = %live.run, %error, "whether an answer was left behind is asked later");
        Trouble::Wait(core.clock.now_ms().saturating_add(UNREADY_MS))
    });
    let Some(received) = stored? else {
        return Ok(Step::Go);
    };
    let verdict = live.flow.found_answer(received, core.clock.now_ms());
    heed(core, live, verdict).await
}

/// A candidate may be adopted when no attempt ever had it and, from a list, no other run can have made it.
pub(super) async fn candidates(
    core: &Core,
    live: &mut Live,
    ids: Vec<String>,
) -> Result<Step, Trouble> {
    let mut event = Event::Candidates(unclaimed(core, live, ids).await?);
    #[cfg(feature = "faults")]
    if matches!(&event, Event::Candidates(free) if free.is_empty())
        && broken(Broken::AbsenceIsProof)
    {
        let of = (live.run, live.n, live.ver);
        let freed = core.store.settle_written_off(of.0, of.1, of.2);
        let freed = freed.at("settle.broken").await?;
        core.queue.notify_one();
        return Ok(gone(core, live, State::Queued, freed));
    }
    if let Event::Candidates(free) = &event
        && let [only] = free.as_slice()
    {
        let only = only.clone();
        event = if contested(core, live, &only).await? {
            tracing::warn!(run.id = %live.run, "the list shows one job, and another run may have made it; it is not adopted now");
            Event::Contested
        } else {
            // Asked once more: whoever might have made it may have been told so in between.
            Event::Candidates(unclaimed(core, live, vec![only]).await?)
        };
    }
    let verdict = live.flow.on(event, core.clock.now_ms(), rand::random());
    Box::pin(heed(core, live, verdict)).await
}

/// Those that no attempt ever had.
async fn unclaimed(core: &Core, live: &Live, ids: Vec<String>) -> Result<Vec<String>, StoreError> {
    let mut free = Vec::new();
    for id in ids {
        if core
            .store
            .settle_candidate_free(live.common.credential, &id)
            .at("settle.settle_candidate_free")
            .await?
        {
            free.push(id);
        }
    }
    Ok(free)
}

/// A list knows no runs, and a credential serves several tenants: of two runs that are unknown, whoever looked first would
/// get the other's video. So nobody adopts while another can have made the job; in the end both fail as unknown, visibly.
/// A look-up by our own tag finds only what is ours.
async fn contested(core: &Core, live: &mut Live, job: &str) -> Result<bool, StoreError> {
    let from_list = matches!(
        live.flow.terms().and_then(|terms| terms.settle.as_ref()),
        Some(Settle::Lookup {
            select: Some(_),
            ..
        })
    );
    if !from_list {
        return Ok(false);
    }
    let now = boot_ms();
    let sighted = &mut live.rare_mut().sighted;
    let since = match sighted {
        Some((before, since)) if before == job => *since,
        _ => now,
    };
    *sighted = Some((job.to_owned(), since));
    let ago = Duration::from_millis(u64::try_from(now.saturating_sub(since)).unwrap_or(0));
    core.store
        .settle_contested(live.run, live.n, ago)
        .at("settle.settle_contested")
        .await
}

/// The provider does not have the job, and had the time to show it.
pub(super) async fn absent(core: &Core, live: &Live) -> Result<Step, Trouble> {
    let visible_after = match live.flow.terms().and_then(|terms| terms.settle.as_ref()) {
        Some(Settle::Lookup {
            visible_after_ms, ..
        }) => Duration::from_millis(*visible_after_ms),
        _ => Duration::from_secs(60),
    };
    let captured = live.flow.captured();
    core.store
        .captured_put(live.run, live.n, &captured)
        .at("settle.captured_put")
        .await?;
    let freed = core
        .store
        .settle_absent(live.run, live.n, live.ver, visible_after)
        .at("settle.settle_absent")
        .await?;
    if freed.is_none() {
        return Ok(Step::Leave(Driven::Stale));
    }
    tracing::info!(run.id = %live.run, attempt = live.n, "proved absent; queued again");
    core.watches.state(live.run, State::Queued.as_str());
    core.queue.notify_one();
    Ok(Step::Leave(Driven::Gone))
}

pub(super) async fn replay(core: &Core, live: &mut Live) -> Result<Option<Verdict>, StoreError> {
    let retention = live
        .flow
        .terms()
        .and_then(|terms| terms.idempotency.as_ref())
        .map_or(0, |place| place.retention_s);
    // Within the key's life less a tenth.
    let life = Duration::from_millis(retention.saturating_mul(900));
    let Some(replay) = core
        .store
        .replay_intend(live.run, live.n, life)
        .at("settle.replay_intend")
        .await?
    else {
        return Ok(None);
    };
    let rendered = serde_json::from_value(replay.drawn)
        .ok()
        .and_then(|drawn| live.flow.render_submit(drawn).ok());
    let same = rendered.filter(|request| request.sha256().as_slice() == replay.request_sha256);
    let mut traced = None;
    let event = match same {
        Some(request) => {
            traced = Before::new(core, &live.flow, (Phase::Submit, &request));
            let begun = Instant::now();
            let outcome = core.http.send(&request).at("settle.send").await;
            traced = traced.map(|traced| traced.came(&outcome));
            let provider = &live.common.revision.provider;
            core.metrics
                .exchanged(provider, "replay", metrics::word(&outcome), begun.elapsed());
            if matches!(&outcome, Outcome::Answered(received) if received.status == 401) {
                // The next replay has another token.
                tokens::renew(core, &mut live.flow, &request.proof)
                    .at("settle.renew")
                    .await;
            }
            outcome.into()
        }
        None => {
            tracing::error!(run.id = %live.run, "the attempt cannot be rendered to the same bytes; it is not sent again");
            Event::Broken(Fault::new(
                Kind::BadRecord,
                "the replay would not send the same bytes",
            ))
        }
    };
    let verdict = live.flow.on(event, core.clock.now_ms(), rand::random());
    if let Some(traced) = traced {
        traced.submitted(core, &live.common.revision, (live.n, &verdict));
    }
    Ok(Some(verdict))
}

pub(super) async fn unsettled(core: &Core, live: &Live, fault: &Fault) -> Result<Step, Trouble> {
    if fault.class() == Some(Class::Transient) {
        // Every try was absent: nothing was spent.
        if let Step::Leave(Driven::Gone) = absent(core, live).await? {
            let written = core
                .store
                .run_not_sent(live.run, &fault.to_json(), None)
                .at("settle.run_not_sent")
                .await?;
            return Ok(gone(
                core,
                live,
                (State::Failed, fault),
                written.map(|moved| moved.ver),
            ));
        }
        return Ok(Step::Leave(Driven::Stale));
    }
    // Nobody knows what a sender that died had given to a caller of its stream.
    let streams = live.common.revision.response.stream.is_some();
    let consented = live
        .flow
        .terms()
        .is_some_and(|terms| terms.settle.is_none() && terms.repeat_on_unknown);
    if consented && !streams {
        // The consent holds for a sender that died, too, once its answer can come no more.
        let freed = core
            .store
            .settle_written_off(live.run, live.n, live.ver)
            .at("settle.settle_written_off")
            .await?;
        core.queue.notify_one();
        return Ok(gone(core, live, State::Queued, freed));
    }
    let written = core
        .store
        .settle_gave_up(live.run, live.ver, &fault.to_json())
        .at("settle.settle_gave_up")
        .await?;
    Ok(gone(core, live, (State::Failed, fault), written))
}
