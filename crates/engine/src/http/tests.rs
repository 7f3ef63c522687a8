//! The hands against real sockets.

use super::*;
use crate::egress::{Allow, Policy};
use crate::request::Drawn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use uuid::Uuid;

mod bounds;
mod guard;

/// A server that gives each connection, with the head of its request, to `answer`.
/// The heads arrive at the receiver.
pub(crate) fn server(
    answer: impl Fn(&mut TcpStream, &str) + Send + 'static,
) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (heads, received) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            while let Some(head) = head(&mut stream) {
                // A test that is over no longer listens.
                let _ = heads.send(head.clone());
                answer(&mut stream, &head);
            }
        }
    });
    (address, received)
}

/// The head of the next request, its body read too; `None`: the connection ended.
fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some(head)
}

/// Writes an answer; the client may be gone already.
pub(crate) fn write(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}

pub(crate) fn request(method: &str, address: &str) -> Request {
    let url: url::Url = address.parse().unwrap();
    let operator = Allow {
        http: true,
        private: true,
    };
    Request {
        step: "submit".into(),
        method: method.into(),
        headers: vec![("Authorization".into(), "Bearer hidden".into())],
        body: (method == "POST").then(|| Bytes::from_static(b"{}")),
        timeout_ms: 5_000,
        max_bytes: 64 * 1024,
        submit: method == "POST",
        kept: false,
        trusted: true,
        proof: Default::default(),
        policy: Arc::new(Policy::new(
            &profile::revision::Egress::default(),
            std::slice::from_ref(&url),
            operator,
        )),
        url,
        drawn: Drawn {
            unix_ms: 0,
            seed: Uuid::nil(),
        },
    }
}

async fn sent(request: &Request) -> Outcome {
    Http::new().unwrap().send(request).await
}

#[track_caller]
fn broken_as(outcome: &Outcome, kind: Kind) {
    match outcome {
        Outcome::Broken(fault) => assert_eq!(fault.kind, kind, "{fault:?}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn not_sent_as(outcome: &Outcome, kind: Kind) {
    match outcome {
        Outcome::NotSent(fault) => assert_eq!(fault.kind, kind, "{fault:?}"),
        other => panic!("{other:?}"),
    }
}

const TRANSIENT: Kind = Kind::Class(Class::Transient);

#[tokio::test]
async fn an_answer_is_read_whole_with_its_headers() {
    let (address, heads) =
        server(|stream, _| write(stream, "201 Created", "X-A: b\r\n", b"{\"id\":1}"));
    let Outcome::Answered(received) = sent(&request("POST", &address)).await else {
        panic!("no answer");
    };
    assert_eq!(
        (received.status, &received.body[..]),
        (201, &b"{\"id\":1}"[..])
    );
    assert!(received.trusted);
    assert_eq!(received.header("x-a"), Some("b"));
    assert!(
        heads
            .recv()
            .unwrap()
            .contains("authorization: bearer hidden")
    );
}

#[tokio::test]
async fn a_connection_that_is_refused_was_not_sent() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    not_sent_as(&sent(&request("POST", &address)).await, Kind::NotSent);
}

#[tokio::test]
async fn a_failure_of_tls_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || drop(listener.accept()));
    not_sent_as(&sent(&request("POST", &address)).await, Kind::NotSent);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_was_not_sent() {
    not_sent_as(
        &sent(&request("POST", "http://no-such-host.invalid/")).await,
        Kind::NotSent,
    );
}

#[tokio::test]
async fn a_connection_cut_after_the_request_is_broken() {
    let (address, _heads) = server(|stream, _| drop(stream.shutdown(std::net::Shutdown::Both)));
    broken_as(&sent(&request("POST", &address)).await, TRANSIENT);
}

#[tokio::test]
async fn an_answer_cut_in_its_middle_is_broken() {
    let (address, _heads) = server(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    broken_as(&sent(&request("POST", &address)).await, TRANSIENT);
}

#[tokio::test]
async fn no_answer_in_time_is_broken() {
    let (address, _heads) = server(|_, _| {});
    let request = Request {
        timeout_ms: 100,
        ..request("POST", &address)
    };
    broken_as(&sent(&request).await, TRANSIENT);
}

#[tokio::test]
async fn the_submit_follows_no_redirect() {
    let (address, heads) = server(|stream, _| {
        write(
            stream,
            "307 Temporary Redirect",
            "Location: /elsewhere\r\n",
            b"",
        )
    });
    let Outcome::Answered(received) = sent(&request("POST", &address)).await else {
        panic!("no answer");
    };
    assert_eq!(received.status, 307);
    assert_eq!(heads.try_iter().count(), 1);
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_origin() {
    let (other, others) = server(|stream, _| write(stream, "200 OK", "", b"there"));
    let location = format!("Location: {other}/file\r\n");
    let (address, heads) = server(move |stream, head| {
        if head.starts_with("get /a ") {
            write(stream, "302 Found", "Location: /b\r\n", b"");
        } else {
            write(stream, "302 Found", &location, b"");
        }
    });
    let Outcome::Answered(received) = sent(&request("GET", &format!("{address}/a"))).await else {
        panic!("no answer");
    };
    assert_eq!(
        (&received.body[..], received.trusted),
        (&b"there"[..], false)
    );
    assert!(heads.try_iter().all(|head| head.contains("authorization")));
    assert!(!others.recv().unwrap().contains("authorization"));
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_address_itself() {
    let (address, _heads) =
        server(|stream, _| write(stream, "302 Found", "Location: ftp://acme.ai/\r\n", b""));
    not_sent_as(&sent(&request("GET", &address)).await, Kind::EgressRefused);
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let (address, heads) =
        server(|stream, _| write(stream, "302 Found", "Location: /again\r\n", b""));
    broken_as(&sent(&request("GET", &address)).await, TRANSIENT);
    assert_eq!(heads.try_iter().count(), 6);
}

#[tokio::test]
async fn a_submit_travels_on_a_connection_of_its_own_unless_it_may_be_sent_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (connections, opened) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connections = connections.clone();
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let _ = connections.send(());
                while head(&mut stream).is_some() {
                    write(&mut stream, "200 OK", "", b"{}");
                }
            });
        }
    });
    let http = Http::new().unwrap();
    for (method, kept, want) in [("POST", false, 2), ("GET", false, 1), ("POST", true, 0)] {
        for _ in 0..2 {
            let request = Request {
                kept,
                ..request(method, &address)
            };
            assert!(matches!(http.send(&request).await, Outcome::Answered(_)));
        }
        assert_eq!(opened.try_iter().count(), want, "{method}, kept: {kept}");
    }
}

#[test]
fn a_request_shows_no_header_value_and_no_body() {
    let shown = format!("{:?}", request("POST", "https://acme.ai/v1?key=hidden"));
    assert!(
        !shown.contains("hidden") && !shown.contains("{}"),
        "{shown}"
    );
}

/// Hears everything, up to so many bytes.
struct Hears {
    bytes: usize,
    most: usize,
}

impl Ear for Hears {
    fn head(&mut self, status: u16, headers: &[(String, String)]) -> bool {
        let events = ("content-type".to_owned(), "text/event-stream".to_owned());
        status == 200 && headers.contains(&events)
    }

    fn piece(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        self.bytes += bytes.len();
        if self.bytes >= self.most {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

const EVENTS: &str = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";

/// Writes a head and then chunks, until the client is gone.
fn chunks(stream: &mut TcpStream, head: &str, pause: std::time::Duration) {
    let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes());
    let piece = format!("{:x}\r\n{}\r\n", 8_192, ": x\n".repeat(2_048));
    while stream.write_all(piece.as_bytes()).is_ok() {
        thread::sleep(pause);
    }
}

#[tokio::test]
async fn a_stream_is_heard_within_its_bounds_and_left_when_it_is_over() {
    let at_once = std::time::Duration::ZERO;
    let slow = std::time::Duration::from_secs(30);
    let flood = format!(
        "{EVENTS}{}",
        format!("X-A: {}\r\n", "y".repeat(1_000)).repeat(90)
    );
    let cases = [
        (
            "without end",
            EVENTS.to_owned(),
            at_once,
            usize::MAX,
            "it is more than 65536 bytes",
        ),
        ("left in the middle", EVENTS.to_owned(), at_once, 20_000, ""),
        (
            "silent after a piece",
            EVENTS.to_owned(),
            slow,
            usize::MAX,
            "nothing came within 1000 ms",
        ),
        (
            "a flood of headers",
            flood,
            at_once,
            usize::MAX,
            "the answer's headers are",
        ),
    ];
    let http = Http::new().unwrap();
    for (why, head, pause, most, want) in cases {
        let (address, _) = server(move |stream, _| chunks(stream, &head, pause));
        let request = Request {
            timeout_ms: 1_000,
            ..request("POST", &address)
        };
        let mut ear = Hears { bytes: 0, most };
        let said = match http.listen(&request, &mut ear).await {
            Event::StreamEnded(None) => String::new(),
            Event::StreamEnded(Some(fault)) | Event::Broken(fault) => fault.message,
            other => panic!("{why}: {other:?}"),
        };
        assert!(
            said.starts_with(want) && said.is_empty() == want.is_empty(),
            "{why}: {said}"
        );
        assert!(ear.bytes <= 64 * 1024, "{why}: {}", ear.bytes);
    }
}

#[tokio::test]
async fn what_is_no_stream_is_read_whole() {
    let (address, _) = server(|stream, _| write(stream, "429 Slow", "", b"{\"a\": 1}"));
    let mut ear = Hears { bytes: 0, most: 1 };
    let event = Http::new()
        .unwrap()
        .listen(&request("POST", &address), &mut ear)
        .await;
    let Event::Answered(received) = event else {
        panic!("{event:?}");
    };
    assert_eq!(
        (received.status, &*received.body, ear.bytes),
        (429, &b"{\"a\": 1}"[..], 0)
    );
}
