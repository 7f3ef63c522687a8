//! The answers of an operation: where the job's id, its status and the result stand.

use super::refs::{Document, type_of};
use serde_json::Value;
use std::collections::VecDeque;

/// Members of an answer that are looked at.
const SEEN_MAX: usize = 2_000;
const DEPTH_MAX: usize = 6;

/// In the order in which they are preferred.
pub(super) const IDS: &[&str] = &[
    "task_id",
    "taskid",
    "job_id",
    "jobid",
    "request_id",
    "requestid",
    "generation_id",
    "generationid",
    "prediction_id",
    "operation_id",
    "video_id",
    "id",
    "uuid",
    "name",
];
pub(super) const STATUSES: &[&str] = &[
    "status",
    "state",
    "task_status",
    "taskstatus",
    "job_status",
    "phase",
];
const ADDRESSES: &[&str] = &[
    "video_url",
    "videourl",
    "audio_url",
    "image_url",
    "output_url",
    "result_url",
    "download_url",
    "file_url",
    "url",
    "uri",
    "output",
    "result",
    "video",
    "audio",
    "image",
];
const ENCODED: &[&str] = &[
    "b64_json",
    "base64",
    "image_base64",
    "audio_base64",
    "audio",
    "image",
    "data",
];
const TEXTS: &[&str] = &["content", "output_text", "text", "completion", "answer"];
pub(super) const PROGRESS: &[&str] = &["progress", "percent", "percentage"];

/// A member of an answer.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// As the language writes it: `data[].url`.
    pub(super) path: String,
    pub(super) schema: Value,
}

/// Every member, those nearest to the root first.
pub(super) fn members(document: &Document<'_>, schema: &Value) -> Vec<Found> {
    let mut all = Vec::new();
    let mut waiting = VecDeque::from([(String::new(), schema.clone(), 0)]);
    while let Some((path, schema, depth)) = waiting.pop_front() {
        if all.len() >= SEEN_MAX || depth > DEPTH_MAX {
            break;
        }
        for (name, member) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let Some(member) = document.resolve(member) else {
                continue;
            };
            let at = match (path.is_empty(), is_plain(name)) {
                (_, false) => continue,
                (true, true) => name.clone(),
                (false, true) => format!("{path}.{name}"),
            };
            all.push(Found {
                path: at.clone(),
                schema: member.clone(),
            });
            waiting.push_back(inner(document, at, member, depth));
        }
        if type_of(&schema) == Some("array") && path.is_empty() {
            waiting.push_back(inner(document, path, schema, depth));
        }
    }
    all
}

/// What is below a member: of a list its items.
fn inner(
    document: &Document<'_>,
    at: String,
    schema: Value,
    depth: usize,
) -> (String, Value, usize) {
    match schema
        .get("items")
        .and_then(|items| document.resolve(items))
    {
        Some(items) => (format!("{at}[]"), items, depth + 1),
        None => (at, schema, depth + 1),
    }
}

/// A name that a path can hold.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn leaf(path: &str) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    last.trim_end_matches("[]").to_ascii_lowercase()
}

/// The member of the first of these names that fits, the nearest to the root.
pub(super) fn named<'f>(
    found: &'f [Found],
    names: &[&str],
    fits: impl Fn(&Found) -> bool,
) -> Option<&'f Found> {
    names.iter().find_map(|name| {
        found
            .iter()
            .filter(|one| leaf(&one.path) == *name)
            .find(|one| fits(one))
    })
}

fn text_or_list_of_texts(found: &Found) -> bool {
    let item = found.schema.get("items").unwrap_or(&found.schema);
    type_of(item) == Some("string") && item.get("enum").is_none()
}

fn listed(found: &Found) -> String {
    match type_of(&found.schema) {
        Some("array") => format!("{}[]", found.path),
        _ => found.path.clone(),
    }
}

fn is_encoded(found: &Found) -> bool {
    let item = found.schema.get("items").unwrap_or(&found.schema);
    let format = item.get("format").and_then(Value::as_str);
    item.get("contentEncoding").is_some()
        || matches!(format, Some("byte" | "base64"))
        || leaf(&found.path).contains("b64")
        || leaf(&found.path).contains("base64")
}

/// Where the addresses of files stand.
pub(super) fn addresses(found: &[Found]) -> Option<String> {
    let is_address = |one: &Found| {
        let item = one.schema.get("items").unwrap_or(&one.schema);
        let format = item.get("format").and_then(Value::as_str);
        let name = leaf(&one.path);
        text_or_list_of_texts(one)
            && !is_encoded(one)
            && (matches!(format, Some("uri" | "url"))
                || name.ends_with("url")
                || name.ends_with("uri"))
    };
    named(found, ADDRESSES, is_address)
        .or_else(|| {
            found
                .iter()
                .find(|one| is_address(one) && !leaf(&one.path).contains("status"))
        })
        .map(listed)
}

/// Where files stand as base64.
pub(super) fn encoded(found: &[Found]) -> Option<String> {
    let fits = |one: &Found| text_or_list_of_texts(one) && is_encoded(one);
    named(found, ENCODED, fits)
        .or_else(|| found.iter().find(|one| fits(one)))
        .map(listed)
}

/// Where the text stands.
pub(super) fn text(found: &[Found]) -> Option<String> {
    named(found, TEXTS, text_or_list_of_texts).map(listed)
}

/// Where a job's id stands.
pub(super) fn id(found: &[Found]) -> Option<String> {
    let fits = |one: &Found| {
        matches!(type_of(&one.schema), Some("string" | "integer")) && !one.path.contains("[]")
    };
    named(found, IDS, fits).map(|one| one.path.clone())
}

/// The words of many APIs for the states of a job.
#[rustfmt::skip]
const WORDS: &[(&str, &[&str])] = &[
    ("queued", &["queued", "pending", "waiting", "created", "submitted", "starting", "scheduled", "not_started", "in_queue", "preparing"]),
    ("running", &["running", "processing", "in_progress", "inprogress", "generating", "active", "working", "dreaming", "rendering", "throttled"]),
    ("succeeded", &["completed", "complete", "succeeded", "succeed", "success", "successful", "done", "finished", "ready", "ok"]),
    ("failed", &["failed", "failure", "fail", "error", "errored", "rejected", "timeout", "timed_out"]),
    ("canceled", &["canceled", "cancelled", "aborted"]),
    ("moderated", &["moderated", "banned", "nsfw", "blocked", "content_moderated", "request_moderated"]),
    ("expired", &["expired", "deleted"]),
];

/// Status words by the state they mean; those that no vocabulary knows are last.
pub(super) fn states(schema: &Value) -> (Value, Vec<String>) {
    let mut states = serde_json::Map::new();
    let mut unknown = Vec::new();
    let values = schema
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for word in values.filter_map(Value::as_str) {
        let plain = word.to_ascii_lowercase().replace([' ', '-'], "_");
        match WORDS
            .iter()
            .find(|(_, words)| words.contains(&plain.as_str()))
        {
            Some((state, _)) => {
                let list = states
                    .entry(*state)
                    .or_insert_with(|| Value::Array(Vec::new()));
                if let Some(list) = list.as_array_mut() {
                    list.push(word.into());
                }
            }
            None => unknown.push(word.to_owned()),
        }
    }
    (Value::Object(states), unknown)
}
