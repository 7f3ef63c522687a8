//! The JUnit report that CI systems show.

use super::Tested;
use crate::exit::Stop;
use diag::Code;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// Writes the report: a suite for each bundle, a test for each case.
pub(super) fn write(results: &[Tested], file: &Path) -> Result<(), Stop> {
    let report = report(results);
    let write = || {
        let mut out = BufWriter::new(File::create(file)?);
        report.serialize(&mut out).map_err(io::Error::other)?;
        out.flush()
    };
    write().map_err(|error: io::Error| {
        Stop::house(
            Code::X103,
            format!("`{}` cannot be written: {error}", file.display()),
            "give `--junit` a file that you may write",
        )
    })
}

fn report(results: &[Tested]) -> Report {
    let mut report = Report::new("modelrow profile test");
    for of_bundle in results.chunk_by(|one, next| one.bundle == next.bundle) {
        let Some(first) = of_bundle.first() else {
            continue;
        };
        let bundle = first.bundle.display().to_string();
        let mut suite = TestSuite::new(bundle.as_str());
        suite.add_test_cases(of_bundle.iter().map(|result| {
            let mut case = TestCase::new(result.name.as_str(), status(result));
            case.set_classname(bundle.as_str());
            case.set_time(result.took);
            case
        }));
        report.add_test_suite(suite);
    }
    report
}

fn status(result: &Tested) -> TestCaseStatus {
    if result.passed() {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(Code::R127.as_str());
    if let Some(first) = result.differences.first() {
        status.set_message(first.as_str());
    }
    status.set_description(result.differences.join("\n"));
    status
}
