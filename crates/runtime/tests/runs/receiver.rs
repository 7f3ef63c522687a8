//! A server that takes callbacks, and says what a test tells it to say.

use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What it answers; after the last one 200.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16),
    Redirect(String),
    /// Nothing, and the connection ends.
    Cut,
    /// Nothing, and the connection stays.
    Stall,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) target: String,
    /// By lower-case name.
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    heard: Vec<Heard>,
}

/// It listens until the test ends.
#[derive(Debug)]
pub(crate) struct Receiver {
    base: String,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            answers: answers.into(),
            heard: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, Arc::clone(&shared)));
            }
        });
        Self { base, state }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("{}{target}", self.base)
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.state.lock().unwrap().heard.clone()
    }
}

async fn take(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    let Some(heard) = read(&mut stream).await else {
        return;
    };
    let answer = {
        let mut state = state.lock().unwrap();
        state.heard.push(heard);
        state.answers.pop_front().unwrap_or(Answer::Status(200))
    };
    let (status, more) = match answer {
        Answer::Status(status) => (status, String::new()),
        Answer::Redirect(to) => (302, format!("location: {to}\r\n")),
        Answer::Cut => return,
        Answer::Stall => return std::future::pending().await,
    };
    let text = format!(
        "HTTP/1.1 {status} said\r\n{more}content-length: 4\r\nconnection: close\r\n\r\nsaid"
    );
    let _ = stream.write_all(text.as_bytes()).await;
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Heard> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let target = first.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Heard {
        target,
        headers,
        body,
    })
}
