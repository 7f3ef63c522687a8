//! `modelrow profile list`: what can be called, and what it takes.

use crate::args::{HouseArgs, JsonArg};
use crate::exit::Stop;
use crate::house::{House, Purpose};
use crate::ui;
use anstream::println;
use profile::catalogue::{Compiled, Entry};
use profile::revision::Revision;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) async fn list(house: &HouseArgs, args: &JsonArg) -> Result<(), Stop> {
    let house = House::open(house).await?;
    let modelrow = house.start(Purpose::Rows).await?;
    tell(&modelrow.catalogue(), args.json);
    modelrow.shutdown(Duration::ZERO).await;
    house.close().await
}

fn tell(compiled: &Compiled, as_json: bool) {
    let serving = compiled.revisions.iter().filter_map(|entry| {
        entry
            .revision
            .as_ref()
            .ok()
            .map(|revision| (entry, revision))
    });
    if as_json {
        let all: Vec<_> = serving
            .map(|(entry, revision)| to_json(entry, revision))
            .collect();
        ui::print_json(&json!({ "profiles": all }));
        return;
    }
    for (entry, revision) in serving {
        let default = if entry.is_default { "  (default)" } else { "" };
        let model = entry.key.model.as_deref().unwrap_or("-");
        println!(
            "{}  {}  {model}  {}{default}",
            entry.key.purpose.as_str(),
            entry.key.provider,
            entry.key.profile_key
        );
        for (name, kind) in options(revision) {
            println!("    {name}: {kind}");
        }
    }
}

/// The options of the published schema, each in a few words.
fn options(revision: &Revision) -> Vec<(String, String)> {
    let properties = revision
        .capabilities
        .schema
        .pointer("/properties/params/properties")
        .and_then(Value::as_object);
    let describe = |(name, schema): (&String, &Value)| (name.clone(), words(schema));
    properties.into_iter().flatten().map(describe).collect()
}

fn words(schema: &Value) -> String {
    let member = |name: &str| schema.get(name).map(ToString::to_string);
    let mut words = vec![
        schema
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("one")
            .to_owned(),
    ];
    for (label, name) in [
        ("of", "enum"),
        ("from", "minimum"),
        ("to", "maximum"),
        ("default", "default"),
    ] {
        words.extend(member(name).map(|value| format!("{label} {value}")));
    }
    words.join(" ")
}

fn to_json(entry: &Entry, revision: &Revision) -> Value {
    json!({
        "purpose": entry.key.purpose.as_str(),
        "provider": entry.key.provider,
        "model": entry.key.model,
        "profile_key": entry.key.profile_key,
        "is_default": entry.is_default,
        "call_schema": revision.capabilities.schema,
    })
}
