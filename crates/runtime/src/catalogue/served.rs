//! Which revisions began to serve.

use super::is_of;
use profile::catalogue::{Compiled, Entry, EntryKey};
use std::collections::HashMap;
use store::catalogue::Rows;
use uuid::Uuid;

/// What serves of profiles, and did not `before`: profile, model, revision.
pub(super) fn newly(
    before: &Compiled,
    rows: &Rows,
    compiled: &Compiled,
) -> Vec<(Uuid, String, Vec<u8>)> {
    let old: HashMap<&EntryKey, [u8; 32]> = before
        .revisions
        .iter()
        .filter_map(|entry| Some((&entry.key, entry.revision.as_ref().ok()?.id.0)))
        .collect();
    let new = |entry: &&Entry| {
        let revision = entry.revision.as_ref().ok();
        revision.is_some_and(|revision| old.get(&entry.key) != Some(&revision.id.0))
    };
    let served = compiled.revisions.iter().filter(new).filter_map(|entry| {
        let mut profiles = rows.profiles.iter();
        let row = profiles.find(|row| row.is_active && is_of(row, entry))?;
        let revision = entry.revision.as_ref().ok()?;
        let model = entry.key.model.clone().unwrap_or_default();
        Some((row.id?, model, revision.id.0.to_vec()))
    });
    served.collect()
}
