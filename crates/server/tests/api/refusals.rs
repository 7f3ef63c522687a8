//! Calls that are wrong: each gets its clear refusal, and nothing is made or sent.

use crate::fixture::House;
use crate::video;
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

/// Method, path, headers, body; status and code of the answer.
type Case<'c> = (
    Method,
    &'c str,
    &'c [(&'c str, &'c str)],
    &'c str,
    u16,
    &'c str,
);

const NOBODY: &str = "/v1/runs/018f0000-0000-7000-8000-000000000000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_the_model_refuses_names_every_violation_and_sends_nothing() {
    let house = House::open().await;
    let body = json!({"purpose": "video", "prompt": "a cat", "params": {"seconds": 5, "zoom": 2, "size": 7}});
    let refused = house.create(&body, &[("idempotency-key", "k")]).await;
    assert_eq!(refused.status.as_u16(), 422, "{refused:?}");
    let document = refused.json();
    let mut pointers: Vec<_> = document["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        ["/params/seconds", "/params/size", "/params/zoom"]
    );
    for error in document["errors"].as_array().unwrap() {
        assert!(
            ["code", "message", "help"]
                .iter()
                .all(|member| error[*member].is_string()),
            "{error}"
        );
    }
    assert!(house.provider.ledger().is_empty());
    let made = house
        .create(&video("a cat"), &[("idempotency-key", "k")])
        .await;
    assert_eq!(
        made.status.as_u16(),
        202,
        "only calls that made a run use a key up: {made:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_call_is_a_problem_document_with_its_code_and_a_request_id() {
    let house = House::open().await;
    let json_type = [("content-type", "application/json")];
    let deep = format!("{{\"params\": {}{}}}", "[".repeat(70), "]".repeat(70));
    #[rustfmt::skip]
    let cases: [Case<'_>; 27] = [
        (Method::GET,    "/",                                   &[],        "",                        404, "C158"),
        (Method::GET,    "/v1/run",                             &[],        "",                        404, "C158"),
        (Method::GET,    "/v1/runs/",                           &[],        "",                        404, "C158"),
        (Method::DELETE, "/healthz",                            &[],        "",                        405, "C159"),
        (Method::PATCH,  "/v1/runs",                            &[],        "",                        405, "C159"),
        (Method::GET,    "/v1/runs?limit=0",                    &[],        "",                        400, "C190"),
        (Method::GET,    "/v1/runs?sort=age",                   &[],        "",                        400, "C190"),
        (Method::GET,    "/v1/runs?after=nonsense",             &[],        "",                        400, "C180"),
        (Method::DELETE, "/v1/runs/x",                          &[],        "",                        404, "C160"),
        (Method::POST,   "/v1/runs/x/retry",                    &[],        "",                        404, "C160"),
        (Method::GET,    "/v1/runs/x/events",                   &[],        "",                        404, "C160"),
        (Method::GET,    "/v1/models/nobody/knows",             &[],        "",                        404, "C191"),
        (Method::POST,   "/v1/plan",                            &json_type, r#"{"purpose":"vidio","prompt":"x"}"#, 422, "C130"),
        (Method::PUT,    "/v1/runs/x",                          &[],        "",                        405, "C159"),
        (Method::GET,    "/v1/runs/x",                          &[],        "",                        404, "C160"),
        (Method::GET,    "/v1/runs/%ff",                        &[],        "",                        404, "C158"),
        (Method::POST,   "/v1/runs/x/cancel",                   &[],        "",                        404, "C160"),
        (Method::GET,    "/v1/runs/x/artifacts/video",          &[],        "",                        404, "C160"),
        (Method::POST,   "/v1/runs",                            &[],        "{}",                      415, "C156"),
        (Method::POST,   "/v1/runs",  &[("content-type", "text/plain")],    "{}",                      415, "C156"),
        (Method::POST,   "/v1/runs",                            &json_type, "",                        400, "C150"),
        (Method::POST,   "/v1/runs",                            &json_type, "{",                       400, "C150"),
        (Method::POST,   "/v1/runs",                            &json_type, r#"{"a":1,"a":2}"#,        400, "C165"),
        (Method::POST,   "/v1/runs",                            &json_type, &deep,                     400, "C152"),
        (Method::POST,   "/v1/runs",                            &json_type, "[]",                      422, "C154"),
        (Method::POST,   "/v1/runs",                            &json_type, r#"{"purpose":"video","promt":"x"}"#, 422, "C153"),
        (Method::POST,   "/v1/runs",                            &json_type, r#"{"purpose":"vidio","prompt":"x"}"#, 422, "C130"),
    ];
    for (method, path, headers, body, status, code) in cases {
        let mut request = Request::builder().method(method.clone()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = house
            .call(request.body(Body::from(body.to_owned())).unwrap())
            .await;
        assert_eq!(
            answer.problem(),
            (status, code.to_owned()),
            "{method} {path} {body}: {answer:?}"
        );
        assert_ne!(answer.header("x-request-id"), "", "{method} {path}");
    }
    assert!(house.provider.ledger().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_not_there_is_a_404_for_every_call_that_names_it() {
    let house = House::open().await;
    let calls = [
        (Method::GET, ""),
        (Method::POST, "/cancel"),
        (Method::POST, "/retry"),
        (Method::DELETE, ""),
        (Method::GET, "/events"),
        (Method::GET, "/artifacts/video"),
        (Method::HEAD, "/artifacts/video/0"),
    ];
    for (method, rest) in calls {
        let request = Request::builder()
            .method(&method)
            .uri(format!("{NOBODY}{rest}"));
        let answer = house.call(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), 404, "{method} {rest}: {answer:?}");
        if method != Method::HEAD {
            assert_eq!(answer.problem().1, "R162");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_is_not_taken_is_answered_with_those_that_are() {
    let house = House::open().await;
    let request = Request::put("/v1/runs").body(Body::empty()).unwrap();
    assert_eq!(house.call(request).await.header("allow"), "GET,HEAD,POST");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finding_about_an_input_given_alone_points_into_the_callers_own_body() {
    let house = House::open().await;
    for (input, pointer) in [
        (json!({"data_url": "nonsense"}), "/inputs/cat"),
        (json!([{"data_url": "nonsense"}]), "/inputs/cat/0"),
    ] {
        let body = json!({"purpose": "video", "prompt": "x", "inputs": {"cat": input}});
        let refused = house.create(&body, &[]).await;
        assert_eq!(refused.status.as_u16(), 422, "{refused:?}");
        let document = refused.json();
        let found = document["errors"]
            .as_array()
            .unwrap()
            .iter()
            .any(|error| error["pointer"] == pointer);
        assert!(found, "{pointer}: {document}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_own_request_id_is_kept() {
    let house = House::open().await;
    assert_eq!(
        house
            .get_with("/healthz", "x-request-id", "req-7")
            .await
            .header("x-request-id"),
        "req-7"
    );
    let (one, two) = (house.get("/healthz").await, house.get("/healthz").await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_a_limit_is_told_until_when_or_waits_when_it_asks_to() {
    let house = House::open().await;
    let limits = runtime::TenantLimits {
        max_in_flight: None,
        max_queued: None,
        runs_per_day: Some(1),
        spend_per_month: None,
        currency: "USD".into(),
        over_limit: runtime::OverLimit::Refuse,
    };
    let set = house
        .modelrow
        .set_limits(store::DEFAULT_TENANT, Some(&limits), "ann");
    set.await.unwrap();
    let made = house.create(&video("a cat"), &[]).await;
    assert_eq!(made.status.as_u16(), 202, "{made:?}");
    let refused = house.create(&video("a dog"), &[]).await;
    assert_eq!(refused.status.as_u16(), 429, "{refused:?}");
    let document = refused.json();
    assert_eq!(document["code"], "too_many_runs");
    assert_eq!(document["errors"][0]["code"], "R180");
    assert_eq!(
        refused.header("ratelimit-policy"),
        "\"runs-per-day\";q=1;w=86400"
    );
    assert!(
        refused
            .header("ratelimit")
            .starts_with("\"runs-per-day\";r=0;t=")
    );
    assert!(
        document["until"].as_str().unwrap().ends_with("T00:00:00Z"),
        "{document}"
    );
    let secs: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=86_401).contains(&secs), "{secs}");
    let mut waits = video("a dog");
    waits["over_limit"] = json!("queue");
    let queued = house.create(&waits, &[]).await;
    assert_eq!(queued.status.as_u16(), 202, "{queued:?}");
    assert_eq!(queued.json()["not_before"], document["until"]);
    waits["over_limit"] = json!("maybe");
    let wrong = house.create(&waits, &[]).await;
    assert_eq!(wrong.problem().1, "C154");
}
