//! The invariants of `ARCHITECTURE.md` that a reader of the sources can check.

#![expect(
    clippy::unwrap_used,
    reason = "a test may stop at what it did not expect"
)]

#[path = "shared/points.rs"]
mod points;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file below `folder` with that ending, target folders left out.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                if entry.file_name() != "target" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|have| have == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    let found: Vec<_> = files(&top().join("crates"), "rs")
        .into_iter()
        .map(read)
        .collect();
    assert!(
        found.len() > 50,
        "the search found only {} sources",
        found.len()
    );
    found
}

/// Folder names of `profiles/`, and the names of the hosts in their rows.
fn provider_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for bundle in files(&top().join("profiles"), "json") {
        if bundle.file_name().is_none_or(|name| name != "bundle.json") {
            continue;
        }
        let folder = bundle.parent().unwrap().file_name().unwrap();
        names.insert(folder.to_string_lossy().to_lowercase());
        let text = fs::read_to_string(&bundle).unwrap();
        for rest in text.split("://").skip(1) {
            let host = rest
                .split(['/', '"', ':', '?', '{'])
                .next()
                .unwrap_or_default();
            names.insert(host.to_lowercase());
        }
    }
    names.retain(|name| {
        name.len() > 3 && !name.ends_with("example.com") && !name.contains("json-schema")
    });
    names
}

/// Object stores carry the names of their vendors, some of which are providers too: in one file, and nothing else there.
const STORES: (&str, &str) = ("crates/runtime/src/artifacts.rs", "azure");

/// One face of the API is named after the API whose shapes it has (`/openai/v1`, as `http-api.md` names it), and so is the member of
/// a profile that is written for it. The word stands in the face itself, in the one module that reads the member, in the two statements
/// that name its column, and in the tests of the face; elsewhere only as a path to these modules, which can ask nothing.
const FACE: (&str, &[&str]) = (
    "openai",
    &[
        "crates/server/src/openai.rs",
        "crates/server/src/openai/",
        "crates/profile/src/openai.rs",
        "crates/store/src/catalogue/apply/put.rs",
        "crates/store/src/catalogue/read.rs",
        "crates/server/tests/api/",
    ],
);

/// A source without the words of the face that are allowed there.
fn without_the_face(path: &Path, text: &str) -> String {
    let place = path.to_string_lossy().replace('\\', "/");
    let (word, rooms) = FACE;
    if rooms.iter().any(|room| place.contains(room)) {
        return text.replace(word, "");
    }
    let paths = ["mod openai;", "openai::", "crate::openai;", ", openai"];
    paths
        .iter()
        .fold(text.to_owned(), |text, path| text.replace(path, ""))
}

#[test]
fn no_source_file_contains_the_name_of_a_provider() {
    let names = provider_names();
    assert!(names.len() >= 3, "too few names to search for: {names:?}");
    let mut found = Vec::new();
    for (path, text) in sources() {
        let text = without_the_face(&path, &text.to_lowercase());
        found.extend(
            names
                .iter()
                .filter(|name| text.contains(name.as_str()))
                .filter(|name| !(path.ends_with(STORES.0) && *name == STORES.1))
                .map(|name| format!("{}: {name}", path.display())),
        );
    }
    assert!(
        found.is_empty(),
        "a quirk belongs into its rows:\n{}",
        found.join("\n")
    );
}

/// Which crates may say a word, and which file of them, if only one may.
#[test]
#[rustfmt::skip]
fn each_library_stays_in_its_room() {
    let rooms: &[(&str, &[&str])] = &[
        ("use sqlx",     &["crates/store/", "/tests/", "/benches/"]),
        ("sqlx::query",  &["crates/store/", "/tests/"]),
        ("use axum",     &["crates/server/", "crates/simulator/"]),
        ("reqwest::",    &["crates/engine/src/http", "crates/engine/src/egress", "crates/engine/src/download", "/tests/", "/tests.rs", "/benches/"]),
        ("SystemTime::now", &["crates/runtime/", "crates/cli/", "crates/simulator/", "/tests", "crates/store/src/embedded"]),
        ("unsafe {",     &["crates/store/src/embedded"]),
    ];
    let mut found = Vec::new();
    for (path, text) in sources() {
        let place = path.to_string_lossy().replace('\\', "/");
        for (word, allowed) in rooms {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            if !allowed.iter().any(|room| place.contains(room)) && code.clone().any(|line| line.contains(word)) {
                found.push(format!("{place}: `{word}`"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// From this one on, two builds may be at work on one database.
const FIRST_EXPANDING: u32 = 24;

/// Whether a statement takes away, or changes, what a build that is still at work may read or write.
fn contracts(sql: &str) -> bool {
    let plain: Vec<String> = sql
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default().to_lowercase())
        .collect();
    let words = plain.join(" ");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let taken = [
        "drop table",
        "drop column",
        "drop function",
        "rename to",
        "rename column",
        "set not null",
    ];
    let typed = words.match_indices("alter column").any(|(at, _)| {
        words[at..]
            .split([',', ';'])
            .next()
            .is_some_and(|change| change.contains(" type "))
    });
    typed || taken.iter().any(|word| words.contains(word))
}

/// A line `-- contract: …` says since when no build uses what goes.
#[test]
fn a_migration_takes_nothing_away_unless_it_says_since_when_nobody_uses_it() {
    for (sql, want) in [
        ("create index a on b (c);", false),
        ("alter table a add column b text;", false),
        ("alter table a\n  rename column b to c;", true),
        (
            "alter table a alter column b type json using b::json;",
            true,
        ),
        ("DROP TABLE a; -- gone", true),
        ("-- drop table a", false),
    ] {
        assert_eq!(contracts(sql), want, "{sql}");
    }
    let mut seen = 0;
    for path in files(&top().join("migrations"), "sql") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let number: u32 = name.split('_').next().unwrap().parse().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let said = text.lines().any(|line| line.starts_with("-- contract: "));
        if number >= FIRST_EXPANDING {
            seen += 1;
            assert!(
                said || !contracts(&text),
                "{name} takes away what the build before it may use"
            );
        }
    }
    assert!(seen > 0, "no migration was looked at");
}

#[test]
fn profile_does_no_io_and_reads_no_clock() {
    let banned = [
        "std::fs",
        "std::net",
        "std::env",
        "tokio::",
        "Instant::now",
        "now_utc",
        "async fn",
    ];
    for (path, text) in sources() {
        let place = path.to_string_lossy().into_owned();
        // A test may ask how long something took.
        if place.contains("crates/profile/src") && !place.ends_with("tests.rs") {
            let program = text.split("#[cfg(test)]").next().unwrap_or_default();
            for word in banned {
                assert!(!program.contains(word), "{place}: `{word}`");
            }
        }
    }
}

#[test]
fn every_dependency_is_stated_once_for_the_whole_workspace() {
    for manifest in files(&top().join("crates"), "toml") {
        let text = fs::read_to_string(&manifest).unwrap();
        let own = text
            .lines()
            .filter(|line| line.contains("version = \""))
            .collect::<Vec<_>>();
        assert!(own.is_empty(), "{}: {own:?}", manifest.display());
    }
}

/// `.at("name")`, so that the fault suite can stop a worker before and after it.
#[test]
fn every_await_of_submit_settle_fetch_and_lease_has_a_named_point_of_its_own() {
    let found = points::points(&top().join("crates/runtime/src"));
    assert!(
        found.nameless.is_empty(),
        "awaits without a point:\n{}",
        found.nameless.join("\n")
    );
    let twice: Vec<_> = found
        .names
        .iter()
        .filter(|(_, count)| **count > 1)
        .collect();
    assert!(twice.is_empty(), "names that are given twice: {twice:?}");
    assert!(
        found.names.len() > 100,
        "the search found {}",
        found.names.len()
    );
}

/// A point that the fault suite does not lead to is said, with its reason.
#[test]
fn every_named_point_is_reached_by_a_scenario_of_the_fault_suite_or_said_not_to_be() {
    let names = points::points(&top().join("crates/runtime/src")).names;
    let read = |file: &str| fs::read_to_string(top().join("tests/faults").join(file)).unwrap();
    let words = |text: &str, at: usize| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let word = lines.filter_map(|line| line.split_whitespace().nth(at));
        word.map(str::to_owned).collect()
    };
    let (reached, unreached) = (
        words(&read("survey.txt"), 1),
        words(&read("unreached.txt"), 0),
    );
    let said: BTreeSet<&String> = reached.union(&unreached).collect();
    let differ: Vec<_> = said
        .symmetric_difference(&names.keys().collect())
        .copied()
        .collect();
    assert!(
        differ.is_empty(),
        "`--survey`, and `unreached.txt`: {differ:?}"
    );
    // Only what a build that is broken on purpose does is not reached.
    for point in &unreached {
        let broken = points::FILES.iter().any(|file| {
            let text = fs::read_to_string(top().join("crates/runtime/src").join(file)).unwrap();
            text.find(&format!("\"{point}\"")).is_some_and(|at| {
                let before = text[..at].rfind("broken(Broken::");
                before.is_some_and(|before| text[before..at].lines().count() < 8)
            })
        });
        assert!(broken, "`{point}` stands in the whole build");
    }
    let both: Vec<_> = reached.intersection(&unreached).collect();
    assert!(both.is_empty(), "reached after all: {both:?}");
}

/// Files of the runtime in which every line of the log is about one run.
const OF_A_RUN: [&str; 17] = [
    "cache.rs",
    "callbacks.rs",
    "drive.rs",
    "drive/end.rs",
    "drive/settle.rs",
    "exchange.rs",
    "facts.rs",
    "fetch.rs",
    "follow/round.rs",
    "handle.rs",
    "intake.rs",
    "outbox.rs",
    "prepare.rs",
    "sender.rs",
    "sender/closed.rs",
    "tokens.rs",
    "unrecorded.rs",
];

const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

#[test]
fn what_is_logged_where_a_run_is_at_hand_says_which() {
    let mut found = 0;
    let mut wrong = Vec::new();
    for name in OF_A_RUN {
        let text = fs::read_to_string(top().join("crates/runtime/src").join(name)).unwrap();
        for (at, _) in text.match_indices("tracing::") {
            let rest = text.get(at..).unwrap_or_default();
            if !LEVELS
                .iter()
                .any(|level| rest.starts_with(&format!("tracing::{level}!(")))
            {
                continue;
            }
            found += 1;
            let end = rest.find(");").unwrap_or(rest.len());
            // The last arm of a match has no semicolon.
            let said = rest.get(..end.min(600)).unwrap_or(rest);
            if !said.contains("run.id = ") {
                let line = text.get(..at).unwrap_or_default().lines().count();
                wrong.push(format!("{name}:{line}"));
            }
        }
    }
    assert!(found > 40, "the search found only {found} lines of the log");
    assert_eq!(wrong, Vec::<String>::new(), "lines without `run.id`");
}
