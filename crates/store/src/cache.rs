//! The result cache: a request that was answered before is answered with the same files. A hit is a run of its own that refers
//! to the objects; what it refers to cannot go while it does.

use crate::inputs;
use crate::runs::{Inserted, NewRun, made_before};
use crate::{Scope, Store, StoreError};
use serde_json::Value;
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

/// A result that is there.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The run that has it, the last one that was given it.
    pub run_id: Uuid,
    /// Its record, with the output.
    pub captured: Value,
}

/// What a run is given in place of being sent.
#[derive(Debug, Clone)]
pub struct Given {
    /// [`Hit::run_id`]
    pub of: Uuid,
    /// Its own record, with the output.
    pub captured: Value,
    /// How long its files are kept from now on; absent: for ever.
    pub keep: Option<Duration>,
}

/// What a tenant has cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheUse {
    /// Whether calls that do not say are served from it.
    pub on: bool,
    /// Results that may serve.
    pub results: i64,
    /// Runs that were given one this month (UTC).
    pub hits_this_month: i64,
}

impl Store {
    /// The result that may serve this run; `None`: none, or its files are past their retention.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn cached(&self, run: &NewRun) -> Result<Option<Hit>, StoreError> {
        Ok(sqlx::query_as!(
            Hit,
            r#"
            select c.run_id, s.captured as "captured!" from result_cache c join run_states s using (run_id)
            where c.tenant_id = $1 and c.credential_id = $2 and c.revision_id = $3 and c.request_sha256 = $4
              and s.state = 'succeeded' and s.erased_at is null and s.captured is not null
              and not exists (select 1 from artifacts f where f.run_id = c.run_id and (f.deleted_at is not null or f.delete_after <= now()))
            "#,
            run.tenant_id,
            run.credential_id,
            run.revision_id,
            run.cache_key,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Makes a run that has ended: with the files of another, which costs nothing and asks no limit. `None`: that result is
    /// gone, or is another run's by now; insert the run as any other.
    ///
    /// # Errors
    ///
    /// As [`Store::run_insert`].
    pub async fn run_insert_cached(
        &self,
        run: &NewRun,
        given: &Given,
    ) -> Result<Option<Inserted>, StoreError> {
        let mut tx = self.pool.begin().await?;
        if let Some(before) = made_before(&mut tx, run).await? {
            return Ok(Some(before));
        }
        if !held(&mut tx, run, given.of).await? {
            // At once, and not when the connection is used again: the locks would stand in the sweep's way.
            tx.rollback().await?;
            return Ok(None);
        }
        match born(&mut tx, run, given).await? {
            Some(id) => {
                inputs::named(&mut tx, run).await?;
                tx.commit().await?;
                Ok(Some(Inserted::New(id)))
            }
            // The key made a run just now.
            None => made_before(&mut tx, run).await,
        }
    }

    /// Tenants whose calls are served from the cache unless they say otherwise.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn tenants_that_cache(&self) -> Result<Vec<Uuid>, StoreError> {
        Ok(
            sqlx::query_scalar!("select tenant_id from tenants where cache")
                .fetch_all(&self.pool)
                .await?,
        )
    }

    /// Whether a tenant's calls are served from the cache unless they say otherwise. `false`: there is no such tenant. `by`: for the audit log.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn tenant_cache_put(
        &self,
        tenant: Uuid,
        on: bool,
        by: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.acting(Scope::Operator, by).await?;
        let put = sqlx::query!(
            "update tenants set cache = $2 where tenant_id = $1",
            tenant,
            on
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(put.rows_affected() > 0)
    }

    /// What a tenant has cached; `None`: there is no such tenant.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn cache_use(&self, tenant: Uuid) -> Result<Option<CacheUse>, StoreError> {
        Ok(sqlx::query_as!(
            CacheUse,
            r#"
            select t.cache as "on", (select count(*) from result_cache c where c.tenant_id = t.tenant_id) as "results!",
                   (select count(*) from runs r where r.tenant_id = t.tenant_id and r.cache_of is not null
                       and r.created_at >= date_trunc('month', now() at time zone 'utc') at time zone 'utc') as "hits_this_month!"
            from tenants t where t.tenant_id = $1
            "#,
            tenant
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Forgets a tenant's results: the next calls are sent. Runs and their files stay. How many went.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn cache_clear(&self, tenant: Uuid) -> Result<u64, StoreError> {
        let gone = sqlx::query!("delete from result_cache where tenant_id = $1", tenant)
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected())
    }
}

/// Whether the result is there, and stays until the transaction ends: whoever erases its run, or stops serving its files, waits.
async fn held(connection: &mut PgConnection, run: &NewRun, of: Uuid) -> Result<bool, StoreError> {
    let there = sqlx::query_scalar!(
        r#"
        select s.run_id from result_cache c join run_states s using (run_id)
        where c.tenant_id = $1 and c.credential_id = $2 and c.revision_id = $3 and c.request_sha256 = $4 and c.run_id = $5
          and s.state = 'succeeded' and s.erased_at is null
        for share of s
        "#,
        run.tenant_id,
        run.credential_id,
        run.revision_id,
        run.cache_key,
        of,
    )
    .fetch_optional(&mut *connection)
    .await?;
    if there.is_none() {
        return Ok(false);
    }
    // A statement of its own: it sees the files as they are under the lock.
    Ok(sqlx::query_scalar!(
        r#"
        select coalesce(bool_and(f.deleted_at is null and coalesce(f.delete_after > now(), true)), true) as "live!"
        from (select deleted_at, delete_after from artifacts where run_id = $1 for share) f
        "#,
        of,
    )
    .fetch_one(connection)
    .await?)
}

/// The run, ended, with rows of its own for the same objects. The cache goes on with it: it is the one that lives longest.
async fn born(
    connection: &mut PgConnection,
    run: &NewRun,
    given: &Given,
) -> Result<Option<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        with r as (insert into runs (run_id, tenant_id, idempotency_key, request_sha256, purpose, revision_id, request, api_key_id,
                                     cache_key, cache_of)
                   select $1, $2, $3, $4, $5, $6, $7, $9, $10, coalesce(o.cache_of, o.run_id) from runs o where o.run_id = $11
                   on conflict do nothing returning run_id, tenant_id, cache_of),
        st as (insert into run_states (run_id, tenant_id, credential_id, revision_id, state, captured, ended_at, event_seq)
               select run_id, tenant_id, $8, $6, 'succeeded', $12, now(), 1 from r returning run_id, tenant_id, event_seq),
        ar as (insert into artifacts (run_id, name, idx, tenant_id, object_key, sha256, bytes, content_type, delete_after)
               select st.run_id, f.name, f.idx, st.tenant_id, f.object_key, f.sha256, f.bytes, f.content_type, now() + make_interval(secs => $13)
               from st cross join artifacts f where f.run_id = $11),
        ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
               select run_id, 1, tenant_id, 'succeeded', jsonb_build_object('cache_of', cache_of) from r),
        cb as (insert into outbox (run_id, tenant_id, kind, event_seq, event, url)
               select run_id, tenant_id, 'callback', event_seq, 'run.succeeded', $7::jsonb -> 'callback' ->> 'url'
               from st where $7::jsonb -> 'callback' ->> 'url' is not null),
        ca as (update result_cache c set run_id = st.run_id from st
               where c.tenant_id = $2 and c.credential_id = $8 and c.revision_id = $6 and c.request_sha256 = $10 and c.run_id = $11)
        select run_id from st
        "#,
        run.run_id,
        run.tenant_id,
        run.idempotency_key,
        run.request_sha256,
        run.purpose,
        run.revision_id,
        run.request,
        run.credential_id,
        run.api_key_id,
        run.cache_key,
        given.of,
        given.captured,
        given.keep.map(|keep| keep.as_secs_f64()),
    )
    .fetch_optional(connection)
    .await?)
}
