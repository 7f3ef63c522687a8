//! What a run would send, for people: secrets masked, and each request as a
//! `curl` command.

use crate::auth::placeholders;
use crate::fault::Fault;
use crate::flow::{Flow, Phase, Setting};
use crate::request::{Drawn, Request};
use profile::revision::{Action, Step};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// One request that a run would make.
#[derive(Debug)]
pub struct Planned {
    /// What it belongs to.
    pub phase: Phase,
    /// The step's name.
    pub step: String,
    /// The request, with `***` for every secret, or why it cannot be made yet.
    pub request: Result<Request, Fault>,
    /// What is not known before the provider answers, in words.
    pub note: Option<String>,
}

impl Planned {
    /// For programs: `{step, note, request: {method, url, headers, body, curl}, not_known_yet}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (request, unknown) = match &self.request {
            Ok(request) => (Some(request_json(request)), None),
            Err(fault) => (None, Some(&fault.message)),
        };
        json!({ "step": self.step, "note": self.note, "request": request, "not_known_yet": unknown })
    }
}

fn request_json(request: &Request) -> Value {
    let headers: BTreeMap<_, _> = request
        .headers
        .iter()
        .map(|(name, value)| (name, value))
        .collect();
    let body = request.body.as_deref();
    let body = body
        .map(|body| serde_json::from_slice(body).unwrap_or_else(|_| Value::from(body_text(body))));
    json!({ "method": request.method, "url": request.url.as_str(), "headers": headers, "body": body, "curl": curl(request) })
}

/// A body for people: JSON indented, other text as it stands, bytes by their number.
#[must_use]
pub fn body_text(body: &[u8]) -> String {
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        return format!("{value:#}");
    }
    String::from_utf8(body.to_vec()).unwrap_or_else(|_| format!("({} bytes)", body.len()))
}

/// Plans every step of a run, in order. Secrets are masked whatever the setting
/// holds; values that answers give stand as `<job_id>` and `<steps.x.y>`.
#[must_use]
pub fn plan(mut setting: Setting, drawn: Drawn) -> Vec<Planned> {
    setting.secrets = Arc::new(placeholders(&setting.revision));
    let revision = Arc::clone(&setting.revision);
    let workflow = &revision.workflow;
    let mut flow = Flow::new(setting);
    flow.imagine(&imagined(&revision));
    let mut planned = Vec::new();
    let mut add = |phase, steps: &[Step]| {
        planned.extend(
            steps
                .iter()
                .map(|step| plan_step(&flow, phase, step, drawn)),
        );
    };
    add(Phase::Before, &workflow.before);
    planned.push(Planned {
        phase: Phase::Submit,
        step: "submit".to_owned(),
        request: flow.render_submit(drawn).map(shown),
        note: None,
    });
    let mut add = |phase: Option<Phase>, steps: &[Step]| {
        planned.extend(
            steps
                .iter()
                .map(|step| plan_step(&flow, phase.unwrap_or(phase_of(step)), step, drawn)),
        );
    };
    add(None, &workflow.steps);
    add(Some(Phase::Cancel), workflow.cancel.as_slice());
    add(Some(Phase::Cleanup), &workflow.cleanup);
    planned
}

fn phase_of(step: &Step) -> Phase {
    match step.action {
        Action::Request => Phase::Step,
        Action::Poll(_) => Phase::Poll,
        Action::Download(_) => Phase::Download,
    }
}

fn plan_step(flow: &Flow, phase: Phase, step: &Step, drawn: Drawn) -> Planned {
    let note = match (&step.action, &step.exchange) {
        (Action::Poll(poll), _) => {
            let batch = poll.batch.as_ref();
            let many = batch.map_or_else(String::new, |batch| {
                format!("; up to {} waiting runs by one request", batch.size)
            });
            Some(format!(
                "every {} ms until `{}` is terminal{many}",
                poll.interval_ms,
                poll.status.source()
            ))
        }
        (Action::Download(download), _) => Some(match (&download.url, &download.value) {
            (Some(path), _) => format!(
                "artifact `{}`, from the addresses at `{}`",
                download.artifact,
                path.source()
            ),
            (None, Some(path)) => format!(
                "artifact `{}`, from the text at `{}`",
                download.artifact,
                path.source()
            ),
            (None, None) => format!("artifact `{}`", download.artifact),
        }),
        _ if step.when.is_some() => Some("only when its condition holds".to_owned()),
        _ => None,
    };
    let request = match &step.exchange {
        Some(exchange) => flow.render_step(exchange, drawn).map(shown),
        None => Err(Fault::new(
            crate::fault::Kind::MissingValue,
            "its address comes from an earlier answer",
        )),
    };
    Planned {
        phase,
        step: step.name.clone(),
        request,
        note,
    }
}

/// A signature is made when the request is sent; its place is shown.
fn shown(mut request: Request) -> Request {
    if let Some(signer) = request.proof.signer.as_ref().filter(|_| request.trusted) {
        let signature = ("Authorization".to_owned(), signer.masked());
        request.headers.push(signature);
    }
    request
}

/// Stand-ins for all that answers give: step → name → `<steps.step.name>`.
fn imagined(revision: &profile::revision::Revision) -> Vec<(String, Map<String, Value>)> {
    let workflow = &revision.workflow;
    let steps = workflow.before.iter().chain(&workflow.steps);
    let of_steps = steps.map(|step| (step.name.as_str(), &step.captures));
    let all = of_steps.chain([("submit", &revision.response.captures)]);
    let stand_in = |step: &str, name: &str| Value::String(format!("<steps.{step}.{name}>"));
    all.map(|(step, captures)| {
        let names = captures
            .iter()
            .map(|(name, _)| (name.clone(), stand_in(step, name)));
        (step.to_owned(), names.collect())
    })
    .collect()
}

/// The request as a `curl` command for a POSIX shell. The body is given inline
/// when it is text, else as a file that the reader has to name.
#[must_use]
pub fn curl(request: &Request) -> String {
    let mut command = format!(
        "curl -X {} {}",
        request.method,
        quoted(request.url.as_str())
    );
    for (name, value) in &request.headers {
        let _ = write!(command, " \\\n  -H {}", quoted(&format!("{name}: {value}")));
    }
    if let Some(body) = &request.body {
        match std::str::from_utf8(body) {
            Ok(text) => {
                let _ = write!(command, " \\\n  --data-binary {}", quoted(text));
            }
            Err(_) => {
                let _ = write!(
                    command,
                    " \\\n  --data-binary @body.bin  # {} bytes",
                    body.len()
                );
            }
        }
    }
    command
}

/// In single quotes: nothing in it means anything to a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_quoted_text_means_anything_to_a_shell() {
        assert_eq!(quoted("it's $HOME `x`"), r"'it'\''s $HOME `x`'");
    }
}
