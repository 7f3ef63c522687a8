//! Reading the rows.

use super::{
    AuthProfileRow, CredentialRow, ModelRow, ProfileRow, ProviderRow, RoutingRow, Rows, SchemaRow,
    Table, TemplateRow,
};
use crate::{Scope, Store, StoreError};
use sqlx::PgConnection;
use uuid::Uuid;

/// Begins what reads table by table, and sees one moment of all of them.
const SNAPSHOT: &str = "begin transaction isolation level repeatable read, read only";

impl Store {
    /// Every row of the language that a tenant can see, its own and the system's; `None`: of all tenants. One snapshot,
    /// with the version it shows.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn catalogue(&self, tenant: Option<Uuid>) -> Result<Rows, StoreError> {
        let mut tx = self.pool.begin_with(SNAPSHOT).await?;
        let rows = all(&mut tx, tenant).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// These rows of one kind, as far as the scope sees them, in no order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn rows(&self, scope: Scope, table: Table, ids: &[Uuid]) -> Result<Rows, StoreError> {
        let mut tx = self.seen_by(scope).await?;
        let rows = some(&mut tx, table, ids).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// The rows of one provider, as a tenant has them (not those it inherits), with the templates and schemas that its
    /// models name: what a bundle holds. One snapshot.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchRow`], [`StoreError::Unreachable`].
    pub async fn catalogue_export(&self, tenant: Uuid, provider: &str) -> Result<Rows, StoreError> {
        let mut tx = self.pool.begin_with(SNAPSHOT).await?;
        let rows = of_provider(&mut tx, tenant, provider).await?;
        tx.commit().await?;
        match rows.providers.is_empty() {
            false => Ok(rows),
            true => Err(StoreError::NoSuchRow {
                table: "ai_providers",
                key: provider.to_owned(),
            }),
        }
    }
}

/// A tenant's own rows of one provider, with the templates and schemas that its models name; none where it has no such provider.
pub(super) async fn of_provider(
    connection: &mut PgConnection,
    tenant: Uuid,
    provider: &str,
) -> Result<Rows, StoreError> {
    let mut rows = all(connection, Some(tenant)).await?;
    let own = (tenant != crate::SYSTEM_TENANT).then_some(tenant);
    rows.providers
        .retain(|r| r.slug == provider && r.tenant == own);
    if rows.providers.is_empty() {
        return Ok(Rows::default());
    }
    rows.credentials
        .retain(|r| r.provider == provider && r.tenant == own);
    rows.auth_profiles
        .retain(|r| r.provider.as_deref() == Some(provider) && r.tenant == own);
    rows.models
        .retain(|r| r.provider == provider && r.tenant == own);
    rows.profiles
        .retain(|r| r.provider == provider && r.tenant == own);
    rows.routing_rules
        .retain(|r| r.provider == provider && r.tenant == own);
    let models = &rows.models;
    rows.prompt_templates.retain(|t| {
        t.tenant == own
            && models.iter().any(|m| {
                m.prompt_template.as_deref() == Some(t.name.as_str())
                    && m.prompt_template_version == Some(t.version)
            })
    });
    rows.response_schemas.retain(|s| {
        s.tenant == own
            && models.iter().any(|m| {
                m.response_schema.as_deref() == Some(s.name.as_str())
                    && m.response_schema_version == Some(s.version)
            })
    });
    Ok(rows)
}

/// Every row that a tenant can see; `None`: of all tenants.
async fn all(connection: &mut PgConnection, tenant: Option<Uuid>) -> Result<Rows, StoreError> {
    Ok(Rows {
        version: sqlx::query_scalar!("select v from catalogue_version")
            .fetch_one(&mut *connection)
            .await?,
        providers: providers(connection, tenant, None).await?,
        credentials: credentials(connection, tenant, None).await?,
        auth_profiles: auth_profiles(connection, tenant, None).await?,
        prompt_templates: templates(connection, tenant, None).await?,
        response_schemas: schemas(connection, tenant, None).await?,
        models: models(connection, tenant, None).await?,
        profiles: profiles(connection, tenant, None).await?,
        routing_rules: routing(connection, tenant, None).await?,
        ..Rows::default()
    })
}

async fn some(
    connection: &mut PgConnection,
    table: Table,
    ids: &[Uuid],
) -> Result<Rows, StoreError> {
    let (mut rows, only) = (Rows::default(), Some(ids));
    match table {
        Table::Providers => rows.providers = providers(connection, None, only).await?,
        Table::Credentials => rows.credentials = credentials(connection, None, only).await?,
        Table::AuthProfiles => rows.auth_profiles = auth_profiles(connection, None, only).await?,
        Table::ResponseSchemas => rows.response_schemas = schemas(connection, None, only).await?,
        Table::PromptTemplates => rows.prompt_templates = templates(connection, None, only).await?,
        Table::Models => rows.models = models(connection, None, only).await?,
        Table::Profiles => rows.profiles = profiles(connection, None, only).await?,
        Table::RoutingRules => rows.routing_rules = routing(connection, None, only).await?,
    }
    Ok(rows)
}

async fn providers(
    connection: &mut PgConnection,
    tenant: Option<Uuid>,
    only: Option<&[Uuid]>,
) -> Result<Vec<ProviderRow>, StoreError> {
    Ok(sqlx::query_as!(
        ProviderRow,
        r#"
        select p.id as "id?", case when not t.is_system then t.tenant_id end as tenant, p.slug, p.provider_family, p.name,
               p.api_base_url, p.conventions, p.egress, p.status, p.updated_at as "updated_at?"
        from ai_providers p join tenants t using (tenant_id)
        where ($1::uuid is null or t.is_system or t.tenant_id = $1) and ($2::uuid[] is null or p.id = any($2)) order by p.slug, t.is_system
        "#,
        tenant,
        only,
    )
    .fetch_all(connection)
    .await?)
}

async fn credentials(
    connection: &mut PgConnection,
    tenant: Option<Uuid>,
    only: Option<&[Uuid]>,
) -> Result<Vec<CredentialRow>, StoreError> {
    Ok(sqlx::query_as!(
        CredentialRow,
        r#"
        select k.id as "id?", case when not t.is_system then t.tenant_id end as tenant, p.slug as provider, k.name, k.secret_ref,
               sealed_under(k.secret) as "sealed_under?", k.endpoint_url, k.is_default, k.rate_limit_per_minute, k.rate_limit_per_day,
               k.max_concurrent_jobs, k.status, k.updated_at as "updated_at?"
        from provider_api_credentials k join tenants t using (tenant_id) join ai_providers p on p.id = k.provider_id
        where ($1::uuid is null or t.is_system or t.tenant_id = $1) and ($2::uuid[] is null or k.id = any($2)) order by p.slug, k.name, t.is_system
        "#,
        tenant,
        only,
    )
    .fetch_all(connection)
    .await?)
}

async fn auth_profiles(
    connection: &mut PgConnection,
    tenant: Option<Uuid>,
    only: Option<&[Uuid]>,
) -> Result<Vec<AuthProfileRow>, StoreError> {
    Ok(sqlx::query_as!(
        AuthProfileRow,
        r#"
        select a.id as "id?", case when not t.is_system then t.tenant_id end as tenant, p.slug as "provider?", a.profile_key,
               a.auth_type, k.name as "credential?", a.config, a.updated_at as "updated_at?"
        from provider_auth_profiles a join tenants t using (tenant_id)
        left join ai_providers p on p.id = a.provider_id left join provider_api_credentials k on k.id = a.credential_id
        where ($1::uuid is null or t.is_system or t.tenant_id = $1) and ($2::uuid[] is null or a.id = any($2)) order by p.slug, a.profile_key, t.is_system
        "#,
        tenant,
        only,
    )
    .fetch_all(connection)
    .await?)
}

async fn templates(
    connection: &mut PgConnection,
    tenant: Option<Uuid>,
    only: Option<&[Uuid]>,
) -> Result<Vec<TemplateRow>, StoreError> {
    Ok(sqlx::query_as!(
        TemplateRow,
        r#"
        select r.id as "id?", case when not t.is_system then t.tenant_id end as tenant, r.name, r.purpose, r.version, r.body,
               r.updated_at as "updated_at?"
        from prompt_templates r join tenants t using (tenant_id)
        where ($1::uuid is null or t.is_system or t.tenant_id = $1) and ($2::uuid[] is null or r.id = any($2)) order by r.name, r.version, t.is_system
        "#,
        tenant,
        only,
    )
    .fetch_all(connection)
    .await?)
}

async fn schemas(
    connection: &mut PgConnection,
    tenant: Option<Uuid>,
    only: Option<&[Uuid]>,
) -> Result<Vec<SchemaRow>, StoreError> {
    Ok(sqlx::query_as!(
        SchemaRow,
        r#"
        select r.id as "id?", case when not t.is_system then t.tenant_id end as tenant, r.name, r.version, r.strict, r.schema,
               r.updated_at as "updated_at?"
        from response_schemas r join tenants t using (tenant_id)
        where ($1::uuid is null or t.is_system or t.tenant_id = $1) and ($2::uuid[] is null or r.id = any($2)) order by r.name, r.version, t.is_system
        "#,
        tenant,
        only,
    )
    .fetch_all(connection)
    .await?)
}

async fn models(
    connection: &mut PgConnection,
    tenant: Option<Uuid>,
    only: Option<&[Uuid]>,
) -> Result<Vec<ModelRow>, StoreError> {
    Ok(sqlx::query_as!(
        ModelRow,
        r#"
        select m.id as "id?", case when not t.is_system then t.tenant_id end as tenant, p.slug as provider, m.model_id, m.name,
               m.display_name, m.model_type, m.capabilities, pt.name as "prompt_template?", pt.version as "prompt_template_version?",
               rs.name as "response_schema?", rs.version as "response_schema_version?", m.is_default, m.status,
               m.updated_at as "updated_at?"
        from ai_models m join tenants t using (tenant_id) join ai_providers p on p.id = m.provider_id
        left join prompt_templates pt on pt.id = m.prompt_template_id left join response_schemas rs on rs.id = m.response_schema_id
        where ($1::uuid is null or t.is_system or t.tenant_id = $1) and ($2::uuid[] is null or m.id = any($2)) order by p.slug, m.model_id, t.is_system
        "#,
        tenant,
        only,
    )
    .fetch_all(connection)
    .await?)
}

async fn profiles(
    connection: &mut PgConnection,
    tenant: Option<Uuid>,
    only: Option<&[Uuid]>,
) -> Result<Vec<ProfileRow>, StoreError> {
    Ok(sqlx::query_as!(
        ProfileRow,
        r#"
        select r.id as "id?", case when not t.is_system then t.tenant_id end as tenant, p.slug as provider, m.model_id as "model?",
               r.profile_key, r.name, r.purpose, a.profile_key as "auth_profile?", r.transport, r.response_mapping, r.workflow,
               r.openai as face, r.is_active, r.updated_at as "updated_at?"
        from model_api_profiles r join tenants t using (tenant_id) join ai_providers p on p.id = r.provider_id
        left join ai_models m on m.id = r.model_id left join provider_auth_profiles a on a.id = r.auth_profile_id
        where ($1::uuid is null or t.is_system or t.tenant_id = $1) and ($2::uuid[] is null or r.id = any($2)) order by p.slug, r.profile_key, m.model_id, t.is_system
        "#,
        tenant,
        only,
    )
    .fetch_all(connection)
    .await?)
}

async fn routing(
    connection: &mut PgConnection,
    tenant: Option<Uuid>,
    only: Option<&[Uuid]>,
) -> Result<Vec<RoutingRow>, StoreError> {
    Ok(sqlx::query_as!(
        RoutingRow,
        r#"
        select r.id as "id?", case when not t.is_system then t.tenant_id end as tenant, p.slug as provider, r.name, r.priority,
               r.conditions, m.model_id as target_model, f.model_id as "fallback_model?", fp.slug as "fallback_provider?",
               r.fallback_on, r.updated_at as "updated_at?"
        from model_routing_rules r join tenants t using (tenant_id)
        join ai_models m on m.id = r.target_model_id join ai_providers p on p.id = m.provider_id
        left join ai_models f on f.id = r.fallback_model_id left join ai_providers fp on fp.id = f.provider_id
        where ($1::uuid is null or t.is_system or t.tenant_id = $1) and ($2::uuid[] is null or r.id = any($2)) order by r.priority desc, r.id
        "#,
        tenant,
        only,
    )
    .fetch_all(connection)
    .await?)
}
