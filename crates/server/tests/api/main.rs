//! The HTTP API in process, with a database and a simulated provider behind it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test needs and does not find ends it"
)]

mod access;
mod bounds;
mod bundles;
mod cache;
mod clients;
mod collector;
mod credentials;
mod deliveries;
mod events;
mod files;
mod fixture;
mod hooks;
mod links;
mod listening;
mod lists;
mod office;
mod openai;
mod openapi;
mod operators;
mod ops;
mod outage;
mod purpose_clients;
mod purposes;
mod refusals;
mod revisions;
mod rows;
mod street;
#[path = "../../../../tests/shared/tools.rs"]
mod tools;
mod traces;
mod unrecorded;
mod uploads;
mod usage;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use fixture::{Answer, House};
use serde_json::{Value, json};
use tokio::join;

fn video(prompt: &str) -> Value {
    json!({"purpose": "video", "prompt": prompt, "params": {"seconds": 8}})
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_run_is_a_202_with_its_address_and_when_to_look_again() {
    let house = House::open().await;
    let made = house.create(&video("a cat"), &[]).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{made:?}");
    assert_eq!(made.header("location"), format!("/v1/runs/{}", id(&made)));
    assert_eq!(made.header("retry-after"), "2");
    assert_eq!(made.header("idempotency-replayed"), "");
    let shown = house.get(made.header("location")).await;
    assert_eq!((shown.status, id(&shown)), (StatusCode::OK, id(&made)));
    assert_eq!(shown.header("retry-after"), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_would_rather_wait_gets_the_ended_run() {
    let house = House::open().await;
    let call = video("a cat");
    let (made, ()) = join!(
        house.create(&call, &[("prefer", "wait=60")]),
        house.finish()
    );
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    assert_eq!(made.json()["status"], "succeeded");
    assert_eq!(made.header("preference-applied"), "wait=60");
    assert_eq!(made.header("retry-after"), "", "it has ended");
    assert_ne!(made.header("location"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_was_too_short_ends_with_the_run_as_it_stands() {
    let house = House::open().await;
    let made = house.create(&video("a cat"), &[("prefer", "wait=1")]).await;
    assert_eq!(made.status, StatusCode::ACCEPTED);
    let shown = house
        .get_with(made.header("location"), "prefer", "wait=1")
        .await;
    assert_eq!(
        (shown.status, shown.header("preference-applied")),
        (StatusCode::OK, "wait=1")
    );
    assert_eq!(shown.json()["ended_at"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_failed_is_no_http_error() {
    let house = House::open().await;
    let made = house
        .create(&video("spongebob"), &[("prefer", "wait=60")])
        .await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    assert_eq!(made.json()["status"], "failed");
    assert_eq!(
        made.json()["failure"]["class"],
        "moderated",
        "{}",
        made.json()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_did_not_change_is_not_sent_again() {
    let house = House::open().await;
    let call = video("a cat");
    let (made, ()) = join!(
        house.create(&call, &[("prefer", "wait=60")]),
        house.finish()
    );
    let path = made.header("location");
    let shown = house.get(path).await;
    let again = house
        .get_with(path, "if-none-match", shown.header("etag"))
        .await;
    assert_eq!(
        (again.status, again.body.len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    assert_eq!(again.header("etag"), shown.header("etag"));
    let changed = house.get_with(path, "if-none-match", "\"other\"").await;
    assert_eq!(changed.body, shown.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_and_body_answer_with_the_same_run_and_another_body_is_a_conflict() {
    let house = House::open().await;
    let key = [("idempotency-key", "order 1")];
    let first = house.create(&video("a cat"), &key).await;
    let again = house.create(&video("a cat"), &key).await;
    assert_eq!(
        (id(&again), again.header("idempotency-replayed")),
        (id(&first), "true")
    );
    assert_eq!(again.header("location"), first.header("location"));
    let other = house.create(&video("a dog"), &key).await;
    assert_eq!(other.problem(), (409, "R161".to_owned()));
    assert_eq!(other.json()["run_id"], id(&first));
    let unkeyed = house.create(&video("a cat"), &[]).await;
    assert_ne!(id(&unkeyed), id(&first));
    assert_eq!(unkeyed.header("idempotency-replayed"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_can_be_repeated_and_an_ended_run_is_answered_as_it_is() {
    let house = House::open().await;
    let made = house.create(&video("a cat"), &[]).await;
    let path = format!("{}/cancel", made.header("location"));
    let cancel = || Request::post(&path).body(Body::empty()).unwrap();
    let asked = house.call(cancel()).await;
    assert!(
        [StatusCode::ACCEPTED, StatusCode::OK].contains(&asked.status),
        "{asked:?}"
    );
    let ended = house
        .get_with(made.header("location"), "prefer", "wait=30")
        .await;
    assert_eq!(ended.json()["status"], "canceled", "{ended:?}");
    let again = house.call(cancel()).await;
    assert_eq!((again.status, again.body), (StatusCode::OK, ended.body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_a_409_with_a_time_until_it_is_stored() {
    let house = House::open().await;
    let made = house.create(&video("a cat"), &[]).await;
    let early = house
        .get(&format!("{}/artifacts/video", made.header("location")))
        .await;
    assert_eq!(early.problem(), (409, "C161".to_owned()));
    assert_eq!(
        (early.header("retry-after"), &early.json()["run_id"]),
        ("2", &json!(id(&made)))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_streamed_whole_with_its_digest_type_and_name() {
    let house = House::open().await;
    let call = video("a cat");
    let (made, ()) = join!(
        house.create(&call, &[("prefer", "wait=60")]),
        house.finish()
    );
    let file = &made.json()["artifacts"][0];
    let path = file["url"].as_str().unwrap();
    let got = house.get(path).await;
    assert_eq!(got.status, StatusCode::OK, "{made:?}");
    assert_eq!(got.header("content-type"), "video/mp4");
    assert_eq!(
        got.header("content-disposition"),
        "attachment; filename=\"video.mp4\""
    );
    assert_eq!(
        got.header("etag"),
        format!("\"{}\"", file["sha256"].as_str().unwrap())
    );
    assert_eq!(got.header("content-length"), file["bytes"].to_string());
    assert_eq!(got.body.len().to_string(), file["bytes"].to_string());
    assert_eq!(&got.body[4..8], b"ftyp");
    let unnumbered = house
        .get(&format!("{}/artifacts/video", made.header("location")))
        .await;
    assert_eq!(unnumbered.body, got.body);
    let head = house
        .call(Request::head(path).body(Body::empty()).unwrap())
        .await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    for name in [
        "content-length",
        "content-type",
        "etag",
        "content-disposition",
    ] {
        assert_eq!(head.header(name), got.header(name), "{name}");
    }
    let known = house
        .get_with(path, "if-none-match", got.header("etag"))
        .await;
    assert_eq!(
        (known.status, known.body.len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    for name in ["other", "video/1", "video/x", "..%2Fvideo"] {
        let missing = house
            .get(&format!("{}/artifacts/{name}", made.header("location")))
            .await;
        assert_eq!(missing.problem(), (404, "C163".to_owned()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_file_is_a_206_and_a_part_that_it_has_not_is_a_416() {
    let house = House::open().await;
    let call = video("a cat");
    let (made, ()) = join!(
        house.create(&call, &[("prefer", "wait=60")]),
        house.finish()
    );
    let document = made.json();
    let path = document["artifacts"][0]["url"].as_str().unwrap();
    let whole = house.get(path).await;
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let part = house.get_with(path, "range", "bytes=4-7").await;
    assert_eq!(
        (part.status, part.body.as_slice()),
        (StatusCode::PARTIAL_CONTENT, &b"ftyp"[..])
    );
    let length = whole.body.len();
    assert_eq!(part.header("content-range"), format!("bytes 4-7/{length}"));
    assert_eq!(part.header("content-length"), "4");
    let rest = house.get_with(path, "range", "bytes=8-").await;
    assert_eq!(rest.body, whole.body[8..]);
    let outside = house
        .get_with(path, "range", &format!("bytes={length}-"))
        .await;
    assert_eq!(outside.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(outside.header("content-range"), format!("bytes */{length}"));
    let other = Request::get(path)
        .header("range", "bytes=0-1")
        .header("if-range", "\"other\"");
    let other = house.call(other.body(Body::empty()).unwrap()).await;
    assert_eq!((other.status, other.body), (StatusCode::OK, whole.body));
}
