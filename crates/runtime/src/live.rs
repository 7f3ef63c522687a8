//! A run that this worker follows: its machine, and where its rows stand.
//! Between two polls it is folded: [`Waiting`].

use crate::core::Core;
use crate::ground::Common;
use crate::quota::Asker;
use crate::setting::{self, Machine, Unready};
use crate::webhook;
use engine::flow::{Folded, Ground};
use engine::{Flow, Verdict};
use serde_json::Value;
use std::num::NonZeroI64;
use std::sync::Arc;
use store::State;
use store::work::WorkRow;
use uuid::Uuid;

/// After the caller's deadline it is looked at so soon, in milliseconds.
const OVERDUE_LOOK_MS: i64 = 20;

/// One followed run, around its machine.
#[derive(Debug)]
pub(crate) struct Followed<F> {
    pub(crate) run: Uuid,
    /// What it has in common with many.
    pub(crate) common: Arc<Common>,
    /// Of the attempt that is followed.
    pub(crate) n: i32,
    /// As last written or read; guards decisions.
    pub(crate) ver: i64,
    pub(crate) shard: i16,
    pub(crate) state: State,
    pub(crate) flow: F,
    /// By the database's clock; absent before acceptance. Never 1970, which makes it half as large.
    pub(crate) deadline_ms: Option<NonZeroI64>,
    /// The caller was told.
    pub(crate) overdue: bool,
    /// The provider says that the job is done: what fails now is not the job.
    pub(crate) done: bool,
    /// Its caller asked to be told of its progress.
    pub(crate) tells_progress: bool,
    /// Missing from the last look at its shard.
    pub(crate) missing: bool,
    pub(crate) cancel: bool,
    /// Callbacks may be stored for it that nobody has acted on.
    pub(crate) called: bool,
    rare: Option<Box<Rare>>,
}

/// What few runs have, of what is remembered from one look to the next.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// When progress was last written down; 0: never.
    pub(crate) written_ms: i64,
    /// A word of the provider that the profile does not know was reported.
    pub(crate) drifted: bool,
    /// The caller was told that a file cannot be had.
    pub(crate) told_no_file: bool,
    /// A request for many said nothing of it: it asks by itself next.
    pub(crate) alone: bool,
    /// What a request for many said of it, to be acted on.
    pub(crate) verdict: Option<Verdict>,
    /// The one job that a list showed for it, and since when (boot clock).
    pub(crate) sighted: Option<(String, i64)>,
}

impl Rare {
    fn is_nothing(&self) -> bool {
        let told = self.drifted || self.told_no_file || self.alone;
        self.written_ms == 0 && !told && self.verdict.is_none() && self.sighted.is_none()
    }
}

/// One that is being driven.
pub(crate) type Live = Followed<Flow>;

/// One that waits.
pub(crate) type Waiting = Followed<Asleep>;

/// A machine that waits.
#[derive(Debug)]
pub(crate) enum Asleep {
    Folded(Folded),
    /// It holds what cannot be folded, such as an answer that a later step reads.
    Whole(Box<Flow>),
}

impl Asleep {
    /// `run_states.captured`, with the job's id.
    pub(crate) fn captured(&self) -> Value {
        match self {
            Self::Folded(folded) => folded.captured(),
            Self::Whole(flow) => flow.captured(),
        }
    }

    /// When the provider accepted the job, milliseconds since 1970.
    pub(crate) fn accepted_at_ms(&self) -> Option<i64> {
        match self {
            Self::Folded(folded) => folded.accepted_at_ms(),
            Self::Whole(flow) => flow.accepted_at_ms(),
        }
    }
}

impl<F> Followed<F> {
    /// The same run around another machine.
    fn swap<G>(self, flow: G) -> (F, Followed<G>) {
        let other = Followed {
            flow,
            run: self.run,
            common: self.common,
            n: self.n,
            ver: self.ver,
            shard: self.shard,
            state: self.state,
            deadline_ms: self.deadline_ms,
            overdue: self.overdue,
            done: self.done,
            tells_progress: self.tells_progress,
            missing: self.missing,
            cancel: self.cancel,
            called: self.called,
            rare: self.rare,
        };
        (self.flow, other)
    }

    /// Whose requests its are.
    pub(crate) fn asker(&self) -> Asker {
        Asker {
            credential: self.common.credential,
            tenant: self.common.tenant,
        }
    }

    pub(crate) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Asks by itself no longer.
    pub(crate) fn joins(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.alone = false;
        }
    }

    pub(crate) fn take_verdict(&mut self) -> Option<Verdict> {
        self.rare.as_mut()?.verdict.take()
    }

    /// Whether anything came while it waited, or may have.
    pub(crate) fn has_news(&self) -> bool {
        let verdict = self.rare().is_some_and(|rare| rare.verdict.is_some());
        verdict || self.cancel || self.called || self.state != State::Polling
    }

    /// The flow's next moment, or the deadline when that comes first.
    pub(crate) fn next_look(&self, now_ms: i64, until_ms: i64) -> i64 {
        match self.deadline_ms.filter(|_| !self.overdue) {
            Some(deadline) => until_ms.min(deadline.get().max(now_ms) + OVERDUE_LOOK_MS),
            None => until_ms,
        }
    }
}

impl Live {
    /// Of a row as it was read.
    pub(crate) async fn read(core: &Core, row: &WorkRow) -> Result<Self, Unready> {
        let Machine { flow, shared } = setting::machine(core, row).await?;
        let now = core.clock.now_ms();
        // What is due is asked about anyway.
        let may_wait = flow.due_ms().is_some_and(|due| due > now);
        Ok(Self {
            run: row.run_id,
            common: shared.common(row.tenant_id),
            n: row.attempt,
            ver: row.ver,
            shard: row.shard.unwrap_or(0),
            state: row.state,
            flow,
            deadline_ms: row
                .deadline_in_ms
                .and_then(|ms| NonZeroI64::new(core.clock.now_ms().saturating_add(ms))),
            overdue: row.overdue,
            done: row.state == State::Fetching,
            tells_progress: webhook::tells_progress(&row.request),
            missing: false,
            cancel: row.cancel_requested,
            called: may_wait && shared.ground.revision().webhook.is_some(),
            rare: None,
        })
    }

    /// Small, until it is due. In boxes, for a poll under way carries what it is made of.
    pub(crate) async fn fold(mut self: Box<Self>, core: &Core) -> Box<Waiting> {
        self.rare = self.rare.filter(|rare| !rare.is_nothing());
        let shared = if self.state == State::Polling {
            core.shared(&self.common.revision, self.common.credential)
                .await
                .ok()
        } else {
            None
        };
        let (flow, rest) = (*self).swap(());
        let asleep = match shared {
            Some(shared) => match flow.fold(&shared.ground) {
                Ok(folded) => Asleep::Folded(folded),
                Err(whole) => Asleep::Whole(whole),
            },
            None => Asleep::Whole(Box::new(flow)),
        };
        Box::new(rest.swap(asleep).1)
    }
}

impl Waiting {
    /// When it is due, milliseconds since 1970; absent: at once.
    pub(crate) fn due_ms(&self, now_ms: i64) -> Option<i64> {
        match &self.flow {
            Asleep::Folded(folded) if !self.cancel && !self.called => {
                folded.due_ms().map(|until| self.next_look(now_ms, until))
            }
            Asleep::Folded(_) | Asleep::Whole(_) => None,
        }
    }

    /// Whole again. In boxes, as [`Live::fold`].
    ///
    /// # Errors
    ///
    /// Itself, with the reason why what it shares with others cannot be had now.
    pub(crate) async fn unfold(
        self: Box<Self>,
        core: &Core,
    ) -> Result<Box<Live>, (Box<Self>, Unready)> {
        let shared = core
            .shared(&self.common.revision, self.common.credential)
            .await;
        let (asleep, rest) = (*self).swap(());
        let folded = match asleep {
            Asleep::Whole(flow) => return Ok(Box::new(rest.swap(*flow).1)),
            Asleep::Folded(folded) => folded,
        };
        match shared.and_then(|shared| unfolded(core, &rest, &shared.ground, &folded)) {
            Ok(flow) => Ok(Box::new(rest.swap(flow).1)),
            Err(why) => Err((Box::new(rest.swap(Asleep::Folded(folded)).1), why)),
        }
    }
}

fn unfolded(
    core: &Core,
    of: &Followed<()>,
    ground: &Ground,
    folded: &Folded,
) -> Result<Flow, Unready> {
    let identity = setting::identity(core, &of.common.revision.provider, of.run, of.n);
    Ok(Flow::unfold(ground, identity, folded)?)
}
