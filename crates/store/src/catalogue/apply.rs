//! Applying a bundle: upserts by natural key, all or nothing. A row that
//! already reads as the bundle says is not written.

mod names;
mod put;

use super::{Rows, Table, alone, read};
use crate::{Rule, SYSTEM_TENANT, Scope, Store, StoreError, cases};
use names::Names;
use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

/// The key of the lock that programs take before they write rows ("rows"): two that write the same ones take turns.
const WRITING_ROWS: i64 = 0x726f_7773;

/// Whose rows are written, by whom, and when.
#[derive(Debug, Clone, Copy)]
pub struct Apply<'a> {
    /// Whose they are.
    pub tenant: Uuid,
    /// For the audit log.
    pub actor: &'a str,
    /// Nothing is written otherwise.
    pub when: When<'a>,
}

/// What must hold when rows are written.
#[derive(Debug, Clone, Copy)]
pub enum When<'a> {
    /// Whatever is there.
    Always,
    /// The one row is new.
    New {
        /// Its table.
        table: Table,
        /// As `row_index` has it.
        key: &'a str,
    },
    /// The one row is as it was seen.
    Unchanged {
        /// Its table.
        table: Table,
        /// The row.
        id: Uuid,
        /// Its last change.
        seen: OffsetDateTime,
    },
}

impl<'a> Apply<'a> {
    /// All that a bundle holds, whatever is there.
    #[must_use]
    pub fn to(tenant: Uuid, actor: &'a str) -> Self {
        let when = When::Always;
        Self {
            tenant,
            actor,
            when,
        }
    }
}

/// What an applied bundle changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows that were inserted or changed.
    pub changed: u64,
    /// Rows that read so already.
    pub unchanged: u64,
    /// Sealed secrets that stay, though the bundle has a reference.
    pub kept_secrets: u64,
    /// Rows that were taken away.
    pub removed: u64,
    /// The row that was written alone.
    pub row: Option<Uuid>,
}

/// What applying a bundle does to the rows of its provider.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    /// What was written.
    pub applied: Applied,
    /// What was there; none: the provider was not.
    pub before: OfProvider,
    /// What is there afterwards.
    pub after: OfProvider,
}

/// What belongs to a provider.
#[derive(Debug, Clone, Default)]
pub struct OfProvider {
    /// Its rows.
    pub rows: Rows,
    /// The recorded cases of its profiles.
    pub cases: Vec<cases::StoredCase>,
}

/// Whether what was done stays done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// It does.
    #[default]
    Yes,
    /// It is shown, and undone.
    No,
}

impl Applied {
    fn count(&mut self, written: u64) {
        self.changed += written;
        self.unchanged += 1 - written.min(1);
    }
}

impl Store {
    /// A transaction that writes a tenant's rows as `actor`: row security holds it to them, and other programs wait.
    pub(crate) async fn acting_for(
        &self,
        tenant: Uuid,
        actor: &str,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        let scope = match tenant {
            SYSTEM_TENANT => Scope::Operator,
            tenant => Scope::Tenant(tenant),
        };
        let mut tx = self.acting(scope, actor).await?;
        sqlx::query!(
            "select pg_advisory_xact_lock($1) is null as taken",
            WRITING_ROWS
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(tx)
    }

    /// Applies a bundle to a tenant in one transaction, by natural keys. Rows that it does not name stay. A credential's
    /// sealed secret (unless [`Rows::unseal`]), limits that the bundle leaves out, and its pause stay too.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchRow`] for a link to a row that neither bundle nor tables hold; [`StoreError::Broken`];
    /// [`StoreError::Stale`]; [`StoreError::Unreachable`]. Nothing is applied then (or, in doubt, all of it: apply again).
    pub async fn bundle_apply(
        &self,
        apply: &Apply<'_>,
        bundle: &Rows,
    ) -> Result<Applied, StoreError> {
        let mut tx = self.acting_for(apply.tenant, apply.actor).await?;
        let mut applied = apply.put(&mut tx, bundle).await?;
        applied.row = match apply.when {
            When::New { table, key } => apply.there(&mut tx, table, key, bundle).await?,
            When::Unchanged { id, .. } => Some(id),
            When::Always => None,
        };
        tx.commit().await?;
        Ok(applied)
    }

    /// Applies a bundle as [`Store::bundle_apply`] does, takes these rows of the tenant away (in this order), and says what became
    /// of the provider's rows.
    ///
    /// # Errors
    ///
    /// As [`Store::bundle_apply`]; [`StoreError::Broken`] where a row that is to go is in use.
    pub async fn bundle_change(
        &self,
        apply: &Apply<'_>,
        bundle: &Rows,
        gone: &[(Table, Uuid)],
        keep: Keep,
    ) -> Result<Changed, StoreError> {
        let provider = bundle.providers.first().map(|row| row.slug.as_str());
        let of_profile = bundle.profiles.first().map(|row| row.provider.as_str());
        let slug = provider.or(of_profile).unwrap_or_default();
        let mut tx = self.acting_for(apply.tenant, apply.actor).await?;
        let before = of_provider(&mut tx, apply.tenant, slug).await?;
        let mut applied = apply.put(&mut tx, bundle).await?;
        for (table, id) in gone {
            applied.removed += alone::remove(&mut tx, *table, apply.tenant, *id).await?;
        }
        let after = of_provider(&mut tx, apply.tenant, slug).await?;
        match keep {
            Keep::Yes => tx.commit().await?,
            Keep::No => tx.rollback().await?,
        }
        Ok(Changed {
            applied,
            before,
            after,
        })
    }
}

async fn of_provider(
    connection: &mut PgConnection,
    tenant: Uuid,
    slug: &str,
) -> Result<OfProvider, StoreError> {
    let rows = read::of_provider(connection, tenant, slug).await?;
    let ids: Vec<Uuid> = rows.profiles.iter().filter_map(|row| row.id).collect();
    let cases = cases::of_profiles(connection, &ids).await?;
    Ok(OfProvider { rows, cases })
}

impl Apply<'_> {
    /// Writes the bundle's rows, where what must hold does.
    async fn put(
        &self,
        connection: &mut PgConnection,
        bundle: &Rows,
    ) -> Result<Applied, StoreError> {
        self.may_be_written(connection, bundle).await?;
        let tenant = self.tenant;
        let mut names = Names { connection, tenant };
        names.put_all(bundle).await
    }

    async fn may_be_written(
        &self,
        connection: &mut PgConnection,
        bundle: &Rows,
    ) -> Result<(), StoreError> {
        match self.when {
            When::Always => Ok(()),
            When::New { table, key } => match self.there(connection, table, key, bundle).await? {
                Some(_) => Err(StoreError::Broken(Rule::KeyTaken)),
                None => Ok(()),
            },
            When::Unchanged { table, id, seen } => {
                match alone::is_as_seen(connection, table, self.tenant, (id, seen)).await? {
                    true => Ok(()),
                    false => Err(StoreError::Stale),
                }
            }
        }
    }

    /// The row that stands where the bundle's would. A rule has no name: target and conditions stand for one.
    async fn there(
        &self,
        connection: &mut PgConnection,
        table: Table,
        key: &str,
        bundle: &Rows,
    ) -> Result<Option<Uuid>, StoreError> {
        let Some(rule) = bundle.routing_rules.first() else {
            return alone::of_key(connection, table, self.tenant, key).await;
        };
        let mut names = Names {
            connection,
            tenant: self.tenant,
        };
        let provider = names.provider(&rule.provider).await?;
        let target = names.model(provider, Some(&rule.target_model)).await?;
        Ok(sqlx::query_scalar!(
            r#"
            select id from model_routing_rules where tenant_id = $1 and target_model_id = $2 and conditions = $3 order by id limit 1
            "#,
            self.tenant,
            target,
            rule.conditions,
        )
        .fetch_optional(names.connection)
        .await?)
    }
}
