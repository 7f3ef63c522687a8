//! `POST /v1/inputs`: files for calls to name.

use crate::fixture::{Answer, House, LIMIT, bearer, key};
use crate::{id, video};
use axum::body::Body;
use axum::http::Request;
use runtime::{Role, Sweep};
use serde_json::{Value, json};
use server::{Access, Settings, serve};
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use store::DEFAULT_TENANT;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const GIF: &str = "GIF89a\u{1}\u{0}\u{1}\u{0}\u{0}\u{0}\u{0},";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n........";
const BOUNDARY: &str = "a-boundary-of-ours";

pub(crate) fn form_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

fn part(name: &str, filename: &str, content_type: &str, bytes: &[u8]) -> Vec<u8> {
    let content_type = match content_type {
        "" => String::new(),
        text => format!("Content-Type: {text}\r\n"),
    };
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\n{content_type}\r\n"
    );
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

fn closed(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), format!("--{BOUNDARY}--\r\n").into_bytes()].concat()
}

/// A form with one file.
pub(crate) fn form(filename: &str, content_type: &str, bytes: &[u8]) -> Vec<u8> {
    closed(&[part("file", filename, content_type, bytes)])
}

async fn upload(house: &House, body: Vec<u8>) -> Answer {
    let request = Request::post("/v1/inputs").header("content-type", form_type());
    house.call(request.body(Body::from(body)).unwrap()).await
}

fn naming(upload: &str) -> Value {
    let mut call = video("a cat");
    call["inputs"] = json!({"cat": {"id": upload}});
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_uploaded_is_an_input_of_calls() {
    let house = House::open().await;
    let stored = upload(&house, form("my cat.gif", "image/gif", GIF.as_bytes())).await;
    assert_eq!(stored.status.as_u16(), 201, "{stored:?}");
    let view = stored.json();
    assert_eq!(view["sha256"], hex::encode(Sha256::digest(GIF)));
    assert_eq!(
        (&view["bytes"], &view["content_type"], &view["filename"]),
        (&json!(GIF.len()), &json!("image/gif"), &json!("my cat.gif"))
    );
    assert!(view["expires_at"].as_str().unwrap() > "2026", "{view}");
    let upload = view["id"].as_str().unwrap();
    for _ in 0..2 {
        let made = house.create(&naming(upload), &[]).await;
        assert_eq!(made.status.as_u16(), 202, "{made:?}");
    }
    // The same bytes in another way are the same call.
    let keyed = [("idempotency-key", "cat")];
    let first = house.create(&naming(upload), &keyed).await;
    let mut again = video("a cat");
    again["inputs"] = json!({"cat": {"data_url": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}});
    let again = house.create(&again, &keyed).await;
    assert_eq!(id(&again), id(&first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_is_told_by_the_bytes_alone_is_known() {
    let house = House::open().await;
    for declared in ["", "application/octet-stream", "image/x-png"] {
        let stored = upload(&house, form("x", declared, PNG)).await;
        assert_eq!(stored.status.as_u16(), 201, "{declared}: {stored:?}");
        assert_eq!(stored.json()["content_type"], "image/png", "{declared}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_form_with_one_good_file_is_refused_and_nothing_of_it_stays() {
    let house = House::open().await;
    let file = || part("file", "cat.png", "image/png", PNG);
    let long = [b"<html>".to_vec(), vec![b'x'; 3 << 20]].concat();
    #[rustfmt::skip]
    let cases = [
        ("no part",            closed(&[]),                                          422, "C213", ""),
        ("another name",       closed(&[part("image", "cat.png", "image/png", PNG)]), 422, "C213", ""),
        ("two files",          closed(&[file(), file()]),                            422, "C213", ""),
        ("an empty file",      form("cat.png", "image/png", b""),                    422, "C213", "/file"),
        ("html as png",        form("cat.png", "image/png", b"<html>"),              422, "C213", "/file"),
        ("long html as png",   form("cat.png", "image/png", &long),                  422, "C213", "/file"),
        ("png as jpeg",        form("cat.jpg", "image/jpeg", PNG),                   422, "C213", "/file"),
        ("nobody knows what",  form("cat", "", b"what is it"),                       422, "C213", "/file"),
        ("cut in the file",    file(),                                               400, "C168", ""),
        ("cut in the end",     [file(), b"--a-bound".to_vec()].concat(),             400, "C168", ""),
        ("cut in the head",    b"--a-boundary-of-ours\r\nContent-Dis".to_vec(),      400, "C168", ""),
        ("not a form",         b"{}".to_vec(),                                       400, "C168", ""),
        ("a head without end", [b"--a-boundary-of-ours\r\nX: ".to_vec(), vec![b'x'; 8 << 20]].concat(), 400, "C168", ""),
    ];
    for (why, body, status, code, pointer) in cases {
        // In pieces, as a connection gives them.
        let pieces: Vec<_> = body
            .chunks(64 * 1024)
            .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
            .collect();
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let request = Request::post("/v1/inputs").header("content-type", form_type());
        let refused = house.call(request.body(body).unwrap()).await;
        assert_eq!(
            refused.problem(),
            (status, code.to_owned()),
            "{why}: {}",
            refused.json()
        );
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{why}");
    }
    for content_type in ["application/json", "multipart/form-data", "text/plain"] {
        let request = Request::post("/v1/inputs").header("content-type", content_type);
        let refused = house.call(request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(
            refused.problem(),
            (415, "C156".to_owned()),
            "{content_type}"
        );
    }
    emptied(&house).await;
}

/// What is thrown away goes beside the answer.
async fn emptied(house: &House) {
    let empty = async {
        while !house.files().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let empty = tokio::time::timeout(LIMIT, empty).await;
    assert!(empty.is_ok(), "{:?}", house.files());
    let swept = house.modelrow.sweep(Sweep::DryRun).await.unwrap();
    assert_eq!((swept.strays, swept.uploads, swept.inputs), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_not_there_for_the_caller_is_refused_at_its_place() {
    let house = House::open_with(crate::fixture::BUNDLE, |options| {
        options.retention.inputs = std::time::Duration::ZERO;
    })
    .await;
    let expired = upload(&house, form("cat.png", "image/png", PNG))
        .await
        .json();
    let neighbour = house.modelrow.tenant_create("neighbour", "the test");
    let neighbour = key(&house.modelrow, neighbour.await.unwrap().id, Role::Caller).await;
    let other = Request::post("/v1/inputs")
        .header("content-type", form_type())
        .header("authorization", bearer(&neighbour));
    let other = other.body(Body::from(form("cat.png", "image/png", PNG)));
    let other = house.call(other.unwrap()).await.json();
    let unknown = "018f0000-0000-7000-8000-000000000000";
    let cases = [
        (expired["id"].as_str().unwrap(), "has expired"),
        (other["id"].as_str().unwrap(), "there is no upload"),
        (unknown, "there is no upload"),
    ];
    for (upload, why) in cases {
        let refused = house.create(&naming(upload), &[]).await;
        assert_eq!(refused.problem(), (422, "C212".to_owned()), "{why}");
        let first = &refused.json()["errors"][0];
        assert_eq!(first["pointer"], "/inputs/cat/id");
        assert!(first["message"].as_str().unwrap().contains(why), "{first}");
    }
    let refused = house.create(&naming("cat"), &[]).await;
    assert_eq!(refused.problem(), (422, "C154".to_owned()));
}

/// A house on a socket whose files may have a mebibyte.
#[expect(
    clippy::disallowed_methods,
    reason = "ends with the runtime of the test"
)]
async fn small(house: &House) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = Settings {
        upload_bytes: 1 << 20,
        ..Access::Keys.into()
    };
    let serving = serve(
        house.modelrow.clone(),
        listener,
        settings,
        std::future::pending(),
    );
    drop(tokio::spawn(serving));
    address
}

fn head(house: &House, more: &str) -> String {
    let (key, form) = (bearer(&house.key), form_type());
    format!(
        "POST /v1/inputs HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\nContent-Type: {form}\r\nConnection: close\r\n{more}\r\n"
    )
}

async fn answer(tcp: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // Whoever refuses closes before all has come.
    let _ = tcp.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_too_large_is_refused_before_it_has_come() {
    let house = House::open().await;
    let address = small(&house).await;
    // Announced: not a byte of it is awaited.
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let announced = head(
        &house,
        "Content-Length: 10000000000\r\nExpect: 100-continue\r\n",
    );
    tcp.write_all(announced.as_bytes()).await.unwrap();
    let refused = answer(&mut tcp).await;
    assert!(
        refused.starts_with("HTTP/1.1 413 ") && refused.contains("C151"),
        "{refused}"
    );
    // Not announced: as soon as it is too much.
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let open = head(&house, "Transfer-Encoding: chunked\r\n");
    tcp.write_all(open.as_bytes()).await.unwrap();
    let first = part("file", "film.mp4", "video/mp4", b"\0\0\0\x20ftypisom");
    let first = [&first[..first.len() - 2], &vec![b'x'; 64 * 1024]].concat();
    let mut sent = 0_usize;
    let mut piece = first;
    while sent < 64 << 20 {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        if tcp.write_all(&chunk).await.is_err() {
            break;
        }
        sent += piece.len();
        piece = vec![b'x'; 64 * 1024];
    }
    assert!(sent < 32 << 20, "all of it was taken: {sent}");
    emptied(&house).await;
    let fits = form(
        "film.mp4",
        "video/mp4",
        &[&b"\0\0\0\x20ftypisom"[..], &vec![b'x'; 1_000_000]].concat(),
    );
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let whole = head(&house, &format!("Content-Length: {}\r\n", fits.len()));
    tcp.write_all(&[whole.as_bytes(), &fits].concat())
        .await
        .unwrap();
    let stored = answer(&mut tcp).await;
    assert!(stored.starts_with("HTTP/1.1 201 "), "{stored}");
    assert_eq!(house.files().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_who_leaves_in_the_middle_leaves_nothing() {
    let house = House::open().await;
    let address = small(&house).await;
    let whole = form(
        "film.mp4",
        "video/mp4",
        &[&b"\0\0\0\x20ftypisom"[..], &vec![b'x'; 1_000_000]].concat(),
    );
    for cut in [200, whole.len() / 2, whole.len() - 100, whole.len() - 4] {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let announced = head(&house, &format!("Content-Length: {}\r\n", whole.len()));
        tcp.write_all(announced.as_bytes()).await.unwrap();
        tcp.write_all(&whole[..cut]).await.unwrap();
        if cut > 600_000 {
            // A first part is on its way to the disk.
            let begun = async {
                while house.files().is_empty() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(LIMIT, begun).await.unwrap();
        }
        drop(tcp);
        emptied(&house).await;
    }
    let viewer = key(&house.modelrow, DEFAULT_TENANT, Role::Viewer).await;
    let request = Request::post("/v1/inputs").header("authorization", bearer(&viewer));
    let refused = house.call(request.body(Body::from(whole)).unwrap()).await;
    assert_eq!(refused.problem(), (403, "C174".to_owned()));
    emptied(&house).await;
}
