//! What the calls of several purposes have in common.

use super::Call;
use super::target::Target;
use crate::call::wrong_type;
use diag::{Code, Place};
use profile::revision::Revision;
use runtime::RunRequest;
use serde_json::{Map, Value};

/// A run to be made, and what is left of its call: options, and what was found wrong.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: RunRequest,
    pub(super) call: Call,
}

impl Asked {
    /// With what belongs to every run.
    pub(super) fn new(purpose: &str, mut call: Call) -> Self {
        let mut request = RunRequest::new(purpose);
        request.model = call.text("model");
        request.provider = call.text("provider");
        Self { request, call }
    }

    /// By this very profile, which the caller did not choose by its key: a stream may be served by another than an answer at once.
    pub(super) fn served_by(mut self, revision: &Revision) -> Self {
        if self.request.model.is_some() && revision.response.stream.is_some() {
            self.request.profile_key = Some(revision.profile_key.clone());
            self.request.provider = Some(revision.provider.clone());
        }
        self
    }

    /// `metadata` is the run's; who the caller's own user is, is kept with it.
    pub(super) fn put_metadata(&mut self, target: Target<'_>) {
        self.request.metadata = object(&mut self.call, "metadata").unwrap_or_default();
        if target.option("user").is_none()
            && let Some(user) = self.call.text("user")
        {
            self.request.metadata.insert("user".into(), user.into());
        }
    }

    /// The most tokens of the answer, by any of its names: for the model's option of that name, else for `maxTokens`.
    pub(super) fn put_max_tokens(&mut self, names: &[&str], target: Target<'_>) {
        let takes = target.reads().max_tokens;
        let mut given: Option<&str> = None;
        for name in names {
            // What nothing reads is left, and refused as what the model does not take.
            if !takes || target.option(name).is_some() {
                continue;
            }
            let Some(most) = self.call.whole(name) else {
                continue;
            };
            if let Some(before) = given {
                let message = format!("`{name}` and `{before}` say the same");
                self.call
                    .refuse(name, Code::C165, message, "give one of them");
                continue;
            }
            given = Some(name);
            self.request.call.max_tokens = Some(most);
            self.call.named("/max_tokens", name);
        }
    }

    /// For calls whose answer is not told piece by piece.
    pub(super) fn no_stream(&mut self) {
        if self.call.flag("stream").unwrap_or_default() {
            let message = "the answer to this call is not streamed";
            let help = "leave `stream` out; `GET /v1/runs/{id}/events` streams how far the run is";
            self.call.refuse("stream", Code::C154, message, help);
        }
    }
}

/// Takes a member that is an object.
fn object(call: &mut Call, name: &str) -> Option<Map<String, Value>> {
    match call.take(name)? {
        Value::Object(members) => Some(members),
        other => {
            let place = Place::default().child(name);
            call.found().push(wrong_type(&place, "an object", &other));
            None
        }
    }
}
