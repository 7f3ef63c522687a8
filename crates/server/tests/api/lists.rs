//! Lists, plans, models, retries and deletions over the router.

use crate::fixture::House;
use crate::{id, video};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use std::collections::HashSet;
use tokio::join;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_listed_newest_first_a_page_at_a_time_and_by_their_metadata() {
    let house = House::open().await;
    let mut made = Vec::new();
    for n in 0..3 {
        let mut call = video("a cat");
        call["metadata"] = json!({ "n": n });
        made.insert(0, id(&house.create(&call, &[]).await));
    }
    let mut listed = Vec::new();
    let mut path = "/v1/runs?limit=2".to_owned();
    loop {
        let page = house.get(&path).await.json();
        let ids = page["runs"].as_array().unwrap().iter();
        listed.extend(ids.map(|run| run["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/v1/runs?limit=2&after={next}");
    }
    assert_eq!(listed, made);
    let found = house
        .get("/v1/runs?metadata.n=1&purpose=video")
        .await
        .json();
    assert_eq!(found["runs"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["runs"][0]["id"], made[1].as_str());
    let none = house.get("/v1/runs?status=failed").await.json();
    assert_eq!(none["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_shows_every_request_without_secrets_and_sends_nothing() {
    let house = House::open().await;
    let body = Body::from(video("a cat").to_string());
    let request = Request::post("/v1/plan").header("content-type", "application/json");
    let plan = house.call(request.body(body).unwrap()).await;
    assert_eq!(plan.status, StatusCode::OK, "{plan:?}");
    let plan = plan.json();
    assert_eq!(plan["model"]["model"], "reel-1");
    let steps = plan["steps"].as_array().unwrap();
    let names: Vec<&str> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["submit", "poll", "download"]);
    let submit = &plan["steps"][0]["request"];
    assert_eq!(submit["body"]["seconds"], "8");
    assert!(!plan.to_string().contains("sk-test"), "{plan}");
    assert!(house.provider.ledger().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_are_listed_with_what_they_take_and_shown_with_their_schema() {
    let house = House::open().await;
    let all = house.get("/v1/models").await.json();
    let card = &all["models"][0];
    assert_eq!(card["model"], "reel-1");
    assert_eq!(card["params"], json!(["seconds", "size"]));
    assert_eq!(card["schema"], Value::Null);
    let one = house.get("/v1/models/reel-1").await.json();
    let schema = &one["served"][0]["schema"];
    assert_eq!(
        schema["properties"]["params"]["properties"]["seconds"]["type"], "integer",
        "{one}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_needs_consent_while_the_first_may_be_paid_and_an_ended_run_can_be_deleted() {
    let house = House::open().await;
    let call = video("a cat");
    let first = house.create(&call, &[]).await;
    let path = format!("/v1/runs/{}", id(&first));
    let post = |body: &'static str| {
        let request = Request::post(format!("{path}/retry"));
        let request = request.header("content-type", "application/json");
        request.body(Body::from(body)).unwrap()
    };
    let refused = house.call(post("")).await;
    assert_eq!(refused.problem(), (409, "R172".to_owned()));
    let wrong = house.call(post(r#"{"accept_duplicate": 1}"#)).await;
    assert_eq!(wrong.problem(), (422, "C154".to_owned()));
    let again = house.call(post(r#"{"accept_duplicate": true}"#)).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{again:?}");
    assert_eq!(again.json()["retry_of"], id(&first).as_str());
    let ids = HashSet::from([id(&first), id(&again)]);
    assert_eq!(ids.len(), 2);

    let delete = || Request::delete(&path).body(Body::empty()).unwrap();
    assert_eq!(
        house.call(delete()).await.problem(),
        (409, "R171".to_owned())
    );
    let (ended, ()) = join!(house.get_with(&path, "prefer", "wait=60"), house.finish());
    assert_eq!(ended.json()["status"], "succeeded");
    assert_eq!(house.call(delete()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get(&path).await.status, StatusCode::NOT_FOUND);
}
