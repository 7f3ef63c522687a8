//! What each name of the language is bound to (section 2), which answer a later
//! step reads (section 6), and what a step finds in it: each one a case.

#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

use engine::replay::replay;
use profile::case::Case;
use profile::lang::merge;
use serde_json::{Value, json};

const RUN: &str = "00000000-0000-7000-8000-000000000000";
const PNG: &str = "iVBORw0KGgo=";

/// A call that is answered at once.
fn bundle(patch: &Value) -> Value {
    let mut bundle = json!({
        "language": 1,
        "provider": {"slug": "acme", "name": "Acme", "api_base_url": "https://api.acme.ai/v1"},
        "auth_profiles": [{"profile_key": "k", "auth_type": "api_key", "secret": "env:ACME_API_KEY", "config": {"region": "eu"}}],
        "response_schemas": [{"name": "any", "strict": true, "schema": {"type": "object"}}],
        "models": [{"model_id": "a-1", "model_type": "chat", "is_default": true, "response_schema": "any", "capabilities": {
            "options": {"seconds": {"type": "int"}, "size": {"type": "string"}, "gone": {"type": "string"}},
            "inputs": {"frames": {"kind": "image", "max_count": 3}, "mask": {"kind": "image"}}, "defaults": {"size": "wide"},
        }}],
        "profiles": [{"profile_key": "p", "purpose": "chat", "auth_profile": "k",
            "transport": {"path": "/make", "vars": {"twice": "{{json (mul params_seconds 2)}}"}, "tables": {"codes": {"wide": 7}}},
            "response_mapping": {"output": {"made": "{{made}}"}}}]
    });
    let profile = &mut bundle["profiles"][0];
    merge(profile, patch);
    bundle
}

/// What differs from a case with this call, these exchanges and this end.
fn differences(bundle: &Value, input: &Value, exchanges: &Value, expect: &Value) -> Vec<String> {
    let (read, compiled) = profile::bundle::check("acme", &bundle.to_string());
    assert!(!read.diagnostics.has_errors(), "{}", read.diagnostics);
    assert!(
        !compiled.diagnostics.has_errors(),
        "{}",
        compiled.diagnostics
    );
    let mut call = json!({"purpose": bundle["profiles"][0]["purpose"]});
    merge(&mut call, input);
    let case = json!({"input": call, "exchanges": exchanges, "expect": expect});
    let case = Case::parse("case", &case.to_string()).unwrap_or_else(|found| panic!("{found}"));
    let found = replay(&case, &compiled).differences;
    found.iter().map(ToString::to_string).collect()
}

fn post(url: &str, body: &Value, answer: Value) -> Value {
    let url = format!("https://api.acme.ai/v1{url}");
    json!({"request": {"method": "POST", "url": url, "body": body}, "answer": {"body": answer}})
}

fn get(url: &str, answer: Value) -> Value {
    json!({"request": {"method": "GET", "url": format!("https://api.acme.ai/v1{url}")}, "answer": answer})
}

#[test]
#[rustfmt::skip]
fn each_name_gives_what_the_page_says() {
    let picture = format!("data:image/png;base64,{PNG}");
    let call = json!({
        "prompt": "a cat", "short_history": "it sat", "long_summary": "a tale", "language": "ko", "max_tokens": 100,
        "messages": [{"role": "user", "content": "hello"}], "context": {"brand": {"tone": "calm"}}, "params": {"seconds": 8},
        "inputs": {"frames": [{"data_url": picture, "filename": "one.png"}, {"handle": "file-2"}]},
    });
    let cases = [
        // the name                                 what is sent; null: the member is left out
        ("{{model}}",                               json!("a-1")),
        ("{{userPrompt}}",                          json!("a cat")),
        ("{{input}}",                               json!("a tale\n\nit sat\n\na cat")),
        ("{{params_seconds}}",                      json!("8")),
        ("{{json params.seconds}}",                 json!(8)),
        ("{{json params}}",                         json!({"seconds": 8, "size": "wide"})),
        ("{{params_size}}",                         json!("wide")),
        ("{{params_gone}}",                         Value::Null),
        ("{{inputs.frames.data_url}}",              json!(picture)),
        ("{{inputs.frames.base64}}",                json!(PNG)),
        ("{{inputs.frames.mime}}",                  json!("image/png")),
        ("{{inputs.frames.filename}}",              json!("one.png")),
        ("{{json inputs.frames.bytes}}",            json!(8)),
        ("{{inputs.frames.handle}}",                Value::Null),
        ("{{inputs.frames.[1].handle}}",            json!("file-2")),
        ("{{inputs.frames.[1].base64}}",            Value::Null),
        // We cannot be reached here, and nobody gave an address.
        ("{{inputs.frames.url}}",                   Value::Null),
        ("{{inputs.mask.base64}}",                  Value::Null),
        ("{{json messages}}",                       json!([{"role": "user", "content": "hello"}])),
        ("{{language}}",                            json!("ko")),
        ("{{json maxTokens}}",                      json!(100)),
        ("{{shortHistory}}",                        json!("it sat")),
        ("{{longSummary}}",                         json!("a tale")),
        ("{{json context.brand}}",                  json!({"tone": "calm"})),
        ("{{context.brand.tone}}",                  json!("calm")),
        ("{{response_schema_name}}",                json!("any")),
        ("{{json response_schema_json}}",           json!({"type": "object"})),
        ("{{json response_schema_strict}}",         json!(true)),
        ("{{current_date}}",                        json!("2026-01-01")),
        ("{{current_datetime}}",                    json!("2026-01-01T00:00:00Z")),
        ("{{config_region}}",                       json!("eu")),
        ("{{json vars.twice}}",                     json!(16)),
        ("{{json (lookup tables.codes params_size)}}", json!(7)),
        ("{{run.id}}",                              json!(RUN)),
        ("{{run.token}}",                           json!("00000000-0000-7000-8000-000000000001")),
        ("{{callback_url}}",                        Value::Null),
        ("{{apiKey}}",                              json!("***")),
    ];
    for (name, want) in cases {
        let rows = bundle(&json!({"transport": {"body": {"x": name, "k": 1}}, "response_mapping": {"output": {"made": true}}}));
        let mut sent = json!({"x": want, "k": 1});
        if want.is_null() {
            sent.as_object_mut().unwrap().shift_remove("x");
        }
        let found = differences(&rows, &call, &json!([post("/make", &sent, json!({}))]), &json!({"output": {"made": true}}));
        assert_eq!(found, Vec::<String>::new(), "{name}");
    }
}

#[test]
#[rustfmt::skip]
fn absent_null_and_value_are_three_things() {
    let body = json!({
        "asked": "{{params_gone}}", "written": null, "again": "{{json steps.submit.said}}", "listed": "{{lookup tables.of \"none\"}}",
        "typed": "{{json params_seconds}}", "text": "{{params_seconds}}", "empty": "",
    });
    let cases = [
        // what the caller gives                    what the answer says    what is sent: null only where a row writes it
        (json!({"gone": "g", "seconds": 8}),        json!("s"),             json!({"asked": "g", "written": null, "again": "s", "typed": 8, "text": "8", "empty": ""})),
        (json!({"gone": "", "seconds": 0}),         json!(""),              json!({"asked": "", "written": null, "again": "", "typed": 0, "text": "0", "empty": ""})),
        (json!({"gone": null, "seconds": null}),    Value::Null,            json!({"written": null, "empty": ""})),
        (json!({}),                                 json!(false),           json!({"written": null, "again": false, "empty": ""})),
    ];
    for (params, said, sent) in cases {
        let rows = bundle(&json!({
            "transport": {"body": {"q": 1}, "tables": {"of": {"none": null}}},
            "response_mapping": {"extract": {"said": "said"}, "output": {"made": true}},
            "workflow": {"steps": [{"name": "more", "action": "request", "repeatable": true, "path": "/more"}]},
        }));
        let mut rows = rows;
        rows["profiles"][0]["workflow"]["steps"][0]["body"] = body.clone();
        let exchanges = json!([post("/make", &json!({"q": 1}), json!({"said": said})), post("/more", &sent, json!({}))]);
        let found = differences(&rows, &json!({"params": params}), &exchanges, &json!({"output": {"made": true}}));
        assert_eq!(found, Vec::<String>::new(), "{params}");
    }
}

#[test]
#[rustfmt::skip]
fn input_is_made_of_what_is_there() {
    let cases = [
        (json!({"prompt": "c"}),                                              json!("c")),
        (json!({"prompt": "c", "long_summary": "a"}),                         json!("a\n\nc")),
        (json!({"short_history": "b"}),                                       json!("b")),
    ];
    for (call, want) in cases {
        let rows = bundle(&json!({"transport": {"body": {"x": "{{input}}"}}, "response_mapping": {"output": {"made": true}}}));
        let found = differences(&rows, &call, &json!([post("/make", &json!({"x": want}), json!({}))]), &json!({"output": {"made": true}}));
        assert_eq!(found, Vec::<String>::new(), "{call}");
    }
}

#[test]
#[rustfmt::skip]
fn the_last_answer_is_that_of_the_nearest_step_before_that_ran_and_is_not_a_download_the_submits_when_there_is_none() {
    let request = |name: &str, when: bool| {
        let condition = if when { json!({"present": "model"}) } else { json!({"present": "language"}) };
        json!({"name": name, "action": "request", "path": format!("/{name}"), "when": condition, "extract": {"from_it": "said"}})
    };
    let download = |name: &str, artifact: &str| json!({"name": name, "action": "download", "artifact": artifact, "value_path": "b64", "accept": ["*/*"]});
    let said = |word: &str| json!({"body": {"said": word, "b64": "aGVsbG8="}});
    let cases = [
        // the steps after the submit                                                              asked for           whose text it is
        ("none",                       json!([]),                                                   vec![],             "submit"),
        ("one that ran",               json!([request("one", true)]),                               vec!["one"],        "one"),
        ("the nearest",                json!([request("one", true), request("two", true)]),         vec!["one", "two"], "two"),
        ("the nearest that ran",       json!([request("one", true), request("two", false)]),        vec!["one"],        "one"),
        ("none ran",                   json!([request("one", false)]),                              vec![],             "submit"),
        ("a download is none",         json!([request("one", true), download("file", "file")]),     vec!["one"],        "one"),
        ("nor for another download",   json!([request("one", true), download("file", "file"), download("again", "other")]), vec!["one"], "one"),
        ("nor after the submit alone", json!([download("file", "file")]),                           vec![],             "submit"),
    ];
    for (why, steps, asked, whose) in cases {
        let rows = bundle(&json!({
            "transport": {"body": {"q": 1}}, "workflow": {"steps": steps},
            "response_mapping": {"extract": {"text_path": "said"}, "output": {"made": "{{text}}"}},
        }));
        let mut exchanges = vec![post("/make", &json!({"q": 1}), said("submit")["body"].clone())];
        exchanges.extend(asked.into_iter().map(|step| get(&format!("/{step}"), said(step))));
        let found = differences(&rows, &json!({}), &json!(exchanges), &json!({"output": {"made": whose}}));
        assert_eq!(found, Vec::<String>::new(), "{why}");
    }
}

#[test]
#[rustfmt::skip]
fn a_capture_is_a_path_or_says_how_its_value_is_read_and_what_finds_nothing_is_absent() {
    let extract = json!({
        "one": "deep.one", "first": ["nowhere", "deep.one"], "list": {"path": "list[]", "join": "+"}, "parsed": {"path": "text", "parse": "json"},
        "gone": "nowhere", "null": "none",
    });
    let answer = json!({"deep": {"one": 12_345_678_901_234_567_890_u64}, "list": ["a", "b"], "text": "{\"n\": [1]}", "none": null});
    let cases = [
        ("{{json steps.submit.one}}",       json!(12_345_678_901_234_567_890_u64)),
        ("{{steps.submit.one}}",            json!("12345678901234567890")),
        ("{{json steps.submit.first}}",     json!(12_345_678_901_234_567_890_u64)),
        ("{{steps.submit.list}}",           json!("a+b")),
        ("{{json steps.submit.parsed.n}}",  json!([1])),
        ("{{steps.submit.gone}}",           Value::Null),
        ("{{steps.submit.null}}",           Value::Null),
    ];
    for (name, want) in cases {
        let rows = bundle(&json!({
            "transport": {"body": {"q": 1}}, "response_mapping": {"extract": extract, "output": {"made": true}},
            "workflow": {"steps": [{"name": "more", "action": "request", "repeatable": true, "path": "/more", "body": {"x": name, "k": 1}}]},
        }));
        let mut sent = json!({"x": want, "k": 1});
        if want.is_null() {
            sent.as_object_mut().unwrap().shift_remove("x");
        }
        let exchanges = json!([post("/make", &json!({"q": 1}), answer.clone()), post("/more", &sent, json!({}))]);
        let found = differences(&rows, &json!({}), &exchanges, &json!({"output": {"made": true}}));
        assert_eq!(found, Vec::<String>::new(), "{name}");
    }
}

#[test]
#[rustfmt::skip]
fn an_address_a_header_or_a_longer_text_that_needs_what_was_not_found_fails_the_step() {
    let cases = [
        json!({"path": "/more/{{steps.submit.gone}}"}),
        json!({"url": "{{steps.submit.gone}}"}),
        json!({"path": "/more", "headers": {"X-Ticket": "{{steps.submit.gone}}"}}),
        json!({"path": "/more", "query": {"q": "id:{{steps.submit.gone}}"}}),
    ];
    for more in cases {
        let mut step = json!({"name": "more", "action": "request"});
        merge(&mut step, &more);
        let rows = bundle(&json!({
            "transport": {"body": {"q": 1}}, "response_mapping": {"extract": {"gone": "nowhere"}, "output": {"made": true}}, "workflow": {"steps": [step]},
        }));
        let exchanges = json!([post("/make", &json!({"q": 1}), json!({}))]);
        let found = differences(&rows, &json!({}), &exchanges, &json!({"error": {"code": "R101"}}));
        assert_eq!(found, Vec::<String>::new(), "{more}");
    }
}

#[test]
#[rustfmt::skip]
fn the_submit_sends_the_transport_the_template_over_its_body_and_over_that_the_first_variant_that_holds() {
    let mut rows = bundle(&json!({
        "transport": {"path": "/make", "body": {"a": 1, "b": {"x": 1, "y": 1}, "c": 1}, "headers": {"X-Way": "plain"}, "variants": [
            {"when": {"present": "params.gone"}, "path": "/first", "body": {"b": {"y": 3}, "c": null}},
            {"when": {"path": "params.seconds", "gt": 4}, "path": "/second", "headers": {"X-Way": "long"}},
        ]},
        "response_mapping": {"output": {"made": true}},
    }));
    rows["prompt_templates"] = json!([{"name": "t", "purpose": "chat", "body": {"b": {"x": 2}, "d": "{{userPrompt}}"}}]);
    rows["models"][0]["prompt_template"] = json!("t");
    let cases = [
        // options                              where     way        body
        (json!({}),                             "/make",   "plain",  json!({"a": 1, "b": {"x": 2, "y": 1}, "c": 1, "d": "a cat"})),
        (json!({"gone": "g", "seconds": 8}),    "/first",  "plain",  json!({"a": 1, "b": {"x": 2, "y": 3}, "d": "a cat"})),
        (json!({"seconds": 8}),                 "/second", "long",   json!({"a": 1, "b": {"x": 2, "y": 1}, "c": 1, "d": "a cat"})),
    ];
    for (params, path, way, body) in cases {
        let mut exchange = post(path, &body, json!({}));
        exchange["request"]["headers"] = json!({"x-way": way});
        let call = json!({"prompt": "a cat", "params": params});
        let found = differences(&rows, &call, &json!([exchange]), &json!({"output": {"made": true}}));
        assert_eq!(found, Vec::<String>::new(), "{params}");
    }
}

#[test]
#[rustfmt::skip]
fn the_token_of_the_run_stands_in_the_header_or_the_body_that_the_profile_names_or_nothing_is_sent() {
    const TOKEN: &str = "00000000-0000-7000-8000-000000000001";
    let sent = |request: Value| {
        let mut all = json!({"method": "POST", "url": "https://api.acme.ai/v1/make"});
        merge(&mut all, &request);
        Some(json!([{"request": all, "answer": {"body": {}}}]))
    };
    let cases = [
        // where the provider takes it                      the transport                               what is sent; none: refused before
        (json!({"header": "Idempotency-Key"}),              json!({"body": {"q": 1}}),                  sent(json!({"headers": {"idempotency-key": TOKEN}, "body": {"q": 1}}))),
        (json!({"header": "Idempotency-Key"}),              json!({}),                                  sent(json!({"headers": {"idempotency-key": TOKEN}}))),
        (json!({"body": "clientToken"}),                    json!({"body": {"q": 1}}),                  sent(json!({"body": {"q": 1, "clientToken": TOKEN}}))),
        (json!({"body": "clientToken"}),                    json!({"body": {"q": "{{params_gone}}"}}),  sent(json!({"body": {"clientToken": TOKEN}}))),
        (json!({"body": "clientToken"}),                    json!({"body": {"$merge": [{"q": 1}]}}),    sent(json!({"body": {"q": 1, "clientToken": TOKEN}}))),
        // A list has no member that it could be.
        (json!({"body": "clientToken"}),                    json!({"body": {"$when": {"present": "model"}, "$then": [1]}}), None),
    ];
    for (place, transport, exchanges) in cases {
        let mut rows = bundle(&json!({"transport": {"idempotency": place}, "response_mapping": {"output": {"made": true}}}));
        let own = &mut rows["profiles"][0]["transport"];
        for (name, value) in transport.as_object().unwrap() {
            own[name] = value.clone();
        }
        let (exchanges, expect) = match exchanges {
            Some(exchanges) => (exchanges, json!({"output": {"made": true}})),
            None => (json!([]), json!({"error": {"code": "R122"}})),
        };
        let found = differences(&rows, &json!({}), &exchanges, &expect);
        assert_eq!(found, Vec::<String>::new(), "{place} {transport}");
    }
}
