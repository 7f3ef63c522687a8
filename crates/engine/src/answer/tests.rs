use crate::fault::Kind;
use crate::flow::{Event, Flow, Verdict};
use crate::request::Received;
use crate::testing::{answer, drawn, flow};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

fn submitted(profile: &Value, received: Received) -> (Verdict, Flow) {
    let mut flow = flow(profile);
    let _ = flow.next(0, drawn(0));
    let verdict = flow.on(Event::Answered(received), 0, 0.5);
    (verdict, flow)
}

fn refusal(
    errors: &Value,
    status: u16,
    body: &Value,
) -> Option<(Kind, Option<String>, Option<String>)> {
    let profile = json!({"response_mapping": {"errors": errors}});
    match submitted(&profile, answer(status, body)).0 {
        Verdict::Refused { fault, .. }
        | Verdict::Unknown { fault, .. }
        | Verdict::Failed(fault) => Some((fault.kind, fault.provider_code, fault.provider_message)),
        _ => None,
    }
}

#[test]
#[rustfmt::skip]
fn code_and_message_are_found_in_the_usual_shapes() {
    let cases = [
        (json!({"error": {"code": "c", "message": "m"}}),       Some("c"), "m"),
        (json!({"error": {"type": "t", "message": "m"}}),       Some("t"), "m"),
        (json!({"error": {"code": 1102, "message": "m"}}),      Some("1102"), "m"),
        (json!({"error": "m"}),                                 None, "m"),
        (json!({"code": 7, "message": "m"}),                    Some("7"), "m"),
        (json!({"detail": [{"msg": "m", "loc": ["body"]}]}),    None, "m"),
        (json!({"error": {"status": "s", "message": "m"}}),     Some("s"), "m"),
        (json!({"errors": ["m", "n"]}),                         None, "m"),
        (json!({"detail": "m"}),                                None, "m"),
        (json!("  plain text \n"),                              None, "plain text"),
    ];
    for (body, code, message) in cases {
        let (_, got_code, got_message) = refusal(&json!({}), 400, &body).unwrap();
        assert_eq!((got_code.as_deref(), got_message.as_deref()), (code, Some(message)), "{body}");
    }
}

#[test]
#[rustfmt::skip]
fn a_code_that_is_not_ok_is_a_failure_under_http_200() {
    let errors = json!({"code_path": "code", "message_path": "msg", "ok": [0, "ok"], "rate_limited": [7], "moderated": [{"path": "flag", "equals": true}]});
    let cases = [
        (json!({"code": 0, "id": "j"}),                 None),
        (json!({"code": "OK", "id": "j"}),              None),
        (json!({"id": "j"}),                            None),
        (json!({"code": 3, "id": "j"}),                 Some("provider_error")),
        (json!({"code": 7}),                            Some("rate_limited")),
        (json!({"code": "7"}),                          Some("provider_error")),
        (json!({"code": 7.0}),                          Some("rate_limited")),
        (json!({"code": 0, "flag": true, "id": "j"}),   Some("moderated")),
    ];
    for (body, want) in cases {
        let got = refusal(&errors, 200, &body).map(|(kind, _, _)| kind.word());
        assert_eq!(got, want, "{body}");
    }
}

#[test]
fn a_poll_of_a_list_walks_the_item_it_selects() {
    let mut profile = json!({"workflow": {"steps": []}});
    profile["workflow"]["steps"] = json!([
        {"name": "poll", "path": "/jobs", "interval_ms": 2000, "select": {"in": "jobs", "where": {"path": "id", "equals": "{{job_id}}"}},
         "progress_path": "done", "states": {"succeeded": ["done"], "failed": ["failed"]}},
        {"name": "download", "url_path": "url", "mode": "binary"}
    ]);
    let (_, mut flow) = submitted(&profile, answer(200, &json!({"id": "b"})));
    let mut poll = |body: Value| {
        let _ = flow.next(1_000_000, drawn(0));
        flow.on(Event::Answered(answer(200, &body)), 1_000_000, 0.5)
    };
    let list = |status: &str| json!({"jobs": [{"id": "a", "status": "done"}, {"id": "b", "status": status, "done": "45%", "url": "https://cdn.example/b"}]});
    let Verdict::Pending(pending) = poll(list("working")) else {
        panic!("not pending");
    };
    assert_eq!(
        (pending.progress, pending.provider_status.as_deref()),
        (Some(45), Some("working"))
    );
    assert_eq!(poll(list("done")), Verdict::JobDone);
}

#[test]
#[rustfmt::skip]
fn progress_is_a_number_of_its_maximum_or_a_text_in_percent() {
    let cases = [
        // what the answer says   progress_max    percent
        (json!(45),               json!(null),    Some(45)),
        (json!("45%"),            json!(null),    Some(45)),
        (json!(" 45 % "),         json!(8),       Some(45)),
        (json!("45"),             json!(null),    Some(45)),
        (json!(0.45),             json!(1),       Some(45)),
        (json!(3),                json!(4),       Some(75)),
        (json!(140),              json!(null),    Some(100)),
        (json!(-3),               json!(null),    Some(0)),
        (json!("soon"),           json!(null),    None),
        (json!([45]),             json!(null),    None),
        (json!(null),             json!(null),    None),
    ];
    for (said, most, want) in cases {
        let mut profile = json!({"workflow": {"steps": []}});
        profile["workflow"]["steps"] = json!([
            {"name": "poll", "path": "/jobs/{{job_id}}", "progress_path": "done", "progress_max": most, "states": {"running": ["working"], "succeeded": ["ok"]}},
            {"name": "download", "url_path": "url", "mode": "binary"}
        ]);
        let (_, mut flow) = submitted(&profile, answer(200, &json!({"id": "b"})));
        let _ = flow.next(1_000_000, drawn(0));
        let body = json!({"status": "working", "done": said});
        match flow.on(Event::Answered(answer(200, &body)), 1_000_000, 0.5) {
            Verdict::Pending(pending) => assert_eq!(pending.progress, want, "{said} of {most}"),
            other => panic!("{said}: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn no_answer_makes_a_panic_or_a_failure_without_bounds(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..400)) {
        let received = Received { status, headers: Vec::new(), body: Bytes::from(body), trusted: true };
        let (verdict, flow) = submitted(&json!({}), received);
        if let Verdict::Refused { fault, .. } | Verdict::Unknown { fault, .. } | Verdict::Failed(fault) = verdict {
            prop_assert!(fault.to_json().to_string().len() < 16_000);
        }
        prop_assert!(flow.captured().to_string().len() < 64 * 1024);
    }

    #[test]
    fn no_json_answer_makes_a_panic(status in prop::sample::select(vec![200_u16, 202, 400, 404, 429, 500]), body in json_value()) {
        let (_, mut flow) = submitted(&json!({}), answer(200, &json!({"id": "j"})));
        let _ = flow.next(100_000, drawn(0));
        let _ = flow.on(Event::Answered(answer(status, &body)), 100_000, 0.5);
        let _ = submitted(&json!({}), answer(status, &body));
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["id", "status", "error", "code", "message", "data"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec!["done", "failed", "policy", ""]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        let members = prop::collection::vec((name.clone(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}
