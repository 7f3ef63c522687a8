//! What happens to a run, as its watchers hear it.

use crate::error::RunError;
use crate::library::Modelrow;
use crate::view::RunView;
use crate::watches::LiveText;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use store::Scope;
use store::decisions::{Ended, Left};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

/// Something that happened to a run; as JSON its member `event` names the kind.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// It moved.
    State(Progress),
    /// The provider said how far it is.
    Progress(Progress),
    /// A stream said more. Heard in the process that sends, and nowhere else; who
    /// comes late hears it from its beginning. Together they are the text.
    Delta {
        /// Where it begins: bytes of the text before it.
        at: usize,
        /// Never empty.
        text: String,
    },
    /// An entry of the durable timeline: `accepted`, `overdue`, `reopened`, `succeeded`, …
    Entry {
        /// Numbered per run from 1, without a gap.
        seq: i32,
        /// By the database's clock.
        #[serde(with = "time::serde::rfc3339")]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The word of the durable record; empty before the first look.
    pub state: String,
    /// 0 to 100.
    pub percent: Option<u8>,
    /// The provider's last word.
    pub provider_status: Option<String>,
    /// Past its deadline, and followed on.
    pub overdue: bool,
    /// The model that runs since the target was not to be had.
    pub fallback: Option<String>,
    /// Once this process has ended it: what the statement of that left.
    #[serde(skip)]
    pub(crate) end: Option<Arc<AtEnd>>,
}

/// How this process ended a run, and what that left in its rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AtEnd {
    pub(crate) end: Ended,
    pub(crate) left: Left,
}

/// Where a stream of events stands.
struct Listening {
    modelrow: Modelrow,
    scope: Scope,
    run: Uuid,
    watcher: watch::Receiver<Progress>,
    told: Progress,
    seq: i32,
    /// The stream that is heard, and how many bytes of it were told.
    speech: Option<Arc<LiveText>>,
    spoken: usize,
    ready: VecDeque<RunEvent>,
    look_at: Instant,
    ended: bool,
}

/// Between two looks at the timeline, when nothing is heard in this process.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const AT_ONCE: i64 = 100;

/// Timeline (behind number `seq`) and progress of a run, until it has ended.
pub(crate) fn stream(
    modelrow: Modelrow,
    scope: Scope,
    run: Uuid,
    seq: i32,
) -> BoxStream<'static, RunEvent> {
    let listening = Listening {
        watcher: modelrow.progress(run),
        modelrow,
        scope,
        run,
        told: Progress::default(),
        seq,
        speech: None,
        spoken: 0,
        ready: VecDeque::new(),
        look_at: Instant::now(),
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
            if let Some(delta) = self.delta() {
                return Some(delta);
            }
            if Instant::now() < self.look_at && !self.moved().await {
                continue;
            }
            if let Err(error) = self.look().await {
                tracing::debug!(run.id = %self.run, %error, "events wait for the database");
            }
            self.look_at = Instant::now() + LOOK_EVERY;
        }
    }

    /// What a stream has said since the last time.
    fn delta(&mut self) -> Option<RunEvent> {
        self.speech = self
            .modelrow
            .core()
            .watches
            .spoken(self.run)
            .or(self.speech.take());
        let text = self.speech.as_ref()?.after(self.spoken);
        if text.is_empty() {
            return None;
        }
        let at = self.spoken;
        self.spoken += text.len();
        Some(RunEvent::Delta { at, text })
    }

    /// Waits until something happens: `true` when the record is to be looked at,
    /// `false` when a stream said more.
    ///
    /// Cancel safety: what is not heard now is there the next time.
    async fn moved(&mut self) -> bool {
        let (speech, spoken) = (self.speech.clone(), self.spoken);
        let more = async {
            match speech {
                Some(speech) => speech.longer_than(spoken).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = more => false,
            _ = tokio::time::timeout_at(self.look_at, self.watcher.changed()) => true,
        }
    }

    /// The state is read first, so that the timeline read after it is complete when it is the last.
    async fn look(&mut self) -> Result<(), RunError> {
        let view = self.modelrow.run(self.scope, self.run).await;
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
            .events(self.scope, self.run, self.seq, AT_ONCE)
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
            let last = self.delta();
            self.ready.extend(last);
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
            fallback: view.fallen_to().map(str::to_owned).or(heard.fallback),
            end: None,
        };
        if now.state != self.told.state {
            self.ready.push_back(RunEvent::State(now.clone()));
        } else if now != self.told {
            self.ready.push_back(RunEvent::Progress(now.clone()));
        }
        self.told = now;
    }
}
