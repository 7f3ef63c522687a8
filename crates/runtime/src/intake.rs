//! A call becomes a run: chosen, checked, written down. Claims send it; the one that is made with it, at once.

use crate::cache;
use crate::catalogue::Snapshot;
use crate::claim::at_once;
use crate::core::Core;
use crate::cost;
use crate::error::RunError;
use crate::events::Progress;
use crate::fallback;
use crate::inputs::{self, Given};
use crate::options::Work;
use crate::read;
use crate::request::RunRequest;
use crate::sealed::SealError;
use crate::setting::Recorded;
use crate::traces;
use crate::view::Cost;
use crate::webhook;
use diag::{Code, Diagnostic, Diagnostics, Place};
use profile::call::{Call, Checked};
use profile::catalogue::{Ask, Fallback, choose};
use profile::content::canonical;
use profile::revision::Revision;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use store::budgets::{Limit, Over};
use store::catalogue::CredentialRow;
use store::claim::Intended;
use store::runs::{Inserted, Insertion, NewRun, RunDetails};
use store::{State, StoreError};
use tokio::sync::watch;
use uuid::Uuid;

/// A run that waits longer than a day was forgotten by its caller.
const START_WITHIN: Duration = Duration::from_secs(86_400);

/// What a call was found to mean.
pub(crate) struct Understood {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) revision: Arc<Revision>,
    /// What the routing rule declares.
    pub(crate) fallback: Option<Fallback>,
    pub(crate) checked: Checked,
    pub(crate) given: Given,
}

/// A run that was made, or that the key had made before.
pub(crate) struct Made {
    pub(crate) run: Uuid,
    pub(crate) replayed: bool,
    /// What is heard of it since before it was there; absent where it may have ended already.
    pub(crate) heard: Option<watch::Receiver<Progress>>,
    /// The rows as they were made; absent where somebody may have changed them.
    pub(crate) rows: Option<Arc<RunDetails>>,
}

/// Chooses the profile and checks the call, all findings at once.
pub(crate) async fn understand(
    core: &Core,
    snapshot: Arc<Snapshot>,
    request: &RunRequest,
) -> Result<Understood, RunError> {
    let choice = choose(&snapshot.compiled, &ask(request)).map_err(RunError::Refused)?;
    let revision = choice.revision;
    let unread = revision
        .capabilities
        .refuse_before_reading(&inputs::named(request));
    if unread.has_errors() {
        return Err(RunError::Refused(unread));
    }
    let given = inputs::read(core, request).await?;
    let checked = check(core, &revision, request, &given).map_err(RunError::Refused)?;
    Ok(Understood {
        snapshot,
        revision,
        fallback: choice.fallback,
        checked,
        given,
    })
}

/// The profile that serves a call, whatever else the call says.
pub(crate) fn serving(core: &Core, request: &RunRequest) -> Result<Arc<Revision>, RunError> {
    let snapshot = core.catalogue.now();
    let choice = choose(&snapshot.compiled, &ask(request)).map_err(RunError::Refused)?;
    Ok(choice.revision)
}

/// Whether a model takes the call, once its media are read: all findings at once.
pub(crate) fn check(
    core: &Core,
    revision: &Revision,
    request: &RunRequest,
    given: &Given,
) -> Result<Checked, Diagnostics> {
    let call = Call {
        inputs: given.inputs.clone(),
        ..request.call.clone()
    };
    let capabilities = &revision.capabilities;
    let mut found = Diagnostics::new();
    found.extend(capabilities.refuse_after_shutdown(core.now().date()));
    match capabilities.check(&call, &given.facts()) {
        Ok(checked) if !found.has_errors() => Ok(checked),
        Ok(_) => Err(found),
        Err(more) => {
            found.extend(more);
            Err(found)
        }
    }
}

/// Makes the run, or finds the one that its idempotency key made.
pub(crate) async fn run(core: &Arc<Core>, request: RunRequest) -> Result<Made, RunError> {
    let understood = understand(core, core.catalogue.now(), &request).await?;
    record(core, request, understood).await
}

/// Writes the run of a call that was understood.
pub(crate) async fn record(
    core: &Arc<Core>,
    request: RunRequest,
    mut understood: Understood,
) -> Result<Made, RunError> {
    let began_ms = core.clock.now_ms();
    let row = credential(
        core,
        &understood.snapshot,
        &understood.revision,
        request.tenant,
    );
    let row = row.map_err(RunError::Refused)?;
    let credential = row.id.ok_or(RunError::NoSuchRun {
        run_id: Uuid::nil(),
    })?;
    let cache_key = cache::key(core, &request, &understood, row.endpoint_url.clone());
    if let Some(callback) = &request.callback {
        webhook::check(core, request.tenant, callback).await?;
    }
    inputs::keep(core, request.tenant, &mut understood.given).await?;
    let run_id = Uuid::now_v7();
    let heard = core.watches.watch(run_id);
    let cost = cost::estimate(
        &understood.revision,
        &understood.checked.call,
        &understood.given.media,
        core.clock.now_ms(),
    );
    let new = NewRun {
        run_id,
        tenant_id: request.tenant,
        api_key_id: request.api_key_id,
        idempotency_key: request.idempotency_key.clone(),
        request_sha256: identity(&request, &understood.given),
        purpose: request.purpose.clone(),
        revision_id: understood.revision.id.0.to_vec(),
        credential_id: credential,
        request: recorded(core, &request, &understood, cost.clone())?,
        start_by: request.start_by,
        start_within: START_WITHIN,
        priority: request.priority,
        price: cost.as_ref().and_then(cost::price),
        over_limit: request.over_limit,
        cache_key,
        inputs: understood.given.ids(),
        sent: request.sent,
    };
    let cached = cache::served(core, &request, &new).await?;
    let was_cached = cached.is_some();
    let inserted = match cached {
        Some(inserted) => inserted.into(),
        None => Box::pin(insert(core, &new, row)).await?,
    };
    let mut made = made(core, inserted.inserted, (!was_cached).then_some(heard))?;
    made.rows = read::as_made(new, &inserted).map(Arc::new);
    if !made.replayed {
        traces::made(core, made.run, &understood.revision, began_ms);
        if was_cached {
            let end = State::Succeeded.into();
            traces::ended(core, made.run, Some(&understood.revision), &end);
        }
    }
    tracing::info!(run.id = %made.run, profile = understood.revision.profile_key, replayed = made.replayed, "run made");
    Ok(made)
}

/// Tells the claims of a run that is queued.
fn made(
    core: &Core,
    inserted: Inserted,
    heard: Option<watch::Receiver<Progress>>,
) -> Result<Made, RunError> {
    let (run, replayed) = match inserted {
        Inserted::New(run) => {
            core.queue.notify_one();
            core.hints.queued();
            (run, false)
        }
        Inserted::Claimed(Intended { run_id, .. }) => (run_id, false),
        Inserted::Same(run) => (run, true),
        Inserted::OtherBody(run_id) => return Err(RunError::KeyUsed { run_id }),
        Inserted::Erased(run_id) => return Err(RunError::KeyOfDeleted { run_id }),
        Inserted::Over(over) => {
            return Err(RunError::OverLimit {
                retry_after: worth_another_try(core, &over),
                over,
            });
        }
    };
    Ok(Made {
        run,
        replayed,
        heard: heard.filter(|_| !replayed),
        rows: None,
    })
}

/// Inserts the run, and claims it with that where it can be sent at once. A commit that was not answered is looked up by the
/// run's id, which makes the run where it came to nothing.
async fn insert(
    core: &Arc<Core>,
    new: &NewRun,
    row: &CredentialRow,
) -> Result<Insertion, StoreError> {
    match claimed(core, new, row).await {
        Ok(None) => {}
        Ok(Some(inserted)) => return Ok(inserted),
        Err(error) if error.is_transient() => in_doubt(new, &error),
        Err(error) => return Err(error),
    }
    match core.store.run_make(new, None).await {
        Err(error) if error.is_transient() => {
            in_doubt(new, &error);
            core.store.run_make(new, None).await
        }
        inserted => inserted,
    }
}

async fn claimed(
    core: &Arc<Core>,
    new: &NewRun,
    row: &CredentialRow,
) -> Result<Option<Insertion>, StoreError> {
    match at_once::rendered(core, new, row).await {
        Some(head) => at_once::insert(core, new, head).await,
        None => Ok(None),
    }
}

fn in_doubt(new: &NewRun, error: &StoreError) {
    tracing::warn!(run.id = %new.run_id, %error, "the commit of a new run was not answered; it is looked up");
}

fn ask(request: &RunRequest) -> Ask {
    let mut facts = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    put("feature", request.feature.as_ref().map(|text| json!(text)));
    put(
        "language",
        request.call.language.as_ref().map(|text| json!(text)),
    );
    put(
        "max_tokens",
        request.call.max_tokens.map(|most| json!(most)),
    );
    put("metadata", Some(Value::Object(request.metadata.clone())));
    Ask {
        purpose: request.purpose.clone(),
        provider: request.provider.clone(),
        model: request.model.clone(),
        profile_key: request.profile_key.clone(),
        tenant: Some(request.tenant),
        facts,
    }
}

/// The credential, whose secret must be there when this process is to use it.
pub(crate) fn credential<'s>(
    core: &Core,
    snapshot: &'s Snapshot,
    revision: &Revision,
    tenant: Uuid,
) -> Result<&'s CredentialRow, Diagnostics> {
    let row = snapshot.credential(revision, tenant)?;
    if core.options.work == Work::Yes
        && let Some(id) = &row.sealed_under
    {
        let may = core.options.secret_keys.may_open(id);
        may.map_err(|error| sealed(row, &error))?;
    }
    let opened = match &row.secret_ref {
        Some(reference) if core.options.work == Work::Yes => {
            core.options.secrets.open(reference).map(drop).err()
        }
        _ => None,
    };
    let Some(missing) = opened else {
        return Ok(row);
    };
    let help = format!(
        "{}; or write another reference into the row's `secret_ref`",
        missing.help
    );
    let found = Diagnostic::error(Code::R160, place_of(row, "/secret_ref"), missing.why, help);
    Err(Diagnostics(vec![found]))
}

fn sealed(row: &CredentialRow, error: &SealError) -> Diagnostics {
    let place = place_of(row, "/secret");
    let found = Diagnostic::error(error.code(), place, error.to_string(), error.help());
    Diagnostics(vec![found])
}

fn place_of(row: &CredentialRow, pointer: &str) -> Place {
    Place {
        source: Some(format!(
            "provider_api_credentials/{}/{}",
            row.provider, row.name
        )),
        pointer: pointer.into(),
        ..Place::default()
    }
}

/// What makes two calls the same: all that was asked, media by their digests.
fn identity(request: &RunRequest, given: &Given) -> Vec<u8> {
    let mut call = request.call.clone();
    call.inputs.clear();
    let mut body = json!({
        "purpose": request.purpose, "provider": request.provider, "model": request.model,
        "profile_key": request.profile_key, "feature": request.feature, "call": call,
        "inputs": given.digests, "metadata": request.metadata, "callback": request.callback,
    });
    // Left out of every other call: their hashes stay what they were.
    if let (Some(again), Some(body)) = (&request.again, body.as_object_mut()) {
        body.insert("retry_of".to_owned(), json!(again.of));
    }
    Sha256::digest(canonical(&body)).to_vec()
}

/// Without a time it is a guess: a run ends when it ends, and a person raises a budget.
const SOME_RUN_ENDS: Duration = Duration::from_secs(30);
const LIMIT_IS_RAISED: Duration = Duration::from_secs(86_400);

fn worth_another_try(core: &Core, over: &Over) -> Duration {
    let wait = over.until.map(|until| until - core.now());
    let wait = wait.and_then(|wait| Duration::try_from(wait).ok());
    wait.unwrap_or(match over.limit {
        Limit::InFlight | Limit::Queued => SOME_RUN_ENDS,
        Limit::RunsPerDay | Limit::Spend => LIMIT_IS_RAISED,
    })
}

fn recorded(
    core: &Core,
    request: &RunRequest,
    understood: &Understood,
    cost: Option<Cost>,
) -> Result<Value, RunError> {
    let revision = &understood.revision;
    let declared = understood.fallback.as_ref();
    let fallback = declared.map(|declared| {
        let call = (request, &understood.given);
        fallback::understand(core, &understood.snapshot, declared, call)
    });
    let recorded = Recorded {
        call: understood.checked.call.clone(),
        provider: Some(revision.provider.clone()),
        model: revision.model.clone(),
        profile_key: Some(revision.profile_key.clone()),
        metadata: request.metadata.clone(),
        callback: request.callback.clone(),
        urls: understood.given.urls.clone(),
        retry_of: request.again.as_ref().map(|again| again.of),
        made_from: request.made_from,
        cost,
        fallback,
    };
    serde_json::to_value(&recorded).map_err(|error| {
        let found = Diagnostic::error(Code::R129, Place::default(), error.to_string(), "report it");
        RunError::Refused(Diagnostics(vec![found]))
    })
}
