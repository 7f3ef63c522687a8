//! Signed links: whoever has one needs no key, and nobody can make one.

use crate::fixture::{Answer, BUNDLE, House, LIMIT, bearer, key};
use crate::{id, video};
use axum::body::Body;
use axum::http::{Method, Request};
use runtime::{Options, Role};
use serde_json::{Value, json};
use server::{Access, serve};
use simulator::Operation;
use std::net::SocketAddr;
use store::DEFAULT_TENANT;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::join;
use tokio::net::{TcpListener, TcpStream};

/// A run that has delivered a file; its address.
async fn delivered(house: &House) -> String {
    let call = video("a cat");
    let (made, ()) = join!(
        house.create(&call, &[("prefer", "wait=60")]),
        house.finish()
    );
    assert_eq!(made.json()["status"], "succeeded", "{made:?}");
    format!("/v1/runs/{}", id(&made))
}

async fn link(house: &House, path: &str, body: &Value) -> Answer {
    let request = Request::post(format!("{path}/link")).header("content-type", "application/json");
    let body = request.body(Body::from(body.to_string())).unwrap();
    house.call(body).await
}

/// Without a key.
async fn open(house: &House, method: Method, link: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(link);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    house
        .call_as_it_is(request.body(Body::empty()).unwrap())
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_serves_the_file_as_a_key_does_and_to_anybody() {
    let house = House::open().await;
    let run = delivered(&house).await;
    let file = format!("{run}/artifacts/video");
    let keyed = house.get(&file).await;
    for path in [file.clone(), format!("{file}/0")] {
        let made = link(&house, &path, &json!({})).await;
        assert_eq!(made.status.as_u16(), 200, "{made:?}");
        let url = made.json()["url"].as_str().unwrap().to_owned();
        let got = open(&house, Method::GET, &url, &[]).await;
        assert_eq!((got.status.as_u16(), &got.body), (200, &keyed.body));
        for name in [
            "content-type",
            "content-disposition",
            "etag",
            "content-length",
        ] {
            assert_eq!(got.header(name), keyed.header(name), "{name}");
        }
        let head = open(&house, Method::HEAD, &url, &[]).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert_eq!(head.header("etag"), keyed.header("etag"));
        let part = open(&house, Method::GET, &url, &[("range", "bytes=4-7")]).await;
        assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"ftyp"[..]));
        let known = open(
            &house,
            Method::GET,
            &url,
            &[("if-none-match", got.header("etag"))],
        )
        .await;
        assert_eq!(known.status.as_u16(), 304);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_was_changed_in_any_part_is_refused() {
    let house = House::open().await;
    let run = delivered(&house).await;
    let made = link(&house, &format!("{run}/artifacts/video"), &json!({})).await;
    let url = made.json()["url"].as_str().unwrap().to_owned();
    let (path, query) = url.split_once('?').unwrap();
    let part = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(have, _)| *have == name).unwrap().1.to_owned()
    };
    let (expires, number, signature) = (part("expires"), part("key"), part("signature"));
    let later = expires.parse::<i64>().unwrap() + 1;
    let flipped = signature.replacen(
        |_: char| true,
        if signature.starts_with('0') { "1" } else { "0" },
        1,
    );
    let other = "018f0000-0000-7000-8000-000000000000";
    let elsewhere = path.replace(&run["/v1/runs/".len()..], other);
    let changed = [
        path.to_owned(),
        format!("{path}?expires={later}&key={number}&signature={signature}"),
        format!("{path}?key={number}&signature={signature}"),
        format!("{path}?expires={expires}&key=999&signature={signature}"),
        format!("{path}?expires={expires}&key={number}&signature={flipped}"),
        format!(
            "{path}?expires={expires}&key={number}&signature={}",
            &signature[..32]
        ),
        format!("{path}?expires={expires}&key={number}&signature="),
        format!("{path}?expires={expires}&key={number}&signature=zz"),
        format!("{url}&signature={signature}"),
        format!("{url}&x=1"),
        format!("{}?{query}", path.replace("/video/0", "/video/1")),
        format!("{}?{query}", path.replace("/video/", "/film/")),
        format!("{}?{query}", path.replace("/video/0", "/video/%ff")),
        format!("{elsewhere}?{query}"),
        format!("/files/inputs/{other}/{other}/video?{query}"),
    ];
    for link in changed {
        let refused = open(&house, Method::GET, &link, &[]).await;
        assert_eq!(refused.problem(), (403, "C210".to_owned()), "{link}");
    }
    assert_eq!(
        open(&house, Method::GET, &url, &[]).await.status.as_u16(),
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_ends_with_its_time_and_with_its_file() {
    let house = House::open().await;
    let run = delivered(&house).await;
    let file = format!("{run}/artifacts/video");
    let short = link(&house, &file, &json!({"expires_in_ms": 1000})).await;
    let short = short.json()["url"].as_str().unwrap().to_owned();
    let over = async {
        loop {
            let answer = open(&house, Method::GET, &short, &[]).await;
            if answer.status.as_u16() != 200 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let over = tokio::time::timeout(LIMIT, over).await.unwrap();
    assert_eq!(over.problem(), (403, "C211".to_owned()));
    let long = link(&house, &file, &json!({})).await;
    let long = long.json()["url"].as_str().unwrap().to_owned();
    assert_eq!(
        open(&house, Method::GET, &long, &[]).await.status.as_u16(),
        200
    );
    let delete = Request::delete(&run).body(Body::empty()).unwrap();
    assert_eq!(house.call(delete).await.status.as_u16(), 204);
    for link in [&long, &short] {
        let gone = open(&house, Method::GET, link, &[]).await;
        assert_eq!(gone.problem(), (410, "C162".to_owned()), "{link}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_made_of_a_file_that_is_there_for_those_who_may_read_it() {
    let house = House::open().await;
    let made = house.create(&video("a cat"), &[]).await;
    let run = format!("/v1/runs/{}", id(&made));
    let early = link(&house, &format!("{run}/artifacts/video"), &json!({})).await;
    assert_eq!(early.problem(), (409, "C161".to_owned()));
    house.finish().await;
    house.get_with(&run, "prefer", "wait=60").await;
    #[rustfmt::skip]
    let cases = [
        ("artifacts/film",    json!({}),                            404, "C163"),
        ("artifacts/video/1", json!({}),                            404, "C163"),
        ("artifacts/video",   json!({"expires_in_ms": 3_600_001}),  422, "C154"),
        ("artifacts/video",   json!({"for": 1}),                    422, "C153"),
        ("artifacts/video",   json!([]),                            422, "C154"),
    ];
    for (file, body, status, code) in cases {
        let refused = link(&house, &format!("{run}/{file}"), &body).await;
        assert_eq!(
            refused.problem(),
            (status, code.to_owned()),
            "{file} {body}"
        );
    }
    let neighbour = house.modelrow.tenant_create("neighbour", "the test");
    let neighbour = key(&house.modelrow, neighbour.await.unwrap().id, Role::Admin).await;
    let viewer = key(&house.modelrow, DEFAULT_TENANT, Role::Viewer).await;
    for (key, status, code) in [(neighbour, 404, "R162"), (viewer, 403, "C174")] {
        let request = Request::post(format!("{run}/artifacts/video/link"));
        let request = request.header("authorization", bearer(&key));
        let refused = house.call(request.body(Body::empty()).unwrap()).await;
        assert_eq!(refused.problem(), (status, code.to_owned()));
    }
}

/// Sends one request without a key under a public name, and reads the whole answer.
async fn raw(address: SocketAddr, link: &str) -> String {
    let host = format!("http://{address}");
    let path = link.strip_prefix(&host).unwrap();
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: modelrow.example\r\nConnection: close\r\n\r\n");
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// What the provider was given for the cat.
fn handed_on(house: &House) -> String {
    let ledger = house.provider.ledger();
    let mut created = ledger
        .iter()
        .filter(|entry| entry.operation == Operation::Create);
    let body = serde_json::to_value(&created.next().unwrap().body).unwrap();
    let text = body.to_string().replace("\\\"", "\"");
    let (_, rest) = text.split_once("\"image_url\":\"").unwrap_or(("", "\""));
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::disallowed_methods,
    reason = "ends with the runtime of the test"
)]
async fn a_provider_reads_an_input_by_its_link_while_the_run_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut bundle: Value = serde_json::from_str(BUNDLE).unwrap();
    bundle["profiles"][0]["transport"]["body"]["input_reference"] =
        json!({"image_url": "{{inputs.cat.url}}"});
    let reached = |options: &mut Options| options.public_url = Some(format!("http://{address}/"));
    let house = House::open_with(&bundle.to_string(), reached).await;
    // No names but this machine's may call the rest; links are opened under any.
    let serving = serve(
        house.modelrow.clone(),
        listener,
        Access::Local,
        std::future::pending(),
    );
    drop(tokio::spawn(serving));
    let gif = "data:image/gif;base64,R0lGODlhAQABAAAAACw=";
    let mut call = video("a cat");
    call["inputs"] = json!({"cat": {"data_url": gif}});
    let plan = Request::post("/v1/plan").header("content-type", "application/json");
    let plan = house
        .call(plan.body(Body::from(call.to_string())).unwrap())
        .await;
    let planned = plan.json().to_string();
    assert!(
        planned.contains("/files/inputs/***") && !planned.contains("signature"),
        "{planned}"
    );
    let made = house.create(&call, &[]).await;
    let there = |provider: &simulator::Simulator| !provider.accepted_jobs().is_empty();
    assert!(house.provider.wait_until(LIMIT, there).await, "{made:?}");
    let link = handed_on(&house);
    assert!(
        link.contains(&format!("/files/inputs/{}/", id(&made))),
        "{link}"
    );
    assert!(link.contains(".gif?key="), "{link}");
    let read = raw(address, &link).await;
    assert!(read.starts_with("HTTP/1.1 200 "), "{read}");
    assert!(
        read.contains("content-type: image/gif") && read.contains("GIF89a"),
        "{read}"
    );
    let other = link.replace(".gif?", ".png?");
    assert!(raw(address, &other).await.contains("C210"));
    house.finish().await;
    let ended = house
        .get_with(made.header("location"), "prefer", "wait=60")
        .await;
    assert_eq!(ended.json()["status"], "succeeded", "{ended:?}");
    assert!(!ended.json().to_string().contains("/files/"), "{ended:?}");
    let after = raw(address, &link).await;
    assert!(
        after.starts_with("HTTP/1.1 410 ") && after.contains("C162"),
        "{after}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_reaches_us_an_input_has_no_link() {
    let house = House::open().await;
    let mut call = video("a cat");
    call["inputs"] = json!({"cat": {"data_url": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}});
    house.create(&call, &[]).await;
    let there = |provider: &simulator::Simulator| !provider.accepted_jobs().is_empty();
    assert!(house.provider.wait_until(LIMIT, there).await);
    let sent = serde_json::to_string(&house.provider.ledger()[0].body).unwrap();
    assert!(sent.contains("a cat") && !sent.contains("files"), "{sent}");
}
