//! `modelrow profile apply`: bundles into the database, each all or nothing.

use crate::args::{ApplyArgs, HouseArgs};
use crate::bundles::{self, CaseFile, Read};
use crate::exit::{self, Stop};
use crate::house::{House, Purpose, run_stop};
use crate::ui;
use runtime::{BundleCase, Cases, SealedSecrets};
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
        let cases = cases_of(one, args.replace_cases)?;
        let changes = modelrow
            .apply_with(SYSTEM_TENANT, &one.bundle.rows, &cases, sealed)
            .await
            .map_err(|error| run_stop(&error))?;
        ui::done(&format!(
            "{}: {} case(s) hold, {} row(s) changed, {} as they were",
            one.file.display(),
            cases.given.len(),
            changes.changed,
            changes.unchanged
        ));
        if changes.kept_secrets > 0 {
            ui::note(&format!(
                "{} sealed secret(s) stay in place of the bundle's references; `--unseal` takes the references",
                changes.kept_secrets
            ));
        }
        applied.push(json!({
            "file": one.file, "changed": changes.changed, "unchanged": changes.unchanged,
            "kept_secrets": changes.kept_secrets,
        }));
    }
    modelrow.shutdown(Duration::ZERO).await;
    Ok(applied)
}
