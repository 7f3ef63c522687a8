//! What the service adds to a synchronous call: one after the other, beside the same call made directly.

use crate::Size;
use crate::ground::{Ground, VECTOR, call};
use crate::table::{Table, shown};
use reqwest::Client;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Calls of one kind, one after the other.
const TURN: usize = 20;

pub(crate) fn measure(ground: &Ground, size: Size, table: &mut Table, runtime: &Runtime) {
    let rounds = size.pick(5, 1_000, 5_000);
    let service = ground.serve(&[]);
    let client = ground.client();
    let runs = format!("{}/v1/runs", service.url);
    let direct = format!("{}/embed", ground.provider_url);
    let text = "{\"model\":\"recorded\",\"text\":\"a cat that plays the piano\"}".to_owned();
    let subjects = [
        (direct, text),
        (runs.clone(), call("recorded")),
        (runs, call("unrecorded")),
    ];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    runtime.block_on(async {
        for (url, body) in subjects.iter().cycle().take(60) {
            // The first ones open connections and caches.
            timed(&client, url, body).await;
        }
        // In turns, so that what disturbs the machine disturbs each alike; several at a time, for what a recorded call leaves
        // behind in Postgres and in the process is its own, and not the next one's.
        while times[0].len() < rounds {
            for ((url, body), times) in subjects.iter().zip(&mut times) {
                for _ in 0..TURN.min(rounds) {
                    times.push(timed(&client, url, body).await);
                }
            }
        }
    });
    let [direct, recorded, unrecorded] = times.map(|mut times| {
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        [at(50), at(99)]
    });
    let row = |times: [Duration; 2]| times.map(shown);
    table.row("a synchronous call, directly", &row(direct));
    added(
        table,
        "  added by the service, with the durable record",
        recorded,
        direct,
        Duration::from_millis(3),
    );
    added(
        table,
        "  added by the service, without it (`durable: false`)",
        unrecorded,
        direct,
        Duration::from_micros(440),
    );
}

fn added(
    table: &mut Table,
    what: &str,
    with: [Duration; 2],
    without: [Duration; 2],
    most: Duration,
) {
    let added = [
        with[0].saturating_sub(without[0]),
        with[1].saturating_sub(without[1]),
    ];
    let target = format!("p50 at most {}", shown(most));
    table.judged(what, added.map(shown), &target, added[0] <= most);
}

async fn timed(client: &Client, url: &str, body: &str) -> Duration {
    let begun = Instant::now();
    let request = client
        .post(url)
        .header("prefer", "wait=60")
        .body(body.to_owned());
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    let took = begun.elapsed();
    assert!(
        status == 200 && text.replace(' ', "").contains(VECTOR),
        "{status} {text}"
    );
    took
}
