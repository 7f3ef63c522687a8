//! What a run would send, for people: secrets masked, and each request as a
//! `curl` command.

use crate::auth::placeholders;
use crate::fault::Fault;
use crate::flow::{Flow, Phase, Setting};
use crate::request::{Drawn, Request};
use profile::revision::{Action, Revision, Step};
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
    let flows = Flows::new(&setting, &revision);
    let mut planned = Vec::new();
    let mut add = |phase, steps: &[Step]| {
        planned.extend(
            steps
                .iter()
                .map(|step| plan_step(&flows, phase, step, drawn)),
        );
    };
    add(Phase::Before, &workflow.before);
    planned.push(Planned {
        phase: Phase::Submit,
        step: "submit".to_owned(),
        request: flows.words.render_submit(drawn).map(shown),
        note: None,
    });
    let mut add = |phase: Option<Phase>, steps: &[Step]| {
        planned.extend(
            steps
                .iter()
                .map(|step| plan_step(&flows, phase.unwrap_or(phase_of(step)), step, drawn)),
        );
    };
    add(None, &workflow.steps);
    add(Some(Phase::Cancel), workflow.cancel.as_slice());
    add(Some(Phase::Cleanup), &workflow.cleanup);
    planned
}

/// A run whose job and captures are stand-ins: words, and numbers for what asks for one.
struct Flows {
    words: Flow,
    numbers: Flow,
}

/// Stands for what an answer gives, where that must be a number.
const NUMBER: u32 = 1_234_567_890;

impl Flows {
    fn new(setting: &Setting, revision: &Revision) -> Self {
        let flow = |job: &str, stand_in: fn(&str, &str) -> Value| {
            let mut flow = Flow::new(setting.clone());
            flow.imagine(job, &imagined(revision, stand_in));
            flow
        };
        Self {
            words: flow("<job_id>", |step, name| {
                Value::String(format!("<steps.{step}.{name}>"))
            }),
            numbers: flow(&NUMBER.to_string(), |_, _| Value::from(NUMBER)),
        }
    }
}

fn phase_of(step: &Step) -> Phase {
    match step.action {
        Action::Request => Phase::Step,
        Action::Poll(_) => Phase::Poll,
        Action::Download(_) => Phase::Download,
    }
}

fn plan_step(flows: &Flows, phase: Phase, step: &Step, drawn: Drawn) -> Planned {
    let Flows {
        words: flow,
        numbers,
    } = flows;
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
    let mut note = note;
    let request = match &step.exchange {
        Some(exchange) => match flow.render_step(exchange, drawn) {
            Err(fault) if fault.kind == crate::fault::Kind::BadValue => {
                let other = numbers.render_step(exchange, drawn).map_err(|_| fault);
                if other.is_ok() {
                    let words =
                        format!("what answers give stands as {NUMBER}, for a number is asked for");
                    note = Some(note.map_or(words.clone(), |note| format!("{note}; {words}")));
                }
                other.map(shown)
            }
            rendered => rendered.map(shown),
        },
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

/// A signature is made when the request is sent; its place is shown, and whose it is.
pub(crate) fn shown(mut request: Request) -> Request {
    if let Some(signer) = request.proof.signer.as_ref().filter(|_| request.trusted) {
        let whose = request.proof.auth.as_deref().unwrap_or_default();
        let signature = format!("{}{whose}", signer.masked());
        request
            .headers
            .push(("Authorization".to_owned(), signature));
    }
    request
}

/// Stand-ins for all that answers give: step → name → value.
fn imagined(
    revision: &Revision,
    stand_in: fn(&str, &str) -> Value,
) -> Vec<(String, Map<String, Value>)> {
    let workflow = &revision.workflow;
    let steps = workflow.before.iter().chain(&workflow.steps);
    let of_steps = steps.map(|step| (step.name.as_str(), &step.captures));
    let all = of_steps.chain([("submit", &revision.response.captures)]);
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
    fn a_request_that_needs_a_number_of_an_answer_is_shown_with_one() {
        let poll = json!({"name": "poll", "method": "POST", "path": "/jobs", "states": {"succeeded": ["done"]},
            "body": {"id": "{{json (int job_id)}}", "page": "{{json (add steps.submit.page 1)}}"}});
        let profile = json!({"response_mapping": {"extract": {"page": "page"}}, "workflow": {"steps": [poll]}});
        let drawn = crate::testing::drawn(0);
        let planned = plan(crate::testing::setting(&profile), drawn);
        let poll = planned.iter().find(|one| one.step == "poll").unwrap();
        let body = poll.request.as_ref().unwrap().body.as_deref().unwrap();
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body, json!({"id": NUMBER, "page": NUMBER + 1}));
        assert!(
            poll.note.as_deref().unwrap().contains("1234567890"),
            "{poll:?}"
        );
    }

    #[test]
    fn nothing_in_a_quoted_text_means_anything_to_a_shell() {
        assert_eq!(quoted("it's $HOME `x`"), r"'it'\''s $HOME `x`'");
    }
}
