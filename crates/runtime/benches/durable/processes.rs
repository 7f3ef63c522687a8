//! The other processes of a measurement: this program again, in another role.

use crate::complete;
use crate::cpu;
use crate::ground::options;
use runtime::{Concurrency, Modelrow, Options};
use simulator::crowd::{Crowd, CrowdConfig};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A process of ours. It ends when its input does, or with this value.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    /// Its first line.
    pub(crate) said: String,
}

/// Starts this program in the role that `args` say, and waits until it is ready.
pub(crate) fn start(args: &[String]) -> Process {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(args)
        // As `deploy/modelrow.service` has it.
        .env("MIMALLOC_PURGE_DELAY", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut said).unwrap();
    assert!(!said.is_empty(), "{args:?} did not start");
    Process {
        input: child.stdin.take(),
        lines,
        child,
        said: said.trim().to_owned(),
    }
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Says a line, and waits for the answer.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        let mut said = String::new();
        self.lines.read_line(&mut said).unwrap();
        said.trim().to_owned()
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu::of(self.id())
    }

    /// Bytes of memory: `VmRSS` now, `VmHWM` at most so far.
    pub(crate) fn memory(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(which)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Ends it as its input's end does.
    pub(crate) fn end(mut self) {
        self.input.take();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What this process is to be, if it is not the measurement itself.
pub(crate) fn role() -> Option<Vec<String>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let roles = ["--provider", "--worker", "--serving", "--client"];
    args.first()
        .is_some_and(|first| roles.contains(&first.as_str()))
        .then_some(args)
}

pub(crate) async fn play(args: Vec<String>) {
    match args[0].as_str() {
        "--provider" => provider(&args).await,
        "--worker" => worker(&args).await,
        "--serving" => serving(&args).await,
        _ => client(&args).await,
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

async fn input_ends() {
    let lines = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
    lines.await.unwrap();
}

async fn provider(args: &[String]) {
    let crowd = Crowd::start(CrowdConfig {
        answer_after: Duration::from_millis(args[1].parse().unwrap()),
        content_bytes: args[2].parse().unwrap(),
        keep_polls: args[3].parse().unwrap(),
    });
    let crowd = crowd.await.unwrap();
    say(&crowd.base_url());
    input_ends().await;
}

async fn worker(args: &[String]) {
    let modelrow = works(args).await;
    say("ready");
    while line().is_some() {
        let [in_time, all] = polls_in_time(&modelrow.metrics().await);
        say(&format!("{in_time} {all}"));
    }
    modelrow.shutdown(Duration::from_secs(5)).await;
}

/// Polls that were at most 250 ms late, and all.
fn polls_in_time(metrics: &str) -> [u64; 2] {
    let names = ["bucket{le=\"0.25\"}", "count"];
    names.map(|name| {
        let name = format!("modelrow_poll_late_seconds_{name} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap().parse().unwrap()
    })
}

/// What this process is asked next.
fn line() -> Option<String> {
    let next = || std::io::stdin().lines().next();
    tokio::task::block_in_place(next).map(Result::unwrap)
}

async fn works(args: &[String]) -> Modelrow {
    let concurrency = Concurrency {
        submits: args[3].parse().unwrap(),
        polls: args[4].parse().unwrap(),
        fetches: args[5].parse().unwrap(),
    };
    let started = Modelrow::start(Options {
        concurrency,
        // By this its row is found.
        build: format!("bench {}", std::process::id()),
        ..options(&args[1], &args[2])
    });
    started.await.unwrap()
}

/// A worker that is called, too, as `modelrow serve` is. For each line, which says so many seconds, it answers how many runs
/// came to their end.
async fn serving(args: &[String]) {
    let modelrow = Arc::new(works(args).await);
    say("ready");
    while let Some(seconds) = line() {
        let time = Duration::from_secs(seconds.parse().unwrap());
        say(&complete::runs(&modelrow, time).await.to_string());
    }
    Modelrow::clone(&modelrow)
        .shutdown(Duration::from_secs(5))
        .await;
}

/// The shortest client: so many requests at a time for so many seconds, each answer read as JSON. Says how many, and its
/// processor time in microseconds.
async fn client(args: &[String]) {
    let (url, at_once, seconds) = (
        args[1].clone(),
        args[2].parse().unwrap(),
        args[3].parse().unwrap(),
    );
    let client = reqwest::Client::builder().build().unwrap();
    let before = cpu::of(std::process::id());
    let (done, ends) = (
        Arc::new(AtomicU64::new(0)),
        Instant::now() + Duration::from_secs(seconds),
    );
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let (client, url, done) = (client.clone(), url.clone(), Arc::clone(&done));
        loops.spawn(async move {
            while Instant::now() < ends {
                let answer = client
                    .get(&url)
                    .bearer_auth("crowd-key")
                    .send()
                    .await
                    .unwrap();
                let bytes = answer.bytes().await.unwrap();
                let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                assert!(value["status"].is_string());
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    loops.join_all().await;
    let spent = cpu::of(std::process::id()) - before;
    say(&format!(
        "{} {}",
        done.load(Ordering::Relaxed),
        spent.as_micros()
    ));
}
