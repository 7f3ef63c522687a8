//! Files against real sockets.

use super::*;
use crate::http::tests::{request, server, write};
use futures_util::future::join_all;
use std::io::Write;

const MP4: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isommp42";

const BUFFER: usize = 256 * 1024;

/// Keeps what is written; fails after so many bytes.
struct Kept {
    bytes: Vec<u8>,
    fails_after: Option<usize>,
    memory: Memory,
}

impl Default for Kept {
    fn default() -> Self {
        Self::with(Memory::new(8 * BUFFER, BUFFER))
    }
}

impl Kept {
    fn with(memory: Memory) -> Self {
        Self {
            bytes: Vec::new(),
            fails_after: None,
            memory,
        }
    }
}

impl Sink for Kept {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        assert!(
            self.bytes.len().is_multiple_of(self.memory.size()),
            "a piece after the last"
        );
        self.bytes.extend_from_slice(&piece);
        match self.fails_after {
            Some(most) if self.bytes.len() > most => Err(io::Error::other("full")),
            _ => Ok(()),
        }
    }
}

fn task(address: &str) -> FileTask {
    FileTask {
        artifact: "video".into(),
        idx: 0,
        source: FileSource::Request(Box::new(Request {
            timeout_ms: 300,
            ..request("GET", address)
        })),
        accept: vec!["video/*".into(), "application/octet-stream".into()],
        max_bytes: 4 * 1024 * 1024,
        mime: None,
        content_type: Some("video/mp4".into()),
        filename: None,
        wants_data_url: false,
        expires_at_ms: None,
        wrap: None,
        ok_status: Vec::new(),
    }
}

fn film(bytes: usize) -> Vec<u8> {
    let mut film = MP4.to_vec();
    film.extend((film.len()..bytes).map(|i| u8::try_from(i % 251).unwrap()));
    film
}

async fn fetched(task: &FileTask, sink: &mut Kept) -> Result<Fetched, FetchError> {
    Http::new().unwrap().fetch(task, sink).await
}

fn fault(result: Result<Fetched, FetchError>) -> FetchFault {
    match result {
        Err(FetchError::Fault(fault)) => *fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_arrives_whole_with_its_digest() {
    let film = film(3 * 1024 * 1024 + 17);
    let body = film.clone();
    let headers =
        "Content-Type: video/mp4\r\nContent-Disposition: attachment; filename=\"cat.mp4\"\r\n";
    let (address, _heads) = server(move |stream, _| write(stream, "200 OK", headers, &body));
    let mut sink = Kept::default();
    let got = fetched(&task(&address), &mut sink).await.unwrap();
    assert!(sink.bytes == film);
    let digest: [u8; 32] = Sha256::digest(&film).into();
    let want = Fetched {
        bytes: film.len() as u64,
        sha256: digest,
        content_type: "video/mp4".into(),
        filename: Some("cat.mp4".into()),
    };
    assert_eq!(got, want);
}

#[tokio::test]
async fn files_that_come_at_once_share_the_memory_of_two_buffers() {
    let film = film(3 * BUFFER + 17);
    let memory = Memory::new(2 * BUFFER, BUFFER);
    let http = Http::new().unwrap();
    // All of them hold what they can get and wait for more: whoever waited with a part of a piece would wait for good.
    let one = async |_| {
        let body = film.clone();
        let (address, _heads) =
            server(move |stream, _| write(stream, "200 OK", "Content-Type: video/mp4\r\n", &body));
        let mut sink = Kept::with(memory.clone());
        let task = FileTask {
            source: FileSource::Request(Box::new(Request {
                timeout_ms: 60_000,
                ..request("GET", &address)
            })),
            ..task(&address)
        };
        let got = http.fetch(&task, &mut sink).await.unwrap();
        assert_eq!(got.bytes, film.len() as u64);
        assert!(sink.bytes == film);
    };
    join_all((0..16).map(one)).await;
}

#[tokio::test]
async fn bytes_of_an_answer_are_checked_and_stored_alike() {
    let film = Bytes::from(film(2 * 1024 * 1024));
    let mut sink = Kept::default();
    let task = FileTask {
        source: FileSource::Bytes(film.clone()),
        ..task("http://acme.ai")
    };
    let got = fetched(&task, &mut sink).await.unwrap();
    let digest: [u8; 32] = Sha256::digest(&film).into();
    assert_eq!(
        (got.bytes, got.sha256, &sink.bytes[..]),
        (film.len() as u64, digest, &film[..])
    );
    let small = FileTask {
        max_bytes: 10,
        ..task
    };
    assert!(
        matches!(fault(fetched(&small, &mut Kept::default()).await), FetchFault::Final(fault) if fault.kind == Kind::FileTooLarge)
    );
}

#[tokio::test]
async fn an_error_page_is_read_as_an_answer_and_nothing_is_stored() {
    let page: &[u8] = br#"{"error":{"message":"not ready"}}"#;
    for (status, headers) in [
        ("200 OK", "Content-Type: application/json\r\n"),
        ("200 OK", "Content-Type: video/mp4\r\n"),
        ("404 Not Found", "Content-Type: application/json\r\n"),
    ] {
        let (address, _heads) = server(move |stream, _| write(stream, status, headers, page));
        let mut sink = Kept::default();
        match fault(fetched(&task(&address), &mut sink).await) {
            FetchFault::Answer {
                received,
                trusted,
                fault,
            } => {
                assert_eq!(
                    (&received.body[..], trusted, fault.kind),
                    (page, true, Kind::WrongContent),
                    "{status} {headers}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert!(sink.bytes.is_empty());
    }
}

#[tokio::test]
async fn an_empty_file_is_no_file() {
    let (address, _heads) =
        server(|stream, _| write(stream, "200 OK", "Content-Type: video/mp4\r\n", b""));
    let failed = fault(fetched(&task(&address), &mut Kept::default()).await);
    assert!(matches!(failed, FetchFault::Answer { fault, .. } if fault.kind == Kind::EmptyFile));
}

#[tokio::test]
async fn a_file_larger_than_its_bound_is_refused_for_good() {
    let body = film(5 * 1024 * 1024);
    let (address, _heads) = server(move |stream, _| write(stream, "200 OK", "", &body));
    let mut sink = Kept::default();
    let failed = fault(fetched(&task(&address), &mut sink).await);
    assert!(matches!(failed, FetchFault::Final(fault) if fault.kind == Kind::FileTooLarge));
    assert!(sink.bytes.len() <= 4 * 1024 * 1024);
}

#[tokio::test]
async fn a_file_that_is_cut_or_falls_silent_is_fetched_again() {
    for cut in [true, false] {
        let (address, _heads) = server(move |stream, _| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
            let _ = stream.write_all(MP4);
            if cut {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        });
        let failed = fault(fetched(&task(&address), &mut Kept::default()).await);
        assert!(
            matches!(failed, FetchFault::Broken(_)),
            "cut: {cut}, {failed:?}"
        );
    }
}

#[tokio::test]
async fn a_sink_that_fails_is_no_fault_of_the_provider() {
    let body = film(4 * 1024 * 1024);
    let (address, _heads) = server(move |stream, _| write(stream, "200 OK", "", &body));
    let mut sink = Kept {
        fails_after: Some(1_000),
        ..Kept::default()
    };
    let got = fetched(&task(&address), &mut sink).await;
    assert!(matches!(got, Err(FetchError::Sink(_))), "{got:?}");
}
