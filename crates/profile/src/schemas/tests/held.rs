//! The schemas and the checks are held to each other: members, words and examples.

use super::walk::{Site, members, pointed, sites};
use super::{BUNDLE, CASE, schema};
use crate::case::Case;
use diag::{Code, Diagnostics};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NOBODY: &str = "zzz_nobody";

/// What the checks say of a bundle.
pub(super) fn bundle(text: &str) -> Diagnostics {
    let (read, compiled) = crate::bundle::check("b", text);
    let mut found = read.diagnostics;
    found.extend(compiled.diagnostics);
    found
}

/// What reading a case says.
pub(super) fn case(text: &str) -> Diagnostics {
    Case::parse("c", text).err().unwrap_or_default()
}

pub(super) type Said = fn(&str) -> Diagnostics;

const DOCUMENTS: [(&str, &str, Said); 2] = [("bundle", BUNDLE, bundle), ("case", CASE, case)];

/// What is said where a member of the object has this value, at the member or below.
fn said_of(file: &Value, site: &Site<'_>, name: &str, value: Value, said: Said) -> Diagnostics {
    let mut file = file.clone();
    pointed(&mut file, &site.at).insert(name.to_owned(), value);
    let at = format!("{}/{name}", site.at);
    let found = said(&file.to_string()).into_iter();
    let mine = found.filter(|one| {
        let place = &one.place.pointer;
        *place == at || place.starts_with(&format!("{at}/"))
    });
    Diagnostics(mine.collect())
}

/// Sites by the schema that they have.
fn by_schema<'a, 's>(all: &'a [Site<'s>]) -> BTreeMap<&'a str, Vec<&'a Site<'s>>> {
    let mut by: BTreeMap<&str, Vec<&Site<'_>>> = BTreeMap::new();
    for site in all {
        by.entry(&site.schema_at).or_default().push(site);
    }
    by
}

/// For each member there is a place where the checks take each of its examples.
#[test]
fn the_checks_take_every_example() {
    for (document, text, said) in DOCUMENTS {
        let root = schema(document);
        let file: Value = serde_json::from_str(text).unwrap();
        assert!(!said(text).has_errors(), "{}", said(text));
        let all = sites(&root, &file);
        let mut tried = BTreeSet::new();
        // Objects that share a member share its example.
        let mut places: BTreeMap<(&str, String), (&Value, Vec<&Site<'_>>)> = BTreeMap::new();
        for site in &all {
            for (name, member) in site.schema["properties"].as_object().unwrap() {
                tried.insert(format!("{}/properties/{name}", site.schema_at));
                let place = places.entry((name, member.to_string()));
                place.or_insert((member, Vec::new())).1.push(site);
            }
        }
        let mut refused = Vec::new();
        for ((name, _), (member, sites)) in places {
            for example in member["examples"].as_array().into_iter().flatten() {
                let mut refusals = Vec::new();
                let taken = sites.iter().any(|site| {
                    let found = said_of(&file, site, name, example.clone(), said);
                    let taken = !found.has_errors();
                    refusals.push(format!("{}: {found}", site.at));
                    taken
                });
                if !taken {
                    refused.push(format!("{name} {example}: {}", refusals.join("\n")));
                }
            }
        }
        assert!(refused.is_empty(), "{}", refused.join("\n"));
        let all: BTreeSet<String> = members(&root).into_keys().collect();
        let untried: Vec<_> = all.difference(&tried).collect();
        assert!(untried.is_empty(), "the file has no place for {untried:?}");
    }
}

/// The names behind the last colon of a help, or in a message of serde's.
fn listed(found: &Diagnostics, code: Code) -> Option<BTreeSet<String>> {
    let one = found.iter().find(|one| one.code == code)?;
    let names = match one.message.split_once("`, expected ") {
        Some((_, names)) => names.trim_start_matches("one of ").replace(" or ", ", "),
        None => one.help.rsplit_once(": ")?.1.to_owned(),
    };
    let names = names.replace('`', "");
    Some(names.split(", ").map(str::to_owned).collect())
}

/// Members that only one of the two has, with the reason.
#[rustfmt::skip]
const MEMBERS: &[(&str, &[&str], &[&str])] = &[
    // schema,            only in it,  only in the checks
    ("/$defs/variant",    &["when"],   &["variants", "vars", "tables"]), // `when` is taken out before; the others are refused by P609
    ("/$defs/call",       &["purpose", "model", "provider", "profile_key"], &[]), // taken out before the call is read
    ("/$defs/poll",       &[],         &["name", "action", "when", "auth", "extract", "repeatable"]), // merged under a step
];

/// Objects whose members have a grammar of their own, or any name.
fn is_open(schema_at: &str) -> bool {
    let own = ["/$defs/condition", "/$defs/extract", "/$defs/config_"];
    own.iter().any(|start| schema_at.starts_with(start))
}

#[test]
fn the_schemas_and_the_checks_know_the_same_members() {
    let mut differ = Vec::new();
    for (document, text, said) in DOCUMENTS {
        let root = schema(document);
        let file: Value = serde_json::from_str(text).unwrap();
        for (schema_at, sites) in by_schema(&sites(&root, &file)) {
            if is_open(schema_at) {
                continue;
            }
            let schema = sites[0].schema;
            assert_eq!(schema["additionalProperties"], json!(false), "{schema_at}");
            let mut known = BTreeSet::new();
            for site in &sites {
                let mut file = file.clone();
                pointed(&mut file, &site.at).insert(NOBODY.to_owned(), json!(1));
                let found = said(&file.to_string());
                let mine = found.into_iter();
                let mine = mine.filter(|one| one.message.contains(NOBODY));
                let found = Diagnostics(mine.collect());
                let names = listed(&found, Code::P101).or_else(|| listed(&found, Code::P801));
                if names.is_none() {
                    differ.push(format!("{}: {found}", site.at));
                }
                known.extend(names.unwrap_or_default());
            }
            let own = schema["properties"].as_object().unwrap().keys();
            let own: BTreeSet<String> = own.cloned().collect();
            let only = |left: &BTreeSet<String>, right: &BTreeSet<String>| -> BTreeSet<String> {
                left.difference(right).cloned().collect()
            };
            let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let known_to_differ = MEMBERS.iter().find(|(at, ..)| *at == schema_at);
            let (ours, theirs) = known_to_differ
                .map_or_else(Default::default, |(_, ours, theirs)| {
                    (set(ours), set(theirs))
                });
            let found = (only(&own, &known), only(&known, &own));
            if found != (ours, theirs) {
                differ.push(format!("{schema_at}: {found:?}"));
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// The words of a member, or of the items of its list.
fn words(member: &Value) -> Option<(BTreeSet<String>, bool)> {
    let (list, words) = match member["enum"].as_array() {
        Some(words) => (false, words),
        None => (true, member["items"]["enum"].as_array()?),
    };
    let words = words.iter().filter_map(Value::as_str).map(str::to_owned);
    Some((words.collect(), list))
}

#[test]
fn the_schemas_and_the_checks_know_the_same_words() {
    let (mut seen, mut differ) = (0, Vec::new());
    for (document, text, said) in DOCUMENTS {
        let root = schema(document);
        let file: Value = serde_json::from_str(text).unwrap();
        for (schema_at, sites) in by_schema(&sites(&root, &file)) {
            for (name, member) in sites[0].schema["properties"].as_object().unwrap() {
                let Some((mut words, list)) = words(member) else {
                    continue;
                };
                // Aside only a request may stand: P622 says it of the others.
                if name == "action" && schema_at != "/$defs/step" {
                    continue;
                }
                let value = if list { json!([NOBODY]) } else { json!(NOBODY) };
                let known = sites.iter().find_map(|site| {
                    let found = said_of(&file, site, name, value.clone(), said);
                    listed(&found, Code::P105).or_else(|| listed(&found, Code::P702))
                });
                let known = known.unwrap_or_default();
                // Another spelling of `chat`.
                if known.contains("multimodal") {
                    words.remove("text");
                }
                if words != known {
                    differ.push(format!("{schema_at} {name}: {words:?}, {known:?}"));
                }
                seen += 1;
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(seen > 20, "{seen}");
}
