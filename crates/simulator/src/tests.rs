//! The simulator over real sockets. Jobs last hours and their time is skipped, so that nothing depends on the machine.

mod callbacks;
mod cases;
mod life;
mod mischief;
mod script;
mod shipped;
mod strict;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::wire::Wire;
use crate::{Config, JobPlan, Simulator};

/// Longer than any test runs: a job stands still unless its time is skipped.
pub(crate) const QUEUE: Duration = Duration::from_secs(100_000);
pub(crate) const RUN: Duration = Duration::from_secs(1_000_000);
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) sim: Simulator,
    pub(crate) http: Client,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn slow() -> Config {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap();
    Config {
        jobs: JobPlan {
            queue_ms: ms(QUEUE),
            run_ms: ms(RUN),
            ..JobPlan::default()
        },
        ..Config::default()
    }
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::of(slow()).await
    }

    pub(crate) async fn of(config: Config) -> Self {
        Self {
            sim: Simulator::start(config).await.unwrap(),
            http: client(),
        }
    }

    /// A request with a key, to be changed before it is sent.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.http
            .request(method, format!("{}{path}", self.sim.base_url()))
            .header(AUTHORIZATION, "Bearer test-key")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request("POST", path)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string())
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        send(self.request("GET", path)).await.unwrap()
    }

    pub(crate) async fn create(&self, body: Value) -> Got {
        send(self.post("/videos", &body)).await.unwrap()
    }

    /// The id of a new job.
    pub(crate) async fn job(&self) -> String {
        let got = self.create(json!({"prompt": "a cat"})).await;
        assert_eq!(got.status, 200, "{got:?}");
        got.json()["id"].as_str().unwrap().to_owned()
    }

    /// The id of a new job that has completed.
    pub(crate) async fn done(&self) -> String {
        let id = self.job().await;
        self.sim.advance_to_completion();
        id
    }
}

/// Sends, and reads the body to its end.
pub(crate) async fn send(request: RequestBuilder) -> reqwest::Result<Got> {
    let answer = request.send().await?;
    Ok(Got {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        bytes: answer.bytes().await?.to_vec(),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own client talks to its own simulator"
)]
fn client() -> Client {
    // The second test finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // What an answer says of elsewhere is looked at, not followed.
    let none = reqwest::redirect::Policy::none();
    Client::builder().no_proxy().redirect(none).build().unwrap()
}

pub(crate) fn wire() -> Wire {
    Wire::of(&Config::default()).unwrap()
}

/// The head of a PNG of this size, which is all that is looked at.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    image.extend(width.to_be_bytes());
    image.extend(height.to_be_bytes());
    image
}

/// A form: `(head of the part after its name, bytes)`.
pub(crate) fn form(request: RequestBuilder, parts: &[(&str, &[u8])]) -> RequestBuilder {
    let mut body = Vec::new();
    for (head, bytes) in parts {
        body.extend(format!("--b\r\nContent-Disposition: form-data; name={head}\r\n\r\n").bytes());
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--b--\r\n");
    request
        .header(CONTENT_TYPE, "multipart/form-data; boundary=b")
        .body(body)
}
