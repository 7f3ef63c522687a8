//! What a workflow is about: a job that is asked about, or an answer that is final.

use super::super::context::Context;
use super::super::response::{Mapping, job_id_path};
use super::super::walk::{Fields, Sink};
use crate::lang::Path;
use crate::revision::{Action, Mode, Purpose, Step};
use diag::{Code, Place};
use serde_json::Value;

/// `type`, with the place that names the job's id.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) is_async: bool,
    pub(crate) id: Option<Path>,
}

/// Reads `type` and `job_id_path`.
pub(crate) fn job(
    fields: &Fields<'_>,
    mapping_fields: &Fields<'_>,
    mapping: &Mapping,
    cx: &Context<'_>,
) -> Job {
    let kind = fields.word("type", &[("sync", false), ("async_job", true)]);
    let is_async = kind.unwrap_or(false);
    let at = fields.place("job_id_path");
    let own = job_id_path(fields.raw("job_id_path"), &at, cx);
    if let (Some(own), Some(other)) = (&own, &mapping.job_id)
        && own.source() != other.source()
    {
        cx.sink.error(
            Code::P113,
            &at,
            "`job_id_path` stands here and in `extract`, and they differ",
            "keep one of the two",
        );
    }
    let id = own.or_else(|| mapping.job_id.clone());
    if !is_async && id.is_some() {
        let here = fields.raw("job_id_path").is_some();
        let elsewhere = mapping_fields.place("extract").child("job_id_path");
        cx.sink.error(
            Code::P501,
            if here { &at } else { &elsewhere },
            "`job_id_path` has a meaning in a workflow of the type `async_job` only",
            "add `\"type\": \"async_job\"` to the workflow, or leave it out",
        );
    }
    let extract = mapping_fields.raw("extract");
    let written = fields.raw("job_id_path").is_some()
        || extract.is_some_and(|extract| extract.get("job_id_path").is_some());
    if is_async && !written {
        let at = match extract {
            Some(_) => mapping_fields.place("extract"),
            None => fields.at().clone(),
        };
        cx.sink.error(
            Code::P604,
            &at,
            "nothing says where the job's id stands in the submit's answer",
            "add `job_id_path`",
        );
    }
    Job { is_async, id }
}

/// Refuses a job that nothing asks about, and warns of a medium that nothing makes.
pub(crate) fn comes_to_something(
    fields: &Fields<'_>,
    mapping: &Mapping,
    job: &Job,
    purpose: Purpose,
    sink: &Sink,
) {
    let steps = fields.list("steps").unwrap_or_default();
    let is_there = |wanted: &str| {
        steps.iter().any(|step| {
            let word = |name| step.get(name).and_then(Value::as_str);
            word("action").or(word("name")) == Some(wanted)
        })
    };
    if job.is_async && !is_there("poll") {
        sink.error(
            Code::P620,
            fields.at(),
            "nothing asks about the job: no step is a poll",
            "add a step `poll`; for an answer that is final, leave out `\"type\": \"async_job\"`",
        );
    }
    let is_medium = matches!(
        purpose,
        Purpose::Video | Purpose::ThreeD | Purpose::Audio | Purpose::Music | Purpose::Image
    );
    let implied = mapping.urls.is_some()
        || mapping.base64.is_some()
        || mapping
            .mode
            .is_some_and(|mode| !matches!(mode, Mode::Json) && !mode.is_stream());
    if !is_medium || implied || is_there("download") {
        return;
    }
    let message = format!("no file of the {} is ever fetched", purpose.as_str());
    let help = "add a step `download`, `extract.urls_path` or `extract.base64_path`, or a `mode` in which the answer is the file";
    sink.warn(Code::P621, fields.at(), message, help);
}

/// Refuses what only a record can keep, of a profile that gives up the record of its runs. `at`: where it says so.
pub(crate) fn keeps_nothing(steps: &[Step], is_async: bool, at: &Place, sink: &Sink) {
    let has_file = |step: &Step| matches!(step.action, Action::Download(_));
    let kept = if is_async {
        "a job is asked about until it has ended, and a crash would lose it"
    } else if steps.iter().any(has_file) {
        "its files are kept with the record of their run"
    } else {
        return;
    };
    let message = format!("a run of this profile needs its record: {kept}");
    let help = "leave `durable` out; it is for answers that are final and hold no file";
    sink.error(Code::P625, at, message, help);
}
