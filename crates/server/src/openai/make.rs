//! A call of the face becomes a run.

use super::asked::Asked;
use super::call::{Call, Places};
use crate::caller::Caller;
use crate::headers::idempotency_key;
use crate::problem::Problem;
use crate::routes::House;
use axum::http::{HeaderMap, StatusCode};
use profile::revision::Revision;
use runtime::{Begun, RunError, RunHandle, RunRequest, Sent};
use std::sync::Arc;

/// Makes the run that `request` asks for, with what is left of the call as options and inputs of its profile.
///
/// Official clients send a call again, without an idempotency key, when its answer was lost: the repetition is answered with the run
/// that the same API key made from the same body within the last ten minutes.
///
/// # Errors
///
/// All that is wrong with the call, at the caller's own members.
pub(crate) async fn make(
    house: &House,
    caller: &Caller,
    headers: &HeaderMap,
    call: Call,
    request: RunRequest,
) -> Result<RunHandle, Problem> {
    let (request, names) = ready(house, caller, headers, call, request)?;
    let made = house.modelrow.run_profile(request).await;
    made.map_err(|error| names.point(error))
}

/// The same for a call that waits for the end of its run: a profile may give up the record of such runs (`durable: false`).
///
/// # Errors
///
/// As [`make`].
pub(super) async fn begin(
    house: &House,
    caller: &Caller,
    headers: &HeaderMap,
    asked: Asked,
) -> Result<Begun, Problem> {
    let (request, names) = ready(house, caller, headers, asked.call, asked.request)?;
    let begun = house.modelrow.call(request).await;
    begun.map_err(|error| names.point(error))
}

/// What a request calls things, and what its caller does.
struct Names(Places, Arc<Revision>);

impl Names {
    fn point(&self, error: RunError) -> Problem {
        self.0.point(error, &self.1.api_names).into()
    }
}

/// The request as it is given to the library.
fn ready(
    house: &House,
    caller: &Caller,
    headers: &HeaderMap,
    call: Call,
    request: RunRequest,
) -> Result<(RunRequest, Names), Problem> {
    let mut request = caller.makes(request);
    let key = idempotency_key(headers);
    request.idempotency_key = key.map_err(|wrong| Problem::new(StatusCode::BAD_REQUEST, wrong))?;
    request.sent = sent(headers);
    let revision = house.modelrow.serving(&request)?;
    let places = call.fill(&revision, &mut request)?;
    Ok((request, Names(places, revision)))
}

/// How often its client has sent the call before, as official clients count.
fn sent(headers: &HeaderMap) -> Sent {
    let count = headers.get("x-stainless-retry-count");
    let count = count.and_then(|count| count.to_str().ok()?.parse::<u32>().ok());
    match count {
        None => Sent::Once,
        Some(0) => Sent::First,
        Some(_) => Sent::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_clients_say_how_often_they_have_sent_a_call_before() {
        let cases = [
            (None, Sent::Once),
            (Some("0"), Sent::First),
            (Some("1"), Sent::Again),
            (Some("12"), Sent::Again),
            (Some("-1"), Sent::Once),
            (Some("x"), Sent::Once),
        ];
        for (count, want) in cases {
            let mut headers = HeaderMap::new();
            if let Some(count) = count {
                headers.insert("x-stainless-retry-count", count.parse().unwrap());
            }
            assert_eq!(sent(&headers), want, "{count:?}");
        }
    }
}
