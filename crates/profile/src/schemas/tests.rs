mod held;
mod walk;

use super::schemas;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::path::Path;
use walk::{members, pointed};

const BUNDLE: &str = include_str!("tests/bundle.json");
const CASE: &str = include_str!("tests/case.json");

fn schema(name: &str) -> Value {
    let mut all = schemas().into_iter();
    all.find(|(known, _)| *known == name).unwrap().1
}

fn validator(schema: &Value) -> Validator {
    jsonschema::meta::validate(schema).unwrap();
    jsonschema::validator_for(schema).unwrap()
}

fn errors(validator: &Validator, value: &Value) -> Vec<String> {
    let errors = validator.iter_errors(value);
    errors
        .map(|error| format!("{} {error}", error.instance_path()))
        .collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_schema_is_one_and_the_shipped_files_satisfy_them() {
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    let [bundle, case, _, _] =
        ["bundle", "case", "capabilities", "profile"].map(|name| validator(&schema(name)));
    let (mut bundles, mut cases) = (0, 0);
    for entry in std::fs::read_dir(profiles).unwrap() {
        let folder = entry.unwrap().path();
        let path = folder.join("bundle.json");
        if !path.exists() {
            continue;
        }
        let found = errors(&bundle, &read(&path));
        assert!(found.is_empty(), "{}: {found:?}", path.display());
        bundles += 1;
        for file in std::fs::read_dir(folder.join("cases")).unwrap() {
            let path = file.unwrap().path();
            let found = errors(&case, &read(&path));
            assert!(found.is_empty(), "{}: {found:?}", path.display());
            cases += 1;
        }
    }
    assert!(bundles > 30 && cases > 600, "{bundles}, {cases}");
    for (validator, text) in [(bundle, BUNDLE), (case, CASE)] {
        let value = serde_json::from_str(text).unwrap();
        assert_eq!(errors(&validator, &value), [""; 0]);
    }
}

/// Says what it is and shows one; an object whose members do is shown by them.
#[test]
fn every_member_has_a_description_and_it_or_its_members_an_example() {
    for (name, schema) in schemas() {
        let all = members(&schema);
        assert!(all.len() > 30, "{name}: {}", all.len());
        for (at, member) in all {
            let says = member["description"].as_str().unwrap_or_default();
            assert!(
                says.len() > 5 && says.ends_with('.'),
                "{name} {at}: `{says}`"
            );
            let shown = member["examples"]
                .as_array()
                .is_some_and(|all| !all.is_empty());
            assert!(shown || walk::has_members(&schema, member), "{name} {at}");
        }
    }
}

#[test]
fn every_example_satisfies_its_own_schema() {
    for (name, schema) in schemas() {
        let all = jsonschema::validator_map_for(&schema).unwrap();
        let mut seen = 0;
        for (at, member) in members(&schema) {
            let validator = all.get(&format!("#{at}")).unwrap();
            for example in member["examples"].as_array().into_iter().flatten() {
                assert_eq!(errors(validator, example), [""; 0], "{name} {at}");
                seen += 1;
            }
        }
        assert!(seen > 25, "{name}: {seen}");
    }
}

/// What is changed at the pointer: another value, or none at all.
type Bad = (&'static str, &'static str, Option<Value>);

#[rustfmt::skip]
fn bad() -> Vec<Bad> {
    let some = Some::<Value>;
    vec![
        // document, at,                                     what stands there
        ("bundle", "/language",                              None),
        ("bundle", "/language",                              some(json!(2))),
        ("bundle", "/provider",                              None),
        ("bundle", "/provider/slug",                         None),
        ("bundle", "/provider/misspelt",                     some(json!(1))),
        ("bundle", "/provider/status",                       some(json!("gone"))),
        ("bundle", "/provider/conventions/error",            some(json!({}))),
        ("bundle", "/provider/conventions/retry/max",        some(json!(11))),
        ("bundle", "/provider/conventions/webhook/verify/kind", None),
        ("bundle", "/auth_profiles/0/auth_type",             some(json!("apikey"))),
        ("bundle", "/auth_profiles/0/secret",                some(json!("sk-123456"))),
        ("bundle", "/auth_profiles/1/config/service",        None),
        ("bundle", "/auth_profiles/4/config",                None),
        ("bundle", "/auth_profiles/4/config/claims",         None),
        ("bundle", "/response_schemas/0/strict",             some(json!("yes"))),
        ("bundle", "/prompt_templates/0/body",               None),
        ("bundle", "/models/0/model_id",                     None),
        ("bundle", "/models/0/model_type",                   some(json!("film"))),
        ("bundle", "/models/0/capabilities/options/seconds/type", some(json!("integer"))),
        ("bundle", "/models/0/capabilities/options/seconds/default", some(json!(4))),
        ("bundle", "/models/0/capabilities/inputs/image/max_count", some(json!(0))),
        ("bundle", "/models/0/capabilities/pricing/price",   None),
        ("bundle", "/profiles/0/transport",                  None),
        ("bundle", "/profiles/0/transport/kind",             some(json!("json"))),
        ("bundle", "/profiles/0/transport/timeout_ms",       some(json!("60s"))),
        ("bundle", "/profiles/0/transport/ok_status",        some(json!([99]))),
        ("bundle", "/profiles/0/transport/variants/0/when",  None),
        ("bundle", "/profiles/0/transport/settle/kind",      some(json!("look-up"))),
        ("bundle", "/profiles/0/response_mapping/extract/trace/path", None),
        ("bundle", "/profiles/0/workflow/type",              some(json!("async"))),
        ("bundle", "/profiles/0/workflow/steps/0/name",      None),
        ("bundle", "/profiles/0/workflow/steps/0/intervall_ms", some(json!(5000))),
        ("bundle", "/profiles/0/workflow/steps/0/interval_ms", some(json!(100))),
        ("bundle", "/profiles/0/workflow/steps/0/batch/where", None),
        ("bundle", "/profiles/0/workflow/steps/0/states/succeeded", some(json!("completed"))),
        ("bundle", "/profiles/0/workflow/steps/0/states/done", some(json!([]))),
        ("bundle", "/profiles/3/response_mapping/stream/done_when", None),
        ("bundle", "/routing_rules/0/target_model",          None),
        ("bundle", "/routing_rules/0/fallback_on",           some(json!(["moderated"]))),
        ("case",   "/input",                                 None),
        ("case",   "/input/purpose",                         None),
        ("case",   "/input/seconds",                         some(json!(4))),
        ("case",   "/input/inputs/reference/0/uri",          some(json!("x"))),
        ("case",   "/exchanges/0/request/method",            None),
        ("case",   "/exchanges/0/answer",                    None),
        ("case",   "/exchanges/0/answer/status",             some(json!(1000))),
        ("case",   "/exchanges/0/answer/stauts",             some(json!(200))),
        ("case",   "/expect",                                None),
        ("case",   "/expect/diagnostics/0/pointer",          None),
    ]
}

/// What an editor marks, `profile check` refuses too: there are no two opinions.
#[test]
fn unknown_members_wrong_types_and_missing_members_satisfy_neither_schema_nor_checks() {
    let all = ["bundle", "case"].map(|name| validator(&schema(name)));
    for (document, at, value) in bad() {
        let [bundle, case] = &all;
        let (text, validator, said): (_, _, held::Said) = match document {
            "bundle" => (BUNDLE, bundle, held::bundle),
            _ => (CASE, case, held::case),
        };
        let mut changed: Value = serde_json::from_str(text).unwrap();
        let (parent, name) = at.rsplit_once('/').unwrap();
        let parent = pointed(&mut changed, parent);
        match value {
            Some(value) => _ = parent.insert(name.to_owned(), value),
            None => assert!(parent.shift_remove(name).is_some(), "{at}"),
        }
        let found = errors(validator, &changed);
        assert!(!found.is_empty(), "{document} {at} satisfies the schema");
        let said = said(&changed.to_string());
        assert!(said.has_errors(), "{document} {at} passes the checks");
    }
}

#[test]
fn the_schemas_name_in_a_file_reaches_no_row() {
    let mut value: Value = serde_json::from_str(BUNDLE).unwrap();
    let with = crate::bundle::parse("b", &value.to_string());
    assert!(with.diagnostics.is_empty(), "{}", with.diagnostics);
    value
        .as_object_mut()
        .unwrap()
        .shift_remove("$schema")
        .unwrap();
    let without = crate::bundle::parse("b", &value.to_string());
    assert_eq!(format!("{:?}", with.rows), format!("{:?}", without.rows));
    assert!(!format!("{:?}", with.rows).contains("schemas/bundle.json"));
}
