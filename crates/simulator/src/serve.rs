//! One request from its head to its answer: recorded, spoiled as scripted, acted on.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use crate::admin;
use crate::answer::Answer;
use crate::api::Call;
use crate::ledger::{Entry, Outcome, Recorded, recorded_headers};
use crate::listener::{CuttableListener, Line};
use crate::read::{Head, ReadBody};
use crate::rule::Cut;
use crate::sim::Sim;
use crate::tasks;

/// Larger requests are refused with 413.
const REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// Serves until the listener's connections are cut for good.
pub(crate) async fn serve(sim: Arc<Sim>, listener: CuttableListener) {
    let app = Router::new()
        .nest("/_sim", admin::routes())
        .fallback(receive)
        .with_state(sim);
    // Never returns: the task that runs it is dropped.
    let _ = axum::serve(listener, app.into_make_service_with_connect_info::<Line>()).await;
}

async fn receive(
    State(sim): State<Arc<Sim>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let head = Head::read(&sim.wire, parts);
    let tag = head.tag(&sim.config.tag);
    let number = sim.record(entry(&sim, &head, (tag.clone(), &line)));
    if sim.cuts_before_reading(&head, tag.as_deref()) {
        return cut(&sim, number, &line, Cut::BeforeReading);
    }
    let mut presence = Presence {
        sim: &sim,
        number,
        done: false,
    };
    let response = match axum::body::to_bytes(body, REQUEST_BYTES).await {
        Ok(bytes) => {
            // In a task of its own: a service does not stop working because its caller hung up.
            let exchange = Exchange {
                sim: Arc::clone(&sim),
                head,
                tag,
                number,
                line,
            };
            let work = tasks::start(sim.stop.clone(), exchange.answer(bytes));
            work.await.ok().flatten().unwrap_or_else(gone)
        }
        Err(_) => {
            sim.amend(number, |entry| entry.outcome = Outcome::BodyBroken);
            StatusCode::PAYLOAD_TOO_LARGE.into_response()
        }
    };
    presence.done = true;
    drop(presence);
    response
}

fn entry(sim: &Sim, head: &Head, (tag, line): (Option<String>, &Line)) -> Entry {
    Entry {
        number: 0,
        at_ms: sim.clock.world_ms(),
        caller_port: line.port,
        operation: head.operation,
        method: head.method.to_string(),
        path: head.path.clone(),
        query: head.query.clone(),
        headers: recorded_headers(&head.headers),
        body: Recorded::None,
        tag,
        accepted_job: None,
        outcome: Outcome::Open,
        caller_left: false,
    }
}

fn cut(sim: &Sim, number: u64, line: &Line, place: Cut) -> Response {
    sim.amend(number, |entry| entry.outcome = Outcome::Cut(place));
    line.cut();
    gone()
}

/// Goes nowhere: its connection is cut.
fn gone() -> Response {
    Response::new(Body::empty())
}

struct Exchange {
    sim: Arc<Sim>,
    head: Head,
    tag: Option<String>,
    number: u64,
    line: Line,
}

impl Exchange {
    async fn answer(self, bytes: Bytes) -> Response {
        let Self {
            sim, head, number, ..
        } = &self;
        let (body, recorded) = ReadBody::read(head, bytes).await;
        let tag = self.tag.clone().or_else(|| body.tag(&sim.config.tag));
        sim.amend(*number, |entry| {
            entry.body = recorded;
            entry.tag.clone_from(&tag);
        });
        let mut mischief = sim.mischief(head, tag.as_deref(), body.prompt());
        mischief.stall().await;
        let answer = match mischief.instead() {
            Some(answer) => answer,
            None => {
                self.act(&Call {
                    head,
                    body: &body,
                    tag,
                    patches: &mischief.patches,
                })
                .await
            }
        };
        let cut_in_body = mischief.cut_in_body();
        match mischief.spoil(answer).await {
            None => cut(sim, *number, &self.line, Cut::AfterAccepting),
            Some(response) => self.answered(response, cut_in_body),
        }
    }

    async fn act(&self, call: &Call<'_>) -> Answer {
        let answer = self.sim.act(call);
        if let Some(job) = &answer.job {
            self.sim.amend(self.number, |entry| {
                entry.accepted_job = Some(job.id.clone())
            });
            if job.fresh {
                self.sim.clone().announce(&job.id).await;
            }
        }
        answer
    }

    fn answered(&self, mut response: Response, cut_in_body: Option<Cut>) -> Response {
        let status = response.status().as_u16();
        let outcome = cut_in_body.map_or(Outcome::Answered(status), Outcome::Cut);
        self.sim.amend(self.number, |entry| entry.outcome = outcome);
        let name = self.sim.wire.headers.request_id.as_deref();
        if let Some(name) = name.and_then(|name| axum::http::HeaderName::try_from(name).ok())
            && let Ok(value) = format!("req_{}", self.number).try_into()
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Notices when the server drops a request because its caller has gone.
struct Presence<'a> {
    sim: &'a Sim,
    number: u64,
    done: bool,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.sim
                .amend(self.number, |entry| entry.caller_left = true);
        }
    }
}
