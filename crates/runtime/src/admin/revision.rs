//! The revisions of a profile: which served, what differs, and going back to one. To go back is to write the rows as they were: what
//! serves is always what the rows say.

use super::bundle::{BundleView, Difference};
use super::check::{Change, check};
use super::error::RowError;
use super::save::{Admin, of_rule, owner};
use super::view::not_there;
use crate::access::PageOf;
use crate::catalogue::is_of;
use crate::difference;
use crate::error::RunError;
use crate::{Modelrow, list, rows};
use diag::{Code, Diagnostic, Diagnostics, Place};
use profile::catalogue::compile_rows;
use profile::rows::Kind;
use serde::Serialize;
use serde_json::Value;
use store::Scope;
use store::catalogue::{Apply, Keep, ProfileRow, Rows, Table, When};
use store::revisions::{RevisionRow, ServedRow};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// Fewest digits that name a revision.
const DIGITS_MIN: usize = 8;
/// Revisions among which the one before is looked for.
const LOOKED_THROUGH: i64 = 100;

/// A revision that served of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RevisionView {
    /// Its id, in hex: the SHA-256 of its content.
    pub revision: String,
    /// For which model; absent: for calls without one.
    pub model: Option<String>,
    /// Whether it serves now.
    pub serving: bool,
    /// When it served first.
    #[serde(with = "time::serde::rfc3339")]
    pub first_served_at: OffsetDateTime,
    /// When it began to serve last.
    #[serde(with = "time::serde::rfc3339")]
    pub served_since: OffsetDateTime,
    /// The rows that were joined into it; of one revision alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub content: Option<Value>,
}

/// A page of revisions, the latest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RevisionPage {
    /// The revisions.
    pub revisions: Vec<RevisionView>,
    /// For the next page; absent: this was the last.
    pub next: Option<String>,
}

/// The state of a profile that a revision is to serve again of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Its last change; of another state nothing is written.
    At(OffsetDateTime),
    /// Whatever it is: it is shown what would differ, and nothing is changed.
    DryRun,
}

impl Seen {
    fn when(self, profile: Uuid) -> (When<'static>, Keep) {
        match self {
            Self::DryRun => (When::Always, Keep::No),
            Self::At(seen) => {
                let (table, id) = (Table::Profiles, profile);
                (When::Unchanged { table, id, seen }, Keep::Yes)
            }
        }
    }
}

impl Modelrow {
    /// What served of a profile, the latest first.
    ///
    /// # Errors
    ///
    /// [`RowError::NotThere`], [`RunError::BadCursor`], [`RunError::Store`].
    pub async fn profile_revisions(
        &self,
        scope: Scope,
        profile: Uuid,
        page: &PageOf,
    ) -> Result<RevisionPage, RunError> {
        self.row(scope, Kind::Profiles, profile).await?;
        let limit = list::page_size(page.limit);
        let after = list::after(page.after.as_deref())?;
        let store = &self.core().store;
        let found = store.served(profile, after, list::asked_for(limit)).await?;
        let (found, next) = list::page(found, limit, |row| {
            let head = row.revision_id.get(..16).unwrap_or_default();
            (row.served_since, Uuid::from_slice(head).unwrap_or_default())
        });
        let revisions = found.iter().map(|row| self.shown(profile, row, None));
        Ok(RevisionPage {
            revisions: revisions.collect(),
            next,
        })
    }

    /// One revision of a profile, by its id or at least eight of its first digits.
    ///
    /// # Errors
    ///
    /// [`RowError::NotThere`], [`RowError::NoRevision`], [`RunError::Store`].
    pub async fn profile_revision(
        &self,
        scope: Scope,
        profile: Uuid,
        revision: &str,
    ) -> Result<RevisionView, RunError> {
        self.row(scope, Kind::Profiles, profile).await?;
        let (served, revision) = self.served_revision(profile, revision).await?;
        Ok(self.shown(profile, &served, Some(revision.content)))
    }

    /// What differs from one revision of a profile to another; without another to what serves now.
    ///
    /// # Errors
    ///
    /// As [`Modelrow::profile_revision`].
    pub async fn profile_diff(
        &self,
        scope: Scope,
        profile: Uuid,
        (from, to): (&str, Option<&str>),
    ) -> Result<Vec<Difference>, RunError> {
        let before = self.profile_revision(scope, profile, from).await?;
        let after = match to {
            Some(to) => self.profile_revision(scope, profile, to).await?.content,
            None => self.serves(profile, before.model.as_deref()),
        };
        let of = |content: Option<Value>| {
            content.map_or_else(difference::RowsByKey::new, |content| {
                difference::of_content(&content)
            })
        };
        let found = difference::compare(&of(before.content), &of(after));
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// Lets a revision serve again: every row that was joined into it is written as it was, and the profile, which is as it was
    /// `seen`, is active.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`]: a case fails, or other rows would have mistakes; or rows that are not the profile's
    /// owner's differ, or the program makes another revision of the rows today. [`RowError::Stale`], [`RowError::OfSystem`].
    /// Otherwise as [`Modelrow::profile_revision`].
    pub async fn profile_activate(
        &self,
        admin: Admin<'_>,
        (profile, seen): (Uuid, Seen),
        revision: &str,
    ) -> Result<BundleView, RunError> {
        let there = self.row(admin.scope, Kind::Profiles, profile).await?;
        admin.may_write(there.tenant)?;
        let (_, revision) = self.served_revision(profile, revision).await?;
        let back = self.activated(admin, (there.tenant, profile, seen), &revision);
        back.await
    }

    /// Lets the revision serve again that served before the one that serves now.
    ///
    /// # Errors
    ///
    /// As [`Modelrow::profile_activate`].
    pub async fn profile_rollback(
        &self,
        admin: Admin<'_>,
        (profile, seen): (Uuid, Seen),
    ) -> Result<BundleView, RunError> {
        let there = self.row(admin.scope, Kind::Profiles, profile).await?;
        admin.may_write(there.tenant)?;
        let served = self
            .core()
            .store
            .served(profile, None, LOOKED_THROUGH)
            .await?;
        let before = served.split_first().and_then(|(last, older)| {
            older
                .iter()
                .find(|row| row.model == last.model && row.revision_id != last.revision_id)
        });
        let before = before.ok_or(RunError::Row(RowError::NoEarlier))?;
        let (_, revision) = self
            .served_revision(profile, &hex::encode(&before.revision_id))
            .await?;
        let back = self.activated(admin, (there.tenant, profile, seen), &revision);
        back.await
    }

    async fn activated(
        &self,
        admin: Admin<'_>,
        (tenant, profile, seen): (Uuid, Uuid, Seen),
        revision: &RevisionRow,
    ) -> Result<BundleView, RunError> {
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let there = rows::seen_by(&core.catalogue.now().rows, owner(tenant));
        let row = there.profiles.iter().find(|row| row.id == Some(profile));
        let row = row.ok_or_else(|| not_there(Kind::Profiles, profile))?;
        let put = rows::restored(&there, row, &revision.content);
        let put = put.map_err(|others| no_way_back(others.join(", ")))?;
        makes(&there, &put, row, revision)?;
        let change = Change {
            owner: owner(tenant),
            put: put.clone(),
            gone: Vec::new(),
        };
        let source = rows::profile_place(row).source;
        let found = check(core, change, source).await?.errors();
        if found.has_errors() {
            // The body has none of the rows.
            return Err(RunError::Refused(found.at(&Place::default())));
        }
        let (when, keep) = seen.when(profile);
        let apply = Apply {
            tenant,
            actor: admin.by,
            when,
        };
        let changed = core.store.bundle_change(&apply, &put, &[], keep).await;
        let changed = changed.map_err(|error| of_rule(error, Kind::Profiles, ""))?;
        if keep == Keep::Yes {
            core.catalogue.load(&core.store).await?;
        }
        let applied = crate::apply::applied(&changed);
        Ok(BundleView::of(applied, keep == Keep::No))
    }

    async fn served_revision(
        &self,
        profile: Uuid,
        digits: &str,
    ) -> Result<(ServedRow, RevisionRow), RunError> {
        let is_one = digits.len() >= DIGITS_MIN && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_one {
            return Err(no_revision(digits));
        }
        let digits = digits.to_ascii_lowercase();
        let mut found = self.core().store.served_like(profile, &digits).await?;
        match (found.pop(), found.pop()) {
            (Some(one), None) => Ok(one),
            _ => Err(no_revision(&digits)),
        }
    }

    fn shown(&self, profile: Uuid, row: &ServedRow, content: Option<Value>) -> RevisionView {
        let model = Some(row.model.clone()).filter(|model| !model.is_empty());
        let serves = self.serving_id(profile, model.as_deref());
        RevisionView {
            revision: hex::encode(&row.revision_id),
            serving: serves.is_some_and(|id| id.as_slice() == row.revision_id),
            model,
            first_served_at: row.first_served_at,
            served_since: row.served_since,
            content,
        }
    }

    fn serving_id(&self, profile: Uuid, model: Option<&str>) -> Option<[u8; 32]> {
        let snapshot = self.core().catalogue.now();
        let row = snapshot
            .rows
            .profiles
            .iter()
            .find(|row| row.id == Some(profile))?;
        let mut entries = snapshot.compiled.revisions.iter();
        let entry = entries.find(|entry| {
            row.is_active && is_of(row, entry) && entry.key.model.as_deref() == model
        })?;
        Some(entry.revision.as_ref().ok()?.id.0)
    }

    /// The content of what serves now.
    fn serves(&self, profile: Uuid, model: Option<&str>) -> Option<Value> {
        let id = self.serving_id(profile, model)?;
        let revision = self.core().catalogue.known(&id)?;
        Some(revision.content.clone())
    }
}

/// The rows make that revision again, and no other one.
fn makes(
    seen: &Rows,
    put: &Rows,
    row: &ProfileRow,
    revision: &RevisionRow,
) -> Result<(), RunError> {
    let mut after = seen.clone();
    rows::put_in(&mut after, put.clone(), row.tenant);
    let compiled = compile_rows(&rows::to_language(&after));
    let mut entries = compiled.revisions.iter();
    let again = entries.any(|entry| {
        let made = entry.revision.as_ref().ok();
        is_of(row, entry) && made.is_some_and(|made| made.id.0.as_slice() == revision.revision_id)
    });
    match again {
        true => Ok(()),
        false => Err(no_way_back("what is joined beside the rows".to_owned())),
    }
}

fn no_revision(of: &str) -> RunError {
    let revision = of.to_owned();
    RunError::Row(RowError::NoRevision { revision })
}

fn no_way_back(differs: String) -> RunError {
    let message = format!("the revision cannot serve again: {differs} is not as it was then");
    let help = "compare it with what serves (`…/diff`), and write the rows as they shall be";
    let found = Diagnostic::error(Code::R208, Place::default(), message, help);
    RunError::Refused(Diagnostics(vec![found]))
}
