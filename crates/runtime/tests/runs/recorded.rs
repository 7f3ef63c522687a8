//! Cases of live runs whose credential needed something on the way.

use crate::desk::Desk;
use crate::house::{House, cat, ended};
use crate::tokens::{acme, client_credentials, grant, proved, taking, unauthorized};
use engine::http::Tap;
use engine::recording::{Taken, case};
use runtime::{Modelrow, Options, Status};
use serde_json::{Value, json};
use simulator::{Config, Operation, Rule};

/// One run against that provider, recorded: the steps' requests in their order.
async fn recorded(desk: &Desk, config: Config, change: impl FnOnce(&mut Value)) -> Value {
    let mut bundle = acme(client_credentials(desk));
    change(&mut bundle);
    let house = House::of(config, bundle).await;
    let tap = Tap::default();
    let options = Options {
        tap: Some(tap.clone()),
        ..proved(&house)
    };
    let modelrow = Modelrow::start(options).await.unwrap();
    let view = ended(&modelrow, cat()).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(desk.asked().len(), 2, "its token was replaced");
    let (_, compiled) = profile::bundle::check("acme", &house.bundle.to_string());
    let taken = Taken {
        at: "2026-11-30T08:00:00Z".into(),
        why: None,
        input: json!({"purpose": "video", "prompt": "A cat"}),
        heard: tap.heard(),
        endpoint: None,
    };
    case(&taken, &compiled).unwrap_or_else(|error| panic!("{error}"))
}

fn paths(case: &Value) -> Vec<String> {
    let exchanges = case["exchanges"].as_array().unwrap().iter();
    let path = |exchange: &Value| {
        let url = url::Url::parse(exchange["request"]["url"].as_str().unwrap()).unwrap();
        assert_eq!(
            exchange["request"]["headers"]["Authorization"],
            "Bearer ***"
        );
        format!(
            "{} {}",
            exchange["request"]["method"].as_str().unwrap(),
            url.path()
        )
    };
    exchanges.map(path).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_token_was_refused_and_replaced_becomes_a_case_that_replays() {
    let refused = |operation: Option<Operation>| {
        let mut config = match operation {
            Some(_) => taking(&["tok-1", "tok-2"]),
            None => taking(&["tok-2"]),
        };
        config.rules = operation
            .map(|operation| Rule::on(operation, unauthorized()))
            .into_iter()
            .collect();
        config
    };
    for operation in [None, Some(Operation::Retrieve), Some(Operation::Content)] {
        let desk = Desk::open(grant).await;
        let case = recorded(&desk, refused(operation), |_| {}).await;
        let paths = paths(&case);
        let count = |start: &str| paths.iter().filter(|path| path.starts_with(start)).count();
        assert_eq!(count("POST"), 1, "{operation:?}: {paths:?}");
        let files: Vec<_> = paths
            .iter()
            .filter(|path| path.ends_with("/content"))
            .collect();
        assert_eq!(files.len(), 1, "{operation:?}: {paths:?}");
        let text = case.to_string();
        assert!(
            !text.contains("tok-") && !text.contains("the token has expired"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_files_those_that_had_come_before_the_refusal_count_once_too() {
    let desk = Desk::open(grant).await;
    let mut config = taking(&["tok-1", "tok-2"]);
    // The first file comes, the second is refused, and both are asked for again.
    config.rules = vec![Rule::on(Operation::Content, unauthorized()).nth(2)];
    let case = recorded(&desk, config, |bundle| {
        let download = &mut bundle["profiles"][0]["workflow"]["steps"][1];
        *download = json!({"name": "download", "each": "$['id','id']", "path": "/videos/{{item}}/content",
            "mode": "binary", "content_type": "video/mp4"});
    })
    .await;
    let files = paths(&case)
        .into_iter()
        .filter(|path| path.ends_with("/content"));
    assert_eq!(files.count(), 2, "{case:#}");
}
