//! `modelrow profile diff`: what differs between bundles, the database and revisions.

use crate::args::{DiffArgs, HouseArgs};
use crate::bundles::{self, Read};
use crate::exit::{self, Stop};
use crate::house::{House, Purpose, run_stop};
use crate::ui;
use diag::Code;
use profile::catalogue::Entry;
use runtime::{Modelrow, difference as rows};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::SYSTEM_TENANT;

/// Fewest digits that name a revision.
const DIGITS_MIN: usize = 8;

/// What one side names.
enum Side {
    Bundle(Box<Read>),
    /// A stored revision: its content.
    Revision(Value),
}

pub(crate) async fn diff(house: &HouseArgs, args: &DiffArgs) -> Result<(), Stop> {
    let asked = [args.before.as_str(), args.after.as_str()];
    let sides = if asked.iter().all(|side| Path::new(side).exists()) {
        asked.map(|side| bundle(Path::new(side)))
    } else {
        of_database(house, asked).await?
    };
    let [before, after] = sides;
    let (before, after) = alike(before?, after?)?;
    let changes = rows::compare(&before, &after);
    match args.json {
        true => ui::print_json(
            &json!({ "differences": changes.iter().map(rows::Changed::to_json).collect::<Vec<_>>() }),
        ),
        false => changes.iter().for_each(ui::print_changed),
    }
    match changes.is_empty() {
        true => Ok(()),
        false => Err(Stop::Told(exit::FAILED)),
    }
}

async fn of_database(house: &HouseArgs, asked: [&str; 2]) -> Result<[Result<Side, Stop>; 2], Stop> {
    let house = House::open(house).await?;
    let modelrow = house.start(Purpose::Rows).await?;
    let [before, after] = asked;
    let sides = [side(&modelrow, before).await, side(&modelrow, after).await];
    modelrow.shutdown(Duration::ZERO).await;
    house.close().await?;
    Ok(sides)
}

async fn side(modelrow: &Modelrow, asked: &str) -> Result<Side, Stop> {
    if let Some(provider) = asked.strip_prefix('@') {
        let exported = modelrow.export(SYSTEM_TENANT, provider).await;
        let exported = exported.map_err(|error| run_stop(&error))?;
        let read = bundles::check(PathBuf::from(asked), &exported.to_string());
        return Ok(Side::Bundle(Box::new(read)));
    }
    let is_revision = asked.len() >= DIGITS_MIN && asked.chars().all(|c| c.is_ascii_hexdigit());
    if Path::new(asked).exists() || !is_revision {
        return bundle(Path::new(asked));
    }
    let found = modelrow
        .store()
        .revisions_like(&asked.to_ascii_lowercase())
        .await;
    let mut found = found.map_err(|error| run_stop(&error.into()))?;
    match (found.pop(), found.pop()) {
        (Some(one), None) => Ok(Side::Revision(one.content)),
        (None, _) => Err(no_such(asked, "no revision begins with these digits")),
        (Some(_), Some(_)) => Err(no_such(asked, "several revisions begin with these digits")),
    }
}

fn bundle(path: &Path) -> Result<Side, Stop> {
    Ok(Side::Bundle(Box::new(bundles::read(path)?)))
}

fn no_such(asked: &str, why: &str) -> Stop {
    Stop::usage(
        Code::X113,
        asked,
        format!("`{asked}` cannot be compared: {why}"),
        "name a bundle, `@PROVIDER`, or digits of a revision that `modelrow profile status --json` shows as `serving`",
    )
}

/// Both sides as rows of one form: of bundles by natural key, of revisions what was joined.
fn alike(before: Side, after: Side) -> Result<(rows::RowsByKey, rows::RowsByKey), Stop> {
    Ok(match (before, after) {
        (Side::Bundle(before), Side::Bundle(after)) => (of_bundle(&before), of_bundle(&after)),
        (Side::Revision(before), Side::Revision(after)) => {
            (rows::of_content(&before), rows::of_content(&after))
        }
        (Side::Bundle(read), Side::Revision(content)) => (
            rows::of_content(&same_profile(&read, &content)?),
            rows::of_content(&content),
        ),
        (Side::Revision(content), Side::Bundle(read)) => (
            rows::of_content(&content),
            rows::of_content(&same_profile(&read, &content)?),
        ),
    })
}

fn of_bundle(read: &Read) -> rows::RowsByKey {
    rows::of_bundle(&profile::bundle::write(&read.bundle.rows))
}

/// What the bundle makes of the profile that a revision was made of.
fn same_profile(read: &Read, content: &Value) -> Result<Value, Stop> {
    let text = |pointer: &str| content.pointer(pointer).and_then(Value::as_str);
    let is_it = |entry: &&Entry| {
        Some(entry.key.provider.as_str()) == text("/provider/slug")
            && Some(entry.key.profile_key.as_str()) == text("/profile/profile_key")
            && entry.key.model.as_deref() == text("/model/model_id")
    };
    let entry = read.compiled.revisions.iter().find(is_it);
    let name = format!(
        "`{}` of `{}` for `{}`",
        text("/profile/profile_key").unwrap_or_default(),
        text("/provider/slug").unwrap_or_default(),
        text("/model/model_id").unwrap_or("no model")
    );
    match entry.map(|entry| &entry.revision) {
        Some(Ok(revision)) => Ok(revision.content.clone()),
        Some(Err(found)) => Err(found.clone().into()),
        None => Err(no_such(
            &read.file.display().to_string(),
            &format!("it has no profile {name}"),
        )),
    }
}
