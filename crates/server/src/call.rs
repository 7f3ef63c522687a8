//! The body of `POST /v1/runs`: every member read, every mistake found at once.

mod fields;
mod inputs;

use crate::problem::Violation;
use diag::{Code, Place};
pub(crate) use fields::{Fields, read_body, read_optional_body, wrong_type};
pub(crate) use inputs::LoneInputs;
use profile::call::Message;
use runtime::{OverLimit, Retry, RunRequest};
use serde_json::Value;

/// A call in the words of the library.
#[derive(Debug)]
pub(crate) struct ParsedCall {
    pub(crate) request: RunRequest,
    /// Inputs that were given without a list around them.
    pub(crate) lone_inputs: LoneInputs,
}

/// Members of the body, for hints.
const KNOWN: &[&str] = &[
    "purpose",
    "model",
    "provider",
    "profile_key",
    "feature",
    "prompt",
    "messages",
    "params",
    "inputs",
    "context",
    "language",
    "max_tokens",
    "short_history",
    "long_summary",
    "start_by",
    "priority",
    "over_limit",
    "metadata",
    "callback",
    "cache",
];

/// Members of the body.
#[cfg(test)]
pub(crate) fn members() -> &'static [&'static str] {
    KNOWN
}

/// Reads a body that is JSON, together with the idempotency key of its header.
///
/// # Errors
///
/// Everything that is wrong with either.
pub(crate) fn read(
    body: Value,
    key: Result<Option<String>, Violation>,
) -> Result<ParsedCall, Vec<Violation>> {
    let mut found = Vec::new();
    let key = key
        .map_err(|violation| found.push(violation))
        .unwrap_or_default();
    let Some(mut fields) = Fields::open(body, Place::default(), &mut found) else {
        return Err(found);
    };
    let (mut request, lone_inputs) = run_request(&mut fields);
    fields.close(KNOWN);
    request.idempotency_key = key;
    if found.is_empty() {
        return Ok(ParsedCall {
            request,
            lone_inputs,
        });
    }
    Err(found)
}

/// Reads the body of a retry, which may be left out: `{accept_duplicate?}`.
///
/// # Errors
///
/// Everything that is wrong with it or with the key.
pub(crate) fn retry(
    body: Option<Value>,
    key: Result<Option<String>, Violation>,
) -> Result<Retry, Vec<Violation>> {
    let mut found = Vec::new();
    let mut how = Retry {
        idempotency_key: key.map_err(|wrong| found.push(wrong)).unwrap_or_default(),
        ..Retry::default()
    };
    if let Some(mut fields) = body.and_then(|body| Fields::open(body, Place::default(), &mut found))
    {
        how.accept_duplicate = fields.flag("accept_duplicate").unwrap_or_default();
        fields.close(&["accept_duplicate"]);
    }
    if found.is_empty() {
        Ok(how)
    } else {
        Err(found)
    }
}

fn run_request(fields: &mut Fields<'_>) -> (RunRequest, LoneInputs) {
    let mut request = RunRequest::new(fields.required_text("purpose").unwrap_or_default());
    request.provider = fields.text("provider");
    request.model = fields.text("model");
    request.profile_key = fields.text("profile_key");
    request.feature = fields.text("feature");
    request.metadata = fields.object("metadata").unwrap_or_default();
    request.callback = fields.object("callback").map(Value::Object);
    request.start_by = fields.time("start_by");
    request.priority = fields.integer("priority").unwrap_or_default();
    request.over_limit = over_limit(fields);
    request.cache = fields.flag("cache");
    read_call(fields, &mut request);
    let (media, lone_inputs) = inputs::read(fields);
    request.media = media;
    (request, lone_inputs)
}

fn read_call(fields: &mut Fields<'_>, request: &mut RunRequest) {
    let call = &mut request.call;
    call.prompt = fields.text("prompt");
    call.messages = messages(fields);
    call.params = fields.object("params").unwrap_or_default();
    call.context = fields.object("context").unwrap_or_default();
    call.language = fields.text("language");
    call.max_tokens = fields.integer("max_tokens");
    call.short_history = fields.text("short_history");
    call.long_summary = fields.text("long_summary");
}

fn messages(fields: &mut Fields<'_>) -> Option<Vec<Message>> {
    let (place, items) = fields.list("messages")?;
    let read = |(i, item)| message(item, place.child(i), fields.found());
    Some(items.into_iter().enumerate().filter_map(read).collect())
}

fn message(item: Value, place: Place, found: &mut Vec<Violation>) -> Option<Message> {
    let mut fields = Fields::open(item, place, found)?;
    let (role, content) = (
        fields.required_text("role"),
        fields.required_text("content"),
    );
    fields.close(&["role", "content"]);
    Some(Message {
        role: role?,
        content: content?,
    })
}

fn over_limit(fields: &mut Fields<'_>) -> Option<OverLimit> {
    let text = fields.text("over_limit")?;
    let known = runtime::over_limit(&text);
    if known.is_none() {
        let message = format!("`{text}` is neither `refuse` nor `queue`");
        let help = "write `refuse`, or `queue` to let the run wait for its tenant's limits";
        fields.refuse("over_limit", Code::C154, message, help);
    }
    known
}

#[cfg(test)]
mod tests;
