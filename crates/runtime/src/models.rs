//! What may be called: the models that serve, what each takes, costs, and until when.

use crate::library::Modelrow;
use profile::capabilities::Capabilities;
use profile::catalogue::Entry;
use profile::revision::Revision;
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// A model as one profile serves it: a line of the capability matrix.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelCard {
    /// `ai_models.model_id`; absent: the profile serves calls without a model.
    pub model: Option<String>,
    /// `ai_providers.slug`
    pub provider: String,
    /// What it makes.
    pub purpose: String,
    /// `model_api_profiles.profile_key`
    pub profile_key: String,
    /// Serves calls of its purpose that name no model.
    pub is_default: bool,
    /// Names of its options, sorted.
    pub params: Vec<String>,
    /// Media by name: `{kind, mime, max_bytes, max_count, required}`.
    #[schema(value_type = Object)]
    pub inputs: Map<String, Value>,
    /// Limits that bind, by their documented names.
    #[schema(value_type = Object)]
    pub limits: Map<String, Value>,
    /// `{currency, per, from}`: the least amount for one of what is counted. Absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Value>,
    /// `{deprecated_at, shutdown_at, successor}`; absent: nothing is announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Value>,
    /// When its profile last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// The JSON Schema (2020-12) of a call's `params` and `inputs`; in lists it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

impl Modelrow {
    /// The models that serve a tenant, by provider and name; with a `model`, those of that name, each with its schema.
    #[must_use]
    pub fn models(&self, tenant: Uuid, model: Option<&str>) -> Vec<ModelCard> {
        let compiled = self.catalogue();
        let visible = |entry: &&Entry| {
            let own = entry.key.tenant.is_none_or(|owner| owner == tenant);
            own && model.is_none_or(|model| entry.key.model.as_deref() == Some(model))
        };
        let serving = compiled.revisions.iter().filter(visible);
        let mut cards: Vec<ModelCard> = serving
            .filter_map(|entry| {
                let revision = entry.revision.as_ref().ok()?;
                Some(card(entry, revision, model.is_some()))
            })
            .collect();
        let order = |card: &ModelCard| {
            let (provider, model) = (card.provider.clone(), card.model.clone());
            (provider, model, card.profile_key.clone())
        };
        cards.sort_by_cached_key(order);
        cards
    }
}

fn card(entry: &Entry, revision: &Revision, whole: bool) -> ModelCard {
    let can = &revision.capabilities;
    // The database keeps no order of members.
    let mut params: Vec<String> = can.options.iter().map(|one| one.name.clone()).collect();
    params.sort_unstable();
    ModelCard {
        model: revision.model.clone(),
        provider: revision.provider.clone(),
        purpose: revision.purpose.as_str().to_owned(),
        profile_key: revision.profile_key.clone(),
        is_default: entry.is_default,
        params,
        inputs: inputs(can),
        limits: limits(can),
        price: price(can),
        lifecycle: lifecycle(can),
        updated_at: OffsetDateTime::from_unix_timestamp_nanos(
            i128::from(entry.updated_at_us) * 1_000,
        )
        .unwrap_or(OffsetDateTime::UNIX_EPOCH),
        schema: whole.then(|| can.schema.clone()),
    }
}

fn inputs(can: &Capabilities) -> Map<String, Value> {
    let shown = can.inputs.iter().map(|input| {
        let facts = json!({
            "kind": input.kind, "mime": input.mime, "max_bytes": input.max_bytes, "max_count": input.max_count,
            "required": input.required,
        });
        (input.name.clone(), facts)
    });
    shown.collect()
}

fn limits(can: &Capabilities) -> Map<String, Value> {
    let shown = can.limits.iter();
    shown
        .map(|limit| (limit.name.clone(), limit.value.into()))
        .collect()
}

fn price(can: &Capabilities) -> Option<Value> {
    let pricing = can.pricing.as_ref()?;
    let least = pricing.price.iter().map(|line| line.amount);
    let least = least.fold(f64::INFINITY, f64::min);
    Some(json!({
        "currency": pricing.currency, "per": pricing.per,
        "from": least.is_finite().then(|| least.to_string()),
    }))
}

fn lifecycle(can: &Capabilities) -> Option<Value> {
    let life = &can.lifecycle;
    let announced =
        life.deprecated_at.is_some() || life.shutdown_at.is_some() || life.successor.is_some();
    let date = |date: Option<time::Date>| date.map(|date| date.to_string());
    announced.then(|| {
        json!({
            "deprecated_at": date(life.deprecated_at), "shutdown_at": date(life.shutdown_at), "successor": life.successor,
        })
    })
}
