//! `modelrow profile apply`: bundles into the database, each all or nothing.

use crate::args::{ApplyArgs, HouseArgs};
use crate::bundles::{self, CaseFile, Read};
use crate::exit::{self, Stop};
use crate::house::{House, Purpose, run_stop};
use crate::ui;
use runtime::{ApplyHow, BundleCase, Cases, SealedSecrets, difference};
use serde_json::{Value, json};
use std::time::Duration;
use store::SYSTEM_TENANT;

pub(crate) async fn apply(house: &HouseArgs, args: &ApplyArgs) -> Result<(), Stop> {
    let mut read = bundles::read_all(&args.bundles)?;
    for one in &read {
        one.found().iter().for_each(ui::print_diagnostic);
    }
    if read.iter().any(|one| one.found().has_errors()) {
        return Err(Stop::Told(exit::REFUSED));
    }
    if let Some(endpoint) = &args.endpoint {
        read.iter_mut()
            .for_each(|one| bundles::point_to(&mut one.bundle.rows, endpoint, args.allow_private));
    }
    let house = House::open(house).await?;
    let applied = apply_all(&house, &read, args).await;
    house.close().await?;
    let applied = applied?;
    if args.json {
        ui::print_json(&json!({ "applied": applied }));
    }
    Ok(())
}

/// The recorded cases beside a bundle.
fn cases_of(read: &Read, only_these: bool) -> Result<Cases, Stop> {
    let case = |file: CaseFile| BundleCase {
        source: file.file.display().to_string(),
        name: file.name,
        document: file.text,
    };
    Ok(Cases {
        given: read.cases()?.into_iter().map(case).collect(),
        only_these,
    })
}

async fn apply_all(house: &House, read: &[Read], args: &ApplyArgs) -> Result<Vec<Value>, Stop> {
    let modelrow = house.start(Purpose::Rows).await?;
    let sealed = match args.unseal {
        true => SealedSecrets::Go,
        false => SealedSecrets::Stay,
    };
    let mut applied = Vec::new();
    for one in read {
        let how = ApplyHow {
            cases: cases_of(one, args.replace_cases)?,
            sealed,
            prune: args.prune,
            dry_run: args.dry_run,
            by: args.by.clone(),
        };
        let changes = modelrow
            .apply_with(SYSTEM_TENANT, &one.bundle.rows, &how)
            .await
            .map_err(|error| run_stop(&error))?;
        let done = match args.dry_run {
            true => "would be changed",
            false => "changed",
        };
        ui::done(&format!(
            "{}: {} case(s) hold, {} row(s) {done}, {} removed, {} as they were",
            one.file.display(),
            how.cases.given.len(),
            changes.changed,
            changes.removed,
            changes.unchanged
        ));
        if args.dry_run && !args.json {
            changes.differences.iter().for_each(ui::print_changed);
        }
        if changes.kept_secrets > 0 {
            ui::note(&format!(
                "{} sealed secret(s) stay in place of the bundle's references; `--unseal` takes the references",
                changes.kept_secrets
            ));
        }
        let differences = changes.differences.iter();
        applied.push(json!({
            "file": one.file, "changed": changes.changed, "unchanged": changes.unchanged, "removed": changes.removed,
            "kept_secrets": changes.kept_secrets, "dry_run": args.dry_run,
            "differences": differences.map(difference::Changed::to_json).collect::<Vec<_>>(),
        }));
    }
    modelrow.shutdown(Duration::ZERO).await;
    Ok(applied)
}
