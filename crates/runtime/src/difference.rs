//! Rows by natural key, and what differs between two sets of them.

use json_patch::PatchOperation;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Rows by table and natural key: `models/a-1`.
pub type RowsByKey = BTreeMap<String, Value>;

/// A row that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Table and natural key.
    pub key: String,
    /// How.
    pub change: Change,
}

/// How a row differs.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It was not there.
    Added,
    /// It is there no more.
    Removed,
    /// In these members.
    Members(Vec<Member>),
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// JSON Pointer into the row.
    pub pointer: String,
    /// Absent: it was not there.
    pub before: Option<Value>,
    /// Absent: it is there no more.
    pub after: Option<Value>,
}

impl Changed {
    /// `{row, change, members?}`: `added`, `removed` or `changed`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (word, members) = match &self.change {
            Change::Added => ("added", None),
            Change::Removed => ("removed", None),
            Change::Members(members) => (
                "changed",
                Some(members.iter().map(Member::to_json).collect::<Vec<_>>()),
            ),
        };
        let mut told = json!({ "row": self.key, "change": word });
        if let (Some(told), Some(members)) = (told.as_object_mut(), members) {
            told.insert("members".to_owned(), Value::Array(members));
        }
        told
    }
}

impl Member {
    fn to_json(&self) -> Value {
        let mut told = Map::new();
        told.insert("pointer".to_owned(), Value::from(self.pointer.as_str()));
        for (name, value) in [("before", &self.before), ("after", &self.after)] {
            if let Some(value) = value {
                told.insert(name.to_owned(), value.clone());
            }
        }
        Value::Object(told)
    }
}

/// The rows of a bundle as `profile::bundle::write` writes it: defaults are said, so that a default that is
/// written out is no difference; nor is an empty column, which says nothing.
#[must_use]
pub fn of_bundle(bundle: &Value) -> RowsByKey {
    let mut rows = RowsByKey::new();
    for (table, value) in bundle.as_object().into_iter().flatten() {
        match value {
            Value::Array(list) => {
                for row in list {
                    rows.insert(format!("{table}/{}", natural_key(table, row)), said(row));
                }
            }
            one => drop(rows.insert(table.clone(), said(one))),
        }
    }
    rows
}

/// Without the columns that are empty.
fn said(row: &Value) -> Value {
    let is_empty = |value: &Value| {
        value.is_null()
            || value.as_object().is_some_and(Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty)
    };
    let mut row = row.clone();
    if let Some(columns) = row.as_object_mut() {
        columns.retain(|_, value| !is_empty(value));
    }
    row
}

/// What was joined into a revision.
#[must_use]
pub fn of_content(content: &Value) -> RowsByKey {
    content
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A rule has no name of its own: target and conditions stand for one.
fn natural_key(table: &str, row: &Value) -> String {
    let members: &[&str] = match table {
        "auth_profiles" => &["profile_key"],
        "models" => &["model_id"],
        "profiles" => &["profile_key", "model"],
        "routing_rules" => &["target_model", "conditions"],
        _ => &["name", "version"],
    };
    let text = |name: &&str| match row.get(*name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(value) => Some(value.to_string()),
        None => None,
    };
    members
        .iter()
        .filter_map(text)
        .collect::<Vec<_>>()
        .join("/")
}

/// What differs, by key.
#[must_use]
pub fn compare(before: &RowsByKey, after: &RowsByKey) -> Vec<Changed> {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let changed = |key: &String| {
        let change = match (before.get(key), after.get(key)) {
            (Some(before), Some(after)) => Change::Members(members(before, after)),
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
        };
        Changed {
            key: key.clone(),
            change,
        }
    };
    keys.into_iter()
        .map(changed)
        .filter(|row| row.change != Change::Members(Vec::new()))
        .collect()
}

fn members(before: &Value, after: &Value) -> Vec<Member> {
    // Indexes of a patch count in what the operations before it have made: the row is patched along.
    let mut at = before.clone();
    let mut members = Vec::new();
    for operation in json_patch::diff(before, after).0 {
        let (path, value) = match &operation {
            PatchOperation::Add(add) => (&add.path, Some(&add.value)),
            PatchOperation::Replace(replace) => (&replace.path, Some(&replace.value)),
            PatchOperation::Remove(remove) => (&remove.path, None),
            // A difference is made of the three above.
            _ => continue,
        };
        let was = match &operation {
            PatchOperation::Add(_) => None,
            _ => at.pointer(path.as_str()).cloned(),
        };
        members.push(Member {
            pointer: path.as_str().to_owned(),
            before: was,
            after: value.cloned(),
        });
        // It was made from these values, so it fits.
        let _ = json_patch::patch(&mut at, std::slice::from_ref(&operation));
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(change: impl FnOnce(&mut Value)) -> RowsByKey {
        let mut bundle = json!({
            "language": 1, "provider": { "slug": "acme" },
            "models": [{ "model_id": "a-1", "sizes": [1, 2, 3] }],
            "profiles": [{ "profile_key": "p", "transport": { "path": "/a" } }],
            "routing_rules": [{ "target_model": "a-1", "conditions": { "feature": "x" } }],
        });
        change(&mut bundle);
        of_bundle(&bundle)
    }

    #[test]
    fn rows_are_compared_by_key_whatever_their_order_and_members_by_pointer() {
        let before = bundle(|_| {});
        assert_eq!(compare(&before, &bundle(|_| {})), []);
        let after = bundle(|bundle| {
            bundle["models"] =
                json!([{ "model_id": "a-2" }, { "model_id": "a-1", "sizes": [2, 3] }]);
            bundle["profiles"][0]["transport"] = json!({ "path": "/b", "kind": "http_form" });
            bundle["routing_rules"] = json!([]);
        });
        let told: Vec<Value> = compare(&before, &after)
            .iter()
            .map(Changed::to_json)
            .collect();
        assert_eq!(
            Value::from(told),
            json!([
                { "row": "models/a-1", "change": "changed", "members": [
                    { "pointer": "/sizes/0", "before": 1, "after": 2 },
                    { "pointer": "/sizes/1", "before": 2, "after": 3 },
                    { "pointer": "/sizes/2", "before": 3 },
                ] },
                { "row": "models/a-2", "change": "added" },
                { "row": "profiles/p", "change": "changed", "members": [
                    { "pointer": "/transport/path", "before": "/a", "after": "/b" },
                    { "pointer": "/transport/kind", "after": "http_form" },
                ] },
                { "row": "routing_rules/a-1/{\"feature\":\"x\"}", "change": "removed" },
            ])
        );
    }
}
