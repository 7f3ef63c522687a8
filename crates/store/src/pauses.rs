//! The brake: what is paused starts no new submit, and a replay is one. Polls and fetches go on. Whoever claims asks in
//! the statement that claims, so a pause holds for every worker from its commit on, and over restarts.

use crate::{Scope, Store, StoreError};
use time::OffsetDateTime;
use uuid::Uuid;

/// What is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paused {
    /// Everything.
    All,
    /// All rows of this slug, whosever they are.
    Provider(String),
    /// One credential.
    Credential(Uuid),
    /// One tenant's runs.
    Tenant(Uuid),
}

impl Paused {
    fn columns(&self) -> (Option<&str>, Option<Uuid>, Option<Uuid>) {
        match self {
            Self::All => (None, None, None),
            Self::Provider(slug) => (Some(slug), None, None),
            Self::Credential(id) => (None, Some(*id), None),
            Self::Tenant(id) => (None, None, Some(*id)),
        }
    }

    /// For the audit log.
    fn name(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Provider(slug) => format!("provider {slug}"),
            Self::Credential(id) => format!("credential {id}"),
            Self::Tenant(id) => format!("tenant {id}"),
        }
    }
}

/// A pause that stands.
#[derive(Debug, Clone)]
pub struct PauseRow {
    /// What is paused.
    pub what: Paused,
    /// What people call it: the tenant's slug, `provider/name` of a credential.
    pub name: Option<String>,
    /// Why.
    pub reason: String,
    /// Who paused it.
    pub by: String,
    /// Whether that was an operator.
    pub by_operator: bool,
    /// When.
    pub at: OffsetDateTime,
}

/// A credential that a worker paused: for a while after a 429, longer after a refusal.
#[derive(Debug, Clone)]
pub struct CredentialPause {
    /// The credential.
    pub credential_id: Uuid,
    /// `provider/name`
    pub name: String,
    /// Milliseconds until it ends by itself.
    pub for_ms: i64,
    /// The class of the error.
    pub why: Option<String>,
}

impl Store {
    /// Pauses; a pause that stands gets the new reason, an operator's from an operator alone. `false`: there is nothing of that name, or
    /// an operator's pause stands.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: pause again.
    pub async fn pause(
        &self,
        scope: Scope,
        what: &Paused,
        (reason, by): (&str, &str),
    ) -> Result<bool, StoreError> {
        let _seen = self.seen_keys.change();
        let (provider, credential, tenant) = what.columns();
        let paused = sqlx::query_scalar!(
            r#"
            with p as (
                insert into pauses (pause_id, provider, credential_id, tenant_id, reason, paused_by, by_operator)
                select $1, $2, $3, $4, $5, $6, $8
                where ($2::text is null or exists (select 1 from ai_providers where slug = $2))
                  and ($3::uuid is null or exists (select 1 from provider_api_credentials where id = $3))
                  and ($4::uuid is null or exists (select 1 from tenants where tenant_id = $4))
                on conflict on constraint pauses_once do update set reason = excluded.reason, paused_by = excluded.paused_by, paused_at = now(), by_operator = $8
                    where $8 or not pauses.by_operator
                returning reason, paused_by),
            au as (insert into audit_log (tenant_id, actor, action, object, after)
                   select coalesce($4, (select tenant_id from provider_api_credentials where id = $3)), paused_by, 'pause', $7, jsonb_build_object('reason', reason) from p)
            select true as "paused!" from p
            "#,
            Uuid::now_v7(),
            provider,
            credential,
            tenant,
            reason,
            by,
            what.name(),
            scope == Scope::Operator,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(paused.is_some())
    }

    /// Ends a pause, an operator's for an operator alone, and the pause that a worker put on the credential, if it is one. `false`: nothing
    /// was ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: resume again.
    pub async fn resume(&self, scope: Scope, what: &Paused, by: &str) -> Result<bool, StoreError> {
        let _seen = self.seen_keys.change();
        let (provider, credential, tenant) = what.columns();
        Ok(sqlx::query_scalar!(
            r#"
            with p as (
                delete from pauses where provider is not distinct from $1 and credential_id is not distinct from $2
                    and tenant_id is not distinct from $3 and ($6 or not by_operator) returning reason),
            c as (update credential_limits set paused_until = null, paused_why = null
                  where credential_id = $2 and paused_until > now() returning credential_id),
            au as (insert into audit_log (tenant_id, actor, action, object, before)
                   select coalesce($3, (select tenant_id from provider_api_credentials where id = $2)), $4, 'resume', $5,
                          jsonb_build_object('reason', reason)
                   from (select reason from p union all select 'its provider refused it' from c where not exists (select from p)) e),
            hint as (select pg_notify('modelrow_queue', ''))
            select (exists (select 1 from p) or exists (select 1 from c)) as "resumed!" from hint
            "#,
            provider,
            credential,
            tenant,
            by,
            what.name(),
            scope == Scope::Operator,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Every pause that stands, the oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn pauses(&self) -> Result<Vec<PauseRow>, StoreError> {
        let rows = sqlx::query!(
            r#"
            select p.provider, p.credential_id, p.tenant_id, p.reason, p.paused_by, p.by_operator, p.paused_at,
                   coalesce(t.slug, i.slug || '/' || k.name) as name
            from pauses p left join tenants t on t.tenant_id = p.tenant_id
            left join provider_api_credentials k on k.id = p.credential_id left join ai_providers i on i.id = k.provider_id
            order by p.paused_at, p.pause_id
            "#
        )
        .fetch_all(&self.pool)
        .await?;
        let shown = rows.into_iter().map(|row| PauseRow {
            what: match (row.provider, row.credential_id, row.tenant_id) {
                (Some(slug), _, _) => Paused::Provider(slug),
                (_, Some(id), _) => Paused::Credential(id),
                (_, _, Some(id)) => Paused::Tenant(id),
                _ => Paused::All,
            },
            name: row.name,
            reason: row.reason,
            by: row.paused_by,
            by_operator: row.by_operator,
            at: row.paused_at,
        });
        Ok(shown.collect())
    }

    /// Credentials that workers paused, those that wait longest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn credential_pauses(&self) -> Result<Vec<CredentialPause>, StoreError> {
        Ok(sqlx::query_as!(
            CredentialPause,
            r#"
            select l.credential_id, i.slug || '/' || k.name as "name!",
                   least(extract(epoch from l.paused_until - now()) * 1000, 9e15)::bigint as "for_ms!", l.paused_why as why
            from credential_limits l join provider_api_credentials k on k.id = l.credential_id join ai_providers i on i.id = k.provider_id
            where l.paused_until > now() order by l.paused_until desc
            "#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Whether this run may not be sent now, by an operator's hand: it is held, or paused.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn run_is_braked(&self, run: Uuid) -> Result<bool, StoreError> {
        let braked = sqlx::query_scalar!(
            r#"select s.held or is_paused(s.credential_id, s.tenant_id) as "braked!" from run_states s where s.run_id = $1"#,
            run,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(braked.unwrap_or(false))
    }

    /// Credentials of a provider, or those of them with this name, of every tenant; at most 10.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn credentials_named(
        &self,
        provider: &str,
        name: Option<&str>,
    ) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select k.id from provider_api_credentials k join ai_providers i on i.id = k.provider_id
            where i.slug = $1 and ($2::text is null or k.name = $2) order by k.id limit 10
            "#,
            provider,
            name,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// A tenant by its slug.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn tenant_named(&self, slug: &str) -> Result<Option<Uuid>, StoreError> {
        Ok(
            sqlx::query_scalar!("select tenant_id from tenants where slug = $1", slug)
                .fetch_optional(&self.pool)
                .await?,
        )
    }
}
