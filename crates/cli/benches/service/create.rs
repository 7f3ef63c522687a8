//! `POST /v1/runs` a second, against `pgbench` with the same insert.

use crate::Size;
use crate::ground::{Ground, call};
use crate::table::Table;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const CLIENTS: usize = 32;

pub(crate) fn measure(ground: &Ground, size: Size, table: &mut Table, runtime: &Runtime) {
    let time = Duration::from_secs(size.pick(1, 10, 30));
    // Nobody works: what is made stays in the queue.
    let service = ground.serve(&["--no-work"]);
    let url = format!("{}/v1/runs", service.url);
    let made = runtime.block_on(created(ground, &url, time));
    let rate = made as f64 / time.as_secs_f64();
    drop(service);
    let Some(bare) = pgbench(ground, time, runtime) else {
        table.beside(
            "`POST /v1/runs` a second; pgbench is not on the PATH: no baseline",
            "",
            format!("{rate:.0}"),
        );
        return;
    };
    table.beside(
        "pgbench with the same insert, a second",
        "",
        format!("{bare:.0}"),
    );
    let share = 100.0 * rate / bare;
    table.judged(
        "  `POST /v1/runs` a second, and its share",
        [format!("{rate:.0}"), format!("{share:.0} %")],
        "at least 40 %",
        share >= 40.0,
    );
}

async fn created(ground: &Ground, url: &str, time: Duration) -> u64 {
    let ends = Instant::now() + time;
    let mut clients = JoinSet::new();
    let client = ground.client();
    for _ in 0..CLIENTS {
        let (client, url) = (client.clone(), url.to_owned());
        clients.spawn(async move {
            let mut made = 0;
            while Instant::now() < ends {
                let answer = client
                    .post(&url)
                    .body(call("recorded"))
                    .send()
                    .await
                    .unwrap();
                assert_eq!(answer.status(), 202);
                answer.bytes().await.unwrap();
                made += 1;
            }
            made
        });
    }
    clients.join_all().await.into_iter().sum()
}

/// `None`: `pgbench` is not on the path.
fn pgbench(ground: &Ground, time: Duration, runtime: &Runtime) -> Option<f64> {
    use sqlx::{Connection as _, Row as _};
    let names = runtime.block_on(async {
        let mut connection = sqlx::PgConnection::connect(&ground.postgres.owner_url()).await.unwrap();
        let row = sqlx::raw_sql("select tenant_id::text, credential_id::text, encode(revision_id, 'hex') from run_states limit 1");
        let row = row.fetch_one(&mut connection).await.unwrap();
        ["tenant", "credential", "revision"]
            .into_iter()
            .enumerate()
            .map(|(i, name)| format!("{name}={}", row.get::<String, _>(i)))
            .collect::<Vec<_>>()
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/service/insert.sql");
    let mut command = Command::new("pgbench");
    command.args([
        "-n",
        "-M",
        "prepared",
        "-j",
        "2",
        "-c",
        &CLIENTS.to_string(),
    ]);
    command.args(["-T", &time.as_secs().to_string(), "-f", script]);
    for name in &names {
        command.args(["-D", name]);
    }
    let out = command.arg(ground.postgres.owner_url()).output().ok()?;
    let text = String::from_utf8(out.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("tps = "));
    let tps = line.and_then(|line| line.split_whitespace().nth(2)?.parse().ok());
    assert!(
        tps.is_some(),
        "{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    tps
}
