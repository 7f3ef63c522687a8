//! Calls that the OpenAPI document allows, and calls that it does not, made up by schemathesis: none is answered with a 5xx, and none with an answer
//! that the document does not describe.
//!
//! It needs Python 3.10 or newer with `venv`, and once PyPI (or what `pip` is configured to use instead). `MODELROW_FUZZ_SECONDS` says for how long it
//! makes up calls; `MODELROW_FUZZ_SEED` which ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and reads how long it may take"
)]

#[path = "shared/tools.rs"]
mod tools;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use store::Store;
use store::embedded::testing::server;

const SECONDS: &str = "45";
/// The same calls every time, unless it is said otherwise.
const SEED: &str = "20261130";
const LIMIT: Duration = Duration::from_secs(60);

fn top() -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    top.canonicalize().unwrap()
}

fn setting(name: &str, usual: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| usual.to_owned())
}

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The fuzzer, at its program.
fn schemathesis() -> PathBuf {
    let requirements = top().join("tests/fuzz/requirements.txt");
    tools::python("fuzz", &requirements).join("bin/schemathesis")
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("127.0.0.1:{}", listener.local_addr().unwrap().port())
}

struct House {
    folder: tempfile::TempDir,
    database: String,
}

impl House {
    fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modelrow"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("MODELROW_DATA", self.folder.path().join("data"))
            .env("DATABASE_URL", &self.database)
            .env("ACME_KEY", "sk-fuzz");
        command
    }

    fn start(&self, args: &[&str], listen: &str) -> Process {
        let log = fs::File::create(
            self.folder
                .path()
                .join(format!("{}.log", args.first().unwrap())),
        );
        let mut command = self.program(args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap());
        let process = Process(command.spawn().unwrap());
        let begun = Instant::now();
        while TcpStream::connect(listen).is_err() {
            assert!(begun.elapsed() < LIMIT, "{args:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }
}

#[test]
fn no_call_that_a_fuzzer_makes_up_of_the_document_is_answered_with_a_5xx_or_with_what_is_not_described()
 {
    let schemathesis = schemathesis();
    let database = server().database(|owner| async move { Store::migrate(&owner).await.unwrap() });
    let house = House {
        folder: tempfile::tempdir().unwrap(),
        database: database.url.clone(),
    };
    let (provider, listen) = (free_port(), free_port());
    let _provider = house.start(&["simulate", "--listen", &provider], &provider);
    // The shape that the simulator plays.
    let bundle = top().join("crates/server/tests/api/acme.json");
    let bundle = bundle.to_str().unwrap();
    let endpoint = format!("http://{provider}/v1");
    let apply = [
        "profile",
        "apply",
        bundle,
        "--endpoint",
        &endpoint,
        "--allow-private",
    ];
    tools::done("profile apply", house.program(&apply).output(), "");
    let create = [
        "key", "create", "--role", "admin", "--tenant", "system", "--json",
    ];
    let made = tools::done("key create", house.program(&create).output(), "");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let key = made["key"].as_str().unwrap();
    let _service = house.start(&["serve", "--listen", &listen, "--key-rate", "0"], &listen);

    let url = format!("http://{listen}");
    let out = Command::new(schemathesis)
        .args(["run", &format!("{url}/openapi.json"), "--url", &url, "--no-color"])
        .args(["--header", &format!("Authorization: Bearer {key}")])
        // One worker: CPython 3.11 miscounts the depth of what two threads parse ("AST constructor recursion depth mismatch").
        .args(["--phases", "examples,coverage,fuzzing", "--workers", "1", "--continue-on-failure"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
        .args(["--max-time", &setting("MODELROW_FUZZ_SECONDS", SECONDS)])
        .args(["--seed", &setting("MODELROW_FUZZ_SEED", SEED)])
        .current_dir(house.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    let log = fs::read_to_string(house.folder.path().join("serve.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
    assert!(out.status.success(), "{said}\n{log}");
    let cases = said
        .lines()
        .find(|line| line.contains(" generated, "))
        .unwrap_or_default();
    eprintln!("{}", cases.trim());
    let count: u32 = cases
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap_or(0);
    assert!(count > 500, "hardly anything was asked: {said}");
}
