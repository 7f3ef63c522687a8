//! Every promise of `PROMISES.md` names tests, and every test that it names is there.

#![expect(
    clippy::unwrap_used,
    reason = "a test may stop at what it did not expect"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Promises without a test. The number may only become smaller.
const WITHOUT_A_TEST: usize = 0;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A line of a table: what is promised, and what stands beside it.
struct Promise {
    sentence: String,
    beside: String,
}

fn promises() -> Vec<Promise> {
    let text = fs::read_to_string(top().join("tests/PROMISES.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
        // A cell may hold a `|` in code; the last one parts the two.
        let (sentence, beside) = row.rsplit_once(" | ")?;
        let head = beside == "tests" || beside.starts_with("---");
        (!head).then(|| Promise {
            sentence: sentence.to_owned(),
            beside: beside.to_owned(),
        })
    });
    rows.collect()
}

/// The names in backticks.
fn names(beside: &str) -> Vec<&str> {
    beside.split('`').skip(1).step_by(2).collect()
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// Names of the functions under `#[test]` or `#[tokio::test…]`, other attributes between.
fn tests_in(source: &str, found: &mut BTreeSet<String>) {
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = line
            .strip_prefix("async ")
            .unwrap_or(line)
            .strip_prefix("fn ")
        {
            let name = name.split(['(', '<']).next().unwrap_or_default();
            if is_test {
                found.insert(name.to_owned());
            }
            is_test = false;
        }
    }
}

fn tests() -> BTreeSet<String> {
    let (mut texts, mut found) = (Vec::new(), BTreeSet::new());
    sources(&top().join("crates"), &mut texts);
    sources(&top().join("tests"), &mut texts);
    texts.iter().for_each(|text| tests_in(text, &mut found));
    assert!(found.len() > 500, "only {} tests were found", found.len());
    found
}

fn is_there(name: &str, tests: &BTreeSet<String>) -> bool {
    let file = |folder: &str, name: &str| top().join(folder).join(format!("{name}.json")).exists();
    match name.split_once('/') {
        Some(("bad", name)) => file("tests/bad", name),
        // A program of its own: a story, a check or a broken build of the fault suite.
        Some(("faults", name)) => {
            let mut texts = Vec::new();
            sources(&top().join("tests/faults"), &mut texts);
            let is_said = |text: &String| {
                text.contains(&format!("fn {name}(")) || text.contains(&format!("\"{name}\""))
            };
            texts.iter().any(is_said)
        }
        Some(("story", name)) => file("tests/cases", name),
        Some(("case", name)) => match name.split_once('/') {
            Some((provider, case)) => file(&format!("profiles/{provider}/cases"), case),
            None => false,
        },
        _ => tests.contains(name),
    }
}

#[test]
fn every_promise_names_tests_and_every_test_that_is_named_is_there() {
    let (tests, promises) = (tests(), promises());
    assert!(promises.len() > 100, "only {} promises", promises.len());
    let mut wrong = Vec::new();
    let mut said = BTreeSet::new();
    for promise in &promises {
        if !said.insert(&promise.sentence) {
            wrong.push(format!("said twice: {}", promise.sentence));
        }
        let names = names(&promise.beside);
        if names.is_empty() && !promise.beside.starts_with("none: ") {
            wrong.push(format!("names no test: {}", promise.sentence));
        }
        let missing = names.into_iter().filter(|name| !is_there(name, &tests));
        wrong.extend(missing.map(|name| format!("`{name}` is not there: {}", promise.sentence)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn promises_without_a_test_only_become_fewer() {
    let bare: Vec<String> = promises()
        .into_iter()
        .filter(|promise| promise.beside.starts_with("none: "))
        .map(|promise| format!("{}: {}", promise.sentence, promise.beside))
        .collect();
    assert_eq!(
        bare.len(),
        WITHOUT_A_TEST,
        "lower the number when one is kept:\n{}",
        bare.join("\n")
    );
}

/// `profiles/README.md` shows what to write by cases that do it, `<provider>/<case>`.
#[test]
fn every_case_that_the_language_is_taught_by_is_there() {
    let profiles = top().join("profiles");
    let text = fs::read_to_string(profiles.join("README.md")).unwrap();
    let cases: Vec<&str> = text
        .lines()
        .flat_map(names)
        .filter(|name| {
            let provider = name.split_once('/').map_or("", |(provider, _)| provider);
            let is_name = !provider.is_empty() && !name.contains([' ', '.', '"', '{']);
            is_name && profiles.join(provider).join("cases").is_dir()
        })
        .collect();
    assert!(cases.len() > 40, "only {} cases are named", cases.len());
    let none = BTreeSet::new();
    let missing: Vec<&&str> = cases
        .iter()
        .filter(|name| !is_there(&format!("case/{name}"), &none))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
