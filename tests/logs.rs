//! The log of the program, read by a program.

use super::{Served, migrated, top};
use serde_json::{Value, json};
use simulator::{Action, Config, Cut, JobPlan, Operation, Rule, Scripted, Simulator};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Lines of our crates that are about no run, by how they begin. What is not among them says whose it is.
const OF_NO_RUN: [&str; 8] = [
    "the catalogue",
    "shards taken over",
    "swept",
    "task ended",
    "a connection",
    "callbacks wait",
    "no hints",
    "others find out",
];
const LIMIT: Duration = Duration::from_secs(60);

/// Five runs: one succeeds, one fails at the provider, one is refused, of one nobody knows, one gets its file the second time.
fn script() -> Vec<Rule> {
    let refused = Scripted::json(
        400,
        json!({"error": {"message": "hidden words", "code": "bad"}}),
    );
    vec![
        Rule::on(Operation::Create, Action::Answer(refused)).nth(3),
        Rule::on(Operation::Create, Action::Cut(Cut::AfterAccepting)).nth(4),
        Rule::on(
            Operation::Content,
            Action::ServerError {
                status: 503,
                after_accepting: false,
            },
        )
        .nth(1),
    ]
}

fn apply(folder: &Path, database: &str, provider: &Simulator) {
    let text = fs::read_to_string(top().join("crates/server/tests/api/acme.json")).unwrap();
    let text = text.replace("http://127.0.0.1:1/v1", &provider.base_url());
    fs::write(folder.join("bundle.json"), text).unwrap();
    let applied = Command::new(env!("CARGO_BIN_EXE_modelrow"))
        .args(["profile", "apply", "bundle.json"])
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("MODELROW_DATA", folder.join("data"))
        .env("DATABASE_URL", database)
        .output()
        .unwrap();
    assert!(applied.status.success(), "{applied:?}");
}

impl Served {
    fn post(&self, path: &str, body: &Value) -> Value {
        let mut tcp = TcpStream::connect(&self.address).unwrap();
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        tcp.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    fn lines(&self) -> Vec<Value> {
        let logged = self.logged.lock().unwrap();
        let read = |line: &String| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        logged
            .iter()
            .filter(|line| line.starts_with('{'))
            .map(read)
            .collect()
    }

    /// Waits until a line about the run says so.
    fn hears(&self, run: &str, message: &str) {
        let begun = Instant::now();
        let said = |line: &Value| {
            line["run.id"] == run
                && line["message"]
                    .as_str()
                    .is_some_and(|text| text.contains(message))
        };
        while !self.lines().iter().any(said) {
            assert!(
                begun.elapsed() < LIMIT,
                "`{message}` is not said of {run}: {:#?}",
                self.lines()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_line_about_a_run_has_its_id_and_none_says_what_was_asked() {
    let folder = tempfile::Builder::new().prefix("mr").tempdir().unwrap();
    let server = migrated(folder.path()).await;
    let wire = json!({"models": {"reel-1": {"sizes": ["720x1280"], "seconds": ["4", "8"]}}});
    let jobs = JobPlan {
        run_ms: 600,
        ..JobPlan::default()
    };
    let provider = Simulator::start(Config {
        jobs,
        wire,
        ..Config::default()
    })
    .await
    .unwrap();
    provider.script(script());
    tokio::task::block_in_place(|| {
        apply(folder.path(), &server.url(), &provider);
        let options = [
            "--no-auth",
            "--log-format",
            "json",
            "--log",
            "runtime=trace,server=trace,engine=trace,store=trace",
        ];
        let served = Served::start_with(folder.path(), &server.url(), &options);
        let make = |prompt: &str| {
            let call = json!({"purpose": "video", "prompt": prompt, "params": {"seconds": 8}});
            let made = served.post("/v1/runs", &call);
            let id = made["id"].as_str().map(str::to_owned);
            id.unwrap_or_else(|| panic!("no run: {made}"))
        };
        // One after the other, so that the script meets them in their order.
        let good = make("a hidden cat");
        served.hears(&good, "let go");
        let bad = make("spongebob");
        served.hears(&bad, "not accepted");
        let refused = make("another hidden cat");
        served.hears(&refused, "not accepted");
        let unknown = make("a lost hidden cat");
        served.hears(&unknown, "the outcome of the submit is unknown");

        let runs: BTreeSet<String> = [good, bad, refused, unknown].into();
        let lines = served.lines();
        for line in &lines {
            let text = line.to_string();
            for hidden in ["hidden", "spongebob"] {
                assert!(!text.contains(hidden), "{text}");
            }
            let message = line["message"].as_str().unwrap_or_default();
            let of_none = OF_NO_RUN.iter().any(|begins| message.starts_with(begins));
            let run = line["run.id"].as_str();
            assert!(
                of_none || run.is_some_and(|run| runs.contains(run)),
                "of no run: {text}"
            );
            assert!(
                line["timestamp"].is_string()
                    && line["level"].is_string()
                    && line["target"].is_string(),
                "{text}"
            );
        }
        served.stop();
    });
}
