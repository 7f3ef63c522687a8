//! Sentences of sections 3 to 6 that are seen in the compiled revision.

use super::{poll, with};
use crate::revision::{Exchange, JobState, Match, Mode, Revision};
use diag::Code;
use serde_json::{Value, json};

const STEPS: &str = "/profiles/0/workflow/steps";

fn compiled(changes: &[(&str, Value)]) -> Revision {
    let (revision, found) = with(changes);
    assert!(!found.has_errors(), "{found}");
    std::sync::Arc::into_inner(revision.unwrap()).unwrap()
}

fn query(exchange: &Exchange) -> Vec<&str> {
    exchange
        .query
        .iter()
        .map(|(name, _)| name.as_str())
        .collect()
}

#[test]
#[rustfmt::skip]
fn every_exchange_inherits_the_conventions_headers_and_query_and_the_transports_headers_and_nothing_else() {
    let revision = compiled(&[
        ("/provider/conventions/query", json!({"api-version": "1", "shared": "c"})),
        ("/profiles/0/transport/query", json!({"draft": "1", "shared": "t"})),
        ("/profiles/0/transport/headers", json!({"X-Of-Transport": "1"})),
        ("/profiles/0/transport/timeout_ms", json!(9_000)),
        (&format!("{STEPS}/0/query"), json!({"v": "2"})),
    ]);
    let submit = &revision.submits[0].exchange;
    assert_eq!(query(submit), ["api-version", "draft", "shared"]);
    for step in &revision.workflow.steps {
        let exchange = step.exchange.as_ref().unwrap();
        // The transport's query, body and times are the submit's own.
        let own = if step.name == "poll" { vec!["api-version", "shared", "v"] } else { vec!["api-version", "shared"] };
        assert_eq!(query(exchange), own, "{}", step.name);
        assert!(exchange.body.is_none() && exchange.timeout_ms == 60_000, "{}", step.name);
        let headers: Vec<&str> = exchange.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(headers, ["Authorization", "X-Of-Transport"], "{}", step.name);
    }
}

#[test]
#[rustfmt::skip]
fn a_word_of_terminal_states_is_classed_by_the_common_vocabulary() {
    let page = [
        ("completed complete succeeded succeed success successful done finished ready ok", JobState::Succeeded),
        ("failed failure fail error errored rejected timeout timed_out", JobState::Failed),
        ("canceled cancelled aborted", JobState::Canceled),
        ("expired deleted", JobState::Expired),
        ("moderated banned nsfw blocked", JobState::Moderated),
    ];
    for (words, state) in page {
        for word in words.split(' ') {
            // One word succeeds, or the poll could never end well.
            let list = json!([word.to_uppercase(), "ok"]);
            let revision = compiled(&[(&format!("{STEPS}/0/terminal_states"), list)]);
            let has = |matches: &[Match]| matches.iter().any(|one| matches!(one, Match::Value(Value::String(text)) if text.eq_ignore_ascii_case(word)));
            let found: Vec<JobState> = poll(&revision).states.iter().filter(|(_, matches)| has(matches)).map(|(state, _)| *state).collect();
            assert_eq!(found, [state], "{word}");
        }
    }
}

#[test]
#[rustfmt::skip]
fn a_label_is_checked_against_the_extraction() {
    let mapping = |label: &str, mode: &str, extract: Value| {
        let (_, found) = with(&[("/profiles/0/response_mapping", json!({"result_type": label, "mode": mode, "extract": extract})), ("/profiles/0/workflow", json!({})), ("/models/0/response_schema", Value::Null)]);
        found.iter().any(|one| one.code == Code::P502)
    };
    let cases = [
        // label             mode           extract                        contradicts it
        ("text",             "json",        json!({}),                     true),
        ("text",             "json",        json!({"text_path": "said"}),  false),
        ("text",             "text",        json!({}),                     false),
        ("image_urls",       "text",        json!({}),                     true),
        ("image_urls",       "json",        json!({"urls_path": "urls"}),  false),
        ("audio_data_url",   "text",        json!({}),                     true),
        ("audio_data_url",   "binary",      json!({}),                     false),
        ("raw_json",         "binary",      json!({}),                     true),
        ("raw_json",         "json",        json!({"urls_path": "urls"}),  false),
    ];
    for (label, mode, extract, wrong) in cases {
        assert_eq!(mapping(label, mode, extract.clone()), wrong, "{label} {mode} {extract}");
    }
}

#[test]
#[rustfmt::skip]
fn addresses_base64_or_a_binary_mode_without_a_download_are_that_step() {
    let cases = [
        // mode           extract                                 the step's mode, absent: there is none
        ("json",          json!({"urls_path": "urls[]"}),         Some(Mode::Json)),
        ("json",          json!({"base64_path": "b64"}),          Some(Mode::JsonBase64)),
        ("json_base64",   json!({"base64_path": "b64"}),          Some(Mode::JsonBase64)),
        ("json_hex",      json!({"base64_path": "hex"}),          Some(Mode::JsonHex)),
        ("hex",           json!({"base64_path": "hex"}),          Some(Mode::JsonHex)),
        ("base64",        json!({"base64_path": "b64"}),          Some(Mode::JsonBase64)),
        ("binary",        json!({}),                              Some(Mode::Binary)),
        ("json",          json!({"note": "n"}),                   None),
        ("text",          json!({}),                              None),
    ];
    for (mode, extract, want) in cases {
        let changes = [
            ("/profiles/0/response_mapping", json!({"mode": mode, "extract": extract})), ("/profiles/0/workflow", json!({})),
            ("/models/0/response_schema", Value::Null),
        ];
        let revision = compiled(&changes);
        let got = revision.workflow.steps.iter().find_map(|step| match &step.action {
            crate::revision::Action::Download(download) => Some(download.mode),
            _ => None,
        });
        assert_eq!(got, want, "{mode} {extract}");
    }
    let own = [("/profiles/0/response_mapping", json!({"extract": {"job_id_path": "id", "urls_path": "urls[]"}}))];
    assert_eq!(compiled(&own).workflow.steps.len(), 2, "the workflow has a download of its own");
}

#[test]
#[rustfmt::skip]
fn a_name_of_ones_own_in_extract_does_not_end_in_path() {
    for (name, good) in [("task", true), ("path", true), ("task_path", false), ("_path", false)] {
        let (revision, found) = with(&[(&format!("{STEPS}/0/extract"), json!({name: "x"}))]);
        assert_eq!(revision.is_some(), good, "{name}: {found}");
        assert_eq!(found.iter().any(|one| one.code == Code::P501), !good, "{name}");
    }
}

#[test]
#[rustfmt::skip]
fn after_the_submit_only_a_get_or_what_is_said_to_be_repeatable_is_sent() {
    let step = |method: &str, repeatable: Value| json!([
        {"name": "more", "action": "request", "path": "/more/{{job_id}}", "method": method, "repeatable": repeatable},
        {"name": "poll", "path": "/videos/{{job_id}}", "terminal_states": ["ok"]},
        {"name": "download", "path": "/videos/{{job_id}}/content", "mode": "binary"},
    ]);
    let cases = [("GET", json!(null), true), ("HEAD", json!(null), true), ("POST", json!(null), false), ("PUT", json!(false), false), ("DELETE", json!(null), false), ("POST", json!(true), true)];
    for (method, repeatable, good) in cases {
        let (revision, found) = with(&[(STEPS, step(method, repeatable.clone()))]);
        assert_eq!(revision.is_some(), good, "{method} {repeatable}: {found}");
        assert_eq!(found.iter().any(|one| one.code == Code::P603), !good, "{method} {repeatable}");
    }
    // Before the submit everything is free and may be repeated.
    let before = json!([{"name": "up", "action": "request", "path": "/up", "method": "POST"}]);
    assert_eq!(compiled(&[("/profiles/0/workflow/before", before)]).workflow.before.len(), 1);
}

#[test]
fn a_limit_a_default_and_a_fact_of_supports_say_no_more_than_they_do() {
    let revision = compiled(&[(
        "/models/0/capabilities/supports",
        json!({"seconds": true, "sound": true, "4k": false}),
    )]);
    let names: Vec<&str> = revision
        .capabilities
        .options
        .iter()
        .filter(|option| option.supported)
        .map(|option| option.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["seconds", "size", "style"],
        "other names are only facts"
    );
}

#[test]
#[rustfmt::skip]
fn errors_are_merged_over_the_conventions_and_tried_in_the_order_of_the_table() {
    let revision = compiled(&[
        ("/provider/conventions/errors", json!({"overloaded": ["busy"], "moderated": ["unsafe"], "billing": ["quota"], "message_path": "said"})),
        ("/profiles/0/response_mapping/errors", json!({"billing": null, "transient": ["hiccup"], "overloaded": ["full"]})),
    ]);
    let errors = &revision.errors;
    let shown = |matches: &[Match]| {
        let text = |one: &Match| match one { Match::Value(value) => value.as_str().unwrap_or_default().to_owned(), Match::Condition(_) => String::new() };
        matches.iter().map(text).collect::<Vec<_>>().join(" ")
    };
    let classes: Vec<_> = errors.classes.iter().map(|(class, matches)| (format!("{class:?}"), shown(matches))).collect();
    let want = [("Moderated", "unsafe"), ("Overloaded", "full"), ("Transient", "hiccup")];
    assert_eq!(classes, want.map(|(class, words)| (class.to_owned(), words.to_owned())));
    assert_eq!(errors.message.source(), "said");
}
