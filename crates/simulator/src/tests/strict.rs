use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{Rig, form, png, send, slow, wire};
use crate::{Config, Key};

#[tokio::test]
#[rustfmt::skip]
async fn what_the_documentation_does_not_allow_is_refused_and_no_job_is_made() {
    let rig = Rig::new().await;
    let ordinary = wire().fields["model"].default.clone();
    let data_url = |image: &[u8]| format!("data:image/png;base64,{}", STANDARD.encode(image));
    let reference = |value: Value| json!({"prompt": "x", "input_reference": value});
    let cases = [
        // why                                body                                                    param              code
        ("no prompt",                         json!({}),                                              "prompt",          "missing_required_parameter"),
        ("empty prompt",                      json!({"prompt": ""}),                                  "prompt",          "string_below_min_length"),
        ("long prompt",                       json!({"prompt": "x".repeat(32_001)}),                  "prompt",          "string_above_max_length"),
        ("prompt is no text",                 json!({"prompt": 7}),                                   "prompt",          "invalid_type"),
        ("integer seconds",                   json!({"prompt": "x", "seconds": 8}),                   "seconds",         "invalid_type"),
        ("null seconds",                      json!({"prompt": "x", "seconds": null}),                "seconds",         "invalid_type"),
        ("seconds off the list",              json!({"prompt": "x", "seconds": "5"}),                 "seconds",         "invalid_value"),
        ("unknown size",                      json!({"prompt": "x", "size": "1x1"}),                  "size",            "invalid_value"),
        ("size of the other model",           json!({"prompt": "x", "model": ordinary, "size": "1024x1792"}), "size",    "invalid_value"),
        ("unknown model",                     json!({"prompt": "x", "model": "acme-1"}),              "model",           "invalid_value"),
        ("unknown field",                     json!({"prompt": "x", "seed": 1}),                      "seed",            "unknown_parameter"),
        ("field of another wire",             json!({"prompt": "x", "quality": "high"}),              "quality",         "unknown_parameter"),
        ("image as a text",                   reference(json!("https://acme.test/a.png")),            "input_reference", "invalid_type"),
        ("image in two ways",                 reference(json!({"image_url": "u", "file_id": "f"})),   "input_reference", "invalid_type"),
        ("image in no way",                   reference(json!({})),                                   "input_reference", "invalid_type"),
        ("data that is no image",             reference(json!({"image_url": data_url(b"<html>")})),   "input_reference", "unsupported_file"),
        ("data that is no base64",            reference(json!({"image_url": "data:image/png;base64,?"})), "input_reference", "unsupported_file"),
    ];
    for (why, body, param, code) in cases {
        let got = rig.create(body).await;
        let error = &got.json()["error"];
        assert_eq!(got.status, 400, "{why}: {error}");
        assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)), "{why}: {error}");
        assert_eq!(error["type"], "invalid_request_error", "{why}");
        assert!(!error["message"].as_str().unwrap().contains('{'), "{why}: {error}");
    }
    let small = rig.create(reference(json!({"image_url": data_url(&png(64, 64))}))).await;
    assert_eq!(small.status, 400);
    assert!(small.json()["error"]["message"].as_str().unwrap().contains("720x1280"));
    assert!(rig.sim.accepted_jobs().is_empty());

    for image in [json!({"file_id": "file_1"}), json!({"image_url": "https://acme.test/a.png"}), json!({"image_url": data_url(&png(720, 1280))})] {
        assert_eq!(rig.create(reference(image)).await.status, 200);
    }
}

#[tokio::test]
async fn a_size_of_the_better_model_is_accepted_for_it() {
    let rig = Rig::new().await;
    let better = wire()
        .models
        .into_keys()
        .find(|model| model.ends_with("-pro"))
        .unwrap();
    let got = rig
        .create(json!({"prompt": "x", "model": better, "size": "1024x1792"}))
        .await;
    assert_eq!(got.status, 200, "{got:?}");
}

type Parts<'a> = Vec<(&'a str, &'a [u8])>;

#[tokio::test]
#[rustfmt::skip]
async fn forms_are_read_as_strictly_as_documents() {
    let rig = Rig::new().await;
    let file = "\"input_reference\"; filename=\"a.png\"\r\nContent-Type: image/png";
    let text = "\"input_reference\"; filename=\"a.txt\"\r\nContent-Type: text/plain";
    let (right, wrong) = (png(720, 1280), png(720, 720));
    let cases: [(&str, Parts<'_>, u16); 8] = [
        ("prompt alone",          vec![("prompt", b"x")], 200),
        ("right image",           vec![("prompt", b"x"), (file, &right)], 200),
        ("image of another size", vec![("prompt", b"x"), (file, &wrong)], 400),
        ("empty image",           vec![("prompt", b"x"), (file, b"")], 400),
        ("no image",              vec![("prompt", b"x"), (text, &right)], 400),
        ("image as a text",       vec![("prompt", b"x"), ("input_reference", b"https://acme.test/a.png")], 400),
        ("a field twice",         vec![("prompt", b"x"), ("prompt", b"y")], 400),
        ("unknown field",         vec![("prompt", b"x"), ("n", b"2")], 400),
    ];
    for (why, parts, want) in cases {
        let got = send(form(rig.request("POST", "/videos"), &parts)).await.unwrap();
        assert_eq!(got.status, want, "{why}: {got:?}");
    }
}

#[tokio::test]
async fn a_body_must_be_what_its_content_type_says() {
    let rig = Rig::new().await;
    for (kind, body) in [
        ("text/plain", r#"{"prompt":"x"}"#),
        ("application/x-www-form-urlencoded", "prompt=x"),
        ("application/json", "{\"prompt\":"),
        ("application/json", "[]"),
        ("multipart/form-data", "no boundary"),
        ("multipart/form-data; boundary=b", "--b\r\nnothing"),
    ] {
        let got = send(
            rig.request("POST", "/videos")
                .header(CONTENT_TYPE, kind)
                .body(body),
        )
        .await
        .unwrap();
        assert_eq!(got.status, 400, "{kind} {body}: {got:?}");
        assert!(got.json()["error"]["message"].is_string());
    }
    assert_eq!(
        send(rig.request("POST", "/videos")).await.unwrap().status,
        400
    );
    assert!(rig.sim.accepted_jobs().is_empty());
}

#[tokio::test]
async fn without_the_right_bearer_the_answer_is_401_and_shows_no_key() {
    let rig = Rig::of(Config {
        keys: vec![Key::from("the-right-one")],
        ..slow()
    })
    .await;
    let url = format!("{}/videos", rig.sim.base_url());
    let wrong = [
        "",
        "Bearer ",
        "Basic the-right-one",
        "the-right-one",
        "Bearer a-very-wrong-key-9876",
    ];
    for value in wrong {
        let got = send(rig.http.get(&url).header(AUTHORIZATION, value))
            .await
            .unwrap();
        let error = got.json()["error"].clone();
        assert_eq!(
            (got.status, &error["type"]),
            (401, &json!("invalid_request_error")),
            "{value}"
        );
        assert!(
            !got.bytes.windows(14).any(|part| part == b"very-wrong-key"),
            "{error}"
        );
    }
    let got = send(rig.http.get(&url)).await.unwrap();
    assert_eq!(
        (got.status, &got.json()["error"]["code"]),
        (401, &json!(null))
    );
    let got = send(rig.http.get(&url).bearer_auth("wrong")).await.unwrap();
    assert_eq!(
        (got.status, &got.json()["error"]["code"]),
        (401, &json!("invalid_api_key"))
    );
    assert_eq!(
        send(rig.http.get(&url).bearer_auth("the-right-one"))
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_cannot_be_asked_400() {
    let rig = Rig::new().await;
    for (method, path, want) in [
        ("GET", "/videos/video_none", 404),
        ("GET", "/videos/video_none/content", 404),
        ("DELETE", "/videos/video_none", 404),
        ("GET", "/video", 404),
        ("PUT", "/videos", 404),
        ("GET", "/videos?limit=0", 400),
        ("GET", "/videos?limit=101", 400),
        ("GET", "/videos?order=up", 400),
        ("GET", "/videos?page=2", 400),
    ] {
        let got = send(rig.request(method, path)).await.unwrap();
        assert_eq!(got.status, want, "{method} {path}");
        assert!(
            got.json()["error"]["message"].is_string(),
            "{method} {path}"
        );
    }
}
