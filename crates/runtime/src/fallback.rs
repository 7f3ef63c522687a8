//! The fallback of a routing rule: understood when the run is made, so that nothing is chosen twice, and taken when the
//! target was refused, was not reached, or failed its job. It has no fallback of its own.

use crate::catalogue::Snapshot;
use crate::core::Core;
use crate::inputs::{self, Given};
use crate::request::RunRequest;
use crate::setting::Recorded;
use crate::view::{Cost, FallbackStatus, FallbackView, ModelView};
use crate::{cost, intake};
use diag::Diagnostics;
use engine::fault::class_word;
use engine::{Fault, Kind};
use profile::call::{Call, Checked};
use profile::catalogue::Fallback as Declared;
use profile::revision::Revision;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::StoreError;
use store::facts::Fallback;
use uuid::Uuid;

/// In `runs.request`: the fallback of the rule that chose the target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standby {
    /// The run may go on under it.
    Ready(Box<Ready>),
    /// It cannot serve this call.
    Unavailable {
        /// What the rule names.
        model: ModelView,
        /// Every reason.
        why: Vec<String>,
    },
}

/// A fallback that accepts the call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    model: ModelView,
    /// In hex.
    revision: String,
    credential: Uuid,
    /// Words of the classes after which it runs.
    on: Vec<String>,
    /// The options of the call, normalised for this model; the rest of the call is the same.
    params: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
}

/// Checks the call against the fallback. What it refuses is no fault of the call: the target serves it.
pub(crate) fn understand(
    core: &Core,
    snapshot: &Snapshot,
    declared: &Declared,
    (request, given): (&RunRequest, &Given),
) -> Standby {
    let checked = declared.revision.clone().and_then(|revision| {
        let (credential, checked) = fits(core, snapshot, &revision, (request, given))?;
        Ok((revision, credential, checked))
    });
    match checked {
        Ok((revision, credential, checked)) => Standby::Ready(Box::new(Ready {
            model: ModelView::of(&revision),
            revision: hex::encode(revision.id.0),
            credential,
            on: words(declared),
            cost: cost::estimate(&revision, &checked.call, &given.media, core.clock.now_ms()),
            params: checked.call.params,
        })),
        Err(found) => {
            let to = &declared.rule.to;
            let why: Vec<String> = found.iter().map(|one| one.message.clone()).collect();
            tracing::warn!(
                model = to.model,
                ?why,
                "the fallback cannot serve this call"
            );
            Standby::Unavailable {
                model: ModelView {
                    provider: Some(to.provider.clone()),
                    model: Some(to.model.clone()),
                    profile_key: None,
                },
                why,
            }
        }
    }
}

fn words(declared: &Declared) -> Vec<String> {
    let classes = declared.rule.on.iter();
    classes.map(|class| class_word(*class).to_owned()).collect()
}

fn fits(
    core: &Core,
    snapshot: &Snapshot,
    revision: &Revision,
    (request, given): (&RunRequest, &Given),
) -> Result<(Uuid, Checked), Diagnostics> {
    let capabilities = &revision.capabilities;
    let unread = capabilities.refuse_before_reading(&inputs::named(request));
    if unread.has_errors() {
        return Err(unread);
    }
    let checked = intake::check(core, revision, request, given)?;
    let row = intake::credential(core, snapshot, revision, request.tenant)?;
    // A row without an id is a bundle's: no run can name it.
    Ok((row.id.unwrap_or_default(), checked))
}

impl Recorded {
    /// What the run goes on under, once it does.
    pub(crate) fn fallen(&self, revision_id: &[u8]) -> Option<&Ready> {
        let ready = self.ready()?;
        (ready.revision == hex::encode(revision_id)).then_some(ready)
    }

    fn ready(&self) -> Option<&Ready> {
        match &self.fallback {
            Some(Standby::Ready(ready)) => Some(ready),
            Some(Standby::Unavailable { .. }) | None => None,
        }
    }

    /// The call, with its options as this revision of the run reads them.
    pub(crate) fn call_under(&self, revision_id: &[u8]) -> Call {
        let mut call = self.call.clone();
        if let Some(ready) = self.fallen(revision_id) {
            call.params.clone_from(&ready.params);
        }
        call
    }

    /// The model that the caller's run was made for.
    pub(crate) fn target(&self) -> ModelView {
        ModelView {
            provider: self.provider.clone(),
            model: self.model.clone(),
            profile_key: self.profile_key.clone(),
        }
    }

    /// The model, and what it costs, under this revision of the run.
    pub(crate) fn under(&self, revision_id: &[u8]) -> (ModelView, Option<Cost>) {
        match self.fallen(revision_id) {
            Some(ready) => (ready.model.clone(), ready.cost.clone()),
            None => (self.target(), self.cost.clone()),
        }
    }

    /// The fallback as the caller sees it. `told`: the body of the event, once the run goes on under it.
    pub(crate) fn fallback_view(&self, told: Option<&Value>) -> Option<FallbackView> {
        let (model, status, why) = match self.fallback.as_ref()? {
            Standby::Unavailable { model, why } => {
                (model, FallbackStatus::Unavailable, why.clone())
            }
            Standby::Ready(ready) if told.is_some() => {
                (&ready.model, FallbackStatus::Used, Vec::new())
            }
            Standby::Ready(ready) => (&ready.model, FallbackStatus::Ready, Vec::new()),
        };
        Some(FallbackView {
            model: model.clone(),
            status,
            why,
            instead_of: told.map(|_| self.target()),
            after: told.and_then(|told| told.get("failure")).cloned(),
        })
    }
}

/// Under what a run goes on, after this failure of what it runs now. `None`: nothing is declared, the rule does not list
/// the class, or it runs under its fallback already.
///
/// # Errors
///
/// [`StoreError::Unreachable`]: ask again.
pub(crate) async fn after(
    core: &Core,
    (run, revision): (Uuid, &Revision),
    fault: &Fault,
) -> Result<Option<Fallback>, StoreError> {
    let Some((_, request)) = core.store.asked(run).await? else {
        return Ok(None);
    };
    let recorded = Recorded::read(&request).ok();
    Ok(recorded.and_then(|recorded| to(&recorded, &revision.id.0, fault)))
}

fn to(recorded: &Recorded, revision_id: &[u8], fault: &Fault) -> Option<Fallback> {
    let ready = recorded.ready()?;
    let listed = ready.on.iter().any(|word| word == fault.class_word());
    if !listed || !is_theirs(fault) || recorded.fallen(revision_id).is_some() {
        return None;
    }
    Some(Fallback {
        revision_id: hex::decode(&ready.revision).ok()?,
        credential_id: ready.credential,
        told: json!({ "from": recorded.target(), "to": ready.model, "failure": fault.to_json() }),
    })
}

/// Tells the watchers that the run goes on under its fallback.
pub(crate) fn tell(core: &Core, run: Uuid, to: &Fallback) {
    let word = |pointer| to.told.pointer(pointer).and_then(Value::as_str);
    let (model, class) = (word("/to/model"), word("/failure/class"));
    tracing::warn!(run.id = %run, model, class, "the target is not to be had; the fallback runs");
    core.watches.tell(run, |progress| {
        progress.fallback = model.map(str::to_owned);
        (progress.percent, progress.overdue) = (None, false);
        progress.provider_status = None;
    });
    core.queue.notify_one();
}

/// The provider's own word, or that it was not reached. What came of a job that did not fail is not of that kind.
fn is_theirs(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        Kind::Class(_) | Kind::NotSent | Kind::TokenRefused(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::revision::Class;

    const TARGET: [u8; 32] = [7; 32];
    const OTHER: [u8; 32] = [8; 32];

    fn recorded(on: &[&str]) -> Recorded {
        let model = |name: &str| ModelView {
            model: Some(name.to_owned()),
            ..ModelView::default()
        };
        Recorded {
            model: Some("a-1".into()),
            fallback: Some(Standby::Ready(Box::new(Ready {
                model: model("a-2"),
                revision: hex::encode(OTHER),
                credential: Uuid::from_u128(4),
                on: on.iter().map(|word| (*word).to_owned()).collect(),
                params: json!({"seconds": 6}).as_object().unwrap().clone(),
                cost: None,
            }))),
            call: Call {
                prompt: Some("a cat".into()),
                params: json!({"seconds": 8}).as_object().unwrap().clone(),
                ..Call::default()
            },
            ..Recorded::default()
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_fallback_follows_what_the_rule_lists_and_nothing_that_came_of_a_job_that_did_not_fail() {
        let cases = [
            (Kind::Class(Class::Overloaded),            &TARGET, true),
            (Kind::Class(Class::Authentication),        &TARGET, true),
            (Kind::TokenRefused(Class::Authentication), &TARGET, true),
            (Kind::NotSent,                             &TARGET, true),
            (Kind::Class(Class::ProviderError),         &TARGET, true),
            // The class is listed, yet the job gave something: it was paid for, and failed nobody.
            (Kind::NoResult,                            &TARGET, false),
            (Kind::JobCanceled,                         &TARGET, false),
            (Kind::Class(Class::InvalidRequest),        &TARGET, false),
            (Kind::Class(Class::UnknownOutcome),        &TARGET, false),
            (Kind::DeadlineExceeded,                    &TARGET, false),
            (Kind::BadSecret,                           &TARGET, false),
            // A fallback of the fallback does not exist.
            (Kind::Class(Class::Overloaded),            &OTHER,  false),
        ];
        let recorded = recorded(&["overloaded", "authentication", "transient", "provider_error"]);
        for (kind, revision, want) in cases {
            let got = to(&recorded, revision, &Fault::new(kind, "why"));
            assert_eq!(got.is_some(), want, "{kind:?}");
            assert!(got.is_none_or(|to| to.revision_id == OTHER && to.told["failure"]["code"] == kind.word()));
        }
    }

    #[test]
    fn each_model_reads_the_options_as_it_accepted_them() {
        let text = serde_json::to_value(recorded(&[])).unwrap();
        let read = Recorded::read(&text).unwrap();
        for (revision, seconds) in [(TARGET, 8), (OTHER, 6)] {
            let call = read.call_under(&revision);
            assert_eq!(call.params["seconds"], seconds);
            assert_eq!(call.prompt.as_deref(), Some("a cat"));
        }
    }
}
