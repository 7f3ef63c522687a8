//! `modelrow profile test`: recorded cases replayed, without a network.

use crate::args::TestArgs;
use crate::bundles::{self, Read};
use crate::exit::{self, Stop};
use crate::ui;
use anstream::println;
use diag::Code;
use engine::replay::replay;
use profile::case::Case;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What came of one case.
pub(crate) struct Tested {
    file: PathBuf,
    /// Each difference, as people read it; none: it holds.
    differences: Vec<String>,
}

impl Tested {
    pub(crate) fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    fn to_json(&self) -> Value {
        json!({ "case": self.file, "passed": self.passed(), "differences": self.differences })
    }
}

pub(crate) fn test(args: &TestArgs) -> Result<(), Stop> {
    let mut results = Vec::new();
    for read in bundles::read_all(&args.bundles)? {
        if read.found().has_errors() {
            return Err(read.found().clone().into());
        }
        results.extend(of_bundle(&read, args.only.as_deref())?);
    }
    let failed = results.iter().filter(|result| !result.passed()).count();
    if args.json {
        ui::print_json(
            &json!({ "cases": results.iter().map(Tested::to_json).collect::<Vec<_>>() }),
        );
    } else {
        results.iter().for_each(tell);
        println!("{} passed, {failed} failed", results.len() - failed);
    }
    match failed {
        0 => Ok(()),
        _ => Err(Stop::Told(exit::FAILED)),
    }
}

/// Replays the cases beside a bundle whose names hold `only`.
pub(crate) fn of_bundle(read: &Read, only: Option<&str>) -> Result<Vec<Tested>, Stop> {
    let folder = read.file.parent().unwrap_or(Path::new(".")).join("cases");
    let unreadable = |error: io::Error| {
        Stop::house(
            Code::X102,
            format!("`{}` cannot be read: {error}", folder.display()),
            "name a bundle with a folder `cases` beside it",
        )
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = fs::read_dir(&folder)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(unreadable)?;
    let wanted = |file: &Path| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        file.extension().is_some_and(|ending| ending == "json")
            && only.is_none_or(|part| name.contains(part))
    };
    files.retain(|file| wanted(file));
    files.sort();
    files
        .into_iter()
        .map(|file| one(read, file).map_err(unreadable))
        .collect()
}

fn one(read: &Read, file: PathBuf) -> io::Result<Tested> {
    let text = fs::read_to_string(&file)?;
    let differences = match Case::parse(&file.display().to_string(), &text) {
        Err(found) => found.iter().map(ToString::to_string).collect(),
        Ok(case) => replay(&case, &read.compiled)
            .differences
            .iter()
            .map(|one| format!("error[{}]: {one}", Code::R127))
            .collect(),
    };
    Ok(Tested { file, differences })
}

/// One line, and the differences below it.
pub(crate) fn tell(result: &Tested) {
    let word = if result.passed() { "ok    " } else { "FAILED" };
    println!("{word} {}", result.file.display());
    for difference in &result.differences {
        println!("       {difference}");
    }
}
