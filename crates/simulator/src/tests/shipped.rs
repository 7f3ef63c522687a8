//! The cases of the shipped profiles, played end to end: a plain client sends what each says, and gets what it says.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::{Rig, form, send};
use crate::CasePlayer;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn cases() -> Vec<PathBuf> {
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    let folders = files(&profiles);
    folders
        .iter()
        .flat_map(|folder| files(&folder.join("cases")))
        .collect()
}

/// The recorded request, with a secret where the case has its mask.
fn request(rig: &Rig, player: &CasePlayer, recorded: &Value) -> RequestBuilder {
    let text = |value: &Value| value.as_str().unwrap().replace("***", "sk-secret");
    let method = Method::from_bytes(text(&recorded["method"]).as_bytes()).unwrap();
    let mut request = rig
        .http
        .request(method, player.stands_for(&text(&recorded["url"])));
    for (name, value) in recorded["headers"].as_object().into_iter().flatten() {
        // A form brings its own type.
        let is_type = name.eq_ignore_ascii_case("content-type");
        let of_form = is_type && recorded["multipart"].is_array();
        if !value.is_null() && !of_form {
            request = request.header(name, text(value));
        }
    }
    if let Some(parts) = recorded["multipart"].as_array() {
        let parts: Vec<(String, Vec<u8>)> = parts.iter().map(part).collect();
        let parts: Vec<(&str, &[u8])> = parts
            .iter()
            .map(|(head, bytes)| (head.as_str(), bytes.as_slice()))
            .collect();
        return form(request, &parts);
    }
    if let Some(raw) = recorded["body_base64"].as_str() {
        return request.body(STANDARD.decode(raw).unwrap());
    }
    match &recorded["body"] {
        Value::Null => request,
        body => request.body(body.to_string()),
    }
}

fn part(part: &Value) -> (String, Vec<u8>) {
    let text = |name: &str| part[name].as_str();
    let mut head = text("name").unwrap().to_owned();
    if let Some(filename) = text("filename") {
        head.push_str(&format!("; filename=\"{filename}\""));
    }
    if let Some(content_type) = text("content_type") {
        head.push_str(&format!("\r\nContent-Type: {content_type}"));
    }
    let file = text("base64").map(|text| STANDARD.decode(text).unwrap());
    (
        head,
        file.unwrap_or_else(|| text("value").unwrap().as_bytes().to_vec()),
    )
}

fn body(answer: &Value) -> Vec<u8> {
    match (&answer["body"], answer["body_base64"].as_str()) {
        (_, Some(text)) => STANDARD.decode(text).unwrap(),
        (Value::String(text), None) => text.clone().into_bytes(),
        (Value::Null, None) => Vec::new(),
        (body, None) => body.to_string().into_bytes(),
    }
}

#[tokio::test]
async fn every_shipped_case_is_played_to_its_end_and_a_wrong_request_stops_it() {
    let rig = Rig::new().await;
    let (mut cuts, mut forms, mut exchanges) = (0, 0, 0);
    for file in cases() {
        let at = file.display();
        let case: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let player = CasePlayer::start(&case).await;
        let player = player.unwrap_or_else(|error| panic!("{at}: {error:?}"));
        for exchange in case["exchanges"].as_array().unwrap() {
            let wrong = rig.http.patch(player.stands_for("/not-recorded"));
            assert_eq!(send(wrong).await.unwrap().status, 409, "{at}");
            forms += usize::from(exchange["request"]["multipart"].is_array());
            exchanges += 1;
            let got = send(request(&rig, &player, &exchange["request"])).await;
            let answer = &exchange["answer"];
            if answer.is_null() {
                cuts += 1;
                assert!(got.is_err(), "{at}");
                continue;
            }
            let got = got.unwrap();
            let found = player.report().mismatches.pop();
            assert_eq!(
                u64::from(got.status),
                answer["status"].as_u64().unwrap_or(200),
                "{at}: {found:?}"
            );
            assert_eq!(got.bytes, body(answer), "{at}");
            for (name, value) in answer["headers"].as_object().into_iter().flatten() {
                assert_eq!(got.header(name), value.as_str().unwrap(), "{at}: {name}");
            }
        }
        let report = player.report();
        let wanted = case["exchanges"].as_array().unwrap().len();
        assert_eq!(
            (
                report.answered,
                report.unused.len(),
                report.mismatches.len()
            ),
            (wanted, 0, wanted),
            "{at}: {report:?}"
        );
    }
    assert!(
        cuts > 0 && forms > 0 && exchanges > 100,
        "{cuts} cuts, {forms} forms, {exchanges} exchanges"
    );
}
