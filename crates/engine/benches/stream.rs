//! 1 GiB from a provider to an artifact of the local store, as a run fetches it, against the shortest loop that also
//! hashes, writes and syncs. The provider is the simulator, in a process of its own.
//!
//! `cargo bench -p engine --bench stream`; with `-- --check` a missed target is a failure.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, stops where it stands, and has a client of its own to compare with"
)]

#[path = "../../runtime/src/objects.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the artifact store as it is; a fetch needs a part of it"
)]
mod objects;
#[path = "shared/table.rs"]
#[expect(dead_code, reason = "the other bench measures times in turns")]
mod table;

use engine::egress::{Allow, Policy};
use engine::flow::{FileSource, FileTask};
use engine::http::Http;
use engine::request::{Drawn, Request};
use objects::Objects;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use simulator::{Config, JobPlan, Simulator};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::{Mode, Table};
use uuid::Uuid;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const ROUNDS: usize = 5;
/// Of the loop's speed.
const LEAST_SHARE: f64 = 0.85;
/// Above what the process had before.
const MEMORY_MAX: u64 = 32 * 1_000_000;
/// Of parts, as a process has by default.
const MEMORY: usize = 256 * 1024 * 1024;
const KEY: &str = "sk-bench";

fn main() -> ExitCode {
    if let Some(bytes) = argument("--warm") {
        return touch(bytes);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match argument("--serve") {
        Some(bytes) => runtime.block_on(serve(bytes)),
        None => runtime.block_on(compare(Mode::read())),
    }
}

fn argument(name: &str) -> Option<u64> {
    let value = std::env::args().skip_while(|arg| arg != name).nth(1)?;
    value.parse().ok()
}

/// Takes so many bytes of memory and gives them back, in a process of its own. A virtual machine gets its memory when it
/// is first touched, which would be paid by whoever writes a file first, many times over.
fn warm(bytes: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let status = child
        .args(["--warm", &(bytes + bytes / 4).to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

fn touch(bytes: u64) -> ExitCode {
    let mut memory = vec![0_u8; usize::try_from(bytes).unwrap()];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
    ExitCode::SUCCESS
}

/// The provider: says where it is, and stays until its input ends.
async fn serve(bytes: u64) -> ExitCode {
    let config = Config {
        jobs: JobPlan {
            queue_ms: 0,
            run_ms: 0,
            content_bytes: Some(bytes),
            ..JobPlan::default()
        },
        ..Config::default()
    };
    let simulator = Simulator::start(config).await.unwrap();
    println!("{}", simulator.base_url());
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
    ended.await.unwrap();
    ExitCode::SUCCESS
}

/// The simulator in a process of its own; it ends with this value.
struct Provider {
    child: Child,
    content: String,
}

impl Provider {
    async fn start(client: &reqwest::Client, bytes: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", &bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut base = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut base)
            .unwrap();
        let jobs = format!("{}/videos", base.trim());
        let body = json!({"prompt": "a long film"}).to_string();
        let request = client
            .post(&jobs)
            .bearer_auth(KEY)
            .header("content-type", "application/json");
        let job = request
            .body(body)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let job: Value = serde_json::from_slice(&job).unwrap();
        Self {
            child,
            content: format!("{jobs}/{}/content", job["id"].as_str().unwrap()),
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Its input ends, and with it the process.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What one way of fetching took, round by round.
#[derive(Default)]
struct Taken(Vec<Duration>);

impl Taken {
    fn least(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    fn median(&self) -> Duration {
        let mut all = self.0.clone();
        all.sort();
        all.get(all.len() / 2).copied().unwrap_or_default()
    }
}

async fn compare(mode: Mode) -> ExitCode {
    let (bytes, rounds) = if mode.quick {
        (16 * MIB, 1)
    } else {
        (GIB, ROUNDS)
    };
    // The client of the engine installs what both need.
    let http = Http::new().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let provider = Provider::start(&client, bytes).await;
    // Not under /tmp, which may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut ours, mut bare, mut curl) = (Taken::default(), Taken::default(), Taken::default());
    let (mut memory, mut digests) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Whoever is first today is last tomorrow.
        for turn in 0..3 {
            clear(folder.path());
            warm(bytes);
            match (round + turn) % 3 {
                0 => {
                    let before = resident();
                    let begun = Instant::now();
                    digests.push(fetched(&http, &provider, folder.path()).await);
                    ours.0.push(begun.elapsed());
                    memory.push(peak().saturating_sub(before));
                }
                1 => {
                    let begun = Instant::now();
                    digests.push(looped(&client, &provider, folder.path()).await);
                    bare.0.push(begun.elapsed());
                }
                _ => {
                    let begun = Instant::now();
                    if curled(&provider, folder.path()) {
                        curl.0.push(begun.elapsed());
                    }
                }
            }
        }
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "not the same bytes");
    report(mode, bytes, [&ours, &bare, &curl], &memory)
}

fn report(mode: Mode, bytes: u64, [ours, bare, curl]: [&Taken; 3], memory: &[u64]) -> ExitCode {
    let title = format!(
        "{} MiB from the simulator to a file, {} rounds in turns",
        bytes / MIB,
        ours.0.len()
    );
    let mut table = Table::new(mode, &title, ["median", "best"]);
    let speed = |time: Duration| format!("{:.0} MB/s", bytes as f64 / 1e6 / time.as_secs_f64());
    let mut line =
        |what, taken: &Taken| table.beside(what, speed(taken.median()), speed(taken.least()));
    line(
        "fetch: guard, checks, digest, artifact store with fsync",
        ours,
    );
    line("  bare `reqwest` loop: digest, write, fsync", bare);
    if !curl.0.is_empty() {
        line("  `curl -o`: no digest, no fsync", curl);
    }
    let share = |a: Duration, b: Duration| b.as_secs_f64() / a.as_secs_f64();
    let median = share(ours.median(), bare.median());
    let best = share(ours.least(), bare.least());
    let texts = [median, best].map(|share| format!("{:.0} %", share * 100.0));
    table.judged(
        "  against the loop",
        texts,
        "at least 85 %",
        median >= LEAST_SHARE,
    );
    let most = memory.iter().max().copied().unwrap_or_default();
    let first = memory.first().copied().unwrap_or_default();
    let shown = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    table.judged(
        "memory: most above what it was before (first round, worst)",
        [shown(first), shown(most)],
        "at most 32 MB",
        most <= MEMORY_MAX,
    );
    table.finish()
}

/// As a run fetches it.
async fn fetched(http: &Http, provider: &Provider, folder: &Path) -> [u8; 32] {
    let task = FileTask {
        artifact: "video".to_owned(),
        idx: 0,
        source: FileSource::Request(Box::new(request(&provider.content))),
        accept: vec!["video/*".to_owned()],
        max_bytes: 2 * GIB,
        mime: None,
        content_type: Some("video/mp4".to_owned()),
        filename: None,
        wants_data_url: false,
        expires_at_ms: None,
        wrap: None,
        ok_status: Vec::new(),
    };
    let mut upload = Objects::folder(folder, MEMORY)
        .unwrap()
        .upload("run/video.0/1".to_owned());
    let fetched = http.fetch(&task, &mut upload).await.unwrap();
    upload.finish().await.unwrap();
    fetched.sha256
}

fn request(address: &str) -> Request {
    let allow = Allow {
        http: true,
        private: true,
    };
    Request {
        step: "download".to_owned(),
        method: "GET".to_owned(),
        url: address.parse().unwrap(),
        headers: vec![("Authorization".to_owned(), format!("Bearer {KEY}"))],
        body: None,
        timeout_ms: 60_000,
        max_bytes: 2 * GIB,
        submit: false,
        kept: false,
        trusted: true,
        proof: Default::default(),
        policy: Arc::new(Policy::public(allow)),
        drawn: Drawn {
            unix_ms: 0,
            seed: Uuid::nil(),
        },
    }
}

/// The baseline.
async fn looped(client: &reqwest::Client, provider: &Provider, folder: &Path) -> [u8; 32] {
    let mut answer = client
        .get(&provider.content)
        .bearer_auth(KEY)
        .send()
        .await
        .unwrap();
    let mut file = File::create(folder.join("bare")).unwrap();
    let mut digest = Sha256::new();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        digest.update(&chunk);
        file.write_all(&chunk).unwrap();
    }
    file.sync_all().unwrap();
    digest.finalize().into()
}

/// Whether there is a `curl` at all.
fn curled(provider: &Provider, folder: &Path) -> bool {
    let key = format!("Authorization: Bearer {KEY}");
    let mut curl = Command::new("curl");
    curl.args(["-sf", "--noproxy", "*", "-H", &key, "-o"])
        .arg(folder.join("curl"))
        .arg(&provider.content);
    match curl.status() {
        Ok(status) => {
            assert!(status.success(), "curl: {status}");
            true
        }
        Err(_) => false,
    }
}

fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let _ = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
    }
}

/// Bytes in memory now; the peak counts from here on. 0 where there is no `/proc`.
fn resident() -> u64 {
    // Linux: proc(5), `clear_refs`.
    let _ = fs::write("/proc/self/clear_refs", "5");
    status("VmRSS:")
}

fn peak() -> u64 {
    status("VmHWM:")
}

fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
