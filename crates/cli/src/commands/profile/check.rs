//! `modelrow profile check`: every mistake of bundle files in one pass.

use crate::args::CheckArgs;
use crate::bundles;
use crate::exit::{self, Stop};
use crate::ui;
use anstream::println;
use serde_json::json;

pub(crate) fn check(args: &CheckArgs) -> Result<(), Stop> {
    let read = bundles::read_all(&args.bundles)?;
    if args.json {
        let all: Vec<_> = read.iter().flat_map(|one| one.found().iter()).collect();
        ui::print_json(&json!({ "diagnostics": all }));
    } else {
        for one in &read {
            for finding in one.found().iter() {
                ui::print_diagnostic(finding);
            }
            println!("{}: {}", one.file.display(), summary(one));
        }
    }
    match read.iter().any(|one| one.found().has_errors()) {
        true => Err(Stop::Told(exit::REFUSED)),
        false => Ok(()),
    }
}

fn summary(read: &bundles::Read) -> String {
    let errors = read.found().iter().filter(|one| one.is_error()).count();
    let warnings = read.found().iter().count() - errors;
    let serving = read
        .compiled
        .revisions
        .iter()
        .filter(|entry| entry.revision.is_ok())
        .count();
    match errors {
        0 => format!("{serving} revision(s) compile, {warnings} warning(s)"),
        _ => format!("refused: {errors} mistake(s), {warnings} warning(s)"),
    }
}
