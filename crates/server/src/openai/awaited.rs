//! A run that is awaited by its call: how long, and what is said when it did not end well.

use super::asked::Asked;
use super::{Refusal, begin};
use crate::caller::Caller;
use crate::prefer;
use crate::routes::House;
use axum::http::{HeaderMap, StatusCode};
use runtime::{Begun, RunView, Status};
use std::time::Duration;
use uuid::Uuid;

/// An answer is held so long: the official clients give up, and send the call again, after 600 s.
const LONGEST: Duration = Duration::from_secs(570);

/// Makes the run of a call, which is answered once it has ended well. A profile may give up the record of such runs.
///
/// Cancel safety: a look reads, and may be dropped at any point: a client that leaves does not cancel the run.
///
/// # Errors
///
/// No run was made, or it ended badly, or has not ended in time: `Prefer: wait=…` shortens that.
pub(super) async fn run(
    house: &House,
    caller: &Caller,
    headers: &HeaderMap,
    asked: Asked,
) -> Result<RunView, Refusal> {
    let limit = prefer::wait(headers).unwrap_or(LONGEST);
    let run = match begin(house, caller, headers, asked).await? {
        Begun::Recorded(run) => run,
        Begun::Ended(view) => return judged(house, *view),
    };
    let view = tokio::select! {
        view = run.wait_within(limit) => view?,
        () = house.stopping.cancelled() => run.view().await?,
    };
    judged(house, view)
}

fn judged(house: &House, view: RunView) -> Result<RunView, Refusal> {
    match view.status {
        Status::Succeeded => Ok(view),
        Status::Failed | Status::Canceled => Err(failed(&view)),
        Status::Queued | Status::Running => Err(not_ended(view.id, house.stopping.is_cancelled())),
    }
}

/// Clients may send the call again: an official one is answered with the same run, and waits on.
pub(super) fn not_ended(run: Uuid, stopping: bool) -> Refusal {
    let why = match stopping {
        true => "the server is stopping",
        false => "the run has not ended in time",
    };
    let message = format!(
        "{why}, and it goes on: `GET /v1/runs/{run}` tells what it gives; `Prefer: wait=60` with it waits for its end"
    );
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message).may_be_repeated()
}

/// Its files are past their retention, or there is none of what was asked for.
pub(super) fn gone(run: Uuid, what: &str) -> Refusal {
    let message =
        format!("run {run} has no {what} (any more); `GET /v1/runs/{run}` tells what it gave");
    Refusal::new(StatusCode::BAD_GATEWAY, "no_result", message)
}

/// Why a run gave nothing. Its call is not to be repeated: within ten minutes an official client is answered with the same run.
pub(super) fn failed(run: &RunView) -> Refusal {
    if run.status == Status::Canceled {
        let message = format!("run {} was canceled", run.id);
        return Refusal::new(StatusCode::CONFLICT, "canceled", message);
    }
    let class = run.failure_text("class").unwrap_or_default();
    let (status, code) = of_class(class);
    let told = [
        run.failure_text("message"),
        run.failure_text("provider_message"),
        run.failure_text("help"),
    ];
    let mut told: Vec<&str> = told.into_iter().flatten().collect();
    told.dedup();
    let message = format!("{} (run {})", told.join("; "), run.id);
    Refusal::new(status, code, message)
}

/// What our own key at a provider may not do is no mistake of the caller's.
fn of_class(class: &str) -> (StatusCode, &'static str) {
    match class {
        "moderated" => (StatusCode::BAD_REQUEST, "content_policy_violation"),
        "invalid_request" => (StatusCode::BAD_REQUEST, "invalid_request"),
        "rate_limited" => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
        "overloaded" => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        "billing" => (StatusCode::BAD_GATEWAY, "provider_billing"),
        "authentication" => (StatusCode::BAD_GATEWAY, "provider_authentication"),
        "unknown_outcome" => (StatusCode::BAD_GATEWAY, "unknown_outcome"),
        _ => (StatusCode::BAD_GATEWAY, "provider_error"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;
    use super::*;
    use axum::response::IntoResponse as _;
    use serde_json::{Value, json};

    #[test]
    #[rustfmt::skip]
    fn a_run_that_failed_is_an_error_of_its_class_that_no_client_repeats() {
        let cases = [
            ("moderated",       400, "content_policy_violation"),
            ("invalid_request", 400, "invalid_request"),
            ("rate_limited",    429, "rate_limit_exceeded"),
            ("overloaded",      503, "overloaded"),
            ("authentication",  502, "provider_authentication"),
            ("unknown_outcome", 502, "unknown_outcome"),
            ("transient",       502, "provider_error"),
        ];
        for (class, status, code) in cases {
            let mut run = run("chat", "talk-1", Value::Null);
            run.status = Status::Failed;
            run.failure = Some(json!({"class": class, "message": "it failed", "provider_message": "no", "help": "wait"}));
            let refusal = failed(&run);
            let object = refusal.object();
            assert_eq!(object["code"], code, "{class}");
            assert_eq!(object["message"], format!("it failed; no; wait (run {})", run.id));
            let response = refusal.into_response();
            assert_eq!(response.status().as_u16(), status, "{class}");
            assert_eq!(response.headers().contains_key("x-should-retry"), status != 400, "{class}");
        }
    }

    #[test]
    fn what_has_not_ended_names_its_run_and_may_be_asked_for_again() {
        let refusal = not_ended(Uuid::nil(), false);
        assert!(
            refusal.object()["message"]
                .as_str()
                .unwrap()
                .contains(&format!("/v1/runs/{}", Uuid::nil()))
        );
        let response = refusal.into_response();
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        assert!(!response.headers().contains_key("x-should-retry"));
    }
}
