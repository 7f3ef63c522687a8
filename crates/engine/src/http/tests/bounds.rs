//! Answers without end, and in bad faith.

use super::*;
use base64::Engine as _;

/// 256 KiB of zeros, compressed.
const BOMB: &str = "H4sIAAAAAAACA+3BMQEAAADCoPVP7W0HoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA3gAi6g7iAAAEAA==";

#[tokio::test]
async fn an_answer_is_bounded_however_it_is_packed() {
    let plain = vec![b'x'; 65 * 1024];
    let (address, _heads) = server(move |stream, _| write(stream, "200 OK", "", &plain));
    broken_as(
        &sent(&request("POST", &address)).await,
        Kind::AnswerTooLarge,
    );

    let bomb = base64::engine::general_purpose::STANDARD
        .decode(BOMB)
        .unwrap();
    assert!(bomb.len() < 1024);
    let (address, _heads) =
        server(move |stream, _| write(stream, "200 OK", "Content-Encoding: gzip\r\n", &bomb));
    broken_as(
        &sent(&request("POST", &address)).await,
        Kind::AnswerTooLarge,
    );
}

/// The most memory that this process ever had, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// In the middle of a compressed run of zeros each byte stands for 1,032 of them.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_does_not_grow_with_what_a_small_answer_inflates_to() {
    let run = base64::engine::general_purpose::STANDARD
        .decode(BOMB)
        .unwrap();
    let (start, end) = run.split_at(run.len() / 2);
    let bomb = [start, &vec![0; 1 << 20], end].concat();
    let (address, _heads) =
        server(move |stream, _| write(stream, "200 OK", "Content-Encoding: gzip\r\n", &bomb));
    let request = Request {
        max_bytes: 4 * 1024 * 1024,
        ..request("GET", &address)
    };
    let before = peak();
    broken_as(&sent(&request).await, Kind::AnswerTooLarge);
    let grown = peak() - before;
    assert!(grown < 64 << 20, "{grown} bytes of a gigabyte");
}

#[tokio::test]
async fn an_endless_answer_ends_at_its_bound_and_the_connection_with_it() {
    let (gone, left) = channel();
    let (address, _heads) = server(move |stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while stream.write_all(b"400\r\n").is_ok() {
            let _ = stream.write_all(&[b'x'; 1024]);
            let _ = stream.write_all(b"\r\n");
        }
        let _ = gone.send(());
    });
    broken_as(&sent(&request("GET", &address)).await, Kind::AnswerTooLarge);
    let waited = move || left.recv_timeout(Duration::from_secs(10));
    tokio::task::spawn_blocking(waited).await.unwrap().unwrap();
}

/// Each byte comes in time, the whole never does.
#[tokio::test]
async fn an_answer_that_trickles_ends_with_its_time() {
    let (address, _heads) = server(|stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let request = Request {
        timeout_ms: 200,
        ..request("GET", &address)
    };
    broken_as(&sent(&request).await, TRANSIENT);
}

/// Heads that announce another, without end.
#[tokio::test]
async fn interim_answers_without_end_end_with_the_time() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let (address, _heads) = server(|stream, _| {
        while stream.write_all(interim).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let request = Request {
        timeout_ms: 500,
        ..request("GET", &address)
    };
    broken_as(&sent(&request).await, TRANSIENT);
}

#[tokio::test]
async fn what_no_http_is_or_no_gzip_is_broken() {
    for answer in [
        &b"\xff\xfe\x00 not http\r\n\r\n"[..],
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        let (address, _heads) = server(move |stream, _| drop(stream.write_all(answer)));
        broken_as(&sent(&request("GET", &address)).await, TRANSIENT);
    }
}

#[tokio::test]
async fn headers_are_bounded() {
    let one = format!("X-A: {}\r\n", "x".repeat(70 * 1024));
    let (address, _heads) = server(move |stream, _| write(stream, "200 OK", &one, b""));
    broken_as(
        &sent(&request("POST", &address)).await,
        Kind::AnswerTooLarge,
    );
    let many = (0..2_000)
        .map(|i| format!("X-{i}: y\r\n"))
        .collect::<String>();
    let (address, _heads) = server(move |stream, _| write(stream, "200 OK", &many, b""));
    broken_as(&sent(&request("POST", &address)).await, TRANSIENT);
}

/// Each holds some 40 KB: a worker that once had two thousand polls under way does not keep them all.
#[tokio::test]
async fn of_the_connections_of_a_burst_only_so_many_are_kept() {
    const MORE: usize = 8;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (closes, closed) = channel();
    thread::spawn(move || {
        // All are asked before one is answered: no connection serves two.
        let asked = (0..IDLE_MAX + MORE).map(|_| {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = head(&mut stream);
            stream
        });
        let asked: Vec<TcpStream> = asked.collect();
        for mut stream in asked {
            let closes = closes.clone();
            thread::spawn(move || {
                write(&mut stream, "200 OK", "", b"");
                // Held until the other side ends it.
                let _ = stream.read(&mut [0]);
                let _ = closes.send(());
            });
        }
    });
    let http = Http::new().unwrap();
    let all = (0..IDLE_MAX + MORE).map(|_| {
        let (http, mut request) = (http.clone(), request("GET", &address));
        request.timeout_ms = 30_000;
        async move { http.send(&request).await }
    });
    for outcome in futures_util::future::join_all(all).await {
        assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    }
    let ended = tokio::task::spawn_blocking(move || {
        (0..MORE).all(|_| closed.recv_timeout(IDLE / 2).is_ok())
    });
    assert!(
        ended.await.unwrap(),
        "they are ended at once, not when they have idled"
    );
    drop(http);
}
