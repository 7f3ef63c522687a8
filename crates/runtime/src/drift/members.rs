//! The names of the members of an answer, as paths without values.

use serde_json::Value;
use std::collections::BTreeSet;

/// Members of one answer.
const MEMBERS_MAX: usize = 200;
const DEPTH_MAX: usize = 6;
/// Longest name; a longer one is a value in the place of a name.
const NAME_MAX: usize = 48;
/// Longest path.
const PATH_MAX: usize = 200;
/// Largest answer that is looked at.
const BODY_MAX: usize = 256 * 1024;
/// Items of a list that are looked at.
const ITEMS_MAX: usize = 5;

/// The members of a body; none when it is not JSON or large.
pub(crate) fn bytes_members(body: &[u8]) -> BTreeSet<String> {
    let read = (body.len() <= BODY_MAX).then(|| serde_json::from_slice(body));
    match read {
        Some(Ok(value)) => value_members(&value),
        _ => BTreeSet::new(),
    }
}

/// The members of a value: `data[].url`.
fn value_members(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(value, "", 0, &mut found);
    found
}

fn walk(value: &Value, at: &str, depth: usize, found: &mut BTreeSet<String>) {
    if depth > DEPTH_MAX {
        return;
    }
    match value {
        Value::Array(items) => {
            let at = format!("{at}[]");
            for item in items.iter().take(ITEMS_MAX) {
                walk(item, &at, depth + 1, found);
            }
        }
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(name, _)| is_name(name)) {
                let at = if at.is_empty() {
                    name.clone()
                } else {
                    format!("{at}.{name}")
                };
                if at.len() > PATH_MAX || found.len() >= MEMBERS_MAX {
                    return;
                }
                walk(value, &at, depth + 1, found);
                found.insert(at);
            }
        }
        _ => {}
    }
}

/// A name of an API, and no id or text in its place.
fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let digits = name.chars().filter(char::is_ascii_digit).count();
    begins && name.len() <= NAME_MAX && name.chars().all(fits) && digits <= 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_kept_and_no_values_nor_ids_in_their_place() {
        let answer = json!({
            "id": "secret-value", "data": [{"url": "u"}, {"b64": "x"}],
            "by_id": {"0198f3a2-1111-7222": {"n": 1}, "a cat plays": 1},
        });
        let found: Vec<String> = value_members(&answer).into_iter().collect();
        assert_eq!(found, ["by_id", "data", "data[].b64", "data[].url", "id"]);
        assert!(bytes_members(b"no json").is_empty());
    }
}
