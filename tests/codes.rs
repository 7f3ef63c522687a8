//! Invariant 8 of `ARCHITECTURE.md`: every code has a page and a case that produces it.
//!
//! A code counts as produced where a test expects it: a bad bundle, a story, a
//! recorded case, or a Rust test that names it, or the variant whose code it is.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use diag::Code;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Codes without a case, each with its reason. The list may only shrink.
const WITHOUT_A_CASE: &[(Code, &str)] = &[
    (
        Code::S141,
        "needs a system that refuses to start one thread while others start",
    ),
    (
        Code::X108,
        "needs a system without threads, signals or an event queue",
    ),
    (
        Code::X109,
        "needs a program that was built from a checkout without its bundles",
    ),
    (
        Code::X110,
        "needs a retention that ends between the end of a run and the saving of its file",
    ),
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file below `folder` with that ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|have| have == ending) {
                found.push(path);
            }
        }
    }
    found
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The codes that stand in a text as words of their own.
fn codes_in(text: &str, found: &mut BTreeSet<Code>) {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    found.extend(
        words
            .filter(|word| word.len() == 4 && !word.starts_with(char::is_lowercase))
            .filter_map(|word| word.parse::<Code>().ok()),
    );
}

/// Every text of a document.
fn texts_in(value: &Value, found: &mut BTreeSet<Code>) {
    match value {
        Value::String(text) => codes_in(text, found),
        Value::Array(items) => items.iter().for_each(|item| texts_in(item, found)),
        Value::Object(members) => members.values().for_each(|member| texts_in(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn of_bad_bundles(found: &mut BTreeSet<Code>) {
    for path in files(&top().join("tests/bad"), "json") {
        for expected in json(&path)["expect"].as_array().into_iter().flatten() {
            texts_in(&expected["code"], found);
        }
    }
}

/// What a command must print, in a failed or refused command only: `explain` proves nothing.
fn of_stories(found: &mut BTreeSet<Code>) {
    for path in files(&top().join("tests/cases"), "json") {
        for step in json(&path)["commands"].as_array().into_iter().flatten() {
            if step["args"][0] != "explain" || step["exit"] != 0 {
                for member in ["stderr_has", "stdout_has", "json"] {
                    texts_in(&step[member], found);
                }
            }
        }
    }
}

/// Recorded cases name findings by code, and a provider's failure by its class.
fn of_recorded_cases(found: &mut BTreeSet<Code>, by_word: &BTreeMap<String, Code>) {
    let cases = files(&top().join("profiles"), "json");
    for path in cases.iter().filter(|path| {
        path.parent()
            .is_some_and(|folder| folder.ends_with("cases"))
    }) {
        let expect = &json(path)["expect"];
        texts_in(&expect["diagnostics"], found);
        let refused = expect["diagnostics"].is_array();
        let class = expect["error"]["class"].as_str().filter(|_| !refused);
        found.extend(class.and_then(|word| by_word.get(word)));
    }
}

/// The part of a source that is compiled for tests only, and the part that is not.
fn parted(path: &Path, text: &str) -> (String, String) {
    let relative = path.strip_prefix(top()).unwrap();
    let is_test = |part: &str| part == "tests" || part == "tests.rs";
    if relative
        .components()
        .any(|part| is_test(&part.as_os_str().to_string_lossy()))
    {
        return (String::new(), text.to_owned());
    }
    match text.split_once("#[cfg(test)]\nmod tests {") {
        Some((program, tests)) => (program.to_owned(), tests.to_owned()),
        None => (text.to_owned(), String::new()),
    }
}

fn word_at_end(text: &str) -> &str {
    let start = text
        .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .map_or(0, |at| at + 1);
    &text[start..]
}

/// `Enum::Variant` by the arms that give its code: `Self::EmptyFile => Code::R117`.
fn variants(program: &str, found: &mut BTreeMap<String, Code>) {
    let mut owner = "";
    for line in program.lines() {
        if let Some(rest) = line.strip_prefix("impl ") {
            owner = rest.split([' ', '{']).next().unwrap_or_default();
        }
        let Some((pattern, code)) = line.split_once(" => Code::") else {
            continue;
        };
        let Ok(code) = code.trim_end_matches(',').parse::<Code>() else {
            continue;
        };
        let pattern = pattern
            .trim()
            .split(['(', '{'])
            .next()
            .unwrap_or_default()
            .trim();
        if let Some((prefix, variant)) = pattern.split_once("::") {
            let prefix = if prefix == "Self" {
                owner
            } else {
                word_at_end(prefix)
            };
            found.insert(format!("{prefix}::{variant}"), code);
        }
    }
}

/// The words of the failure classes: `Class::Moderated => "moderated"`.
fn words(program: &str, variants: &BTreeMap<String, Code>, found: &mut BTreeMap<String, Code>) {
    for line in program.lines() {
        if let Some((variant, word)) = line.trim().split_once(" => \"")
            && let Some(code) = variants.get(variant)
        {
            found.insert(word.trim_end_matches(['"', ',']).to_owned(), *code);
        }
    }
}

/// Whether a test names the variant itself, not another that begins alike.
fn names(tests: &str, variant: &str) -> bool {
    tests.match_indices(variant).any(|(at, _)| {
        let before = tests[..at].chars().next_back();
        let after = tests[at + variant.len()..].chars().next();
        let ends = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
        ends(before) && ends(after)
    })
}

struct Sources {
    tests: String,
    variants: BTreeMap<String, Code>,
    words: BTreeMap<String, Code>,
    /// Codes that the program itself names.
    used: BTreeSet<Code>,
}

fn sources() -> Sources {
    let mut all = Sources {
        tests: String::new(),
        variants: BTreeMap::new(),
        words: BTreeMap::new(),
        used: BTreeSet::new(),
    };
    let mut programs = Vec::new();
    for path in files(&top().join("crates"), "rs") {
        if path.ends_with("diag/src/code.rs") {
            continue;
        }
        let (program, tests) = parted(&path, &fs::read_to_string(&path).unwrap());
        variants(&program, &mut all.variants);
        codes_in(&program, &mut all.used);
        all.tests.push_str(&tests);
        programs.push(program);
    }
    for program in &programs {
        words(program, &all.variants, &mut all.words);
    }
    all
}

fn of_rust_tests(sources: &Sources, found: &mut BTreeSet<Code>) {
    for code in Code::ALL {
        let named = [format!("Code::{code}"), format!("\"{code}\"")];
        if named.iter().any(|name| names(&sources.tests, name)) {
            found.insert(*code);
        }
    }
    // A class is named in many a test; what counts is a run that ends with it.
    let named = sources
        .variants
        .iter()
        .filter(|(variant, _)| !variant.starts_with("Class::") && names(&sources.tests, variant));
    found.extend(named.map(|(_, code)| *code));
}

#[test]
fn every_code_has_a_case_that_produces_it() {
    let sources = sources();
    assert!(
        sources.variants.len() > 30 && sources.words.contains_key("moderated"),
        "the sources were not understood"
    );
    let mut found = BTreeSet::new();
    of_bad_bundles(&mut found);
    of_stories(&mut found);
    of_recorded_cases(&mut found, &sources.words);
    of_rust_tests(&sources, &mut found);
    let without: BTreeSet<Code> = Code::ALL
        .iter()
        .copied()
        .filter(|code| !found.contains(code))
        .collect();
    let excepted: BTreeSet<Code> = WITHOUT_A_CASE.iter().map(|(code, _)| *code).collect();
    let list = |codes: &[&Code]| {
        codes
            .iter()
            .map(|code| format!("{code} {}", code.title()))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let missing: Vec<_> = without.difference(&excepted).collect();
    assert!(
        missing.is_empty(),
        "no case produces these codes:\n{}",
        list(&missing)
    );
    let covered: Vec<_> = excepted.difference(&without).collect();
    assert!(
        covered.is_empty(),
        "these have a case now, take them off the list:\n{}",
        list(&covered)
    );
    assert!(
        WITHOUT_A_CASE.iter().all(|(_, reason)| reason.len() > 10),
        "an exception needs a reason"
    );
}

#[test]
fn every_code_is_used_by_the_program() {
    let used = sources().used;
    let unused: Vec<_> = Code::ALL
        .iter()
        .filter(|code| !used.contains(code))
        .collect();
    assert!(unused.is_empty(), "nothing makes these codes: {unused:?}");
}
