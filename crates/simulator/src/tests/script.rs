use serde_json::json;

use super::{Got, Rig, send, slow};
use crate::{Config, Flavour, Operation, Simulator};

/// The JSON blocks of the README.
fn examples() -> Vec<&'static str> {
    let readme = include_str!("../../README.md");
    readme
        .split("```json\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

#[tokio::test]
async fn the_scripts_of_the_readme_can_be_read_and_started() {
    let examples = examples();
    assert!(examples.len() >= 2);
    for example in examples {
        let mut config: Config = serde_json::from_str(example).unwrap();
        config.address.set_port(0);
        Simulator::start(config).await.unwrap();
    }
}

#[test]
fn a_misspelt_script_is_refused() {
    for script in [
        r#"{"adress": "127.0.0.1:1"}"#,
        r#"{"rules": [{"on": {"route": "create"}, "do": {"stall": {"ms": 1}}}]}"#,
        r#"{"rules": [{"do": {"explode": {}}}]}"#,
        r#"{"rules": [{"do": {"stall": {"msec": 1}}}]}"#,
        r#"{"rules": [{"on": {"operation": "create"}}]}"#,
        r#"{"jobs": {"queue": 1}}"#,
    ] {
        assert!(serde_json::from_str::<Config>(script).is_err(), "{script}");
    }
}

#[tokio::test]
async fn a_wire_that_is_none_is_refused_at_the_start() {
    let config = Config {
        wire: json!({"models": 7}),
        ..slow()
    };
    assert_eq!(
        Simulator::start(config).await.unwrap_err().kind(),
        std::io::ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn a_script_can_change_the_wire() {
    for flavour in [Flavour::Videos, Flavour::Gateway, Flavour::Notes] {
        let wire = json!({
            "prefix": "/api/v2", "content_types": ["application/json"],
            "fields": {"model": {"kind": "string", "default": "acme-1"}},
            "models": {"acme-1": {"sizes": ["1024x1808", "720x1280"], "seconds": ["4", "10"]}},
        });
        let rig = Rig::of(Config {
            wire,
            flavour,
            ..slow()
        })
        .await;
        assert!(rig.sim.base_url().ends_with("/api/v2"));
        let got = rig.create(json!({"prompt": "a cat"})).await;
        assert_eq!(
            (got.status, &got.json()["model"]),
            (200, &json!("acme-1")),
            "{flavour:?}"
        );
    }
}

async fn admin(rig: &Rig, method: &str, path: &str, body: Option<serde_json::Value>) -> Got {
    let url = format!("http://{}/_sim/{path}", rig.sim.address());
    let request = rig
        .http
        .request(method.parse().unwrap(), url)
        .header("content-type", "application/json");
    send(request.body(body.map(|body| body.to_string()).unwrap_or_default()))
        .await
        .unwrap()
}

#[tokio::test]
async fn the_simulator_is_steered_and_read_over_http_without_leaving_a_trace_in_the_ledger() {
    let rig = Rig::new().await;
    let rule = json!([{"on": {"operation": "create"}, "do": {"server_error": {"status": 502}}}]);
    assert_eq!(admin(&rig, "POST", "script", Some(rule)).await.status, 204);
    assert_eq!(rig.create(json!({"prompt": "a cat"})).await.status, 502);
    let id = rig.job().await;
    let jobs = admin(&rig, "GET", "jobs", None).await.json();
    assert_eq!(
        (&jobs[0]["id"], &jobs[0]["status"]),
        (&json!(id), &json!("queued"))
    );
    assert_eq!(
        admin(&rig, "POST", "advance", Some(json!({}))).await.status,
        204
    );
    assert_eq!(
        admin(&rig, "GET", "jobs", None).await.json()[0]["status"],
        "completed"
    );
    assert_eq!(
        admin(&rig, "GET", "callbacks", None).await.json(),
        json!([])
    );

    let ledger = admin(&rig, "GET", "ledger", None).await.json();
    assert_eq!(ledger.as_array().unwrap().len(), 2);
    assert_eq!(ledger[0]["outcome"], json!({"answered": 502}));
    assert_eq!(ledger[1]["accepted_job"], json!(id));
    assert_eq!(ledger[1]["body"], json!({"json": {"prompt": "a cat"}}));
    assert_eq!(rig.sim.ledger()[1].operation, Operation::Create);

    assert_eq!(admin(&rig, "POST", "reset", None).await.status, 200);
    assert_eq!(admin(&rig, "GET", "ledger", None).await.json(), json!([]));
    assert_eq!(rig.get(&format!("/videos/{id}")).await.status, 404);
    assert!(
        admin(&rig, "POST", "script", Some(json!([{"do": "nothing"}])))
            .await
            .status
            >= 400
    );
}

#[tokio::test]
async fn the_ledger_forgets_its_oldest_entries_first() {
    let rig = Rig::of(Config {
        ledger_keep: 2,
        ..slow()
    })
    .await;
    for _ in 0..3 {
        rig.get("/videos").await;
    }
    let numbers: Vec<_> = rig.sim.ledger().iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [2, 3]);
}
