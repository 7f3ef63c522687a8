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
