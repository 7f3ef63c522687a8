//! Cancelling, steps, and what people are told.

use super::files::files;
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
    let warned = cleanup.take_warning().map(|fault| fault.message);
    assert!(
        warned.is_some_and(|message| message.contains("HTTP status 400")),
        "its failure is a warning"
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

#[test]
fn a_job_past_its_life_is_stopped_where_the_provider_can_and_fails_with_its_id_kept() {
    for (status, polls) in [(204, 1), (422, 1), (500, 3)] {
        let profile = json!({"workflow": {"cancel": {"name": "stop", "method": "DELETE", "path": "/jobs/{{job_id}}"}}});
        let (mut flow, mut now) = accepted(&profile);
        let mut stops = 0;
        let ending = loop {
            let answered = match act(&mut flow, &mut now) {
                Action::Exchange {
                    phase: Phase::Poll, ..
                } => answer(200, &json!({"status": "running"})),
                Action::Exchange {
                    phase: Phase::Cancel,
                    ..
                } => {
                    assert!(now >= 600_000, "stopped at {now}");
                    stops += 1;
                    answer(status, &json!(null))
                }
                Action::Ended(ending) => break ending,
                other => panic!("{other:?}"),
            };
            let _ = flow.on(Event::Answered(answered), now, MID);
        };
        assert_eq!(stops, polls, "{status}");
        assert!(
            matches!(ending, Ending::Failed(fault) if fault.kind == Kind::DeadlineExceeded && fault.message.contains("job-1"))
        );
        assert_eq!(flow.job_id(), Some("job-1"));
    }
}

/// Rows of section 5: what an answer means before the submit, and in a step
/// after it.
#[test]
#[rustfmt::skip]
fn the_class_alone_decides_what_a_step_may_repeat() {
    let profile = json!({"workflow": {
        "before": [{"name": "hello", "path": "/hello"}],
        "steps": [{"name": "poll", "path": "/jobs/{{job_id}}", "states": {"succeeded": ["done"]}}, {"name": "resolve", "path": "/resolve"}],
    }});
    let error = |code: &str| json!({"error": {"code": code}});
    let cases = [
        // class              status               before      after
        ("moderated",         451, json!(null),    "fails",    "fails"),
        ("moderated",         400, error("policy"), "fails",   "fails"),
        ("billing",           402, json!(null),    "fails",    "waits for the credential"),
        ("billing",           429, error("quota"), "fails",    "waits for the credential"),
        ("authentication",    401, json!(null),    "fails",    "waits for the credential"),
        ("authentication",    403, json!(null),    "fails",    "waits for the credential"),
        ("invalid_request",   422, json!(null),    "fails",    "fails"),
        ("not_found",         404, json!(null),    "fails",    "fails"),
        ("rate_limited",      429, json!(null),    "again",    "again"),
        ("overloaded",        400, error("busy"),  "again",    "again"),
        ("transient",         400, error("hiccup"), "again",   "again"),
        ("unknown_outcome",   500, json!(null),    "again",    "again"),
        ("unknown_outcome",   409, json!(null),    "again",    "again"),
        ("provider_error",    304, json!(null),    "fails",    "fails"),
    ];
    for (class, status, body, before, after) in cases {
        let (mut flow, mut now) = (flow(&profile), 0);
        assert_eq!(told(&mut flow, &mut now, status, &body), before, "{class} {status} before");
        let (mut flow, mut now) = (crate::testing::flow(&profile), 0);
        let _ = say(&mut flow, &mut now, 200, &json!({}));
        let _ = say(&mut flow, &mut now, 200, &json!({"id": "j"}));
        let _ = say(&mut flow, &mut now, 200, &json!({"status": "done"}));
        assert_eq!(told(&mut flow, &mut now, status, &body), after, "{class} {status} after");
    }
}

/// What follows an answer to a step, in a word.
fn told(flow: &mut Flow, now_ms: &mut i64, status: u16, body: &Value) -> &'static str {
    match say(flow, now_ms, status, body) {
        Verdict::Failed(_) => "fails",
        Verdict::CredentialRefused(_) => "waits for the credential",
        Verdict::Continue => match flow.next(*now_ms, drawn(*now_ms)) {
            Action::Wait {
                why: Why::Backoff, ..
            } => "again",
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A job in two parts: the first gives the address of the second.
fn two_polls() -> Value {
    let states = json!({"running": ["running"], "succeeded": ["done"], "failed": ["failed"]});
    json!({"workflow": {"steps": [
        {"name": "first", "action": "poll", "path": "/jobs/{{job_id}}", "interval_ms": 1_000, "max_interval_ms": 1_000, "jitter": 0, "deadline_ms": 10_000,
         "max_job_life_ms": 300_000, "states": states, "extract": {"id": "render"}},
        {"name": "second", "action": "poll", "path": "/renders/{{steps.first.id}}", "interval_ms": 1_000, "max_interval_ms": 1_000, "jitter": 0, "deadline_ms": 60_000,
         "max_job_life_ms": 100_000, "states": states},
        {"name": "download", "url_path": "url", "content_type": "video/mp4"}
    ]}})
}

fn overdue(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Pending(pending) => pending.overdue,
        other => panic!("not pending: {other:?}"),
    }
}

#[test]
fn of_several_polls_each_has_its_own_deadline_and_the_nearest_before_is_asked_again() {
    let running = json!({"status": "running"});
    let (mut flow, mut now) = accepted(&two_polls());
    assert!(!overdue(&say(&mut flow, &mut now, 200, &running)));
    assert_eq!(flow.overdue_at_ms(), Some(10_000));
    now = 20_000;
    assert!(overdue(&say(&mut flow, &mut now, 200, &running)));
    // The first is done: the job is not, and is no longer late.
    let render = json!({"status": "done", "render": "r-1"});
    assert_eq!(word(&say(&mut flow, &mut now, 200, &render)), "continue");
    assert_eq!(flow.overdue_at_ms(), Some(60_000));
    assert!(!overdue(&say(&mut flow, &mut now, 200, &running)));
    now = 61_000;
    assert!(overdue(&say(&mut flow, &mut now, 200, &running)));
    // A job has one life, the longest that a poll gives it.
    now = 110_000;
    assert!(overdue(&say(&mut flow, &mut now, 200, &running)));
    let done = json!({"status": "done", "url": "https://cdn.example/f"});
    assert_eq!(word(&say(&mut flow, &mut now, 200, &done)), "done");
    let _ = files(&mut flow, &mut now);
    let gone = FetchFault::Answer {
        received: answer(403, &json!("gone")),
        trusted: false,
        fault: Fault::new(Kind::WrongContent, "no file"),
    };
    assert_eq!(
        flow.on(Event::FetchFailed(gone), now, MID),
        Verdict::AskAgain
    );
    match act(&mut flow, &mut now) {
        Action::Exchange { request, .. } => assert!(request.url.path().ends_with("/renders/r-1")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_of_several_polls_is_given_up_by_the_longest_life_and_told_to_be_late_by_the_shortest_deadline()
 {
    let revision = revision_of(&two_polls(), &json!({}));
    let times = super::super::job_times(&revision);
    assert_eq!((times.deadline_ms, times.life_ms), (10_000, 300_000));
    let (mut flow, mut now) = accepted(&two_polls());
    let render = json!({"status": "done", "render": "r-1"});
    let _ = say(&mut flow, &mut now, 200, &render);
    now = 299_000;
    let running = json!({"status": "running"});
    assert_eq!(word(&say(&mut flow, &mut now, 200, &running)), "pending");
    assert_eq!(
        word(&say(&mut flow, &mut now, 200, &running)),
        "job failed deadline_exceeded"
    );
}

#[test]
#[rustfmt::skip]
fn a_cancel_that_is_answered_well_or_by_a_status_of_its_own_cancels_the_run_whatever_the_job_still_does() {
    let with_step = json!({"workflow": {"cancel": {"method": "DELETE", "path": "/jobs/{{job_id}}", "ok_status": [404, 409]}}});
    let cases = [(200, true), (204, true), (404, true), (409, true), (400, false), (403, false)];
    for (status, canceled) in cases {
        let (mut flow, mut now) = accepted(&with_step);
        let _ = flow.on(Event::CancelAsked, now, MID);
        let verdict = say(&mut flow, &mut now, status, &json!(null));
        assert_eq!(verdict == Verdict::Canceled, canceled, "{status}: {verdict:?}");
        // Where the provider does not stop it, its word about the job decides.
        if !canceled {
            assert!(matches!(act(&mut flow, &mut now), Action::Exchange { phase: Phase::Poll, .. }), "{status}");
        }
    }
    // Without a step the run is canceled, and the job is left alone.
    let (mut flow, mut now) = accepted(&json!({}));
    assert_eq!(flow.on(Event::CancelAsked, now, MID), Verdict::Canceled);
    assert_eq!(ended(&mut flow, &mut now), Ending::Canceled);
}
