//! Many clients that make runs and read them, a kill -9 in the middle, and what becomes of every run that was promised.

use crate::Size;
use crate::ground::{Ground, Service, call};
use crate::table::Table;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const CLIENTS: usize = 64;

/// What a client was promised: a key, and the run that it made.
type Promise = (String, String);

pub(crate) fn measure(ground: &Ground, size: Size, table: &mut Table, runtime: &Runtime) {
    let time = Duration::from_secs(size.pick(2, 20, 60));
    let mut service = ground.serve(&[]);
    runtime.block_on(async {
        let _warm = clients(ground, &service.url, time / 4, None).await;
    });
    let before = service.process.memory();
    let calm = runtime.block_on(clients(ground, &service.url, time, None));
    let after = service.process.memory();
    let grown = (after as f64 - before as f64) / 1024.0 / 1024.0;
    let rate = calm.len() as f64 / time.as_secs_f64();
    table.beside(
        "64 clients: runs made a second, each read twice; errors",
        format!("{rate:.0}"),
        "0",
    );
    table.judged(
        "  memory grown meanwhile, MiB",
        [format!("{grown:.1}"), String::new()],
        "at most 32 and a tenth",
        grown <= 32.0_f64.max(before as f64 / 1024.0 / 1024.0 / 10.0),
    );

    let killed = Arc::new(AtomicBool::new(false));
    let url = service.url.clone();
    let mut promised = runtime.block_on(async {
        let half = clients(ground, &url, time / 2, Some(Arc::clone(&killed)));
        let kill = async {
            tokio::time::sleep(time / 4).await;
            killed.store(true, Ordering::SeqCst);
            service.process.kill();
        };
        tokio::join!(half, kill).0
    });
    let service = ground.serve(&[]);
    let ended = runtime.block_on(all_end(ground, &service, &mut promised));
    table.judged(
        "kill -9 in the middle: promised runs, and those that ended",
        [promised.len().to_string(), ended.to_string()],
        "all",
        promised.len() == ended,
    );
    let same = runtime.block_on(keys_answer(ground, &service, &promised));
    table.judged(
        "  a key repeated afterwards answers with the same run",
        [String::new(), same.to_string()],
        "all",
        promised.len() == same,
    );
}

/// Makes runs and reads them; what was promised. A failed call is an error unless the service was `killed`.
async fn clients(
    ground: &Ground,
    service_url: &str,
    time: Duration,
    killed: Option<Arc<AtomicBool>>,
) -> Vec<Promise> {
    let ends = Instant::now() + time;
    let client = ground.client();
    let mut all = JoinSet::new();
    for number in 0..CLIENTS {
        let (client, url, killed) = (client.clone(), service_url.to_owned(), killed.clone());
        let name = format!("{:?}-{number}", ends);
        all.spawn(async move {
            let mut promised = Vec::new();
            while Instant::now() < ends {
                let key = format!("{name}-{}", promised.len());
                match round(&client, &url, &key).await {
                    Ok(run) => promised.push((key, run)),
                    Err(_)
                        if killed
                            .as_ref()
                            .is_some_and(|killed| killed.load(Ordering::SeqCst)) =>
                    {
                        break;
                    }
                    Err(why) => panic!("{why}"),
                }
            }
            promised
        });
    }
    all.join_all().await.into_iter().flatten().collect()
}

/// One run made and read; the run, once it was promised.
async fn round(client: &Client, url: &str, key: &str) -> Result<String, String> {
    let (status, run) = create(client, url, key).await?;
    if !matches!(status, StatusCode::ACCEPTED | StatusCode::OK) {
        return Err(format!("{status}: {run}"));
    }
    let id = run["id"].as_str().unwrap_or_default().to_owned();
    // It was promised, whatever becomes of the reads.
    for path in [format!("/v1/runs/{id}"), "/v1/runs?limit=5".to_owned()] {
        let read = client.get(format!("{url}{path}")).send().await;
        let Ok(read) = read else { return Ok(id) };
        if read.status() != 200 {
            return Err(format!("{path}: {}", read.status()));
        }
        if read.bytes().await.is_err() {
            return Ok(id);
        }
    }
    Ok(id)
}

async fn create(client: &Client, url: &str, key: &str) -> Result<(StatusCode, Value), String> {
    let call = client
        .post(format!("{url}/v1/runs"))
        .header("idempotency-key", key)
        .body(call("recorded"));
    let answer = call.send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(|error| error.to_string())?;
    Ok((
        status,
        serde_json::from_slice(&body).map_err(|error| error.to_string())?,
    ))
}

/// How many of the promised runs have ended within two minutes; a submit that a kill cut may be an unknown outcome, which ends too.
async fn all_end(ground: &Ground, service: &Service, promised: &mut [Promise]) -> usize {
    let client = ground.client();
    let until = Instant::now() + Duration::from_secs(180);
    let mut ended = 0;
    for (_, run) in promised {
        loop {
            let read = client
                .get(format!("{}/v1/runs/{run}", service.url))
                .send()
                .await
                .unwrap();
            let body: Value = serde_json::from_slice(&read.bytes().await.unwrap()).unwrap();
            if !body["ended_at"].is_null() {
                ended += 1;
                break;
            }
            if Instant::now() > until {
                println!("  {run}: {} {}", body["state"], body["failure"]);
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    ended
}

async fn keys_answer(ground: &Ground, service: &Service, promised: &[Promise]) -> usize {
    let client = ground.client();
    let mut same = 0;
    for (key, run) in promised {
        let (_, again) = create(&client, &service.url, key).await.unwrap();
        same += usize::from(again["id"] == run.as_str());
    }
    same
}
