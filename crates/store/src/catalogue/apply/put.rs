//! One row of each table, inserted or changed; one that reads so already is not written.

use super::Applied;
use super::names::{Names, missing};
use crate::catalogue::{
    AuthProfileRow, CaseRow, CredentialRow, ModelRow, ProfileRow, ProviderRow, RoutingRow, Rows,
    SchemaRow, TemplateRow,
};
use crate::{StoreError, cases};
use uuid::Uuid;

impl Names<'_> {
    pub(super) async fn put_all(&mut self, bundle: &Rows) -> Result<Applied, StoreError> {
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
