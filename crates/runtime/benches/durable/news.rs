//! How soon a row that was inserted with SQL serves on every node.

use crate::Size;
use crate::ground::{Ground, call};
use crate::table::Table;
use simulator::crowd::CrowdConfig;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const NODES: usize = 4;

pub(crate) async fn measure(size: Size, table: &mut Table) {
    let rows = size.pick(3, 30, 100);
    let ground = Ground::new(CrowdConfig {
        answer_after: Duration::ZERO,
        content_bytes: 1,
        keep_polls: false,
    });
    let ground = ground.await;
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(ground.library().await);
    }
    let mut times = Vec::new();
    for n in 0..rows {
        let key = format!("crowd_new_{n}");
        let begun = Instant::now();
        ground.sql(&INSERT.replace("KEY", &key)).await;
        let request = call("quick", 0).profile_key(&key);
        for node in &nodes {
            while node.plan(&request).await.is_err() {
                sleep(Duration::from_millis(2)).await;
            }
        }
        times.push(begun.elapsed());
    }
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let shown = |time: Duration| format!("{} ms", time.as_millis());
    let what = format!("from insert to first use on {NODES} nodes, {rows} rows: p50, p99");
    table.judged(
        &what,
        [shown(at(50)), shown(at(99))],
        "at most 1 s",
        at(99) <= Duration::from_secs(1),
    );
}

/// As an administrator with `psql` would.
const INSERT: &str = "
insert into model_api_profiles select (jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid(), 'profile_key', 'KEY'))).*
    from model_api_profiles p where p.profile_key = 'crowd_quick'";
