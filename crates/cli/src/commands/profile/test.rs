//! `modelrow profile test`: recorded cases replayed, without a network.

use crate::args::TestArgs;
use crate::bundles::{self, CaseFile, Read};
use crate::exit::{self, Stop};
use crate::{progress, ui};
use anstream::println;
use diag::Code;
use engine::replay::replay;
use profile::case::Case;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod junit;

/// What came of one case.
struct Tested {
    bundle: PathBuf,
    file: PathBuf,
    name: String,
    took: Duration,
    /// Each difference, as people read it; none: it holds.
    differences: Vec<String>,
}

impl Tested {
    fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    fn to_json(&self) -> Value {
        json!({ "case": self.file, "passed": self.passed(), "differences": self.differences })
    }
}

pub(crate) fn test(args: &TestArgs) -> Result<(), Stop> {
    let read = bundles::read_all(&args.bundles)?;
    if let Some(refused) = read.iter().find(|one| one.found().has_errors()) {
        return Err(refused.found().clone().into());
    }
    let results = replay_all(&read, args)?;
    if let Some(file) = &args.junit {
        junit::write(&results, file)?;
    }
    let failed = results.iter().filter(|result| !result.passed()).count();
    if args.json {
        ui::print_json(
            &json!({ "cases": results.iter().map(Tested::to_json).collect::<Vec<_>>() }),
        );
    } else {
        println!("{} passed, {failed} failed", results.len() - failed);
        if results.is_empty() {
            ui::note(
                "there are no cases: write them from the documentation into `cases/` beside `bundle.json`, or make one of a live run: `modelrow profile record`",
            );
        }
    }
    match failed {
        0 => Ok(()),
        _ => Err(Stop::Told(exit::FAILED)),
    }
}

/// Replays the wanted cases of all bundles, and tells each as it ends.
fn replay_all(read: &[Read], args: &TestArgs) -> Result<Vec<Tested>, Stop> {
    let mut work = Vec::new();
    let mut names = Vec::new();
    for one in read {
        for case in one.cases()? {
            names.push(case.name.clone());
            if args
                .only
                .as_ref()
                .is_none_or(|part| case.name.contains(part))
            {
                work.push((one, case));
            }
        }
    }
    if let (Some(part), true) = (&args.only, work.is_empty()) {
        return Err(no_such_case(part, &names));
    }
    let bar = progress::count(work.len() as u64);
    let replayed = work.into_iter().map(|(read, case)| {
        let tested = one(read, case);
        bar.inc(1);
        if !args.json {
            bar.suspend(|| tell(&tested));
        }
        tested
    });
    let results = replayed.collect();
    bar.finish_and_clear();
    Ok(results)
}

fn no_such_case(part: &str, names: &[String]) -> Stop {
    let help = match names.is_empty() {
        true => "there is no folder `cases` with `.json` files beside these bundles".to_owned(),
        false => format!("cases are: {}", names.join(", ")),
    };
    Stop::usage(
        Code::X112,
        "--only",
        format!("no case has `{part}` in its name"),
        help,
    )
}

fn one(read: &Read, case: CaseFile) -> Tested {
    let begun = Instant::now();
    let differences = differences(read, &case.file, &case.text);
    Tested {
        bundle: read.file.clone(),
        file: case.file,
        name: case.name,
        took: begun.elapsed(),
        differences,
    }
}

/// In what a case differs from what its bundle does.
pub(crate) fn differences(read: &Read, file: &Path, text: &str) -> Vec<String> {
    match Case::parse(&file.display().to_string(), text) {
        Err(found) => found.iter().map(ToString::to_string).collect(),
        Ok(case) => replay(&case, &read.compiled)
            .differences
            .iter()
            .map(|one| format!("error[{}]: {one}", Code::R127))
            .collect(),
    }
}

/// One line, and the differences below it.
fn tell(result: &Tested) {
    let word = if result.passed() { "ok    " } else { "FAILED" };
    println!("{word} {}", result.file.display());
    for difference in &result.differences {
        println!("       {difference}");
    }
}
