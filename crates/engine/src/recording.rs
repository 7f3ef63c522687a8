//! A live run as a recorded case, without its secrets.
//!
//! What was *answered* is kept, scrubbed. What was *sent* is not kept at all: it is rendered again as a replay renders
//! it, with masked secrets, fixed uuids and a fixed clock, so that nothing of a request can leak and the case holds.

use crate::fault::Fault;
use crate::flow::Ending;
use crate::http::{Heard, HeardAnswer};
use crate::replay::{Difference, Outcome, Rehearsed, parts_of, rehearse, replay};
use crate::request::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diag::Diagnostics;
use profile::case::{Case, CasePart};
use profile::catalogue::{Ask, Compiled, choose};
use profile::revision::{Action, Revision, Step};
use serde_json::{Map, Value, json};
use std::sync::Arc;

mod renewed;
mod scrub;

use scrub::Scrub;

/// Bytes kept of a file: enough to tell what it is.
const FILE_KEPT: usize = 512;
/// Largest text body that is kept whole.
const TEXT_MAX: usize = 256 * 1024;

/// What was heard of one run.
#[derive(Debug)]
pub struct Taken {
    /// When it began, RFC 3339.
    pub at: String,
    /// What the case shows, for people.
    pub why: Option<String>,
    /// The call, as a case has it.
    pub input: Value,
    /// In the order in which it happened.
    pub heard: Vec<Heard>,
    /// The address that served instead of the provider's own.
    pub endpoint: Option<String>,
}

/// Why no case could be made.
#[derive(Debug, thiserror::Error)]
pub enum Unrecordable {
    /// Ours: what was written cannot be read.
    #[error("the case that was made cannot be read: {0}")]
    Unreadable(Diagnostics),
    /// A replay goes another way than the run did.
    #[error("a replay of the run goes another way: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Differs(Vec<Difference>),
    /// Something that is secret is still there.
    #[error("a secret could not be taken out of the answers")]
    Secret,
}

/// Makes the case. It holds: it was replayed.
///
/// # Errors
///
/// [`Unrecordable`]; nothing of a secret is in it.
pub fn case(taken: &Taken, compiled: &Compiled) -> Result<Value, Unrecordable> {
    let input = Scrub::default().value(&taken.input);
    let revision = revision_of(&input, compiled);
    let heard: Vec<&Heard> = taken
        .heard
        .iter()
        .filter(|heard| is_of(heard, revision.as_deref()))
        .collect();
    let heard = renewed::once(heard, |step| makes_files(step, revision.as_deref()));
    let answers: Vec<Option<HeardAnswer>> = heard
        .iter()
        .map(|heard| {
            heard
                .answer
                .as_ref()
                .map(|answer| moved(answer, taken, revision.as_deref()))
        })
        .collect();
    let write = |scrub: &Scrub| -> Vec<Value> {
        let keep = headers_read(revision.as_deref());
        let answer = |answer: &Option<HeardAnswer>| match answer {
            Some(answer) => answer_json(answer, scrub, &keep),
            None => Value::Null,
        };
        answers.iter().map(answer).collect()
    };
    // As it was, to see what stands where secrets and uuids were sent.
    let raw = rehearsed(&draft(taken, &input, &write(&Scrub::none())), compiled)?;
    let mut scrub = Scrub::of_requests(heard.iter().map(|heard| &heard.request), &raw.requests);
    for answer in answers.iter().flatten() {
        scrub.add_captured(answer, revision.as_deref());
    }
    let answers = write(&scrub);
    let again = rehearsed(&draft(taken, &input, &answers), compiled)?;
    let mut case = draft(taken, &input, &answers);
    put_requests(&mut case, &again.requests);
    put(&mut case, "expect", expect(&again.outcome));
    proved(&case, compiled, &scrub)?;
    Ok(case)
}

/// The revision that serves the call; a refused call has none.
fn revision_of(input: &Value, compiled: &Compiled) -> Option<Arc<Revision>> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).map(str::to_owned);
    let ask = Ask {
        purpose: text("purpose")?,
        provider: text("provider"),
        model: text("model"),
        profile_key: text("profile_key"),
        ..Ask::default()
    };
    choose(compiled, &ask).ok().map(|choice| choice.revision)
}

/// Exchanges of the run itself: what a credential needs (a token) is none of a case's.
fn is_of(heard: &Heard, revision: Option<&Revision>) -> bool {
    let Some(revision) = revision else {
        return false;
    };
    let workflow = &revision.workflow;
    let steps = workflow.before.iter().chain(&workflow.steps);
    let steps = steps.chain(&workflow.cancel).chain(&workflow.cleanup);
    let named = |step: &Step| step.name == heard.request.step;
    ["submit", "settle"].contains(&heard.request.step.as_str()) || steps.into_iter().any(named)
}

/// Whether it is a download: its requests are made together, and again together.
fn makes_files(step: &str, revision: Option<&Revision>) -> bool {
    let steps = revision
        .into_iter()
        .flat_map(|revision| &revision.workflow.steps);
    let mut named = steps.filter(|one| one.name == step);
    named.any(|one| matches!(one.action, Action::Download(_)))
}

/// The answer with addresses of the provider where another address served.
fn moved(answer: &HeardAnswer, taken: &Taken, revision: Option<&Revision>) -> HeardAnswer {
    let base = revision
        .and_then(|revision| revision.content.pointer("/provider/api_base_url"))
        .and_then(Value::as_str);
    let (Some(from), Some(to)) = (taken.endpoint.as_deref(), base) else {
        return answer.clone();
    };
    let mut pairs = vec![(
        from.trim_end_matches('/').to_owned(),
        to.trim_end_matches('/').to_owned(),
    )];
    if let (Ok(from), Ok(to)) = (url::Url::parse(from), url::Url::parse(to)) {
        pairs.push((
            from.origin().ascii_serialization(),
            to.origin().ascii_serialization(),
        ));
    }
    let swap = |text: &str| {
        let text = text.to_owned();
        pairs
            .iter()
            .fold(text, |text, (from, to)| text.replace(from, to))
    };
    let mut moved = answer.clone();
    if let Ok(text) = std::str::from_utf8(&answer.body) {
        moved.body = swap(text).into_bytes();
    }
    for (_, value) in &mut moved.headers {
        *value = swap(value);
    }
    moved
}

/// Names of the headers that a case keeps: those that say what a body is and where to go, and what the profile reads.
fn headers_read(revision: Option<&Revision>) -> Vec<String> {
    let mut names: Vec<String> = ["content-type", "location", "retry-after", "retry-after-ms"]
        .map(str::to_owned)
        .to_vec();
    let content = revision.map(|revision| revision.content.to_string().to_ascii_lowercase());
    for rest in content.unwrap_or_default().split("@header:").skip(1) {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        names.push(
            rest.get(..end.unwrap_or(rest.len()))
                .unwrap_or_default()
                .to_owned(),
        );
    }
    names
}

fn answer_json(answer: &HeardAnswer, scrub: &Scrub, keep: &[String]) -> Value {
    let headers: Map<String, Value> = answer
        .headers
        .iter()
        .filter(|(name, _)| keep.contains(name))
        .map(|(name, value)| (name.clone(), Value::from(scrub.text(value))))
        .collect();
    let mut written = json!({ "status": answer.status, "headers": headers });
    if let Some((name, body)) = body_json(answer, scrub) {
        put(&mut written, name, body);
    }
    written
}

/// The body as a case has it; `None`: it is empty.
fn body_json(answer: &HeardAnswer, scrub: &Scrub) -> Option<(&'static str, Value)> {
    if answer.body.is_empty() {
        return None;
    }
    if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_slice(&answer.body) {
        return Some(("body", scrub.value(&value)));
    }
    let is_whole = answer.body.len() as u64 == answer.bytes && answer.body.len() <= TEXT_MAX;
    match std::str::from_utf8(&answer.body) {
        Ok(text) if is_whole && !text.contains('\0') => {
            Some(("body", Value::from(scrub.text(text))))
        }
        _ => {
            let kept = answer.body.get(..FILE_KEPT).unwrap_or(&answer.body);
            Some(("body_base64", Value::from(STANDARD.encode(kept))))
        }
    }
}

/// A case whose requests are not known yet.
fn draft(taken: &Taken, input: &Value, answers: &[Value]) -> Value {
    let request = json!({ "method": "GET", "url": "" });
    let exchange = |answer: &Value| json!({ "request": request, "answer": answer });
    let mut case = json!({});
    if let Some(why) = &taken.why {
        put(&mut case, "why", Value::from(why.as_str()));
    }
    put(&mut case, "at", Value::from(taken.at.as_str()));
    put(&mut case, "input", input.clone());
    put(
        &mut case,
        "exchanges",
        answers.iter().map(exchange).collect(),
    );
    put(&mut case, "expect", json!({ "error": {} }));
    case
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

fn read(case: &Value) -> Result<Case, Unrecordable> {
    Case::parse("the recorded case", &case.to_string()).map_err(Unrecordable::Unreadable)
}

fn rehearsed(case: &Value, compiled: &Compiled) -> Result<Rehearsed, Unrecordable> {
    let rehearsed = rehearse(&read(case)?, compiled);
    match rehearsed.differences.is_empty() {
        true => Ok(rehearsed),
        false => Err(Unrecordable::Differs(rehearsed.differences)),
    }
}

fn put_requests(case: &mut Value, requests: &[Request]) {
    let exchanges = case.get_mut("exchanges").and_then(Value::as_array_mut);
    for (exchange, request) in exchanges.into_iter().flatten().zip(requests) {
        put(exchange, "request", request_json(request));
    }
}

fn request_json(request: &Request) -> Value {
    let body = request.body.as_deref();
    let parts = body.and_then(|body| parts_of(request, body));
    // The boundary of a multipart body is free.
    let headers = request
        .headers
        .iter()
        .filter(|(name, _)| parts.is_none() || !name.eq_ignore_ascii_case("content-type"));
    let headers: Map<String, Value> = headers
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    let mut written =
        json!({ "method": request.method, "url": request.url.as_str(), "headers": headers });
    match (parts, body) {
        (Some(parts), _) => put(
            &mut written,
            "multipart",
            parts.iter().map(part_json).collect(),
        ),
        (None, Some(body)) => {
            let text = || Some(Value::from(std::str::from_utf8(body).ok()?));
            match serde_json::from_slice(body).ok().or_else(text) {
                Some(value) => put(&mut written, "body", value),
                None => put(
                    &mut written,
                    "body_base64",
                    Value::from(STANDARD.encode(body)),
                ),
            }
        }
        (None, None) => {}
    }
    written
}

fn part_json(part: &CasePart) -> Value {
    let mut written = json!({ "name": part.name });
    for (name, value) in [
        ("filename", &part.filename),
        ("content_type", &part.content_type),
    ] {
        if let Some(value) = value {
            put(&mut written, name, Value::from(value.as_str()));
        }
    }
    match std::str::from_utf8(&part.bytes) {
        Ok(text) if part.filename.is_none() => put(&mut written, "value", Value::from(text)),
        _ => put(
            &mut written,
            "base64",
            Value::from(STANDARD.encode(&part.bytes)),
        ),
    }
    written
}

/// What came of it, as a case expects it.
fn expect(outcome: &Outcome) -> Value {
    if let Some(refused) = &outcome.refused {
        let finding =
            |one: &diag::Diagnostic| json!({ "pointer": one.place.pointer, "code": one.code });
        let findings: Vec<Value> = refused.iter().map(finding).collect();
        return json!({ "error": { "class": "invalid_request" }, "diagnostics": findings });
    }
    match &outcome.ending {
        Some(Ending::Succeeded { output, .. }) => {
            json!({ "output": output, "artifacts": artifacts(outcome) })
        }
        Some(Ending::Failed(fault)) => json!({ "error": error(fault) }),
        Some(Ending::Canceled) | None => json!({ "error": {} }),
    }
}

fn error(fault: &Fault) -> Value {
    json!({
        "class": fault.class_word(),
        "code": fault.provider_code.as_deref().unwrap_or(fault.code().as_str()),
        "message": fault.provider_message.as_deref().unwrap_or(&fault.message),
    })
}

fn artifacts(outcome: &Outcome) -> Value {
    let mut all = Map::new();
    for made in &outcome.artifacts {
        let list = all
            .entry(made.name.clone())
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            list.push(json!({ "content_type": made.content_type, "bytes": made.bytes, "sha256": made.sha256 }));
        }
    }
    Value::Object(all)
}

/// It holds, and holds no secret.
fn proved(case: &Value, compiled: &Compiled, scrub: &Scrub) -> Result<(), Unrecordable> {
    if scrub.is_in(&case.to_string()) {
        return Err(Unrecordable::Secret);
    }
    let report = replay(&read(case)?, compiled);
    match report.holds() {
        true => Ok(()),
        false => Err(Unrecordable::Differs(report.differences)),
    }
}
