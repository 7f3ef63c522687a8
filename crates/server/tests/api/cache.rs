//! `cache` of a call.

use crate::fixture::House;
use crate::video;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_asks_for_the_cache_is_answered_with_an_ended_run_that_says_so() {
    let house = House::open().await;
    let mut call = video("a cat");
    call["cache"] = json!(true);
    let wait = [("prefer", "wait=60")];
    let (first, ()) = tokio::join!(house.create(&call, &wait), house.finish());
    let first = first.json();
    assert_eq!(
        (&first["status"], &first["cached"]),
        (&json!("succeeded"), &json!(false))
    );
    // The same, said with another key.
    let second = house.create(&call, &[("idempotency-key", "again")]).await;
    let run = second.json();
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(
        (&run["cached"], &run["cache_of"]),
        (&json!(true), &first["id"])
    );
    assert_eq!(
        (&run["spent"], &run["attempts"]),
        (&json!("none"), &json!([]))
    );
    let shown = house.get(second.header("location")).await.json();
    assert_eq!(shown["cache_of"], first["id"]);
    let file = run["artifacts"][0]["url"].as_str().unwrap();
    assert!(file.contains(run["id"].as_str().unwrap()), "{file}");
    assert_eq!(house.get(file).await.status.as_u16(), 200);
    assert_eq!(house.provider.accepted_jobs().len(), 1);
    // The list says it, too.
    let list = house.get("/v1/runs").await.json();
    assert_eq!(list["runs"][0]["cached"], json!(true), "{list}");
}
