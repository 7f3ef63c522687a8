mod defaults;
mod page;

use crate::catalogue::compile_rows;
use crate::revision::{Action, Encoding, JobState, Revision, Settle, Verify};
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

fn download() -> Value {
    json!({ "name": "download", "path": "/x/{{job_id}}/content", "mode": "binary" })
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
    let steps = |own: &Value| ("/profiles/0/workflow/steps", json!([own, download()]));
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
    let (revision, found) = with(&[("/profiles/0/workflow/steps", json!([step, download()]))]);
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
        revision.unwrap().terms().unwrap().settle,
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
        revision.unwrap().terms().unwrap().settle,
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
        matches!(
            revision.unwrap().terms().unwrap().settle,
            Some(Settle::Replay)
        ),
        "{found}"
    );
    let (revision, _) = with(&[conventions, ("/profiles/0/transport/settle", Value::Null)]);
    assert!(revision.unwrap().terms().unwrap().settle.is_none());
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
    let workflow = json!({ "steps": [{ "name": "download", "path": "/x", "mode": "binary" }] });
    let (revision, found) = with(&[("/profiles/0/workflow", workflow)]);
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

#[test]
fn a_variant_may_differ_in_any_field_of_the_transport() {
    let own = json!({ "when": { "present": "params.style" }, "retry": { "max": 1 },
        "settle": { "kind": "replay" }, "idempotency": { "header": "Idempotency-Key" }, "on_unknown": "repeat",
        "kind": "http_form", "timeout_ms": 1000 });
    let bare = json!({ "when": { "present": "params.size" }, "settle": null, "retry": null });
    let lookup = json!({ "kind": "lookup", "path": "/videos/{{run.token}}", "job_id_path": "id" });
    let (revision, found) = with(&[
        ("/profiles/0/transport/variants", json!([own, bare])),
        ("/provider/conventions/settle", lookup),
        ("/profiles/0/transport/retry", json!({ "max": 7 })),
    ]);
    let revision = revision.unwrap_or_else(|| panic!("{found}"));
    let terms: Vec<_> = revision
        .submits
        .iter()
        .map(|submit| &submit.terms)
        .collect();
    let settle = |at: usize| terms[at].settle.as_ref();
    assert!(matches!(settle(0), Some(Settle::Replay)));
    assert!(settle(1).is_none() && matches!(settle(2), Some(Settle::Lookup { .. })));
    assert_eq!([0, 1, 2].map(|at| terms[at].retry.max), [1, 3, 7]);
    assert_eq!(
        [0, 1, 2].map(|at| terms[at].repeat_on_unknown),
        [true, false, false]
    );
    assert_eq!(
        [0, 1, 2].map(|at| terms[at].idempotency.is_some()),
        [true, false, false]
    );
    assert_eq!(revision.submits[0].exchange.timeout_ms, 1000);
}

#[test]
fn a_webhook_of_the_workflow_is_laid_over_that_of_the_conventions() {
    let conventions = json!({ "job_id_path": "id", "challenge_path": "challenge",
        "verify": { "kind": "hmac_sha256", "secret": "env:ACME_HOOK", "header": "X-Signature", "prefix": "sha256=" } });
    let own = json!({ "when": { "path": "type", "in": ["video.completed"] }, "verify": { "encoding": "base64", "tolerance_s": 60 } });
    let (revision, found) = with(&[
        ("/provider/conventions/webhook", conventions.clone()),
        ("/profiles/0/workflow/webhook", own),
    ]);
    let revision = revision.unwrap_or_else(|| panic!("{found}"));
    let webhook = revision.webhook.as_ref().unwrap();
    let Verify::Signed(signature) = &webhook.verify else {
        panic!("not signed");
    };
    assert!(webhook.when.is_some() && webhook.job_id.is_some() && webhook.challenge.is_some());
    assert_eq!(
        (signature.header.as_str(), signature.tolerance_s),
        ("x-signature", 60)
    );
    assert_eq!(signature.encoding, Encoding::Base64);
    let (revision, _) = with(&[
        ("/provider/conventions/webhook", conventions),
        ("/profiles/0/workflow/webhook", Value::Null),
    ]);
    assert!(revision.unwrap().webhook.is_none());
}

#[test]
fn the_kinds_of_signature_have_what_they_need() {
    let cases = [
        (json!({ "kind": "none" }), None),
        (
            json!({ "kind": "standard_webhooks", "secret": "{{apiKey}}" }),
            None,
        ),
        (
            json!({ "kind": "ed25519_jwks", "jwks_url": "https://api.acme.ai/keys", "header": "x-signature",
            "signed": "{{header.x-id}}\n{{body_sha256}}", "timestamp_header": "x-time" }),
            None,
        ),
        (json!({ "kind": "standard_webhooks" }), Some(Code::P103)),
        (json!({ "secret": "env:A" }), Some(Code::P103)),
        (json!({ "kind": "rsa" }), Some(Code::P105)),
        (
            json!({ "kind": "hmac_sha256", "secret": "env:A" }),
            Some(Code::P103),
        ),
        (
            json!({ "kind": "hmac_sha256", "secret": "env:A B", "header": "x" }),
            Some(Code::P701),
        ),
        (
            json!({ "kind": "hmac_sha256", "secret": "env:A", "header": "x", "signed": "{{userPrompt}}" }),
            Some(Code::P201),
        ),
        (
            json!({ "kind": "hmac_sha256", "secret": "env:A", "header": "x", "tolerance_s": 3601 }),
            Some(Code::P108),
        ),
        (
            json!({ "kind": "ed25519_jwks", "jwks_url": "https://keys.example.com", "header": "x" }),
            Some(Code::P703),
        ),
    ];
    for (verify, want) in cases {
        let (_, found) = with(&[("/profiles/0/workflow/webhook", json!({ "verify": verify }))]);
        let code = found.iter().find(|one| one.is_error()).map(|one| one.code);
        assert_eq!(code, want, "{found}");
    }
}

#[test]
fn a_header_that_a_later_layer_replaces_is_not_looked_at() {
    let (_, found) = with(&[(
        "/provider/conventions/headers/X-Region",
        json!("{{config_region}}"),
    )]);
    assert!(found.iter().any(|one| one.code == Code::P201), "{found}");
    let replaced = |name: &str| {
        let (revision, found) = with(&[
            (
                "/provider/conventions/headers/X-Region",
                json!("{{config_region}}"),
            ),
            ("/profiles/0/transport/headers", json!({ name: "eu" })),
        ]);
        assert!(found.is_empty(), "{name}: {found}");
        let headers = &revision.unwrap().submits[0].exchange.headers;
        let sent = headers
            .iter()
            .filter(|(have, _)| have.eq_ignore_ascii_case("x-region"));
        assert_eq!(sent.count(), 1, "{name}");
    };
    replaced("X-Region");
    replaced("x-region");
}
