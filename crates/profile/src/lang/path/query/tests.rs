use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::time::{Duration, Instant};

fn parse(text: &str) -> Query {
    Query::parse(text).unwrap_or_else(|mistake| panic!("{text}: {}", mistake.message))
}

/// The cases are those of RFC 9535, section 2.
#[test]
#[rustfmt::skip]
fn a_query_finds_what_the_standard_says() {
    let store = json!({"store": {"book": [
        {"category": "reference", "author": "Nigel Rees", "title": "Sayings", "price": 8.95},
        {"category": "fiction", "author": "Evelyn Waugh", "title": "Sword", "price": 12.99},
        {"category": "fiction", "author": "Herman Melville", "title": "Moby Dick", "isbn": "0-553-21311-3", "price": 8.99},
        {"category": "fiction", "author": "J. R. R. Tolkien", "title": "Lord", "isbn": "0-395-19395-8", "price": 22.99}],
        "bicycle": {"color": "red", "price": 399}}});
    let list = json!(["a", "b", "c", "d", "e", "f", "g"]);
    let marks = json!({"a": [3, 5, 1, 2, 4, 6, {"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}], "o": {"p": 1, "q": 2, "r": 3}, "e": "f"});
    let nested = json!({"o": {"j": 1, "k": 2}, "a": [5, 3, [{"j": 4}, {"k": 6}]]});
    let cases = [
        ("$.store.book[*].author", &store, json!(["Nigel Rees", "Evelyn Waugh", "Herman Melville", "J. R. R. Tolkien"])),
        ("$..author", &store, json!(["Nigel Rees", "Evelyn Waugh", "Herman Melville", "J. R. R. Tolkien"])),
        ("$.store..price", &store, json!([8.95, 12.99, 8.99, 22.99, 399])),
        ("$..book[2].title", &store, json!(["Moby Dick"])),
        ("$..book[-1].title", &store, json!(["Lord"])),
        ("$..book[0,1].title", &store, json!(["Sayings", "Sword"])),
        ("$..book[:2].title", &store, json!(["Sayings", "Sword"])),
        ("$..book[?@.isbn].title", &store, json!(["Moby Dick", "Lord"])),
        ("$..book[?@.price<10].title", &store, json!(["Sayings", "Moby Dick"])),
        ("$.store.book[0,1]['title','price']", &store, json!(["Sayings", 8.95, "Sword", 12.99])),
        ("$[1:3]", &list, json!(["b", "c"])), ("$[5:]", &list, json!(["f", "g"])), ("$[1:5:2]", &list, json!(["b", "d"])),
        ("$[5:1:-2]", &list, json!(["f", "d"])), ("$[::-1]", &list, json!(["g", "f", "e", "d", "c", "b", "a"])), ("$[0:9:0]", &list, json!([])),
        ("$[-2:]", &list, json!(["f", "g"])), ("$[-99:99]", &list, json!(["a", "b", "c", "d", "e", "f", "g"])), ("$[9]", &list, json!([])),
        ("$.a[?@.b == 'kilo']", &marks, json!([{"b": "kilo"}])), ("$.a[?(@.b == 'kilo')]", &marks, json!([{"b": "kilo"}])),
        ("$.a[?@>3.5]", &marks, json!([5, 4, 6])), ("$.a[?@.b]", &marks, json!([{"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}])),
        ("$[?@.*]", &marks, json!([marks["a"], marks["o"]])), ("$[?@[?@.b]]", &marks, json!([marks["a"]])),
        ("$.a[?@<2 || @.b == \"k\"]", &marks, json!([1, {"b": "k"}])), ("$.a[?match(@.b, \"[jk]\")]", &marks, json!([{"b": "j"}, {"b": "k"}])),
        ("$.a[?search(@.b, \"[jk]\")]", &marks, json!([{"b": "j"}, {"b": "k"}, {"b": "kilo"}])),
        ("$.o[?@>1 && @<4]", &marks, json!([2, 3])), ("$.o[?@.u || @.x]", &marks, json!([])), ("$.a[?@.b == $.x]", &marks, json!([3, 5, 1, 2, 4, 6])),
        ("$.a[?@ == @]", &marks, marks["a"].clone()), ("$.a[?!@.b]", &marks, json!([3, 5, 1, 2, 4, 6])),
        ("$[?length(@) < 3]", &json!([[1, 2], "ab", "abc", {"x": 1}, 7]), json!([[1, 2], "ab", {"x": 1}])),
        ("$[?count(@.*) > 1]", &json!([[1], [1, 2]]), json!([[1, 2]])), ("$[?value(@..color) == 'red']", &store, json!([store["store"]])),
        ("$..j", &nested, json!([1, 4])), ("$.a..[0, 1]", &nested, json!([5, 3, {"j": 4}, {"k": 6}])),
        ("$..[*]", &json!({"a": {"b": 1}}), json!([{"b": 1}, 1])),
        // Integers keep every digit.
        ("$[?@ == 9007199254740991]", &json!([9_007_199_254_740_991_u64, 9_007_199_254_740_992_u64]), json!([9_007_199_254_740_991_u64])),
        ("$[?@ == 1]", &json!([1, 1.0, true, "1"]), json!([1, 1.0])),
        ("$[?match(@, 'a.b')]", &json!(["axb", "a\rb", "a\nb", "xaxb"]), json!(["axb"])),
    ];
    for (text, document, want) in cases {
        let found: Vec<&Value> = parse(text).run(document);
        assert_eq!(json!(found), want, "{text}");
    }
}

#[test]
#[rustfmt::skip]
fn what_is_too_large_or_means_nothing_is_refused() {
    let long = format!("$.{}", "a".repeat(MAX_BYTES));
    let deep = format!("${}", "[?@".repeat(9) + &"]".repeat(9));
    let cases = [
        ("three descents",        "$..a..b..c"),
        ("one in a filter",       "$..a..b[?@..c]"),
        ("too long",              &long),
        ("too deep",              &deep),
        ("not of the standard",   "$[?in(@.a, $.b)]"),
        ("a length alone",        "$[?length(@.a)]"),
        ("a match compared",      "$[?match(@.a, 'x') == true]"),
        ("cut",                   "$["),
    ];
    for (why, text) in cases {
        assert!(Query::parse(text).is_err(), "{why}");
    }
    assert!(Query::parse("$..a[?@..b]").is_ok());
}

/// Every level of brackets may be tried twice by the parser: what it takes is bounded by their number.
#[test]
fn no_path_takes_long_to_parse() {
    let begun = Instant::now();
    for (open, inner, close) in [
        ("length(", "@.a", ")"),
        ("(", "@.a", ")"),
        ("!(", "@.a", ")"),
        ("@[?", "@.a", "]"),
        ("value(@[?", "@.a", "] ) == 1 && ("),
    ] {
        for depth in 1..40 {
            let text = format!("$[?{}{inner}{}]", open.repeat(depth), close.repeat(depth));
            let _ = Query::parse(&text);
        }
    }
    let _ = Query::parse(&format!("$[?{}]", "@.a||".repeat(400) + "@.b"));
    assert!(
        begun.elapsed() < Duration::from_secs(120),
        "{:?}",
        begun.elapsed()
    );
}

/// Each of these took quadratic time, or memory for every name on the way.
#[test]
fn no_document_takes_long_or_much() {
    let name = "n".repeat(1 << 20);
    let wide = json!({ name: vec![0; 200_000] });
    let mut deep = json!([0]);
    for _ in 0..120 {
        deep = json!([deep, 0, 0, 0]);
    }
    let numbers: Vec<usize> = (0..20_000).collect();
    let flat = json!({ "a": numbers });
    let texts = json!(vec!["a".repeat(1_000); 1_000]);
    let begun = Instant::now();
    for (text, document) in [
        ("$..*", &wide),
        ("$.*[*]", &wide),
        ("$..*..*", &deep),
        ("$..[?@..a]", &deep),
        ("$.a[?count($.a[*]) > 1]", &flat),
        ("$.a[?@ == value($.a[-1:])]", &flat),
        ("$[?search(@, '(a|aa)+$')]", &texts),
        ("$[?match(@, '(a?){99}a{99}')]", &texts),
        ("$[?match(@, @)]", &texts),
    ] {
        let _ = parse(text).run(document);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(120),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_walk_without_end_finds_nothing() {
    let numbers: Vec<usize> = (0..6_000).collect();
    let query = parse("$[?count($[*]) > 1]");
    assert!(query.run(&json!(numbers)).is_empty());
    assert_eq!(query.run(&json!([1, 2])).len(), 2);
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..9).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "\\.[a-c]",
        "\\[-?[0-3]\\]",
        Just("[*]".to_owned()),
        Just(".*".to_owned()),
        "\\.\\.[a-c]",
        Just("..*".to_owned()),
        "\\[-?[0-3]?:-?[0-3]?:-?[1-2]\\]",
        "\\['[a-c]','[a-c]'\\]",
        "\\[\\?@\\.[a-c]\\]",
        "\\[\\?@\\.[a-c](==|!=|<|<=|>|>=)[0-3]\\]",
        "\\[\\?@(==|<)'[a-c]'\\]",
        "\\[\\?!@\\.[a-c] && @ != \\$\\.[a-c]\\]",
        "\\[\\?length\\(@\\) (>|<=) [0-3]\\]",
        "\\[\\?count\\(@\\.\\*\\) == [1-3]\\]",
        "\\[\\?(search|match)\\(@\\.[a-c], '[a-c]'\\)\\]",
    ];
    prop::collection::vec(part, 1..4).prop_map(|parts| format!("${}", parts.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// The library's own walk is the other opinion. It orders the nodes of several selectors in
    /// its own way, counts nothing as nothing, and asks a filter in a filter of the wrong value.
    #[test]
    fn the_library_finds_the_same(text in path(), document in document()) {
        if let Ok(query) = Query::parse(&text) {
            let sorted = |mut found: Vec<String>| { found.sort(); found };
            let theirs = jsonpath_rust::query::js_path_process(&query.0, &document).unwrap();
            let theirs = theirs.into_iter().map(|found| found.val()).filter(|value| !value.is_null());
            let theirs: Vec<String> = theirs.map(ToString::to_string).collect();
            let ours: Vec<String> = query.run(&document).into_iter().map(ToString::to_string).collect();
            prop_assert_eq!(sorted(ours), sorted(theirs), "{} of {}", text, document);
        }
    }
}
