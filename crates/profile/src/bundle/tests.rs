use super::*;
use proptest::prelude::*;

const GOOD: &str = include_str!("../../../../tests/bad/_good.json");

#[test]
fn a_duplicate_key_is_a_mistake_with_its_line() {
    let (bundle, _) = check(
        "b.json",
        "{\n \"language\": 1,\n \"language\": 1,\n \"provider\": {\"slug\": \"a\", \"api_base_url\": \"https://a.example\"}\n}",
    );
    let found: Vec<_> = bundle.diagnostics.iter().collect();
    assert_eq!(found.len(), 1, "{}", bundle.diagnostics);
    assert_eq!(found[0].code, Code::P106);
    assert_eq!(
        (found[0].place.line, found[0].place.column),
        (Some(3), Some(2))
    );
}

#[test]
fn a_row_of_more_than_a_mebibyte_is_refused() {
    let mut value: Value = serde_json::from_str(GOOD).unwrap();
    value["profiles"][0]["transport"]["body"]["size"] = Value::from("x".repeat(1_100_000));
    let (bundle, _) = check("b.json", &value.to_string());
    let found = bundle
        .diagnostics
        .iter()
        .any(|one| one.code == Code::P107 && one.place.pointer == "/profiles/0");
    assert!(found, "{}", bundle.diagnostics);
}

#[test]
fn a_list_of_more_than_ten_thousand_items_is_refused() {
    let mut value: Value = serde_json::from_str(GOOD).unwrap();
    value["profiles"][0]["transport"]["body"]["size"] = vec![Value::from(1); 10_001].into();
    let (bundle, _) = check("b.json", &value.to_string());
    assert!(bundle.diagnostics.iter().any(|one| one.code == Code::P107));
}

#[test]
fn nesting_beyond_sixty_four_levels_is_refused_and_does_not_overflow() {
    for levels in [70, 100, 5000] {
        let mut value: Value = serde_json::from_str(GOOD).unwrap();
        value["profiles"][0]["transport"]["body"]["size"] = Value::from("@@");
        let deep = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let (bundle, _) = check("b.json", &value.to_string().replace("\"@@\"", &deep));
        assert!(bundle.diagnostics.has_errors(), "{levels} levels");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_check_panic(text in ".{0,200}") {
        let _ = check("b.json", &text);
    }

    #[test]
    fn no_cut_and_no_garbled_byte_of_a_good_bundle_makes_a_check_panic(
        at in 0..GOOD.len(), with in "[\\[\\]{}\":,0-9a-z$<]{0,3}", cut in any::<bool>(),
    ) {
        prop_assume!(GOOD.is_char_boundary(at));
        let (front, back) = GOOD.split_at(at);
        let back = if cut { "" } else { back };
        let _ = check("b.json", &format!("{front}{with}{back}"));
    }

    #[test]
    fn no_value_in_any_place_of_a_good_bundle_makes_a_check_panic(
        which in 0..4000_usize, value in prop_oneof![
            Just(serde_json::json!(null)), Just(serde_json::json!(7)), Just(serde_json::json!(-1.5)),
            Just(serde_json::json!("{{x}}")), Just(serde_json::json!([])), Just(serde_json::json!([{}])),
            Just(serde_json::json!({})), Just(serde_json::json!(true)), Just(serde_json::json!({"$when": 1})),
        ],
    ) {
        let mut bundle: Value = serde_json::from_str(GOOD).unwrap();
        let mut pointers = Vec::new();
        collect(&bundle, String::new(), &mut pointers);
        let pointer = &pointers[which % pointers.len()];
        *bundle.pointer_mut(pointer).unwrap() = value;
        let _ = check("b.json", &bundle.to_string());
    }
}

fn collect(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, item) in members {
                collect(item, format!("{at}/{name}"), all);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                collect(item, format!("{at}/{i}"), all);
            }
        }
        _ => {}
    }
    all.push(at);
}

/// Each of these took memory or time that grew with the square of the file.
#[test]
#[rustfmt::skip]
fn no_file_of_a_mebibyte_takes_long_or_much() {
    let good: Value = serde_json::from_str(GOOD).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut bundle = good.clone();
        *bundle.pointer_mut(pointer).unwrap() = value;
        bundle.to_string()
    };
    let long = "n".repeat(500_000);
    let members = |count: usize, value: Value| -> Value { (0..count).map(|i| (format!("member{i}"), value.clone())).collect::<serde_json::Map<_, _>>().into() };
    let nested = (0..60).fold(Value::from(vec![0; 9_999]), |inner, i| serde_json::json!({ format!("{}{i}", "k".repeat(4_000)): inner }));
    let cases = [
        ("a long name with many members",   with("/profiles/0/transport/body", serde_json::json!({ long.clone(): members(20_000, serde_json::json!({})) }))),
        ("long names, one in another",      with("/profiles/0/transport/body", nested)),
        ("many unknown members",            with("/profiles/0/transport", members(50_000, Value::Null))),
        ("many unknown rows",               with("/profiles", vec![serde_json::json!({ "x": 1 }); 9_000].into())),
        ("a long unknown name of many",     with("/models/0/prompt_template", long.clone().into())),
        ("a long name that a text asks for", with("/profiles/0/transport/body/size", format!("{{{{params_{}}}}}", "n".repeat(60_000)).into())),
        ("many states",                     with("/profiles/0/workflow/steps/0/terminal_states", (0..9_999).map(|i| format!("word{i}")).collect())),
        ("many templates",                  with("/profiles/0/transport/body", members(5_000, "{{params_none}}".into()))),
        ("a key many times",                format!("{{{}\"language\": 1}}", "\"a\": 1,".repeat(100_000))),
        ("no JSON",                         "[".repeat(1 << 20)),
        ("a number of many digits",         with("/profiles/0/transport/timeout_ms", serde_json::from_str(&"9".repeat(1 << 19)).unwrap())),
    ];
    for (why, text) in cases {
        let begun = std::time::Instant::now();
        let (bundle, _) = check("b.json", &text);
        assert!(bundle.diagnostics.has_errors(), "{why}");
        assert!(bundle.diagnostics.0.len() <= 2_200, "{why}: {} findings", bundle.diagnostics.0.len());
        assert!(begun.elapsed() < std::time::Duration::from_secs(120), "{why}: {:?}", begun.elapsed());
    }
}
