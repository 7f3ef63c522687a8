//! Every recorded case of the shipped profiles, replayed against the bundle
//! beside it: no network, no real clock.

use engine::replay::replay;
use profile::case::Case;
use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_recorded_case_holds() {
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    let (mut cases, mut broken) = (0, Vec::new());
    for folder in files(&profiles) {
        let bundle = folder.join("bundle.json");
        let Ok(text) = fs::read_to_string(&bundle) else {
            continue;
        };
        let (_, compiled) = profile::bundle::check(&bundle.display().to_string(), &text);
        assert!(
            !compiled.diagnostics.has_errors(),
            "{}:\n{}",
            bundle.display(),
            compiled.diagnostics
        );
        for file in files(&folder.join("cases")) {
            cases += 1;
            let text = fs::read_to_string(&file).unwrap();
            let case = Case::parse(&file.display().to_string(), &text);
            let case = case.unwrap_or_else(|found| panic!("{found}"));
            let report = replay(&case, &compiled);
            for difference in report.differences {
                broken.push(format!(
                    "{}\n    {difference}",
                    file.strip_prefix(&profiles).unwrap().display()
                ));
            }
        }
    }
    assert!(cases > 0, "no cases were found in {}", profiles.display());
    assert!(
        broken.is_empty(),
        "{} differences in {cases} cases:\n{}",
        broken.len(),
        broken.join("\n")
    );
}
