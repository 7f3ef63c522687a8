//! Catalogues of a hundred, a thousand and ten thousand profiles: what it costs to find the profile of a call, to compile
//! the rows, and to hold them. What does not grow with the catalogue has the same figure in every column.
//!
//! `cargo bench -p engine --bench catalogue`; with `-- --check` a missed target is a failure.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints, and stops where it stands"
)]

#[path = "shared/table.rs"]
#[expect(dead_code, reason = "the other benches print one size only")]
mod table;

use profile::catalogue::{Ask, Compiled, Entry, RoutingRule, choose, compile_rows};
use profile::rows::{RoutingRow, Rows};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::collections::HashSet;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use table::{Mode, Table, Time, in_turns, shown};
use uuid::Uuid;

/// Every byte that is asked for and given back is counted.
#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// Look-ups in one measured call, each for another model: one alone would stay in the processor's cache.
const ASKS: usize = 64;
/// Rules of the system and of each tenant.
const RULES: usize = 5;
/// Look-ups of the largest catalogue may take so many times as long as of the smallest, which lies in the processor's
/// cache. A search takes a hundred times as long.
const LOOK_UP_MOST: f64 = 5.0;
/// The same of compiling one profile.
const COMPILE_MOST: f64 = 2.0;
/// The same of the memory that one profile takes.
const MEMORY_MOST: f64 = 1.25;

fn main() -> ExitCode {
    let mode = Mode::read();
    let bundles = bundles();
    let sizes = if mode.quick { [20, 40, 80] } else { SIZES };
    let subjects = sizes.map(|size| Subject::new(mode, &bundles, size));
    let names = subjects.each_ref().map(|subject| subject.size.to_string());
    let [few, some, many] = names.each_ref().map(String::as_str);
    let mut table = Table::new(
        mode,
        "Profiles of a catalogue (copies of the shipped bundles, a third of them tenants' own)",
        [few, some, many, "ratio"],
    );
    counts(&subjects, &mut table);
    look_ups(mode, &subjects, &mut table);
    line(
        "compile the rows, for each profile",
        subjects.each_ref().map(|subject| subject.compiling),
        COMPILE_MOST,
        &mut table,
    );
    memory(&subjects, &mut table);
    table.finish()
}

/// A catalogue, and what it took to make it.
struct Subject {
    size: usize,
    compiled: Compiled,
    /// Of one profile, the least of all rounds.
    compiling: Duration,
    rows_bytes: usize,
    compiled_bytes: usize,
}

impl Subject {
    fn new(mode: Mode, bundles: &[Rows], size: usize) -> Self {
        let before = Region::new(COUNTED);
        let rows = rows(bundles, size);
        let rows_bytes = held(&before);
        let before = Region::new(COUNTED);
        let (mut compiled, mut least) = timed(&rows);
        let compiled_bytes = held(&before);
        let rounds = if mode.quick { 0 } else { 1 + 1_000 / size };
        for _ in 0..rounds {
            let (again, took) = timed(&rows);
            (compiled, least) = (again, least.min(took));
        }
        Self {
            size,
            compiled,
            compiling: least / u32::try_from(size).unwrap(),
            rows_bytes,
            compiled_bytes,
        }
    }
}

fn timed(rows: &Rows) -> (Compiled, Duration) {
    let begun = worked();
    let compiled = compile_rows(black_box(rows));
    (compiled, worked() - begun)
}

/// Time that this thread had the processor: half a minute has other processes in it.
fn worked() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

/// Bytes that were asked for since, and are still held.
fn held(since: &Region<'_, System>) -> usize {
    let change = since.change();
    change.bytes_allocated - change.bytes_deallocated
}

/// The rows of every shipped bundle.
fn bundles() -> Vec<Rows> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path().join("bundle.json"));
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.exists()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        profile::bundle::parse(&path.display().to_string(), &text).rows
    };
    paths.into_iter().map(read).collect()
}

/// So many profiles: bundle after bundle and round after round, each copy a provider of its own. Models and profiles keep
/// their names, which many providers share therefore.
fn rows(bundles: &[Rows], size: usize) -> Rows {
    let mut all = Rows::default();
    for (number, bundle) in bundles.iter().cycle().enumerate() {
        let copy = copy(bundle, number, number / bundles.len());
        let room = size - all.profiles.len();
        if copy.profiles.len() >= room {
            all.profiles.extend(copy.profiles.into_iter().take(room));
            // The models of profiles that found no room would be reported.
            break;
        }
        rules(&mut all, &copy);
        all.providers.extend(copy.providers);
        all.auth_profiles.extend(copy.auth_profiles);
        all.models.extend(copy.models);
        all.prompt_templates.extend(copy.prompt_templates);
        all.response_schemas.extend(copy.response_schemas);
        all.profiles.extend(copy.profiles);
    }
    all
}

/// Every third provider is a tenant's, ten to each.
fn tenant(number: usize) -> Option<Uuid> {
    (number % 3 == 2).then(|| Uuid::from_u128(1 + number as u128 / 30))
}

fn copy(bundle: &Rows, number: usize, round: usize) -> Rows {
    let mut rows = bundle.clone();
    let tenant = tenant(number);
    let named = |name: &mut String| name.push_str(&format!("-{round}"));
    for row in &mut rows.providers {
        named(&mut row.slug);
        row.tenant = tenant;
    }
    for row in &mut rows.auth_profiles {
        named(&mut row.provider);
        row.tenant = tenant;
    }
    for row in &mut rows.models {
        named(&mut row.provider);
        row.tenant = tenant;
        row.prompt_template.as_mut().into_iter().for_each(named);
        row.response_schema.as_mut().into_iter().for_each(named);
    }
    for row in &mut rows.prompt_templates {
        named(&mut row.name);
        row.tenant = tenant;
    }
    for row in &mut rows.response_schemas {
        named(&mut row.name);
        row.tenant = tenant;
    }
    for row in &mut rows.profiles {
        named(&mut row.provider);
        row.tenant = tenant;
    }
    rows
}

/// Rules for the system and for each tenant, with the first models that they have: a tenant's are tried in turn, however
/// large the catalogue is.
fn rules(all: &mut Rows, copy: &Rows) {
    for model in &copy.models {
        let own = all.routing_rules.iter();
        let own = own.filter(|rule| rule.tenant == model.tenant).count();
        if own < RULES {
            all.routing_rules.push(RoutingRow {
                tenant: model.tenant,
                provider: model.provider.clone(),
                conditions: json!({ "feature": format!("feature-{own}"), "model_type": model.model_type }),
                target_model: model.model_id.clone(),
                ..RoutingRow::default()
            });
        }
    }
}

fn counts(subjects: &[Subject; 3], table: &mut Table) {
    let row = |what: &str, count: &dyn Fn(&Compiled) -> usize, table: &mut Table| {
        let texts = subjects
            .each_ref()
            .map(|subject| count(&subject.compiled).to_string());
        table.row(what, &texts);
    };
    let good = |entry: &&Entry| entry.revision.is_ok();
    row(
        "profiles, each for each model that it serves",
        &|all| all.revisions.iter().filter(good).count(),
        table,
    );
    row("routing rules", &|all| all.rules.len(), table);
    let tenants = |all: &Compiled| -> HashSet<Option<Uuid>> {
        let entries = all.revisions.iter();
        entries.map(|entry| entry.key.tenant).collect()
    };
    row(
        "tenants with rows of their own",
        &|all| tenants(all).len() - 1,
        table,
    );
}

/// Calls of one kind that a catalogue can serve, spread over it.
fn asks<'c, T: 'c>(
    compiled: &'c Compiled,
    all: impl Iterator<Item = &'c T>,
    ask: impl Fn(&'c T) -> Option<Ask>,
) -> Vec<Ask> {
    let served = |ask: &Ask| choose(compiled, ask).is_ok();
    let all: Vec<Ask> = all.filter_map(ask).filter(served).collect();
    let step = (all.len() / ASKS).max(1);
    let spread: Vec<Ask> = all
        .iter()
        .cycle()
        .step_by(step)
        .take(ASKS)
        .cloned()
        .collect();
    assert_eq!(spread.len(), ASKS);
    spread
}

type Kind = (&'static str, fn(&Compiled) -> Vec<Ask>);

const KINDS: [Kind; 5] = [
    ("model and purpose", |all| {
        asks(all, all.revisions.iter(), |entry| {
            let model = Some(entry.key.model.clone()?);
            Some(Ask { model, ..of(entry) })
        })
    }),
    ("profile key", |all| {
        asks(all, all.revisions.iter(), |entry| {
            let profile_key = Some(entry.key.profile_key.clone());
            Some(Ask {
                profile_key,
                ..of(entry)
            })
        })
    }),
    ("provider and profile key", |all| {
        asks(all, all.revisions.iter(), by_provider_and_key)
    }),
    ("purpose alone, which has a default", |all| {
        asks(all, all.revisions.iter(), |entry| Some(of(entry)))
    }),
    ("routing rule", |all| {
        asks(all, all.rules.iter(), |rule: &RoutingRule| {
            Some(Ask {
                purpose: rule.conditions["model_type"].as_str()?.to_owned(),
                tenant: rule.tenant,
                facts: rule.conditions.clone(),
                ..Ask::default()
            })
        })
    }),
];

fn by_provider_and_key(entry: &Entry) -> Option<Ask> {
    Some(Ask {
        provider: Some(entry.key.provider.clone()),
        profile_key: Some(entry.key.profile_key.clone()),
        ..of(entry)
    })
}

fn of(entry: &Entry) -> Ask {
    Ask {
        purpose: entry.key.purpose.as_str().to_owned(),
        tenant: entry.key.tenant,
        ..Ask::default()
    }
}

fn look_ups(mode: Mode, subjects: &[Subject; 3], table: &mut Table) {
    for (kind, asks) in KINDS {
        let [few, some, many] = subjects.each_ref().map(|subject| {
            let compiled = &subject.compiled;
            (compiled, asks(compiled))
        });
        let run = |(compiled, asks): &(&Compiled, Vec<Ask>)| {
            for ask in asks {
                drop(black_box(choose(compiled, black_box(ask))));
            }
        };
        let times = in_turns(
            mode,
            [&mut || run(&few), &mut || run(&some), &mut || run(&many)],
        );
        line(
            &format!("look up by {kind}"),
            times.map(of_one),
            LOOK_UP_MOST,
            table,
        );
    }
    search(mode, subjects, table);
}

/// The least of one look-up: what disturbs the machine makes it longer only.
fn of_one(time: Time) -> Duration {
    time.min / u32::try_from(ASKS).unwrap()
}

/// What a search through all costs for one name that is there once, without ranks, rules and defaults.
fn search(mode: Mode, subjects: &[Subject; 3], table: &mut Table) {
    let [few, some, many] = subjects.each_ref().map(|subject| {
        let compiled = &subject.compiled;
        (
            compiled,
            asks(compiled, compiled.revisions.iter(), by_provider_and_key),
        )
    });
    let run = |(compiled, asks): &(&Compiled, Vec<Ask>)| {
        for ask in asks {
            black_box(compiled.revisions.iter().find(|entry| {
                ask.provider.as_ref() == Some(&entry.key.provider)
                    && ask.profile_key.as_ref() == Some(&entry.key.profile_key)
            }));
        }
    };
    let times = in_turns(
        mode,
        [&mut || run(&few), &mut || run(&some), &mut || run(&many)],
    );
    let times = times.map(of_one);
    let mut texts = times.map(shown).to_vec();
    texts.push(ratio(times));
    table.row("  a search through all by provider and profile key", &texts);
}

fn ratio([few, _, many]: [Duration; 3]) -> String {
    format!("{:.2} x", many.as_secs_f64() / few.as_secs_f64())
}

fn line(what: &str, times: [Duration; 3], most: f64, table: &mut Table) {
    let [few, _, many] = times.map(|time| time.as_secs_f64());
    judged(what, times.map(shown), many / few, most, table);
}

fn judged(what: &str, texts: [String; 3], ratio: f64, most: f64, table: &mut Table) {
    let mut texts = texts.to_vec();
    texts.push(format!("{ratio:.2} x"));
    table.judged(what, &texts, &format!("at most {most} x"), ratio <= most);
}

fn memory(subjects: &[Subject; 3], table: &mut Table) {
    let sizes = subjects.each_ref().map(|subject| subject.size);
    let compiled = subjects.each_ref().map(|subject| subject.compiled_bytes);
    let rows = subjects.each_ref().map(|subject| subject.rows_bytes);
    for (what, bytes) in [("compiled", compiled), ("rows", rows)] {
        let each = [0, 1, 2].map(|at| bytes[at] / sizes[at]);
        judged(
            &format!("memory of the {what}, for each profile"),
            each.map(kib),
            each[2] as f64 / each[0] as f64,
            MEMORY_MOST,
            table,
        );
        table.row("  in all", &bytes.map(mib));
    }
    let of_one = |subject: &Subject| kib(content(&subject.compiled) / subject.size);
    table.row(
        "of the compiled, the content that names a revision",
        &subjects.each_ref().map(of_one),
    );
}

fn kib(bytes: usize) -> String {
    format!("{:.1} KiB", bytes as f64 / 1_024.0)
}

fn mib(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Bytes of all contents: as many as a copy takes.
fn content(compiled: &Compiled) -> usize {
    let good = compiled.revisions.iter();
    let good = good.filter_map(|entry| entry.revision.as_ref().ok());
    good.map(|revision| {
        let before = Region::new(COUNTED);
        let copy = black_box(revision.content.clone());
        let bytes = held(&before);
        drop(copy);
        bytes
    })
    .sum()
}
