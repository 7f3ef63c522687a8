//! One HTTP exchange, the transport, and what makes a submit safe.

use super::build::{
    condition, described, field, flag, free_object, list, map, named, object, path, real, text,
    tree, usual, whole, with, within, words, words_of,
};
use crate::check::bounds::{self, Whole};
use crate::check::tables::{BODY_KINDS, METHODS};
use serde_json::{Value, json};

/// The members of an exchange, of which an answer may have so many bytes.
pub(super) fn exchange_members(bytes: Whole) -> Value {
    let methods = METHODS.iter().map(|(word, _)| Value::from(*word));
    let method =
        "The HTTP method. Left out: `POST` of a submit and of a step with a body, else `GET`.";
    json!({
        "path": field(text(), "Appended to the base URL. Each value in it becomes one encoded segment; `{{segments x}}` keeps its `/` and `:`.", "/videos/{{job_id}}"),
        "url": field(text(), "A whole address, in place of `path`; a relative one is resolved against the base URL. It lies with the provider, or in `egress.hosts`.", "https://api.acme.ai/v2/videos"),
        "base_url": field(text(), "In place of the credential's `endpoint_url` and the provider's `api_base_url`.", "https://files.acme.ai/v1"),
        "method": json!({ "type": "string", "description": method, "examples": methods.collect::<Vec<_>>() }),
        "kind": field(words_of(BODY_KINDS), "How the body is written. Left out: `http_json`. In `http_binary` the body is one `$file`.", "http_json"),
        "query": field(map(&tree()), "Members of the query: templates, encoded when they are sent; a list repeats the key, null takes an inherited one away.", json!({ "version": "2026-05-01", "seed": "{{params_seed}}" })),
        "headers": field(map(&json!({ "type": ["string", "null"] })), "Templates by the header's name; null takes an inherited one away.", json!({ "Authorization": "Bearer {{apiKey}}" })),
        "body": field(tree(), "A template: `\"{{x}}\"` is text, `\"{{json x}}\"` has the value's own type, an absent value removes its member; `$when`, `$each`, `$merge`, `$json` and `$file` are its directives.", json!({ "model": "{{model}}", "prompt": "{{userPrompt}}" })),
        "timeout_ms": field(usual(bounds::TIMEOUT), "Milliseconds that the answer may take; of a file, milliseconds of silence.", 120_000),
        "max_bytes": field(usual(bytes), "Bytes that the answer may have.", 1_048_576),
        "ok_status": field(list(&whole(100, 599)), "Statuses beside 2xx that are no failure.", json!([404, 409])),
    })
}

/// An exchange with members of its own.
pub(super) fn exchange(more: &Value, required: &[&str]) -> Value {
    object(required, with(exchange_members(bounds::ANSWER_BYTES), more))
}

/// What is sent to create the job.
pub(super) fn transport() -> Value {
    let own = json!({
        "variants": described(list(&variant()), "What is sent in place of it when a condition holds: the first that does is merged over transport and prompt template."),
        "vars": field(free_object(), "Templates by name, read as `vars.<name>`; they may use each other.", json!({ "ratio": "{{split params_size \"x\" 0}}" })),
        "tables": field(free_object(), "Constant look-up tables, read as `{{lookup tables.<name> key}}`.", json!({ "sizes": { "wide": "1280x720" } })),
    });
    named("transport", exchange(&with(terms(), &own), &[]))
}

/// What makes a submit safe.
fn terms() -> Value {
    json!({
        "idempotency": described(idempotency(), "Where the engine puts its token, because the provider accepts one job for it: exactly one of `header` and `body`."),
        "settle": described(settle(), "How an unknown outcome of the submit is learned."),
        "on_unknown": field(words(["fail", "repeat"]), "What an unknown outcome means where nothing settles it. `repeat` is consent to pay twice; left out: `fail`.", "fail"),
        "durable": field(flag(), "`false` gives up the run's record: neither promise of durable runs holds. For answers that are final and hold no file.", true),
        "retry": described(retry(), "How refusals for load are sent again."),
    })
}

fn idempotency() -> Value {
    let members = json!({
        "header": field(text(), "The header that carries the token.", "Idempotency-Key"),
        "body": field(text(), "The member of the body that carries the token.", "client_token"),
        "retention_s": field(usual(bounds::RETENTION_S), "Seconds for which the provider remembers the token.", 86_400),
    });
    named("idempotency", object(&[], members))
}

/// A variant may differ in what is sent and in what makes it safe; null takes a term away.
fn variant() -> Value {
    let own = json!({ "when": field(condition(), "Over the variables of the call.", json!({ "present": "inputs.image" })) });
    named("variant", exchange(&with(own, &terms()), &["when"]))
}

/// How callbacks are understood.
pub(super) fn webhook() -> Value {
    let members = json!({
        "when": field(condition(), "Holds for callbacks about jobs; others are passed over.", json!({ "path": "event", "in": ["video.completed", "video.failed"] })),
        "job_id_path": field(path(), "Where the callback names the job: for addresses that are the same for all runs.", "data.id"),
        "challenge_path": field(path(), "A value that is given back when the address is registered.", "challenge"),
        "verify": described(verify(), "What proves that the provider sent it."),
    });
    named("webhook", object(&[], members))
}

fn verify() -> Value {
    let members = json!({
        "kind": field(words(["standard_webhooks", "hmac_sha256", "ed25519_jwks", "none"]), "The kind of signature.", "hmac_sha256"),
        "secret": field(text(), "Where the key is: `env:NAME`, `file:/path`, or a part of the credential's secret.", "env:ACME_WEBHOOK_SECRET"),
        "jwks_url": field(text(), "Where the public keys are; with the provider, or in `egress.hosts`.", "https://api.acme.ai/.well-known/jwks.json"),
        "header": field(text(), "The header with the signature, or with several and blanks between them.", "X-Acme-Signature"),
        "encoding": field(words(["hex", "base64"]), "How the signature is written. Left out: `hex`.", "hex"),
        "prefix": field(text(), "Stands before the signature in the header.", "sha256="),
        "signed": field(text(), "What is signed: a template over `header.<name>` (in lower case), `body` and `body_sha256`. Left out: the body.", "{{header.x-acme-time}}.{{body}}"),
        "timestamp_header": field(text(), "The header with the time of the signature, in Unix seconds.", "X-Acme-Time"),
        "tolerance_s": field(usual(bounds::TOLERANCE_S), "Seconds by which that time may differ from ours.", 300),
    });
    named("verify", object(&["kind"], members))
}

/// How an unknown outcome is settled.
pub(super) fn settle() -> Value {
    let more = json!({
        "kind": field(words(["replay", "lookup", "callback"]), "`replay`: sent again with the same token (needs `idempotency`). `lookup`: looked for in a list. `callback`: a callback names it (needs `webhook`).", "lookup"),
        "select": described(select(), "The item of the list that is the job."),
        "job_id_path": field(path(), "Where a look-up finds the job's id.", "id"),
        "complete_when": field(condition(), "Holds when the list goes back far enough: only then does a job that is not in it count as never accepted.", json!({ "path": "has_more", "equals": false })),
        "visible_after_ms": field(usual(bounds::VISIBLE_AFTER), "Milliseconds after which an accepted job is in the list.", 60_000),
    });
    named("settle", exchange(&more, &[]))
}

/// The item of a list that an answer is about.
pub(super) fn select() -> Value {
    let members = json!({
        "in": field(path(), "The list.", "data"),
        "where": field(condition(), "Holds for the item; left out: the first one.", json!({ "path": "id", "equals": "{{job_id}}" })),
    });
    named("select", object(&["in"], members))
}

/// One request for many jobs.
pub(super) fn batch() -> Value {
    let more = json!({
        "size": field(usual(bounds::BATCH_SIZE), "Jobs that one request may ask about.", 100),
        "in": field(path(), "The list of jobs in its answer.", "data"),
        "where": field(condition(), "Holds for the item of a run; it stands for the answer of the run's own poll.", json!({ "path": "id", "equals": "{{job_id}}" })),
    });
    named("batch", exchange(&more, &["in", "where"]))
}

/// How refusals for load are repeated.
pub(super) fn retry() -> Value {
    let members = json!({
        "max": field(usual(bounds::RETRY_MAX), "How often.", 5),
        "backoff_ms": field(usual(bounds::BACKOFF), "The first wait, in milliseconds; it doubles, with jitter. A hint of the provider goes first.", 1_000),
        "max_backoff_ms": field(usual(bounds::MAX_BACKOFF), "The longest wait, in milliseconds.", 30_000),
    });
    named("retry", object(&[], members))
}

/// Where an answer says how long something takes.
pub(super) fn duration() -> Value {
    let unit = object(
        &["path"],
        json!({
            "path": field(path(), "Where the number stands.", "retry_in_ms"),
            "unit": field(words(["ms", "s", "m", "h"]), "What the number counts. Left out: `s`.", "ms"),
        }),
    );
    named("duration", json!({ "anyOf": [path(), unit] }))
}

/// Values of a code or a state, and conditions.
pub(super) fn matches() -> Value {
    let one = json!({ "anyOf": [{ "type": ["string", "integer", "boolean"] }, condition()] });
    named("matches", list(&one))
}

/// A free exchange that proves a credential.
pub(super) fn proof() -> Value {
    named("exchange", exchange(&json!({}), &[]))
}

/// Of a poll, for a step and for the conventions.
pub(super) fn waits() -> Value {
    json!({
        "interval_ms": field(usual(bounds::INTERVAL), "Milliseconds between two polls. A hint of the provider goes first.", 5_000),
        "max_attempts": field(within(bounds::MAX_ATTEMPTS), "Without `deadline_ms`, the sum of so many waits is the deadline.", 90),
        "deadline_ms": field(usual(bounds::DEADLINE), "Milliseconds from acceptance after which the caller is told that the run is overdue; the job is followed on.", 3_600_000),
        "max_job_life_ms": field(usual(bounds::MAX_JOB_LIFE), "Milliseconds from acceptance after which the run fails.", 86_400_000),
        "initial_delay_ms": field(within(bounds::INITIAL_DELAY), "Milliseconds before the first poll. Left out: `interval_ms`.", 10_000),
        "multiplier": field(real(bounds::MULTIPLIER), "Each wait is so many times as long as the one before.", json!(1.5)),
        "max_interval_ms": field(usual(bounds::MAX_INTERVAL), "Milliseconds that a wait may grow to.", 30_000),
        "jitter": field(real(bounds::JITTER), "The part of a wait that is left to chance.", json!(0.2)),
        "not_found_grace_ms": field(usual(bounds::NOT_FOUND_GRACE), "Milliseconds from acceptance in which a job that is not found is only not there yet.", 60_000),
    })
}
