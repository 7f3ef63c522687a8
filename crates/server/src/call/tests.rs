use super::*;
use runtime::InputMedium;
use serde_json::json;

fn parse(body: Value) -> Result<ParsedCall, Vec<Violation>> {
    read(body, Ok(None))
}

/// Code and pointer of everything that is wrong.
fn wrong(body: Value) -> Vec<(Code, String)> {
    let found = parse(body).err().unwrap_or_default();
    found
        .iter()
        .map(|one| (one.code, one.pointer().unwrap_or("no pointer").to_owned()))
        .collect()
}

#[test]
fn every_member_of_a_body_reaches_the_library() {
    let body = json!({
        "purpose": "video", "provider": "acme", "model": "m-1", "profile_key": "p", "feature": "ads",
        "prompt": "a cat", "messages": [{"role": "user", "content": "hello"}],
        "params": {"seconds": 8}, "context": {"brand": "x"}, "language": "ko", "max_tokens": 100,
        "short_history": "s", "long_summary": "l",
        "inputs": {"reference": [{"url": "https://example.com/a.png"}, {"handle": "file-1"}]},
        "start_by": "2030-01-31T12:00:00Z", "priority": -5, "metadata": {"order": "A-1"},
    });
    let ParsedCall { request, .. } = read(body, Ok(Some("key".into()))).unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(request.purpose, "video");
    assert_eq!(
        (
            request.provider,
            request.model,
            request.profile_key,
            request.feature
        ),
        (text("acme"), text("m-1"), text("p"), text("ads"))
    );
    assert_eq!(request.idempotency_key, text("key"));
    assert_eq!(
        request.start_by.map(time::OffsetDateTime::unix_timestamp),
        Some(1_896_091_200)
    );
    assert_eq!(request.priority, -5);
    assert_eq!(Value::Object(request.metadata), json!({"order": "A-1"}));
    let want = json!({
        "prompt": "a cat", "messages": [{"role": "user", "content": "hello"}], "params": {"seconds": 8},
        "context": {"brand": "x"}, "language": "ko", "max_tokens": 100, "short_history": "s", "long_summary": "l",
    });
    assert_eq!(serde_json::to_value(&request.call).unwrap(), want);
    let media = &request.media["reference"];
    assert!(matches!(&media[0], InputMedium::Url(url) if url == "https://example.com/a.png"));
    assert!(matches!(&media[1], InputMedium::Handle(handle) if handle == "file-1"));
}

#[test]
fn null_is_a_member_that_was_left_out() {
    let request =
        parse(json!({"purpose": "video", "model": null, "params": null, "callback": null}))
            .unwrap()
            .request;
    assert_eq!(request.model, None);
}

#[test]
#[rustfmt::skip]
fn each_mistake_has_its_code_and_its_place_in_the_callers_own_body() {
    let cases = [
        (json!([]),                                                Code::C154, ""),
        (json!({"prompt": "x"}),                                   Code::C155, "/purpose"),
        (json!({"purpose": null}),                                 Code::C155, "/purpose"),
        (json!({"purpose": 1}),                                    Code::C154, "/purpose"),
        (json!({"purpose": "v", "prompt": ["x"]}),                 Code::C154, "/prompt"),
        (json!({"purpose": "v", "promt": "x"}),                    Code::C153, "/promt"),
        (json!({"purpose": "v", "a/b": "x"}),                      Code::C153, "/a~1b"),
        (json!({"purpose": "v", "params": []}),                    Code::C154, "/params"),
        (json!({"purpose": "v", "priority": 1.5}),                 Code::C154, "/priority"),
        (json!({"purpose": "v", "priority": 32768}),               Code::C154, "/priority"),
        (json!({"purpose": "v", "max_tokens": -1}),                Code::C154, "/max_tokens"),
        (json!({"purpose": "v", "start_by": "tomorrow"}),          Code::C154, "/start_by"),
        (json!({"purpose": "v", "messages": {}}),                  Code::C154, "/messages"),
        (json!({"purpose": "v", "messages": ["x"]}),               Code::C154, "/messages/0"),
        (json!({"purpose": "v", "messages": [{"role": "user"}]}),  Code::C155, "/messages/0/content"),
        (json!({"purpose": "v", "inputs": {"a": "x.png"}}),        Code::C154, "/inputs/a"),
        (json!({"purpose": "v", "inputs": {"a": ["x.png"]}}),      Code::C154, "/inputs/a/0"),
        (json!({"purpose": "v", "inputs": {"a": {}}}),             Code::C166, "/inputs/a"),
        (json!({"purpose": "v", "inputs": {"a": [{}]}}),           Code::C166, "/inputs/a/0"),
        (json!({"purpose": "v", "inputs": {"a": {"id": "x"}}}),    Code::C154, "/inputs/a/id"),
        (json!({"purpose": "v", "inputs": {"a": {"uri": "x"}}}),   Code::C153, "/inputs/a/uri"),
        (json!({"purpose": "v", "inputs": {"a": {"url": "x", "data_url": "y"}}}), Code::C166, "/inputs/a"),
        (json!({"purpose": "v", "callback": "x"}),                 Code::C154, "/callback"),
        (json!({"purpose": "v", "cache": "yes"}),                  Code::C154, "/cache"),
    ];
    for (body, code, pointer) in cases {
        assert_eq!(wrong(body.clone()), [(code, pointer.to_owned())], "{body}");
    }
}

#[test]
fn all_mistakes_of_a_call_are_said_at_once_the_headers_among_them() {
    let body = json!({"promt": "x", "params": 1, "inputs": {"a": [{}, 2]}});
    let key = crate::headers::idempotency_key(
        &[(crate::headers::IDEMPOTENCY_KEY, "".parse().unwrap())]
            .into_iter()
            .collect(),
    );
    let found = read(body, key).unwrap_err();
    let codes: Vec<_> = found.iter().map(|one| one.code).collect();
    assert_eq!(
        codes,
        [
            Code::C157,
            Code::C155,
            Code::C154,
            Code::C166,
            Code::C154,
            Code::C153
        ]
    );
}

#[test]
#[rustfmt::skip]
fn an_unknown_member_is_answered_with_the_nearest_known_name() {
    let cases = [
        ("promt",        "did you mean `prompt`?"),
        ("Prompt",       "did you mean `prompt`?"),
        ("profileKey",   "did you mean `profile_key`?"),
        ("parameters",   "known here: purpose, model, "),
        ("zzzzzzzz",     "known here: purpose, model, "),
    ];
    for (name, want) in cases {
        let found = parse(json!({"purpose": "video", name: 1})).unwrap_err();
        assert!(found[0].help().starts_with(want), "{name}: {}", found[0].help());
    }
}

#[test]
fn a_value_of_the_caller_is_never_repeated_in_a_refusal() {
    let found = parse(json!({"purpose": "video", "params": "sk-secret", "start_by": "sk-secret"}))
        .unwrap_err();
    assert_eq!(found.len(), 2);
    assert!(!format!("{found:?}").contains("sk-secret"), "{found:?}");
}
