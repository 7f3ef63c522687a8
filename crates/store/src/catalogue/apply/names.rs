//! Rows by their natural keys.

use crate::StoreError;
use sqlx::PgConnection;
use uuid::Uuid;

/// Searches run in the tenant's rows first, then in the system's.
pub(super) struct Names<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) tenant: Uuid,
}

pub(super) fn missing(table: &'static str, key: &str) -> StoreError {
    StoreError::NoSuchRow {
        table,
        key: key.to_owned(),
    }
}

impl Names<'_> {
    pub(super) async fn provider(&mut self, slug: &str) -> Result<Uuid, StoreError> {
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

    pub(super) async fn credential(
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

    pub(super) async fn auth_profile(
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

    pub(super) async fn template(
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

    pub(super) async fn schema(
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

    pub(super) async fn model(
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
}
