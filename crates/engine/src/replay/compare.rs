//! What was sent and what came of it, against what a case says.

use super::Outcome;
use crate::fault::Fault;
use crate::flow::{ArtifactFacts, Ending};
use crate::request::Request;
use diag::Diagnostics;
use profile::case::{CaseArtifact, CaseError, CaseExpect, CaseFinding, CasePart, CaseRequest};
use profile::lang::same;
use serde_json::Value;
use std::fmt;

/// One way in which a replay is not what its case says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// JSON Pointer into the case.
    pub at: String,
    /// What is different.
    pub message: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

impl Difference {
    pub(super) fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            message: message.into(),
        }
    }
}

/// Compares a request with the recorded one.
pub(super) fn request(i: usize, want: &CaseRequest, got: &Request, found: &mut Vec<Difference>) {
    let at = |member: &str| format!("/exchanges/{i}/request/{member}");
    unlike(at("method"), &want.method, &got.method, found);
    if !same_url(&want.url, got.url.as_str()) {
        unlike(at("url"), &want.url, got.url.as_str(), found);
    }
    for (name, value) in &want.headers {
        match (value, got.header(name)) {
            (Some(want), Some(got)) => unlike(at(&format!("headers/{name}")), want, got, found),
            (Some(_), None) => found.push(Difference::new(
                at(&format!("headers/{name}")),
                "was not sent",
            )),
            (None, Some(_)) => found.push(Difference::new(
                at(&format!("headers/{name}")),
                "was sent and must not be",
            )),
            (None, None) => {}
        }
    }
    if let Some(want) = &want.body_base64 {
        raw(at("body_base64"), want, got.body.as_deref(), found);
        return;
    }
    match (&want.body, &want.multipart, &got.body) {
        (None, None, None) => {}
        (None, None, Some(_)) => found.push(Difference::new(
            at("body"),
            "a body was sent, and the case has none",
        )),
        (_, _, None) => found.push(Difference::new(at("body"), "no body was sent")),
        (_, Some(parts), Some(body)) => multipart(&at("multipart"), parts, got, body, found),
        (Some(want), None, Some(body)) => {
            let sent = serde_json::from_slice(body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()));
            match (want, &sent, got.header("content-type")) {
                (Value::String(want), Value::String(sent), Some(FORM))
                    if pairs(want) == pairs(sent) => {}
                _ => value(&at("body"), want, &sent, found),
            }
        }
    }
}

/// The type of a form that is no multipart one.
const FORM: &str = "application/x-www-form-urlencoded";

/// A row in the database does not keep the order of members, so pairs of different names may come in any.
fn same_url(want: &str, got: &str) -> bool {
    match (want.split_once('?'), got.split_once('?')) {
        (Some((want, wanted)), Some((got, came))) => want == got && pairs(wanted) == pairs(came),
        _ => want == got,
    }
}

/// The pairs by name, those of one name in their order.
fn pairs(text: &str) -> Vec<&str> {
    let mut pairs: Vec<&str> = text.split('&').collect();
    pairs.sort_by_key(|pair| pair.split('=').next());
    pairs
}

/// Compares two bodies byte by byte.
fn raw(at: String, want: &[u8], got: Option<&[u8]>, found: &mut Vec<Difference>) {
    let Some(got) = got else {
        found.push(Difference::new(at, "no body was sent"));
        return;
    };
    if want != got {
        let same = want.iter().zip(got).take_while(|(a, b)| a == b).count();
        let message = format!(
            "{} bytes are wanted, {} were found; they differ from byte {same} on",
            want.len(),
            got.len()
        );
        found.push(Difference::new(at, message));
    }
}

fn unlike(at: String, want: &str, got: &str, found: &mut Vec<Difference>) {
    if want != got {
        found.push(Difference::new(
            at,
            format!("`{want}` is wanted, `{got}` was found"),
        ));
    }
}

/// Compares two values and names the deepest places at which they differ.
fn value(at: &str, want: &Value, got: &Value, found: &mut Vec<Difference>) {
    match (want, got) {
        (Value::Object(wanted), Value::Object(have)) => {
            for (name, want) in wanted {
                let at = format!("{at}/{name}");
                match have.get(name) {
                    Some(got) => value(&at, want, got, found),
                    None => found.push(Difference::new(
                        at,
                        format!("`{want}` is wanted, and nothing was found"),
                    )),
                }
            }
            for (name, got) in have.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                found.push(Difference::new(
                    format!("{at}/{name}"),
                    format!("`{got}` was found, and nothing is wanted"),
                ));
            }
        }
        (Value::Array(wanted), Value::Array(have)) if wanted.len() == have.len() => {
            for (i, (want, got)) in wanted.iter().zip(have).enumerate() {
                value(&format!("{at}/{i}"), want, got, found);
            }
        }
        (Value::String(want), Value::String(got)) if same_json(want.as_bytes(), got.as_bytes()) => {
        }
        _ if same(want, got) => {}
        _ => found.push(Difference::new(
            at,
            format!("`{want}` is wanted, `{got}` was found"),
        )),
    }
}

fn multipart(at: &str, want: &[CasePart], got: &Request, body: &[u8], found: &mut Vec<Difference>) {
    let Some(sent) = parts_of(got, body) else {
        let content_type = got.header("content-type").unwrap_or_default();
        found.push(Difference::new(
            at,
            format!("the body is no multipart form; its type is `{content_type}`"),
        ));
        return;
    };
    // Parts of one name keep their order, names do not.
    let by_name = |parts: &[CasePart]| {
        let mut parts = parts.to_vec();
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        parts
    };
    let (want, sent) = (by_name(want), by_name(&sent));
    for (want, sent) in want.iter().zip(&sent) {
        if !same_part(want, sent) {
            found.push(Difference::new(
                at,
                format!("{} is wanted, {} was found", shown(want), shown(sent)),
            ));
        }
    }
    if want.len() != sent.len() {
        found.push(Difference::new(
            at,
            format!("{} parts are wanted, {} were found", want.len(), sent.len()),
        ));
    }
}

fn same_part(want: &CasePart, sent: &CasePart) -> bool {
    let bytes = sent.bytes.clone();
    let with_bytes_of_sent = CasePart {
        bytes,
        ..want.clone()
    };
    with_bytes_of_sent == *sent && (want.bytes == sent.bytes || same_json(&want.bytes, &sent.bytes))
}

/// JSON inside a text (`$json`) is compared as values: a row in the database does not keep the order of members.
fn same_json(want: &[u8], got: &[u8]) -> bool {
    let read = |text: &[u8]| {
        let value: Option<Value> = match text.first() {
            Some(b'{' | b'[') => serde_json::from_slice(text).ok(),
            _ => None,
        };
        value
    };
    matches!((read(want), read(got)), (Some(want), Some(got)) if same(&want, &got))
}

/// The parts of a request's body; `None` when it is no multipart form.
pub(crate) fn parts_of(request: &Request, body: &[u8]) -> Option<Vec<CasePart>> {
    let content_type = request.header("content-type")?;
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=")?;
    parts(body, boundary.trim_matches('"'))
}

fn shown(part: &CasePart) -> String {
    let mut text = format!("part `{}`", part.name);
    for (name, value) in [
        ("filename", &part.filename),
        ("content_type", &part.content_type),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(" {name} `{value}`"));
        }
    }
    let content = String::from_utf8_lossy(&part.bytes);
    let start: String = content
        .chars()
        .take(60)
        .filter(|c| !c.is_control())
        .collect();
    text + &format!(" of {} bytes, `{start}`", part.bytes.len())
}

/// The parts of a body that we wrote ourselves; `None` when it is none.
fn parts(body: &[u8], boundary: &str) -> Option<Vec<CasePart>> {
    let delimiter = format!("--{boundary}");
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let mut all = Vec::new();
    let mut rest = body.strip_prefix(delimiter.as_bytes())?;
    let end = format!("\r\n{delimiter}");
    loop {
        if rest.starts_with(b"--") {
            return Some(all);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let head_end = find(rest, b"\r\n\r\n")?;
        let head = text(rest.get(..head_end)?)?;
        rest = rest.get(head_end + 4..)?;
        let content_end = find(rest, end.as_bytes())?;
        let content = rest.get(..content_end)?;
        rest = rest.get(content_end + end.len()..)?;
        all.push(part(&head, content)?);
    }
}

fn part(head: &str, content: &[u8]) -> Option<CasePart> {
    let mut part = CasePart::default();
    for line in head.lines() {
        let (name, value) = line.split_once(": ")?;
        if name.eq_ignore_ascii_case("content-type") {
            part.content_type = Some(value.to_owned());
            continue;
        }
        for member in value.split("; ").skip(1) {
            let (name, value) = member.split_once('=')?;
            let value = value.trim_matches('"').to_owned();
            match name {
                "name" => part.name = value,
                "filename" => part.filename = Some(value),
                _ => {}
            }
        }
    }
    part.bytes = content.to_vec();
    Some(part)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Compares what came of the run.
pub(super) fn outcome(want: &CaseExpect, got: &Outcome, found: &mut Vec<Difference>) {
    ending(want, got, found);
    if let Some(want) = &want.diagnostics {
        diagnostics(want, got.refused.as_ref(), found);
    }
    if let Some(want) = &want.artifacts {
        let names = got.artifacts.iter().map(|artifact| artifact.name.as_str());
        for name in names.filter(|name| want.iter().all(|(wanted, _)| wanted != name)) {
            found.push(Difference::new(
                "/expect/artifacts",
                format!("`{name}` was made, and is not wanted"),
            ));
        }
        for (name, list) in want {
            artifacts(name, list, &got.artifacts, found);
        }
    }
    if let Some(want) = want.overdue.filter(|want| *want != got.overdue) {
        found.push(Difference::new(
            "/expect/overdue",
            format!("{want} is wanted, {} was found", got.overdue),
        ));
    }
    let elapsed_ms = u64::try_from(got.elapsed_ms).unwrap_or(0);
    if let Some(least) = want.elapsed_ms_min.filter(|least| elapsed_ms < *least) {
        found.push(Difference::new(
            "/expect/elapsed_ms_min",
            format!("at least {least} ms are wanted, it took {elapsed_ms} ms"),
        ));
    }
}

fn ending(want: &CaseExpect, got: &Outcome, found: &mut Vec<Difference>) {
    if let Some(refused) = &got.refused {
        match &want.error {
            Some(error) => refusal(error, refused, found),
            None => found.push(Difference::new(
                "/expect/output",
                format!("the call was refused: {refused}"),
            )),
        }
        return;
    }
    match (&want.output, &want.error, &got.ending) {
        (Some(want), _, Some(Ending::Succeeded { output, .. })) => {
            value("/expect/output", want, output, found)
        }
        (_, Some(want), Some(Ending::Failed(fault))) => failure(want, fault, found),
        (None, None, Some(_)) => {}
        (_, _, None) => found.push(Difference::new("/expect", "the run did not come to an end")),
        (_, _, Some(Ending::Failed(fault))) => {
            found.push(Difference::new(
                "/expect",
                format!("the run failed ({}): {fault}", fault.class_word()),
            ));
        }
        (_, _, Some(Ending::Succeeded { .. })) => {
            found.push(Difference::new("/expect", "the run succeeded"))
        }
        (_, _, Some(Ending::Canceled)) => {
            found.push(Difference::new("/expect", "the run was canceled"))
        }
    }
}

fn failure(want: &CaseError, got: &Fault, found: &mut Vec<Difference>) {
    let code = got.provider_code.as_deref().unwrap_or(got.code().as_str());
    let message = got.provider_message.as_deref().unwrap_or(&got.message);
    given("class", want.class.as_deref(), got.class_word(), found);
    given("code", want.code.as_deref(), code, found);
    given("message", want.message.as_deref(), message, found);
}

fn refusal(want: &CaseError, got: &Diagnostics, found: &mut Vec<Difference>) {
    given("class", want.class.as_deref(), "invalid_request", found);
    if let Some(first) = got.iter().next() {
        given("code", want.code.as_deref(), first.code.as_str(), found);
        given("message", want.message.as_deref(), &first.message, found);
    }
}

fn given(member: &str, want: Option<&str>, got: &str, found: &mut Vec<Difference>) {
    if let Some(want) = want {
        unlike(format!("/expect/error/{member}"), want, got, found);
    }
}

fn diagnostics(want: &[CaseFinding], got: Option<&Diagnostics>, found: &mut Vec<Difference>) {
    let mut left: Vec<_> = got.into_iter().flat_map(Diagnostics::iter).collect();
    for (i, want) in want.iter().enumerate() {
        let fits = |one: &&diag::Diagnostic| {
            one.place.pointer == want.pointer
                && want
                    .code
                    .as_deref()
                    .is_none_or(|code| code == one.code.as_str())
                && want
                    .says
                    .as_deref()
                    .is_none_or(|says| one.message.contains(says) || one.help.contains(says))
        };
        match left.iter().position(fits) {
            Some(at) => drop(left.remove(at)),
            None => found.push(Difference::new(
                format!("/expect/diagnostics/{i}"),
                format!("no such finding about `{}`", want.pointer),
            )),
        }
    }
    for one in left {
        found.push(Difference::new(
            "/expect/diagnostics",
            format!("not wanted: {one}"),
        ));
    }
}

fn artifacts(
    name: &str,
    want: &[CaseArtifact],
    got: &[ArtifactFacts],
    found: &mut Vec<Difference>,
) {
    let at = format!("/expect/artifacts/{name}");
    let made: Vec<&ArtifactFacts> = got
        .iter()
        .filter(|artifact| artifact.name == name)
        .collect();
    if made.len() != want.len() {
        found.push(Difference::new(
            &at,
            format!("{} are wanted, {} were made", want.len(), made.len()),
        ));
    }
    for (i, (want, got)) in want.iter().zip(made).enumerate() {
        let fits = want
            .content_type
            .as_ref()
            .is_none_or(|want| *want == got.content_type)
            && want.bytes.is_none_or(|want| want == got.bytes)
            && want.sha256.as_ref().is_none_or(|want| *want == got.sha256);
        if !fits {
            let message = format!(
                "`{}` of {} bytes with digest {} was made",
                got.content_type, got.bytes, got.sha256
            );
            found.push(Difference::new(format!("{at}/{i}"), message));
        }
    }
}
