//! The result cache, for calls that ask for it and for tenants that have chosen so: a request that was answered before is
//! answered with the same files, by a run that has ended when it is made. Nothing is sent, paid or counted.

use crate::core::Core;
use crate::drive::kept_output;
use crate::error::RunError;
use crate::intake::Understood;
use crate::library::Modelrow;
use crate::links;
use crate::objects::ObjectsError;
use crate::read::{OUTPUT, OUTPUT_OBJECT, WARNINGS};
use crate::request::RunRequest;
use engine::{RunIdentity, Setting};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::cache::{Given, Hit};
use store::runs::{Inserted, NewRun};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a tenant has cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CacheView {
    /// Whose it is.
    pub tenant: Uuid,
    /// Whether calls that do not say are served from it.
    pub on: bool,
    /// Results that may serve.
    pub results: i64,
    /// Runs that were given one this month (UTC).
    pub hits_this_month: i64,
}

/// Whether the call may be served from the cache, and its result serve others: as it says, else as its tenant has chosen.
pub(crate) fn is_wanted(request: &RunRequest, understood: &Understood) -> bool {
    let tenants = &understood.snapshot.caching;
    request.cache.unwrap_or(tenants.contains(&request.tenant))
}

/// What the call has in common with those that its result may serve; absent: the cache is not wanted.
pub(crate) fn key(
    core: &Core,
    request: &RunRequest,
    understood: &Understood,
    endpoint: Option<String>,
) -> Option<Vec<u8>> {
    if !is_wanted(request, understood) {
        return None;
    }
    let revision = &understood.revision;
    let setting = Setting {
        checked: Arc::new(understood.checked.clone()),
        identity: RunIdentity {
            run_id: Uuid::nil(),
            token: Uuid::nil(),
            callback_url: core.hooks.masked(&revision.provider),
        },
        secrets: Arc::default(),
        media: Arc::new(links::masked(core, understood.given.media.clone())),
        endpoint,
        allow: core.options.allow,
        phase_ms: 0,
        revision: Arc::clone(revision),
    };
    Some(engine::fingerprint(setting).to_vec())
}

/// The run with a result that is there; `None`: there is none, and it is to be made. A retry is made, whatever is there.
pub(crate) async fn served(
    core: &Core,
    request: &RunRequest,
    new: &NewRun,
) -> Result<Option<Inserted>, RunError> {
    if new.cache_key.is_none() || request.again.is_some() {
        return Ok(None);
    }
    let Some(hit) = core.store.cached(new).await? else {
        return Ok(None);
    };
    let captured = match result(core, &hit, new.run_id).await {
        Ok(captured) => captured,
        Err(error) => {
            tracing::warn!(run.id = %hit.run_id, %error, "the output of a cached run cannot be had; the call is sent");
            return Ok(None);
        }
    };
    let given = Given {
        of: hit.run_id,
        captured,
        keep: core.options.retention.artifacts,
    };
    let made = core.store.run_insert_cached(&free(new), &given).await?;
    if let Some(Inserted::New(run)) = made {
        core.callbacks.notify_one();
        tracing::info!(run.id = %run, cache.of = %hit.run_id, "the result was cached; nothing is sent");
    }
    Ok(made)
}

/// The same call at no cost.
fn free(new: &NewRun) -> NewRun {
    let mut free = NewRun {
        price: None,
        ..new.clone()
    };
    if let Some(estimate) = free.request.pointer_mut("/cost/estimate") {
        *estimate = json!("0");
    }
    free
}

/// The record of the new run: the output with its own id in place of the other's, in the addresses of its files too.
async fn result(core: &Core, hit: &Hit, run: Uuid) -> Result<Value, ObjectsError> {
    let output = match hit.captured.get(OUTPUT_OBJECT).and_then(Value::as_str) {
        Some(key) => {
            let bytes = core.objects.read(key).await?;
            serde_json::from_slice(&bytes).unwrap_or_default()
        }
        None => hit.captured.get(OUTPUT).cloned().unwrap_or_default(),
    };
    let output = renamed(output, &hit.run_id.to_string(), &run.to_string());
    // Its own object: the other's goes with the other. What is stored for a run that is not made is found by the sweep.
    let (name, value) = kept_output(core, (run, 0), output).await?;
    let mut captured = Map::new();
    captured.insert(name.to_owned(), value);
    if let Some(warnings) = hit.captured.get(WARNINGS) {
        captured.insert(WARNINGS.to_owned(), warnings.clone());
    }
    Ok(Value::Object(captured))
}

fn renamed(value: Value, from: &str, to: &str) -> Value {
    let inner = |value| renamed(value, from, to);
    match value {
        Value::String(text) => Value::String(text.replace(from, to)),
        Value::Array(items) => items.into_iter().map(inner).collect(),
        Value::Object(members) => {
            let members = members.into_iter();
            Value::Object(members.map(|(name, value)| (name, inner(value))).collect())
        }
        other => other,
    }
}

impl Modelrow {
    /// What a tenant has cached, and whether its calls are served from it without asking.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchTenant`], [`RunError::Store`].
    pub async fn cache(&self, tenant: Uuid) -> Result<CacheView, RunError> {
        let used = self.store().cache_use(tenant).await?;
        let used = used.ok_or_else(|| no_such(tenant))?;
        Ok(CacheView {
            tenant,
            on: used.on,
            results: used.results,
            hits_this_month: used.hits_this_month,
        })
    }

    /// Chooses for a tenant's calls that do not say; every process knows within a second. `by`: for the audit log.
    ///
    /// # Errors
    ///
    /// [`RunError::NoSuchTenant`], [`RunError::Store`].
    pub async fn set_cache(&self, tenant: Uuid, on: bool, by: &str) -> Result<(), RunError> {
        match self.store().tenant_cache_put(tenant, on, by).await? {
            true => Ok(()),
            false => Err(no_such(tenant)),
        }
    }

    /// Forgets a tenant's results, so that the next calls are sent; runs and files stay. How many it were.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`].
    pub async fn clear_cache(&self, tenant: Uuid) -> Result<u64, RunError> {
        Ok(self.store().cache_clear(tenant).await?)
    }
}

fn no_such(tenant: Uuid) -> RunError {
    RunError::NoSuchTenant {
        name: tenant.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_names_its_own_run_wherever_it_named_the_other() {
        let (from, to) = (
            Uuid::from_u128(1).to_string(),
            Uuid::from_u128(2).to_string(),
        );
        let given = json!({"id": from, "files": [{"url": format!("/v1/runs/{from}/artifacts/video/10")}], "n": 1, "text": format!("![]({from})")});
        let want = given.to_string().replace(&from, &to);
        assert_eq!(renamed(given, &from, &to).to_string(), want);
    }
}
