//! Files that cannot be had, files that are not what they should be, and the provider's last word.

use crate::fixture::{BUNDLE, House, LIMIT};
use crate::{id, video};
use serde_json::{Value, json};
use simulator::{Action, Operation, Rule, Scripted};

/// The house's bundle, whose files lie where the poll's answer says.
fn elsewhere() -> String {
    let mut bundle: Value = serde_json::from_str(BUNDLE).unwrap();
    bundle["profiles"][0]["workflow"]["steps"][1] = json!({"name": "download", "artifact": "video", "url_path": "file", "content_type": "video/mp4"});
    bundle["provider"]["egress"]["allow_http"] = json!(true);
    bundle.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_host_has_no_address_is_told_in_the_timeline_and_tried_again() {
    let house = House::open_with(&elsewhere(), |_| {}).await;
    let done = Scripted::json(
        200,
        json!({"id": "v", "status": "completed", "file": "http://files.invalid/v.mp4"}),
    );
    let rule = Rule::on(Operation::Retrieve, Action::Answer(done)).always();
    house.provider.script(vec![rule]);
    let made = house.create(&video("a cat"), &[]).await;
    let run: uuid::Uuid = id(&made).parse().unwrap();
    let told = async {
        loop {
            let events = house
                .modelrow
                .store()
                .events(store::DEFAULT_TENANT, run, 0, 100)
                .await
                .unwrap();
            if let Some(event) = events
                .into_iter()
                .find(|event| event.kind == "fetch_failed")
            {
                return event.body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let body = tokio::time::timeout(LIMIT, told)
        .await
        .expect("nobody is told");
    assert_eq!(body["class"], "transient", "{body}");
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("no connection"), "{message}");
    assert!(
        !message.contains("v.mp4"),
        "an address may hold a secret: {message}"
    );
    let shown = house.get(made.header("location")).await.json();
    assert_eq!(
        (&shown["state"], &shown["ended_at"]),
        (&json!("fetching"), &Value::Null),
        "it is paid for: {shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_of_a_kind_takes_files_of_that_kind_by_their_first_bytes() {
    let house = House::open().await;
    let cases = [
        ("data:image/png;base64,iVBORw0KGgoAAAANSUhEUg==", 202),
        (
            "data:application/octet-stream;base64,iVBORw0KGgoAAAANSUhEUg==",
            202,
        ),
        ("data:image/png;base64,PGh0bWw+bm88L2h0bWw+", 422),
        ("data:image/png;base64,JVBERi0xLjcK", 422),
        ("data:text/plain;base64,aGVsbG8=", 422),
    ];
    for (data_url, status) in cases {
        let mut call = video("a cat");
        call["inputs"] = json!({"cat": {"data_url": data_url}});
        let made = house.create(&call, &[]).await;
        assert_eq!(made.status.as_u16(), status, "{data_url}: {made:?}");
        if status != 202 {
            assert_eq!(
                made.json()["errors"][0]["code"],
                "C113",
                "{data_url}: {made:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_watches_hears_the_providers_last_word() {
    let house = House::open().await;
    let made = house.create(&video("a cat"), &[]).await;
    let watcher = house.modelrow.progress(id(&made).parse().unwrap());
    let polled = |provider: &simulator::Simulator| {
        let ledger = provider.ledger();
        ledger
            .iter()
            .any(|entry| entry.operation == Operation::Retrieve)
    };
    assert!(house.provider.wait_until(LIMIT, polled).await);
    house.finish().await;
    let ended = house
        .get_with(made.header("location"), "prefer", "wait=30")
        .await
        .json();
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(
        watcher.borrow().provider_status.as_deref(),
        Some("completed")
    );
}
