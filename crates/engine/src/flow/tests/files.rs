//! Files: where they are, what asks for them, and what follows when they do not come.

use super::*;

/// A job whose result is at an address that its poll tells.
fn by_address() -> Value {
    let mut profile = json!({"workflow": {"steps": []}});
    profile["workflow"]["steps"] = json!([
        {"name": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 2000, "states": {"succeeded": ["done"], "failed": ["failed"]}},
        {"name": "download", "url_path": "files[].url", "mode": "binary"}
    ]);
    profile
}

pub(super) fn files(flow: &mut Flow, now_ms: &mut i64) -> Vec<FileTask> {
    match act(flow, now_ms) {
        Action::Fetch { files, .. } => files,
        other => panic!("no files: {other:?}"),
    }
}

#[test]
fn credentials_go_with_a_file_only_where_they_may() {
    let (mut flow, mut now) = accepted(&by_address());
    let urls = json!([{"url": "https://cdn.example/f?sig=1"}, {"url": "https://api.acme.ai/f"}, {"url": "data:video/mp4;base64,AAAA"}]);
    let _ = say(
        &mut flow,
        &mut now,
        200,
        &json!({"status": "done", "files": urls}),
    );
    let files = files(&mut flow, &mut now);
    let [
        FileSource::Request(elsewhere),
        FileSource::Request(own),
        FileSource::Bytes(bytes),
    ] = [&files[0].source, &files[1].source, &files[2].source]
    else {
        panic!("{files:?}");
    };
    assert_eq!(
        (elsewhere.trusted, elsewhere.header("authorization")),
        (false, None)
    );
    assert_eq!(elsewhere.url.as_str(), "https://cdn.example/f?sig=1");
    assert!(own.trusted && own.header("authorization").is_some());
    assert_eq!(
        (&bytes[..], files[2].mime.as_deref(), files[2].idx),
        (&[0, 0, 0][..], Some("video/mp4"), 2)
    );
}

#[test]
fn an_address_from_an_answer_must_be_public_and_https() {
    for url in [
        "http://cdn.example/f",
        "https://127.0.0.1/f",
        "https://169.254.169.254/",
        "file:///etc/passwd",
    ] {
        let (mut flow, mut now) = accepted(&by_address());
        let _ = say(
            &mut flow,
            &mut now,
            200,
            &json!({"status": "done", "files": [{"url": url}]}),
        );
        assert!(
            matches!(ended(&mut flow, &mut now), Ending::Failed(fault) if fault.kind == Kind::EgressRefused),
            "{url}"
        );
    }
}

#[test]
fn an_expired_address_is_asked_for_again_twice_and_no_more() {
    let (mut flow, mut now) = accepted(&by_address());
    let mut asked = 0;
    let ending = loop {
        let _ = say(
            &mut flow,
            &mut now,
            200,
            &json!({"status": "done", "files": [{"url": "https://cdn.example/f"}]}),
        );
        let _ = files(&mut flow, &mut now);
        let failed = FetchFault::Answer {
            received: answer(403, &json!("gone")),
            trusted: false,
            fault: Fault::new(Kind::WrongContent, "no file"),
        };
        match flow.on(Event::FetchFailed(failed), now, MID) {
            Verdict::AskAgain => asked += 1,
            _ => break ended(&mut flow, &mut now),
        }
    };
    assert_eq!(asked, 2);
    assert!(matches!(ending, Ending::Failed(fault) if fault.class() == Some(Class::Expired)));
}

#[test]
fn the_end_tells_of_the_copy_that_stands_when_that_is_not_ours() {
    let (mut flow, mut now) = accepted(&by_address());
    assert!(!flow.ends_after_this(), "a poll");
    let _ = say(
        &mut flow,
        &mut now,
        200,
        &json!({"status": "done", "files": [{"url": "https://cdn.example/f"}]}),
    );
    let task = files(&mut flow, &mut now).remove(0);
    assert!(flow.ends_after_this());
    let fact = |content_type: &str| ArtifactFacts {
        name: task.artifact.clone(),
        content_type: content_type.to_owned(),
        ..ArtifactFacts::default()
    };
    let _ = flow.on(Event::Fetched(vec![fact("ours")]), now, MID);
    let told = |flow: &mut Flow, now: &mut i64| match ended(flow, now) {
        Ending::Succeeded { output, .. } => output.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(told(&mut flow, &mut now).contains("ours"));
    flow.stands_instead(fact("another's"));
    let output = told(&mut flow, &mut now);
    assert!(output.contains("another's") && !output.contains("ours"));
}

#[test]
fn success_without_a_file_is_a_failure_with_a_code_of_its_own() {
    let (mut flow, mut now) = accepted(&by_address());
    let _ = say(
        &mut flow,
        &mut now,
        200,
        &json!({"status": "done", "files": []}),
    );
    assert!(
        matches!(ended(&mut flow, &mut now), Ending::Failed(fault) if fault.kind == Kind::NoResult)
    );
}

#[test]
fn a_broken_download_of_a_paid_job_is_repeated_for_as_long_as_the_job_may_live() {
    let (mut flow, mut now) = accepted(&json!({}));
    let _ = say(&mut flow, &mut now, 200, &json!({"status": "done"}));
    let mut tries = 0;
    let ending = loop {
        match act(&mut flow, &mut now) {
            Action::Fetch { .. } => tries += 1,
            Action::Ended(ending) => break ending,
            other => panic!("{other:?}"),
        }
        let _ = flow.on(
            Event::FetchFailed(FetchFault::Broken(Fault::new(Kind::BadFile, "cut"))),
            now,
            MID,
        );
    };
    assert!(tries > 10 && now >= 600_000, "{tries} tries until {now}");
    assert!(matches!(ending, Ending::Failed(fault) if fault.kind == Kind::BadFile));
}

#[test]
#[rustfmt::skip]
fn the_files_of_an_answer_are_found_where_the_profile_says() {
    let cases = [
        ("several addresses", json!({"url_path": "files[].url", "mode": "binary"}), json!({"files": [{"url": "https://cdn.example/a"}, {"url": "https://cdn.example/b"}]}), vec!["0 https://cdn.example/a", "1 https://cdn.example/b"]),
        ("a list of them",    json!({"url_path": "files", "mode": "json"}),         json!({"files": ["https://cdn.example/a", "https://cdn.example/b"]}), vec!["0 https://cdn.example/a", "1 https://cdn.example/b"]),
        ("a relative one",    json!({"url_path": "file", "mode": "binary"}),        json!({"file": "files/a"}), vec!["0 https://api.acme.ai/v1/files/a"]),
        ("one with its data", json!({"url_path": "file", "mode": "binary"}),        json!({"file": "data:video/mp4;base64,AAEC"}), vec!["0 bytes [0, 1, 2] video/mp4"]),
        ("base64",            json!({"value_path": "file", "mode": "json_base64"}), json!({"file": "AAEC"}), vec!["0 bytes [0, 1, 2]"]),
        ("base64, short",     json!({"value_path": "file", "mode": "base64"}),      json!({"file": "AAEC"}), vec!["0 bytes [0, 1, 2]"]),
        ("hexadecimal",       json!({"value_path": "file", "mode": "hex"}),         json!({"file": "000102"}), vec!["0 bytes [0, 1, 2]"]),
        ("text",              json!({"value_path": "file", "mode": "text"}),        json!({"file": "ab"}), vec!["0 bytes [97, 98]"]),
        ("with a media type", json!({"value_path": "files[].data", "mode": "base64", "mime_path": "files[].mime"}), json!({"files": [{"data": "AA==", "mime": "video/webm"}, {"data": "AQ==", "mime": "video/mp4"}]}), vec!["0 bytes [0] video/webm", "1 bytes [1] video/mp4"]),
    ];
    for (why, mut download, mut body, want) in cases {
        download["name"] = json!("download");
        body["status"] = json!("done");
        let poll = json!({"name": "poll", "path": "/jobs/{{job_id}}", "states": {"succeeded": ["done"]}});
        let (mut flow, mut now) = accepted(&json!({"workflow": {"steps": [poll, download]}}));
        let _ = say(&mut flow, &mut now, 200, &body);
        let found: Vec<String> = files(&mut flow, &mut now).iter().map(file_shown).collect();
        assert_eq!(found, want, "{why}");
    }
}

fn file_shown(task: &FileTask) -> String {
    let mime = task.mime.as_ref().map(|mime| format!(" {mime}"));
    let source = match &task.source {
        FileSource::Request(request) => request.url.to_string(),
        FileSource::Bytes(bytes) => format!("bytes {:?}", &bytes[..]),
    };
    format!("{} {source}{}", task.idx, mime.unwrap_or_default())
}

#[test]
#[rustfmt::skip]
fn a_file_is_asked_for_with_what_every_exchange_inherits_and_its_own() {
    let provider = json!({"conventions": {"query": {"key": "{{apiKey}}"}}});
    let cases = [
        // address                              its own                                              what is sent
        ("https://api.acme.ai/f",               json!({}),                                           Some(("https://api.acme.ai/f?key=hidden-key", true, None, 60_000))),
        ("https://api.acme.ai/f?key=x&a=1",     json!({}),                                           Some(("https://api.acme.ai/f?key=x&a=1", true, None, 60_000))),
        ("https://cdn.example/f?sig=1",         json!({}),                                           Some(("https://cdn.example/f?sig=1", false, None, 60_000))),
        ("https://cdn.example/f",               json!({"headers": {"Accept": "video/mp4"}, "query": {"alt": "media"}, "timeout_ms": 5_000}), Some(("https://cdn.example/f?alt=media", false, Some("video/mp4"), 5_000))),
        ("https://api.acme.ai/f",               json!({"headers": {"Accept": "video/mp4", "Authorization": null}}), Some(("https://api.acme.ai/f?key=hidden-key", false, Some("video/mp4"), 60_000))),
        ("https://cdn.example/f",               json!({"headers": {"X-Key": "{{apiKey}}"}}),         None),
    ];
    for (address, own, want) in cases {
        let mut profile = by_address();
        for (name, value) in own.as_object().unwrap() {
            profile["workflow"]["steps"][1][name] = value.clone();
        }
        let setting = setting_of(revision_of(&profile, &provider), &call("a cat"));
        let (mut flow, mut now) = (Flow::new(setting), 0);
        let _ = say(&mut flow, &mut now, 200, &json!({"id": "job-1"}));
        let _ = say(&mut flow, &mut now, 200, &json!({"status": "done", "files": [{"url": address}]}));
        let action = act(&mut flow, &mut now);
        let Some((url, authorized, accept, timeout_ms)) = want else {
            assert!(matches!(action, Action::Ended(Ending::Failed(fault)) if fault.kind == Kind::EgressRefused), "{address} {own}");
            continue;
        };
        let Action::Fetch { files, .. } = action else {
            panic!("{address} {own}: {action:?}");
        };
        let FileSource::Request(request) = &files[0].source else {
            panic!("{address}: no request");
        };
        assert_eq!(request.url.as_str(), url);
        assert_eq!(request.header("authorization").is_some(), authorized, "{address} {own}");
        assert_eq!((request.header("accept"), request.timeout_ms), (accept, timeout_ms), "{address} {own}");
    }
}

#[test]
fn the_absence_of_an_optional_file_is_no_failure() {
    let mut profile = by_address();
    profile["workflow"]["steps"][1]["optional"] = json!(true);
    let file = json!({"status": "done", "files": [{"url": "https://cdn.example/f"}]});
    let page = |status| FetchFault::Answer {
        received: answer(status, &json!({"error": {"message": "no"}})),
        trusted: false,
        fault: Fault::new(Kind::WrongContent, "a page"),
    };
    let too_large = FetchFault::Final(Fault::new(Kind::FileTooLarge, "too large"));
    let cases = [
        ("none in the answer", json!({"status": "done"}), None, 0),
        ("a page instead", file.clone(), Some(page(200)), 0),
        ("too large", file.clone(), Some(too_large), 0),
        ("expired", file, Some(page(410)), 2),
    ];
    for (why, body, failed, want) in cases {
        let (mut flow, mut now) = accepted(&profile);
        let mut asked = 0;
        let ending = loop {
            let _ = say(&mut flow, &mut now, 200, &body);
            match act(&mut flow, &mut now) {
                Action::Fetch { .. } => {}
                Action::Ended(ending) => break ending,
                other => panic!("{why}: {other:?}"),
            }
            match flow.on(Event::FetchFailed(failed.clone().unwrap()), now, MID) {
                Verdict::AskAgain => asked += 1,
                Verdict::Continue => break ended(&mut flow, &mut now),
                other => panic!("{why}: {other:?}"),
            }
        };
        assert!(matches!(ending, Ending::Succeeded { .. }), "{why}");
        assert_eq!(asked, want, "{why}");
    }
}

#[test]
#[rustfmt::skip]
fn when_a_result_is_gone_is_read_in_every_form() {
    let cases = [
        (json!({"expires_in_ms": 5_000}),  json!(null),                         Some(5_000)),
        (json!({"expires_path": "until"}), json!(1_700_000_000),                Some(1_700_000_000_000)),
        (json!({"expires_path": "until"}), json!(1_700_000_000_000_i64),        Some(1_700_000_000_000)),
        (json!({"expires_path": "until"}), json!("1700000000"),                 Some(1_700_000_000_000)),
        (json!({"expires_path": "until"}), json!("2023-11-14T22:13:20.5Z"),     Some(1_700_000_000_500)),
        (json!({"expires_path": "until"}), json!("soon"),                       None),
        (json!({"expires_path": "until"}), json!(null),                         None),
        (json!({}),                        json!(1_700_000_000),                None),
    ];
    for (own, until, want) in cases {
        let mut profile = by_address();
        for (name, value) in own.as_object().unwrap() {
            profile["workflow"]["steps"][1][name] = value.clone();
        }
        let (mut flow, mut now) = accepted(&profile);
        let body = json!({"status": "done", "until": until, "files": [{"url": "https://cdn.example/f"}]});
        let _ = say(&mut flow, &mut now, 200, &body);
        let got = files(&mut flow, &mut now)[0].expires_at_ms;
        let want = match own.get("expires_in_ms") {
            Some(_) => want.map(|ms: i64| now + ms),
            None => want,
        };
        assert_eq!(got, want, "{own} {until}");
    }
}

#[test]
fn a_file_at_an_address_of_an_answer_is_asked_for_as_its_step_says() {
    let mut profile = by_address();
    let own = json!({"name": "download", "url_path": "files[].url", "method": "post", "kind": "http_form",
        "base_url": "https://api.acme.ai/v2", "body": {"job": "{{job_id}}"}, "query": {"size": "full"},
        "headers": {"Accept": "video/mp4"}, "ok_status": [404]});
    profile["workflow"]["steps"][1] = own;
    let (mut flow, mut now) = accepted(&profile);
    let urls = json!([{"url": "f"}, {"url": "https://cdn.example/g"}]);
    let _ = say(
        &mut flow,
        &mut now,
        200,
        &json!({"status": "done", "files": urls}),
    );
    let files = files(&mut flow, &mut now);
    let [FileSource::Request(own), FileSource::Request(elsewhere)] =
        [&files[0].source, &files[1].source]
    else {
        panic!("{files:?}");
    };
    assert_eq!(
        (own.method.as_str(), own.url.as_str()),
        ("POST", "https://api.acme.ai/v2/f?size=full")
    );
    assert_eq!(own.body.as_deref(), Some(&b"job=job-1"[..]));
    assert_eq!(
        own.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(elsewhere.url.as_str(), "https://cdn.example/g?size=full");
    assert_eq!(
        (
            elsewhere.trusted,
            elsewhere.header("authorization"),
            elsewhere.header("accept")
        ),
        (false, None, Some("video/mp4"))
    );
    assert!(files[0].is_file(404) && files[0].is_file(200) && !files[0].is_file(410));
}

#[test]
fn a_secret_in_the_body_of_a_file_request_leaves_for_no_other_host() {
    let mut profile = by_address();
    profile["workflow"]["steps"][1]["body"] = json!({"key": "{{apiKey}}"});
    for (url, leaves) in [
        ("https://api.acme.ai/f", true),
        ("https://cdn.example/f", false),
    ] {
        let (mut flow, mut now) = accepted(&profile);
        let _ = say(
            &mut flow,
            &mut now,
            200,
            &json!({"status": "done", "files": [{"url": url}]}),
        );
        let asked = matches!(act(&mut flow, &mut now), Action::Fetch { .. });
        assert_eq!(asked, leaves, "{url}");
    }
}

/// An answer in two parts, one of which is a file.
fn in_parts() -> Received {
    let body = "--b\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=\"meta\"\r\n\r\n{}\r\n\
        --b\r\nContent-Type: video/webm\r\nContent-Disposition: form-data; name=\"clip\"\r\n\r\nbytes\r\n--b--\r\n";
    let mut received = answer(200, &json!(body));
    let content_type = "multipart/mixed; boundary=b".to_owned();
    received.headers = vec![("content-type".into(), content_type)];
    received
}

#[test]
fn a_part_of_an_answer_is_the_file_by_its_name() {
    let download = |path: Value| json!({"name": "download", "path": path, "mode": "multipart", "value_path": "clip"});
    let of_the_submit = json!({"response_mapping": {"mode": "multipart", "extract": null},
        "workflow": {"type": null, "steps": [download(json!(null))]}});
    let of_its_own = json!({"response_mapping": {"extract": null},
        "workflow": {"type": null, "steps": [download(json!("/clip"))]}});
    for (why, profile, submit) in [
        ("the submit's answer", of_the_submit, in_parts()),
        ("an answer of its own", of_its_own, answer(200, &json!({}))),
    ] {
        let (mut flow, mut now) = (flow(&profile), 0);
        assert!(
            matches!(act(&mut flow, &mut now), Action::Submit(_)),
            "{why}"
        );
        assert_eq!(
            flow.on(Event::Answered(submit), now, MID),
            Verdict::Answered,
            "{why}"
        );
        if profile["response_mapping"]["mode"].is_null() {
            assert!(
                matches!(act(&mut flow, &mut now), Action::Exchange { .. }),
                "{why}"
            );
            flow.on(Event::Answered(in_parts()), now, MID);
        }
        let files = files(&mut flow, &mut now);
        let FileSource::Bytes(bytes) = &files[0].source else {
            panic!("{why}: {files:?}");
        };
        assert_eq!(
            (&**bytes, files[0].mime.as_deref()),
            (&b"bytes"[..], Some("video/webm")),
            "{why}"
        );
    }
}

/// A job that is done at once, and steps behind its poll.
fn then(steps: &[Value]) -> Value {
    let poll = json!({"name": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 2000, "states": {"succeeded": ["done"]}});
    let all: Vec<Value> = std::iter::once(poll).chain(steps.iter().cloned()).collect();
    json!({"workflow": {"steps": all}})
}

fn addresses(files: &[FileTask]) -> Vec<&str> {
    let address = |file: &'_ FileTask| match &file.source {
        FileSource::Request(request) => request.url.path().to_owned().leak() as &str,
        FileSource::Bytes(_) => "bytes",
    };
    files.iter().map(address).collect()
}

#[test]
#[rustfmt::skip]
fn a_required_download_that_finds_nothing_to_fetch_fails_and_an_optional_one_is_passed_by() {
    let own = json!({"name": "download", "each": "items", "path": "/files/{{item}}", "mode": "binary", "content_type": "video/mp4"});
    let with = |mut step: Value, name: &str, value: Value| { step[name] = value; step };
    let address = json!({"name": "download", "url_path": "url"});
    let text = json!({"name": "download", "value_path": "data"});
    let cases = [
        ("no item",             own.clone(),                            json!({"items": []}), "no_result"),
        ("no list",             own.clone(),                            json!({}),            "no_result"),
        ("no item, optional",   with(own, "optional", json!(true)),     json!({"items": []}), "succeeded"),
        ("no address",          address.clone(),                        json!({"url": []}),   "no_result"),
        ("an empty address",    address.clone(),                        json!({"url": ""}),   "no_result"),
        ("no address, optional", with(address, "optional", json!(true)), json!({}),           "succeeded"),
        ("no text",             text,                                   json!({"data": null}), "no_result"),
    ];
    for (why, step, mut answer, want) in cases {
        let (mut flow, mut now) = accepted(&then(&[step]));
        answer["status"] = json!("done");
        let _ = say(&mut flow, &mut now, 200, &answer);
        let got = match ended(&mut flow, &mut now) {
            Ending::Succeeded { .. } => "succeeded".to_owned(),
            Ending::Failed(fault) => fault.kind.word().to_owned(),
            Ending::Canceled => "canceled".to_owned(),
        };
        assert_eq!(got, want, "{why}");
    }
}

#[test]
fn the_last_answer_of_a_step_with_each_is_all_its_answers() {
    let resolve = json!({"name": "resolve", "each": "ids", "path": "/resolve/{{item}}", "extract": {"name": "name"}});
    let download = json!({"name": "download", "url_path": "links[].url"});
    let mut profile = then(&[resolve, download]);
    profile["response_mapping"] = json!({"extract": {"text_path": "name"}, "output": {"names": "{{json steps.resolve.name}}", "text": "{{text}}"}});
    let (mut flow, mut now) = accepted(&profile);
    let _ = say(
        &mut flow,
        &mut now,
        200,
        &json!({"status": "done", "ids": ["a", "b", "c"]}),
    );
    for (id, links) in [("a", vec!["1", "2"]), ("b", vec![]), ("c", vec!["3"])] {
        let links: Vec<Value> = links
            .iter()
            .map(|link| json!({"url": format!("https://api.acme.ai/{link}")}))
            .collect();
        let _ = say(
            &mut flow,
            &mut now,
            200,
            &json!({"name": id, "links": links}),
        );
    }
    let files = files(&mut flow, &mut now);
    assert_eq!(addresses(&files), ["/1", "/2", "/3"]);
    let facts = files.iter().map(|file| ArtifactFacts {
        name: file.artifact.clone(),
        idx: file.idx,
        ..ArtifactFacts::default()
    });
    let _ = flow.on(Event::Fetched(facts.collect()), now, MID);
    let Ending::Succeeded { output, .. } = ended(&mut flow, &mut now) else {
        panic!("no output");
    };
    assert_eq!(output, json!({"names": ["a", "b", "c"], "text": "abc"}));
}

#[test]
fn each_walks_the_answer_of_the_step_that_from_names() {
    let other = json!({"name": "other", "path": "/other"});
    let own = json!({"name": "download", "from": "poll", "each": "items", "path": "/files/{{item}}", "mode": "binary", "content_type": "video/mp4"});
    let (mut flow, mut now) = accepted(&then(&[other, own]));
    let _ = say(
        &mut flow,
        &mut now,
        200,
        &json!({"status": "done", "items": ["a", "b"]}),
    );
    let _ = say(&mut flow, &mut now, 200, &json!({"items": ["x"]}));
    assert_eq!(
        addresses(&files(&mut flow, &mut now)),
        ["/v1/files/a", "/v1/files/b"]
    );
}

#[test]
fn a_download_with_each_whose_files_are_in_the_answers_asks_for_every_item() {
    let step =
        json!({"name": "download", "each": "ids", "path": "/links/{{item}}", "url_path": "url"});
    let (mut flow, mut now) = accepted(&then(&[step]));
    let _ = say(
        &mut flow,
        &mut now,
        200,
        &json!({"status": "done", "ids": ["a", "b"]}),
    );
    for id in ["a", "b"] {
        match act(&mut flow, &mut now) {
            Action::Exchange { request, .. } => {
                assert_eq!(request.url.path(), format!("/v1/links/{id}"))
            }
            other => panic!("{other:?}"),
        }
        // One that passes is asked again, for the same item.
        let _ = flow.on(Event::Answered(answer(503, &json!({}))), now, MID);
        let _ = say(
            &mut flow,
            &mut now,
            200,
            &json!({"url": format!("https://api.acme.ai/{id}")}),
        );
    }
    assert_eq!(addresses(&files(&mut flow, &mut now)), ["/a", "/b"]);
}

#[test]
fn the_answers_of_a_step_with_each_are_bounded_together() {
    let step = json!({"name": "resolve", "each": "ids", "path": "/resolve/{{item}}"});
    let (mut flow, mut now) = accepted(&then(&[step]));
    let ids: Vec<usize> = (0..10).collect();
    let _ = say(
        &mut flow,
        &mut now,
        200,
        &json!({"status": "done", "ids": ids}),
    );
    let large = json!("x".repeat(15 * 1024 * 1024));
    let mut said = 0;
    let ending = loop {
        match act(&mut flow, &mut now) {
            Action::Exchange { .. } => {
                drop(flow.on(Event::Answered(answer(200, &large)), now, MID))
            }
            Action::Ended(ending) => break ending,
            other => panic!("{other:?}"),
        }
        said += 1;
        assert!(said < 10);
    };
    assert!(
        matches!(ending, Ending::Failed(fault) if fault.kind == Kind::AnswerTooLarge),
        "after {said}"
    );
}
