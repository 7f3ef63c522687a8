//! A row of `model_api_profiles`: transport, response mapping, workflow.

use super::{flag, list, map, object, purposes, text, whole, words};
use crate::check::tables::{CLASSES, MODES, STATES};
use serde_json::{Map, Value, json};

/// The schema of a profile.
pub(super) fn schema() -> Value {
    object(
        &["profile_key", "purpose", "transport"],
        json!({
            "profile_key": text(), "purpose": purposes(), "provider_family": text(), "model": text(),
            "auth_profile": text(), "transport": transport(), "response_mapping": mapping(),
            "workflow": workflow(), "is_active": flag(),
        }),
    )
}

/// A text, or a list of texts of which the first that gives something is taken.
fn path() -> Value {
    json!({ "anyOf": [text(), list(&text())] })
}

/// Sixty seconds, an hour and a day, in milliseconds.
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn with(mut members: Value, more: &Value) -> Value {
    if let (Some(members), Some(more)) = (members.as_object_mut(), more.as_object()) {
        members.extend(more.clone());
    }
    members
}

/// An exchange, with members of its own.
pub(super) fn exchange(more: Value, required: &[&str]) -> Value {
    let members = json!({
        "path": text(), "url": text(), "base_url": text(),
        "method": { "type": "string" },
        "kind": words(&["http_json", "http_multipart", "http_form", "http_binary"]),
        "query": map(&json!({})), "headers": map(&json!({ "type": ["string", "null"] })), "body": {},
        "timeout_ms": whole(1000, 15 * MINUTE), "max_bytes": whole(1, 64 * 1024 * 1024 * 1024),
        "ok_status": list(&whole(100, 599)),
    });
    object(required, with(members, &more))
}

fn transport() -> Value {
    let own = json!({
        "variants": list(&variant()), "vars": { "type": "object" }, "tables": { "type": "object" },
    });
    exchange(with(terms(), &own), &[])
}

/// What makes a submit safe.
fn terms() -> Value {
    json!({
        "idempotency": object(&[], json!({ "header": text(), "body": text(), "retention_s": whole(1, 30 * 86_400) })),
        "settle": settle(), "on_unknown": words(&["fail", "repeat"]), "durable": flag(), "retry": retry(),
    })
}

/// A variant may differ in what is sent and in what makes it safe; null takes a term away.
fn variant() -> Value {
    let mut own = json!({ "when": condition() });
    for (name, schema) in terms().as_object().into_iter().flatten() {
        let schema = json!({ "anyOf": [schema, { "type": "null" }] });
        own = with(own, &json!({ name: schema }));
    }
    exchange(own, &["when"])
}

/// How callbacks are understood.
pub(super) fn webhook() -> Value {
    let verify = object(
        &[],
        json!({
            "kind": words(&["standard_webhooks", "hmac_sha256", "ed25519_jwks", "none"]),
            "secret": text(), "jwks_url": text(), "header": text(), "encoding": words(&["hex", "base64"]),
            "prefix": text(), "signed": text(), "timestamp_header": text(), "tolerance_s": whole(1, 3_600),
        }),
    );
    object(
        &[],
        json!({ "when": condition(), "job_id_path": path(), "challenge_path": path(), "verify": verify }),
    )
}

fn condition() -> Value {
    json!({ "type": "object" })
}

/// How an unknown outcome is settled.
pub(super) fn settle() -> Value {
    let more = json!({
        "kind": words(&["replay", "lookup", "callback"]), "select": select(), "job_id_path": path(),
        "complete_when": condition(), "visible_after_ms": whole(0, DAY),
    });
    exchange(more, &[])
}

/// One request for many jobs.
fn batch() -> Value {
    let more = json!({ "size": whole(2, 500), "in": path(), "where": condition() });
    described(
        exchange(more, &["in", "where"]),
        "One request that answers for many jobs of a credential: it reads `job_ids`; `where` finds the item of a run, which stands for the answer of its own poll.",
    )
}

fn select() -> Value {
    object(&["in"], json!({ "in": path(), "where": condition() }))
}

/// How refusals for load are repeated.
pub(super) fn retry() -> Value {
    object(
        &[],
        json!({ "max": whole(0, 10), "backoff_ms": whole(0, 10 * MINUTE), "max_backoff_ms": whole(0, 10 * MINUTE) }),
    )
}

fn matches() -> Value {
    list(&json!({ "type": ["string", "integer", "boolean", "object"] }))
}

fn duration() -> Value {
    let unit = object(
        &["path"],
        json!({ "path": path(), "unit": words(&["ms", "s", "m", "h"]) }),
    );
    json!({ "anyOf": [path(), unit] })
}

/// The table of errors.
pub(super) fn errors() -> Value {
    let mut members = json!({
        "code_path": path(), "message_path": path(), "retry_after_path": duration(), "ok": matches(),
    });
    let classes = CLASSES
        .iter()
        .map(|(name, _)| ((*name).to_owned(), matches()));
    members = with(members, &Value::Object(classes.collect()));
    object(&[], members)
}

fn captures() -> Value {
    let long = object(
        &["path"],
        json!({ "path": path(), "parse": words(&["json"]), "join": text(), "secret": flag() }),
    );
    map(&json!({ "anyOf": [path(), long, { "type": "null" }] }))
}

fn modes() -> Value {
    words(&MODES.iter().map(|(word, _)| *word).collect::<Vec<_>>())
}

/// Of a file: a stream of events is none.
fn file_modes() -> Value {
    let all = MODES.iter().filter(|(_, mode)| !mode.is_stream());
    words(&all.map(|(word, _)| *word).collect::<Vec<_>>())
}

/// What the events of an answer mean.
fn stream() -> Value {
    object(
        &["delta_path", "done_when"],
        json!({
            "delta_path": described(path(), "What an event adds to `text`."),
            "when": described(condition(), "Holds for the events that add something; every one when it is left out."),
            "done_when": described(condition(), "Holds for the event that ends the stream well; an end without it is an unknown outcome."),
        }),
    )
}

fn described(mut schema: Value, words: &str) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".to_owned(), Value::from(words));
    }
    schema
}

fn mapping() -> Value {
    object(
        &[],
        json!({
            "result_type": words(&["text", "image_urls", "audio_data_url", "raw_json"]), "mode": modes(),
            "content_type": text(), "extract": { "type": "object" }, "stream": stream(), "errors": errors(), "output": {},
        }),
    )
}

/// The members of a poll.
fn poll_members() -> Value {
    let states: Map<String, Value> = STATES
        .iter()
        .map(|(name, _)| ((*name).to_owned(), matches()))
        .collect();
    json!({
        "interval_ms": whole(250, HOUR), "max_attempts": whole(1, 100_000), "deadline_ms": whole(1000, 7 * DAY),
        "max_job_life_ms": whole(1000, 30 * DAY), "initial_delay_ms": whole(0, HOUR),
        "multiplier": { "type": "number", "minimum": 1, "maximum": 10 }, "max_interval_ms": whole(250, HOUR),
        "jitter": { "type": "number", "minimum": 0, "maximum": 1 }, "select": select(), "batch": batch(), "status_path": path(),
        "terminal_states": list(&text()), "states": object(&[], Value::Object(states)),
        "not_found_grace_ms": whole(0, HOUR), "poll_after_path": duration(), "progress_path": path(),
        "progress_max": { "type": "number", "exclusiveMinimum": 0 },
    })
}

/// Conventions of a poll.
pub(super) fn poll() -> Value {
    exchange(poll_members(), &[])
}

fn step(required: &[&str]) -> Value {
    let download = json!({
        "from": text(), "url_path": path(), "value_path": path(), "mode": file_modes(), "artifact": text(),
        "optional": flag(), "accept": list(&text()), "mime_path": path(), "content_type": text(),
        "expires_in_ms": whole(1000, 30 * DAY), "expires_path": path(), "wrap": words(&["wav"]),
    });
    let own = json!({
        "name": text(), "action": words(&["request", "poll", "download"]), "when": condition(),
        "extract": captures(), "each": path(), "repeatable": flag(),
        "auth": { "type": "string", "description": "another auth profile of the provider, which proves this step" },
    });
    exchange(with(with(own, &download), &poll_members()), required)
}

fn workflow() -> Value {
    let steps = list(&step(&["name"]));
    object(
        &[],
        json!({
            "type": words(&["sync", "async_job"]), "job_id_path": path(), "before": steps.clone(),
            "steps": steps.clone(), "cancel": step(&[]), "cleanup": steps,
            "webhook": { "anyOf": [webhook(), { "type": "null" }] },
        }),
    )
}
