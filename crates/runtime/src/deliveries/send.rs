//! The outbox, emptied: each callback signed, sent through the egress guard, and tried again for a day.

use crate::core::Core;
use crate::error::RunError;
use crate::places::Place;
use crate::read;
use crate::tasks::Until;
use crate::webhook;
use bytes::Bytes;
use diag::Secret;
use engine::egress::Policy;
use engine::http::Outcome;
use engine::request::{Drawn, Proof, Request};
use engine::wait::retry_after;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::deliveries::Came;
use store::outbox::{Delivery, OutboxRow};
use store::{Scope, StoreError};
use time::format_description::well_known::Rfc3339;
use url::Url;
use uuid::Uuid;

/// A receiver may take so long.
const TIMEOUT_MS: u64 = 15_000;
/// Another worker may take a claimed one after so long.
const HOLD: Duration = Duration::from_secs(60);
/// At once in one process. A host holds three of four at most, so that a slow one delays no other.
pub(crate) const PLACES: usize = 32;
/// Claimed at once.
const BATCH: i64 = 32;
/// One whose host has no place now waits so long.
const CROWDED: Duration = Duration::from_secs(2);
/// One that this process cannot send now, for want of a key or the artifact store, waits so long.
const UNABLE: Duration = Duration::from_secs(10);
/// Waits behind the attempts, in seconds: a day in all. Then it is given up.
const WAITS: [u64; 7] = [5, 300, 1_800, 7_200, 18_000, 28_800, 30_295];
/// A receiver is left alone for no longer, whatever it asks for.
const ASKED_MAX: Duration = Duration::from_secs(86_400);
/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 64 * 1024;
/// Characters of it that are kept.
const EXCERPT: usize = 500;
/// A body larger than this leaves the output out.
const BODY_MAX: usize = 256 * 1024;

/// Delivers until the library stops.
///
/// Cancel safety: what is claimed and not sent is due again when its claim ends.
pub(crate) async fn serve(core: Arc<Core>) {
    loop {
        let mut claimed = 0;
        if core.lease.current().is_some() {
            match round(&core).await {
                Ok(n) => claimed = n,
                Err(error) => tracing::warn!(%error, "callbacks wait for the database"),
            }
        }
        if i64::try_from(claimed).is_ok_and(|n| n >= BATCH) {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            () = core.callbacks.notified() => {}
            () = tokio::time::sleep(core.options.tick) => {}
        }
    }
}

/// Claims what is due and sends each on a task of its own; how many were claimed.
async fn round(core: &Arc<Core>) -> Result<usize, StoreError> {
    let free = i64::try_from(core.callback_places.free()).unwrap_or(0);
    if free == 0 {
        return Ok(0);
    }
    let due = core
        .store
        .outbox_claim(&["callback"], free.min(BATCH), HOLD)
        .await?;
    let claimed = due.len();
    for row in due {
        let host = host(row.url.as_deref().unwrap_or_default());
        let Some(place) = core.callback_places.take(&host, 1).pop() else {
            core.store
                .delivery_put_off(row.outbox_id, CROWDED, None)
                .await?;
            continue;
        };
        let work = deliver(Arc::clone(core), row, place);
        core.tasks.spawn("callback", Until::Death, Box::pin(work));
    }
    Ok(claimed)
}

pub(super) fn host(url: &str) -> Arc<str> {
    let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
    origin.unwrap_or_default().into()
}

async fn deliver(core: Arc<Core>, row: OutboxRow, place: Place) {
    let begun = Instant::now();
    let (mut came, asked) = match attempt(&core, &row).await {
        Ok(came) => came,
        Err(Untried::Later(why)) => {
            tracing::warn!(run.id = %row.run_id, why, "a callback is put off");
            let _ = core
                .store
                .delivery_put_off(row.outbox_id, UNABLE, Some(&why))
                .await;
            return;
        }
        Err(Untried::Never(why)) => {
            let never = Came {
                error: Some(why),
                ..Came::default()
            };
            (never, None)
        }
    };
    drop(place);
    came.took_ms = i32::try_from(begun.elapsed().as_millis()).unwrap_or(i32::MAX);
    let delivery = verdict(came.status, row.attempts, asked, rand::random());
    let error = came.error.clone().or_else(|| said_no(came.status));
    if delivery != Delivery::Done {
        tracing::info!(run.id = %row.run_id, event = row.event, status = came.status, attempt = row.attempts, "a callback was not taken");
    }
    let written = async {
        core.store.delivery_attempted(row.outbox_id, &came).await?;
        core.store
            .outbox_close(row.outbox_id, delivery, came.status, error.as_deref())
            .await
    };
    if let Err(error) = written.await {
        tracing::warn!(run.id = %row.run_id, %error, "a callback will be repeated");
    }
    core.callbacks.notify_one();
}

fn said_no(status: Option<i16>) -> Option<String> {
    let status = status.filter(|status| !(200..300).contains(status))?;
    Some(format!("the receiver answered with HTTP status {status}"))
}

/// What follows attempt `n`. A receiver that is gone (410) is asked no more; one that `asked` to be left alone for a while is,
/// for a day at most. `random`: 0 to 1, for a tenth of the wait.
fn verdict(status: Option<i16>, n: i32, asked: Option<Duration>, random: f64) -> Delivery {
    match status {
        Some(200..300) => return Delivery::Done,
        Some(410) => return Delivery::GaveUp,
        _ => {}
    }
    let waits = usize::try_from(n.saturating_sub(1)).ok();
    match waits.and_then(|n| WAITS.get(n)) {
        Some(wait) => {
            let own = Duration::from_secs(*wait).mul_f64(0.95 + random / 10.0);
            Delivery::Again(own.max(asked.unwrap_or_default().min(ASKED_MAX)))
        }
        None => Delivery::GaveUp,
    }
}

/// Why nothing was sent.
enum Untried {
    /// For a reason of this process, or of the database: it counts as no attempt.
    Later(String),
    /// It can never be sent.
    Never(String),
}

impl From<StoreError> for Untried {
    fn from(error: StoreError) -> Self {
        Self::Later(error.to_string())
    }
}

/// What came of one attempt, and how long the receiver asked to be left alone.
async fn attempt(core: &Core, row: &OutboxRow) -> Result<(Came, Option<Duration>), Untried> {
    let address = row
        .url
        .as_deref()
        .ok_or_else(|| Untried::Never("it has no address".into()))?;
    let secrets = secrets(core, row.tenant_id).await?;
    let message = Message {
        id: row.outbox_id,
        url: address,
        body: body(core, row).await?,
    };
    let sent = sent(core, &secrets, message).await;
    sent.ok_or_else(|| Untried::Later("the tenant has no webhook secret that can be used".into()))
}

/// What is sent to a receiver.
pub(super) struct Message<'m> {
    pub(super) id: Uuid,
    pub(super) url: &'m str,
    pub(super) body: Bytes,
}

/// What came of it, and how long the receiver asked to be left alone.
pub(super) type Attempted = (Came, Option<Duration>);

/// Signs and sends it, once. `None`: there is nothing to sign with.
pub(super) async fn sent(
    core: &Core,
    secrets: &[Secret],
    message: Message<'_>,
) -> Option<Attempted> {
    let (url, policy) = match Policy::given(message.url, core.options.allow) {
        Ok(given) => given,
        Err(fault) => return Some((refused(fault.message), None)),
    };
    let now_ms = core.clock.now_ms();
    let timestamp = now_ms / 1_000;
    let signature = webhook::signatures(secrets, message.id, timestamp, &message.body)?;
    let request = Request {
        step: "callback".into(),
        method: "POST".into(),
        url,
        headers: vec![
            ("Content-Type".into(), "application/json".into()),
            (
                "User-Agent".into(),
                format!("modelrow/{}", core.options.build),
            ),
            ("webhook-id".into(), message.id.to_string()),
            ("webhook-timestamp".into(), timestamp.to_string()),
            ("webhook-signature".into(), signature),
        ],
        body: Some(message.body),
        timeout_ms: TIMEOUT_MS,
        max_bytes: ANSWER_MAX,
        // On a connection of its own, sent once, and never redirected.
        submit: true,
        kept: false,
        trusted: false,
        proof: Proof::default(),
        policy: Arc::new(policy),
        drawn: Drawn {
            unix_ms: now_ms,
            seed: message.id,
        },
    };
    Some(match core.http.untapped().send(&request).await {
        Outcome::Answered(received) => {
            let asked = received.header("retry-after");
            let asked = asked.and_then(|text| retry_after(text, core.clock.now_ms()));
            let came = Came {
                status: i16::try_from(received.status).ok(),
                answer: excerpt(&received.body),
                ..Came::default()
            };
            (came, asked.map(Duration::from_millis))
        }
        Outcome::NotSent(fault) | Outcome::Broken(fault) => (refused(fault.message), None),
    })
}

pub(super) fn refused(why: String) -> Came {
    Came {
        error: Some(why.chars().take(EXCERPT).collect()),
        ..Came::default()
    }
}

fn excerpt(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let kept: String = text.chars().filter(|c| *c != '\0').take(EXCERPT).collect();
    Some(kept).filter(|text| !text.is_empty())
}

async fn secrets(core: &Core, tenant: Uuid) -> Result<Vec<Secret>, Untried> {
    let opened = webhook::secrets(core, tenant).await;
    opened.map_err(|error| Untried::Later(error.to_string()))
}

/// `{type, timestamp, seq, data}`: `data` is the run as it stands now, as its caller sees it.
async fn body(core: &Core, row: &OutboxRow) -> Result<Bytes, Untried> {
    let scope = Scope::Tenant(row.tenant_id);
    let view = match read::view(core, scope, row.run_id).await {
        Ok(view) => view,
        Err(RunError::NoSuchRun { .. }) => {
            return Err(Untried::Never("the run was deleted".into()));
        }
        Err(error) => return Err(Untried::Later(error.to_string())),
    };
    let at = row.created_at.format(&Rfc3339).unwrap_or_default();
    let mut body = json!({"type": row.event, "timestamp": at, "seq": row.event_seq, "data": view});
    let mut text = body.to_string();
    if text.len() > BODY_MAX
        && let Some(Value::Object(data)) = body.get_mut("data")
    {
        data.insert("output".to_owned(), Value::Null);
        data.insert("output_left_out".to_owned(), Value::Bool(true));
        text = body.to_string();
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spread_over_a_day_and_then_given_up() {
        let total: u64 = WAITS.iter().sum();
        assert_eq!(total, 86_400);
        let mut last = Duration::ZERO;
        for n in 1..=7 {
            let Delivery::Again(wait) = verdict(Some(503), n, None, 0.5) else {
                panic!("{n}")
            };
            assert!(wait > last, "{n}");
            last = wait;
        }
        assert_eq!(verdict(None, 8, None, 0.5), Delivery::GaveUp);
    }

    #[test]
    fn a_receiver_that_asks_for_a_longer_wait_is_given_it_for_a_day_at_most() {
        let wait =
            |n, asked: u64| match verdict(Some(429), n, Some(Duration::from_secs(asked)), 0.5) {
                Delivery::Again(wait) => wait.as_secs(),
                other => panic!("{other:?}"),
            };
        assert_eq!(
            (wait(1, 3), wait(1, 600), wait(1, 1_000_000)),
            (5, 600, 86_400)
        );
        assert_eq!(wait(3, 600), 1_800, "our own wait is longer");
        assert_eq!(
            verdict(Some(503), 8, Some(Duration::from_secs(1)), 0.5),
            Delivery::GaveUp
        );
    }

    #[test]
    #[rustfmt::skip]
    fn only_a_2xx_is_taken_for_an_answer_and_a_receiver_that_is_gone_is_left_alone() {
        for (status, done, gone) in [(200, true, false), (204, true, false), (302, false, false), (400, false, false),
                                     (410, false, true), (429, false, false), (500, false, false)] {
            let got = verdict(Some(status), 1, None, 0.0);
            assert_eq!((got == Delivery::Done, got == Delivery::GaveUp), (done, gone), "{status}");
        }
        assert!(matches!(verdict(None, 1, None, 0.0), Delivery::Again(_)));
    }
}
