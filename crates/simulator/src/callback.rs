//! Telling the caller that a job has ended: Standard Webhooks, sent over a connection of our own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde_json::json;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use crate::config::Callback;
use crate::jobs::Stage;
use crate::sim::Sim;
use crate::tasks;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One attempt to deliver an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The `webhook-id`: the same for every copy and attempt of one event.
    pub event: String,
    /// The job that ended.
    pub job: String,
    /// The receiver's status; `None` when it gave none.
    pub status: Option<u16>,
}

#[derive(Debug)]
struct Event {
    id: String,
    job: String,
    kind: &'static str,
}

impl Sim {
    /// Sees to the callback of a new job: sent before this returns, or when the job ends.
    pub(crate) async fn announce(self: Arc<Self>, job: &str) {
        let Some(callback) = self.config.callback.clone() else {
            return;
        };
        let Some((ends_ms, first)) = self.end_of(job) else {
            return;
        };
        let job = job.to_owned();
        let stop = self.stop.clone();
        let work = async move {
            self.clock.wait_until(ends_ms).await;
            self.deliver(&callback, &job).await;
        };
        if first {
            work.await;
        } else {
            drop(tasks::start(stop, work));
        }
    }

    /// When the job ends, and whether its callback comes before the answer; `None` when it never ends.
    fn end_of(&self, job: &str) -> Option<(u64, bool)> {
        let state = self.state();
        let job = state.jobs.get(job)?;
        Some((job.ends_ms()?, job.plan.callback_before_answer))
    }

    async fn deliver(&self, callback: &Callback, job: &str) {
        let kind = match self
            .state()
            .jobs
            .get(job)
            .map(|job| job.stage(self.clock.now_ms()))
        {
            Some(Stage::Completed) => "video.completed",
            Some(Stage::Failed { .. }) => "video.failed",
            // Forgotten by a reset.
            Some(Stage::Queued | Stage::Running { .. }) | None => return,
        };
        let token = self.token();
        let id = format!("evt_{}", token.get(..24).unwrap_or(&token));
        let event = Event {
            id,
            job: job.to_owned(),
            kind,
        };
        for _ in 0..callback.times {
            self.deliver_once(callback, &event).await;
        }
    }

    async fn deliver_once(&self, callback: &Callback, event: &Event) {
        for attempt in 0..callback.attempts {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(callback.retry_ms)).await;
            }
            let sent = tokio::time::timeout(
                PATIENCE,
                post(callback, event, self.clock.world_ms() / 1000),
            )
            .await;
            let status = sent.ok().and_then(Result::ok);
            let delivery = Delivery {
                event: event.id.clone(),
                job: event.job.clone(),
                status,
            };
            self.state().deliveries.push(delivery);
            self.changed();
            if status.is_some_and(|status| (200..300).contains(&status)) {
                return;
            }
        }
    }
}

/// Sends the event and reads the status of the answer.
async fn post(callback: &Callback, event: &Event, now_s: u64) -> io::Result<u16> {
    let url = Url::parse(&callback.url).map_err(io::Error::other)?;
    let host = url
        .host_str()
        .filter(|_| url.scheme() == "http")
        .ok_or(io::ErrorKind::Unsupported)?;
    let body = json!({
        "id": event.id, "object": "event", "created_at": now_s, "type": event.kind, "data": {"id": event.job},
    })
    .to_string();
    let signature = callback
        .secret
        .as_ref()
        .map(|key| signature(key.expose(), &event.id, now_s, &body));
    let signed = signature
        .map(|signature| format!("webhook-signature: {signature}\r\n"))
        .unwrap_or_default();
    let target = url.query().map_or_else(
        || url.path().to_owned(),
        |query| format!("{}?{query}", url.path()),
    );
    let request = format!(
        "POST {target} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         webhook-id: {}\r\nwebhook-timestamp: {now_s}\r\n{signed}connection: close\r\n\r\n{body}",
        body.len(),
        event.id,
    );
    let mut tcp = TcpStream::connect((host, url.port_or_known_default().unwrap_or(80))).await?;
    tcp.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await?;
    status_of(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let code = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

/// The `webhook-signature` of a message: `v1,` and the HMAC-SHA256 of `{id}.{timestamp}.{body}` in base64.
///
/// A secret without a readable base64 part is used as it stands.
///
/// Source: the Standard Webhooks specification, "Signature scheme".
#[must_use]
pub fn signature(secret: &str, id: &str, timestamp_s: u64, body: &str) -> String {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = STANDARD
        .decode(encoded)
        .unwrap_or_else(|_| secret.as_bytes().to_vec());
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        return String::new();
    };
    mac.update(format!("{id}.{timestamp_s}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
