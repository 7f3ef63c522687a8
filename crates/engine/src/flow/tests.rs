//! Runs, event by event: the submit and its polls here, the rest in `settle`, `files`, `tokens` and `after`.

mod after;
mod called;
mod files;
mod fold;
mod places;
mod round;
mod settle;
mod tokens;

use super::*;
use crate::fault::{Kind, class_word};
use crate::testing::{KEY, answer, call, drawn, flow, revision_of, setting, setting_of};
use profile::revision::Class;
use serde_json::json;

/// No jitter.
const MID: f64 = 0.5;

/// Asks until there is something to do, moving the clock over every wait.
fn act(flow: &mut Flow, now_ms: &mut i64) -> Action {
    loop {
        match flow.next(*now_ms, drawn(*now_ms)) {
            Action::Wait { until_ms, .. } => *now_ms = until_ms,
            action => return action,
        }
    }
}

/// Makes the next exchange, whatever it is, be answered so.
fn say(flow: &mut Flow, now_ms: &mut i64, status: u16, body: &Value) -> Verdict {
    match act(flow, now_ms) {
        Action::Submit(_) | Action::Exchange { .. } => {}
        other => panic!("no exchange: {other:?}"),
    }
    flow.on(Event::Answered(answer(status, body)), *now_ms, MID)
}

/// A flow whose job was accepted at 0.
fn accepted(profile: &Value) -> (Flow, i64) {
    let mut flow = flow(profile);
    let mut now = 0;
    let verdict = say(&mut flow, &mut now, 200, &json!({"id": "job-1"}));
    assert!(matches!(verdict, Verdict::Accepted(_)), "{verdict:?}");
    (flow, now)
}

fn ended(flow: &mut Flow, now_ms: &mut i64) -> Ending {
    match act(flow, now_ms) {
        Action::Ended(ending) => ending,
        other => panic!("not ended: {other:?}"),
    }
}

fn word(verdict: &Verdict) -> String {
    let kind = |fault: &Fault| fault.kind.word();
    match verdict {
        Verdict::Accepted(accepted) => format!("accepted {}", accepted.job_id),
        Verdict::Refused { fault, retry: None } => format!("refused {}", kind(fault)),
        Verdict::Refused {
            fault,
            retry: Some(retry),
        } => {
            format!(
                "again {} {} {}",
                kind(fault),
                retry.not_before_ms,
                if retry.counts { "counted" } else { "free" }
            )
        }
        Verdict::Unknown { fault, then } => format!("unknown {} {then:?}", kind(fault)),
        Verdict::Pending(_) => "pending".into(),
        Verdict::JobDone => "done".into(),
        Verdict::JobFailed(fault) => format!("job failed {}", kind(fault)),
        Verdict::CredentialRefused(fault) => format!("credential {}", kind(fault)),
        Verdict::Continue => "continue".into(),
        other => format!("{other:?}"),
    }
}

#[test]
#[rustfmt::skip]
fn a_submit_is_repeated_only_when_nothing_was_done() {
    let error = |code: &str| json!({"error": {"code": code, "message": "no"}});
    let cases = [
        ("accepted",                      200, json!({"id": "j"}),             "accepted j"),
        ("an id may be a number",         201, json!({"id": 12345678901234567890123_u128.to_string().parse::<serde_json::Number>().unwrap()}), "accepted 12345678901234567890123"),
        ("success without an id",         200, json!({"ok": true}),            "unknown unknown_outcome Fail"),
        ("an id without end",             200, json!({"id": "x".repeat(1_025)}), "unknown unknown_outcome Fail"),
        ("an empty id",                   200, json!({"id": ""}),              "unknown unknown_outcome Fail"),
        ("success that is no JSON",       200, json!("<html>"),                "unknown unknown_outcome Fail"),
        ("success without a body",        204, json!(null),                    "unknown unknown_outcome Fail"),
        ("told to slow down",             429, error("slow"),                  "again rate_limited 1000 free"),
        ("no room, by the code",          400, error("busy"),                  "again overloaded 1000 free"),
        ("no room, whatever the status",  503, error("busy"),                  "again overloaded 1000 free"),
        ("a passing failure, by code",    500, error("hiccup"),                "again transient 1000 counted"),
        ("a gateway lost the answer",     504, json!("time-out"),              "unknown unknown_outcome Fail"),
        ("a server error",                500, error("x"),                     "unknown unknown_outcome Fail"),
        ("a conflict",                    409, error("x"),                     "unknown unknown_outcome Fail"),
        ("a time-out of the request",     408, json!(null),                    "unknown unknown_outcome Fail"),
        ("against the policy",            400, error("policy"),                "refused moderated"),
        ("429 for an empty account",      429, error("quota"),                 "refused billing"),
        ("wrong key",                     401, error("x"),                     "refused authentication"),
        ("no credit",                     402, error("x"),                     "refused billing"),
        ("not allowed",                   403, error("x"),                     "refused authentication"),
        ("no such model",                 404, error("x"),                     "refused not_found"),
        ("wrong request",                 422, error("x"),                     "refused invalid_request"),
        ("for legal reasons",             451, json!(null),                    "refused moderated"),
        ("moved",                         302, json!(null),                    "refused provider_error"),
        ("policy under HTTP 200",         200, error("policy"),                "refused moderated"),
    ];
    for (why, status, body, want) in cases {
        let got = say(&mut flow(&json!({})), &mut 0, status, &body);
        assert_eq!(word(&got), want, "{why}: {status}");
    }
}

#[test]
fn refusals_that_count_end_after_retry_max_and_refusals_for_load_do_not() {
    let hiccup = json!({"error": {"code": "hiccup"}});
    let (mut flow, mut now) = (flow(&json!({})), 0);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let verdict = say(&mut flow, &mut now, 500, &hiccup);
        waits.push(word(&verdict));
    }
    assert_eq!(
        waits,
        [
            "again transient 1000 counted",
            "again transient 3000 counted",
            "refused transient"
        ]
    );

    let (mut flow, mut now) = (crate::testing::flow(&json!({})), 0);
    for _ in 0..20 {
        let verdict = say(&mut flow, &mut now, 429, &json!(null));
        assert!(matches!(
            verdict,
            Verdict::Refused {
                retry: Some(Retry {
                    counts: false,
                    pauses_credential: true,
                    ..
                }),
                ..
            }
        ));
    }
    // Doubling from 1 s, 20 s at most.
    assert_eq!(now, (1 + 2 + 4 + 8 + 16) * 1_000 + 14 * 20_000);
}

#[test]
fn a_request_that_was_certainly_not_sent_is_sent_again_and_a_cut_one_is_not() {
    let fault = || Fault::new(Kind::NotSent, "no connection");
    let (mut flow, mut now) = (flow(&json!({})), 0);
    let _ = act(&mut flow, &mut now);
    let verdict = flow.on(Event::NotSent(fault()), now, MID);
    assert!(
        matches!(verdict, Verdict::NotSent { retry: Some(_), .. }),
        "{verdict:?}"
    );
    let _ = act(&mut flow, &mut now);
    let verdict = flow.on(Event::Broken(fault()), now, MID);
    assert_eq!(word(&verdict), "unknown unknown_outcome Fail");
    assert!(
        matches!(ended(&mut flow, &mut now), Ending::Failed(fault) if fault.class() == Some(Class::UnknownOutcome))
    );
}

#[test]
fn what_egress_refuses_is_not_tried_again() {
    let (mut flow, mut now) = (flow(&json!({})), 0);
    let _ = act(&mut flow, &mut now);
    let verdict = flow.on(
        Event::NotSent(Fault::new(Kind::EgressRefused, "private")),
        now,
        MID,
    );
    assert!(
        matches!(verdict, Verdict::NotSent { retry: None, .. }),
        "{verdict:?}"
    );
}

#[test]
#[rustfmt::skip]
fn a_poll_reads_its_state_then_errors_then_the_status() {
    let error = |code: &str| json!({"error": {"code": code, "message": "no"}});
    let cases = [
        ("still running",               200, json!({"status": "Running"}),                 "pending"),
        ("no word yet",                 200, json!({}),                                    "pending"),
        ("an empty body",               200, json!(null),                                  "pending"),
        ("a word of no list",           200, json!({"status": "musing"}),                  "pending"),
        ("done",                        200, json!({"status": "done"}),                    "done"),
        ("failed",                      200, json!({"status": "failed"}),                  "job failed provider_error"),
        ("failed for the policy",       200, json!({"status": "failed", "error": {"code": "policy"}}), "job failed moderated"),
        ("done, whatever else it says", 200, json!({"status": "done", "error": {"code": "policy"}}), "done"),
        ("canceled by another",         200, json!({"status": "canceled"}),                "job failed job_canceled"),
        ("a state in a failed answer",  500, json!({"status": "done"}),                    "continue"),
        ("a server error",              500, error("x"),                                   "continue"),
        ("slow down",                   429, error("x"),                                   "continue"),
        ("the key is refused",          401, error("x"),                                   "credential authentication"),
        ("the account is empty",        400, error("quota"),                               "credential billing"),
        ("not there yet",               404, error("x"),                                   "continue"),
        ("a wrong request",             400, error("x"),                                   "job failed invalid_request"),
        ("against the policy",          400, error("policy"),                              "job failed moderated"),
    ];
    for (why, status, body, want) in cases {
        let (mut flow, mut now) = accepted(&json!({}));
        let got = say(&mut flow, &mut now, status, &body);
        assert_eq!(word(&got), want, "{why}: {status}");
    }
}

#[test]
fn a_word_of_no_list_is_drift_and_the_job_stays_pending() {
    let (mut flow, mut now) = accepted(&json!({}));
    let verdict = say(&mut flow, &mut now, 200, &json!({"status": "musing"}));
    assert!(
        matches!(verdict, Verdict::Pending(Pending { drift: true, provider_status: Some(word), .. }) if word == "musing")
    );
}

#[test]
fn a_terminal_failure_never_reaches_the_download() {
    for status in ["failed", "canceled"] {
        let (mut flow, mut now) = accepted(&json!({}));
        let body =
            json!({"status": status, "error": {"code": "c", "message": "the model gave up"}});
        let _ = say(&mut flow, &mut now, 200, &body);
        let Ending::Failed(fault) = ended(&mut flow, &mut now) else {
            panic!("{status} did not fail");
        };
        assert_eq!(fault.provider_code.as_deref(), Some("c"));
        assert_eq!(fault.provider_message.as_deref(), Some("the model gave up"));
    }
}

#[test]
fn a_job_unknown_to_the_provider_has_a_grace_and_is_then_expired() {
    let (mut flow, mut now) = accepted(&json!({}));
    loop {
        let verdict = say(&mut flow, &mut now, 404, &json!(null));
        if now < 30_000 {
            assert_eq!(verdict, Verdict::Continue, "at {now}");
        } else {
            assert_eq!(word(&verdict), "job failed expired");
            break;
        }
    }
}

#[test]
fn a_job_past_its_life_is_asked_once_more_and_given_up() {
    let (mut flow, mut now) = accepted(&json!({}));
    let mut overdue = Vec::new();
    let verdict = loop {
        match say(&mut flow, &mut now, 200, &json!({"status": "running"})) {
            Verdict::Pending(pending) => overdue.push((now, pending.overdue)),
            verdict => break verdict,
        }
    };
    assert!(
        overdue
            .iter()
            .all(|(at, overdue)| *overdue == (*at >= 60_000))
    );
    assert_eq!(
        (now, word(&verdict)),
        (600_000, "job failed deadline_exceeded".to_owned())
    );
    // Past the deadline it was followed slowly: once a minute.
    let slow = overdue.iter().filter(|(_, overdue)| *overdue).count();
    assert!(slow <= 10, "{slow} polls past the deadline");
}

#[test]
fn no_run_ends_for_time_without_an_answer_about_its_job_before_twice_its_life() {
    let (mut flow, mut now) = accepted(&json!({}));
    let verdict = loop {
        match say(&mut flow, &mut now, 401, &json!(null)) {
            Verdict::CredentialRefused(_) => {}
            verdict => break verdict,
        }
    };
    assert_eq!(word(&verdict), "job failed deadline_exceeded");
    assert!(now >= 1_200_000, "ended at {now}");
}

#[test]
fn a_run_that_is_taken_over_goes_on_from_what_was_captured() {
    let profile = json!({"response_mapping": {"extract": {"second": "other.id"}}});
    let mut first = flow(&profile);
    let mut now = 1_000;
    let _ = say(
        &mut first,
        &mut now,
        200,
        &json!({"id": "job-1", "other": {"id": 9}}),
    );
    let resume = || Resume {
        state: Some(RunState::Polling),
        captured: Some(serde_json::from_str(&first.captured().to_string()).unwrap()),
        accepted_at_ms: Some(1_000),
        ..Resume::default()
    };
    let mut second = Flow::resume(setting(&profile), resume()).unwrap();
    now = 50_000;
    // Late: due at once.
    match second.next(now, drawn(now)) {
        Action::Exchange {
            phase: Phase::Poll,
            request,
        } => assert_eq!(request.url.as_str(), "https://api.acme.ai/v1/jobs/job-1"),
        other => panic!("{other:?}"),
    }
    assert_eq!(second.captured(), first.captured());
    let lost = Resume {
        accepted_at_ms: None,
        ..resume()
    };
    assert_eq!(
        Flow::resume(setting(&profile), lost).unwrap_err().kind,
        Kind::BadRecord
    );
}

#[test]
fn a_submit_found_in_flight_is_never_sent_again_blindly() {
    let resume = Resume {
        state: Some(RunState::Submitting),
        sent_at_ms: Some(0),
        ..Resume::default()
    };
    let mut flow = Flow::resume(setting(&json!({})), resume).unwrap();
    let mut now = 0;
    assert!(matches!(
        flow.next(now, drawn(0)),
        Action::Wait {
            why: Why::Settle,
            ..
        }
    ));
    let Ending::Failed(fault) = ended(&mut flow, &mut now) else {
        panic!("not failed");
    };
    // The transport's time-out, and a minute.
    assert_eq!((fault.kind.word(), now), ("unknown_outcome", 120_000));
}

#[test]
#[rustfmt::skip]
fn an_answer_of_another_host_is_judged_by_its_http_status_alone() {
    let error = |code: &str| json!({"error": {"code": code, "message": "no"}});
    let cases = [
        // what the other host says    status               of the provider            of another host
        ("a code under HTTP 200",      200, error("policy"), "job failed moderated",    "pending"),
        ("a code that names a class",  429, error("quota"),  "credential billing",      "continue"),
        ("the same, and no more",      400, error("policy"), "job failed moderated",    "job failed invalid_request"),
        ("its status",                 503, error("policy"), "job failed moderated",    "continue"),
        ("the state of the job",       200, json!({"status": "done"}), "done",          "done"),
    ];
    for (why, status, body, own, other) in cases {
        for (trusted, want) in [(true, own), (false, other)] {
            let (mut flow, mut now) = accepted(&json!({}));
            assert!(matches!(act(&mut flow, &mut now), Action::Exchange { phase: Phase::Poll, .. }));
            let received = Received { trusted, ..answer(status, &body) };
            let verdict = flow.on(Event::Answered(received), now, MID);
            assert_eq!(word(&verdict), want, "{why}, trusted: {trusted}");
        }
    }
}

#[test]
fn after_an_answer_of_another_host_the_providers_own_is_read_again() {
    let (mut flow, mut now) = accepted(&json!({}));
    let policy = json!({"error": {"code": "policy", "message": "no"}});
    let _ = act(&mut flow, &mut now);
    let received = Received {
        trusted: false,
        ..answer(200, &policy)
    };
    let _ = flow.on(Event::Answered(received), now, MID);
    let verdict = say(&mut flow, &mut now, 200, &policy);
    assert_eq!(word(&verdict), "job failed moderated");
}

#[test]
#[rustfmt::skip]
fn in_an_answer_that_is_not_2xx_only_what_reads_the_status_counts() {
    let by_status = json!({"succeeded": [{"path": "@status", "equals": 303}], "running": [202, {"path": "word", "equals": "x"}], "failed": [{"path": "word", "equals": "no"}]});
    let cases = [
        ("status",  303, json!({}),              "done"),
        ("status",  202, json!({"word": "x"}),   "pending"),
        ("status",  500, json!({"word": "no"}),  "continue"),
        ("status",  200, json!({"word": "no"}),  "job failed provider_error"),
        ("@status", 202, json!({}),              "pending"),
        ("@status", 303, json!({}),              "done"),
    ];
    for (path, status, body, want) in cases {
        let steps = json!([
            {"name": "poll", "path": "/jobs/{{job_id}}", "status_path": path, "states": by_status},
            {"name": "download", "path": "/file", "mode": "binary"},
        ]);
        let (mut flow, mut now) = accepted(&json!({"workflow": {"steps": steps}}));
        let got = say(&mut flow, &mut now, status, &body);
        assert_eq!(word(&got), want, "{path} {status} {body}");
    }
}

#[test]
fn a_list_without_the_job_is_as_a_job_that_is_not_found() {
    let steps = json!([
        {"name": "poll", "path": "/jobs", "select": {"in": "jobs", "where": {"path": "id", "equals": "{{job_id}}"}},
         "states": {"succeeded": ["done"]}, "not_found_grace_ms": 10_000},
        {"name": "download", "path": "/file", "mode": "binary"},
    ]);
    let (mut flow, mut now) = accepted(&json!({"workflow": {"steps": steps}}));
    loop {
        let body = json!({"jobs": [{"id": "other", "status": "done"}]});
        let verdict = say(&mut flow, &mut now, 200, &body);
        if now >= 10_000 {
            assert_eq!(word(&verdict), "job failed expired");
            break;
        }
        assert_eq!(verdict, Verdict::Continue, "at {now}");
    }
}
