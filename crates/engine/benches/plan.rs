//! What a run costs us before and after the provider: checking the call and rendering the submit, judging the output,
//! and compiling the rows. Each against what hand-written Rust takes for the same.
//!
//! `cargo bench -p engine --bench plan`; with `-- --check` a missed target is a failure.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints, and stops where it stands"
)]

#[path = "shared/table.rs"]
mod table;

use bytes::Bytes;
use diag::Secret;
use engine::auth::secrets;
use engine::egress::Allow;
use engine::flow::token;
use engine::media::Media;
use engine::output::judge;
use engine::request::{Drawn, Request};
use engine::{Flow, RunIdentity, Setting};
use profile::call::Call;
use profile::catalogue::{Ask, choose};
use profile::revision::Revision;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use table::{Mode, Table, in_turns};
use uuid::Uuid;

/// Profiles of the bundle that is compiled.
const PROFILES: usize = 50;

fn main() -> ExitCode {
    let mode = Mode::read();
    let seed = Seed::find();
    let mut table = Table::new(
        mode,
        "One run of the shipped seed's rows",
        ["least", "median"],
    );
    plan(mode, &seed, &mut table);
    output(mode, &seed, &mut table);
    compile(mode, &seed, &mut table);
    table.finish()
}

/// The rows that carry the project's seed, and a run of theirs.
struct Seed {
    bundle: Value,
    revision: Arc<Revision>,
    /// An output that one of the bundle's recorded cases expects.
    output: Value,
    call: Call,
    key: Secret,
}

impl Seed {
    /// Among the shipped bundles the one with the prompt template for which [`by_hand`] was written.
    fn find() -> Self {
        let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
        let found = files(&profiles).into_iter().find_map(|folder| {
            let text = fs::read_to_string(folder.join("bundle.json")).ok()?;
            let bundle: Value = serde_json::from_str(&text).unwrap();
            let template = bundle["prompt_templates"][0]["body"]["prompt"].as_str()?;
            template
                .ends_with(DIRECTION)
                .then(|| Self::of(&folder, &text, bundle.clone()))
        });
        found.unwrap()
    }

    fn of(folder: &Path, text: &str, bundle: Value) -> Self {
        let (_, compiled) = profile::bundle::check("bundle.json", text);
        let ask = Ask {
            purpose: "video".to_owned(),
            ..Ask::default()
        };
        let cases = files(&folder.join("cases"));
        // The bundle has cases of other purposes too.
        let outputs = cases.iter().filter_map(|file| {
            let case: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
            let output = &case["expect"]["output"];
            output["video"].is_object().then(|| output.clone())
        });
        let params = json!({"seconds": 8, "size": "1280x720"});
        Self {
            revision: choose(&compiled, &ask).unwrap().revision,
            output: outputs.into_iter().next().unwrap(),
            call: Call {
                prompt: Some("A calico cat plays a piano on a stage, at dusk".to_owned()),
                params: params.as_object().unwrap().clone(),
                ..Call::default()
            },
            key: Secret::from("sk-0123456789abcdef0123456789abcdef".to_owned()),
            bundle,
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// All that happens from a call to the request that is sent, as `runtime` does it for each run.
fn planned(seed: &Seed) -> Request {
    let revision = &seed.revision;
    let checked = revision
        .capabilities
        .check(&seed.call, &BTreeMap::new())
        .unwrap();
    let run_id = Uuid::from_u128(7);
    let setting = Setting {
        checked: Arc::new(checked),
        identity: RunIdentity {
            run_id,
            token: token(run_id, 1),
            callback_url: None,
        },
        secrets: Arc::new(secrets(revision.auth.as_ref(), Some(&seed.key)).unwrap()),
        media: Arc::new(Media::default()),
        endpoint: None,
        allow: Allow::default(),
        phase_ms: 0,
        revision: Arc::clone(revision),
    };
    let drawn = Drawn {
        unix_ms: 1_780_000_000_000,
        seed: Uuid::from_u128(9),
    };
    Flow::new(setting).render_submit(drawn).unwrap()
}

const DIRECTION: &str = "\n\nVideo direction:\n- cinematic lighting\n- smooth camera movement\n- stable frame-to-frame \
    (avoid flicker)\n- avoid artifacts, glitches\n- avoid text/letters/logos/watermarks";
const SIZES: [&str; 4] = ["720x1280", "1280x720", "1024x1792", "1792x1024"];

/// What a client written for this one provider would check, and find all at once.
fn checked_by_hand(call: &Call) -> Result<(&str, i64, &str), Vec<String>> {
    let mut found = Vec::new();
    for name in call.params.keys() {
        if name != "seconds" && name != "size" {
            found.push(format!("`{name}` is unknown"));
        }
    }
    let seconds = match call.params.get("seconds") {
        None | Some(Value::Null) => 4,
        Some(Value::Number(number)) => number.as_i64().unwrap_or(-1),
        Some(Value::String(text)) => text.parse().unwrap_or(-1),
        Some(_) => -1,
    };
    if !(4..=12).contains(&seconds) || seconds % 4 != 0 {
        found.push("`seconds` is 4, 8 or 12".to_owned());
    }
    let size = call
        .params
        .get("size")
        .map_or(Some("720x1280"), Value::as_str);
    let size = size.unwrap_or_default();
    if !SIZES.contains(&size) {
        found.push("`size` is not one that the model makes".to_owned());
    }
    let prompt = call.prompt.as_deref().unwrap_or_default();
    if prompt.is_empty() {
        found.push("a prompt is needed".to_owned());
    }
    if found.is_empty() {
        Ok((prompt, seconds, size))
    } else {
        Err(found)
    }
}

/// The body alone: no address, no headers.
fn by_hand(model: &str, call: &Call) -> Bytes {
    let (prompt, seconds, size) = checked_by_hand(call).unwrap();
    let body = json!({
        "model": model,
        "prompt": format!("{prompt}{DIRECTION}"),
        "seconds": seconds.to_string(),
        "size": size,
    });
    serde_json::to_vec(&body).unwrap().into()
}

/// The same with a struct in place of `json!`.
fn by_hand_typed(model: &str, call: &Call) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        model: &'a str,
        prompt: String,
        seconds: String,
        size: &'a str,
    }
    let (prompt, seconds, size) = checked_by_hand(call).unwrap();
    let body = Body {
        model,
        prompt: format!("{prompt}{DIRECTION}"),
        seconds: seconds.to_string(),
        size,
    };
    serde_json::to_vec(&body).unwrap().into()
}

fn plan(mode: Mode, seed: &Seed, table: &mut Table) {
    let model = seed.revision.model.clone().unwrap();
    let value = |bytes: &Bytes| serde_json::from_slice::<Value>(bytes).unwrap();
    let wanted = value(planned(seed).body.as_ref().unwrap());
    assert_eq!(wanted, value(&by_hand(&model, &seed.call)));
    assert_eq!(wanted, value(&by_hand_typed(&model, &seed.call)));
    let [ours, check, hand, typed] = in_turns(
        mode,
        [
            &mut || drop(black_box(planned(black_box(seed)))),
            &mut || {
                let capabilities = &black_box(seed).revision.capabilities;
                drop(black_box(capabilities.check(&seed.call, &BTreeMap::new())));
            },
            &mut || drop(black_box(by_hand(&model, black_box(&seed.call)))),
            &mut || drop(black_box(by_hand_typed(&model, black_box(&seed.call)))),
        ],
    );
    table.at_most(
        "plan: check the call, merge, render the whole request",
        ours,
        Duration::from_micros(20),
    );
    table.time("  of it the check", check);
    table.time("  hand-written checks and `json!`, the body alone", hand);
    table.time("  hand-written checks and a struct, the body alone", typed);
    // Hand-written clients build such bodies with `json!`; the struct is the floor, printed to be seen.
    table.ratio("  against `json!`", ours, hand, 8.0);
    table.beside(
        "  against the struct",
        format!("{:.1} x", ours.min.as_secs_f64() / typed.min.as_secs_f64()),
        format!(
            "{:.1} x",
            ours.median.as_secs_f64() / typed.median.as_secs_f64()
        ),
    );
}

/// What a hand-written client would check of an output, were it to check any.
fn output_by_hand(output: &Value) -> bool {
    let only = |object: &Value, names: &[&str]| {
        object
            .as_object()
            .is_some_and(|all| all.keys().all(|name| names.contains(&name.as_str())))
    };
    let (blocks, video) = (&output["blocks"], &output["video"]);
    only(output, &["title", "summary", "blocks", "video"])
        && output["title"].is_string()
        && output["summary"].is_string()
        && blocks.as_array().is_some_and(|all| {
            all.iter().all(|block| {
                only(block, &["type", "markdown"])
                    && block["type"] == "markdown"
                    && block["markdown"].is_string()
            })
        })
        && only(video, &["id", "status", "mime", "download_url", "data_url"])
        && video["id"].is_string()
        && video["status"].is_string()
        && ["mime", "download_url", "data_url"]
            .iter()
            .all(|name| video.get(name).is_none_or(Value::is_string))
}

fn output(mode: Mode, seed: &Seed, table: &mut Table) {
    let schema = seed.revision.response.schema.as_ref().unwrap();
    assert!(judge(schema, &seed.output).unwrap().is_empty() && output_by_hand(&seed.output));
    let [ours, hand] = in_turns(
        mode,
        [
            &mut || drop(black_box(judge(schema, black_box(&seed.output)))),
            &mut || _ = black_box(output_by_hand(black_box(&seed.output))),
        ],
    );
    table.at_most(
        "judge its output by the response schema",
        ours,
        Duration::from_micros(1),
    );
    table.time("  hand-written checks of the same", hand);
}

/// The bundle with so many copies of its default model and profile.
fn many(bundle: &Value) -> String {
    let mut bundle = bundle.clone();
    let copies = |rows: &Value, of: &dyn Fn(&mut Value, usize)| {
        let copy = |number| {
            let mut row = rows[0].clone();
            of(&mut row, number);
            row
        };
        Value::Array((0..PROFILES).map(copy).collect())
    };
    bundle["models"] = copies(&bundle["models"], &|row, number| {
        row["model_id"] = json!(format!("model-{number}"));
        row["is_default"] = json!(number == 0);
        row["capabilities"]["model"] = row["model_id"].clone();
        row["capabilities"]["profile_key"] = json!(format!("profile_{number}"));
    });
    bundle["profiles"] = copies(&bundle["profiles"], &|row, number| {
        row["profile_key"] = json!(format!("profile_{number}"));
        row["model"] = json!(format!("model-{number}"));
    });
    serde_json::to_string_pretty(&bundle).unwrap()
}

fn compile(mode: Mode, seed: &Seed, table: &mut Table) {
    let text = many(&seed.bundle);
    let (_, compiled) = profile::bundle::check("bundle.json", &text);
    let good = compiled
        .revisions
        .iter()
        .filter(|entry| entry.revision.is_ok());
    assert_eq!(good.count(), PROFILES, "{}", compiled.diagnostics);
    let [ours, parse] = in_turns(
        mode,
        [
            &mut || {
                drop(black_box(profile::bundle::check(
                    "bundle.json",
                    black_box(&text),
                )))
            },
            &mut || drop(black_box(serde_json::from_str::<Value>(black_box(&text)))),
        ],
    );
    table.at_most(
        &format!("read, check and compile a bundle of {PROFILES} profiles"),
        ours,
        Duration::from_millis(50),
    );
    table.time("  its JSON alone, read by `serde_json`", parse);
}
