//! What operators and callers do with runs that are there: once more, deleted, resolved, released.

use crate::core::Core;
use crate::error::RunError;
use crate::handle::RunHandle;
use crate::library::Modelrow;
use crate::request::{Again, RunRequest};
use crate::setting::Recorded;
use crate::traces::{self, End};
use crate::view::RunView;
use diag::{Diagnostic, Diagnostics, Place};
use engine::fault::class_word;
use futures_util::TryStreamExt as _;
use profile::revision::Class;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use store::erase::Erased;
use store::resolve::ResolvedAccepted;
use store::rewind::OrphanedJob;
use store::runs::Before;
use store::work::WorkRow;
use store::{Rule, Scope, State, StoreError};
use utoipa::ToSchema;
use uuid::Uuid;

/// Characters of a reason.
const REASON_MAX: usize = 500;
/// Tries to resolve a run that moves meanwhile.
const TRIES: usize = 5;
/// Largest id of a job, in bytes: the language's own bound.
const JOB_MAX: usize = 1_024;

/// Who does something that needs a reason, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// For whoever looks later; 1 to 500 characters.
    pub reason: String,
    /// A name, an account.
    pub by: String,
}

impl Because {
    /// The reason, if it is one.
    pub(crate) fn checked(&self) -> Result<&Self, RunError> {
        let length = self.reason.trim().chars().count();
        if (1..=REASON_MAX).contains(&length) {
            Ok(self)
        } else {
            Err(RunError::BadReason)
        }
    }

    pub(crate) fn note(&self) -> Value {
        json!({ "reason": self.reason.trim(), "by": self.by })
    }
}

/// What an operator found out about a run whose outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum Resolution {
    /// The provider has the job: the run follows it. Reopens a run that failed as unknown, too.
    Accepted {
        /// The provider's id of the job.
        provider_job_id: String,
    },
    /// The provider does not have the job: the attempt is written off and the run is queued again.
    NotAccepted,
    /// Nobody will find out: the run fails as unknown now.
    Failed,
}

/// How a run is asked for once more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// Make the new run though the old one is, or may still be, paid for.
    pub accept_duplicate: bool,
    /// The same key makes one run.
    pub idempotency_key: Option<String>,
    /// Which API key called; absent for the library.
    pub api_key_id: Option<Uuid>,
}

/// A held run that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Released {
    /// The run.
    pub id: Uuid,
    /// Where it stands: what is `queued` may be sent at once.
    pub state: String,
}

impl Modelrow {
    /// Asks for the same once more: the recorded call, by the profile that made the run, as its rows are today.
    ///
    /// # Errors
    ///
    /// [`RunError::MayBePaid`]: the old run goes on, or an attempt of it is, or may be, paid for. Else as
    /// [`Modelrow::run_profile`], and [`RunError::NoSuchRun`].
    pub async fn retry(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
        how: Retry,
    ) -> Result<RunHandle, RunError> {
        let before = self.core().store.run_before(scope, run).await?;
        let before = before.ok_or(RunError::NoSuchRun { run_id: run })?;
        if let Some(why) = may_be_paid(&before).filter(|_| !how.accept_duplicate) {
            return Err(RunError::MayBePaid { run_id: run, why });
        }
        self.run_profile(once_more(run, before, how)?).await
    }

    /// Deletes an ended run: what was asked, what came of it and its files. Its idempotency key stays used for 30 days.
    ///
    /// # Errors
    ///
    /// [`RunError::NotEnded`]: cancel it first, or wait. [`RunError::NoSuchRun`], [`RunError::Store`]: delete it again.
    pub async fn delete(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
        by: &str,
    ) -> Result<(), RunError> {
        let not_ended = |state: &str| RunError::NotEnded {
            run_id: run,
            state: state.to_owned(),
        };
        match self.core().store.run_erase(scope, run, by).await? {
            None => Err(RunError::NoSuchRun { run_id: run }),
            Some(Erased::Live(state)) => Err(not_ended(state.as_str())),
            Some(Erased::Closing) => Err(not_ended("being cleaned up at the provider")),
            Some(Erased::Done { output_object }) => {
                erase_objects(self.core(), run, output_object).await;
                Ok(())
            }
        }
    }

    /// Says what became of a submit whose outcome is unknown. It is the operator's word and consent, and stands in the run's
    /// timeline with its reason.
    ///
    /// # Errors
    ///
    /// [`RunError::NotUnknown`]: the run stands elsewhere (another may have settled it just now). [`RunError::JobTaken`],
    /// [`RunError::NoJob`], [`RunError::BadReason`], [`RunError::NoSuchRun`], [`RunError::Store`].
    pub async fn resolve(
        &self,
        run: Uuid,
        resolution: &Resolution,
        because: &Because,
    ) -> Result<RunView, RunError> {
        let mut note = because.checked()?.note();
        if let (Value::Object(note), Value::Object(more)) = (&mut note, json!(resolution)) {
            note.extend(more);
        }
        for _ in 0..TRIES {
            let row = self.unknown(run, resolution).await?;
            if let Some(ver) = said(self.core(), &row, resolution, &note).await? {
                tracing::warn!(run.id = %run, ver, ?resolution, by = because.by, "an operator resolved the run");
                if *resolution == Resolution::Failed {
                    let end = End {
                        error: Some(class_word(Class::UnknownOutcome)),
                        ..State::Failed.into()
                    };
                    traces::ended(self.core(), run, None, &end);
                }
                return self.run(Scope::Operator, run).await;
            }
        }
        let state = "moving".to_owned();
        Err(RunError::NotUnknown { run_id: run, state })
    }

    /// The run, if its outcome is unknown, or was when it failed and is now proved.
    async fn unknown(&self, run: Uuid, resolution: &Resolution) -> Result<WorkRow, RunError> {
        let store = &self.core().store;
        let view = self.run(Scope::Operator, run).await?;
        let row = store.work(&[run]).await?.into_iter().next();
        let row = row.ok_or(RunError::NoSuchRun { run_id: run })?;
        let reopens = matches!(resolution, Resolution::Accepted { .. })
            && view.failure_text("code") == Some("unknown_outcome");
        if row.state == State::SubmitUnknown || row.state == State::Failed && reopens {
            return Ok(row);
        }
        let state = row.state.as_str().to_owned();
        Err(RunError::NotUnknown { run_id: run, state })
    }

    /// Lets runs go on that were held because the database may have gone back in time: all, or those named. What is queued of
    /// them may have been sent before; releasing it is consent to send it (again).
    ///
    /// # Errors
    ///
    /// [`RunError::BadReason`], [`RunError::Store`]: release them again.
    pub async fn release(
        &self,
        runs: Option<&[Uuid]>,
        because: &Because,
    ) -> Result<Vec<Released>, RunError> {
        let note = because.checked()?.note();
        let released = self.core().store.runs_release(runs, &note).await?;
        for (run, state) in &released {
            tracing::info!(run.id = %run, state = state.as_str(), by = because.by, "the run was released");
        }
        tracing::warn!(
            runs = released.len(),
            by = because.by,
            "held runs were released"
        );
        let shown = |(id, state): (Uuid, State)| Released {
            id,
            state: state.as_str().to_owned(),
        };
        Ok(released.into_iter().map(shown).collect())
    }

    /// Jobs that workers remembered after the database went back in time and that no run of it follows, the latest first,
    /// at most 1,000. They may be paid for: the operator cancels them at the provider, or fetches what they made.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn orphans(&self) -> Result<Vec<Orphan>, RunError> {
        let noted = self.core().store.orphans().await?;
        Ok(noted.into_iter().map(Orphan::of).collect())
    }

    /// An operator has dealt with what was sent for this run, as `by`: it is noted no longer. `false`: nothing was.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`]: forget it again.
    pub async fn forget_orphan(&self, run: Uuid, by: &str) -> Result<bool, RunError> {
        Ok(self.core().store.orphan_forget(run, by).await?)
    }
}

/// What was sent to a provider, and has no run in this database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Orphan {
    /// The run that it was made for.
    pub run_id: Uuid,
    /// The attempt, from 1.
    pub attempt: i32,
    /// Whose run it was.
    pub tenant_id: Uuid,
    /// Whose key it was sent with.
    pub credential_id: Uuid,
    /// Where it was sent: scheme, host and port.
    pub endpoint: String,
    /// The provider's id of the job; absent where it gave none, or nobody heard of it.
    pub provider_job_id: Option<String>,
    /// What was known of it: values of its steps, or the answer that was the result.
    pub captured: Option<Value>,
    /// When it was noted.
    #[serde(with = "time::serde::rfc3339")]
    pub noted_at: time::OffsetDateTime,
}

impl Orphan {
    fn of(noted: OrphanedJob) -> Self {
        Self {
            run_id: noted.run_id,
            attempt: noted.n,
            tenant_id: noted.tenant_id,
            credential_id: noted.credential_id,
            endpoint: noted.endpoint,
            provider_job_id: noted.provider_job_id,
            captured: noted.captured,
            noted_at: noted.noted_at,
        }
    }
}

/// Why another run of the same would, or might, be paid for beside this one; `None`: this one costs nothing any more.
fn may_be_paid(before: &Before) -> Option<&'static str> {
    match (before.state, before.live_attempt) {
        (State::Succeeded, _) => Some("it has succeeded, and is paid for"),
        (state, _) if !state.is_ended() => Some("it has not ended"),
        (_, true) => Some("the provider has, or may have, taken its job"),
        (_, false) => None,
    }
}

fn once_more(run: Uuid, before: Before, how: Retry) -> Result<RunRequest, RunError> {
    let recorded = Recorded::read(&before.request).map_err(|fault| {
        let place = Place::default();
        let found = Diagnostic::error(fault.code(), place, fault.message.clone(), fault.help);
        RunError::Refused(Diagnostics(vec![found]))
    })?;
    Ok(RunRequest {
        tenant: before.tenant_id,
        provider: recorded.provider,
        model: recorded.model,
        profile_key: recorded.profile_key,
        call: recorded.call,
        metadata: recorded.metadata,
        callback: recorded.callback,
        priority: before.priority,
        idempotency_key: how.idempotency_key,
        api_key_id: how.api_key_id,
        again: Some(Again {
            of: run,
            urls: recorded.urls,
        }),
        ..RunRequest::new(before.purpose)
    })
}

/// What the sweep would find as strays, later. Files of the artifact rows go with their rows.
async fn erase_objects(core: &Core, run: Uuid, output: Option<String>) {
    let answers = core.objects.list(Some(&format!("{run}/answer")));
    let answers: Vec<_> = answers.try_collect().await.unwrap_or_default();
    let keys = answers.into_iter().map(|listed| listed.key).chain(output);
    for key in keys {
        if let Err(error) = core.objects.delete(&key).await {
            tracing::warn!(run.id = %run, %error, "an object of a deleted run is left to the sweep");
        }
    }
}

/// One guarded statement; `None`: the run moved meanwhile.
async fn said(
    core: &Core,
    row: &WorkRow,
    resolution: &Resolution,
    note: &Value,
) -> Result<Option<i64>, RunError> {
    let (run, n, ver) = (row.run_id, row.attempt, row.ver);
    let store = &core.store;
    match resolution {
        Resolution::Accepted { provider_job_id } => {
            accepted(core, row, provider_job_id, note).await
        }
        Resolution::NotAccepted => Ok(store.resolve_not_accepted(run, n, ver, note).await?),
        Resolution::Failed => Ok(store.settle_gave_up(run, ver, &gave_up(note)).await?),
    }
}

/// The failure that the caller sees, with who said so.
fn gave_up(note: &Value) -> Value {
    let kind = engine::Kind::Class(Class::UnknownOutcome);
    let fault = engine::Fault::new(
        kind,
        "an operator gave up finding out what became of the submit",
    );
    let mut failure = fault.to_json();
    if let Value::Object(members) = &mut failure {
        members.insert("resolved".to_owned(), note.clone());
    }
    failure
}

async fn accepted(
    core: &Core,
    row: &WorkRow,
    job: &str,
    note: &Value,
) -> Result<Option<i64>, RunError> {
    let run_id = row.run_id;
    let revision = core.catalogue.revision(&core.store, &row.revision_id).await;
    let revision = revision.map_err(|error| match error {
        crate::catalogue::RevisionError::Store(error) => RunError::Store(error),
        crate::catalogue::RevisionError::Unreadable(_) => RunError::NoJob { run_id },
    })?;
    if revision.response.job_id.is_none() || !(1..=JOB_MAX).contains(&job.len()) {
        return Err(RunError::NoJob { run_id });
    }
    let times = engine::flow::job_times(&revision);
    let written = core
        .store
        .resolve_accepted(&ResolvedAccepted {
            run_id,
            n: row.attempt,
            ver: row.ver,
            job,
            shard: core.shard_for(run_id).await?,
            deadline: Duration::from_millis(times.deadline_ms),
            give_up: Duration::from_millis(times.life_ms),
            note,
        })
        .await;
    let taken = |by| RunError::JobTaken {
        job: job.to_owned(),
        by,
    };
    match written {
        Err(StoreError::Broken(Rule::OneRunPerJob)) => Err(taken(None)),
        Ok(None) => match core
            .store
            .runs_of_job(row.credential_id, job)
            .await?
            .first()
        {
            Some(by) => Err(taken(Some(*by))),
            None => Ok(None),
        },
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn because(reason: &str) -> Because {
        Because {
            reason: reason.to_owned(),
            by: "ann".to_owned(),
        }
    }

    #[test]
    fn a_reason_has_words_and_an_end() {
        assert!(because("seen in the dashboard").checked().is_ok());
        for bad in ["", "  ", &"x".repeat(501)] {
            assert!(because(bad).checked().is_err(), "{bad}");
        }
        assert_eq!(
            because(" why ").note(),
            json!({"reason": "why", "by": "ann"})
        );
    }

    #[test]
    fn a_resolution_is_written_as_the_api_says() {
        let read = |value| serde_json::from_value::<Resolution>(value).unwrap();
        let job = json!({"as": "accepted", "provider_job_id": "j"});
        assert_eq!(serde_json::to_value(read(job.clone())).unwrap(), job);
        assert_eq!(read(json!({"as": "not_accepted"})), Resolution::NotAccepted);
        assert_eq!(read(json!({"as": "failed"})), Resolution::Failed);
    }

    #[test]
    #[rustfmt::skip]
    fn a_retry_is_free_only_when_the_old_run_can_cost_nothing_more() {
        let cases = [
            (State::Queued, false, false), (State::Polling, true, false), (State::SubmitUnknown, true, false),
            (State::Failed, true, false), (State::Canceled, true, false), (State::Succeeded, true, false),
            (State::Succeeded, false, false), (State::Failed, false, true), (State::Canceled, false, true),
        ];
        for (state, live_attempt, free) in cases {
            let before = Before {
                tenant_id: Uuid::nil(), purpose: String::new(), request: Value::Null, priority: 0, state, live_attempt,
            };
            assert_eq!(may_be_paid(&before).is_none(), free, "{state} {live_attempt}");
        }
    }
}
