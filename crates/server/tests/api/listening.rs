//! The API on a real socket.

use crate::fixture::{House, bearer};
use crate::{id, video};
use server::{Access, serve};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Sends a request; the answer is read by [`answer`].
async fn send(address: SocketAddr, host: &str, path: &str, headers: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    tcp
}

async fn answer(mut tcp: TcpStream) -> String {
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn ask(address: SocketAddr, host: &str, path: &str) -> String {
    answer(send(address, host, path, "").await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_only_names_of_this_machine_are_served() {
    let house = House::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = serve(house.modelrow.clone(), listener, Access::Local, async {
        drop(stopped.await)
    });
    let asking = async {
        let own = ask(address, "localhost:8080", "/healthz").await;
        assert!(own.starts_with("HTTP/1.1 200 "), "{own}");
        let unkeyed = ask(address, "localhost:8080", "/v1/runs").await;
        assert!(unkeyed.starts_with("HTTP/1.1 200 "), "{unkeyed}");
        let foreign = ask(address, "attacker.example", "/healthz").await;
        assert!(
            foreign.starts_with("HTTP/1.1 421 ") && foreign.contains("C170"),
            "{foreign}"
        );
        assert!(foreign.contains("x-request-id: "), "{foreign}");
        // A page in a browser of this machine, as the Fetch standard has it call.
        let page = |origin: &str| format!("Origin: {origin}\r\n");
        for (origin, status) in [
            ("http://localhost:8080", "200"),
            ("https://attacker.example", "403"),
            ("http://localhost:3000", "403"),
            ("null", "403"),
        ] {
            let asked = send(address, "localhost:8080", "/v1/runs", &page(origin)).await;
            let told = answer(asked).await;
            assert!(
                told.starts_with(&format!("HTTP/1.1 {status} ")),
                "{origin}: {told}"
            );
            assert_eq!(told.contains("C176"), status == "403", "{origin}: {told}");
        }
        stop.send(()).unwrap();
    };
    let (served, ()) = tokio::join!(serving, asking);
    served.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_those_who_wait_with_the_run_as_it_stands() {
    let house = House::open().await;
    let made = house.create(&video("a cat"), &[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = serve(house.modelrow.clone(), listener, Access::Keys, async {
        drop(stopped.await)
    });
    let path = format!("/v1/runs/{}", id(&made));
    let asking = async {
        let key = format!("Authorization: {}\r\n", bearer(&house.key));
        let waits = format!("{key}Prefer: wait=60\r\n");
        let held = send(address, "any.example", &path, &waits).await;
        // Connections are taken in their order: once this one is answered, the other is being served.
        let now = answer(send(address, "any.example", &path, &key).await).await;
        assert!(now.starts_with("HTTP/1.1 200 "), "{now}");
        stop.send(()).unwrap();
        answer(held).await
    };
    let both = async { tokio::join!(serving, asking) };
    let (served, held) = tokio::time::timeout(Duration::from_secs(25), both)
        .await
        .expect("a stop waits for nobody's `wait`");
    served.unwrap();
    assert!(held.contains("\"ended_at\":null"), "{held}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_an_address_that_other_machines_reach_is_refused() {
    let house = House::open().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(
        house.modelrow.clone(),
        listener,
        Access::Local,
        std::future::pending(),
    )
    .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
}
