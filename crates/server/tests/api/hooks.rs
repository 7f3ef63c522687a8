//! Callbacks over real sockets: a provider that calls back, and those who are none.

use crate::fixture::{AnyKey, BUNDLE, LIMIT};
use crate::video;
use runtime::{Modelrow, Options, RunRequest};
use serde_json::{Value, json};
use server::{Access, serve};
use simulator::{Callback, Config, JobPlan, Key, Operation, Simulator, signature};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use store::{DEFAULT_TENANT, SYSTEM_TENANT, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Every reference opens to this.
const SECRET: &str = "sk-test";

/// A server on a socket whose polls are far apart, and a provider that calls it.
struct Reached {
    modelrow: Modelrow,
    provider: Simulator,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
    _folder: tempfile::TempDir,
}

fn bundle(provider: &str) -> String {
    let mut bundle: Value = serde_json::from_str(BUNDLE).unwrap();
    bundle["provider"]["api_base_url"] = json!(provider);
    bundle["provider"]["conventions"]["webhook"] = json!({
        "job_id_path": "data.id", "challenge_path": "challenge",
        "verify": {"kind": "standard_webhooks", "secret": "env:HOOK"},
    });
    let profile = &mut bundle["profiles"][0];
    profile["transport"]["headers"]["X-Callback"] = json!("{{callback_url}}");
    profile["workflow"]["steps"][0]["interval_ms"] = json!(600_000);
    bundle.to_string()
}

impl Reached {
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the runtime of the test"
    )]
    async fn open(jobs: JobPlan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::task::spawn_blocking(store::embedded::testing::server);
        let database = server
            .await
            .unwrap()
            .database(|owner| async move { Store::migrate(&owner).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(database.url, folder.path());
        options.secrets = Arc::new(AnyKey);
        options.public_url = Some(format!("http://{address}"));
        let modelrow = Modelrow::start(options).await.unwrap();
        let callback = Callback {
            url: modelrow.callback_address(SYSTEM_TENANT, "acme").unwrap(),
            secret: Some(Key::from(SECRET.to_owned())),
            times: 3,
            attempts: 2,
            retry_ms: 100,
        };
        let wire = json!({"models": {"reel-1": {"sizes": ["720x1280", "1280x720"], "seconds": ["4", "8", "12"]}}});
        let config = Config {
            jobs,
            wire,
            callback: Some(callback),
            ..Config::default()
        };
        let provider = Simulator::start(config).await.unwrap();
        let (rows, _) = profile::bundle::check("acme.json", &bundle(&provider.base_url()));
        assert!(!rows.diagnostics.has_errors(), "{}", rows.diagnostics);
        modelrow.apply(SYSTEM_TENANT, &rows.rows).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        // No names but this machine's may call the rest; callbacks come under any.
        let serving = serve(modelrow.clone(), listener, Access::Local, async {
            drop(stopped.await);
        });
        drop(tokio::spawn(serving));
        Self {
            modelrow,
            provider,
            address,
            _stop: stop,
            _folder: folder,
        }
    }

    async fn run(&self) -> runtime::RunHandle {
        let call = video("a cat");
        let request = RunRequest::new("video")
            .prompt(call["prompt"].as_str().unwrap())
            .param("seconds", 8);
        self.modelrow.run_profile(request).await.unwrap()
    }

    /// Sends bytes, and reads the whole answer.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        // A server that has refused may close before all is written.
        let _ = tcp.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: hooks.example.com\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }

    fn polls(&self) -> usize {
        let ledger = self.provider.ledger();
        ledger
            .iter()
            .filter(|entry| entry.operation == Operation::Retrieve)
            .count()
    }
}

fn slow() -> JobPlan {
    JobPlan {
        run_ms: 3_600_000,
        ..JobPlan::default()
    }
}

fn is(answer: &str, status: u16) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status} "))
}

#[expect(clippy::disallowed_methods, reason = "the provider's clock")]
fn headers(id: &str, body: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let signature = signature(SECRET, id, now, body);
    format!("webhook-id: {id}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: {signature}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_calls_back_ends_the_wait_for_the_next_poll() {
    for before_answer in [false, true] {
        let jobs = JobPlan {
            callback_before_answer: before_answer,
            ..slow()
        };
        let house = Reached::open(jobs).await;
        let run = house.run().await;
        let accepted = house
            .provider
            .wait_until(LIMIT, |provider| !provider.accepted_jobs().is_empty());
        assert!(accepted.await);
        house.provider.advance_to_completion();
        let view = house
            .modelrow
            .wait(DEFAULT_TENANT, run.id(), LIMIT)
            .await
            .unwrap();
        assert_eq!(
            view.status,
            runtime::Status::Succeeded,
            "{before_answer}: {view:#?}"
        );
        let told = house
            .provider
            .wait_until(LIMIT, |provider| provider.callbacks().len() >= 3);
        assert!(told.await);
        for delivery in house.provider.callbacks() {
            assert_eq!(delivery.status, Some(200), "{before_answer}: {delivery:?}");
        }
    }
}

fn plain(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").into()
}

fn chunked(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n").into()
}

/// A run that the provider has, the path of its own hook, and a body that names its job.
async fn accepted(house: &Reached) -> (runtime::RunHandle, String, String) {
    let run = house.run().await;
    let there = |provider: &Simulator| !provider.accepted_jobs().is_empty();
    assert!(house.provider.wait_until(LIMIT, there).await);
    let job = house.provider.accepted_jobs()[0].id.clone();
    let url = house.provider.ledger()[0].headers["x-callback"].clone();
    let path = url.strip_prefix(&format!("http://{}", house.address));
    let body = json!({"data": {"id": job}}).to_string();
    (run, path.unwrap().to_owned(), body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_none_a_body_that_is_too_large_and_another_method_are_refused() {
    let house = Reached::open(slow()).await;
    let (_run, path, body) = accepted(&house).await;
    let big = "x".repeat(256 * 1024 + 1);
    let (other, cut) = (path.replace("/acme/", "/acne/"), &path[..path.len() - 1]);
    let refused = [
        (house.post("/hooks/acme/x", "", &body).await, 404, "C171"),
        (house.post(&other, "", &body).await, 404, "C171"),
        (house.post(cut, "", &body).await, 404, "C171"),
        (house.post("/hooks/acme/x", "", &big).await, 404, "C171"),
        (house.post(&path, "", &big).await, 413, "C151"),
        (house.raw(&chunked(&path, &big)).await, 413, "C151"),
        (house.raw(&plain("GET", &path)).await, 405, "C159"),
        (house.raw(&plain("GET", "/hooks/acme/x")).await, 404, "C171"),
        (house.raw(&plain("PUT", &path)).await, 405, "C159"),
        // The rest answers to names of this machine only.
        (house.raw(&plain("GET", "/v1/runs/x")).await, 421, "C170"),
    ];
    for (answer, status, code) in refused {
        let good = is(&answer, status) && answer.contains(code);
        assert!(good, "{status} {code}: {answer}");
    }
    let largest = "x".repeat(256 * 1024);
    assert!(is(&house.post(&path, "", &largest).await, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_are_no_provider_change_nothing_and_are_answered_at_once() {
    let house = Reached::open(slow()).await;
    let (run, path, body) = accepted(&house).await;
    let forged = headers("evt_1", "another body");
    for (headers, body) in [
        ("", body.as_str()),
        (&forged, &body),
        ("", ""),
        ("", "no json"),
        ("", "\u{0}"),
    ] {
        let answer = house.post(&path, headers, body).await;
        assert!(is(&answer, 200), "{body}: {answer}");
    }
    assert_eq!(house.polls(), 0);
    house.provider.advance_to_completion();
    let good = house.post(&path, &headers("evt_2", &body), &body).await;
    assert!(is(&good, 200), "{good}");
    let wait = house.modelrow.wait(DEFAULT_TENANT, run.id(), LIMIT);
    let view = wait.await.unwrap();
    assert_eq!(view.status, runtime::Status::Succeeded, "{view:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_is_given_back_and_acts_as_text() {
    let house = Reached::open(slow()).await;
    let (_run, path, _) = accepted(&house).await;
    let posted = house.post(&path, "", r#"{"challenge":"<b>1"}"#).await;
    let good = is(&posted, 200) && posted.ends_with(r#"{"challenge":"<b>1"}"#);
    assert!(good, "{posted}");
    let asked = plain("GET", &format!("{path}?challenge=%3Cb%3E2&x=1"));
    let asked = house.raw(&asked).await;
    assert!(
        is(&asked, 200) && asked.ends_with("\r\n\r\n<b>2"),
        "{asked}"
    );
    let is_text = asked.contains("content-type: text/plain") && asked.contains("nosniff");
    assert!(is_text, "{asked}");
}
