//! A synchronous answer: the fact of it, and in the same statement the end of its run where that takes nothing more.

use super::{Follows, Written};
use crate::drive::{let_go, success};
use crate::events::AtEnd;
use crate::facts::written;
use crate::faults::At as _;
use crate::live::Live;
use crate::rewind;
use crate::setting::{StoredAnswer, answer_key};
use engine::{Action, Ending};
use std::time::Duration;
use store::decisions::{Came, Ended};
use store::facts::Answered;
use store::{State, StoreError};

impl Written<'_> {
    /// To the sender.
    pub(super) async fn came(&self, live: &mut Live) -> Result<Follows, StoreError> {
        if self.ends(live).await {
            return Ok(Follows::Ended);
        }
        self.answered(live).await
    }

    /// Writes the answer with the end of its run, one commit for both. `false`: it has files, or is not valid, or nothing was
    /// written; the answer is to be written by itself, for a fact is not dropped with a decision.
    async fn ends(&self, live: &mut Live) -> bool {
        let drawn = self.core.drawn();
        let Action::Ended(Ending::Succeeded { output, warnings }) =
            live.flow.next(drawn.unix_ms, drawn)
        else {
            return false;
        };
        let Some((end, end_of)) = success(live, output, &warnings) else {
            return false;
        };
        let end = Ended {
            from: State::Submitting,
            answer: Some(Came {
                endpoint: self.endpoint.to_owned(),
                http_status: self.http_status,
            }),
            ..end
        };
        let ended = written(("answered and ended", live.run), || {
            self.core.store.run_ends(&end)
        })
        .at("sender.answered.ended")
        .await;
        match ended {
            Ok(Some(left)) => {
                self.core.watches.ending(live.run, AtEnd { end, left });
                let_go(self.core, live, &end_of);
            }
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(run.id = %live.run, %error, "an answer is kept without its run's end");
                return false;
            }
        }
        true
    }

    /// A synchronous answer: the only copy, so stored before it is accepted.
    pub(crate) async fn answered(&self, live: &mut Live) -> Result<Follows, StoreError> {
        if let Some(large) = live.flow.large_answer() {
            let bytes = serde_json::to_vec(&StoredAnswer::of(large)).unwrap_or_default();
            let key = answer_key(live.run, live.n);
            while let Err(error) = self
                .core
                .objects
                .put(&key, bytes.clone().into())
                .at("sender.put_object")
                .await
            {
                tracing::error!(run.id = %live.run, %error, "the only copy of an answer is not stored yet");
                tokio::time::sleep(Duration::from_secs(1))
                    .at("sender.sleep")
                    .await;
            }
        }
        let fact = Answered {
            run_id: live.run,
            n: live.n,
            shard: written(("shard", live.run), || self.core.shard_for(live.run))
                .at("sender.answered.shard")
                .await?,
            endpoint: self.endpoint.to_owned(),
            captured: live.flow.captured(),
            http_status: self.http_status,
        };
        live.shard = fact.shard;
        let ver = written(("answered", live.run), || {
            rewind::answered(self.core, live, &fact)
        })
        .at("sender.answered")
        .await?;
        // What memory has, whatever the row says.
        (live.state, live.done) = (State::Validating, true);
        let Some(ver) = ver else {
            return Ok(Follows::AsItsRow);
        };
        live.ver = ver;
        self.core
            .watches
            .state(live.run, State::Validating.as_str());
        Ok(Follows::Yes)
    }
}
