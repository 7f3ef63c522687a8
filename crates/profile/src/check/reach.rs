//! Values in lists that are tried in an order, such as `states` and the classes
//! of `errors`: which of them no answer can reach.
//!
//! Only what is certain is said. Each row is looked at by itself: a profile that
//! lays a list over its provider's conventions means the change.

use super::walk::Sink;
use diag::{Code, Place};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Lists of values and conditions as a row has them.
pub(crate) struct Lists<'a> {
    /// Their names, in the order in which they are tried.
    pub(crate) names: Vec<&'static str>,
    /// Where the value stands that words are compared with; absent: at one of the usual places.
    pub(crate) path: Option<&'a Value>,
}

/// An entry that was passed on the way.
#[derive(Clone, Copy)]
struct Entry<'a> {
    list: &'static str,
    value: &'a Value,
}

/// What was passed on the way.
#[derive(Default)]
struct Passed<'a> {
    /// By the word as it is compared, or the condition as it is written.
    entries: HashMap<String, Entry<'a>>,
    /// It takes every answer that has a value at all.
    any: Option<Entry<'a>>,
}

impl Lists<'_> {
    /// Refuses an entry that an earlier list takes whole, and tells of one that its own list has twice.
    pub(crate) fn check(&self, lists: &Value, at: &Place, sink: &Sink) {
        let mut passed = Passed::default();
        for list in &self.names {
            let items = lists.get(*list).and_then(Value::as_array);
            for (i, value) in items.into_iter().flatten().enumerate() {
                let entry = Entry { list, value };
                let at = || at.child(list).child(i);
                if let Some(by) = self.taken(value, &passed) {
                    report(entry, by, &at(), sink);
                } else if is_padded(value) {
                    padded(value, &at(), sink);
                }
                passed.entries.entry(as_compared(value)).or_insert(entry);
                if value.as_object().is_some_and(|value| self.is_any(value)) {
                    passed.any.get_or_insert(entry);
                }
            }
        }
    }

    /// The entry that takes every answer which `value` would take.
    fn taken<'a>(&self, value: &Value, passed: &Passed<'a>) -> Option<Entry<'a>> {
        let same = passed.entries.get(&as_compared(value)).copied();
        let Some(condition) = value.as_object() else {
            return same.or(passed.any);
        };
        if same.is_some() {
            return same;
        }
        let words = self.words_of(condition)?;
        // Words count in answers of 2xx only; what reads `@status` in others too.
        if value.to_string().contains("@status") {
            return None;
        }
        let by = |word: &&Value| passed.entries.get(&as_compared(word)).copied();
        let taken: Option<Vec<Entry<'a>>> = words.iter().map(by).collect();
        taken?.into_iter().next()
    }

    /// Whether the condition holds for every value that can be compared at all.
    fn is_any(&self, condition: &Map<String, Value>) -> bool {
        self.path.is_some() && condition.get("present") == self.path
    }

    /// The words that the value must be one of for the condition to hold; `None`: not known.
    fn words_of<'c>(&self, condition: &'c Map<String, Value>) -> Option<Vec<&'c Value>> {
        if let Some(Value::Array(all)) = condition.get("all") {
            let inner = all.iter().filter_map(Value::as_object);
            return inner.filter_map(|one| self.words_of(one)).next();
        }
        let path = self.path.filter(|path| is_plain(path))?;
        if condition.get("path") != Some(path) {
            return None;
        }
        let words: Vec<&Value> = match (condition.get("equals"), condition.get("in")) {
            (Some(word), _) => vec![word],
            (None, Some(Value::Array(words))) => words.iter().collect(),
            _ => return None,
        };
        let literal = |word: &&Value| match word {
            Value::String(text) => !text.contains("{{") && !text.contains("<<"),
            Value::Bool(_) | Value::Number(_) => true,
            _ => false,
        };
        (!words.is_empty() && words.iter().all(literal)).then_some(words)
    }
}

/// A word whatever its case, as `lang::is_word` compares it; the type stays apart.
fn as_compared(value: &Value) -> String {
    match value {
        Value::String(word) => Value::from(word.to_lowercase()).to_string(),
        other => other.to_string(),
    }
}

/// Whether the path gives one value, whoever asks.
fn is_plain(path: &Value) -> bool {
    let plain = |path: &Value| {
        path.as_str()
            .is_some_and(|path| !path.starts_with(['$', '@']) && !path.contains("[]"))
    };
    match path {
        Value::Array(paths) => paths.iter().all(plain),
        path => plain(path),
    }
}

/// What an answer says is compared without the blanks around it.
fn is_padded(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim() != text)
}

fn padded(value: &Value, at: &Place, sink: &Sink) {
    sink.error(
        Code::P617,
        at,
        format!("no answer can have {value}: blanks around a word do not count"),
        "remove the blanks",
    );
}

fn report(entry: Entry<'_>, by: Entry<'_>, at: &Place, sink: &Sink) {
    let Entry { list, value } = entry;
    let shown = shortened(&value.to_string());
    let whole = if value.is_object() && by.value != value {
        format!(", by {}", shortened(&by.value.to_string()))
    } else {
        String::new()
    };
    if by.list == list {
        sink.warn(
            Code::P616,
            at,
            format!("`{list}` has {shown} already{whole}"),
            "remove one of the two",
        );
    } else {
        sink.error(
            Code::P617,
            at,
            format!(
                "{shown} never counts as `{list}`: `{}` is tried before and takes it{whole}",
                by.list
            ),
            format!("keep it under `{list}` or under `{}`", by.list),
        );
    }
}

/// Text for a message.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(lists: &Value, path: &Value) -> Vec<String> {
        let sink = Sink::default();
        let lists_of = Lists {
            names: vec!["failed", "succeeded", "running"],
            path: Some(path),
        };
        lists_of.check(lists, &Place::default(), &sink);
        let found = sink.into_inner();
        let line = |one: &diag::Diagnostic| format!("{} {}", one.code, one.place.pointer);
        found.iter().map(line).collect()
    }

    #[test]
    #[rustfmt::skip]
    fn what_an_earlier_list_takes_is_refused_and_nothing_else() {
        let equals = |word: &str| json!({"path": "status", "equals": word});
        let cases = [
            ("apart",                    json!({"failed": ["error"], "succeeded": ["done"], "running": ["queued"]}),          vec![]),
            ("a word in two lists",      json!({"failed": ["done"], "succeeded": ["ok", "done"]}),                            vec!["P617 /succeeded/1"]),
            ("whatever its case",        json!({"failed": ["DONE"], "succeeded": ["done"]}),                                  vec!["P617 /succeeded/0"]),
            ("numbers by value",         json!({"failed": [3], "succeeded": [3]}),                                            vec!["P617 /succeeded/0"]),
            ("a text is no number",      json!({"failed": ["3"], "succeeded": [3]}),                                          vec![]),
            ("twice in one list",        json!({"succeeded": ["ok", "OK"]}),                                                  vec!["P616 /succeeded/1"]),
            ("a condition twice",        json!({"failed": [equals("x")], "succeeded": [equals("x")]}),                        vec!["P617 /succeeded/0"]),
            ("a condition for a word",   json!({"failed": ["x"], "succeeded": [equals("x")]}),                                vec!["P617 /succeeded/0"]),
            ("within `all`",             json!({"failed": ["x"], "succeeded": [{"all": [{"present": "url"}, equals("x")]}]}), vec!["P617 /succeeded/0"]),
            ("`in`, all of them",        json!({"failed": ["x", "y"], "succeeded": [{"path": "status", "in": ["x", "y"]}]}),  vec!["P617 /succeeded/0"]),
            ("`in`, not all of them",    json!({"failed": ["x"], "succeeded": [{"path": "status", "in": ["x", "y"]}]}),       vec![]),
            ("another path",             json!({"failed": ["x"], "succeeded": [{"path": "state", "equals": "x"}]}),           vec![]),
            ("a word after a condition", json!({"failed": [{"all": [equals("x"), {"present": "error"}]}], "running": ["x"]}), vec![]),
            ("`any` is more than one",   json!({"failed": ["x"], "succeeded": [{"any": [equals("x"), {"present": "url"}]}]}), vec![]),
            ("a template",               json!({"failed": ["x"], "succeeded": [equals("{{params_word}}")]}),                  vec![]),
            ("whatever is there",        json!({"failed": [{"present": "status"}], "succeeded": ["done"]}),                   vec!["P617 /succeeded/0"]),
            ("blanks around a word",     json!({"succeeded": [" done"]}),                                                     vec!["P617 /succeeded/0"]),
            ("an answer that is no 2xx", json!({"failed": ["x"], "succeeded": [{"all": [equals("x"), {"path": "@status", "equals": 404}]}]}), vec![]),
            ("null removes a list",      json!({"failed": null, "succeeded": ["done"]}),                                      vec![]),
        ];
        for (why, lists, want) in cases {
            assert_eq!(found(&lists, &json!("status")), want, "{why}");
        }
    }

    #[test]
    fn of_several_values_nothing_is_said() {
        let lists =
            json!({"failed": ["x"], "succeeded": [{"path": "items[].status", "equals": "x"}]});
        assert!(found(&lists, &json!("items[].status")).is_empty());
    }
}
