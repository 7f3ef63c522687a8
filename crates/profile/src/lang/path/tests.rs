use super::*;
use crate::lang::{Answer, Body};
use proptest::prelude::*;
use serde_json::json;

fn answer(body: Body) -> Answer {
    Answer {
        status: 202,
        headers: vec![("operation-location".into(), "/ops/1".into())],
        event: Some("done".into()),
        body,
    }
}

fn path(source: &Value) -> Path {
    let mut found = Diagnostics::new();
    Path::of_answer(source, &Place::default(), &mut found)
        .unwrap_or_else(|| panic!("{source}: {found}"))
}

#[test]
#[rustfmt::skip]
fn a_path_finds_what_the_page_says() {
    let body = json!({"id": 12_345_678_901_234_567_i64, "data": [{"url": "u1"}, {"url": null}, {"url": "u3"}], "none": null, "empty": [],
        "choices": [{"text": "t"}], "error": {"message": {"en": "x"}}, "message": "m"});
    let answer = answer(Body::Json(body));
    let cases = [
        (json!("id"), json!([12_345_678_901_234_567_i64])), (json!("data[].url"), json!(["u1", "u3"])), (json!("choices[0].text"), json!(["t"])),
        (json!("data.url"), json!([])), (json!("none"), json!([])), (json!("empty[].x"), json!([])), (json!("$.data[*].url"), json!(["u1", "u3"])),
        (json!("$.data[?@.url=='u3'].url"), json!(["u3"])), (json!("@status"), json!([202])), (json!("@header:Operation-Location"), json!(["/ops/1"])),
        (json!("@event"), json!(["done"])), (json!(["none", "empty[]", "id"]), json!([12_345_678_901_234_567_i64])), (json!("$.nope"), json!([])),
    ];
    for (source, want) in cases {
        let found: Vec<Value> = path(&source).all(&answer).into_iter().map(Cow::into_owned).collect();
        assert_eq!(Value::Array(found), want, "{source}");
    }
    assert_eq!(path(&json!(["error.message", "message"])).first_text(&answer).as_deref(), Some("m"));
    assert_eq!(path(&json!("id")).first_text(&answer).as_deref(), Some("12345678901234567"));
}

#[test]
fn a_body_that_is_not_json_is_one_text_and_an_empty_one_is_absent() {
    let text = answer(Body::read(b"Bad Gateway"));
    assert_eq!(
        path(&json!("$")).first_text(&text).as_deref(),
        Some("Bad Gateway")
    );
    assert_eq!(path(&json!("message")).first(&text), None);
    let empty = answer(Body::read(b" \n"));
    assert_eq!(path(&json!("$")).first(&empty), None);
    assert_eq!(
        path(&json!("$"))
            .first(&answer(Body::read(b"[1]")))
            .as_deref(),
        Some(&json!([1]))
    );
}

#[test]
fn a_list_starts_with_an_index() {
    let list = answer(Body::Json(json!([{"id": "a"}, {"id": "b"}])));
    assert_eq!(
        path(&json!("[1].id")).first_text(&list).as_deref(),
        Some("b")
    );
    assert_eq!(path(&json!("[].id")).all_text(&list), ["a", "b"]);
}

#[test]
fn a_path_over_variables_knows_its_names() {
    let mut known = Known::new();
    known.option("size", Presence::Optional);
    known.secrets(true, false, &[]);
    let code = |source: &str| {
        let mut found = Diagnostics::new();
        let path = Path::of_variables(&json!(source), &known, &Place::default(), &mut found);
        assert_eq!(path.is_some(), found.is_empty(), "{source}");
        found.iter().next().map(|diagnostic| diagnostic.code)
    };
    for (source, want) in [
        ("params.size", None),
        ("params_size", None),
        ("$.params.size", None),
        ("params.sise", Some(Code::P201)),
        ("apiKey", Some(Code::P206)),
        ("$.apiKey", Some(Code::P207)),
        ("$..*", Some(Code::P207)),
        ("@status", Some(Code::P207)),
        ("", Some(Code::P207)),
        ("$[", Some(Code::P207)),
    ] {
        assert_eq!(code(source), want, "{source}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_path_makes_the_compiler_or_the_walk_panic(
        source in prop_oneof![any::<String>(), "[$@a-c.\\[\\]*?()'0-9:,!<=&| -]{0,24}", "\\$[.\\[\\]a-c*?@'0-9:,()<=!&|-]{0,24}"]
    ) {
        let mut found = Diagnostics::new();
        if let Some(path) = Path::of_answer(&json!(source), &Place::default(), &mut found) {
            let answer = answer(Body::Json(json!({"a": [{"b": 1}, [2, "c"], null], "c": {"a": true}})));
            let _ = path.all(&answer);
        }
    }
}

#[test]
#[rustfmt::skip]
fn addresses_are_taken_from_the_first_alternative_that_has_a_text() {
    let path = Path::fixed(&["output", "output.video"]).unwrap();
    let cases = [
        ("one address",               json!({ "output": "a" }),                 vec!["a"]),
        ("the items of an array",     json!({ "output": ["a", "b"] }),          vec!["a", "b"]),
        ("an object is passed over",  json!({ "output": { "video": "a" } }),    vec!["a"]),
        ("an empty text is none",     json!({ "output": "" }),                  vec![]),
        ("nothing there",             json!({}),                                vec![]),
    ];
    for (why, body, want) in cases {
        let answer = Answer { status: 200, headers: Vec::new(), event: None, body: Body::Json(body) };
        assert_eq!(path.listed_texts(answer.view()), want, "{why}");
    }
}
