//! Every recorded case of the shipped profiles, replayed against the bundle
//! beside it: no network, no real clock.

use engine::replay::replay;
use profile::case::Case;
use profile::catalogue::{Ask, choose};
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

/// What a case shows of its profile.
fn kind_of(case: &Case) -> &'static str {
    match (&case.expect.output, case.exchanges.is_empty()) {
        (Some(_), _) => "success",
        (None, true) => "refused parameter",
        (None, false) => "failure",
    }
}

#[test]
fn every_shipped_profile_has_a_success_a_failure_and_a_refused_parameter() {
    let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles");
    let mut missing = Vec::new();
    for folder in files(&profiles) {
        let Ok(text) = fs::read_to_string(folder.join("bundle.json")) else {
            continue;
        };
        let (bundle, compiled) = profile::bundle::check("bundle.json", &text);
        let cases: Vec<(String, &str)> = files(&folder.join("cases"))
            .into_iter()
            .filter_map(|file| {
                let text = fs::read_to_string(&file).unwrap();
                let case = Case::parse(&file.display().to_string(), &text).unwrap();
                let ask = Ask {
                    purpose: case.input.purpose.clone(),
                    provider: case.input.provider.clone(),
                    model: case.input.model.clone(),
                    profile_key: case.input.profile_key.clone(),
                    ..Ask::default()
                };
                let chosen = choose(&compiled, &ask).ok()?.revision;
                Some((chosen.profile_key.clone(), kind_of(&case)))
            })
            .collect();
        for row in &bundle.rows.profiles {
            for kind in ["success", "failure", "refused parameter"] {
                let has = |(key, have): &(String, &str)| *key == row.profile_key && *have == kind;
                if !cases.iter().any(has) {
                    missing.push(format!("{}: {kind}", row.profile_key));
                }
            }
        }
    }
    assert!(missing.is_empty(), "no case of:\n{}", missing.join("\n"));
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
