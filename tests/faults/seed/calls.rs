//! How a seed's run is made: by a backend beside the workers, or by a worker that is called.

use super::Seed;
use crate::bundle::Model;
use crate::lane::texts;
use crate::scenario::GIF;
use reqwest::{Client, StatusCode};
use runtime::{InputMedium, Modelrow, RunRequest};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Nobody waits longer for an answer: the worker may be frozen.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

impl Seed<'_> {
    /// By the library, beside the workers.
    pub(super) async fn called(&self, caller: &Modelrow, tag: &str) -> Result<Uuid, String> {
        let scenario = &self.choice.scenario;
        let mut request = RunRequest::new(scenario.model.purpose())
            .prompt(scenario.prompt(tag))
            .idempotency_key(tag.to_owned());
        if scenario.name == "too-late" {
            request.start_by = Some(caller.now() + Duration::from_millis(1_500));
        }
        if scenario.model == Model::Pictured {
            request = request.input("picture", InputMedium::file("cat.gif", GIF));
        }
        let mut last = String::new();
        for _ in 0..100 {
            match caller.run_profile(request.clone()).await {
                Ok(run) => return Ok(run.id()),
                Err(error) => last = format!("{error}: {:?}", error.diagnostics()),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("the call is refused: {last}"))
    }

    /// Asks one worker after the other until one has answered, as clients do: with the same key.
    #[expect(
        clippy::disallowed_methods,
        reason = "a client as others have it, that calls us"
    )]
    pub(super) async fn called_at_a_worker(&mut self) -> Result<Uuid, String> {
        self.until_they_work().await?;
        let client = Client::builder().no_proxy().timeout(PATIENCE).build();
        let client = client.map_err(|error| error.to_string())?;
        let scenario = self.choice.scenario;
        let body =
            json!({"purpose": scenario.model.purpose(), "prompt": scenario.prompt(&self.tag)});
        let mut last = String::new();
        for n in 0..100 {
            let there: Vec<SocketAddr> = (self.workers.iter().filter(|one| !one.dismissed))
                .filter_map(|one| one.address)
                .collect();
            if let Some(address) = there.get(n % there.len().max(1)) {
                let asked = asked(client.clone(), *address, self.tag.clone(), body.clone());
                match self.meanwhile(asked).await {
                    Ok(run) => return Ok(run),
                    Err(why) => last = why,
                }
            }
            self.meanwhile(tokio::time::sleep(PAUSE)).await;
            self.watch_over().await?;
        }
        Err(format!("the call is refused: {last}"))
    }

    /// A worker claims what it makes once it has its lease.
    async fn until_they_work(&mut self) -> Result<(), String> {
        let leases = "select worker_id::text from workers where expires_at > now()";
        let begun = Instant::now();
        while begun.elapsed() < super::LIMIT {
            let alive = texts(&self.url(), leases).await.unwrap_or_default();
            if alive.len() >= 2 {
                return Ok(());
            }
            self.meanwhile(tokio::time::sleep(PAUSE)).await;
            self.watch_over().await?;
        }
        Err("the workers do not come to work".into())
    }

    /// Strikes who comes to a point while something else goes on.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return done,
                stopped = self.control.accept() => {
                    if let Ok((stopped, _)) = stopped { self.stopped(stopped).await; }
                }
            }
        }
    }
}

async fn asked(client: Client, at: SocketAddr, key: String, body: Value) -> Result<Uuid, String> {
    let post = client.post(format!("http://{at}/v1/runs"));
    let sent = post
        .header("idempotency-key", key)
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = sent.send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| error.to_string())?;
    let read: Value = serde_json::from_str(&text).unwrap_or_default();
    let run = read["id"].as_str();
    match (status, run.and_then(|id| id.parse().ok())) {
        (StatusCode::ACCEPTED | StatusCode::OK, Some(run)) => Ok(run),
        _ => Err(format!("{status}: {text}")),
    }
}
