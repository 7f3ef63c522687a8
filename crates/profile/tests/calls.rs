//! Calls that the good bundle of `tests/bad`, with a change, refuses.

#![expect(
    clippy::unwrap_used,
    reason = "a test may stop at what it did not expect"
)]

use diag::{Code, Diagnostics};
use profile::call::Call;
use profile::catalogue::{Ask, choose};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const GOOD: &str = include_str!("../../../tests/bad/_good.json");

/// What is found in a call for a video, after a change of the rows.
fn refused(pointer: &str, value: Value) -> Diagnostics {
    let mut bundle: Value = serde_json::from_str(GOOD).unwrap();
    *bundle.pointer_mut(pointer).unwrap() = value;
    let (read, compiled) = profile::bundle::check("acme", &bundle.to_string());
    assert!(!read.diagnostics.has_errors(), "{}", read.diagnostics);
    let ask = Ask {
        purpose: "video".into(),
        ..Ask::default()
    };
    let call = Call {
        prompt: Some("a cat".into()),
        ..Call::default()
    };
    let chosen = match choose(&compiled, &ask) {
        Ok(chosen) => chosen,
        Err(found) => return found,
    };
    let checked = chosen.revision.capabilities.check(&call, &BTreeMap::new());
    checked
        .map(|_| Diagnostics::new())
        .unwrap_or_else(|found| found)
}

#[test]
fn a_medium_that_the_model_requires_is_asked_for_by_name() {
    let mut capabilities: Value = serde_json::from_str(GOOD).unwrap();
    let capabilities = capabilities.pointer_mut("/models/0/capabilities").unwrap();
    capabilities["inputs"] = json!({"first_frame": {"kind": "image", "required": true}});
    let found = refused("/models/0/capabilities", capabilities.take());
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.code, one.place.pointer.as_str()))
        .collect();
    assert_eq!(found, [(Code::C111, "/inputs/first_frame")]);
}

#[test]
fn without_a_default_model_the_call_must_name_one_of_those_that_are_told() {
    let found = refused("/models/0/is_default", json!(false));
    let first = found.iter().next().unwrap();
    assert_eq!(
        (first.code, first.place.pointer.as_str()),
        (Code::C134, "/model")
    );
    let says = ["a-1", "name a model", "is_default"];
    assert!(says.iter().all(|word| first.help.contains(word)), "{first}");
}
