//! Applying a bundle: upserts by natural key, all or nothing. A row that
//! already reads as the bundle says is not written.

use super::{
    AuthProfileRow, CaseRow, CredentialRow, ModelRow, ProfileRow, ProviderRow, RoutingRow, Rows,
    SchemaRow, Table, TemplateRow, alone,
};
use crate::{Rule, SYSTEM_TENANT, Scope, Store, StoreError, cases};
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
    /// The row that was written alone.
    pub row: Option<Uuid>,
}

impl Applied {
    fn count(&mut self, written: u64) {
        self.changed += written;
        self.unchanged += 1 - written.min(1);
    }
}

/// Searches run in the tenant's rows first, then in the system's.
struct Names<'a> {
    connection: &'a mut PgConnection,
    tenant: Uuid,
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
        apply.may_be_written(&mut tx, bundle).await?;
        let mut names = Names {
            connection: &mut tx,
            tenant: apply.tenant,
        };
        let mut applied = names.put_all(bundle).await?;
        applied.row = match apply.when {
            When::New { table, key } => apply.there(&mut tx, table, key, bundle).await?,
            When::Unchanged { id, .. } => Some(id),
            When::Always => None,
        };
        tx.commit().await?;
        Ok(applied)
    }
}

impl Apply<'_> {
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

fn missing(table: &'static str, key: &str) -> StoreError {
    StoreError::NoSuchRow {
        table,
        key: key.to_owned(),
    }
}

impl Names<'_> {
    async fn put_all(&mut self, bundle: &Rows) -> Result<Applied, StoreError> {
        let names = self;
        let mut applied = Applied::default();
        for row in &bundle.providers {
            applied.count(names.put_provider(row).await?);
        }
        for row in &bundle.credentials {
            let kept = !bundle.unseal && names.is_sealed(row).await?;
            applied.kept_secrets += u64::from(kept);
            applied.count(names.put_credential(row, bundle.unseal).await?);
        }
        for row in &bundle.auth_profiles {
            applied.count(names.put_auth_profile(row).await?);
        }
        for row in &bundle.prompt_templates {
            applied.count(names.put_template(row).await?);
        }
        for row in &bundle.response_schemas {
            applied.count(names.put_schema(row).await?);
        }
        for row in &bundle.models {
            applied.count(names.put_model(row).await?);
        }
        for row in &bundle.profiles {
            applied.count(names.put_profile(row).await?);
        }
        for row in &bundle.routing_rules {
            applied.count(names.put_routing(row).await?);
        }
        for row in &bundle.cases {
            applied.count(names.put_case(row).await?);
        }
        if bundle.only_these_cases {
            applied.changed += names.forget_other_cases(bundle).await?;
        }
        Ok(applied)
    }

    async fn provider(&mut self, slug: &str) -> Result<Uuid, StoreError> {
        sqlx::query_scalar!(
            r#"
            select p.id from ai_providers p join tenants t using (tenant_id)
            where p.slug = $2 and (t.is_system or t.tenant_id = $1) order by t.is_system limit 1
            "#,
            self.tenant,
            slug,
        )
        .fetch_optional(&mut *self.connection)
        .await?
        .ok_or_else(|| missing("ai_providers", slug))
    }

    async fn credential(
        &mut self,
        provider: Uuid,
        name: Option<&str>,
    ) -> Result<Option<Uuid>, StoreError> {
        let Some(name) = name else { return Ok(None) };
        sqlx::query_scalar!(
            r#"
            select k.id from provider_api_credentials k join tenants t using (tenant_id)
            where k.provider_id = $2 and k.name = $3 and (t.is_system or t.tenant_id = $1) order by t.is_system limit 1
            "#,
            self.tenant,
            provider,
            name,
        )
        .fetch_optional(&mut *self.connection)
        .await?
        .map(Some)
        .ok_or_else(|| missing("provider_api_credentials", name))
    }

    async fn auth_profile(
        &mut self,
        provider: Uuid,
        key: Option<&str>,
    ) -> Result<Option<Uuid>, StoreError> {
        let Some(key) = key else { return Ok(None) };
        sqlx::query_scalar!(
            r#"
            select a.id from provider_auth_profiles a join tenants t using (tenant_id)
            where (a.provider_id = $2 or a.provider_id is null) and a.profile_key = $3 and (t.is_system or t.tenant_id = $1)
            order by t.is_system, a.provider_id nulls last limit 1
            "#,
            self.tenant,
            provider,
            key,
        )
        .fetch_optional(&mut *self.connection)
        .await?
        .map(Some)
        .ok_or_else(|| missing("provider_auth_profiles", key))
    }

    async fn template(
        &mut self,
        name: Option<&str>,
        version: Option<i32>,
    ) -> Result<Option<Uuid>, StoreError> {
        let Some(name) = name else { return Ok(None) };
        sqlx::query_scalar!(
            r#"
            select r.id from prompt_templates r join tenants t using (tenant_id)
            where r.name = $2 and ($3::int is null or r.version = $3) and (t.is_system or t.tenant_id = $1)
            order by t.is_system, r.version desc limit 1
            "#,
            self.tenant,
            name,
            version,
        )
        .fetch_optional(&mut *self.connection)
        .await?
        .map(Some)
        .ok_or_else(|| missing("prompt_templates", name))
    }

    async fn schema(
        &mut self,
        name: Option<&str>,
        version: Option<i32>,
    ) -> Result<Option<Uuid>, StoreError> {
        let Some(name) = name else { return Ok(None) };
        sqlx::query_scalar!(
            r#"
            select r.id from response_schemas r join tenants t using (tenant_id)
            where r.name = $2 and ($3::int is null or r.version = $3) and (t.is_system or t.tenant_id = $1)
            order by t.is_system, r.version desc limit 1
            "#,
            self.tenant,
            name,
            version,
        )
        .fetch_optional(&mut *self.connection)
        .await?
        .map(Some)
        .ok_or_else(|| missing("response_schemas", name))
    }

    async fn model(
        &mut self,
        provider: Uuid,
        model: Option<&str>,
    ) -> Result<Option<Uuid>, StoreError> {
        let Some(model) = model else { return Ok(None) };
        sqlx::query_scalar!(
            r#"
            select m.id from ai_models m join tenants t using (tenant_id)
            where m.provider_id = $2 and m.model_id = $3 and (t.is_system or t.tenant_id = $1) order by t.is_system limit 1
            "#,
            self.tenant,
            provider,
            model,
        )
        .fetch_optional(&mut *self.connection)
        .await?
        .map(Some)
        .ok_or_else(|| missing("ai_models", model))
    }

    async fn put_provider(&mut self, row: &ProviderRow) -> Result<u64, StoreError> {
        Ok(sqlx::query!(
            r#"
            insert into ai_providers as old (tenant_id, slug, provider_family, name, api_base_url, conventions, egress, status)
            values ($1, $2, $3, $4, $5, $6, $7, $8)
            on conflict (tenant_id, slug) do update set provider_family = excluded.provider_family, name = excluded.name,
                api_base_url = excluded.api_base_url, conventions = excluded.conventions, egress = excluded.egress, status = excluded.status
            where (old.provider_family, old.name, old.api_base_url, old.conventions, old.egress, old.status) is distinct from
                (excluded.provider_family, excluded.name, excluded.api_base_url, excluded.conventions, excluded.egress, excluded.status)
            "#,
            self.tenant,
            row.slug,
            row.provider_family,
            row.name,
            row.api_base_url,
            row.conventions,
            row.egress,
            row.status,
        )
        .execute(&mut *self.connection)
        .await?
        .rows_affected())
    }

    /// Whether a sealed secret stands where the bundle has a reference.
    async fn is_sealed(&mut self, row: &CredentialRow) -> Result<bool, StoreError> {
        if row.secret_ref.is_none() {
            return Ok(false);
        }
        let provider = self.provider(&row.provider).await?;
        let sealed = sqlx::query_scalar!(
            r#"
            select secret is not null as "sealed!" from provider_api_credentials
            where tenant_id = $1 and provider_id = $2 and name = $3
            "#,
            self.tenant,
            provider,
            row.name,
        )
        .fetch_optional(&mut *self.connection)
        .await?;
        Ok(sealed.unwrap_or(false))
    }

    async fn put_credential(
        &mut self,
        row: &CredentialRow,
        unseal: bool,
    ) -> Result<u64, StoreError> {
        let provider = self.provider(&row.provider).await?;
        Ok(sqlx::query!(
            r#"
            insert into provider_api_credentials as old (tenant_id, provider_id, name, secret_ref, endpoint_url, is_default,
                rate_limit_per_minute, rate_limit_per_day, max_concurrent_jobs, status)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            on conflict (tenant_id, provider_id, name) do update set
                secret_ref = case when old.secret is null or $11 then coalesce(excluded.secret_ref, old.secret_ref) end,
                secret = case when $11 and excluded.secret_ref is not null then null else old.secret end,
                endpoint_url = coalesce(excluded.endpoint_url, old.endpoint_url), is_default = excluded.is_default,
                rate_limit_per_minute = coalesce(excluded.rate_limit_per_minute, old.rate_limit_per_minute),
                rate_limit_per_day = coalesce(excluded.rate_limit_per_day, old.rate_limit_per_day),
                max_concurrent_jobs = coalesce(excluded.max_concurrent_jobs, old.max_concurrent_jobs), status = excluded.status
            where (old.secret is null and old.secret_ref is distinct from coalesce(excluded.secret_ref, old.secret_ref))
               or ($11 and old.secret is not null and excluded.secret_ref is not null)
               or (old.endpoint_url, old.is_default, old.rate_limit_per_minute, old.rate_limit_per_day, old.max_concurrent_jobs, old.status)
                is distinct from (coalesce(excluded.endpoint_url, old.endpoint_url), excluded.is_default,
                coalesce(excluded.rate_limit_per_minute, old.rate_limit_per_minute),
                coalesce(excluded.rate_limit_per_day, old.rate_limit_per_day),
                coalesce(excluded.max_concurrent_jobs, old.max_concurrent_jobs), excluded.status)
            "#,
            self.tenant,
            provider,
            row.name,
            row.secret_ref,
            row.endpoint_url,
            row.is_default,
            row.rate_limit_per_minute,
            row.rate_limit_per_day,
            row.max_concurrent_jobs,
            row.status,
            unseal,
        )
        .execute(&mut *self.connection)
        .await?
        .rows_affected())
    }

    async fn put_auth_profile(&mut self, row: &AuthProfileRow) -> Result<u64, StoreError> {
        let slug = row.provider.as_deref().unwrap_or_default();
        let provider = self.provider(slug).await?;
        let credential = self.credential(provider, row.credential.as_deref()).await?;
        Ok(sqlx::query!(
            r#"
            insert into provider_auth_profiles as old (tenant_id, provider_id, profile_key, auth_type, credential_id, config)
            values ($1, $2, $3, $4, $5, $6)
            on conflict (tenant_id, provider_id, profile_key) do update set auth_type = excluded.auth_type,
                credential_id = excluded.credential_id, config = excluded.config
            where (old.auth_type, old.credential_id, old.config) is distinct from (excluded.auth_type, excluded.credential_id, excluded.config)
            "#,
            self.tenant,
            provider,
            row.profile_key,
            row.auth_type,
            credential,
            row.config,
        )
        .execute(&mut *self.connection)
        .await?
        .rows_affected())
    }

    async fn put_template(&mut self, row: &TemplateRow) -> Result<u64, StoreError> {
        Ok(sqlx::query!(
            r#"
            insert into prompt_templates as old (tenant_id, name, version, purpose, body) values ($1, $2, $3, $4, $5)
            on conflict (tenant_id, name, version) do update set purpose = excluded.purpose, body = excluded.body
            where (old.purpose, old.body) is distinct from (excluded.purpose, excluded.body)
            "#,
            self.tenant,
            row.name,
            row.version,
            row.purpose,
            row.body,
        )
        .execute(&mut *self.connection)
        .await?
        .rows_affected())
    }

    async fn put_schema(&mut self, row: &SchemaRow) -> Result<u64, StoreError> {
        Ok(sqlx::query!(
            r#"
            insert into response_schemas as old (tenant_id, name, version, strict, schema) values ($1, $2, $3, $4, $5)
            on conflict (tenant_id, name, version) do update set strict = excluded.strict, schema = excluded.schema
            where (old.strict, old.schema) is distinct from (excluded.strict, excluded.schema)
            "#,
            self.tenant,
            row.name,
            row.version,
            row.strict,
            row.schema,
        )
        .execute(&mut *self.connection)
        .await?
        .rows_affected())
    }

    async fn put_model(&mut self, row: &ModelRow) -> Result<u64, StoreError> {
        let provider = self.provider(&row.provider).await?;
        let template = self
            .template(row.prompt_template.as_deref(), row.prompt_template_version)
            .await?;
        let schema = self
            .schema(row.response_schema.as_deref(), row.response_schema_version)
            .await?;
        Ok(sqlx::query!(
            r#"
            insert into ai_models as old (tenant_id, provider_id, model_id, name, display_name, model_type, capabilities,
                prompt_template_id, response_schema_id, is_default, status)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            on conflict (tenant_id, provider_id, model_id) do update set name = excluded.name, display_name = excluded.display_name,
                model_type = excluded.model_type, capabilities = excluded.capabilities, prompt_template_id = excluded.prompt_template_id,
                response_schema_id = excluded.response_schema_id, is_default = excluded.is_default, status = excluded.status
            where (old.name, old.display_name, old.model_type, old.capabilities, old.prompt_template_id, old.response_schema_id,
                old.is_default, old.status) is distinct from (excluded.name, excluded.display_name, excluded.model_type,
                excluded.capabilities, excluded.prompt_template_id, excluded.response_schema_id, excluded.is_default, excluded.status)
            "#,
            self.tenant,
            provider,
            row.model_id,
            row.name,
            row.display_name,
            row.model_type,
            row.capabilities,
            template,
            schema,
            row.is_default,
            row.status,
        )
        .execute(&mut *self.connection)
        .await?
        .rows_affected())
    }

    async fn put_profile(&mut self, row: &ProfileRow) -> Result<u64, StoreError> {
        let provider = self.provider(&row.provider).await?;
        let model = self.model(provider, row.model.as_deref()).await?;
        let auth = self
            .auth_profile(provider, row.auth_profile.as_deref())
            .await?;
        Ok(sqlx::query!(
            r#"
            insert into model_api_profiles as old (tenant_id, provider_id, model_id, profile_key, name, purpose, auth_profile_id,
                transport, response_mapping, workflow, is_active, openai)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            on conflict (tenant_id, provider_id, profile_key, model_id) do update set name = coalesce(excluded.name, old.name), purpose = excluded.purpose,
                auth_profile_id = excluded.auth_profile_id, transport = excluded.transport, response_mapping = excluded.response_mapping,
                workflow = excluded.workflow, is_active = excluded.is_active, openai = excluded.openai
            where (old.name, old.purpose, old.auth_profile_id, old.transport, old.response_mapping, old.workflow, old.is_active, old.openai)
                is distinct from (coalesce(excluded.name, old.name), excluded.purpose, excluded.auth_profile_id, excluded.transport,
                excluded.response_mapping, excluded.workflow, excluded.is_active, excluded.openai)
            "#,
            self.tenant,
            provider,
            model,
            row.profile_key,
            row.name,
            row.purpose,
            auth,
            row.transport,
            row.response_mapping,
            row.workflow,
            row.is_active,
            row.face,
        )
        .execute(&mut *self.connection)
        .await?
        .rows_affected())
    }

    async fn profile_of(&mut self, row: &CaseRow) -> Result<Uuid, StoreError> {
        let provider = self.provider(&row.provider).await?;
        let model = self.model(provider, row.model.as_deref()).await?;
        sqlx::query_scalar!(
            r#"
            select id from model_api_profiles
            where tenant_id = $1 and provider_id = $2 and profile_key = $3 and model_id is not distinct from $4
            "#,
            self.tenant,
            provider,
            row.profile_key,
            model,
        )
        .fetch_optional(&mut *self.connection)
        .await?
        .ok_or_else(|| missing("model_api_profiles", &row.profile_key))
    }

    async fn put_case(&mut self, row: &CaseRow) -> Result<u64, StoreError> {
        let profile = self.profile_of(row).await?;
        cases::put(self.connection, profile, row).await
    }

    /// Cases of the bundle's profiles that are not the bundle's.
    async fn forget_other_cases(&mut self, bundle: &Rows) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        for profile in &bundle.profiles {
            let is_of = |row: &&CaseRow| {
                (&row.provider, &row.profile_key, &row.model)
                    == (&profile.provider, &profile.profile_key, &profile.model)
            };
            let names: Vec<String> = bundle
                .cases
                .iter()
                .filter(is_of)
                .map(|row| row.name.clone())
                .collect();
            let any = CaseRow {
                provider: profile.provider.clone(),
                profile_key: profile.profile_key.clone(),
                model: profile.model.clone(),
                ..CaseRow::default()
            };
            let id = self.profile_of(&any).await?;
            forgotten += cases::forget_others(self.connection, id, &names).await?;
        }
        Ok(forgotten)
    }

    /// A rule has no natural key: target and conditions stand for one where its id is not known.
    async fn put_routing(&mut self, row: &RoutingRow) -> Result<u64, StoreError> {
        let provider = self.provider(&row.provider).await?;
        let target = self.model(provider, Some(&row.target_model)).await?;
        let fallback_provider = match row.fallback_provider.as_deref() {
            Some(slug) => self.provider(slug).await?,
            None => provider,
        };
        let fallback = self
            .model(fallback_provider, row.fallback_model.as_deref())
            .await?;
        Ok(sqlx::query_scalar!(
            r#"
            with same as (select id from model_routing_rules where tenant_id = $1
                          and case when $8::uuid is null then target_model_id = $2 and conditions = $3 else id = $8 end
                          order by id limit 1),
            changed as (
                update model_routing_rules r set name = coalesce($4, r.name), priority = $5, fallback_model_id = $6, fallback_on = $7,
                    target_model_id = $2, conditions = $3
                from same where r.id = same.id
                  and (r.name, r.priority, r.fallback_model_id, r.fallback_on, r.target_model_id, r.conditions)
                    is distinct from (coalesce($4, r.name), $5::int, $6::uuid, $7::text[], $2::uuid, $3::jsonb)
                returning r.id),
            added as (
                insert into model_routing_rules (tenant_id, target_model_id, conditions, name, priority, fallback_model_id, fallback_on)
                select $1, $2, $3, $4, $5, $6, $7 where not exists (select 1 from same) returning id)
            select (select count(*) from changed) + (select count(*) from added) as "written!"
            "#,
            self.tenant,
            target,
            row.conditions,
            row.name,
            row.priority,
            fallback,
            &row.fallback_on,
            row.id,
        )
        .fetch_one(&mut *self.connection)
        .await?
        .unsigned_abs())
    }
}
