//! What every part stands on: Postgres, a provider, rows, a key, and the program.

use reqwest::Client;
use serde_json::{Value, json};
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use store::embedded::{Embedded, Options as PgOptions};

const PROGRAM: &str = env!("CARGO_BIN_EXE_modelrow");

pub(crate) struct Ground {
    pub(crate) postgres: Embedded,
    _provider: Process,
    pub(crate) provider_url: String,
    /// Of a caller.
    pub(crate) key: String,
    folder: tempfile::TempDir,
}

/// A process of the program; it ends with this value.
pub(crate) struct Process(Child);

/// The service as it listens.
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) url: String,
    /// From the start of the process to its first `/readyz` that says yes.
    pub(crate) ready_after: Duration,
}

impl Process {
    /// Bytes of memory that it holds now.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }

    /// As the kernel kills it.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ground {
    pub(crate) fn new() -> Self {
        // Sets what the clients of this process encrypt with.
        let _ = engine::http::Http::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let found = PgOptions::default_for_user(|name| std::env::var_os(name)).unwrap();
        let options = PgOptions {
            data_dir: folder.path().join("pg"),
            ..found
        };
        let postgres = Embedded::start(&options, &mut |_| {}).unwrap();
        let file = |name: &str, value: &Value| {
            std::fs::write(folder.path().join(name), value.to_string()).unwrap();
        };
        file("script.json", &script());
        file("bundle.json", &bundle());
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut simulate = Command::new(PROGRAM);
        simulate.args(["simulate", "--listen", &listen, "--script"]);
        simulate.arg(folder.path().join("script.json"));
        let provider_url = format!("http://{listen}/v1");
        let mut ground = Self {
            _provider: Process(quiet(&mut simulate).spawn().unwrap()),
            key: String::new(),
            provider_url,
            postgres,
            folder,
        };
        let begun = Instant::now();
        while std::net::TcpStream::connect(&listen).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the provider never listens"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        ground.say(&["migrate"]);
        let endpoint = ground.provider_url.clone();
        ground.say(&[
            "profile",
            "apply",
            "bundle.json",
            "--endpoint",
            &endpoint,
            "--allow-private",
        ]);
        let made = ground.say(&["key", "create", "--role", "caller", "--json"]);
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        made["key"].as_str().unwrap().clone_into(&mut ground.key);
        ground
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn program(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .current_dir(self.folder())
            .env("DATABASE_URL", self.postgres.owner_url())
            .env("MODELROW_DATA", self.folder().join("data"))
            .env("SPEED_KEY", "sk-speed");
        command
    }

    /// One command of the program, which must succeed.
    pub(crate) fn say(&self, args: &[&str]) -> Output {
        let out = self.program().args(args).output().unwrap();
        assert!(
            out.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        out
    }

    /// Starts the service and waits until it is ready.
    pub(crate) fn serve(&self, more: &[&str]) -> Service {
        let (port, ops) = (free_port(), free_port());
        let (listen, ops) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{ops}"));
        let mut command = self.program();
        command
            .args([
                "serve",
                "--listen",
                &listen,
                "--ops-listen",
                &ops,
                "--key-rate",
                "0",
            ])
            .args(more);
        let begun = Instant::now();
        let process = Process(quiet(&mut command).spawn().unwrap());
        while !is_ready(&ops) {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it is never ready"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Service {
            process,
            url: format!("http://{listen}"),
            ready_after: begun.elapsed(),
        }
    }

    /// A client that shows the key, and keeps its connections.
    pub(crate) fn client(&self) -> Client {
        let mut headers = reqwest::header::HeaderMap::new();
        let bearer = format!("Bearer {}", self.key);
        headers.insert("authorization", bearer.parse().unwrap());
        headers.insert("content-type", "application/json".parse().unwrap());
        let client = Client::builder().default_headers(headers).tcp_nodelay(true);
        client.pool_max_idle_per_host(2_000).build().unwrap()
    }
}

/// `GET /readyz` without a client: its start would be measured too.
fn is_ready(ops: &str) -> bool {
    use std::io::Write as _;
    let Ok(mut stream) = std::net::TcpStream::connect(ops) else {
        return false;
    };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(" 200 ")
}

fn quiet(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) const VECTOR: &str = "[0.25,-1,0.5]";

/// The provider answers at once, whatever it is asked.
fn script() -> Value {
    let body: Value = serde_json::from_str(&format!("{{\"vector\": {VECTOR}}}")).unwrap();
    json!({"rules": [{"on": {"operation": "unknown"}, "times": 0, "do": {"answer": {"status": 200, "body": body}}}]})
}

/// One model whose runs keep their record, and one whose runs do not.
fn bundle() -> Value {
    let profile = |name: &str, durable: bool| {
        json!({
            "profile_key": name, "purpose": "embedding", "model": name, "auth_profile": "speed_key",
            "transport": {"path": "/embed", "headers": {"Authorization": "Bearer {{apiKey}}"}, "durable": durable,
                "on_unknown": if durable { "fail" } else { "repeat" },
                "body": {"model": "{{model}}", "text": "{{userPrompt}}"}},
            "response_mapping": {"extract": {"vector": "vector"}, "output": {"vector": "{{json steps.submit.vector}}"}},
            "workflow": {},
        })
    };
    let model = |name: &str| json!({"model_id": name, "model_type": "embedding", "capabilities": {"profile_key": name}});
    json!({
        "language": 1,
        "provider": {"slug": "speed", "api_base_url": "https://speed.example/v1"},
        "auth_profiles": [{"profile_key": "speed_key", "auth_type": "api_key", "secret": "env:SPEED_KEY"}],
        "models": [model("recorded"), model("unrecorded")],
        "profiles": [profile("recorded", true), profile("unrecorded", false)],
    })
}

/// The body of a call.
pub(crate) fn call(model: &str) -> String {
    json!({"purpose": "embedding", "model": model, "prompt": "a cat that plays the piano"})
        .to_string()
}
