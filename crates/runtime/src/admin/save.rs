//! Saving a row, and taking one away: checked whole, then written in one guarded transaction.

use super::check::{self, Change, Found};
use super::error::RowError;
use super::operator;
use super::view::{RowView, with};
use crate::error::RunError;
use crate::{Modelrow, rows};
use diag::{Diagnostic, Diagnostics, Place};
use profile::bundle::read_row;
use profile::rows::Kind;
use serde_json::{Value, json};
use store::catalogue::{Apply, Removed, Rows, When};
use store::{Rule, SYSTEM_TENANT, Scope, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

/// Who changes rows.
#[derive(Debug, Clone, Copy)]
pub struct Admin<'a> {
    /// What it sees, and may change: its own tenant's rows; everything.
    pub scope: Scope,
    /// For the audit log.
    pub by: &'a str,
}

impl Admin<'_> {
    /// What a tenant inherits it does not write.
    pub(super) fn may_write(self, tenant: Uuid) -> Result<(), RunError> {
        match self.scope.has(tenant) {
            true => Ok(()),
            false => Err(RunError::Row(RowError::OfSystem)),
        }
    }
}

/// A row that was read and checked.
struct Checked {
    tables: Rows,
    /// What is said of it, though it is saved.
    told: Diagnostics,
}

impl Modelrow {
    /// Makes a row of a tenant.
    ///
    /// # Errors
    ///
    /// [`RunError::Refused`] with every mistake, by pointers into the body; [`RowError::Taken`]; [`RunError::Store`].
    pub async fn row_create(
        &self,
        admin: Admin<'_>,
        tenant: Uuid,
        kind: Kind,
        body: &Value,
    ) -> Result<RowView, RunError> {
        admin.may_write(tenant)?;
        let checked = self
            .checked(admin.scope, kind, (tenant, None), body)
            .await?;
        let key = rows::key(kind, &checked.tables);
        let when = When::New {
            table: rows::table(kind),
            key: &key,
        };
        let apply = Apply {
            tenant,
            actor: admin.by,
            when,
        };
        let id = self.written(&apply, kind, &checked.tables).await?;
        let id = id.unwrap_or_default();
        Ok(with(self.row(admin.scope, kind, id).await?, &checked.told))
    }

    /// Puts a row in place of one that is as it was `seen`.
    ///
    /// # Errors
    ///
    /// As [`Modelrow::row_create`], and [`RowError::NotThere`], [`RowError::Stale`], [`RowError::Renamed`], [`RowError::OfSystem`].
    pub async fn row_replace(
        &self,
        admin: Admin<'_>,
        kind: Kind,
        (id, seen): (Uuid, OffsetDateTime),
        body: &Value,
    ) -> Result<RowView, RunError> {
        let there = self.row(admin.scope, kind, id).await?;
        admin.may_write(there.tenant)?;
        let checked = self
            .checked(admin.scope, kind, (there.tenant, Some(id)), body)
            .await?;
        renamed(kind, &there.row, &checked.tables)?;
        let when = When::Unchanged {
            table: rows::table(kind),
            id,
            seen,
        };
        let apply = Apply {
            tenant: there.tenant,
            actor: admin.by,
            when,
        };
        self.written(&apply, kind, &checked.tables).await?;
        Ok(with(self.row(admin.scope, kind, id).await?, &checked.told))
    }

    /// Takes away a row that is as it was `seen`, and that neither runs nor other rows use.
    ///
    /// # Errors
    ///
    /// [`RowError::NotThere`], [`RowError::Stale`], [`RowError::InUse`], [`RowError::OfSystem`]; [`RunError::Store`].
    pub async fn row_delete(
        &self,
        admin: Admin<'_>,
        kind: Kind,
        (id, seen): (Uuid, OffsetDateTime),
    ) -> Result<(), RunError> {
        let core = self.core();
        let there = self.row(admin.scope, kind, id).await?;
        admin.may_write(there.tenant)?;
        let change = Change {
            owner: owner(there.tenant),
            put: Rows::default(),
            gone: vec![id],
        };
        let users = rows::users(&core.catalogue.now().rows, kind, id);
        let missed = check::check(core, change, None).await?.elsewhere;
        if !(users.is_empty() && missed.is_empty()) {
            let missed = missed.into_iter().map(|one| one.message);
            let rows = users.into_iter().chain(missed).collect();
            let runs = Vec::new();
            return Err(RunError::Row(RowError::InUse { runs, rows }));
        }
        let contents = contents(kind, &there.row);
        let by = (there.tenant, admin.by);
        let removed = core
            .store
            .row_remove(by, rows::table(kind), (id, seen), &contents);
        match removed.await.map_err(|error| of_rule(error, kind, ""))? {
            Removed::Gone => {}
            Removed::Stale => return Err(RunError::Row(RowError::Stale)),
            Removed::UsedBy(runs) => {
                let rows = Vec::new();
                return Err(RunError::Row(RowError::InUse { runs, rows }));
            }
        }
        Ok(core.catalogue.load(&core.store).await?)
    }

    /// Reads a body as a row of the tenant, and says all that is wrong with it and because of it.
    async fn checked(
        &self,
        scope: Scope,
        kind: Kind,
        (tenant, id): (Uuid, Option<Uuid>),
        body: &Value,
    ) -> Result<Checked, RunError> {
        let core = self.core();
        core.catalogue.refresh(&core.store).await?;
        let (read, mut found) = read_row(kind, body, &Place::default());
        let Some(read) = read else {
            return Err(RunError::Refused(found));
        };
        found.extend(operator::refused(scope, &core.catalogue.now().rows, &read));
        let mut tables = rows::to_tables(&read);
        rows::set_id(&mut tables, id);
        rows::add_credentials(&mut tables, &core.catalogue.now().rows);
        let owner = owner(tenant);
        let draft = tables.profiles.first().is_some_and(|row| !row.is_active);
        let told = self.found_with(&tables, kind, owner).await?;
        let told = match draft {
            // A draft is kept with its mistakes; those that it would have are told.
            true => {
                let mut active = tables.clone();
                active.profiles = tables.profiles.iter().map(check::active).collect();
                let own = self.found_with(&active, kind, owner).await?.own;
                found.extend(told.errors());
                own
            }
            false => {
                let warnings = told.own.iter().filter(|one| !one.is_error());
                let warnings = Diagnostics(warnings.cloned().collect());
                found.extend(told.errors());
                warnings
            }
        };
        // Without a profile nothing of the provider was compiled.
        for word in operator::words(tenant, &read) {
            let said = |one: &Diagnostic| {
                (one.code, &one.place.pointer) == (word.code, &word.place.pointer)
            };
            if !found.iter().any(said) {
                found.push(word);
            }
        }
        match found.has_errors() {
            true => Err(RunError::Refused(found)),
            false => Ok(Checked { tables, told }),
        }
    }

    async fn found_with(
        &self,
        tables: &Rows,
        kind: Kind,
        owner: Option<Uuid>,
    ) -> Result<Found, RunError> {
        let mut put = tables.clone();
        rows::set_owner(&mut put, owner);
        let source = rows::source(kind, &rows::to_language(&put));
        let change = Change {
            owner,
            put,
            gone: Vec::new(),
        };
        check::check(self.core(), change, source).await
    }

    async fn written(
        &self,
        apply: &Apply<'_>,
        kind: Kind,
        tables: &Rows,
    ) -> Result<Option<Uuid>, RunError> {
        let core = self.core();
        let applied = core.store.bundle_apply(apply, tables).await;
        let key = rows::key(kind, tables);
        let applied = applied.map_err(|error| of_rule(error, kind, &key))?;
        core.catalogue.load(&core.store).await?;
        Ok(applied.row)
    }
}

/// As rows say it: the system is nobody.
pub(crate) fn owner(tenant: Uuid) -> Option<Uuid> {
    (tenant != SYSTEM_TENANT).then_some(tenant)
}

/// What a rule of the tables says of a row that a caller sent.
pub(super) fn of_rule(error: StoreError, kind: Kind, key: &str) -> RunError {
    match error {
        StoreError::Broken(Rule::KeyTaken) => RunError::Row(RowError::Taken {
            key: key.to_owned(),
            member: kind.key().last().copied().unwrap_or("conditions"),
        }),
        StoreError::Broken(Rule::InUse) => RunError::Row(RowError::InUse {
            runs: Vec::new(),
            rows: Vec::new(),
        }),
        StoreError::Broken(rule) => RunError::Row(RowError::Rule(rule)),
        StoreError::Stale => RunError::Row(RowError::Stale),
        StoreError::NoSuchRow { table, key } => RunError::Refused(rows::missing(table, &key)),
        other => other.into(),
    }
}

/// The members that name a row stay as they are.
fn renamed(kind: Kind, there: &Value, tables: &Rows) -> Result<(), RunError> {
    let now = profile::bundle::write_row(kind, &rows::to_language(tables));
    let other = |member: &&&str| there.get(**member) != now.get(**member);
    match kind.key().iter().find(other) {
        Some(member) => Err(RunError::Row(RowError::Renamed { member })),
        None => Ok(()),
    }
}

/// What revisions that the row was joined into contain.
pub(crate) fn contents(kind: Kind, row: &Value) -> Vec<Value> {
    let text = |name: &str| row.get(name).cloned().unwrap_or_default();
    let of_provider = |more: Value| {
        let mut content = json!({ "provider": { "slug": text("provider") } });
        if let (Value::Object(content), Value::Object(more)) = (&mut content, more) {
            content.extend(more);
        }
        content
    };
    match kind {
        Kind::Providers => vec![json!({ "provider": { "slug": text("slug") } })],
        Kind::Models => vec![of_provider(
            json!({ "model": { "model_id": text("model_id") } }),
        )],
        Kind::AuthProfiles => {
            let auth = json!({ "profile_key": text("profile_key") });
            vec![
                of_provider(json!({ "auth_profile": auth.clone() })),
                of_provider(json!({ "step_auth_profiles": [auth] })),
            ]
        }
        Kind::Profiles => {
            let profile = json!({ "profile_key": text("profile_key") });
            vec![match text("model") {
                Value::Null => of_provider(json!({ "profile": profile })),
                model => of_provider(json!({ "profile": profile, "model": { "model_id": model } })),
            }]
        }
        Kind::PromptTemplates => {
            vec![json!({ "prompt_template": { "name": text("name"), "version": text("version") } })]
        }
        Kind::ResponseSchemas => {
            vec![json!({ "response_schema": { "name": text("name"), "version": text("version") } })]
        }
        Kind::RoutingRules => Vec::new(),
    }
}
