use super::*;
use crate::lang::{Draws, Inputs, Presence, Root};
use diag::Code;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

struct Frames;

impl Inputs for Frames {
    fn count(&self, name: &str) -> usize {
        if name == "frames" { 2 } else { 0 }
    }

    fn member(&self, _: &str, index: usize, member: &str) -> Option<Value> {
        Some(json!(format!("{member}{index}")))
    }
}

fn known() -> Known {
    let mut known = Known::new();
    for name in ["seconds", "tags", "empty", "gone", "extra"] {
        known.option(name, Presence::Optional);
    }
    known.input("frames", Presence::Optional);
    known.input("mask", Presence::Optional);
    known.parts_may_stand(true)
}

fn eval(source: &Value) -> Result<Option<Rendered>, EvalError> {
    let mut found = Diagnostics::new();
    let tree = Tree::compile(source, &known(), &Place::default(), &mut found);
    let tree = tree.unwrap_or_else(|| panic!("{source}: {found}"));
    let mut scope = Scope::new(Draws::new(0, Uuid::nil()));
    scope.set(Root::Model, json!("m"));
    scope.set(
        Root::Params,
        json!({"seconds": 8, "tags": ["a", "b"], "empty": [], "extra": {"x": {"y": 1}}}),
    );
    scope.inputs(&Frames);
    tree.eval(&scope)
}

fn value(source: &Value) -> Option<Value> {
    eval(source)
        .unwrap()
        .map(|rendered| rendered.into_value().unwrap())
}

#[test]
#[rustfmt::skip]
fn a_tree_gives_what_the_page_says() {
    let present = |path: &str| json!({"present": path});
    let cases = [
        (json!({"a": "{{model}}", "n": null, "e": {}, "l": []}), json!({"a": "m", "n": null, "e": {}, "l": []})),
        (json!({"a": "{{params_gone}}", "b": {"c": "{{language}}"}, "d": ["{{language}}"], "k": 1}), json!({"k": 1})),
        (json!({"a": "{{params_gone}}"}), json!({})), (json!(["{{params_gone}}"]), json!([])), (json!(["{{params_gone}}", 1]), json!([1])),
        (json!({"$when": present("params.seconds"), "$then": "{{json params_seconds}}"}), json!(8)),
        (json!({"$when": present("params.seconds"), "$then": "{{params_seconds}}s"}), json!("8s")),
        (json!({"a": {"$when": present("language"), "$then": 1}, "b": 2}), json!({"b": 2})),
        (json!({"a": {"$when": present("language"), "$then": 1, "$else": "{{model}}"}}), json!({"a": "m"})),
        (json!({"$each": "params.tags", "$as": "tag", "$do": {"t": "{{tag}}", "i": "{{json index}}"}}), json!([{"t": "a", "i": 0}, {"t": "b", "i": 1}])),
        (json!(["x", {"$each": "params.tags", "$do": "{{item}}"}, "y"]), json!(["x", "a", "b", "y"])),
        (json!(["x", {"$when": present("params.tags"), "$then": {"$each": "params.tags", "$do": "{{item}}"}}]), json!(["x", "a", "b"])),
        (json!({"a": {"$each": "params.gone", "$do": "{{item}}"}, "b": 1}), json!({"b": 1})),
        (json!({"a": {"$each": "params.empty", "$do": "{{item}}"}}), json!({"a": []})),
        (json!({"$each": "inputs.frames", "$as": "image", "$do": {"u": "{{image.url}}"}}), json!([{"u": "url0"}, {"u": "url1"}])),
        (json!({"$each": "inputs.frames[].url", "$do": "{{item}}"}), json!(["url0", "url1"])),
        (json!({"$each": "params.tags", "$do": {"$each": "params.tags", "$as": "b", "$do": "{{item}}{{b}}"}}), json!([["aa", "ab"], ["ba", "bb"]])),
        (json!({"$merge": [{"a": {"b": 1}}, "{{json params.extra}}", {"x": {"z": 2}}]}), json!({"a": {"b": 1}, "x": {"y": 1, "z": 2}})),
        (json!({"$merge": [{"a": 1, "b": 2}, {"a": null}]}), json!({"b": 2})),
        (json!({"s": {"$json": {"m": "{{model}}"}}}), json!({"s": "{\"m\":\"m\"}"})),
        (json!("\\{{x}}"), json!("{{x}}")), (json!({"{{model}}": "{{model}}", "<<model>>": 1}), json!({"{{model}}": "m", "<<model>>": 1})),
    ];
    for (source, want) in cases {
        assert_eq!(value(&source), Some(want), "{source}");
    }
    assert_eq!(value(&json!({"$when": present("language"), "$then": 1})), None);
    assert_eq!(eval(&json!({"$merge": ["{{json params_tags}}"]})), Err(EvalError::NotAnObject));
}

#[test]
fn files_and_parts_stand_beside_plain_members() {
    let source = json!({
        "model": "{{model}}",
        "input": {"$file": "inputs.frames", "filename": "{{model}}.png"},
        "meta": {"$json": {"a": 1}, "content_type": "application/json"},
        "mask": {"$file": "inputs.mask"}
    });
    let members = eval(&source).unwrap().unwrap().into_members().unwrap();
    let file = |index| File {
        source: FileSource::Input {
            name: "frames".into(),
            index,
        },
        filename: Some("m.png".into()),
        content_type: None,
    };
    let part = Part {
        text: "{\"a\":1}".into(),
        content_type: "application/json".into(),
    };
    let want = vec![
        ("model".to_owned(), Rendered::Value(json!("m"))),
        ("input".to_owned(), Rendered::Files(vec![file(0), file(1)])),
        ("meta".to_owned(), Rendered::Part(part)),
    ];
    assert_eq!(members, want);
    assert_eq!(
        eval(&json!({"$file": "inputs.frames[1]", "filename": "m.png"})),
        Ok(Some(Rendered::Files(vec![file(1)])))
    );
}

#[test]
#[rustfmt::skip]
fn a_wrong_directive_is_refused_at_its_place() {
    let cases = [
        (json!({"a": {"$wen": 1}}), Code::P209, "/a"), (json!({"$when": {"present": "model"}}), Code::P209, ""),
        (json!({"$when": {"present": "model"}, "$then": 1, "x": 2}), Code::P209, "/x"), (json!({"$each": "params.tags", "$as": "A-b", "$do": 1}), Code::P209, "/$as"),
        (json!({"$each": "params.nope", "$do": "{{item}}"}), Code::P201, "/$each"), (json!({"$merge": {}}), Code::P209, "/$merge"),
        (json!({"$merge": [1]}), Code::P209, "/$merge/0"), (json!({"$json": {"$file": "inputs.frames"}}), Code::P209, "/$json"),
        (json!({"b": ["{{model", 1]}), Code::P203, "/b/0"), (json!({"$ref": "#/x"}), Code::P209, ""),
    ];
    for (source, code, pointer) in cases {
        let mut found = Diagnostics::new();
        assert!(Tree::compile(&source, &known(), &Place::default(), &mut found).is_none(), "{source}");
        let first = found.iter().next().unwrap();
        assert_eq!((first.code, first.place.pointer.as_str()), (code, pointer), "{source}");
    }
    let mut found = Diagnostics::new();
    assert!(Tree::compile(&json!({"$file": "inputs.frames"}), &known().parts_may_stand(false), &Place::default(), &mut found).is_none());
}

#[test]
fn a_tree_is_not_nested_deeper_than_the_bound() {
    let deep = (0..80).fold(json!("{{model}}"), |inner, _| json!([inner]));
    let mut found = Diagnostics::new();
    assert!(Tree::compile(&deep, &known(), &Place::default(), &mut found).is_none());
    assert_eq!(found.iter().next().unwrap().code, Code::P212);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_tree_makes_the_compiler_or_the_renderer_panic(
        key in prop::sample::select(vec!["$when", "$each", "$merge", "$json", "$file", "$do", "a"]),
        other in prop::sample::select(vec!["$then", "$else", "$as", "$do", "content_type", "b"]),
        text in "[{}<>a-z_. \\[\\]$]{0,12}",
    ) {
        for source in [json!({key: text, other: text}), json!({key: {"present": "model"}, other: [text]}), json!({key: [{"a": 1}], other: {}})] {
            let mut found = Diagnostics::new();
            if let Some(tree) = Tree::compile(&source, &known(), &Place::default(), &mut found) {
                let _ = tree.eval(&Scope::new(Draws::new(0, Uuid::nil())));
            }
        }
    }
}
