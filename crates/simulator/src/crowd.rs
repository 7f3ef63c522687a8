//! A provider of very many jobs, for measurements: a job's id says when it was taken and how long it takes, so that
//! nothing is kept of it but counts.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::content::generated;
use crate::listener::CuttableListener;
use crate::tasks;

/// Characters of what a submit is answered with beside the id.
const TICKET: usize = 300;

/// How it answers.
#[derive(Debug, Clone, Copy)]
pub struct CrowdConfig {
    /// A poll's answer takes so long.
    pub answer_after: Duration,
    /// Bytes of each file.
    pub content_bytes: u64,
    /// Whether the times of polls are kept, by job.
    pub keep_polls: bool,
}

/// A running provider. Dropping it stops it.
///
/// `POST /v1/videos` with `life_ms` makes a job; `GET /v1/videos/{id}` tells its progress, which changes with every
/// poll; `GET /v1/videos/{id}/content` is its file. `GET /_crowd/counts` has what it was asked so far, `POST
/// /_crowd/polls` the times of polls since the last such call.
#[derive(Debug)]
pub struct Crowd {
    address: SocketAddr,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    config: CrowdConfig,
    created: AtomicU64,
    polled: AtomicU64,
    fetched: AtomicU64,
    polls: Mutex<HashMap<String, Vec<u64>>>,
}

impl Crowd {
    /// Binds a free port of this machine and serves on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// No port can be bound.
    pub async fn start(config: CrowdConfig) -> io::Result<Self> {
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let address = tcp.local_addr()?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            config,
            created: AtomicU64::new(0),
            polled: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            polls: Mutex::default(),
        });
        let app = Router::new()
            .route("/v1/videos", post(create))
            .route("/v1/videos/{id}", get(retrieve))
            .route("/v1/videos/{id}/content", get(content))
            .route("/_crowd/counts", get(counts))
            .route("/_crowd/polls", post(polls))
            .with_state(shared);
        let listener = CuttableListener {
            tcp,
            stop: stop.clone(),
        };
        drop(tasks::start(stop.clone(), async move {
            let _ = axum::serve(listener, app).await;
        }));
        Ok(Self { address, stop })
    }

    /// The base URL of the API: `http://127.0.0.1:port/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The id of the `n`th job: 45 characters.
#[must_use]
pub fn job_id(taken_ms: u64, life_ms: u64, n: u64) -> String {
    format!("video_{taken_ms:013}_{life_ms:010}_{n:014}")
}

/// When a job was taken and how long it takes.
fn job_of(id: &str) -> Option<(u64, u64)> {
    let mut parts = id.strip_prefix("video_")?.split('_');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a provider's jobs live by its own clock"
)]
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

async fn create(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Json<Value> {
    let n = shared.created.fetch_add(1, Ordering::Relaxed);
    let life_ms = body.get("life_ms").and_then(Value::as_u64).unwrap_or(0);
    let id = job_id(now_ms(), life_ms, n);
    Json(json!({"id": id, "status": "queued", "ticket": "t".repeat(TICKET)}))
}

async fn retrieve(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let Some((taken_ms, life_ms)) = job_of(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let now = now_ms();
    shared.polled.fetch_add(1, Ordering::Relaxed);
    if shared.config.keep_polls {
        let mut polls = shared.polls.lock().unwrap_or_else(PoisonError::into_inner);
        polls.entry(id.clone()).or_default().push(now);
    }
    if !shared.config.answer_after.is_zero() {
        tokio::time::sleep(shared.config.answer_after).await;
    }
    let age = now.saturating_sub(taken_ms);
    let ended = age >= life_ms;
    let progress = (age * 100).checked_div(life_ms).unwrap_or(100).min(100);
    let status = if ended { "completed" } else { "in_progress" };
    Json(json!({"id": id, "status": status, "progress": progress, "at": now})).into_response()
}

async fn content(State(shared): State<Arc<Shared>>) -> Response {
    shared.fetched.fetch_add(1, Ordering::Relaxed);
    let chunks = generated(shared.config.content_bytes).map(Ok::<Bytes, io::Error>);
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    ([("content-type", "video/mp4")], body).into_response()
}

async fn counts(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Json(json!({
        "created": read(&shared.created), "polled": read(&shared.polled), "fetched": read(&shared.fetched),
    }))
}

async fn polls(State(shared): State<Arc<Shared>>) -> Json<HashMap<String, Vec<u64>>> {
    let mut polls = shared.polls.lock().unwrap_or_else(PoisonError::into_inner);
    Json(std::mem::take(&mut *polls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_its_job_was_taken_and_how_long_it_takes() {
        let id = job_id(1_780_000_000_000, 20_000, 7);
        assert_eq!(
            (id.len(), job_of(&id)),
            (45, Some((1_780_000_000_000, 20_000)))
        );
        assert_eq!(job_of("video_x"), None);
    }
}
