//! Playing a recorded case (`profiles/CASES.md`): each request must be the next one recorded.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod compare;
mod recording;

use crate::answer::Answer;
use crate::listener::{CuttableListener, Line};
use crate::read::Head;
use crate::rule::Operation;
use crate::tasks;
use compare::target;
use recording::{Case, Exchange};

/// Larger requests are refused.
const REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// The case cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum BadCase {
    /// It is not the JSON of a case.
    #[error("this is no case that can be played: {0}")]
    Unreadable(serde_json::Error),
    /// Two of its members say different things, or one says nothing.
    #[error("exchange {exchange} cannot be played: {what}")]
    Contradiction {
        /// Counted from 1.
        exchange: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No socket.
    #[error("the case player cannot listen")]
    Listen(#[source] io::Error),
}

/// A listener that plays one case. Dropping it stops it.
#[derive(Debug)]
pub struct CasePlayer {
    address: SocketAddr,
    stop: CancellationToken,
    play: Arc<Play>,
}

#[derive(Debug)]
struct Play {
    exchanges: Vec<Exchange>,
    stand: Mutex<Stand>,
}

#[derive(Debug, Default)]
struct Stand {
    next: usize,
    mismatches: Vec<Mismatch>,
}

/// A request that was not the next one recorded. It was answered with 409 and these words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Method and target as received.
    pub request: String,
    /// The exchange that was due, counted from 1; `None` when none was left.
    pub due: Option<usize>,
    /// What differs: a place, what was recorded, what came.
    pub differences: Vec<String>,
}

/// How a case was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Exchanges that were answered as recorded.
    pub answered: usize,
    /// Requests that were not due.
    pub mismatches: Vec<Mismatch>,
    /// Exchanges that nobody asked for, as `METHOD url`.
    pub unused: Vec<String>,
}

impl Report {
    /// Every exchange was asked for, in order, and nothing else was.
    #[must_use]
    pub fn is_faithful(&self) -> bool {
        self.mismatches.is_empty() && self.unused.is_empty()
    }
}

impl CasePlayer {
    /// Serves the answers of a case file on a free port of this machine.
    ///
    /// # Errors
    ///
    /// [`BadCase`] when there is nothing to play or nowhere to listen.
    pub async fn start(case: &Value) -> Result<Self, BadCase> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::start_on(case, free).await
    }

    /// The same, listening there.
    ///
    /// # Errors
    ///
    /// As [`CasePlayer::start`].
    pub async fn start_on(case: &Value, address: SocketAddr) -> Result<Self, BadCase> {
        let case = Case::read(case)?;
        let tcp = TcpListener::bind(address).await.map_err(BadCase::Listen)?;
        let address = tcp.local_addr().map_err(BadCase::Listen)?;
        let play = Arc::new(Play {
            exchanges: case.exchanges,
            stand: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let listener = CuttableListener {
            tcp,
            stop: stop.clone(),
        };
        let app = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&play));
        drop(tasks::start(stop.clone(), async move {
            axum::serve(listener, app.into_make_service_with_connect_info::<Line>()).await
        }));
        Ok(Self {
            address,
            stop,
            play,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address under which this player answers for `url`: the same path on another host.
    #[must_use]
    pub fn stands_for(&self, url: &str) -> String {
        let (path, query) = target(url);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("http://{}{path}{mark}{query}", self.address)
    }

    /// How it went so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let stand = self.play.stand();
        let unused = self.play.exchanges.iter().skip(stand.next);
        Report {
            answered: stand.next,
            mismatches: stand.mismatches.clone(),
            unused: unused
                .map(|left| format!("{} {}", left.request.method, left.request.url))
                .collect(),
        }
    }
}

impl Drop for CasePlayer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn receive(
    State(play): State<Arc<Play>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let head = Head {
        operation: Operation::Unknown,
        id: None,
        signature: None,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
    };
    let Ok(bytes) = axum::body::to_bytes(body, REQUEST_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match play.answer(&head, bytes).await {
        Some(answer) => answer.into_response(None),
        None => {
            line.cut();
            // Goes nowhere: its connection is cut.
            Response::new(Body::empty())
        }
    }
}

impl Play {
    fn stand(&self) -> MutexGuard<'_, Stand> {
        self.stand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer of the exchange that is due, `None` for a cut connection; else what is wrong with the request.
    async fn answer(&self, head: &Head, bytes: Bytes) -> Option<Answer> {
        let next = self.stand().next;
        let due = self.exchanges.get(next);
        let mut differences = match due {
            Some(due) => due.request.differences(head, bytes).await,
            None => vec!["no exchange is left".to_owned()],
        };
        let mut stand = self.stand();
        if differences.is_empty() && stand.next != next {
            differences.push("the same request came twice at once".to_owned());
        }
        if let (Some(due), true) = (due, differences.is_empty()) {
            stand.next += 1;
            return due.answer.as_ref().map(recording::Given::answer);
        }
        let query = head
            .query
            .as_ref()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let mismatch = Mismatch {
            request: format!("{} {}{query}", head.method, head.path),
            due: due.map(|_| next + 1),
            differences,
        };
        let first = mismatch.differences.first();
        let first = first.map_or_else(String::new, |first| format!(": {first}"));
        let message = format!("this is not the request the case recorded{first}");
        let answer = json!({"error": {"message": message, "mismatch": mismatch}});
        stand.mismatches.push(mismatch);
        Some(Answer::json(StatusCode::CONFLICT, &answer))
    }
}
