//! `model_routing_rules`: checks, and whether one holds for a call.

use super::links::{Links, of};
use super::{Ask, FallbackRule, ModelKey, RoutingRule};
use crate::check::tables::CLASSES;
use crate::check::walk::{Fields, Sink, nearest, not_a_word, some_of, wrong_type};
use crate::lang;
use crate::revision::{Class, Purpose};
use crate::rows::{RoutingRow, Rows};
use diag::{Code, Place};
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Deref;
use uuid::Uuid;

const FACTS: &[&str] = &["feature", "purpose", "model_type", "language", "max_tokens"];
const TESTS: &[&str] = &["$lt", "$lte", "$gt", "$gte"];

/// Refusals that are not the request's own: after them another model may do better.
const FALLBACK_ON: &[Class] = &[
    Class::Authentication,
    Class::Billing,
    Class::RateLimited,
    Class::Overloaded,
    Class::Transient,
];
/// What a rule may list beside them: ends of a job that are not the request's either.
const FALLBACK_ON_MORE: &[Class] = &[Class::Expired, Class::ProviderError];

/// Checked rules: the highest priority first, of the same a tenant's own.
#[derive(Debug, Default)]
pub struct Rules {
    all: Vec<RoutingRule>,
    /// The places of a tenant's rules, rising.
    of_tenant: HashMap<Option<Uuid>, Vec<usize>>,
}

impl Deref for Rules {
    type Target = [RoutingRule];

    fn deref(&self) -> &[RoutingRule] {
        &self.all
    }
}

impl FromIterator<RoutingRule> for Rules {
    fn from_iter<I: IntoIterator<Item = RoutingRule>>(rules: I) -> Self {
        let mut all: Vec<RoutingRule> = rules.into_iter().collect();
        all.sort_by_key(|rule| std::cmp::Reverse((rule.priority, rule.tenant.is_some())));
        let mut of_tenant: HashMap<Option<Uuid>, Vec<usize>> = HashMap::new();
        for (at, rule) in all.iter().enumerate() {
            of_tenant.entry(rule.tenant).or_default().push(at);
        }
        Self { all, of_tenant }
    }
}

impl Rules {
    /// Those that a tenant sees, the system's and its own, in their order: those of others cost nothing.
    pub(super) fn seen_by(&self, tenant: Option<Uuid>) -> impl Iterator<Item = &RoutingRule> {
        let places = move |tenant: Option<Uuid>| {
            let places = self.of_tenant.get(&tenant);
            places.map_or(&[][..], Vec::as_slice).iter().copied()
        };
        let mut system = places(None).peekable();
        // The system itself sees its own once.
        let own = tenant
            .into_iter()
            .flat_map(move |tenant| places(Some(tenant)));
        let mut own = own.peekable();
        let merged = std::iter::from_fn(move || match (system.peek(), own.peek()) {
            (Some(first), Some(second)) if first < second => system.next(),
            (_, Some(_)) => own.next(),
            _ => system.next(),
        });
        merged.filter_map(|at| self.all.get(at))
    }
}

/// The checked rules.
pub(super) fn rules(rows: &Rows, links: &Links<'_>, sink: &Sink) -> Rules {
    let rows = rows.routing_rules.iter();
    rows.map(|row| rule(row, links, sink)).collect()
}

fn rule(row: &RoutingRow, links: &Links<'_>, sink: &Sink) -> RoutingRule {
    model_is_there(
        links,
        &row.provider,
        &row.target_model,
        &row.at.child("target_model"),
        sink,
    );
    RoutingRule {
        tenant: row.tenant,
        conditions: conditions(row, sink),
        target: ModelKey {
            provider: row.provider.clone(),
            model: row.target_model.clone(),
        },
        fallback: fallback(row, links, sink),
        priority: row.priority,
    }
}

fn fallback(row: &RoutingRow, links: &Links<'_>, sink: &Sink) -> Option<FallbackRule> {
    let model = row.fallback_model.as_ref()?;
    let at = row.at.child("fallback_model");
    let provider = row.fallback_provider.as_ref().unwrap_or(&row.provider);
    // A bundle may name the model of another one: whether it is there is seen when the bundle is applied.
    if !of(&links.providers, provider).is_empty() {
        model_is_there(links, provider, model, &at, sink);
    }
    if (provider, model) == (&row.provider, &row.target_model) {
        sink.error(
            Code::P113,
            &at,
            format!("`{model}` is the target itself"),
            "name another model, or leave the fallback out",
        );
    }
    let listed = row.fallback_on.iter().enumerate();
    let listed =
        listed.filter_map(|(i, word)| class(word, &row.at.child("fallback_on").child(i), sink));
    let listed: Vec<Class> = listed.collect();
    Some(FallbackRule {
        to: ModelKey {
            provider: provider.clone(),
            model: model.clone(),
        },
        on: if row.fallback_on.is_empty() {
            FALLBACK_ON.to_vec()
        } else {
            listed
        },
    })
}

/// What a rule may list in `fallback_on`.
pub(crate) fn fallback_words() -> Vec<&'static str> {
    let may = |class: &Class| FALLBACK_ON.contains(class) || FALLBACK_ON_MORE.contains(class);
    let known = CLASSES.iter().filter(|(_, class)| may(class));
    known.map(|(word, _)| *word).collect()
}

fn class(word: &str, at: &Place, sink: &Sink) -> Option<Class> {
    let known = fallback_words();
    if !known.contains(&word) {
        not_a_word(sink, at, word, &known);
        return None;
    }
    let mut classes = CLASSES.iter();
    classes
        .find(|(name, _)| *name == word)
        .map(|(_, class)| *class)
}

fn model_is_there(links: &Links<'_>, provider: &str, model: &str, at: &Place, sink: &Sink) {
    let models = of(&links.models, provider).iter();
    let models: Vec<&str> = models.map(|row| row.model_id.as_str()).collect();
    if models.contains(&model) {
        return;
    }
    let near = nearest(model, models.iter().copied());
    let start = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    sink.error(
        Code::P110,
        at,
        format!("`{provider}` has no model `{model}`"),
        format!("{start}known: {}", some_of(&models)),
    );
}

fn conditions(row: &RoutingRow, sink: &Sink) -> Map<String, Value> {
    let at = row.at.child("conditions");
    let Some(fields) = Fields::open(&row.conditions, &at, sink) else {
        return Map::new();
    };
    for (name, test) in fields.members() {
        condition(name, test, &fields.place(name), sink);
    }
    row.conditions.as_object().cloned().unwrap_or_default()
}

fn condition(name: &str, test: &Value, at: &Place, sink: &Sink) {
    let known = FACTS.contains(&name)
        || name
            .strip_prefix("metadata.")
            .is_some_and(|n| !n.is_empty());
    if !known {
        sink.error(
            Code::P115,
            at,
            format!("calls have no fact `{name}`"),
            format!("one of: {}, metadata.<name>", FACTS.join(", ")),
        );
    }
    match test {
        Value::Array(_) => wrong_type(sink, at, "a value, or one comparison", test),
        Value::Object(tests) => {
            for (name, number) in tests {
                if !TESTS.contains(&name.as_str()) || !number.is_number() {
                    sink.error(
                        Code::P115,
                        &at.child(name),
                        format!("`{name}` is no comparison with a number"),
                        format!("one of: {}, with a number", TESTS.join(", ")),
                    );
                }
            }
        }
        _ => {}
    }
}

impl RoutingRule {
    /// Whether all its conditions hold for the call.
    #[must_use]
    pub fn holds(&self, ask: &Ask) -> bool {
        self.conditions.iter().all(|(name, test)| {
            let fact = fact(ask, name);
            fact.is_some_and(|fact| {
                holds(&fact, test) || is_purpose(name) && same_purpose(&fact, test)
            })
        })
    }
}

/// What a call says; null counts as not said.
fn fact(ask: &Ask, name: &str) -> Option<Value> {
    let fact = match name.strip_prefix("metadata.") {
        Some(member) => ask.facts.get("metadata")?.get(member)?.clone(),
        None if is_purpose(name) => ask
            .facts
            .get(name)
            .cloned()
            .unwrap_or_else(|| Value::from(ask.purpose.as_str())),
        None => ask.facts.get(name)?.clone(),
    };
    Some(fact).filter(|fact| !fact.is_null())
}

/// Facts whose words have two spellings: `text` means `chat`.
fn is_purpose(name: &str) -> bool {
    matches!(name, "purpose" | "model_type")
}

fn same_purpose(one: &Value, other: &Value) -> bool {
    let read = |value: &Value| value.as_str().and_then(Purpose::parse);
    read(one).is_some_and(|purpose| read(other) == Some(purpose))
}

fn holds(fact: &Value, test: &Value) -> bool {
    let Value::Object(tests) = test else {
        return lang::same(fact, test);
    };
    tests.iter().all(|(name, bound)| {
        let (Value::Number(fact), Value::Number(bound)) = (fact, bound) else {
            return false;
        };
        let order = lang::compare(fact, bound);
        match name.as_str() {
            "$lt" => order == Ordering::Less,
            "$lte" => order != Ordering::Greater,
            "$gt" => order == Ordering::Greater,
            "$gte" => order != Ordering::Less,
            _ => false,
        }
    })
}
