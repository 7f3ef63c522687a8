//! Callbacks: when we ask, and which job is adopted.

use super::*;
use crate::flow::Meant;
use crate::webhook::Callback;

fn calls_back() -> Value {
    json!({"transport": {"settle": {"kind": "callback"}},
        "workflow": {"webhook": {"job_id_path": "id", "when": {"path": "kind", "equals": "video"}}}})
}

fn callback(body: &Value) -> Callback {
    Callback {
        headers: Vec::new(),
        body: body.to_string().into(),
    }
}

fn due(flow: &Flow) -> i64 {
    flow.due_ms().unwrap()
}

#[test]
fn a_proved_callback_makes_the_next_poll_due_at_once() {
    let (mut flow, _) = accepted(&calls_back());
    assert_eq!(due(&flow), 2_000);
    let said = flow.on(Event::Called { proved: true }, 100, MID);
    assert_eq!((said, due(&flow)), (Verdict::Continue, 100));
    assert_eq!(
        word(&say(
            &mut flow,
            &mut 100,
            200,
            &json!({"status": "running"})
        )),
        "pending"
    );
    // And again, whenever one comes.
    let _ = flow.on(Event::Called { proved: true }, 150, MID);
    assert_eq!(due(&flow), 150);
}

#[test]
fn callbacks_without_a_proof_make_one_poll_an_interval() {
    let (mut flow, _) = accepted(&calls_back());
    let call = |flow: &mut Flow, at: i64| {
        let _ = flow.on(Event::Called { proved: false }, at, MID);
        due(flow)
    };
    assert_eq!(call(&mut flow, 100), 100);
    let mut now = 100;
    let _ = say(&mut flow, &mut now, 200, &json!({"status": "running"}));
    let regular = due(&flow);
    assert_eq!(call(&mut flow, 200), regular.min(2_100));
    assert_eq!(
        call(&mut flow, 300),
        regular.min(2_100),
        "many are as good as one"
    );
    assert_eq!(call(&mut flow, 2_100), regular.min(2_100));
}

#[test]
fn a_callback_ends_no_wait_that_is_not_the_polls() {
    let (mut flow, mut now) = accepted(&calls_back());
    let refused = say(&mut flow, &mut now, 401, &json!({}));
    assert!(
        matches!(refused, Verdict::CredentialRefused(_)),
        "{refused:?}"
    );
    let before = due(&flow);
    let _ = flow.on(Event::Called { proved: true }, now, MID);
    assert_eq!(due(&flow), before);
}

#[test]
#[rustfmt::skip]
fn what_a_callback_means_the_profile_says() {
    let unknown = || {
        let resume = Resume { state: Some(RunState::SubmitUnknown), sent_at_ms: Some(0), ..Resume::default() };
        Flow::resume(setting(&calls_back()), resume).unwrap()
    };
    let (followed, _) = accepted(&calls_back());
    let cases = [
        (&followed, json!({"kind": "video", "id": "job-1"}), Meant::Something),
        (&followed, json!({"kind": "video"}),                Meant::Something),
        (&followed, json!({"kind": "video", "id": "job-2"}), Meant::Nothing),
        (&followed, json!({"kind": "billing"}),              Meant::Nothing),
        (&unknown(), json!({"kind": "video", "id": "j-9"}),  Meant::Job("j-9".into())),
        (&unknown(), json!({"kind": "video", "id": ""}),     Meant::Something),
        (&unknown(), json!({"kind": "image", "id": "j-9"}),  Meant::Nothing),
        (&unknown(), json!("no object"),                     Meant::Nothing),
    ];
    for (flow, body, want) in cases {
        assert_eq!(flow.meaning(&callback(&body), 0).unwrap(), want, "{body}");
    }
}

/// A run of unknown outcome that was told of this job.
fn named(profile: &Value) -> Flow {
    let resume = Resume {
        state: Some(RunState::SubmitUnknown),
        sent_at_ms: Some(0),
        ..Resume::default()
    };
    let mut flow = Flow::resume(setting(profile), resume).unwrap();
    assert_eq!(
        flow.on(Event::Named("j-9".into()), 0, MID),
        Verdict::Continue
    );
    flow
}

#[test]
#[rustfmt::skip]
fn a_job_that_a_callback_names_is_adopted_only_when_our_own_poll_answers_for_it() {
    let cases = [
        ("running",                  200, json!({"status": "running"}),                    "adopted"),
        ("done",                     200, json!({"status": "done"}),                       "adopted"),
        ("failed",                   200, json!({"status": "failed", "error": {"code": "x"}}), "adopted"),
        ("a word we do not know",    200, json!({"status": "warming"}),                    "adopted"),
        ("nothing about a job",      200, json!({}),                                       "no"),
        ("an empty answer",          200, json!(null),                                     "no"),
        ("no such job",              404, json!({"error": {"code": "x"}}),                 "no"),
        ("not an id",                400, json!({"error": {"code": "x"}}),                 "no"),
        ("an error under 200",       200, json!({"error": {"code": "policy"}}),            "no"),
        ("told to slow down",        429, json!({}),                                       "later"),
        ("a server error",           503, json!({}),                                       "later"),
        ("the key is refused",       401, json!({}),                                       "later"),
    ];
    for (why, status, body, want) in cases {
        let (mut flow, mut now, mut asked) = (named(&calls_back()), 0, 0);
        let got = loop {
            match act(&mut flow, &mut now) {
                Action::Exchange { phase: Phase::Settle, request } => {
                    assert_eq!(request.url.as_str(), "https://api.acme.ai/v1/jobs/j-9", "{why}");
                    asked += 1;
                }
                Action::Ended(_) => break "no",
                other => panic!("{why}: {other:?}"),
            }
            match flow.on(Event::Answered(answer(status, &body)), now, MID) {
                Verdict::Candidates(ids) => {
                    assert_eq!(ids, ["j-9"], "{why}");
                    assert_eq!(flow.job_id(), None, "{why}: not ours yet");
                    assert_eq!(word(&flow.on(Event::Candidates(ids), now, MID)), "accepted j-9", "{why}");
                    break "adopted";
                }
                _ if asked > 3 => break "later",
                _ => {}
            }
        };
        assert_eq!(got, want, "{why}");
        assert!(got != "no" || asked <= 3, "{why}: asked {asked} times");
    }
}

#[test]
fn without_our_own_poll_no_candidate_of_a_callback_is_adopted() {
    let mut flow = named(&calls_back());
    let said = flow.on(Event::Candidates(vec!["j-9".into()]), 0, MID);
    assert_eq!(word(&said), "NotSettled");
    assert_eq!(flow.job_id(), None);
}

#[test]
fn a_named_job_that_another_run_has_is_not_asked_about_again_and_the_next_is() {
    let mut flow = named(&calls_back());
    let _ = flow.on(Event::Named("j-10".into()), 0, MID);
    let mut now = 0;
    let said = say(&mut flow, &mut now, 200, &json!({"status": "running"}));
    assert_eq!(said, Verdict::Candidates(vec!["j-9".into()]));
    assert_eq!(
        word(&flow.on(Event::Candidates(Vec::new()), now, MID)),
        "NotSettled"
    );
    let _ = flow.on(Event::Named("j-9".into()), now, MID);
    let said = say(&mut flow, &mut now, 200, &json!({"status": "running"}));
    assert_eq!(said, Verdict::Candidates(vec!["j-10".into()]));
    assert_eq!(
        word(&flow.on(Event::Candidates(vec!["j-10".into()]), now, MID)),
        "accepted j-10"
    );
}

#[test]
fn a_callback_settles_before_the_look_up_that_the_profile_declares() {
    let mut profile = calls_back();
    profile["transport"]["settle"] = json!({"kind": "lookup", "path": "/jobs", "select": {"in": "data"}, "job_id_path": "id", "visible_after_ms": 30_000});
    let (mut flow, mut now) = (named(&profile), 0);
    let said = say(&mut flow, &mut now, 200, &json!({"status": "running"}));
    assert_eq!((now, said), (0, Verdict::Candidates(vec!["j-9".into()])));
    // The list goes on where the callback was of no use.
    let _ = flow.on(Event::Candidates(Vec::new()), now, MID);
    let said = say(&mut flow, &mut now, 200, &json!({"data": [{"id": "j-1"}]}));
    assert_eq!(
        (now, said),
        (30_000, Verdict::Candidates(vec!["j-1".into()]))
    );
}

#[test]
fn a_run_that_waits_for_a_callback_looks_again_and_fails_visibly_in_the_end() {
    let resume = Resume {
        state: Some(RunState::SubmitUnknown),
        sent_at_ms: Some(0),
        ..Resume::default()
    };
    let mut flow = Flow::resume(setting(&calls_back()), resume).unwrap();
    let mut now = 0;
    let mut looks = 0;
    let ending = loop {
        match flow.next(now, drawn(now)) {
            Action::Wait {
                until_ms,
                why: Why::Settle,
            } => {
                assert!(
                    until_ms > now && until_ms <= now + 15_000,
                    "{until_ms} at {now}"
                );
                (now, looks) = (until_ms, looks + 1);
            }
            Action::Ended(ending) => break ending,
            other => panic!("{other:?}"),
        }
    };
    assert!(looks > 3 && now >= 60_000, "{looks} looks, {now}");
    assert!(matches!(ending, Ending::Failed(fault) if fault.kind.word() == "unknown_outcome"));
}
