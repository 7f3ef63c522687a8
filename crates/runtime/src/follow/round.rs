//! Rounds: waiting runs of one revision and credential are asked about with one request, where the poll has a `batch`.

use super::{Back, Word, unready};
use crate::core::Core;
use crate::drive::told;
use crate::lease::millis;
use crate::live::{Asleep, Live, Rare, Waiting};
use crate::tokens;
use crate::traces::Asked;
use engine::Verdict;
use engine::flow::Round;
use engine::http::Outcome;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use store::limits::Urgency;
use uuid::Uuid;

/// The clocks of a round's runs are read one after the other.
const EARLY_MS: i64 = 50;

/// Whom one request can ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Group {
    revision: [u8; 32],
    credential: Uuid,
    step: u16,
}

/// Where a waiting run is among those of its group.
struct Seat {
    group: Group,
    due: (i64, Uuid),
    /// As many as one request asks for.
    size: usize,
}

/// Runs that wait and can be asked about together, by when they are due.
#[derive(Debug, Default)]
pub(super) struct Rounds(HashMap<Group, BTreeSet<(i64, Uuid)>>);

impl Rounds {
    pub(super) fn join(&mut self, waiting: &Waiting) {
        if let Some(seat) = seat(waiting) {
            self.0.entry(seat.group).or_default().insert(seat.due);
        }
    }

    /// Before anything of it is changed.
    pub(super) fn leave(&mut self, waiting: &Waiting) {
        let Some(seat) = seat(waiting) else {
            return;
        };
        if let Some(all) = self.0.get_mut(&seat.group) {
            all.remove(&seat.due);
            if all.is_empty() {
                self.0.remove(&seat.group);
            }
        }
    }

    /// Those that are due like this one, the longest due first, as many as one request asks for beside it.
    pub(super) fn mates(&self, waiting: &Waiting, now_ms: i64) -> Vec<Uuid> {
        let until = now_ms.saturating_add(EARLY_MS);
        let Some(seat) = seat(waiting).filter(|seat| seat.due.0 <= until) else {
            return Vec::new();
        };
        let all = self.0.get(&seat.group).into_iter().flatten();
        let due = all.take_while(|(due, _)| *due <= until);
        let others = due.map(|(_, run)| *run).filter(|run| *run != waiting.run);
        others.take(seat.size.saturating_sub(1)).collect()
    }
}

/// Absent: it asks by itself.
fn seat(waiting: &Waiting) -> Option<Seat> {
    let Asleep::Folded(folded) = &waiting.flow else {
        return None;
    };
    let apart = |rare: &Rare| rare.alone || rare.verdict.is_some();
    if waiting.cancel || waiting.rare().is_some_and(apart) {
        return None;
    }
    let (step, size) = folded.round(&waiting.common.revision)?;
    Some(Seat {
        group: Group {
            revision: waiting.common.revision.id.0,
            credential: waiting.common.credential,
            step,
        },
        due: (folded.due_ms().unwrap_or(i64::MIN), waiting.run),
        size,
    })
}

/// Asks about all of them at once. Those that only wait on are folded again; the others go on by themselves.
///
/// Cancel safety: dropped, the process is dying; a poll is a read.
#[expect(clippy::vec_box, reason = "they come in boxes, and go back in boxes")]
pub(super) async fn ask(core: Arc<Core>, waiting: Vec<Box<Waiting>>) {
    let mut all = Vec::with_capacity(waiting.len());
    for one in waiting {
        let run = one.run;
        match one.unfold(&core).await {
            Ok(live) => all.push(live),
            Err((waiting, why)) => {
                let back = unready(&core, waiting, &why);
                core.follow.say(Word::Back(run, back));
            }
        }
    }
    let came = asked(&core, &mut all).await;
    let mut refused = false;
    for live in all {
        let run = live.run;
        let back = match &came {
            Came::Said(round, traced) => {
                let traced = traced.as_deref();
                heard(&core, live, (round, traced), &mut refused).await
            }
            Came::NotTogether => by_itself(&core, live).await,
            Came::Wait(until_ms) => Back::Wait(live.fold(&core).await, *until_ms),
        };
        core.follow.say(Word::Back(run, back));
    }
}

enum Came {
    Said(Round, Option<Box<Asked>>),
    /// They cannot be asked about together.
    NotTogether,
    /// The credential's limit lets nothing pass before then, milliseconds since 1970.
    Wait(i64),
}

/// As any request: with an access token where one is wanted, and another when that was refused.
const TRIES: usize = 4;

async fn asked(core: &Core, all: &mut [Box<Live>]) -> Came {
    let jobs = all.iter().filter_map(|live| live.flow.job_id());
    let jobs: Vec<String> = jobs.map(str::to_owned).collect();
    let ids: Vec<&str> = jobs.iter().map(String::as_str).collect();
    let now = core.clock.now_ms();
    let due: Vec<i64> = all.iter().filter_map(|live| live.flow.due_ms()).collect();
    let Some(first) = all.first_mut() else {
        return Came::NotTogether;
    };
    let mut renewed = false;
    for _ in 0..TRIES {
        let request = match first.flow.render_round(&ids, core.drawn()) {
            Some(Ok(request)) => request,
            Some(Err(fault)) => {
                tracing::warn!(run.id = %first.run, profile = first.common.revision.profile_key, why = %fault, "runs cannot be polled together");
                return Came::NotTogether;
            }
            None => return Came::NotTogether,
        };
        if request.lacks_token(now) {
            let auth = request.proof.auth.clone();
            match tokens::supplied(core, &mut first.flow, auth.as_deref()).await {
                Verdict::Continue => continue,
                _ => return Came::NotTogether,
            }
        }
        if request.trusted
            && let Err(wait) = core.quotas.take(core, first.asker(), Urgency::Follow).await
        {
            return Came::Wait(now.saturating_add(millis(wait)));
        }
        due.iter().for_each(|due| core.polled(*due));
        let mut traced = Asked::new(core, &request);
        let came = tokens::sent(core, &mut first.flow, &request, &mut renewed).await;
        let Some(came) = came else { continue };
        if let Some(traced) = &mut traced {
            traced.came(&came);
        }
        if let Outcome::Answered(received) = &came {
            core.drift.answer(
                &first.common.revision,
                &request.step,
                &received.body,
                first.run,
            );
        }
        return Came::Said(Round::of(&request, &came), traced);
    }
    Came::NotTogether
}

/// What the answer says of one of them.
async fn heard(
    core: &Core,
    mut live: Box<Live>,
    (round, traced): (&Round, Option<&Asked>),
    refused: &mut bool,
) -> Back {
    let now = core.clock.now_ms();
    let verdict = live.flow.on_round(round, now, rand::random());
    if let (Some(traced), Some(verdict)) = (traced, &verdict) {
        traced.judged(core, &live.flow, verdict);
    }
    match verdict {
        None => return by_itself(core, live).await,
        Some(Verdict::Pending(pending)) => told(core, &mut live, &pending),
        Some(Verdict::Continue) => {}
        // The credential is one: it is paused once.
        Some(Verdict::CredentialRefused(_)) if std::mem::replace(refused, true) => {}
        Some(verdict) => {
            live.rare_mut().verdict = Some(verdict);
            return Back::Wait(live.fold(core).await, now);
        }
    }
    let until = live.flow.due_ms().unwrap_or(now);
    let until = live.next_look(now, until);
    Back::Wait(live.fold(core).await, until)
}

async fn by_itself(core: &Core, mut live: Box<Live>) -> Back {
    live.rare_mut().alone = true;
    let now = core.clock.now_ms();
    Back::Wait(live.fold(core).await, now)
}
