//! The operators' port.

use crate::fixture::{House, LIMIT, answer};
use crate::video;
use std::time::Duration;

/// The value of a sample whose name and labels begin so.
fn sample(text: &str, begins: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(begins))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The metrics after one run was accepted, which goes on, and one was refused.
async fn busy(house: &House) -> String {
    let ops = server::ops::router(house.modelrow.clone());
    let refused = house
        .create(&video("spongebob"), &[("prefer", "wait=20")])
        .await;
    assert_eq!(refused.json()["status"], "failed");
    house.create(&video("a cat"), &[]).await;
    let of = |name: &str, more: &str| format!("modelrow_{name}{{{more}}}");
    let accepted = of(
        "submits_total",
        r#"provider="acme",profile="acme_video_v1",outcome="accepted""#,
    );
    let polled = of("runs", r#"state="polling",profile="acme_video_v1""#);
    let told = async {
        loop {
            let metrics = answer(&ops, "/metrics", "").await;
            assert!(
                metrics
                    .header("content-type")
                    .starts_with("application/openmetrics-text")
            );
            let text = String::from_utf8(metrics.body).unwrap();
            if [&accepted, &polled]
                .iter()
                .all(|name| sample(&text, name) == Some(1.0))
            {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(LIMIT, told).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_submits_exchanges_and_runs_and_name_no_run() {
    let house = House::open().await;
    let text = busy(&house).await;
    let want = [
        ("modelrow_database_up", 1.0),
        ("modelrow_lease_held", 1.0),
        ("modelrow_workers", 1.0),
        ("modelrow_runs_ended_total{state=\"failed\"}", 1.0),
        (
            "modelrow_failures_total{provider=\"acme\",profile=\"acme_video_v1\",class=\"moderated\"}",
            1.0,
        ),
        (
            "modelrow_exchange_seconds_count{provider=\"acme\",step=\"submit\",outcome=\"ok\"}",
            1.0,
        ),
        (
            "modelrow_exchange_seconds_count{provider=\"acme\",step=\"submit\",outcome=\"client_error\"}",
            1.0,
        ),
        ("modelrow_submit_unknown{age=\"more\"}", 0.0),
    ];
    for (name, value) in want {
        assert_eq!(sample(&text, name), Some(value), "{name}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    let runs = house.get("/v1/runs").await.json();
    let ids = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap());
    assert_eq!(
        ids.clone().filter(|id| text.contains(*id)).count(),
        0,
        "{text}"
    );
    assert_eq!(ids.count(), 2);
    let ready = answer(&server::ops::router(house.modelrow.clone()), "/readyz", "").await;
    assert_eq!(
        (ready.status.as_u16(), ready.body.as_slice()),
        (200, &b"ready\n"[..])
    );
}

/// The words of `text` that begin with `modelrow_`, without what a histogram or counter adds.
fn names(text: &str) -> std::collections::BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics = words.filter(|word| word.starts_with("modelrow_"));
    let ends = ["_bucket", "_count", "_sum", "_total"];
    metrics
        .map(|word| {
            ends.iter()
                .find_map(|end| word.strip_suffix(end))
                .unwrap_or(word)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let house = House::open().await;
    let told = busy(&house).await;
    let there = names(&told);
    for file in [
        include_str!("../../../../deploy/alerts.yml"),
        include_str!("../../../../deploy/dashboard.json"),
    ] {
        let asked = names(file);
        assert!(asked.len() > 5, "{asked:?}");
        let missing: Vec<_> = asked.difference(&there).collect();
        assert!(missing.is_empty(), "{missing:?} of {there:?}");
    }
}
