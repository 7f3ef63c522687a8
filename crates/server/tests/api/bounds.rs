//! What one client can take of the server, and what a browser is told.

use crate::fixture::{Answer, House, bearer, key};
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request};
use runtime::Role;
use server::{Access, Settings, serve};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;
use store::DEFAULT_TENANT;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";

/// Serves on a socket while `asking` asks; a minute is long enough for all of it.
async fn serving<F: Future<Output = ()>>(
    house: &House,
    settings: Settings,
    asking: impl FnOnce(SocketAddr) -> F,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = serve(
        house.modelrow.clone(),
        listener,
        settings,
        std::future::pending(),
    );
    let asked = async {
        tokio::select! {
            served = served => panic!("it ended: {served:?}"),
            () = asking(address) => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked)
        .await
        .unwrap();
}

async fn said(address: SocketAddr, text: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(text.as_bytes()).await.unwrap();
    tcp
}

/// Everything that comes until the server closes.
async fn rest(mut tcp: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A server that closes before it has read all may reset; what came before it counts.
    let _ = tcp.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn impatient() -> Settings {
    Settings {
        head_within: Duration::from_millis(200),
        ..Access::Keys.into()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_say_what_it_wants_is_not_awaited() {
    let house = House::open().await;
    serving(&house, impatient(), async |address| {
        for begun in [
            "",
            "P",
            "PRI * HTTP/2.0\r\n\r\nSM",
            "GET /healthz HT",
            HEALTH,
        ] {
            let closed = rest(said(address, begun).await).await;
            assert!(!closed.contains("200 OK"), "{begun:?}: {closed}");
        }
        let whole = rest(said(address, &format!("{HEALTH}\r\n")).await).await;
        assert!(
            whole.starts_with("HTTP/1.1 200 OK"),
            "and an idle connection is closed: {whole}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused() {
    let house = House::open().await;
    serving(&house, Access::Keys.into(), async |address| {
        let large = format!(
            "{HEALTH}X-Large: {}\r\nConnection: close\r\n\r\n",
            "x".repeat(30 * 1024)
        );
        let taken = rest(said(address, &large).await).await;
        assert!(taken.starts_with("HTTP/1.1 200 "), "{taken}");
        let too_large = format!("{HEALTH}X-Large: {}\r\n\r\n", "x".repeat(128 * 1024));
        let mut tcp = TcpStream::connect(address).await.unwrap();
        // It may close before it has read all.
        let _ = tcp.write_all(too_large.as_bytes()).await;
        let refused = rest(tcp).await;
        assert!(!refused.contains(" 200 "), "{refused}");
        let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
        let refused = rest(said(address, &format!("{HEALTH}{many}\r\n")).await).await;
        assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_connections_the_server_lets_clients_wait_until_one_ends() {
    let house = House::open().await;
    let settings = Settings {
        connections: 1,
        ..Access::Keys.into()
    };
    serving(&house, settings, async |address| {
        let mut first = said(address, &format!("{HEALTH}\r\n")).await;
        let mut head = [0; 15];
        first.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        let mut second = said(address, &format!("{HEALTH}Connection: close\r\n\r\n")).await;
        let early = tokio::time::timeout(Duration::from_millis(100), second.read_u8()).await;
        assert!(early.is_err(), "the first one is open: {early:?}");
        drop(first);
        assert!(rest(second).await.starts_with("HTTP/1.1 200 "));
    })
    .await;
}

async fn ask(house: &House, settings: Settings, request: Request<Body>) -> Answer {
    house
        .call_of(server::router(house.modelrow.clone(), settings), request)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_calls_too_often_is_told_when_to_come_again_and_others_are_served() {
    let house = House::open().await;
    let other = key(&house.modelrow, DEFAULT_TENANT, Role::Viewer).await;
    let settings = Settings {
        calls_per_second: NonZeroU32::new(1),
        ..Access::Keys.into()
    };
    let app = server::router(house.modelrow.clone(), settings);
    let call = async |key: &str| {
        let request = Request::get("/v1/models").header("authorization", bearer(key));
        house
            .call_of(app.clone(), request.body(Body::empty()).unwrap())
            .await
    };
    // One of a few in a second is too many, however slow this machine is.
    let mut refused = call(&house.key).await;
    for _ in 0..1_000 {
        if refused.status.as_u16() == 429 {
            break;
        }
        refused = call(&house.key).await;
    }
    assert_eq!(
        refused.problem(),
        (429, "too_many_requests".to_owned()),
        "{refused:?}"
    );
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.json()["errors"][0]["code"], "C175");
    assert_eq!(call(&other).await.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_tells_browsers_to_trust_it_no_further() {
    let house = House::open().await;
    for path in [
        "/healthz",
        "/v1/models",
        "/v1/runs/x",
        "/nowhere",
        "/openapi.json",
        "/docs",
        "/admin/v1/keys",
    ] {
        let answer = house.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("default-src 'none'"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_may_call_only_where_they_are_named() {
    let house = House::open().await;
    let named = || Settings {
        cors_origins: vec![HeaderValue::from_static("https://app.example.com")],
        ..Access::Keys.into()
    };
    let preflight = |origin: &str| {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri("/v1/runs")
            .header("origin", origin);
        let request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization");
        request.body(Body::empty()).unwrap()
    };
    let (app, other) = ("https://app.example.com", "https://evil.example.com");
    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").to_owned();
    let unnamed = ask(&house, Access::Keys.into(), preflight(app)).await;
    assert_eq!(
        (unnamed.status.as_u16(), allowed(&unnamed)),
        (405, String::new())
    );
    let good = ask(&house, named(), preflight(app)).await;
    assert_eq!(
        (good.status.as_u16(), allowed(&good)),
        (200, app.to_owned())
    );
    assert!(
        good.header("access-control-allow-headers")
            .contains("authorization")
    );
    assert_eq!(good.header("access-control-allow-credentials"), "");
    assert_eq!(allowed(&ask(&house, named(), preflight(other)).await), "");
    let call = Request::get("/v1/models").header("origin", app);
    let refused = ask(&house, named(), call.body(Body::empty()).unwrap()).await;
    assert_eq!(
        (refused.status.as_u16(), allowed(&refused)),
        (401, app.to_owned()),
        "a page reads why it was refused"
    );
}
