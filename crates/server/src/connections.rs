//! Connections: how many, how long a client may take to say what it wants, and how they end.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Bytes of a request's head, or of one frame's headers; more is a 431.
const HEAD_MAX: usize = 64 * 1024;
/// Streams of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 128;
/// An HTTP/2 connection without a sign of life for this long is asked for one.
const PING_EVERY: Duration = Duration::from_secs(30);
/// After an error of the system (no more files, …) it is tried again.
const AFTER_ERROR: Duration = Duration::from_millis(200);

/// Bounds of the connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// At once. Others wait in the system's queue until one ends.
    pub(crate) connections: usize,
    /// In which a request's head must have come; an idle connection is closed after it, too.
    pub(crate) head_within: Duration,
}

/// Serves until `stopping`, then lets requests that are on their way end. Whoever drops it cuts them.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    bounds: Bounds,
    stopping: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        // Cancel safety: a permit that is dropped is given back; a connection that was not accepted waits.
        let accepted = tokio::select! {
            accepted = next(&listener, &places) => accepted,
            Some(_) = connections.join_next() => continue,
            () = stopping.cancelled() => break,
        };
        let Some((tcp, place)) = accepted else { break };
        let served = one(tcp, app.clone(), bounds, stopping.clone());
        connections.spawn(async move {
            served.await;
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

type Accepted = (TcpStream, tokio::sync::OwnedSemaphorePermit);

/// The next connection, once there is a place for it; `None`: there will be none any more.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                // Without it small answers wait for the acknowledgement of the one before.
                drop(tcp.set_nodelay(true));
                return Some((tcp, place));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

async fn one(tcp: TcpStream, app: Router, bounds: Bounds, stopping: CancellationToken) {
    let asked = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&asked);
    let app =
        tower::ServiceExt::<Request<Body>>::map_request(app, move |request: Request<Incoming>| {
            noted.store(true, Ordering::Relaxed);
            request.map(Body::new)
        });
    let builder = builder(bounds);
    let connection = builder.serve_connection(TokioIo::new(tcp), TowerToHyperService::new(app));
    let mut connection = pin!(connection);
    let mut silent = pin!(silent(&asked, bounds.head_within));
    let mut stop = pin!(stopping.cancelled());
    let mut stops = false;
    loop {
        // Cancel safety: a connection that is dropped is closed, and nothing was asked on it; the others may be dropped.
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(error, "a connection broke off");
                }
                return;
            }
            () = silent.as_mut() => {
                tracing::debug!("a connection said nothing in time");
                return;
            }
            () = stop.as_mut(), if !stops => {
                stops = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Ready when nothing was asked in time. Which version of HTTP a client speaks is awaited without a limit of hyper's.
async fn silent(asked: &AtomicBool, within: Duration) {
    tokio::time::sleep(within).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

fn builder(bounds: Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_within)
        .max_buf_size(HEAD_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX));
    builder
}
