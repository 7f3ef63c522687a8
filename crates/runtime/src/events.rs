//! What happens to a run, as its watchers hear it.

use crate::error::RunError;
use crate::library::Modelrow;
use crate::view::RunView;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

/// Something that happened to a run.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// It moved.
    State(Progress),
    /// The provider said how far it is.
    Progress(Progress),
    /// An entry of the durable timeline: `accepted`, `overdue`, `reopened`, `succeeded`, …
    Entry {
        /// Numbered per run from 1, without a gap.
        seq: i32,
        /// By the database's clock.
        at: OffsetDateTime,
        /// Which.
        kind: String,
        /// What belongs to it.
        body: Value,
    },
    /// It has ended; nothing follows.
    End(Box<RunView>),
}

/// Where a run stands now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The word of the durable record; empty before the first look.
    pub state: String,
    /// 0 to 100.
    pub percent: Option<u8>,
    /// The provider's last word.
    pub provider_status: Option<String>,
    /// Past its deadline, and followed on.
    pub overdue: bool,
}

/// Where a stream of events stands.
struct Listening {
    modelrow: Modelrow,
    tenant: Uuid,
    run: Uuid,
    watcher: watch::Receiver<Progress>,
    told: Progress,
    seq: i32,
    ready: VecDeque<RunEvent>,
    ended: bool,
}

/// Between two looks at the timeline, when nothing is heard in this process.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const AT_ONCE: i64 = 100;

/// Timeline and progress of a run, until it has ended.
pub(crate) fn stream(modelrow: Modelrow, tenant: Uuid, run: Uuid) -> BoxStream<'static, RunEvent> {
    let listening = Listening {
        watcher: modelrow.progress(run),
        modelrow,
        tenant,
        run,
        told: Progress::default(),
        seq: 0,
        ready: VecDeque::new(),
        ended: false,
    };
    futures_util::stream::unfold(listening, |mut listening| async move {
        let event = listening.next().await?;
        Some((event, listening))
    })
    .boxed()
}

impl Listening {
    async fn next(&mut self) -> Option<RunEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.look().await {
                tracing::debug!(run.id = %self.run, %error, "events wait for the database");
            }
            if self.ready.is_empty() && !self.ended {
                let _ = tokio::time::timeout(LOOK_EVERY, self.watcher.changed()).await;
            }
        }
    }

    /// The state is read first, so that the timeline read after it is complete when it is the last.
    async fn look(&mut self) -> Result<(), RunError> {
        let view = self.modelrow.run(self.tenant, self.run).await;
        let view = match view {
            Err(RunError::NoSuchRun { .. }) => {
                self.ended = true;
                return Ok(());
            }
            other => other?,
        };
        self.progress(&view);
        let entries = self
            .modelrow
            .core()
            .store
            .events(self.tenant, self.run, self.seq, AT_ONCE)
            .await?;
        // A full page is not the last one.
        let whole = i64::try_from(entries.len()).is_ok_and(|count| count < AT_ONCE);
        for entry in entries {
            self.seq = entry.seq;
            self.ready.push_back(RunEvent::Entry {
                seq: entry.seq,
                at: entry.at,
                kind: entry.kind,
                body: entry.body,
            });
        }
        if view.ended() && whole {
            self.ended = true;
            self.ready.push_back(RunEvent::End(Box::new(view)));
        }
        Ok(())
    }

    fn progress(&mut self, view: &RunView) {
        let heard = self.watcher.borrow_and_update().clone();
        let now = Progress {
            state: view.state.clone(),
            percent: view.progress.max(heard.percent),
            provider_status: heard.provider_status,
            overdue: view.overdue || heard.overdue,
        };
        if now.state != self.told.state {
            self.ready.push_back(RunEvent::State(now.clone()));
        } else if now != self.told {
            self.ready.push_back(RunEvent::Progress(now.clone()));
        }
        self.told = now;
    }
}
