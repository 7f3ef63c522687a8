//! Lists of runs, newest first, in the columns that a list shows: no prompt and no output.

use crate::{Scope, State, Store, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// Which runs to list. What is absent or empty asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only this purpose.
    pub purpose: Option<String>,
    /// Only profiles of this provider: `ai_providers.slug`.
    pub provider: Option<String>,
    /// Only this model: `ai_models.model_id`.
    pub model: Option<String>,
    /// Only these states.
    pub states: Vec<State>,
    /// Only those that are held, or that are not.
    pub held: Option<bool>,
    /// Only calls after this.
    pub created_after: Option<OffsetDateTime>,
    /// Only runs whose metadata have these members, compared as text.
    pub metadata: Vec<(String, String)>,
    /// Older than this run: the last of the page before.
    pub after: Option<(OffsetDateTime, Uuid)>,
    /// At most so many.
    pub limit: i64,
}

/// A run in a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The run.
    pub run_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// What it makes.
    pub purpose: String,
    /// `ai_providers.slug` of what it runs under now.
    pub provider: Option<String>,
    /// `ai_models.model_id`
    pub model: Option<String>,
    /// `model_api_profiles.profile_key`
    pub profile_key: Option<String>,
    /// The caller's own values.
    pub metadata: Option<Value>,
    /// As the call was estimated.
    pub cost: Option<Value>,
    /// Where it stands.
    pub state: State,
    /// No new attempt without an operator.
    pub held: bool,
    /// Number of the last attempt.
    pub attempt: i32,
    /// 0 to 100.
    pub progress: Option<i16>,
    /// `none`, `maybe`, `yes`.
    pub spent: String,
    /// Code of its failure.
    pub failure_code: Option<String>,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// The caller was told that it is late.
    pub overdue: bool,
    /// The run whose result it was given; absent: it was made.
    pub cache_of: Option<Uuid>,
    /// When it was called.
    pub created_at: OffsetDateTime,
    /// When the provider took it.
    pub accepted_at: Option<OffsetDateTime>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
}

impl Store {
    /// Lists runs, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn runs(
        &self,
        scope: impl Into<Scope>,
        filter: &ListFilter,
    ) -> Result<Vec<Listed>, StoreError> {
        let scope = scope.into();
        let states: Vec<String> = filter
            .states
            .iter()
            .map(|s| s.as_str().to_owned())
            .collect();
        let (names, values): (Vec<String>, Vec<String>) = filter.metadata.iter().cloned().unzip();
        let (after_at, after_id) = filter.after.unzip();
        let mut tx = self.seen_by(scope).await?;
        let rows = sqlx::query!(
            r#"
            select s.run_id, s.tenant_id, u.purpose, ran.call ->> 'provider' as provider, ran.call ->> 'model' as model,
                   ran.call ->> 'profile_key' as profile_key, u.request -> 'metadata' as metadata,
                   nullif(ran.call -> 'cost', 'null'::jsonb) as cost, s.state, s.held, s.attempt, s.progress, s.spent,
                   s.failure ->> 'code' as failure_code, s.cancel_requested_at is not null as "cancel_requested!",
                   s.overdue_at is not null as "overdue!", u.cache_of, u.created_at, s.accepted_at, s.ended_at
            from runs u join run_states s using (run_id)
            -- A run that goes on under its fallback is listed as what runs.
            cross join lateral (
                select case when s.revision_id = u.revision_id then u.request
                            else coalesce(u.request #> '{fallback,ready,model}' || jsonb_build_object('cost',
                                          u.request #> '{fallback,ready,cost}'), u.request) end as call) ran
            where s.erased_at is null and ($1::uuid is null or u.tenant_id = $1) and ($2::text is null or u.purpose = $2)
              and ($3::text is null or ran.call ->> 'provider' = $3) and ($4::text is null or ran.call ->> 'model' = $4)
              and (cardinality($5::text[]) = 0 or s.state = any($5)) and ($6::boolean is null or s.held = $6)
              and ($7::timestamptz is null or u.created_at > $7)
              and not exists (select 1 from unnest($8::text[], $9::text[]) as m (name, value)
                              where u.request -> 'metadata' ->> m.name is distinct from m.value)
              and ($10::timestamptz is null or (u.created_at, u.run_id) < ($10, $11::uuid))
            order by u.created_at desc, u.run_id desc limit $12
            "#,
            scope.tenant(),
            filter.purpose,
            filter.provider,
            filter.model,
            &states,
            filter.held,
            filter.created_after,
            &names,
            &values,
            after_at,
            after_id,
            filter.limit,
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.into_iter()
            .map(|row| {
                Ok(Listed {
                    run_id: row.run_id,
                    tenant_id: row.tenant_id,
                    purpose: row.purpose,
                    provider: row.provider,
                    model: row.model,
                    profile_key: row.profile_key,
                    metadata: row.metadata,
                    cost: row.cost,
                    state: State::parse(&row.state)?,
                    held: row.held,
                    attempt: row.attempt,
                    progress: row.progress,
                    spent: row.spent,
                    failure_code: row.failure_code,
                    cancel_requested: row.cancel_requested,
                    overdue: row.overdue,
                    cache_of: row.cache_of,
                    created_at: row.created_at,
                    accepted_at: row.accepted_at,
                    ended_at: row.ended_at,
                })
            })
            .collect()
    }
}
