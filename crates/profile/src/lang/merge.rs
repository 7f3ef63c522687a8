//! JSON Merge Patch (RFC 7396) over rows that hold directives.

use serde_json::{Map, Value};

/// Lays `patch` over `target`: objects merge, `null` removes, anything else,
/// arrays and directives too, replaces; laid over a `$merge`, the patch
/// becomes its last member.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        target.clone_from(patch);
        return;
    };
    if is_directive(members) {
        target.clone_from(patch);
        return;
    }
    if let Some(list) = merge_list(target) {
        list.push(patch.clone());
        return;
    }
    match target {
        Value::Object(own) if !is_directive(own) => {}
        _ => *target = Value::Object(Map::new()),
    }
    let Value::Object(own) = target else { return };
    for (key, patch) in members {
        if patch.is_null() {
            own.shift_remove(key);
        } else {
            merge(own.entry(key.clone()).or_insert(Value::Null), patch);
        }
    }
}

/// Whether an object is a directive: it has one of the keys that open one.
pub(super) fn is_directive(members: &Map<String, Value>) -> bool {
    ["$when", "$each", "$merge", "$json", "$file"]
        .iter()
        .any(|key| members.contains_key(*key))
}

fn merge_list(target: &mut Value) -> Option<&mut Vec<Value>> {
    match target.as_object_mut()?.get_mut("$merge")? {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn merged(target: &Value, patch: &Value) -> Value {
        let mut target = target.clone();
        merge(&mut target, patch);
        target
    }

    #[test]
    #[rustfmt::skip]
    fn merging_follows_the_examples_of_rfc_7396_appendix_a() {
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a","b"]), json!(["c","d"]), json!(["c","d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1,2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (target, patch, want) in cases {
            assert_eq!(merged(&target, &patch), want, "{target} {patch}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_directive_replaces_and_is_replaced_as_a_whole() {
        let when = json!({"$when": {"present": "params.size"}, "$then": 1});
        assert_eq!(merged(&json!({"a": {"b": 1}}), &json!({"a": when})), json!({"a": when}));
        assert_eq!(merged(&json!({"a": when}), &json!({"a": {"b": 1}})), json!({"a": {"b": 1}}));
        assert_eq!(merged(&json!({"a": when}), &json!({"a": null})), json!({}));
    }

    #[test]
    fn a_patch_laid_over_a_merge_becomes_its_last_member() {
        let target = json!({"a": {"$merge": [{"x": 1}]}});
        assert_eq!(
            merged(&target, &json!({"a": {"y": 2}})),
            json!({"a": {"$merge": [{"x": 1}, {"y": 2}]}})
        );
        let other = json!({"a": {"$merge": [{"z": 3}]}});
        assert_eq!(merged(&target, &other), other);
    }

    fn json_tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            Just(json!(1)),
            Just(json!("x")),
            Just(json!([1, null]))
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn merging_the_same_patch_twice_changes_nothing_more(target in json_tree(), patch in json_tree()) {
            let once = merged(&target, &patch);
            prop_assert_eq!(merged(&once, &patch), once);
        }

        #[test]
        fn an_empty_patch_leaves_an_object_as_it_is(target in json_tree()) {
            prop_assume!(target.is_object());
            prop_assert_eq!(merged(&target, &json!({})), target);
        }
    }
}
