//! An attempt that was not sent, or that the provider refused: again, under the fallback, or the end.

use super::{Follows, Written, excerpt};
use crate::facts::written;
use crate::fallback;
use crate::faults::At as _;
use crate::live::Live;
use engine::Fault;
use engine::flow::Retry;
use std::time::Duration;
use store::facts::{Closed, ClosedHow, Fallback, Then};
use store::{State, StoreError};

impl Written<'_> {
    pub(super) async fn closed(
        &self,
        live: &mut Live,
        how: ClosedHow,
        fault: &Fault,
        retry: Option<Retry>,
    ) -> Result<Follows, StoreError> {
        self.core
            .drift
            .fault(&live.common.revision, "submit", fault, live.run);
        let wait = retry.map(|retry| self.core.clock.until(retry.not_before_ms));
        let fallback = self.instead(live, fault, retry).await?;
        tracing::info!(run.id = %live.run, attempt = live.n, class = fault.class_word(), again = retry.is_some(), fallback = fallback.is_some(), "not accepted");
        self.pause(live, fault, retry.zip(wait), fallback.as_ref())
            .await;
        let then = match (fallback, wait) {
            (Some(to), _) => Then::Fallback {
                to,
                failure: fault.to_json(),
            },
            (None, Some(wait)) => {
                let captured = live.flow.captured();
                let store = &self.core.store;
                written(("captured", live.run), || {
                    store.captured_put(live.run, live.n, &captured)
                })
                .at("closed.captured")
                .await?;
                Then::Again(wait)
            }
            (None, None) => Then::Fail(fault.to_json()),
        };
        let fact = Closed {
            run_id: live.run,
            n: live.n,
            how,
            http_status: fault
                .http_status
                .and_then(|status| i16::try_from(status).ok()),
            answer: Some(excerpt(fault)),
            then,
        };
        let moved = written(("closed", live.run), || self.core.store.fact_closed(&fact))
            .at("closed.closed")
            .await?;
        if let Some(moved) = moved {
            if let (Then::Fallback { to, .. }, State::Queued) = (&fact.then, moved.state) {
                fallback::tell(self.core, live.run, to);
            }
            let end = (moved.state, fault).into();
            self.core.ended(live.run, &live.common.revision, &end);
        }
        Ok(Follows::No)
    }

    /// Under what the run goes on instead. What passes soon is tried again first, as often as `retry` says; a refusal for
    /// load has no such bound, and goes at once. Once a part of the answer was given to a caller, nothing is sent again.
    async fn instead(
        &self,
        live: &Live,
        fault: &Fault,
        retry: Option<Retry>,
    ) -> Result<Option<Fallback>, StoreError> {
        if live.flow.gave_part() || retry.is_some_and(|retry| retry.counts) {
            return Ok(None);
        }
        let runs = (live.run, live.common.revision.as_ref());
        written(("fallback", live.run), || {
            fallback::after(self.core, runs, fault)
        })
        .at("closed.fallback")
        .await
    }

    /// Pauses the credential after a refusal for load, unless the fallback would wait with it.
    async fn pause(
        &self,
        live: &Live,
        fault: &Fault,
        retry: Option<(Retry, Duration)>,
        fallback: Option<&Fallback>,
    ) {
        let pauses = retry.filter(|(retry, _)| retry.pauses_credential);
        let Some((_, wait)) = pauses else { return };
        if fallback.is_some_and(|to| to.credential_id == live.common.credential) {
            return;
        }
        let store = &self.core.store;
        let _ = store
            .credential_pause(live.common.credential, wait, fault.class_word())
            .at("closed.credential_pause")
            .await;
    }
}
