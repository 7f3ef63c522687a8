use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{Got, Rig, form, send};
use crate::{BadCase, CasePlayer};

fn case() -> Value {
    json!({
        "input": {"prompt": "a cat"},
        "exchanges": [
            {"request": {
                "method": "POST", "url": "https://api.acme.test/v1/videos?wait=0",
                "headers": {"authorization": "Bearer ***", "content-type": "application/json"},
                "body": {"prompt": "a cat", "n": 8, "tags": ["a"]},
             },
             "answer": {"status": 200, "headers": {"x-pace": "5"}, "body": {"id": "job_1"}}},
            {"request": {"method": "GET", "url": "https://api.acme.test/v1/videos/job_1/content"},
             "answer": {"status": 200, "headers": {"content-type": "video/mp4"}, "body_base64": "AAEC"}},
            {"request": {"method": "GET", "url": "https://api.acme.test/v1/videos/job_1"},
             "answer": {"status": 404, "headers": {"content-type": "text/html"}, "body": "<html>"}},
        ],
        "expect": {"output": {}},
    })
}

async fn submit(rig: &Rig, player: &CasePlayer, body: Value) -> Got {
    let url = player.stands_for("https://api.acme.test/v1/videos?wait=0");
    let request = rig
        .http
        .post(url)
        .bearer_auth("secret")
        .header(CONTENT_TYPE, "application/json");
    send(request.body(body.to_string())).await.unwrap()
}

#[tokio::test]
async fn a_recorded_case_is_played_in_its_order() {
    let rig = Rig::new().await;
    let player = CasePlayer::start(&case()).await.unwrap();
    assert_eq!(player.report().unused.len(), 3);
    let got = submit(
        &rig,
        &player,
        json!({"tags": ["a"], "n": 8.0, "prompt": "a cat"}),
    )
    .await;
    assert_eq!(
        (got.status, got.header("x-pace"), got.json()),
        (200, "5", json!({"id": "job_1"}))
    );
    let base = player.stands_for("https://api.acme.test/v1/videos/job_1");
    let video = send(rig.http.get(format!("{base}/content"))).await.unwrap();
    assert_eq!(
        (video.header("content-type"), video.bytes.as_slice()),
        ("video/mp4", [0, 1, 2].as_slice())
    );
    let last = send(rig.http.get(&base)).await.unwrap();
    assert_eq!(
        (
            last.status,
            last.header("content-type"),
            last.bytes.as_slice()
        ),
        (404, "text/html", b"<html>".as_slice())
    );
    assert!(player.report().is_faithful(), "{:?}", player.report());
    let more = send(rig.http.get(&base)).await.unwrap();
    assert_eq!(more.status, 409);
    assert_eq!(
        player.report().mismatches[0].differences,
        ["no exchange is left"]
    );
}

#[tokio::test]
async fn a_request_that_differs_is_answered_with_the_differences_and_the_case_stays_where_it_is() {
    let rig = Rig::new().await;
    let player = CasePlayer::start(&case()).await.unwrap();
    let got = submit(
        &rig,
        &player,
        json!({"prompt": "a dog", "n": 8, "tags": ["a"], "seed": 1}),
    )
    .await;
    assert_eq!(got.status, 409);
    let differences = json!([
        "body/prompt: recorded `\"a cat\"`, came `\"a dog\"`",
        "body/seed: not recorded, came `1`",
    ]);
    assert_eq!(got.json()["error"]["mismatch"]["differences"], differences);
    assert_eq!(got.json()["error"]["mismatch"]["due"], 1);
    let report = player.report();
    assert_eq!(
        (
            report.answered,
            report.mismatches.len(),
            report.unused.len()
        ),
        (0, 1, 3)
    );
    assert!(!report.is_faithful());
}

#[tokio::test]
#[rustfmt::skip]
async fn method_path_query_header_and_type_are_compared_too() {
    let rig = Rig::new().await;
    let cases = [
        // path and query                               body                                               key        differs
        ("https://api.acme.test/v1/video?wait=0",       json!({"prompt": "a cat", "n": 8, "tags": ["a"]}),   "Bearer k", "path"),
        ("https://api.acme.test/v1/videos?wait=1",      json!({"prompt": "a cat", "n": 8, "tags": ["a"]}),   "Bearer k", "query"),
        ("https://api.acme.test/v1/videos?wait=0",      json!({"prompt": "a cat", "n": "8", "tags": ["a"]}), "Bearer k", "body/n"),
        ("https://api.acme.test/v1/videos?wait=0",      json!({"prompt": "a cat", "n": 8, "tags": []}),      "Bearer k", "body/tags"),
        ("https://api.acme.test/v1/videos?wait=0",      json!({"prompt": "a cat", "n": 8, "tags": ["a"]}),   "Basic k",  "header authorization"),
    ];
    for (url, body, key, differs) in cases {
        let player = CasePlayer::start(&case()).await.unwrap();
        let request = rig.http.post(player.stands_for(url)).header("authorization", key).header(CONTENT_TYPE, "application/json");
        assert_eq!(send(request.body(body.to_string())).await.unwrap().status, 409, "{differs}");
        let found = player.report().mismatches[0].differences.clone();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("{differs}:")) || found[0].starts_with(&format!("{differs} ")), "{found:?}");
    }
    let player = CasePlayer::start(&case()).await.unwrap();
    send(rig.http.put(player.stands_for("https://api.acme.test/v1/videos?wait=0"))).await.unwrap();
    assert!(player.report().mismatches[0].differences[0].starts_with("method:"));
}

fn one(request: Value, answer: Value) -> Value {
    json!({"exchanges": [{"request": request, "answer": answer}]})
}

#[tokio::test]
#[rustfmt::skip]
async fn the_parts_of_a_form_are_compared_whatever_the_order_of_their_names() {
    let rig = Rig::new().await;
    let case = one(json!({
        "method": "POST", "url": "https://api.acme.test/v1/videos",
        "multipart": [
            {"name": "prompt", "value": "a cat"},
            {"name": "image", "filename": "a.png", "content_type": "image/png", "base64": "YWJj"},
            {"name": "tag", "value": "1"}, {"name": "tag", "value": "2"},
        ],
    }), json!({"status": 202, "body": {}}));
    let png = "image; filename=\"a.png\"\r\nContent-Type: image/png";
    let gif = "image; filename=\"a.png\"\r\nContent-Type: image/gif";
    let other = "image; filename=\"b.png\"\r\nContent-Type: image/png";
    type Parts<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(Parts<'_>, Option<&str>); 9] = [
        (&[("prompt", b"a cat"), (png, b"abc"), ("tag", b"1"), ("tag", b"2")],                None),
        (&[("tag", b"1"), (png, b"abc"), ("tag", b"2"), ("prompt", b"a cat")],                None),
        (&[("prompt", b"a cat"), (png, b"abc"), ("tag", b"2"), ("tag", b"1")],                Some("multipart/tag: recorded `1`, came `2`")),
        (&[("prompt", b"a cat"), (png, b"abd"), ("tag", b"1"), ("tag", b"2")],                Some("multipart/image: recorded `abc`, came `abd`")),
        (&[("prompt", b"a cat"), (gif, b"abc"), ("tag", b"1"), ("tag", b"2")],                Some("multipart/image/content_type: recorded `image/png`, came `image/gif`")),
        (&[("prompt", b"a cat"), (other, b"abc"), ("tag", b"1"), ("tag", b"2")],              Some("multipart/image/filename: recorded `a.png`, came `b.png`")),
        (&[("prompt", b"a cat"), ("tag", b"1"), ("tag", b"2")],                               Some("multipart/image: recorded, and did not come")),
        (&[("prompt", b"a cat"), (png, b"abc"), ("tag", b"1"), ("tag", b"2"), ("n", b"1")],   Some("multipart/n: not recorded, came")),
        (&[("prompt", b"a cat"), ("image", b"abc"), ("tag", b"1"), ("tag", b"2")],            Some("multipart/image/filename: recorded `a.png`, came `none`")),
    ];
    for (parts, differs) in cases {
        let player = CasePlayer::start(&case).await.unwrap();
        let request = rig.http.post(player.stands_for("https://api.acme.test/v1/videos"));
        let got = send(form(request, parts)).await.unwrap();
        let first = player.report().mismatches.first().map(|mismatch| mismatch.differences[0].clone());
        assert_eq!((got.status, first.as_deref()), (if differs.is_some() { 409 } else { 202 }, differs));
    }
    let player = CasePlayer::start(&case).await.unwrap();
    let request = rig.http.post(player.stands_for("https://api.acme.test/v1/videos"));
    send(request.header(CONTENT_TYPE, "application/json").body("{}")).await.unwrap();
    let found = player.report().mismatches[0].differences.clone();
    assert_eq!(found, ["multipart: recorded a form, came `application/json`"]);
}

#[tokio::test]
async fn a_header_recorded_as_null_must_not_be_sent() {
    let rig = Rig::new().await;
    let url = "https://files.acme.test/v.mp4?sig=1";
    let request = json!({"method": "GET", "url": url, "headers": {"Authorization": null}});
    let player = CasePlayer::start(&one(request, json!({}))).await.unwrap();
    let get = || rig.http.get(player.stands_for(url));
    let keyed = send(get().bearer_auth("k")).await.unwrap();
    assert_eq!(keyed.status, 409);
    let found = player.report().mismatches[0].differences.clone();
    assert_eq!(found, ["header Authorization: must not be sent"]);
    assert_eq!(send(get()).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_answer_of_null_cuts_the_connection_and_the_next_exchange_is_due() {
    let rig = Rig::new().await;
    let url = "https://api.acme.test/v1/videos";
    let case = json!({"exchanges": [
        {"request": {"method": "POST", "url": url, "body": {"prompt": "a cat"}}, "answer": null},
        {"request": {"method": "GET", "url": url}, "answer": {"body": []}},
    ]});
    let player = CasePlayer::start(&case).await.unwrap();
    let post = rig.http.post(player.stands_for(url));
    let error = send(post.body(r#"{"prompt": "a cat"}"#)).await.unwrap_err();
    assert!(
        !error.is_timeout() && !error.is_connect() && error.status().is_none(),
        "{error:?}"
    );
    assert_eq!(player.report().answered, 1);
    let got = send(rig.http.get(player.stands_for(url))).await.unwrap();
    assert_eq!((got.status, got.bytes.as_slice()), (200, b"[]".as_slice()));
    assert!(player.report().is_faithful(), "{:?}", player.report());
}

#[tokio::test]
#[rustfmt::skip]
async fn an_answer_has_the_type_that_is_written_or_json_for_a_body_that_is_no_text() {
    let rig = Rig::new().await;
    let cases = [
        // answer                                                                 status type               body
        (json!({"body": {"a": 1}}),                                               200, "application/json", "{\"a\":1}"),
        (json!({"body": {"a": 1}, "headers": {"Content-Type": "text/x"}}),        200, "text/x",           "{\"a\":1}"),
        (json!({"body": null}),                                                   200, "application/json", "null"),
        (json!({"body": "<html>", "status": 502}),                                502, "",                 "<html>"),
        (json!({"body": "<html>", "headers": {"content-type": "text/html"}}),     200, "text/html",        "<html>"),
        (json!({"body_base64": ""}),                                              200, "",                 ""),
        (json!({"body_base64": "YWJj", "headers": {"Content-Type": "video/mp4"}}), 200, "video/mp4",       "abc"),
        (json!({}),                                                               200, "",                 ""),
    ];
    for (answer, status, content_type, body) in cases {
        let case = one(json!({"method": "GET", "url": "https://api.acme.test/"}), answer.clone());
        let player = CasePlayer::start(&case).await.unwrap();
        let got = send(rig.http.get(player.stands_for("https://api.acme.test/"))).await.unwrap();
        assert_eq!((got.status, got.header("content-type"), got.bytes.as_slice()), (status, content_type, body.as_bytes()), "{answer}");
    }
}

#[tokio::test]
#[rustfmt::skip]
async fn null_is_not_absent_and_a_body_is_not_no_body() {
    let rig = Rig::new().await;
    let url = "https://api.acme.test/v1/videos";
    let cases = [
        // recorded                     came             differs
        (json!({"body": {"a": null}}),  r#"{}"#,         Some("body/a: recorded `null`, nothing came")),
        (json!({"body": {}}),           r#"{"a":null}"#, Some("body/a: not recorded, came `null`")),
        (json!({"body": {"a": null}}),  r#"{"a":null}"#, None),
        (json!({}),                     r#"{}"#,         Some("body: recorded without one, came `{}`")),
        (json!({"body": {}}),           "",              Some("body: recorded JSON, came ``, which is none")),
        (json!({}),                     "",              None),
        (json!({"body_base64": "YWJj"}), "abc",          None),
        (json!({"body_base64": "YWJj"}), "abd",          Some("body: recorded `abc` of 3 bytes, came `abd` of 3 bytes")),
        (json!({"body_base64": "YWJj"}), "",             Some("body: recorded `abc` of 3 bytes, came `` of 0 bytes")),
    ];
    for (recorded, came, differs) in cases {
        let mut request = json!({"method": "POST", "url": url});
        request.as_object_mut().unwrap().extend(recorded.as_object().unwrap().clone());
        let player = CasePlayer::start(&one(request, json!({}))).await.unwrap();
        let post = rig.http.post(player.stands_for(url)).header(CONTENT_TYPE, "application/json");
        send(post.body(came)).await.unwrap();
        let report = player.report();
        let found: Vec<_> = report.mismatches.iter().flat_map(|mismatch| &mismatch.differences).collect();
        assert_eq!(found, Vec::from_iter(differs), "{recorded} {came}");
    }
}

#[tokio::test]
#[rustfmt::skip]
async fn what_could_only_be_played_by_guessing_is_refused() {
    let get = || json!({"method": "GET", "url": "https://api.acme.test/"});
    let with = |name: &str, value: Value| {
        let mut request = get();
        request.as_object_mut().unwrap().insert(name.to_owned(), value);
        one(request, json!({}))
    };
    let unreadable = [
        json!({}), json!({"exchanges": [{"request": {}}]}), json!(7),
        json!({"exchanges": [], "exchange": 1}), json!({"exchanges": [], "at": 1}),
        json!({"exchanges": [{"request": get()}]}),
        with("headers", json!({"a": 1})), with("form", json!({})), one(get(), json!({"code": 200})),
    ];
    for case in unreadable {
        assert!(matches!(CasePlayer::start(&case).await, Err(BadCase::Unreadable(_))), "{case}");
    }
    let both = json!({"method": "POST", "url": "https://api.acme.test/", "body": {}, "multipart": []});
    let contradictory = [
        one(both, json!({})),
        one(json!({"method": "POST", "url": "https://api.acme.test/", "body": {}, "body_base64": ""}), json!({})),
        one(json!({"method": "POST", "url": "https://api.acme.test/", "multipart": [], "body_base64": ""}), json!({})),
        with("body_base64", json!("!")),
        with("multipart", json!([{"name": "a"}])),
        with("multipart", json!([{"name": "a", "value": "b", "base64": ""}])),
        with("multipart", json!([{"name": "a", "filename": "b", "base64": "!"}])),
        one(get(), json!({"body": {}, "body_base64": ""})),
        one(get(), json!({"body_base64": "!"})), one(get(), json!({"status": 99})), one(get(), json!({"headers": {"a b": ""}})),
    ];
    for case in contradictory {
        assert!(matches!(CasePlayer::start(&case).await, Err(BadCase::Contradiction { exchange: 1, .. })), "{case}");
    }
    assert!(CasePlayer::start(&json!({"exchanges": [], "at": "2026-01-01T00:00:00Z", "input": {}, "expect": {}})).await.is_ok());
}

#[tokio::test]
async fn a_case_may_name_its_schema_and_a_refused_one_is_told_which_member_is_not_known() {
    let named = json!({"$schema": "../../../schemas/case.json", "exchanges": []});
    assert!(CasePlayer::start(&named).await.is_ok());
    let refused = CasePlayer::start(&json!({"exchanges": [], "exchange": 1})).await;
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("unknown field `exchange`"), "{told}");
}
