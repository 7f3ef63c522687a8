//! The program as a process: each file of `tests/cases/` is one story.
//!
//! A story is a list of commands in one folder with one private database and,
//! if it says so, one simulated provider. Every command says how it must end,
//! and what it must and must not print.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

mod logs;

use serde::Deserialize;
use serde_json::Value;
use simulator::{Config, Simulator};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use store::Store;
use store::embedded::{Embedded, Options};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    /// What it shows.
    #[serde(rename = "why")]
    _why: String,
    /// Script of the simulated provider; its address is `{simulator}` in arguments.
    #[serde(default)]
    simulator: Option<Value>,
    /// One server for all its commands, as `DATABASE_URL`; without it each starts the private one.
    #[serde(default)]
    one_server: bool,
    /// Files to write first: a text as it is, anything else as JSON.
    #[serde(default)]
    files: BTreeMap<String, Value>,
    commands: Vec<Step>,
    /// Requests that the provider must have received in all, by method and path.
    #[serde(default)]
    received: Option<BTreeMap<String, usize>>,
    /// How the prompts of the accepted jobs must begin, in their order.
    #[serde(default)]
    prompts: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// What it reads on standard input; nothing without it.
    #[serde(default)]
    stdin: String,
    exit: i32,
    #[serde(default)]
    stdout_has: Vec<String>,
    #[serde(default)]
    stderr_has: Vec<String>,
    /// In neither of the two.
    #[serde(default)]
    never: Vec<String>,
    /// JSON Pointers into standard output, and what stands there.
    #[serde(default)]
    json: BTreeMap<String, Value>,
    /// Texts of standard output to be remembered: `{name}` stands for them in later arguments.
    #[serde(default)]
    remember: BTreeMap<String, String>,
    /// Files that must be there afterwards, with their first bytes at an offset.
    #[serde(default)]
    files: BTreeMap<String, String>,
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// What `{name}` stands for in arguments.
type Known = BTreeMap<String, String>;

/// A text with what it names.
fn fill(text: &str, known: &Known) -> String {
    let filled = |text: String, (name, value): (&String, &String)| {
        text.replace(&format!("{{{name}}}"), value)
    };
    known.iter().fold(text.to_owned(), filled)
}

fn program(folder: &Path, step: &Step, known: &Known, database: Option<&str>) -> Output {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(step.stdin.as_bytes()).unwrap();
    input.rewind().unwrap();
    Command::new(env!("CARGO_BIN_EXE_modelrow"))
        .args(step.args.iter().map(|text| fill(text, known)))
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("MODELROW_DATA", folder.join("data"))
        .envs(database.map(|url| ("DATABASE_URL", url)))
        .envs(&step.env)
        .stdin(input)
        .output()
        .unwrap()
}

fn check(
    (name, number): (&str, usize),
    step: &Step,
    output: &Output,
    folder: &Path,
    known: &mut Known,
) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let what = format!(
        "{name}, command {number} {:?}\nstdout: {stdout}\nstderr: {stderr}\n",
        step.args
    );
    assert_eq!(output.status.code(), Some(step.exit), "exit code of {what}");
    for text in &step.stdout_has {
        assert!(
            stdout.contains(&fill(text, known)),
            "no `{text}` on standard output of {what}"
        );
    }
    for text in &step.stderr_has {
        assert!(
            stderr.contains(&fill(text, known)),
            "no `{text}` on standard error of {what}"
        );
    }
    for text in &step.never {
        let text = &fill(text, known);
        assert!(
            !stdout.contains(text) && !stderr.contains(text),
            "`{text}` was printed by {what}"
        );
    }
    assert!(!stderr.contains("panicked"), "a panic in {what}");
    if !step.json.is_empty() {
        let document: Value = serde_json::from_str(&stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {what}"));
        for (pointer, want) in &step.json {
            let want = match want {
                Value::String(text) => Value::String(fill(text, known)),
                other => other.clone(),
            };
            assert_eq!(
                document.pointer(pointer),
                Some(&want),
                "at `{pointer}` of {what}"
            );
        }
    }
    step.remember.iter().for_each(|(name, pointer)| {
        let document: Value = serde_json::from_str(&stdout).unwrap_or_default();
        let found = document.pointer(pointer).and_then(Value::as_str);
        let text = found.unwrap_or_else(|| panic!("no text at `{pointer}` of {what}"));
        known.insert(name.clone(), text.to_owned());
    });
    for (file, holds) in &step.files {
        let bytes =
            fs::read(folder.join(file)).unwrap_or_else(|error| panic!("`{file}`: {error}: {what}"));
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).into_owned();
        assert!(
            head.contains(holds),
            "`{file}` does not begin with `{holds}`: {what}"
        );
    }
}

fn server(folder: &Path) -> Embedded {
    let options = Options::default_for_user(|name| std::env::var_os(name)).unwrap();
    let options = Options {
        data_dir: folder.join("data"),
        fsync: false,
        ..options
    };
    Embedded::start(&options, &mut |_| {}).unwrap()
}

async fn migrated(folder: &Path) -> Embedded {
    let server = tokio::task::block_in_place(|| server(folder));
    Store::migrate(&server.owner_url()).await.unwrap();
    server
}

async fn play(path: &Path) {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let story: Story =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let folder = tempfile::Builder::new().prefix("mr").tempdir().unwrap();
    let config = story
        .simulator
        .clone()
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let config: Config =
        serde_json::from_value(config).unwrap_or_else(|error| panic!("{name}: {error}"));
    let simulator = Simulator::start(config).await.unwrap();
    for (file, content) in &story.files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(
            path,
            content
                .as_str()
                .map_or_else(|| content.to_string(), str::to_owned),
        )
        .unwrap();
    }
    let server = match story.one_server {
        true => Some(migrated(folder.path()).await),
        false => None,
    };
    let database = server.as_ref().map(Embedded::url);
    let mut known = Known::from([
        ("simulator".to_owned(), simulator.base_url()),
        ("top".to_owned(), top().display().to_string()),
    ]);
    for (number, step) in story.commands.iter().enumerate() {
        let place = folder.path();
        let output =
            tokio::task::block_in_place(|| program(place, step, &known, database.as_deref()));
        check((&name, number + 1), step, &output, place, &mut known);
    }
    drop(server);
    if let Some(want) = &story.received {
        let mut received: BTreeMap<String, usize> = BTreeMap::new();
        for entry in simulator.ledger() {
            *received
                .entry(format!("{} {}", entry.method, entry.path))
                .or_default() += 1;
        }
        let got: BTreeMap<String, usize> = want
            .keys()
            .map(|key| (key.clone(), received.get(key).copied().unwrap_or(0)))
            .collect();
        assert_eq!(
            &got, want,
            "{name}: what the provider received: {received:?}"
        );
    }
    if let Some(want) = &story.prompts {
        let got: Vec<_> = simulator
            .accepted_jobs()
            .into_iter()
            .map(|job| job.prompt)
            .collect();
        let fits = got.len() == want.len()
            && got
                .iter()
                .zip(want)
                .all(|(have, start)| have.starts_with(start));
        assert!(
            fits,
            "{name}: the prompts must begin with {want:?}: {got:?}"
        );
    }
    simulator.stop();
}

/// Every story, or those whose name holds `MODELROW_STORY`.
#[expect(clippy::disallowed_methods, reason = "for people at work on one story")]
fn stories() -> Vec<PathBuf> {
    let mut stories: Vec<_> = fs::read_dir(top().join("tests/cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    stories.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    assert!(
        stories.len() >= 5,
        "only {} stories were found",
        stories.len()
    );
    let only = std::env::var("MODELROW_STORY").unwrap_or_default();
    stories.retain(|path| path.to_string_lossy().contains(&only));
    stories.sort();
    stories
}

/// Two at a time: each waits for its provider most of the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_story_ends_as_its_file_says() {
    let places = Arc::new(Semaphore::new(2));
    let mut playing = JoinSet::new();
    for story in stories() {
        let places = Arc::clone(&places);
        playing.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            let begun = Instant::now();
            play(&story).await;
            eprintln!(
                "{:5.1} s {}",
                begun.elapsed().as_secs_f64(),
                story.display()
            );
        });
    }
    let mut broken = 0;
    while let Some(ended) = playing.join_next().await {
        // What was wrong has been printed by the story itself.
        broken += usize::from(ended.is_err());
    }
    assert_eq!(broken, 0, "stories that ended otherwise");
}

/// `modelrow serve` on a port of its own.
struct Served {
    process: Child,
    /// Every line of standard error until it listened.
    told: Vec<String>,
    /// Those that came later.
    logged: Arc<Mutex<Vec<String>>>,
    address: String,
}

impl Served {
    /// Waits for the line that names the address.
    fn start(folder: &Path, database: &str, options: &[&str]) -> Self {
        Self::start_with(folder, database, &[&["--no-work"], options].concat())
    }

    /// The same, at work.
    fn start_with(folder: &Path, database: &str, options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_modelrow"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(options)
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .env("MODELROW_DATA", folder.join("data"))
            .env("MODELROW_LOG", "trace")
            .env("DATABASE_URL", database)
            .env("ACME_KEY", "sk-hidden")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut told = Vec::new();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            let found = line
                .split_once("listens on http://")
                .map(|(_, rest)| rest.trim_end_matches("/v1").to_owned());
            told.push(line);
            if let Some(address) = found {
                break address;
            }
        };
        // Whatever else it logs must not fill the pipe.
        let logged: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&logged);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self {
            process,
            told,
            logged,
            address,
        }
    }

    /// Status line of `GET path`.
    fn status(&self, path: &str, key: Option<&str>) -> String {
        let mut tcp = TcpStream::connect(&self.address).unwrap();
        let key = key.map_or_else(String::new, |key| {
            format!("Authorization: Bearer {key}\r\n")
        });
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{key}\r\n");
        tcp.write_all(request.as_bytes()).unwrap();
        let mut status = String::new();
        BufReader::new(tcp).read_line(&mut status).unwrap();
        status.trim_end().to_owned()
    }

    /// Lines that are a key and nothing else.
    fn keys(&self) -> Vec<&String> {
        self.told
            .iter()
            .filter(|line| line.starts_with("mrk_"))
            .collect()
    }

    fn stop(mut self) {
        let told = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        assert!(told.unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_serve_prints_an_operators_key_once_and_logs_it_never() {
    let folder = tempfile::Builder::new().prefix("mr").tempdir().unwrap();
    let server = migrated(folder.path()).await;
    let url = server.url();
    tokio::task::block_in_place(|| {
        let first = Served::start(folder.path(), &url, &[]);
        let [key] = first.keys()[..] else {
            panic!("one key: {:?}", first.told);
        };
        let holding = first.told.iter().filter(|line| line.contains(&key[12..]));
        assert_eq!(
            holding.count(),
            1,
            "no other line holds it: {:?}",
            first.told
        );
        assert_eq!(
            first.status("/admin/v1/tenants", Some(key)),
            "HTTP/1.1 200 OK"
        );
        assert_eq!(first.status("/v1/runs", None), "HTTP/1.1 401 Unauthorized");
        let key = key.clone();
        first.stop();
        let second = Served::start(folder.path(), &url, &[]);
        assert_eq!(second.keys(), Vec::<&String>::new(), "it is shown once");
        assert_eq!(second.status("/v1/runs", Some(&key)), "HTTP/1.1 200 OK");
        second.stop();
        let local = Served::start(folder.path(), &url, &["--no-auth"]);
        assert_eq!(local.status("/v1/runs", None), "HTTP/1.1 200 OK");
        local.stop();
    });
}
