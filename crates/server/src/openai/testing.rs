//! Models for the tests of this folder: rows of a provider that is not there.

use super::asked::Asked;
use profile::catalogue::Compiled;
use profile::revision::Revision;
use runtime::{ArtifactView, RunRequest, RunView};
use serde_json::{Value, json};
use std::sync::Arc;

/// The rows of `testing.json`.
pub(super) fn compiled() -> Compiled {
    let (bundle, compiled) = profile::bundle::check("testing.json", include_str!("testing.json"));
    assert!(!bundle.diagnostics.has_errors(), "{}", bundle.diagnostics);
    compiled
}

/// The first revision that serves a model.
pub(super) fn revision(model: &str) -> Arc<Revision> {
    let compiled = compiled();
    let mut entries = compiled.revisions.iter();
    let of_model = entries.find(|entry| entry.key.model.as_deref() == Some(model));
    of_model.unwrap().revision.clone().unwrap()
}

/// The request with what is left of its call, or where the mistakes are.
pub(super) fn filled(asked: Asked, revision: &Revision) -> Result<RunRequest, Vec<String>> {
    let Asked { mut request, call } = asked;
    match call.fill(revision, &mut request) {
        Ok(_) => Ok(request),
        Err(problem) => {
            let found = problem.violations().iter();
            Err(found.map(|one| one.pointer().unwrap().to_owned()).collect())
        }
    }
}

/// A run of that model that succeeded with this output.
pub(super) fn run(purpose: &str, model: &str, output: Value) -> RunView {
    let id = "018f0000-0000-7000-8000-000000000000";
    let view = json!({
        "id": id, "tenant": id, "status": "succeeded", "state": "succeeded", "purpose": purpose, "provider": "acme", "model": model,
        "profile_key": "acme_v1", "revision": "00", "progress": null, "output": output, "artifacts": [], "failure": null,
        "spent": "yes", "overdue": false, "cancel_requested": false, "held": false, "cost": null,
        "provider_job_id": null, "attempts": [], "metadata": {}, "seq": 3, "created_at": "2030-01-01T00:00:00Z",
        "accepted_at": null, "deadline_at": null, "ended_at": "2030-01-01T00:01:00Z",
    });
    serde_json::from_value(view).unwrap()
}

/// A file of a run.
pub(super) fn file(name: &str, idx: i32, content_type: &str) -> ArtifactView {
    ArtifactView {
        name: name.to_owned(),
        idx,
        url: format!("/v1/runs/018f0000-0000-7000-8000-000000000000/artifacts/{name}/{idx}"),
        content_type: content_type.to_owned(),
        bytes: 3,
        sha256: "00".repeat(32),
        expires_at: None,
    }
}
