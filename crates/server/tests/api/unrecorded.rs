//! Profiles that give up the record of their runs.

use crate::fixture::{BUNDLE, House};
use serde_json::{Value, json};
use simulator::{Action, Operation, Rule, Scripted};

/// A second profile beside the video's.
fn bundle() -> String {
    let mut bundle: Value = serde_json::from_str(BUNDLE).unwrap();
    let auth = bundle["profiles"][0]["auth_profile"].clone();
    bundle["models"].as_array_mut().unwrap().push(json!({
        "model_id": "vec-1", "model_type": "embedding", "is_default": true, "capabilities": {}}));
    bundle["profiles"].as_array_mut().unwrap().push(json!({
        "profile_key": "acme_embedding_v1", "purpose": "embedding", "model": "vec-1", "auth_profile": auth,
        "transport": {"path": "/embed", "headers": {"Authorization": "Bearer {{apiKey}}"}, "durable": false,
            "body": {"text": "{{userPrompt}}"}},
        "response_mapping": {"extract": {"vector": "vector"}, "output": {"vector": "{{json steps.submit.vector}}"}},
        "workflow": {}}));
    bundle.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_a_record_is_answered_when_it_has_ended_and_cannot_be_looked_up() {
    let house = House::open_with(&bundle(), |_| {}).await;
    let vector = Scripted::json(200, json!({"vector": [1, 2.5]}));
    let rules =
        [1, 2].map(|nth| Rule::on(Operation::Unknown, Action::Answer(vector.clone())).nth(nth));
    house.provider.script(rules.to_vec());
    let call = json!({"purpose": "embedding", "prompt": "a cat"});

    let answer = house.create(&call, &[]).await;
    let run = answer.json();
    assert_eq!(
        (answer.status.as_u16(), &run["status"]),
        (200, &json!("succeeded")),
        "{run}"
    );
    assert_eq!(run["recorded"], json!(false));
    assert_eq!(run["output"], json!({"vector": [1, 2.5]}));
    assert!(
        !answer.headers.contains_key("location"),
        "there is nothing to look at"
    );
    let path = format!("/v1/runs/{}", run["id"].as_str().unwrap());
    assert_eq!(house.get(&path).await.status.as_u16(), 404);

    // A key is a promise that outlives the answer.
    let keyed = [("idempotency-key", "once"), ("prefer", "wait=60")];
    let run = house.create(&call, &keyed).await.json();
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(run.get("recorded"), None, "it has its record");
    let list = house.get("/v1/runs").await.json();
    assert_eq!(list["runs"].as_array().unwrap().len(), 1, "{list}");
}
