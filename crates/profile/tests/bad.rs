//! Every file of `tests/bad` is one mistake in a good bundle: the finding must
//! have its code, its place and a remedy, and be the only one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

use diag::{Diagnostic, Severity};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../")
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Sets or adds a member, making the objects above it.
fn set(value: &mut Value, pointer: &str, new: Value) {
    let mut here = value;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if here.is_null() {
            *here = Value::Object(serde_json::Map::new());
        }
        here = match here {
            Value::Array(items) => {
                let index: usize = token.parse().unwrap_or(items.len());
                if index >= items.len() {
                    items.push(Value::Null);
                }
                let last = items.len() - 1;
                &mut items[index.min(last)]
            }
            other => &mut other[token.as_str()],
        };
    }
    *here = new;
}

fn remove(value: &mut Value, pointer: &str) {
    let (around, last) = pointer.rsplit_once('/').unwrap();
    match value.pointer_mut(around) {
        Some(Value::Object(members)) => {
            assert!(members.shift_remove(last).is_some(), "nothing at {pointer}");
        }
        Some(Value::Array(items)) => {
            items.remove(last.parse().unwrap());
        }
        _ => panic!("nothing at {pointer}"),
    }
}

fn text_of(good: &Value, case: &Value) -> String {
    if let Some(text) = case["text"].as_str() {
        return text.to_owned();
    }
    let mut bundle = good.clone();
    for (pointer, new) in case["set"].as_object().into_iter().flatten() {
        set(&mut bundle, pointer, new.clone());
    }
    for pointer in case["remove"].as_array().into_iter().flatten() {
        remove(&mut bundle, pointer.as_str().unwrap());
    }
    serde_json::to_string_pretty(&bundle).unwrap()
}

/// Whether a finding is the expected one, and if not, why.
fn fits(finding: &Diagnostic, expected: &Value) -> bool {
    let severity = match expected["severity"].as_str() {
        Some("warning") => Severity::Warning,
        _ => Severity::Error,
    };
    let says = expected["says"].as_str().unwrap_or_default();
    let pointer = expected["pointer"].as_str().unwrap();
    let below = finding.place.pointer.strip_prefix(pointer);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && finding.severity == severity
        && expected["code"]
            .as_str()
            .is_none_or(|code| code == finding.code.as_str())
        && (finding.message.contains(says) || finding.help.contains(says))
}

fn judge(name: &str, good: &Value, case: &Value) -> Vec<String> {
    let text = text_of(good, case);
    let (bundle, _) = profile::bundle::check("bundle.json", &text);
    let found = bundle.diagnostics;
    let mut wrong = Vec::new();
    let expected = case["expect"].as_array().unwrap();
    for one in expected {
        match found.iter().find(|finding| fits(finding, one)) {
            None => wrong.push(format!("{name}: no finding is {one}\n{found}")),
            Some(finding) => {
                if one["code"].as_str().is_none() {
                    wrong.push(format!(
                        "{name}: CODE {} {}",
                        finding.code, finding.place.pointer
                    ));
                }
                if finding.place.line.is_none() || finding.help.is_empty() {
                    wrong.push(format!("{name}: no line or no remedy: {finding}"));
                }
            }
        }
    }
    if case["more"] != true {
        for finding in found
            .iter()
            .filter(|f| f.is_error() && !expected.iter().any(|one| fits(f, one)))
        {
            wrong.push(format!("{name}: not expected: {finding}"));
        }
    }
    wrong
}

#[test]
fn every_bad_bundle_is_refused_with_its_code_at_its_place() {
    let folder = root().join("tests/bad");
    let good = read(&folder.join("_good.json"));
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".json") || name.starts_with('_') {
            continue;
        }
        count += 1;
        wrong.extend(judge(&name, &good, &read(&path)));
    }
    assert!(count > 50, "only {count} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn nothing_is_found_in_the_good_bundle() {
    let text = fs::read_to_string(root().join("tests/bad/_good.json")).unwrap();
    let (bundle, compiled) = profile::bundle::check("_good.json", &text);
    assert!(bundle.diagnostics.is_empty(), "{}", bundle.diagnostics);
    assert_eq!(compiled.revisions.len(), 1);
}

#[test]
fn the_shipped_bundles_have_no_mistake_and_recompile_from_their_content() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("profiles")).unwrap() {
        let path = entry.unwrap().path().join("bundle.json");
        if !path.exists() {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).unwrap();
        let (bundle, compiled) = profile::bundle::check(&path.display().to_string(), &text);
        assert!(!bundle.diagnostics.has_errors(), "{}", bundle.diagnostics);
        // These are told where they do no harm; here they would be mistakes of ours.
        let told = [diag::Code::P503, diag::Code::P616];
        let none = bundle
            .diagnostics
            .iter()
            .all(|one| !told.contains(&one.code));
        assert!(none, "{}", bundle.diagnostics);
        assert!(!compiled.revisions.is_empty());
        for entry in compiled.revisions.iter() {
            let revision = entry.revision.as_ref().unwrap();
            let again = profile::content::compile_content(&revision.content).unwrap();
            assert_eq!(again.id, revision.id);
        }
    }
    assert!(count >= 3, "only {count} bundles");
}

#[test]
fn every_recorded_case_of_the_shipped_profiles_can_be_read() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("profiles")).unwrap() {
        let folder = entry.unwrap().path().join("cases");
        for file in fs::read_dir(folder).into_iter().flatten() {
            let path = file.unwrap().path();
            count += 1;
            let text = fs::read_to_string(&path).unwrap();
            if let Err(found) = profile::case::Case::parse(&path.display().to_string(), &text) {
                panic!("{found}");
            }
        }
    }
    assert!(count >= 15, "only {count} cases");
}

#[test]
fn the_rows_of_the_seeds_are_carried_verbatim() {
    let seeds = read(&root().join("tests/seeds.json"));
    let bundles: Vec<Value> = fs::read_dir(root().join("profiles"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("bundle.json"))
        .filter(|path| path.exists())
        .map(|path| read(&path))
        .collect();
    let carried = |table: &str, column: &str, row: &Value| {
        let rows = bundles.iter().flat_map(|bundle| {
            let rows = bundle[table].as_array();
            rows.into_iter().flatten()
        });
        let mut rows = rows.map(|have| match column {
            "" => have,
            column => &have[column],
        });
        // A profile carries its row, and says in its bundle what the row leaves to ids.
        rows.any(|have| match (column, row.as_object()) {
            ("", Some(row)) => row.iter().all(|(name, value)| have[name] == *value),
            _ => have == row,
        })
    };
    let columns = [
        ("prompt_templates", "body", "prompt_templates.body"),
        ("response_schemas", "schema", "response_schemas.schema"),
        ("models", "capabilities", "ai_models.capabilities"),
        ("profiles", "", "model_api_profiles"),
    ];
    for (table, column, seed) in columns {
        assert!(!seeds[seed].is_null(), "{seed}");
        assert!(carried(table, column, &seeds[seed]), "{seed} was changed");
    }
}
