use crate::catalogue::compile_rows;
use crate::revision::{Action, JobState, Revision, Settle};
use diag::Code;
use serde_json::{Value, json};
use std::sync::Arc;

const GOOD: &str = include_str!("../../../../tests/bad/_good.json");

/// The good bundle with values set, compiled.
fn with(changes: &[(&str, Value)]) -> (Option<Arc<Revision>>, diag::Diagnostics) {
    let mut bundle: Value = serde_json::from_str(GOOD).unwrap();
    for (pointer, value) in changes {
        let (around, last) = pointer.rsplit_once('/').unwrap();
        let around = bundle.pointer_mut(around).unwrap();
        match around.as_array_mut() {
            Some(items) => items.push(value.clone()),
            None => around[last] = value.clone(),
        }
    }
    let bundle = crate::bundle::parse("b.json", &bundle.to_string());
    assert!(bundle.diagnostics.is_empty(), "{}", bundle.diagnostics);
    let compiled = compile_rows(&bundle.rows);
    let revision = compiled
        .revisions
        .first()
        .and_then(|entry| entry.revision.clone().ok());
    (revision, compiled.diagnostics)
}

fn poll(revision: &Revision) -> &crate::revision::Poll {
    revision
        .workflow
        .steps
        .iter()
        .find_map(|step| match &step.action {
            Action::Poll(poll) => Some(&**poll),
            _ => None,
        })
        .unwrap()
}

#[test]
fn time_ends_polling_and_the_conventions_deadline_goes_before_a_count() {
    const STEP: &str = "/profiles/0/workflow/steps/0";
    let own = json!({ "name": "poll", "path": "/videos/{{job_id}}", "interval_ms": 2000, "max_attempts": 90,
        "terminal_states": ["completed", "failed"] });
    let step = |revision: Option<Arc<Revision>>| poll(&revision.unwrap()).deadline_ms;
    let steps = |own: &Value| ("/profiles/0/workflow/steps", json!([own]));
    let (revision, found) = with(&[steps(&own)]);
    assert!(found.is_empty(), "{found}");
    assert_eq!(step(revision), 180_000);
    let (revision, found) = with(&[
        steps(&own),
        (
            "/provider/conventions/poll",
            json!({ "deadline_ms": 3_600_000 }),
        ),
    ]);
    assert_eq!(step(revision), 3_600_000);
    let first = found.iter().next().unwrap();
    assert_eq!(
        (first.code, first.place.pointer.as_str()),
        (Code::P605, &*format!("{STEP}/max_attempts"))
    );
    assert!(
        first.message.contains("180 s") && first.message.contains("3600 s"),
        "{first}"
    );
}

#[test]
fn the_states_are_kept_in_the_order_of_judgement() {
    let states = json!({ "queued": ["q"], "succeeded": ["s"], "failed": ["f"], "moderated": ["m"], "expired": ["e"] });
    let step = json!({ "name": "poll", "path": "/x/{{job_id}}", "states": states });
    let (revision, found) = with(&[("/profiles/0/workflow/steps", json!([step]))]);
    assert!(found.is_empty(), "{found}");
    let revision = revision.unwrap();
    let order: Vec<JobState> = poll(&revision)
        .states
        .iter()
        .map(|(state, _)| *state)
        .collect();
    assert_eq!(
        order,
        [
            JobState::Moderated,
            JobState::Expired,
            JobState::Failed,
            JobState::Succeeded,
            JobState::Queued
        ]
    );
}

#[test]
fn a_null_header_of_a_step_removes_the_inherited_one_also_under_a_conventions_poll() {
    let (revision, found) = with(&[
        (
            "/provider/conventions/poll",
            json!({ "interval_ms": 1_000 }),
        ),
        (
            "/profiles/0/transport/headers",
            json!({ "X-Async": "enable" }),
        ),
        (
            "/profiles/0/workflow/steps/0/headers",
            json!({ "x-async": null }),
        ),
    ]);
    assert!(!found.has_errors(), "{found}");
    let revision = revision.unwrap();
    let has = |exchange: &crate::revision::Exchange| {
        exchange.headers.iter().any(|(name, _)| name == "X-Async")
    };
    assert!(has(&revision.submits[0].exchange));
    assert!(!has(revision.workflow.steps[0].exchange.as_ref().unwrap()));
}

#[test]
fn headers_are_inherited_by_name_without_regard_to_case() {
    let (revision, found) = with(&[
        (
            "/profiles/0/transport/headers",
            json!({ "authorization": "Key {{apiKey}}", "X-A": "1" }),
        ),
        (
            "/profiles/0/workflow/steps/0/headers",
            json!({ "x-a": null, "X-B": "2" }),
        ),
    ]);
    assert!(found.is_empty(), "{found}");
    let revision = revision.unwrap();
    let names = |headers: &[(String, crate::lang::Text)]| {
        headers
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&revision.submits[0].exchange.headers),
        ["authorization", "X-A"]
    );
    let step = revision.workflow.steps[0].exchange.as_ref().unwrap();
    assert_eq!(names(&step.headers), ["authorization", "X-B"]);
    assert_eq!(names(&step.own_headers), ["X-B"]);
}

#[test]
fn the_first_variant_is_laid_over_the_transport_and_the_plain_submit_comes_last() {
    let (revision, found) = with(&[(
        "/profiles/0/transport/variants",
        json!([
            { "when": { "present": "params.style" }, "path": "/styled", "body": { "size": null } }
        ]),
    )]);
    assert!(!found.has_errors(), "{found}");
    let submits = &revision.as_ref().unwrap().submits;
    assert_eq!(submits.len(), 2);
    assert!(submits[0].when.is_some() && submits[1].when.is_none());
    let (_, found) = with(&[(
        "/profiles/0/transport/variants",
        json!([
            { "when": { "present": "params.style" }, "body": { "size": "{{params_sise}}" } }
        ]),
    )]);
    let first = found.iter().next().unwrap();
    assert_eq!(
        first.place.pointer, "/profiles/0/transport/variants/0/body/size",
        "{found}"
    );
}

#[test]
fn the_transports_settle_is_laid_over_the_conventions_and_another_kind_replaces_it() {
    let lookup = json!({ "kind": "lookup", "path": "/videos", "job_id_path": "id", "select": { "in": "data" } });
    let conventions = ("/provider/conventions/settle", lookup);
    let (revision, _) = with(std::slice::from_ref(&conventions));
    assert!(matches!(
        revision.unwrap().settle,
        Some(Settle::Lookup {
            visible_after_ms: 60_000,
            ..
        })
    ));
    let own = (
        "/profiles/0/transport/settle",
        json!({ "visible_after_ms": 5 }),
    );
    let (revision, _) = with(&[conventions.clone(), own]);
    assert!(matches!(
        revision.unwrap().settle,
        Some(Settle::Lookup {
            visible_after_ms: 5,
            ..
        })
    ));
    let replay = ("/profiles/0/transport/settle", json!({ "kind": "replay" }));
    let token = (
        "/profiles/0/transport/idempotency",
        json!({ "header": "Idempotency-Key" }),
    );
    let (revision, found) = with(&[conventions.clone(), replay, token]);
    assert!(
        matches!(revision.unwrap().settle, Some(Settle::Replay)),
        "{found}"
    );
    let (revision, _) = with(&[conventions, ("/profiles/0/transport/settle", Value::Null)]);
    assert!(revision.unwrap().settle.is_none());
}

#[test]
fn what_is_not_built_yet_is_refused_and_never_ignored() {
    let cases = [
        (
            "/profiles/0/workflow/steps/0/batch",
            json!({ "path": "/videos" }),
        ),
        ("/profiles/0/workflow/steps/1/wrap", json!("wav")),
        ("/profiles/0/workflow/steps/1/auth", json!("other")),
        ("/profiles/0/response_mapping/stream", json!({})),
        ("/profiles/0/response_mapping/mode", json!("multipart")),
        ("/provider/conventions/webhook", json!({})),
        (
            "/profiles/0/transport/settle",
            json!({ "kind": "callback" }),
        ),
        (
            "/profiles/0/workflow/steps/2",
            json!({ "name": "download", "url_path": "url", "method": "POST" }),
        ),
        (
            "/profiles/0/workflow/steps/2",
            json!({ "name": "download", "value_path": "file", "headers": { "Accept": "video/mp4" } }),
        ),
        (
            "/profiles/0/transport/variants",
            json!([{ "when": { "present": "params.style" }, "retry": { "max": 1 } }]),
        ),
    ];
    for (pointer, value) in cases {
        let (revision, found) = with(&[(pointer, value)]);
        assert!(revision.is_none(), "{pointer}");
        assert!(
            found
                .iter()
                .any(|one| one.code == Code::P190 && one.place.pointer.starts_with(pointer)),
            "{pointer}: {found}"
        );
    }
}

#[test]
fn a_prompt_is_required_where_a_longer_text_reads_it() {
    let needs = |text: &str| {
        let (revision, found) = with(&[("/prompt_templates/0/body", json!({ "prompt": text }))]);
        assert!(!found.has_errors(), "{found}");
        let revision = revision.unwrap();
        (
            revision.capabilities.prompt_required,
            revision.capabilities.input_required,
        )
    };
    assert_eq!(needs("{{userPrompt}}"), (false, false));
    assert_eq!(needs("Film: {{userPrompt}}"), (true, false));
    assert_eq!(
        needs("{{#if userPrompt}}Film: {{userPrompt}}{{/if}}"),
        (false, false)
    );
    assert_eq!(needs("{{input}}\n\nsteady"), (false, true));
}

#[test]
fn a_job_id_without_an_asynchronous_job_is_refused() {
    let (revision, found) = with(&[("/profiles/0/workflow", json!({}))]);
    assert!(revision.is_none());
    let codes: Vec<_> = found
        .iter()
        .map(|one| (one.code, one.place.pointer.as_str()))
        .collect();
    assert_eq!(
        codes,
        [(
            Code::P501,
            "/profiles/0/response_mapping/extract/job_id_path"
        )]
    );
}

#[test]
fn a_steps_own_terminal_states_replace_the_states_of_the_conventions() {
    let conventions = json!({ "states": { "succeeded": ["x"] }, "progress_path": "progress" });
    let (revision, found) = with(&[("/provider/conventions/poll", conventions)]);
    assert!(found.is_empty(), "{found}");
    let revision = revision.unwrap();
    assert!(!poll(&revision).drift && poll(&revision).progress.is_some());
}
