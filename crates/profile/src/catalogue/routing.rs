//! `model_routing_rules`: checks, and whether one holds for a call.

use super::{Ask, RoutingRule};
use crate::check::walk::{Fields, Sink, nearest, wrong_type};
use crate::lang;
use crate::rows::{RoutingRow, Rows};
use diag::{Code, Place};
use serde_json::{Map, Value};
use std::cmp::Ordering;

const FACTS: &[&str] = &["feature", "purpose", "model_type", "language", "max_tokens"];
const TESTS: &[&str] = &["$lt", "$lte", "$gt", "$gte"];

/// The checked rules, the highest priority first.
pub(super) fn rules(rows: &Rows, sink: &Sink) -> Vec<RoutingRule> {
    let mut all: Vec<RoutingRule> = rows
        .routing_rules
        .iter()
        .map(|row| rule(row, rows, sink))
        .collect();
    all.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
    all
}

fn rule(row: &RoutingRow, rows: &Rows, sink: &Sink) -> RoutingRule {
    let models: Vec<&str> = rows
        .models
        .iter()
        .map(|model| model.model_id.as_str())
        .collect();
    let named = [
        ("target_model", Some(row.target_model.as_str())),
        ("fallback_model", row.fallback_model.as_deref()),
    ];
    for (column, model) in named {
        let Some(model) = model.filter(|model| !models.contains(model)) else {
            continue;
        };
        let near = nearest(model, models.iter().copied());
        let start = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        sink.error(
            Code::P110,
            &row.at.child(column),
            format!("there is no model `{model}`"),
            format!("{start}known: {}", models.join(", ")),
        );
    }
    let at = row.at.child("conditions");
    let conditions = match Fields::open(&row.conditions, &at, sink) {
        Some(fields) => {
            for (name, test) in fields.members() {
                condition(name, test, &fields.place(name), sink);
            }
            row.conditions.as_object().cloned().unwrap_or_default()
        }
        None => Map::new(),
    };
    RoutingRule {
        tenant: row.tenant,
        conditions,
        target_model: row.target_model.clone(),
        fallback_model: row.fallback_model.clone(),
        priority: row.priority,
    }
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
            fact.is_some_and(|fact| holds(&fact, test))
        })
    }
}

fn fact(ask: &Ask, name: &str) -> Option<Value> {
    let fact = match name.strip_prefix("metadata.") {
        Some(member) => ask.facts.get("metadata")?.get(member)?.clone(),
        None if matches!(name, "purpose" | "model_type") => ask
            .facts
            .get(name)
            .cloned()
            .unwrap_or_else(|| Value::from(ask.purpose.as_str())),
        None => ask.facts.get(name)?.clone(),
    };
    Some(fact).filter(|fact| !fact.is_null())
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
