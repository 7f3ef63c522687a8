//! The OpenAI-compatible face, call by call. `clients.rs` drives it with the official clients.

use crate::fixture::{Answer, House, LIMIT, apply, bearer, key};
use axum::body::Body;
use axum::http::Request;
use runtime::{OverLimit, Role, RunFilter, Status, TenantLimits};
use serde_json::{Value, json};
use std::time::Duration;
use store::DEFAULT_TENANT;

pub(crate) const FILM: &str = include_str!("film.json");

/// A house with a provider whose options have names of their own.
async fn open() -> House {
    let house = House::open().await;
    apply(&house.modelrow, &house.provider, FILM).await;
    house
}

async fn post(house: &House, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
    let mut request =
        Request::post(format!("/openai/v1{path}")).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    house
        .call(request.body(Body::from(body.to_string())).unwrap())
        .await
}

async fn get(house: &House, path: &str) -> Answer {
    house.get(&format!("/openai/v1{path}")).await
}

async fn delete(house: &House, path: &str) -> Answer {
    let request = Request::delete(format!("/openai/v1{path}"));
    house.call(request.body(Body::empty()).unwrap()).await
}

/// The id of a video that was made.
fn made(answer: &Answer) -> String {
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The video once it has ended.
async fn ended(house: &House, id: &str) -> Value {
    let run = uuid::Uuid::try_parse(id.strip_prefix("video_").unwrap()).unwrap();
    let view = house
        .modelrow
        .wait(DEFAULT_TENANT, run, LIMIT)
        .await
        .unwrap();
    assert!(view.ended(), "{view:?}");
    get(house, &format!("/videos/{id}")).await.json()
}

async fn runs(house: &House) -> usize {
    let all = RunFilter::default();
    let page = house.modelrow.runs(DEFAULT_TENANT, &all).await;
    page.unwrap().runs.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_is_made_and_shown_in_the_shapes_of_that_api() {
    let house = open().await;
    let call = json!({"model": "film-1", "prompt": "a cat", "seconds": "8", "size": "1280x720"});
    let clients = [
        ("openai-organization", "org-1"),
        ("openai-project", "p"),
        ("openai-beta", "x=v2"),
    ];
    let answer = post(&house, "/videos", &call, &clients).await;
    let id = made(&answer);
    assert!(id.starts_with("video_"), "{id}");
    assert_eq!(answer.header("openai-poll-after-ms"), "2000");
    let video = answer.json();
    let shown = [
        "object",
        "model",
        "seconds",
        "size",
        "prompt",
        "error",
        "completed_at",
    ];
    assert_eq!(
        json!(shown.map(|name| video[name].clone())),
        json!(["video", "film-1", "8", "1280x720", "a cat", null, null])
    );
    let status = video["status"].as_str().unwrap();
    assert!(["queued", "in_progress"].contains(&status), "{video}");
    house.finish().await;
    let video = ended(&house, &id).await;
    assert_eq!(
        (&video["status"], &video["progress"]),
        (&json!("completed"), &json!(100)),
        "{video}"
    );
    assert!(video["completed_at"].as_i64() >= video["created_at"].as_i64());
    let again = get(&house, &format!("/videos/{id}")).await;
    assert_eq!(again.header("openai-poll-after-ms"), "", "it has ended");
    let sent = house.provider.accepted_jobs();
    assert_eq!((sent.len(), sent[0].model.as_str()), (1, "film-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ready_has_no_content_and_stays() {
    let house = open().await;
    let id = made(&post(&house, "/videos", &json!({"prompt": "a cat"}), &[]).await);
    let early = get(&house, &format!("/videos/{id}/content")).await;
    let not_ready = (400, "video_not_ready".to_owned());
    assert_eq!(early.error(), not_ready, "a 409 would be repeated");
    let early = delete(&house, &format!("/videos/{id}")).await;
    assert_eq!(
        (early.status.as_u16(), early.header("x-should-retry")),
        (409, "false"),
        "{early:?}"
    );
    let remix = format!("/videos/{id}/remix");
    let early = post(&house, &remix, &json!({"prompt": "a dog"}), &[]).await;
    assert_eq!(early.error(), not_ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_is_downloaded_by_its_variants_and_deleted() {
    let house = open().await;
    let call = json!({"model": "film-1", "prompt": "a cat"});
    let id = made(&post(&house, "/videos", &call, &[]).await);
    house.finish().await;
    assert_eq!(ended(&house, &id).await["status"], "completed");
    let content = format!("/openai/v1/videos/{id}/content");
    let file = house.get(&content).await;
    assert_eq!(
        (file.status.as_u16(), file.header("content-type")),
        (200, "video/mp4")
    );
    assert_eq!(&file.body[4..8], b"ftyp");
    let still = house.get(&format!("{content}?variant=thumbnail")).await;
    assert_eq!(
        (still.status.as_u16(), still.header("content-type")),
        (200, "image/webp")
    );
    let part = house.get_with(&content, "range", "bytes=4-7").await;
    assert_eq!(
        (part.status.as_u16(), part.body.as_slice()),
        (206, &b"ftyp"[..])
    );
    let none = house.get(&format!("{content}?variant=spritesheet")).await;
    assert_eq!(none.error(), (404, "variant_not_found".to_owned()));
    let gone = delete(&house, &format!("/videos/{id}")).await;
    assert_eq!(
        gone.json(),
        json!({"id": id, "object": "video.deleted", "deleted": true})
    );
    for path in [format!("/videos/{id}"), format!("/videos/{id}/content")] {
        let error = get(&house, &path).await.error();
        assert_eq!(error, (404, "video_not_found".to_owned()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_with_a_file_is_the_same_call() {
    let house = open().await;
    let png = png(720, 1280);
    let mut form = Vec::new();
    for (name, value) in [("model", "film-1"), ("prompt", "a cat"), ("seconds", "12")] {
        form.extend(
            format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .into_bytes(),
        );
    }
    form.extend(b"--b\r\ncontent-disposition: form-data; name=\"input_reference\"; filename=\"cat.png\"\r\ncontent-type: image/png\r\n\r\n");
    form.extend(&png);
    form.extend(b"\r\n--b--\r\n");
    let request = Request::post("/openai/v1/videos")
        .header("content-type", "multipart/form-data; boundary=b");
    let answer = house.call(request.body(Body::from(form)).unwrap()).await;
    let id = made(&answer);
    house.finish().await;
    assert_eq!(ended(&house, &id).await["status"], "completed");
    assert_eq!(ended(&house, &id).await["seconds"], "12");
    let asked = house.provider.ledger();
    assert!(
        asked
            .iter()
            .any(|entry| format!("{entry:?}").contains("data:image/png;base64")),
        "the picture was sent"
    );
}

/// The head of a picture: more is not looked at.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remix_is_made_by_the_profile_that_can_and_else_refused_with_the_reason() {
    let house = open().await;
    let id = made(
        &post(
            &house,
            "/videos",
            &json!({"model": "film-1", "prompt": "a cat"}),
            &[],
        )
        .await,
    );
    let plain = made(
        &post(
            &house,
            "/videos",
            &json!({"model": "reel-1", "prompt": "a cow"}),
            &[],
        )
        .await,
    );
    let both = house
        .provider
        .wait_until(LIMIT, |provider| provider.accepted_jobs().len() == 2);
    assert!(both.await);
    house.provider.advance_to_completion();
    assert_eq!(ended(&house, &id).await["status"], "completed");
    let remixed = post(
        &house,
        &format!("/videos/{id}/remix"),
        &json!({"prompt": "the same with a hat"}),
        &[],
    )
    .await;
    let remix = made(&remixed);
    assert_eq!(remixed.json()["remixed_from_video_id"], id);
    let third = house
        .provider
        .wait_until(LIMIT, |provider| provider.accepted_jobs().len() == 3);
    assert!(third.await);
    house.provider.advance_to_completion();
    assert_eq!(ended(&house, &remix).await["status"], "completed");
    let jobs = house.provider.accepted_jobs();
    let source = jobs.iter().find(|job| job.prompt == "a cat").unwrap();
    let made_from = jobs
        .iter()
        .find(|job| job.prompt == "the same with a hat")
        .unwrap();
    assert_eq!(made_from.remixed_from.as_ref(), Some(&source.id));
    assert_eq!(ended(&house, &plain).await["status"], "completed");
    let cannot = post(
        &house,
        &format!("/videos/{plain}/remix"),
        &json!({"prompt": "x"}),
        &[],
    )
    .await;
    assert_eq!(cannot.error(), (400, "remix_not_supported".to_owned()));
    let by_hand = json!({"model": "film-remix", "prompt": "x", "remixed_from_video_id": source.id});
    let by_hand = post(&house, "/videos", &by_hand, &[]).await;
    assert_eq!(by_hand.error(), (400, "unknown_parameter".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_are_four_and_what_was_canceled_is_failed_with_the_code_canceled() {
    let house = open().await;
    let canceled = made(&post(&house, "/videos", &json!({"prompt": "a cat"}), &[]).await);
    let run = uuid::Uuid::try_parse(canceled.strip_prefix("video_").unwrap()).unwrap();
    house.modelrow.cancel(DEFAULT_TENANT, run).await.unwrap();
    let video = ended(&house, &canceled).await;
    assert_eq!(
        (&video["status"], &video["error"]["code"]),
        (&json!("failed"), &json!("canceled")),
        "{video}"
    );
    let refused = made(&post(&house, "/videos", &json!({"prompt": "spongebob"}), &[]).await);
    let video = ended(&house, &refused).await;
    assert_eq!(
        (&video["status"], &video["error"]["code"]),
        (&json!("failed"), &json!("moderated")),
        "{video}"
    );
    assert!(
        video["error"]["message"]
            .as_str()
            .unwrap()
            .contains("spongebob"),
        "{video}"
    );
    assert_eq!(video["completed_at"], Value::Null);
    let content = get(&house, &format!("/videos/{refused}/content")).await;
    assert_eq!(content.error(), (400, "video_failed".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_is_not_known_stays_in_progress_until_it_fails() {
    let house = open().await;
    // The job is accepted, its answer is lost, and no list shows it yet.
    let rule = |act: Value| json!({"on": {"operation": "create"}, "do": act});
    let lost = [
        rule(json!({"cut": "after_accepting"})),
        rule(json!({"job": {"visible_after_ms": 3_600_000}})),
    ];
    let rules = lost.map(|rule| serde_json::from_value(rule).unwrap());
    house.provider.script(rules.to_vec());
    let call = json!({"model": "film-1", "prompt": "a cat"});
    let id = made(&post(&house, "/videos", &call, &[]).await);
    let run = uuid::Uuid::try_parse(id.strip_prefix("video_").unwrap()).unwrap();
    let modelrow = &house.modelrow;
    let unknown = async {
        loop {
            let view = modelrow.wait(DEFAULT_TENANT, run, Duration::from_millis(50));
            let view = view.await.unwrap();
            assert!(!view.ended(), "{view:?}");
            if view.state == "submit_unknown" {
                return view.status;
            }
        }
    };
    let status = tokio::time::timeout(LIMIT, unknown).await.unwrap();
    assert_eq!(status, Status::Running);
    let video = get(&house, &format!("/videos/{id}")).await.json();
    assert_eq!(
        (&video["status"], &video["error"]),
        (&json!("in_progress"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn videos_are_listed_in_pages_by_the_id_of_the_last() {
    let house = open().await;
    let mut ids = Vec::new();
    for prompt in ["one", "two", "three"] {
        ids.push(made(
            &post(&house, "/videos", &json!({"prompt": prompt}), &[]).await,
        ));
    }
    let page = async |query: &str| {
        let page = get(&house, &format!("/videos?{query}")).await;
        assert_eq!(page.status.as_u16(), 200, "{page:?}");
        let page = page.json();
        let data = page["data"].as_array().unwrap();
        let found: Vec<String> = data
            .iter()
            .map(|video| video["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(page["object"], "list");
        assert_eq!(page["first_id"].as_str(), found.first().map(String::as_str));
        assert_eq!(page["last_id"].as_str(), found.last().map(String::as_str));
        (found, page["has_more"].as_bool().unwrap())
    };
    let [one, two, three] = ids.try_into().unwrap();
    assert_eq!(
        page("limit=2").await,
        (vec![three.clone(), two.clone()], true)
    );
    assert_eq!(
        page(&format!("limit=2&after={two}")).await,
        (vec![one.clone()], false)
    );
    assert_eq!(page("order=asc&limit=1").await, (vec![one.clone()], true));
    assert_eq!(
        page(&format!("order=asc&after={one}")).await,
        (vec![two, three], false)
    );
    let nobody = get(
        &house,
        "/videos?after=video_00000000000000000000000000000007",
    )
    .await;
    assert_eq!(nobody.error(), (400, "invalid_value".to_owned()));
    assert_eq!(nobody.json()["error"]["param"], "after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_create_of_an_official_client_is_answered_with_its_run() {
    let house = open().await;
    let first = [("x-stainless-retry-count", "0")];
    let again = [("x-stainless-retry-count", "1")];
    let call = json!({"prompt": "a cat"});
    let id = made(&post(&house, "/videos", &call, &first).await);
    assert_eq!(made(&post(&house, "/videos", &call, &again).await), id);
    assert_eq!(
        made(
            &post(
                &house,
                "/videos",
                &call,
                &[("x-stainless-retry-count", "2")]
            )
            .await
        ),
        id
    );
    assert_eq!(runs(&house).await, 1);
    // A call that was not sent before makes a run of its own, as does one of another body or another key.
    assert_ne!(made(&post(&house, "/videos", &call, &first).await), id);
    assert_ne!(
        made(&post(&house, "/videos", &json!({"prompt": "a dog"}), &again).await),
        id
    );
    assert_eq!(runs(&house).await, 3);
    let other = key(&house.modelrow, DEFAULT_TENANT, Role::Caller).await;
    let of_other = bearer(&other);
    let made_by_other = post(
        &house,
        "/videos",
        &call,
        &[again[0], ("authorization", &of_other)],
    )
    .await;
    assert_ne!(made(&made_by_other), id);
    assert_eq!(runs(&house).await, 4);
    // With an idempotency key the usual rule holds.
    let keyed = [again[0], ("idempotency-key", "k-1")];
    let first_keyed = made(&post(&house, "/videos", &call, &keyed).await);
    assert_eq!(runs(&house).await, 5);
    assert_eq!(
        made(&post(&house, "/videos", &call, &keyed).await),
        first_keyed
    );
    let conflict = post(&house, "/videos", &json!({"prompt": "a dog"}), &keyed).await;
    assert_eq!(
        (conflict.status.as_u16(), conflict.header("x-should-retry")),
        (409, "false"),
        "{conflict:?}"
    );
    assert_eq!(runs(&house).await, 5);
}

/// Method, path, a header, body; status and code.
type Refused<'t> = (
    &'t str,
    &'t str,
    Option<(&'t str, &'t str)>,
    &'t str,
    u16,
    &'t str,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[rustfmt::skip]
async fn under_the_face_every_error_has_its_shape() {
    let house = open().await;
    let json = Some(("content-type", "application/json"));
    let cases: [Refused<'_>; 15] = [
        ("GET",  "/v1/nowhere",            None,                                   "",                                404, "unknown_url"),
        ("GET",  "",                       None,                                   "",                                404, "unknown_url"),
        ("PUT",  "/v1/videos",             None,                                   "",                                405, "method_not_allowed"),
        ("GET",  "/v1/models",             Some(("authorization", "Bearer mrk_")), "",                                401, "invalid_api_key"),
        ("GET",  "/v1/models/none",        None,                                   "",                                404, "model_not_found"),
        ("GET",  "/v1/videos/x",           None,                                   "",                                404, "video_not_found"),
        ("GET",  "/v1/videos?colour=red",  None,                                   "",                                400, "unknown_parameter"),
        ("POST", "/v1/videos",             Some(("content-type", "text/plain")),   "x",                               415, "C156"),
        ("POST", "/v1/videos",             Some(("content-length", "70000000")),   "",                                415, "C156"),
        ("POST", "/v1/videos",             json,                                   r#"{"prompt":"#,                   400, "C150"),
        ("POST", "/v1/videos",             json,                                   "[]",                              400, "invalid_type"),
        ("POST", "/v1/videos",             json,                                   "{}",                              400, "missing_required_parameter"),
        ("POST", "/v1/videos",             json,                                   r#"{"prompt":"a","model":"none"}"#, 404, "model_not_found"),
        ("POST", "/v1/videos",             json,                                   r#"{"prompt":"a","secnds":8}"#,    400, "unknown_parameter"),
        ("POST", "/v1/videos",             json,                                   r#"{"prompt":"a","size":"1x1"}"#,  400, "invalid_value"),
    ];
    for (method, path, header, body, status, code) in cases {
        let mut request = Request::builder().method(method).uri(format!("/openai{path}"));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = house.call(request.body(Body::from(body.to_owned())).unwrap()).await;
        assert_eq!(answer.error(), (status, code.to_owned()), "{method} {path} {body}");
    }
    let large = Request::post("/openai/v1/videos").header("content-type", "application/json").header("content-length", 70_000_000);
    assert_eq!(house.call(large.body(Body::empty()).unwrap()).await.error(), (413, "C151".to_owned()));
    let wrong = post(&house, "/videos", &json!({"model": "film-1", "prompt": "a", "seconds": "5", "size": "big"}), &[]).await;
    let message = wrong.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("`seconds`: ") && message.contains("`size`: "), "all at once, by the caller's names: {message}");
    assert_eq!(runs(&house).await, 0, "nothing was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_does_not_pass_in_a_minute_is_not_to_be_tried_again() {
    let house = open().await;
    let limits = TenantLimits {
        max_in_flight: None,
        max_queued: None,
        runs_per_day: Some(0),
        spend_per_month: None,
        currency: "USD".into(),
        over_limit: OverLimit::Refuse,
    };
    let set = house
        .modelrow
        .set_limits(DEFAULT_TENANT, Some(&limits), "the test");
    set.await.unwrap();
    let over = post(&house, "/videos", &json!({"prompt": "a"}), &[]).await;
    assert_eq!(over.error(), (429, "insufficient_quota".to_owned()));
    assert_eq!(over.header("x-should-retry"), "false");
    assert_ne!(over.header("retry-after"), "");
    assert_eq!(runs(&house).await, 0, "nothing was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_models_that_may_be_named_are_listed_each_once_and_shown() {
    let house = open().await;
    let list = get(&house, "/models").await.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["reel-1", "film-1", "film-remix"]);
    let one = get(&house, "/models/film-1").await.json();
    assert_eq!(
        (&one["object"], &one["owned_by"], &one["shutdown_date"]),
        (&json!("model"), &json!("film"), &Value::Null)
    );
    assert!(one["created"].as_i64().unwrap() > 1_600_000_000, "{one}");
}
