use super::*;
use crate::lang::{Answer, Body, Draws, Presence, Root};
use serde_json::json;
use uuid::Uuid;

fn known() -> Known {
    let mut known = Known::new();
    known.option("seconds", Presence::Optional);
    known.option("size", Presence::Optional);
    known.secrets(true, false, &[]);
    known
}

fn scope() -> Scope<'static> {
    let mut scope = Scope::new(Draws::new(0, Uuid::nil()));
    scope.set(Root::Params, json!({"seconds": 8, "size": "1280x720"}));
    scope
}

#[test]
#[rustfmt::skip]
fn a_condition_on_the_variables_holds_as_the_page_says() {
    let cases = [
        (json!({"present": "params.size"}), true), (json!({"present": "language"}), false), (json!({"path": "params.seconds", "equals": 8}), true),
        (json!({"path": "params.seconds", "equals": serde_json::from_str::<Value>("8.0").unwrap()}), true), (json!({"path": "params.seconds", "equals": "8"}), false),
        (json!({"path": "params.seconds", "in": [4, 8]}), true), (json!({"path": "params.seconds", "gte": 8, "lt": 9}), true), (json!({"path": "params.seconds", "gt": 8}), false),
        (json!({"path": "params.size", "matches": "^\\d+x720$"}), true), (json!({"path": "params.seconds", "matches": "8"}), false),
        (json!({"path": "params.size", "equals": "{{params_size}}"}), true), (json!({"path": "language", "equals": "en"}), false),
        (json!({"not": {"path": "language", "equals": "en"}}), true), (json!({"path": "params.seconds", "equals": "{{json maxTokens}}"}), false),
        (json!({"all": [{"present": "params.size"}, {"present": "language"}]}), false), (json!({"any": [{"present": "language"}, {"present": "params.size"}]}), true),
    ];
    for (source, want) in cases {
        let mut found = Diagnostics::new();
        let condition = Condition::of_variables(&source, &known(), &Place::default(), &mut found);
        let condition = condition.unwrap_or_else(|| panic!("{source}: {found}"));
        assert_eq!(condition.holds(&scope()), Ok(want), "{source}");
    }
}

#[test]
fn of_several_values_one_must_pass_all_tests() {
    let answer = Answer {
        status: 200,
        headers: Vec::new(),
        event: None,
        body: Body::Json(json!({"n": [{"x": 1}, {"x": 9}]})),
    };
    let holds = |source: Value| {
        let mut found = Diagnostics::new();
        let condition =
            Condition::of_answer(&source, &known(), &Place::default(), &mut found).unwrap();
        condition.holds_for(&answer, &scope()).unwrap()
    };
    assert!(holds(json!({"path": "n[].x", "gt": 5})));
    assert!(!holds(json!({"path": "n[].x", "gt": 1, "lt": 9})));
    assert!(holds(
        json!({"path": "n[1].x", "gt": "{{json params.seconds}}"})
    ));
    assert!(holds(json!({"path": "@status", "equals": 200})));
}

#[test]
#[rustfmt::skip]
fn a_wrong_condition_is_refused_at_its_place() {
    let cases = [
        (json!("x"), "P208", ""), (json!({}), "P208", ""), (json!({"path": "params.size"}), "P208", ""), (json!({"path": "params.size", "like": 1}), "P208", "/like"),
        (json!({"present": "params.sise"}), "P201", "/present"), (json!({"present": "apiKey"}), "P206", "/present"), (json!({"present": "params.size", "not": {}}), "P208", ""),
        (json!({"path": "params.size", "matches": "("}), "P213", "/matches"), (json!({"path": "params.size", "matches": "a{1000}{1000}"}), "P213", "/matches"),
        (json!({"all": []}), "P208", "/all"), (json!({"any": [{"present": "x"}]}), "P201", "/any/0/present"), (json!({"path": "params.size", "equals": null}), "P208", "/equals"),
        (json!({"path": "params.size", "equals": "{{apiKey}}"}), "P206", "/equals"), (json!({"path": "params.seconds", "gt": [1]}), "P208", "/gt"),
    ];
    for (source, code, pointer) in cases {
        let mut found = Diagnostics::new();
        assert!(Condition::of_variables(&source, &known(), &Place::default(), &mut found).is_none());
        let first = found.iter().next().unwrap();
        assert_eq!((first.code.as_str(), first.place.pointer.as_str()), (code, pointer), "{source}");
    }
}
