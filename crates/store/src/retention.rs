//! What is kept no longer: inputs that no live run names, events of ended runs, and objects that no row refers to.

use crate::{Store, StoreError};
use std::collections::HashSet;
use std::time::Duration;
use uuid::Uuid;

/// What the sweep would take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Files past their retention that are still served.
    pub artifacts: i64,
    /// Objects whose last row stopped being served over an hour ago.
    pub objects: i64,
    /// Inputs past their retention that no live run names.
    pub inputs: i64,
    /// Events of runs that ended so long ago.
    pub events: i64,
    /// Callbacks past their retention.
    pub callbacks: i64,
}

impl Store {
    /// Counts what the sweep would take. `events`: how long events are kept; absent: for ever. `callbacks`: the same of those in.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn retention_due(
        &self,
        events: Option<Duration>,
        callbacks: Duration,
    ) -> Result<Due, StoreError> {
        Ok(sqlx::query_as!(
            Due,
            r#"
            select
                (select count(*) from artifacts where deleted_at is null and delete_after < now()) as "artifacts!",
                (select count(distinct a.object_key) from artifacts a where a.deleted_at < now() - interval '1 hour' and a.removed_at is null
                    and not exists (select 1 from artifacts b where b.object_key = a.object_key
                                    and (b.deleted_at is null or b.deleted_at > now() - interval '1 hour'))) as "objects!",
                (select count(*) from inputs i where i.delete_after < now() - interval '1 hour' and not exists (select 1 from run_inputs n
                    join run_states s using (run_id) where n.input_id = i.input_id and s.ended_at is null)) as "inputs!",
                (select count(*) from run_events e join run_states s using (run_id)
                    where e.at < now() - make_interval(secs => $1) and s.ended_at < now() - make_interval(secs => $1)) as "events!",
                (select count(*) from webhook_receipts where received_at < now() - make_interval(secs => $2)
                    or (run_id is null and applied_at is null and received_at < now() - interval '1 hour')) as "callbacks!"
            "#,
            events.map(|kept| kept.as_secs_f64()),
            callbacks.as_secs_f64(),
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Forgets inputs past their retention that no live run names, at most `limit`; returns their objects' keys, which nothing
    /// refers to any more. An hour is left to calls that named one of them just now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: perhaps forgotten; their objects are found by a listing.
    pub async fn inputs_expire(&self, limit: i64) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with due as (
                select i.input_id from inputs i where i.delete_after < now() - interval '1 hour' and not exists (select 1 from run_inputs n
                    join run_states s using (run_id) where n.input_id = i.input_id and s.ended_at is null)
                order by i.delete_after limit $1 for update of i skip locked),
            named as (delete from run_inputs n using due where n.input_id = due.input_id)
            delete from inputs i using due where i.input_id = due.input_id returning i.object_key
            "#,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Forgets events older than `keep` of runs that ended before that, at most `limit`; how many went.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn events_expire(&self, keep: Duration, limit: i64) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            r#"
            with old as (
                select e.run_id, e.seq, e.at from run_events e join run_states s using (run_id)
                where e.at < now() - make_interval(secs => $1) and s.ended_at < now() - make_interval(secs => $1) limit $2)
            delete from run_events e using old where e.run_id = old.run_id and e.seq = old.seq and e.at = old.at
            "#,
            keep.as_secs_f64(),
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Which of these objects must stay: a row refers to them, or their run goes on. `runs`: whose objects they are, by their
    /// keys, in the same order. An object of an ended run that no row refers to lost against another copy, or died with its fetch.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn objects_wanted(
        &self,
        keys: &[String],
        runs: &[Option<Uuid>],
    ) -> Result<HashSet<String>, StoreError> {
        let wanted = sqlx::query_scalar!(
            r#"
            select k.key as "key!" from unnest($1::text[], $2::uuid[]) as k (key, run_id)
            where exists (select 1 from artifacts a where a.object_key = k.key and a.removed_at is null)
               or exists (select 1 from inputs i where i.object_key = k.key)
               or exists (select 1 from run_states s where s.run_id = k.run_id and s.erased_at is null
                          and (s.ended_at is null or s.captured ->> 'output_object' = k.key or k.key like s.run_id || '/answer/%'))
            "#,
            keys,
            runs as &[Option<Uuid>],
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(wanted.into_iter().collect())
    }
}
