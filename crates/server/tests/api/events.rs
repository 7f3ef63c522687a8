//! `GET /v1/runs/{id}/events` over the router.

use crate::fixture::{Answer, House};
use crate::{id, video};
use serde_json::Value;
use tokio::join;

/// An event as the stream wrote it.
#[derive(Debug)]
struct Heard {
    name: String,
    id: Option<i32>,
    data: Value,
}

/// A whole stream, comments aside.
fn heard(answer: &Answer) -> Vec<Heard> {
    let text = std::str::from_utf8(&answer.body).unwrap();
    let blocks = text.split("\n\n").filter(|block| block.contains("data:"));
    blocks.map(one).collect()
}

fn one(block: &str) -> Heard {
    let field = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    Heard {
        name: field("event").unwrap().to_owned(),
        id: field("id").map(|id| id.parse().unwrap()),
        data: serde_json::from_str(field("data").unwrap()).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_tells_the_run_to_its_end_and_is_resumed_behind_what_was_heard() {
    let house = House::open().await;
    let made = house.create(&video("a cat"), &[]).await;
    let path = format!("/v1/runs/{}/events", id(&made));
    let (answer, ()) = join!(house.get(&path), house.finish());
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("cache-control"), "no-cache");
    let events = heard(&answer);
    let ids: Vec<i32> = events.iter().filter_map(|event| event.id).collect();
    let count = i32::try_from(ids.len()).unwrap();
    assert_eq!(ids, (1..=count).collect::<Vec<_>>(), "{events:?}");
    let last = events.last().unwrap();
    assert_eq!(
        (last.name.as_str(), &last.data["status"]),
        ("end", &Value::from("succeeded"))
    );
    assert!(events.iter().any(|event| event.name == "state"));

    let after = count - 1;
    let resumed = house
        .get_with(&path, "last-event-id", &after.to_string())
        .await;
    let resumed = heard(&resumed);
    let ids: Vec<i32> = resumed.iter().filter_map(|event| event.id).collect();
    assert_eq!(ids, [count], "{resumed:?}");
    assert_eq!(resumed.last().unwrap().name, "end");

    let refused = house.get_with(&path, "last-event-id", "soon").await;
    assert_eq!(refused.problem(), (400, "C190".to_owned()));
}
