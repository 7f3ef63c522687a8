//! Tests and plans of rows that are not saved, by what tests and plans those that are.

use super::bundle::{CaseReport, CasesReport, GivenBundle};
use super::check::{Change, active, compiled};
use super::save::{Admin, owner};
use super::view::not_there;
use crate::apply::stored_cases;
use crate::catalogue::Snapshot;
use crate::error::RunError;
use crate::plan::{self, Plan};
use crate::request::RunRequest;
use crate::tasks::aside;
use crate::{Modelrow, gate, rows};
use diag::Place;
use profile::bundle::read_row;
use profile::catalogue::Compiled;
use profile::rows::Kind;
use serde_json::Value;
use std::sync::Arc;
use store::cases::StoredCase;
use store::catalogue::{ProfileRow, Rows};
use uuid::Uuid;

/// A tenant's rows with a change, and what they mean.
struct Draft {
    rows: Rows,
    compiled: Compiled,
}

impl Modelrow {
    /// Replays recorded cases with a bundle that is not applied: those that come with it, and those that are stored for its profiles.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] with every mistake of the bundle; [`RunError::Store`].
    pub async fn bundle_test(
        &self,
        admin: Admin<'_>,
        tenant: Uuid,
        given: &GivenBundle,
    ) -> Result<CasesReport, RunError> {
        admin.may_write(tenant)?;
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let (bundle, compiled) = given.read().map_err(RunError::Refused)?;
        let there = rows::seen_by(&core.catalogue.now().rows, owner(tenant));
        let cases = given.cases();
        let bundle = rows::to_tables(&bundle).profiles;
        let stored = stored_cases(core, &bundle, &there.profiles, &cases).await?;
        let replay = move || {
            let given = cases.given.iter();
            let given = given.map(|case| report(&case.name, &case.document, None, &compiled));
            let stored = stored.iter().map(|(row, case)| {
                report(
                    &case.name,
                    &case.document,
                    Some(&row.profile_key),
                    &compiled,
                )
            });
            given.chain(stored).collect::<Vec<_>>()
        };
        Ok(aside(replay).await.into())
    }

    /// Plans a call with a bundle that is not applied. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] with every mistake of the bundle, or else of the call.
    pub async fn bundle_plan(
        &self,
        admin: Admin<'_>,
        given: &GivenBundle,
        request: &RunRequest,
    ) -> Result<Plan, PlanRefused> {
        let refused = |error| PlanRefused::Rows(error);
        admin.may_write(request.tenant).map_err(refused)?;
        let (bundle, _) = given.read().map_err(RunError::Refused).map_err(refused)?;
        let put = rows::to_tables(&bundle);
        let draft = self.draft(request.tenant, put).await.map_err(refused)?;
        let mut request = request.clone();
        let slug = bundle.providers.first().map(|row| row.slug.clone());
        request.provider = request.provider.or(slug);
        self.planned(draft, &request).await
    }

    /// Replays the recorded cases of a profile, as it is or with this row in its place. An inactive one is taken as if it were active.
    ///
    /// # Errors
    ///
    /// [`crate::RowError::NotThere`]; [`RunError::Refused`] with every mistake of the row; [`RunError::Store`].
    pub async fn profile_test(
        &self,
        admin: Admin<'_>,
        profile: Uuid,
        row: Option<&Value>,
    ) -> Result<CasesReport, RunError> {
        let (_, own, draft) = self.profile_draft(admin, profile, row).await?;
        let cases = self.core().store.cases(&[profile]).await?;
        let replay = move || {
            let seen = gate::seen_by(&own, &draft.compiled);
            let of = |case: &StoredCase| {
                report(&case.name, &case.document, Some(&own.profile_key), &seen)
            };
            cases.iter().map(of).collect::<Vec<_>>()
        };
        Ok(aside(replay).await.into())
    }

    /// Plans a call with a profile, as it is or with this row in its place. Nothing is sent.
    ///
    /// # Errors
    ///
    /// As [`Modelrow::profile_test`], and what is wrong with the call.
    pub async fn profile_plan(
        &self,
        admin: Admin<'_>,
        profile: Uuid,
        row: Option<&Value>,
        request: &RunRequest,
    ) -> Result<Plan, PlanRefused> {
        let drafted = self.profile_draft(admin, profile, row).await;
        let (tenant, own, draft) = drafted.map_err(PlanRefused::Rows)?;
        let mut request = request.clone();
        // The system's profiles serve every tenant: the admin's call is its own.
        if owner(tenant).is_some() {
            request.tenant = tenant;
        }
        request.provider = Some(own.provider);
        request.profile_key = Some(own.profile_key);
        request.model = own.model.or(request.model);
        self.planned(draft, &request).await
    }

    /// The profile as it would be, active, whose it is, and all that its owner sees with it.
    async fn profile_draft(
        &self,
        admin: Admin<'_>,
        profile: Uuid,
        row: Option<&Value>,
    ) -> Result<(Uuid, ProfileRow, Draft), RunError> {
        let there = self.row(admin.scope, Kind::Profiles, profile).await?;
        let (read, mut found) =
            read_row(Kind::Profiles, row.unwrap_or(&there.row), &Place::default());
        let Some(read) = read else {
            return Err(RunError::Refused(found));
        };
        let mut put = rows::to_tables(&read);
        rows::set_id(&mut put, Some(profile));
        rows::set_owner(&mut put, owner(there.tenant));
        let own = put.profiles.first().map(active);
        let own = own.ok_or_else(|| not_there(Kind::Profiles, profile))?;
        put.profiles = vec![own.clone()];
        let source = rows::profile_place(&own).source;
        let draft = self.draft(there.tenant, put).await?;
        let of_it = draft.compiled.diagnostics.iter();
        let of_it = of_it.filter(|one| one.is_error() && one.place.source == source);
        found.extend(of_it.cloned());
        match found.has_errors() {
            true => Err(RunError::Refused(found)),
            false => Ok((there.tenant, own, draft)),
        }
    }

    async fn draft(&self, tenant: Uuid, put: Rows) -> Result<Draft, RunError> {
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let change = Change {
            owner: owner(tenant),
            put,
            gone: Vec::new(),
        };
        let (rows, compiled) = compiled(&core.catalogue.now(), change).await;
        Ok(Draft { rows, compiled })
    }

    async fn planned(&self, draft: Draft, request: &RunRequest) -> Result<Plan, PlanRefused> {
        let core = self.core();
        let now = core.catalogue.now();
        let snapshot = Snapshot {
            version: now.version,
            rows: draft.rows,
            compiled: Arc::new(draft.compiled),
            ..Snapshot::default()
        };
        let planned = plan::plan_in(core, Arc::new(snapshot), request).await;
        planned.map_err(PlanRefused::Call)
    }
}

/// Why there is no plan, and whether the rows or the call are to blame.
#[derive(Debug, thiserror::Error)]
pub enum PlanRefused {
    /// The rows that were sent, or named.
    #[error(transparent)]
    Rows(RunError),
    /// The call.
    #[error(transparent)]
    Call(RunError),
}

fn report(name: &str, document: &str, profile: Option<&str>, compiled: &Compiled) -> CaseReport {
    let differences = gate::differences(name, document, profile, compiled);
    CaseReport {
        case: name.to_owned(),
        holds: differences.is_empty(),
        differences,
    }
}
