//! Cancelling, files, steps, and what people are told.

use super::*;

#[test]
fn a_cancel_ends_what_was_not_sent_at_once() {
    let mut flow = flow(&json!({}));
    assert_eq!(flow.on(Event::CancelAsked, 0, MID), Verdict::Canceled);
    assert_eq!(ended(&mut flow, &mut 0), Ending::Canceled);
}

#[test]
fn a_cancel_makes_no_sender_stale() {
    let (mut flow, mut now) = (flow(&json!({})), 0);
    let _ = act(&mut flow, &mut now);
    assert_eq!(flow.on(Event::CancelAsked, now, MID), Verdict::Continue);
    let verdict = flow.on(Event::Answered(answer(200, &json!({"id": "j"}))), now, MID);
    assert_eq!(word(&verdict), "accepted j");
    assert_eq!(ended(&mut flow, &mut now), Ending::Canceled);
}

#[test]
fn a_job_that_succeeds_in_spite_of_a_cancel_is_kept() {
    let profile = json!({"workflow": {"cancel": {"name": "stop", "method": "DELETE", "path": "/jobs/{{job_id}}"}}});
    let (mut flow, mut now) = accepted(&profile);
    let _ = flow.on(Event::CancelAsked, now, MID);
    assert!(matches!(
        act(&mut flow, &mut now),
        Action::Exchange {
            phase: Phase::Cancel,
            ..
        }
    ));
    // Too late: the provider does not stop it.
    let _ = flow.on(Event::Answered(answer(422, &json!(null))), now, MID);
    assert_eq!(
        word(&say(&mut flow, &mut now, 200, &json!({"status": "done"}))),
        "done"
    );
    assert!(matches!(act(&mut flow, &mut now), Action::Fetch { .. }));

    let (mut flow, mut now) = accepted(&profile);
    let _ = flow.on(Event::CancelAsked, now, MID);
    assert_eq!(
        say(&mut flow, &mut now, 204, &json!(null)),
        Verdict::Canceled
    );
}

/// A job whose result is at an address that its poll tells.
fn by_address() -> Value {
    let mut profile = json!({"workflow": {"steps": []}});
    profile["workflow"]["steps"] = json!([
        {"name": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 2000, "states": {"succeeded": ["done"], "failed": ["failed"]}},
        {"name": "download", "url_path": "files[].url", "mode": "binary"}
    ]);
    profile
}

fn files(flow: &mut Flow, now_ms: &mut i64) -> Vec<FileTask> {
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
fn before_steps_run_once_for_each_item_and_give_lists() {
    let profile = json!({
        "transport": {"body": {"images": "{{json steps.upload.id}}"}},
        "workflow": {"before": [{"name": "upload", "method": "POST", "path": "/files", "kind": "http_multipart", "each": "inputs.reference",
            "body": {"file": {"$file": "item"}}, "extract": {"id": "id"}}]}
    });
    let reference = || profile::call::Input {
        data_url: Some("data:image/png;base64,AAAA".into()),
        ..Default::default()
    };
    let mut call = call("a cat");
    call.inputs
        .insert("reference".into(), vec![reference(), reference()]);
    let mut flow = Flow::new(setting_of(revision_of(&profile, &json!({})), &call));
    let mut now = 0;
    for id in ["f-1", "f-2"] {
        match act(&mut flow, &mut now) {
            Action::Exchange {
                phase: Phase::Before,
                request,
            } => {
                assert!(
                    request
                        .header("content-type")
                        .unwrap()
                        .starts_with("multipart/form-data; boundary=")
                );
            }
            other => panic!("{other:?}"),
        }
        let _ = flow.on(Event::Answered(answer(200, &json!({"id": id}))), now, MID);
    }
    let Action::Submit(request) = act(&mut flow, &mut now) else {
        panic!("no submit");
    };
    let body: Value = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
    assert_eq!(body["images"], json!(["f-1", "f-2"]));
    // A refusal keeps what was prepared.
    let _ = flow.on(Event::Answered(answer(429, &json!(null))), now, MID);
    let resume = Resume {
        state: Some(RunState::Queued),
        captured: Some(flow.captured()),
        ..Resume::default()
    };
    let mut again =
        Flow::resume(setting_of(revision_of(&profile, &json!({})), &call), resume).unwrap();
    assert!(matches!(act(&mut again, &mut now), Action::Submit(_)));
}

#[test]
fn a_secret_in_the_providers_words_is_masked() {
    let body = json!({"error": {"code": KEY, "message": format!("wrong key {KEY}")}});
    let Verdict::Refused { fault, .. } = say(&mut flow(&json!({})), &mut 0, 401, &body) else {
        panic!("not refused");
    };
    assert_eq!(fault.provider_message.as_deref(), Some("wrong key ***"));
    assert!(
        !fault.to_json().to_string().contains(KEY) && !format!("{fault:?} {fault}").contains(KEY)
    );
}

#[test]
fn a_secret_capture_is_masked_wherever_the_provider_says_it() {
    let secret = |path: &str| json!({"path": path, "secret": true});
    let profile = json!({"response_mapping": {"extract": {
        "ticket": secret("ticket"), "pins": secret("pins"), "shown": "shown",
    }}});
    let made =
        json!({"id": "job-1", "ticket": "t-4711", "pins": [{"pin": 8_150_815}], "shown": "plain"});
    let said = "t-4711 of 8150815 is plain";
    let masked = "*** of *** is plain";
    let polls = [
        (400, json!({"error": {"code": "t-4711", "message": said}})),
        (
            200,
            json!({"status": "failed", "error": {"code": "t-4711", "message": said}}),
        ),
    ];
    for (status, body) in polls {
        let (mut flow, mut now) = (flow(&profile), 0);
        let _ = say(&mut flow, &mut now, 200, &made);
        let Verdict::JobFailed(fault) = say(&mut flow, &mut now, status, &body) else {
            panic!("{status}: not failed");
        };
        assert_eq!(fault.provider_message.as_deref(), Some(masked), "{status}");
        let shown = format!("{} {fault:?}", fault.to_json());
        assert!(
            !shown.contains("4711") && !shown.contains("8150815"),
            "{shown}"
        );
    }

    let (mut flow, mut now) = (flow(&profile), 0);
    let _ = say(&mut flow, &mut now, 200, &made);
    let verdict = say(&mut flow, &mut now, 200, &json!({"status": said}));
    assert!(
        matches!(&verdict, Verdict::Pending(Pending { provider_status: Some(word), .. }) if word == masked),
        "{verdict:?}"
    );
    let _ = say(&mut flow, &mut now, 200, &json!({"status": "done"}));
    let _ = files(&mut flow, &mut now);
    let page = Event::FetchFailed(FetchFault::Answer {
        received: answer(200, &json!({"error": {"message": said}})),
        trusted: true,
        fault: Fault::new(Kind::WrongContent, "a page"),
    });
    let Verdict::Failed(fault) = flow.on(page, now, MID) else {
        panic!("not failed");
    };
    assert_eq!(fault.provider_message.as_deref(), Some(masked));
}

#[test]
fn a_word_of_the_provider_without_end_does_not_burst_the_record() {
    let (mut flow, mut now) = accepted(&json!({}));
    let _ = say(
        &mut flow,
        &mut now,
        200,
        &json!({"status": "\u{1F600}".repeat(100_000)}),
    );
    assert!(flow.captured().to_string().len() < 4_096);
}

#[test]
fn a_long_message_is_bounded() {
    let body = json!({"error": {"message": "x".repeat(100_000)}});
    let Verdict::Refused { fault, .. } = say(&mut flow(&json!({})), &mut 0, 400, &body) else {
        panic!("not refused");
    };
    assert!(fault.to_json().to_string().len() < 8_000);
}

#[test]
fn every_class_has_a_word_and_a_code_of_its_own() {
    let kinds = [
        Class::Moderated,
        Class::Billing,
        Class::Authentication,
        Class::InvalidRequest,
        Class::Expired,
        Class::NotFound,
        Class::RateLimited,
        Class::Overloaded,
        Class::Transient,
        Class::UnknownOutcome,
        Class::ProviderError,
    ];
    let mut seen: Vec<_> = kinds
        .map(|class| (class_word(class), Kind::Class(class).code().as_str()))
        .to_vec();
    seen.sort_unstable();
    seen.dedup_by(|a, b| a.0 == b.0 || a.1 == b.1);
    assert_eq!(seen.len(), kinds.len());
}

#[test]
fn cleanup_runs_after_the_end_and_never_fails() {
    let profile = json!({"workflow": {"cleanup": [{"name": "delete", "action": "request", "method": "DELETE", "path": "/jobs/{{job_id}}", "repeatable": true}]}});
    let (flow, _) = accepted(&profile);
    let resume = Resume {
        captured: Some(flow.captured()),
        ..Resume::default()
    };
    let mut cleanup = Flow::cleanup(setting(&profile), resume).unwrap();
    let mut now = 0;
    match act(&mut cleanup, &mut now) {
        Action::Exchange {
            phase: Phase::Cleanup,
            request,
        } => assert_eq!(request.url.path(), "/v1/jobs/job-1"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        cleanup.on(Event::Answered(answer(400, &json!(null))), now, MID),
        Verdict::Continue
    );
    assert!(matches!(
        ended(&mut cleanup, &mut now),
        Ending::Succeeded { .. }
    ));
}

#[test]
fn an_answer_that_holds_a_word_about_the_job_is_a_first_poll() {
    let submit = |status: &str| {
        let (mut flow, mut now) = (flow(&json!({})), 0);
        let verdict = say(
            &mut flow,
            &mut now,
            200,
            &json!({"id": "j", "status": status}),
        );
        assert_eq!(word(&verdict), "accepted j", "{status}");
        act(&mut flow, &mut now)
    };
    assert!(matches!(
        submit("running"),
        Action::Exchange {
            phase: Phase::Poll,
            ..
        }
    ));
    assert!(matches!(submit("done"), Action::Fetch { .. }));
    assert!(matches!(submit("failed"), Action::Ended(Ending::Failed(_))));
}

#[test]
fn nothing_of_a_call_or_a_capture_is_shown_by_debug() {
    let profile =
        json!({"response_mapping": {"extract": {"upload_key": {"path": "key", "secret": true}}}});
    let mut flow = flow(&profile);
    let _ = say(
        &mut flow,
        &mut 0,
        200,
        &json!({"id": "j", "key": "captured-key"}),
    );
    let shown = format!("{flow:?}");
    assert!(
        !shown.contains("captured-key") && !shown.contains("a cat") && !shown.contains(KEY),
        "{shown}"
    );
}
