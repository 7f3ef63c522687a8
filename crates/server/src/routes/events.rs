//! `GET /v1/runs/{id}/events`: what happens to a run, as Server-Sent Events (WHATWG HTML, section 9.2).

use super::House;
use super::path::RunPath;
use crate::caller::Caller;
use crate::openapi::bodies::ServerSentEvent;
use crate::problem::{Problem, Violation};
use axum::extract::State;
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use diag::Code;
use futures_util::{Stream, StreamExt as _};
use runtime::RunEvent;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A comment this often keeps proxies from closing a silent stream.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Streams what happens to a run, to its end
#[utoipa::path(
    get, path = "/v1/runs/{id}/events", tag = "runs", operation_id = "streamRunEvents",
    params(("id" = Uuid, Path, description = "The run"), ("Last-Event-ID" = Option<i32>, Header, description = "Resumes behind this event")),
    responses((status = 200, description = "Server-Sent Events `entry`, `state`, `progress`, `delta`, `end`; a comment every 15 s; ends behind `end`", body = ServerSentEvent, content_type = "text/event-stream"))
)]
pub(super) async fn events(
    State(house): State<House>,
    caller: Caller,
    RunPath(id): RunPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = last_heard(&headers)?;
    let tenant = caller.tenant();
    // A run that is not there is a 404, and no stream without an event.
    house.modelrow.run(tenant, id).await?;
    let events = house.modelrow.events_after(tenant, id, after);
    let events = events
        .map(|event| Ok::<_, Infallible>(written(&event)))
        .take_until(house.stopping.clone().cancelled_owned());
    Ok(answer(events))
}

/// The head of a stream, and what keeps it open.
pub(crate) fn answer(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response {
    let keep_alive = KeepAlive::new().interval(COMMENT_EVERY);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // Proxies that buffer would hold events back (nginx: proxy_buffering).
    let unbuffered = (
        HeaderName::from_static("x-accel-buffering"),
        axum::http::HeaderValue::from_static("no"),
    );
    response.headers_mut().extend([unbuffered]);
    response
}

/// The number of the last entry that the caller has heard; 0: none.
fn last_heard(headers: &HeaderMap) -> Result<i32, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(0);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.filter(|seq| *seq >= 0).ok_or_else(|| {
        let violation = Violation::new(
            Code::C190,
            "`Last-Event-ID` is not the id of an event of this stream",
            "send the last `id` that the stream gave, or leave the header out to hear everything",
        );
        Problem::new(StatusCode::BAD_REQUEST, violation.in_header(LAST_EVENT_ID))
    })
}

/// Only entries of the durable timeline have an id: they alone can be resumed behind.
fn written(event: &RunEvent) -> Event {
    let mut data = json!(event);
    let members = data.as_object_mut();
    let name = members.and_then(|members| members.shift_remove("event"));
    let name = name.as_ref().and_then(Value::as_str).unwrap_or("message");
    let written = Event::default().event(name).data(data.to_string());
    match event {
        RunEvent::Entry { seq, .. } => written.id(seq.to_string()),
        _ => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_of_the_timeline_can_be_resumed_behind() {
        for (text, want) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", None),
            ("x", None),
            ("99999999999", None),
        ] {
            let headers = HeaderMap::from_iter([(LAST_EVENT_ID, text.parse().unwrap())]);
            assert_eq!(last_heard(&headers).ok(), want, "{text}");
        }
        assert_eq!(last_heard(&HeaderMap::new()).ok(), Some(0));
    }
}
