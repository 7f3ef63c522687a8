//! A row of `model_api_profiles`: response mapping and workflow.

use super::build::{
    condition, described, field, flag, list, map, named, object, open_object, path, real, text,
    tree, with, within, words, words_of,
};
use super::exchange::{
    batch, duration, exchange_members, matches, select, transport, waits, webhook,
};
use super::purposes;
use crate::check::bounds;
use crate::check::tables::{CLASSES, MODES, STATES};
use serde_json::{Value, json};

/// The schema of a profile.
pub(super) fn schema() -> Value {
    let members = json!({
        "profile_key": field(text(), "Names the profile; a call or a model may ask for it.", "acme_video_v1"),
        "purpose": field(purposes(), "What it makes.", "video"),
        "provider_family": field(text(), "The family of the bundle's provider; it may be repeated here.", "acme"),
        "model": field(text(), "The one model that it serves. Left out: every model of the provider whose `model_type` is the purpose.", "a-1"),
        "auth_profile": field(text(), "The auth profile that proves its requests. Left out: none does.", "acme_key"),
        "transport": described(transport(), "The request that creates the job, or is the whole call."),
        "response_mapping": described(mapping(), "What is taken from answers, and what becomes of it."),
        "workflow": described(workflow(), "The steps around the submit."),
        crate::openai::MEMBER: field(map(&text()), "What the compatible face of the API (`…`) calls options and inputs: its parameter, and the option or input that is meant. Names that are the same are left out.", json!({ "image": "reference" })),
        "is_active": field(flag(), "`false`: it serves no call. Left out: true.", true),
    });
    named(
        "profile",
        object(&["profile_key", "purpose", "transport"], members),
    )
}

/// The table of errors.
pub(super) fn errors() -> Value {
    let classes = CLASSES.iter().map(|(name, _)| {
        let says = format!("{} Values of `code_path`, and conditions.", class(name));
        (
            (*name).to_owned(),
            field(
                matches(),
                &says,
                json!(["some_code", { "path": "error.kind", "equals": "some_kind" }]),
            ),
        )
    });
    let members = json!({
        "code_path": field(path(), "Where the code of a failure stands. Left out: the usual places.", "error.code"),
        "message_path": field(path(), "Where its message stands. Left out: the usual places.", json!(["error.message", "detail[].msg"])),
        "retry_after_path": field(duration(), "Where the answer says how long to wait, in seconds or with a unit.", json!({ "path": "retry_in_ms", "unit": "ms" })),
        "ok": field(matches(), "Codes of success: a 2xx answer with another code is a failure.", json!([0, "ok"])),
    });
    named(
        "errors",
        object(&[], with(members, &Value::Object(classes.collect()))),
    )
}

/// What a class of failures means for a run.
fn class(name: &str) -> &'static str {
    match name {
        "moderated" => "Refused by policy: fails, and is never repeated.",
        "billing" => {
            "No money: fails; after the acceptance the credential pauses, and the run waits."
        }
        "authentication" => {
            "A wrong key: fails; after the acceptance the credential pauses, and the run waits."
        }
        "invalid_request" => "The request is wrong: fails.",
        "expired" => "The job or its file is gone: fails.",
        "not_found" => "Not there: fails; a poll has its grace, a download asks the poll again.",
        "rate_limited" => "Too many requests: was not accepted, and is sent again by `retry`.",
        "overloaded" => "Too much load: was not accepted, and is sent again by `retry`.",
        "transient" => "Was not accepted, and is sent again by `retry`.",
        "unknown_outcome" => {
            "Nobody knows whether it was accepted: the submit is settled, else it fails."
        }
        _ => "A failure of the provider: fails.",
    }
}

/// A path, or what else can be said of a value that is kept.
fn capture() -> Value {
    let long = object(
        &["path"],
        json!({
            "path": field(path(), "Where the value stands.", "data.files[].id"),
            "parse": field(words(["json"]), "The text that is found there is JSON, and is read.", "json"),
            "join": field(text(), "Several texts become one, with this between them.", ""),
            "secret": field(flag(), "It is treated like a secret: shown nowhere.", true),
        }),
    );
    named(
        "capture",
        json!({ "anyOf": [path(), long, { "type": "null" }] }),
    )
}

fn captures() -> Value {
    named("captures", map(&capture()))
}

/// What the submit's answer and the last one give.
fn extract() -> Value {
    let usage = json!({ "anyOf": [path(), object(&["sum"], json!({
        "sum": field(list(&path()), "The numbers at these paths, added.", json!(["usage.input", "usage.cached"])),
    }))] });
    let members = json!({
        "job_id_path": field(path(), "Where the submit's answer names the job.", "id"),
        "text_path": field(path(), "The text of the result; several are joined.", "choices[0].message.content"),
        "urls_path": field(path(), "Addresses of the files: each is fetched.", "data[].url"),
        "base64_path": field(path(), "The files themselves, in Base64.", "data[].b64_json"),
        "mime_path": field(path(), "The media type of the files.", "data[].mime_type"),
        "usage": field(map(&usage), "What was used, by names of your own: a path, or a sum of several.", json!({ "input_tokens": "usage.input_tokens" })),
    });
    let mut schema = open_object(&[], members);
    if let Some(members) = schema.as_object_mut() {
        // Names of your own, which do not end in `_path`.
        members.insert("additionalProperties".to_owned(), capture());
    }
    named("extract", schema)
}

/// Of a file: a stream of events is none.
fn file_modes() -> Value {
    let all = MODES.iter().filter(|(_, mode)| !mode.is_stream());
    words(all.map(|(word, _)| *word))
}

/// What the events of an answer mean.
fn stream() -> Value {
    let members = json!({
        "delta_path": field(path(), "What an event adds to `text`.", "choices[0].delta.content"),
        "when": field(condition(), "Holds for the events that add something; every one when it is left out.", json!({ "path": "type", "equals": "delta" })),
        "done_when": field(condition(), "Holds for the event that ends the stream well; an end without it is an unknown outcome.", json!({ "path": "$", "equals": "[DONE]" })),
    });
    named("stream", object(&["delta_path", "done_when"], members))
}

fn mapping() -> Value {
    let members = json!({
        "result_type": field(words(["text", "image_urls", "audio_data_url", "raw_json"]), "A label, checked against what is extracted.", "raw_json"),
        "mode": field(words_of(MODES), "What the submit's answer is. Left out: `json`.", "json"),
        "content_type": field(text(), "The media type of a file in the answer, where the answer says nothing better.", "video/mp4"),
        "extract": described(extract(), "Where the job's id, the result and values of your own stand."),
        "stream": described(stream(), "What the events mean, in the modes `sse` and `ndjson`."),
        "errors": described(errors(), "How failures are told apart, merged over the conventions'."),
        "output": field(tree(), "A template of the run's output. Left out: the purpose has one.", json!({ "text": "{{text}}" })),
    });
    named("response_mapping", object(&[], members))
}

fn states() -> Value {
    let states = STATES.iter().map(|(name, _)| {
        let says = format!(
            "Values of `status_path`, whatever their case, and conditions that mean `{name}`."
        );
        (
            (*name).to_owned(),
            field(
                matches(),
                &says,
                json!(["some_word", 7, { "present": "result.some_member" }]),
            ),
        )
    });
    named("states", object(&[], Value::Object(states.collect())))
}

/// The members of a poll.
fn poll_members() -> Value {
    let own = json!({
        "select": described(select(), "The item of a list answer that the poll and every later path walk."),
        "batch": described(batch(), "One request that answers for many jobs of a credential: it reads `job_ids`."),
        "status_path": field(path(), "Where the state stands; `@status` is the HTTP status. Left out: `status`.", "data.task_status"),
        "terminal_states": field(list(&text()), "The words that end a job, where the common vocabulary says what each means.", json!(["completed", "failed"])),
        "states": described(states(), "What each word of the provider means."),
        "poll_after_path": field(duration(), "Where an answer says when to come again, in seconds or with a unit.", "retry_after"),
        "progress_path": field(path(), "Where an answer says how far the job is: a number, or a text such as `45%`.", "progress"),
        "progress_max": field(real(bounds::PROGRESS_MAX), "The number that means all of it.", 1),
    });
    with(waits(), &own)
}

/// Conventions of a poll.
pub(super) fn poll() -> Value {
    let members = with(exchange_members(bounds::ANSWER_BYTES), &poll_members());
    named("poll", object(&[], members))
}

fn download_members() -> Value {
    json!({
        "from": field(text(), "Of a download: the step whose answer is read. Left out: the last one.", "submit"),
        "url_path": field(path(), "Of a download: where the addresses of the files stand.", "output.videos[].url"),
        "value_path": field(path(), "Of a download: where the file itself stands as text; in the mode `multipart` the name of its part.", "data.audio"),
        "mode": field(file_modes(), "Of a download: how the file stands in the answer. Left out: as `url_path` and `value_path` say, else the body is the file.", "binary"),
        "artifact": field(text(), "Of a download: the name of what it makes. Left out: the purpose (`3d`: `model`).", "thumbnail"),
        "optional": field(flag(), "Of a download: nothing to fetch is no failure. Left out: false.", true),
        "accept": field(list(&text()), "Of a download: media types that the file may have.", json!(["video/mp4", "image/*"])),
        "mime_path": field(path(), "Of a download: where the media type stands.", "output.mime_type"),
        "content_type": field(text(), "Of a download: a template; the media type where nothing says better.", "video/mp4"),
        "expires_in_ms": field(within(bounds::EXPIRES_IN), "Of a download: milliseconds after which the address stops working.", 600_000),
        "expires_path": field(path(), "Of a download: where the answer says when it does.", "output.expires_at"),
        "wrap": field(words(["wav"]), "Of a download: `wav` puts a header before raw PCM.", "wav"),
    })
}

/// What every step has beside its exchange.
fn step_members(actions: &[&str]) -> Value {
    json!({
        "name": field(text(), "A name of its own; `poll` and `download` say the action too.", "address"),
        "action": field(words(actions.iter().copied()), "What the step does. Left out: its name when it is one of these, else `request`.", "request"),
        "when": field(condition(), "The step runs only when it holds, over the variables.", json!({ "present": "inputs.image" })),
        "extract": field(captures(), "Values of its own answer, read as `steps.<name>.<capture>`.", json!({ "file": "data.id" })),
        "repeatable": field(flag(), "After the submit: sending it twice costs nothing. A `request` other than `GET` must say so.", true),
        "auth": field(text(), "Another auth profile of the provider, which proves this step.", "acme_bucket"),
    })
}

/// A step after the submit.
fn step() -> Value {
    let each = json!({ "each": field(path(), "One exchange for each item of a list in the last answer, as `item` and `index`.", "data.files") });
    let own = with(step_members(&["request", "poll", "download"]), &each);
    let members = with(with(own, &download_members()), &poll_members());
    let members = with(exchange_members(bounds::FILE_BYTES), &members);
    named("step", object(&["name"], members))
}

/// A step before the submit, or after the end.
fn side_step() -> Value {
    let each = json!({ "each": field(path(), "One exchange for each item of a list among the variables, as `item` and `index`.", "inputs.image") });
    let members = with(step_members(&["request"]), &each);
    let members = with(exchange_members(bounds::ANSWER_BYTES), &members);
    named("side_step", object(&["name"], members))
}

/// The step that cancels.
fn cancel_step() -> Value {
    let own = step_members(&["request"]);
    named(
        "cancel_step",
        object(&[], with(exchange_members(bounds::ANSWER_BYTES), &own)),
    )
}

fn workflow() -> Value {
    let aside = list(&side_step());
    let members = json!({
        "type": field(words(["sync", "async_job"]), "`async_job`: the submit's answer names a job that a poll follows. Left out: `sync`.", "async_job"),
        "job_id_path": field(path(), "Where the submit's answer names the job; here or in `extract`.", "data.task_id"),
        "before": described(aside.clone(), "Steps before the submit: uploads, for instance."),
        "steps": described(list(&step()), "Steps after it, in order."),
        "cancel": described(cancel_step(), "The one step that cancels the job at the provider."),
        "cleanup": described(aside, "Steps after the run has ended and its files are kept; their failure is a warning."),
        "webhook": described(webhook(), "How callbacks are understood, merged over the conventions'; null takes those away."),
    });
    named("workflow", object(&[], members))
}
