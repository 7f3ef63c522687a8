use super::*;
use crate::lang::{Draws, EvalError, Place as Spot, Presence, Root, Scope, Text};
use serde_json::json;
use uuid::Uuid;

fn known() -> Known {
    let mut known = Known::new();
    known.option("seconds", Presence::Optional);
    known.option("size", Presence::Always);
    known.secrets(true, false, &[]);
    known
}

fn compile(source: &Value) -> (Option<VarsTable>, Known, Vec<String>) {
    let (mut known, mut found) = (known(), Diagnostics::new());
    let table = VarsTable::compile(source, &mut known, &Place::pointer("/vars"), &mut found);
    let codes = found
        .iter()
        .map(|one| format!("{} {}", one.code, one.place.pointer))
        .collect();
    (table, known, codes)
}

#[test]
fn vars_use_each_other_and_keep_their_types() {
    let (table, known, _) = compile(&json!({
        "frames": "{{json (mul vars.rate params_seconds)}}", "rate": 24, "shape": {"w": "{{split params_size \"x\" 0}}"}
    }));
    let table = table.unwrap();
    let mut scope = Scope::new(Draws::new(0, Uuid::nil()));
    scope.set(Root::Params, json!({"seconds": 8, "size": "1280x720"}));
    scope.vars(&table);
    let eval = |source: &str| {
        Text::compile(source, &known, Spot::Plain)
            .unwrap()
            .eval(&scope)
            .unwrap()
    };
    assert_eq!(eval("{{json vars.frames}}"), Some(json!(192)));
    assert_eq!(eval("{{vars.shape.w}}"), Some(json!("1280")));
}

#[test]
fn a_circle_of_vars_is_refused() {
    for source in [
        json!({"a": "{{vars.a}}"}),
        json!({"a": "{{vars.b}}", "b": "x{{vars.c}}", "c": "{{vars.a}}"}),
    ] {
        let (table, _, codes) = compile(&source);
        assert!(table.is_none());
        assert_eq!(codes, ["P210 /vars/a"], "{source}");
    }
    assert_eq!(compile(&json!({"a": "{{vars.b}}"})).2, ["P201 /vars/a"]);
}

#[test]
fn a_secret_is_one_through_vars_too_and_so_is_an_optional_value() {
    let (_, known, codes) = compile(&json!({
        "signed": "{{vars.pair}}", "pair": "x:{{apiKey}}", "maybe": "{{params_seconds}}", "sure": "{{params_size}}"
    }));
    assert!(codes.is_empty(), "{codes:?}");
    let code = |source: &str| {
        let mistakes = Text::compile(source, &known, Spot::Plain).err();
        mistakes.map(|mistakes| mistakes[0].code)
    };
    assert_eq!(code("{{vars.signed}}"), Some(Code::P206));
    assert_eq!(code("a {{vars.maybe}}"), Some(Code::P202));
    assert_eq!(code("a {{vars.sure}}"), None);
}

#[test]
fn vars_that_double_at_every_level_end_at_the_budget() {
    let mut vars = json!({"v0": "x".repeat(1_000)});
    for level in 1..40 {
        let below = level - 1;
        vars[format!("v{level}")] = json!(format!("{{{{vars.v{below}}}}}{{{{vars.v{below}}}}}"));
    }
    let (table, known, _) = compile(&vars);
    let table = table.unwrap();
    let mut scope = Scope::new(Draws::new(0, Uuid::nil()));
    scope.vars(&table);
    let text = Text::compile("{{vars.v39}}", &known, Spot::Plain).unwrap();
    assert_eq!(text.eval(&scope), Err(EvalError::TooLarge));
}
