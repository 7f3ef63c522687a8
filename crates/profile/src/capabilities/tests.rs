use super::*;
use crate::call::Input;
use crate::check::walk::Sink;
use proptest::prelude::*;
use serde_json::json;

fn made(source: &Value) -> Capabilities {
    let sink = Sink::default();
    let made = compile(source, Some("a-1"), &Place::default(), &sink);
    let found = sink.into_inner();
    assert!(!found.has_errors(), "{found}");
    made
}

fn acme() -> Capabilities {
    made(&json!({
        "limits": { "max_duration_seconds": 12, "max_prompt_chars": 10 },
        "options": {
            "seconds": { "type": "int", "min": 4, "max": 20, "step": 4 },
            "size": { "type": "enum", "values": ["720x1280", "1280x720"] },
            "n": { "type": "enum", "values": [1, 2] },
            "style": { "type": "string", "max_length": 5, "pattern": "^[a-z]*$", "normalize": "lower" },
            "ratio": { "type": "number", "min": 0, "max": 1 },
            "loop": { "type": "bool" },
            "seed": { "type": "int", "required": true },
            "old": { "type": "int" },
            "tags": { "type": "array", "items": { "type": "string" }, "max_length": 2 },
        },
        "inputs": { "frame": { "kind": "image", "mime": ["image/*"], "max_bytes": 10, "max_count": 1 } },
        "defaults": { "size": "720x1280" },
        "supports": { "old": false },
        "rules": [ { "schema": { "not": { "required": ["loop", "tags"] } }, "message": "give `loop` or `tags`" } ],
        "lifecycle": { "shutdown_at": "2026-09-24", "successor": "a-2" },
    }))
}

fn call(params: Value) -> Call {
    let mut params = params.as_object().unwrap().clone();
    params.entry("seed").or_insert(json!(1));
    Call {
        params,
        ..Call::default()
    }
}

fn codes(result: Result<Checked, Diagnostics>) -> Vec<(String, String)> {
    let found = result.err().unwrap_or_default();
    let pair = |one: &Diagnostic| (one.code.to_string(), one.place.pointer.clone());
    found.iter().map(pair).collect()
}

#[test]
#[rustfmt::skip]
fn a_value_that_the_model_does_not_take_is_refused_at_its_place() {
    let cases = [
        (json!({"seconds": 8}),          None),
        (json!({"seconds": "8"}),        None),
        (json!({"seconds": 8.0}),        None),
        (json!({"seconds": "08"}),       Some("C102")),
        (json!({"seconds": " 8"}),       Some("C102")),
        (json!({"seconds": "8.0"}),      Some("C102")),
        (json!({"seconds": true}),       Some("C102")),
        (json!({"seconds": 6}),          Some("C104")),
        (json!({"seconds": 24}),         Some("C103")),
        (json!({"seconds": 0}),          Some("C103")),
        (json!({"seconds": 16}),         Some("C118")),
        (json!({"seconds": null}),       None),
        (json!({"size": "1x1"}),         Some("C105")),
        (json!({"n": "2"}),              None),
        (json!({"n": 3}),                Some("C105")),
        (json!({"style": "ABC"}),        None),
        (json!({"style": "abcdef"}),     Some("C108")),
        (json!({"style": "a b"}),        Some("C109")),
        (json!({"ratio": "0.5"}),        Some("C102")),
        (json!({"ratio": 1.5}),          Some("C103")),
        (json!({"loop": "true"}),        Some("C102")),
        (json!({"old": 1}),              Some("C106")),
        (json!({"sconds": 8}),           Some("C101")),
        (json!({"tags": ["a", "b", "c"]}), Some("C108")),
        (json!({"tags": [1]}),           Some("C102")),
        (json!({"seed": 99_999_999_999_999_999_u64}), None),
    ];
    for (params, want) in cases {
        let name = params.as_object().unwrap().keys().next().unwrap().clone();
        let got = codes(acme().check(&call(params.clone()), &BTreeMap::new()));
        let item = if params == json!({"tags": [1]}) { "/0" } else { "" };
        let want: Vec<_> = want.iter().map(|code| ((*code).to_owned(), format!("/params/{name}{item}"))).collect();
        assert_eq!(got, want, "{params}");
    }
}

#[test]
#[rustfmt::skip]
fn a_bad_item_of_a_list_is_refused_at_the_item() {
    let capabilities = made(&json!({ "options": { "list": {
        "type": "array", "max_length": 3,
        "items": { "type": "array", "items": { "type": "enum", "values": ["a", "b"] } },
    } } }));
    let cases = [
        (json!([["a"], ["b", "c"]]),  "C105", "/params/list/1/1"),
        (json!([["a"], "b"]),         "C102", "/params/list/1"),
        (json!([[], [], [], []]),     "C108", "/params/list"),
    ];
    for (list, code, at) in cases {
        let asked = Call { params: json!({"list": list}).as_object().unwrap().clone(), ..Call::default() };
        let got = codes(capabilities.check(&asked, &BTreeMap::new()));
        assert_eq!(got, [(code.to_owned(), at.to_owned())], "{list}");
    }
}

#[test]
fn all_violations_are_returned_at_once() {
    let mut asked = Call {
        params: json!({"seconds": 5, "sise": 1, "loop": 1})
            .as_object()
            .unwrap()
            .clone(),
        ..Call::default()
    };
    asked.prompt = Some("much too long a prompt".into());
    asked.inputs.insert("frames".into(), vec![Input::default()]);
    let mut got: Vec<String> = codes(acme().check(&asked, &BTreeMap::new()))
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    got.sort();
    assert_eq!(got, ["C101", "C102", "C104", "C107", "C110", "C117"]);
}

#[test]
fn an_unknown_option_is_told_the_known_names_and_the_nearest_one() {
    let found = acme()
        .check(&call(json!({"secnds": 8})), &BTreeMap::new())
        .unwrap_err();
    let help = &found.0[0].help;
    assert!(
        help.contains("did you mean `seconds`?") && help.contains("ratio"),
        "{help}"
    );
    assert!(
        !help.contains("old"),
        "an option that is not supported is no advice: {help}"
    );
}

#[test]
fn a_checked_call_has_defaults_and_declared_types() {
    let got = acme()
        .check(
            &call(json!({"seconds": "8", "style": "ABC"})),
            &BTreeMap::new(),
        )
        .unwrap();
    assert_eq!(
        Value::Object(got.call.params),
        json!({"seconds": 8, "size": "720x1280", "style": "abc", "seed": 1})
    );
}

#[test]
fn a_rule_speaks_in_the_models_own_words() {
    let found = acme()
        .check(&call(json!({"loop": true, "tags": []})), &BTreeMap::new())
        .unwrap_err();
    assert_eq!(
        (found.0[0].code, found.0[0].message.as_str()),
        (Code::C115, "give `loop` or `tags`")
    );
}

#[test]
#[rustfmt::skip]
fn a_broken_rule_is_reported_where_it_failed_in_the_callers_own_body() {
    let last_alone = json!({ "properties": { "inputs": { "required": ["last"], "not": { "required": ["first"] } } }, "required": ["inputs"] });
    let cases = [
        // the rule                                                                                             at            change
        (json!({ "not": last_alone }),                                                                          "/inputs",       "the inputs"),
        (json!({ "properties": { "inputs": { "required": ["first"] } } }),                                      "/inputs",       "the inputs"),
        (json!({ "properties": { "inputs": { "properties": { "last": { "maxItems": 0 } } } } }),                "/inputs/last",  "the inputs"),
        (json!({ "properties": { "inputs": { "properties": { "last": { "items": { "required": ["mime"] } } } } } }), "/inputs/last/0", "the inputs"),
        (json!({ "not": { "required": ["loop", "inputs"] } }),                                                  "/params",       "the options"),
        (json!({ "not": { "required": ["loop"] } }),                                                            "/params",       "the options"),
        (json!({ "properties": { "loop": { "const": false } } }),                                               "/params/loop",  "the options"),
        (json!({ "if": { "required": ["loop"] }, "then": { "properties": { "inputs": { "required": ["first"] } } } }), "/inputs", "the options or inputs"),
    ];
    for (schema, at, change) in cases {
        let capabilities = made(&json!({
            "options": { "loop": { "type": "bool" } },
            "inputs": { "first": { "kind": "image" }, "last": { "kind": "image" } },
            "rules": [ { "schema": schema, "message": "so" } ],
        }));
        let last = Input { handle: Some("x".into()), ..Input::default() };
        let asked = Call {
            params: json!({"loop": true}).as_object().unwrap().clone(),
            inputs: [("last".to_owned(), vec![last])].into(),
            ..Call::default()
        };
        let found = capabilities.check(&asked, &BTreeMap::new()).unwrap_err();
        let [one] = &found.0[..] else { panic!("{schema}: {found}") };
        assert_eq!((one.code, one.place.pointer.as_str()), (Code::C115, at), "{schema}");
        assert_eq!(one.help, format!("change {change} that the message names"), "{schema}");
    }
}

#[test]
fn media_are_judged_by_number_type_and_size() {
    let mut asked = call(json!({}));
    let medium = Input {
        handle: Some("x".into()),
        ..Input::default()
    };
    asked.inputs.insert("frame".into(), vec![medium.clone()]);
    let facts = |mime: &str, bytes| {
        BTreeMap::from([(
            "frame".to_owned(),
            vec![MediaFacts {
                mime: mime.into(),
                bytes,
            }],
        )])
    };
    assert_eq!(codes(acme().check(&asked, &facts("image/png", 10))), []);
    assert_eq!(
        codes(acme().check(&asked, &facts("video/mp4", 11))),
        [
            ("C113".to_owned(), "/inputs/frame/0".to_owned()),
            ("C114".to_owned(), "/inputs/frame/0".to_owned())
        ]
    );
    asked
        .inputs
        .insert("frame".into(), vec![medium, Input::default()]);
    assert_eq!(
        codes(acme().check(&asked, &BTreeMap::new())),
        [
            ("C112".to_owned(), "/inputs/frame".to_owned()),
            ("C120".to_owned(), "/inputs/frame/1".to_owned())
        ]
    );
}

#[test]
fn an_object_that_does_not_fit_names_what_is_wrong_with_it() {
    let schema = json!({ "type": "object", "required": ["script"] });
    let capabilities = made(&json!({
        "options": { "scene": { "type": "object", "schema": schema } },
    }));
    let refused = capabilities.check(&call(json!({ "scene": {} })), &BTreeMap::new());
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("\"script\" is a required property"), "{said}");
}

#[test]
#[rustfmt::skip]
fn too_many_media_of_one_input_are_one_finding_and_too_many_of_all_another() {
    let capabilities = made(&json!({
        "limits": { "max_reference_images": 2 },
        "inputs": { "first": { "kind": "image", "max_count": 1 }, "more": { "kind": "image", "max_count": 5 } },
    }));
    let cases = [
        (1, 1, &[][..]),
        (3, 0, &[("C112", "/inputs/first")][..]),
        (3, 1, &[("C112", "/inputs/first")][..]),
        (0, 3, &[("C118", "/inputs")][..]),
        (1, 2, &[("C118", "/inputs")][..]),
        // One of the first too many, and still too many without it.
        (2, 2, &[("C112", "/inputs/first"), ("C118", "/inputs")][..]),
    ];
    let media = |count| {
        (0..count).map(|_| Input { handle: Some("x".into()), ..Input::default() }).collect::<Vec<_>>()
    };
    for (first, more, want) in cases {
        let mut asked = Call::default();
        asked.inputs.insert("first".into(), media(first));
        asked.inputs.insert("more".into(), media(more));
        let got = codes(capabilities.check(&asked, &BTreeMap::new()));
        let want: Vec<_> = want.iter().map(|(code, at)| ((*code).to_owned(), (*at).to_owned())).collect();
        assert_eq!(got, want, "{first} and {more}");
    }
}

#[test]
#[rustfmt::skip]
fn a_limit_binds_by_its_documented_name_or_explicitly() {
    let int = json!({"type": "int"});
    let params = |name: &str, n: usize| Call { params: serde_json::Map::from_iter([(name.to_owned(), json!(n))]), ..Call::default() };
    let images = |n: usize| Call {
        inputs: [("refs".to_owned(), vec![Input { handle: Some("x".into()), ..Input::default() }; n])].into(), ..Call::default()
    };
    type Asks = Box<dyn Fn(usize) -> Call>;
    let option = |name: &'static str| -> Asks { Box::new(move |n| params(name, n)) };
    let cases: [(&str, Value, Value, Asks, &str); 10] = [
        // the limit's name          its value                                    declared                                          asks for n     refused with
        ("max_duration_seconds",     json!(3),                                    json!({"options": {"seconds": int}}),             option("seconds"),          "C118"),
        ("max_duration_seconds",     json!(3),                                    json!({"options": {"duration": int}}),            option("duration"),         "C118"),
        ("max_duration_seconds",     json!(3),                                    json!({"options": {"duration_seconds": int}}),    option("duration_seconds"), "C118"),
        ("max_prompt_chars",         json!(3),                                    json!({}),  Box::new(|n| Call { prompt: Some("\u{e4}".repeat(n)), ..Call::default() }), "C117"),
        ("max_output_tokens",        json!(3),                                    json!({}),  Box::new(|n| Call { max_tokens: Some(n as u64), ..Call::default() }), "C118"),
        ("max_images_per_request",   json!(3),                                    json!({"options": {"n": int}}),                   option("n"),                "C118"),
        ("max_images_per_request",   json!(3),                                    json!({"options": {"sample_count": int}}),        option("sample_count"),     "C118"),
        ("max_reference_images",     json!(3),                                    json!({"inputs": {"refs": {"kind": "image", "max_count": 9}}}), Box::new(images), "C118"),
        ("max_reference_images",     json!(3),                                    json!({"inputs": {"refs": {"mime": ["image/png"], "max_count": 9}}}), Box::new(images), "C118"),
        ("frames_at_most",           json!({"value": 3, "option": "frames"}),     json!({"options": {"frames": int}}),              option("frames"),           "C118"),
    ];
    for (name, value, declared, asks, code) in cases {
        let mut source = declared;
        source["limits"] = json!({ name: value });
        let capabilities = made(&source);
        assert_eq!(codes(capabilities.check(&asks(3), &BTreeMap::new())), [], "{source}");
        let found: Vec<String> = codes(capabilities.check(&asks(4), &BTreeMap::new())).into_iter().map(|(code, _)| code).collect();
        assert_eq!(found, [code], "{source}");
    }
}

#[test]
#[rustfmt::skip]
fn a_text_is_normalised_before_it_is_judged() {
    let cases = [
        (json!("lower"),                    "WiDe",      Some("wide")),
        (json!("upper"),                    "wide",      None),
        (json!("trim"),                     "  wide \n", Some("wide")),
        (json!({"16:9": "wide"}),           "16:9",      Some("wide")),
        (json!({"16:9": "wide"}),           "wide",      Some("wide")),
        (json!({"16:9": "wide"}),           "9:16",      None),
    ];
    for (normalize, given, want) in cases {
        let capabilities = made(&json!({"options": {"ratio": {"type": "enum", "values": ["wide"], "normalize": normalize}}}));
        let asked = Call { params: serde_json::Map::from_iter([("ratio".to_owned(), json!(given))]), ..Call::default() };
        let got = capabilities.check(&asked, &BTreeMap::new()).ok().map(|checked| checked.call.params["ratio"].clone());
        assert_eq!(got, want.map(Value::from), "{normalize} {given}");
    }
}

#[test]
fn past_its_shutdown_a_model_is_refused_with_its_successor_named() {
    let day = |d| time::Date::from_calendar_date(2026, time::Month::September, d).unwrap();
    assert_eq!(acme().refuse_after_shutdown(day(23)), None);
    let refusal = acme().refuse_after_shutdown(day(24)).unwrap();
    assert_eq!(refusal.code, Code::C119);
    assert!(refusal.help.contains("a-2"));
}

#[test]
fn a_call_without_the_prompt_that_a_longer_text_reads_is_refused() {
    let mut capabilities = acme();
    capabilities.need(true, false, None);
    let mut asked = call(json!({}));
    for (prompt, fine) in [(None, false), (Some(""), false), (Some("a cat"), true)] {
        asked.prompt = prompt.map(str::to_owned);
        let got = codes(capabilities.check(&asked, &BTreeMap::new()));
        let want = if fine {
            vec![]
        } else {
            vec![("C116".to_owned(), "/prompt".to_owned())]
        };
        assert_eq!(got, want, "{prompt:?}");
    }
    capabilities.need(false, true, None);
    asked.prompt = None;
    asked.short_history = Some("before".into());
    assert!(capabilities.check(&asked, &BTreeMap::new()).is_ok());
}

#[test]
fn a_rule_does_not_take_a_refused_option_for_a_missing_one() {
    let capabilities = made(&json!({
        "options": { "size": { "type": "enum", "values": ["a"] } },
        "rules": [ { "schema": { "required": ["size"] }, "message": "give `size`" } ],
    }));
    let asked = |params: Value| Call {
        params: params.as_object().unwrap().clone(),
        ..Call::default()
    };
    let only = |params| {
        codes(capabilities.check(&asked(params), &BTreeMap::new()))
            .into_iter()
            .map(|(code, _)| code)
            .collect::<Vec<_>>()
    };
    assert_eq!(only(json!({"size": "b"})), ["C105"]);
    assert_eq!(only(json!({})), ["C115"]);
}

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        (-4..30_i64).prop_map(Value::from),
        (-20..40_i64).prop_map(|n| json!(f64::from(i32::try_from(n).unwrap()) / 4.0))
    ];
    // Digits in a text are left out: a form's text is accepted for an int, which JSON Schema cannot say.
    let text = prop_oneof![Just("720x1280".to_owned()), "[a-z ]{0,7}"].prop_map(Value::from);
    let scalar = prop_oneof![number, text, any::<bool>().prop_map(Value::from)];
    prop_oneof![4 => scalar.clone(), 1 => prop::collection::vec(scalar, 0..4).prop_map(Value::from)]
}

proptest! {
    #[test]
    fn the_published_schema_and_the_check_agree(
        params in prop::collection::btree_map(
            prop_oneof![Just("seconds"), Just("size"), Just("n"), Just("style"), Just("ratio"), Just("loop"), Just("seed"), Just("old"), Just("tags"), Just("nope")],
            value(), 0..5)
    ) {
        // A rule is no part of the schema: it has a message of its own.
        prop_assume!(!(params.contains_key("loop") && params.contains_key("tags")));
        let params: serde_json::Map<String, Value> = params.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let capabilities = acme();
        let validator = jsonschema::validator_for(&capabilities.schema).unwrap();
        let asked = Call { params: params.clone(), ..Call::default() };
        let body = json!({ "params": params });
        prop_assert_eq!(capabilities.check(&asked, &BTreeMap::new()).is_ok(), validator.is_valid(&body), "{}", body);
    }
}
