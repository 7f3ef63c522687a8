//! What settles an unknown outcome, and what does not.

use super::*;

fn lookup() -> Value {
    json!({"transport": {"settle": {"kind": "lookup", "path": "/jobs", "select": {"in": "data", "where": {"path": "prompt", "equals": "{{userPrompt}}"}},
        "job_id_path": "id", "visible_after_ms": 30_000}}})
}

#[test]
#[rustfmt::skip]
fn a_look_up_settles_only_what_it_proves() {
    let ours = |id: &str| json!({"id": id, "prompt": "a cat"});
    let cases = [
        ("one candidate",  json!({"data": [ours("j-9"), {"id": "x", "prompt": "a dog"}]}), true,  "accepted j-9"),
        ("one, sender dead", json!({"data": [ours("j-9")]}),                               false, "accepted j-9"),
        ("none",           json!({"data": [{"id": "x", "prompt": "a dog"}]}),              true,  "Absent"),
        ("none, but the sender has not ended", json!({"data": []}),                        false, "NotSettled"),
        ("several",        json!({"data": [ours("j-1"), ours("j-2")]}),                    true,  "NotSettled"),
    ];
    for (why, body, sender_ended, want) in cases {
        let resume = Resume {
            state: Some(RunState::SubmitUnknown),
            sent_at_ms: Some(0),
            sender_ended_at_ms: sender_ended.then_some(0),
            ..Resume::default()
        };
        let mut flow = Flow::resume(setting(&lookup()), resume).unwrap();
        let mut now = 0;
        let Verdict::Candidates(ids) = say(&mut flow, &mut now, 200, &body) else {
            panic!("{why}: no candidates");
        };
        assert_eq!(now, 30_000, "{why}: not before it can be seen");
        let verdict = flow.on(Event::Candidates(ids), now, MID);
        assert_eq!(word(&verdict), want, "{why}");
    }
}

#[test]
fn a_look_up_that_fails_proves_nothing() {
    let resume = Resume {
        state: Some(RunState::SubmitUnknown),
        sent_at_ms: Some(0),
        sender_ended_at_ms: Some(0),
        ..Resume::default()
    };
    let mut flow = Flow::resume(setting(&lookup()), resume).unwrap();
    let mut now = 0;
    let mut looks = 0;
    let ending = loop {
        match act(&mut flow, &mut now) {
            Action::Exchange {
                phase: Phase::Settle,
                ..
            } => looks += 1,
            Action::Ended(ending) => break ending,
            other => panic!("{other:?}"),
        }
        assert_eq!(
            flow.on(Event::Answered(answer(500, &json!(null))), now, MID),
            Verdict::Continue
        );
    };
    assert!(looks > 1);
    assert!(matches!(ending, Ending::Failed(fault) if fault.kind.word() == "unknown_outcome"));
}

#[test]
fn absence_frees_the_run_no_more_often_than_retry_max() {
    let (mut flow, mut now) = (flow(&lookup()), 0);
    let mut submits = 0;
    let ending = loop {
        match act(&mut flow, &mut now) {
            Action::Submit(_) => submits += 1,
            Action::Exchange {
                phase: Phase::Settle,
                ..
            } => {
                let _ = flow.on(Event::Answered(answer(200, &json!({"data": []}))), now, MID);
                let _ = flow.on(Event::Candidates(Vec::new()), now, MID);
                continue;
            }
            Action::Ended(ending) => break ending,
            other => panic!("{other:?}"),
        }
        let _ = flow.on(Event::Answered(answer(500, &json!(null))), now, MID);
    };
    assert_eq!(submits, 3);
    assert!(matches!(ending, Ending::Failed(_)));
}

fn replay() -> Value {
    json!({"transport": {"idempotency": {"header": "Idempotency-Key"}, "settle": {"kind": "replay"}}})
}

#[test]
fn a_replay_sends_the_same_bytes_and_no_refusal_of_it_frees_the_run() {
    let (mut flow, mut now) = (flow(&replay()), 5);
    let Action::Submit(sent) = act(&mut flow, &mut now) else {
        panic!("no submit");
    };
    let token = token(Uuid::from_u128(7), 1).to_string();
    assert_eq!(sent.header("idempotency-key"), Some(token.as_str()));
    let _ = flow.on(Event::Broken(Fault::new(Kind::NotSent, "cut")), now, MID);
    for (status, code) in [(429, "x"), (401, "x"), (400, "policy")] {
        assert!(
            matches!(act(&mut flow, &mut now), Action::Replay),
            "{status}"
        );
        let again = flow.render_submit(sent.drawn).unwrap();
        assert_eq!((again.sha256(), &again.body), (sent.sha256(), &sent.body));
        let body = json!({"error": {"code": code}});
        assert_eq!(
            flow.on(Event::Answered(answer(status, &body)), now, MID),
            Verdict::Continue,
            "{status}"
        );
    }
    // Absence does not free it either.
    assert_eq!(
        flow.on(Event::Candidates(Vec::new()), now, MID),
        Verdict::NotSettled
    );
    assert!(
        matches!(ended(&mut flow, &mut now), Ending::Failed(fault) if fault.kind.word() == "unknown_outcome")
    );
}

#[test]
fn a_replay_that_is_accepted_settles() {
    let (mut flow, mut now) = (flow(&replay()), 0);
    let _ = act(&mut flow, &mut now);
    let _ = flow.on(Event::Broken(Fault::new(Kind::NotSent, "cut")), now, MID);
    assert!(matches!(act(&mut flow, &mut now), Action::Replay));
    let verdict = flow.on(Event::Answered(answer(200, &json!({"id": "j"}))), now, MID);
    assert_eq!(word(&verdict), "accepted j");
}

/// As [`lookup`], with a page that says whether it is the last.
fn paged() -> Value {
    let mut profile = lookup();
    profile["transport"]["settle"]["complete_when"] = json!({"path": "more", "equals": false});
    profile
}

fn unknown(profile: &Value, sent_at_ms: i64) -> Flow {
    let resume = Resume {
        state: Some(RunState::SubmitUnknown),
        sent_at_ms: Some(sent_at_ms),
        sender_ended_at_ms: Some(sent_at_ms),
        ..Resume::default()
    };
    Flow::resume(setting(profile), resume).unwrap()
}

/// Looks once; of the candidates the runtime takes away those in `known`.
fn look(flow: &mut Flow, now_ms: &mut i64, body: &Value, known: &[&str]) -> Verdict {
    let Verdict::Candidates(mut ids) = say(flow, now_ms, 200, body) else {
        panic!("no candidates");
    };
    ids.retain(|id| !known.contains(&id.as_str()));
    flow.on(Event::Candidates(ids), *now_ms, MID)
}

#[test]
#[rustfmt::skip]
fn absence_counts_only_in_an_answer_that_would_have_to_hold_the_job() {
    let none: [&str; 0] = [];
    let cases = [
        // why                         more          ours         known    want
        ("none, all was seen",         json!(false), &none[..],   &none[..], "Absent"),
        ("none on a page of several",  json!(true),  &[],         &[],       "NotSettled"),
        ("none, and nobody says",      json!(null),  &[],         &[],       "NotSettled"),
        ("one, all was seen",          json!(false), &["j"],      &[],       "accepted j"),
        ("one on a page of several",   json!(true),  &["j"],      &[],       "accepted j"),
        ("several, all was seen",      json!(false), &["j", "k"], &[],       "NotSettled"),
        ("several on a page",          json!(true),  &["j", "k"], &[],       "NotSettled"),
        ("another run's, all was seen", json!(false), &["j"],     &["j"],    "Absent"),
        ("another run's on a page",    json!(true),  &["j"],      &["j"],    "NotSettled"),
        ("another run's and ours",     json!(true),  &["j", "k"], &["j"],    "accepted k"),
    ];
    for (why, more, ours, known, want) in cases {
        let data: Vec<Value> = ours.iter().map(|id| json!({"id": id, "prompt": "a cat"})).collect();
        let body = json!({"more": more, "data": data});
        let verdict = look(&mut unknown(&paged(), 0), &mut 0, &body, known);
        assert_eq!(word(&verdict), want, "{why}");
    }
}

#[test]
fn a_page_that_is_not_complete_is_looked_at_again_and_then_given_up() {
    let (mut flow, mut now) = (unknown(&paged(), 0), 0);
    let mut looks = Vec::new();
    let ending = loop {
        match act(&mut flow, &mut now) {
            Action::Exchange { .. } => looks.push(now),
            Action::Ended(ending) => break ending,
            other => panic!("{other:?}"),
        }
        let body = json!({"more": true, "data": []});
        let _ = flow.on(Event::Answered(answer(200, &body)), now, MID);
        let _ = flow.on(Event::Candidates(Vec::new()), now, MID);
    };
    assert!(looks.len() > 2, "{looks:?}");
    assert!(matches!(ending, Ending::Failed(fault) if fault.kind.word() == "unknown_outcome"));
}

#[test]
fn a_complete_page_of_long_ago_does_not_make_the_next_one_proof() {
    let (mut flow, mut now) = (unknown(&paged(), 0), 0);
    let several = json!({"more": false, "data": [{"id": "j", "prompt": "a cat"}, {"id": "k", "prompt": "a cat"}]});
    assert_eq!(
        look(&mut flow, &mut now, &several, &[]),
        Verdict::NotSettled
    );
    // Nobody looked since: an empty list from elsewhere is no answer.
    assert_eq!(
        flow.on(Event::Candidates(Vec::new()), now, MID),
        Verdict::NotSettled
    );
    let page = json!({"more": true, "data": []});
    assert_eq!(look(&mut flow, &mut now, &page, &[]), Verdict::NotSettled);
    let last = json!({"more": false, "data": []});
    assert_eq!(look(&mut flow, &mut now, &last, &[]), Verdict::Absent);
}

#[test]
fn the_time_that_a_look_up_reads_is_the_attempts_and_not_its_own() {
    let mut profile = lookup();
    let limit = r#"{{json (sub (timestamp "unix") 10)}}"#;
    profile["transport"]["settle"]["select"]["where"] = json!({"path": "at", "gte": limit});
    profile["transport"]["settle"]["complete_when"] = json!({"path": "$.data[-1].at", "lt": limit});
    // Sent at 1000 s, looked up from 1030 s: by that clock a job of 1005 s is
    // too old to be ours, and old enough to prove that nothing else is.
    let sent_at_ms = 1_000_000;
    let cases = [
        ("ours", json!([{"id": "j", "at": 1_005}]), "accepted j"),
        (
            "another run's",
            json!([{"id": "x", "at": 1_005}]),
            "NotSettled",
        ),
        ("older ones only", json!([{"id": "x", "at": 989}]), "Absent"),
    ];
    for (why, data, want) in cases {
        let (mut flow, mut now) = (unknown(&profile, sent_at_ms), sent_at_ms);
        let verdict = look(&mut flow, &mut now, &json!({"data": data}), &["x"]);
        assert_eq!(now, 1_030_000, "{why}");
        assert_eq!(word(&verdict), want, "{why}");
    }
}

#[test]
fn without_the_attempts_time_no_page_is_complete() {
    let mut profile = lookup();
    profile["transport"]["settle"]["complete_when"] =
        json!({"path": "oldest", "lt": r#"{{json (timestamp "unix")}}"#});
    let resume = Resume {
        state: Some(RunState::SubmitUnknown),
        sender_ended_at_ms: Some(1_000_000),
        ..Resume::default()
    };
    let (mut flow, mut now) = (Flow::resume(setting(&profile), resume).unwrap(), 1_000_000);
    let body = json!({"oldest": 900, "data": []});
    assert_eq!(look(&mut flow, &mut now, &body, &[]), Verdict::NotSettled);
}

#[test]
fn a_candidate_without_an_id_of_its_own_is_no_absence() {
    for id in [json!(null), json!(""), json!({}), json!("x".repeat(1_025))] {
        let body = json!({"more": false, "data": [{"id": id, "prompt": "a cat"}]});
        let verdict = look(&mut unknown(&paged(), 0), &mut 0, &body, &[]);
        assert_eq!(verdict, Verdict::NotSettled, "{id}");
    }
}

#[test]
#[rustfmt::skip]
fn an_answer_that_is_not_what_was_asked_for_proves_no_absence() {
    let by_tag = json!({"transport": {"settle": {"kind": "lookup", "path": "/jobs", "query": {"tag": "{{run.token}}"}, "job_id_path": "jobs[].id", "visible_after_ms": 30_000}}});
    let cases = [
        (lookup(), 200, json!({"data": []}),           true,  "Absent"),
        (lookup(), 200, json!({"data": []}),           false, "NotSettled"),
        (lookup(), 200, json!({}),                     true,  "NotSettled"),
        (lookup(), 200, json!({"data": null}),         true,  "NotSettled"),
        (lookup(), 200, json!("<html>maintenance"),    true,  "NotSettled"),
        (lookup(), 204, json!(null),                   true,  "NotSettled"),
        (by_tag.clone(), 200, json!({"jobs": []}),     true,  "Absent"),
        (by_tag.clone(), 404, json!(null),             true,  "Absent"),
        (by_tag.clone(), 404, json!(null),             false, "NotSettled"),
        (by_tag.clone(), 200, json!("<html>"),         true,  "NotSettled"),
        (by_tag, 200, json!(null),                     true,  "NotSettled"),
    ];
    for (profile, status, body, trusted, want) in cases {
        let (mut flow, mut now) = (unknown(&profile, 0), 0);
        let _ = act(&mut flow, &mut now);
        let received = Received { trusted, ..answer(status, &body) };
        let Verdict::Candidates(ids) = flow.on(Event::Answered(received), now, MID) else {
            panic!("{body}: no candidates");
        };
        assert_eq!(ids, Vec::<String>::new());
        let verdict = flow.on(Event::Candidates(ids), now, MID);
        assert_eq!(word(&verdict), want, "{status} {body} trusted: {trusted}");
    }
}

#[test]
fn replays_that_break_are_counted_like_those_that_are_answered() {
    let (mut flow, mut now) = (flow(&replay()), 0);
    let _ = act(&mut flow, &mut now);
    let _ = flow.on(Event::Broken(Fault::new(Kind::NotSent, "cut")), now, MID);
    let mut replays = 0;
    let ending = loop {
        match act(&mut flow, &mut now) {
            Action::Replay => replays += 1,
            Action::Ended(ending) => break ending,
            other => panic!("{other:?}"),
        }
        assert!(replays < 10, "without end");
        let fault = Fault::new(Kind::NotSent, "cut");
        let event = if replays == 1 {
            Event::NotSent(fault)
        } else {
            Event::Broken(fault)
        };
        assert_eq!(flow.on(event, now, MID), Verdict::Continue);
        // Once a replay has begun, absence does not free the run.
        let none = flow.on(Event::Candidates(Vec::new()), now, MID);
        assert_eq!(none, Verdict::NotSettled);
    };
    assert_eq!(replays, 3);
    assert!(matches!(ending, Ending::Failed(fault) if fault.kind.word() == "unknown_outcome"));
}

/// Plain calls are settled by a replay and repeated twice; those with a style are neither.
fn by_style() -> Value {
    json!({"transport": {
        "idempotency": {"header": "Idempotency-Key"}, "settle": {"kind": "replay"}, "retry": {"max": 2},
        "variants": [{"when": {"present": "params.place"}, "idempotency": null, "settle": null, "retry": {"max": 0}, "ok_status": [409]}],
    }})
}

#[test]
fn the_variant_that_was_sent_says_how_its_outcome_is_settled() {
    let styled = |style: &str| {
        let params = if style.is_empty() {
            json!({})
        } else {
            json!({"place": style})
        };
        let mut setting = setting(&by_style());
        let call = profile::call::Call {
            params: params.as_object().cloned().unwrap(),
            ..setting.checked.call.clone()
        };
        setting.checked = Arc::new(profile::call::Checked { call });
        Flow::new(setting)
    };
    let cases = [
        // style     token goes along  cut         told to try again
        ("", true, "Settle", true),
        ("noir", false, "Fail", false),
    ];
    for (style, token, cut, again) in cases {
        let (mut flow, mut now) = (styled(style), 0);
        let Action::Submit(request) = act(&mut flow, &mut now) else {
            panic!("nothing is sent");
        };
        assert_eq!(
            request.header("idempotency-key").is_some(),
            token,
            "{style}"
        );
        let fault = Fault::new(Kind::Class(Class::Transient), "cut");
        let verdict = flow.on(Event::Broken(fault), now, MID);
        assert_eq!(
            word(&verdict),
            format!("unknown unknown_outcome {cut}"),
            "{style}"
        );
        let (mut flow, mut now) = (styled(style), 0);
        let hiccup = json!({"error": {"code": "hiccup"}});
        let verdict = say(&mut flow, &mut now, 500, &hiccup);
        assert_eq!(
            matches!(verdict, Verdict::Refused { retry: Some(_), .. }),
            again,
            "{style}"
        );
    }
}
