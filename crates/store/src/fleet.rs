//! Workers, shards, and how many runs stand where: for people who look. Counts come from the partial indexes that claims
//! and owners use, so that ended runs cost nothing.

use crate::{State, Store, StoreError};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// A worker's row.
#[derive(Debug, Clone)]
pub struct FleetWorker {
    /// New at every start, and after every lost lease.
    pub worker_id: Uuid,
    /// Version of the program.
    pub build: String,
    /// Highest language level it reads.
    pub language: i32,
    /// Where it runs.
    pub host: String,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// Milliseconds until its lease ends; negative: it has ended.
    pub expires_in_ms: i64,
    /// When it was told to drain.
    pub draining_at: Option<OffsetDateTime>,
    /// Shards that it owns.
    pub shards: i64,
    /// What it told with its last renewal.
    pub report: Option<Value>,
}

/// What is not a worker's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetFacts {
    /// Shards without a living owner.
    pub orphan_shards: i64,
    /// Live runs that are held.
    pub held: i64,
    /// Milliseconds that the oldest unknown outcome is unknown.
    pub unknown_oldest_ms: Option<i64>,
    /// Milliseconds that the oldest queued run could have been sent.
    pub queue_oldest_ms: Option<i64>,
}

/// Runs of one profile in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileRuns {
    /// Word of the state.
    pub state: String,
    /// `model_api_profiles.profile_key`.
    pub profile: String,
    /// How many.
    pub count: i64,
}

/// The house in numbers, for those who watch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// Runs that have not ended.
    pub runs: Vec<ProfileRuns>,
    /// What is not a worker's own.
    pub facts: FleetFacts,
    /// Unknown outcomes that are so for at most a minute, at most ten, at most an hour, and longer.
    pub unknown_by_age: [i64; 4],
    /// Workers whose lease has not ended.
    pub workers: i64,
    /// Milliseconds since the beginning of the oldest transaction of our role.
    pub transaction_oldest_ms: Option<i64>,
}

impl Store {
    /// Workers whose lease has not ended, the oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn fleet_workers(&self) -> Result<Vec<FleetWorker>, StoreError> {
        Ok(sqlx::query_as!(
            FleetWorker,
            r#"
            select w.worker_id, w.build, w.language, w.host, w.started_at, w.report, w.draining_at,
                   (extract(epoch from w.expires_at - now()) * 1000)::bigint as "expires_in_ms!",
                   (select count(*) from shards s where s.owner = w.worker_id) as "shards!"
            from workers w where w.expires_at > now() order by w.started_at, w.no
            "#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Runs that have not ended, by state.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn fleet_runs(&self) -> Result<Vec<(State, i64)>, StoreError> {
        let rows = sqlx::query!(
            r#"
            select state as "state!", count(*) as "count!" from (
                select state from run_states where state = 'queued' and not held
                union all
                select state from run_states where state in ('preparing', 'submitting')
                union all
                select state from run_states where state in ('submit_unknown', 'polling', 'fetching', 'validating')) live
            group by state
            "#
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| Ok((State::parse(&row.state)?, row.count)))
            .collect()
    }

    /// Everything that is counted. Its price does not grow with the runs that have ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn fleet_census(&self) -> Result<Census, StoreError> {
        let runs = sqlx::query_as!(
            ProfileRuns,
            r#"
            select live.state as "state!", coalesce(r.content #>> '{profile,profile_key}', '') as "profile!", sum(live.count)::bigint as "count!"
            from (
                select state, revision_id, count(*) from run_states where state = 'queued' group by 1, 2
                union all
                select state, revision_id, count(*) from run_states where state in ('preparing', 'submitting') group by 1, 2
                union all
                select state, revision_id, count(*) from run_states
                where state in ('submit_unknown', 'polling', 'fetching', 'validating') group by 1, 2) live
            join revisions r using (revision_id) group by 1, 2 order by 1, 2
            "#
        )
        .fetch_all(&self.pool)
        .await?;
        let row = sqlx::query!(
            r#"
            with ages as (
                select extract(epoch from now() - coalesce(a.ended_at, a.sent_at)) as s
                from run_states r join submit_attempts a on a.run_id = r.run_id and a.n = r.attempt where r.state = 'submit_unknown')
            select (select count(*) from workers where expires_at > now()) as "workers!",
                   (select (extract(epoch from now() - min(xact_start)) * 1000)::bigint from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid()) as transaction_oldest_ms,
                   count(*) filter (where s <= 60) as "minute!", count(*) filter (where s > 60 and s <= 600) as "ten!",
                   count(*) filter (where s > 600 and s <= 3600) as "hour!", count(*) filter (where s > 3600) as "more!"
            from ages
            "#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Census {
            runs,
            facts: self.fleet_facts().await?,
            unknown_by_age: [row.minute, row.ten, row.hour, row.more],
            workers: row.workers,
            transaction_oldest_ms: row.transaction_oldest_ms,
        })
    }

    /// Orphans, held runs, and what waits longest.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn fleet_facts(&self) -> Result<FleetFacts, StoreError> {
        Ok(sqlx::query_as!(
            FleetFacts,
            r#"
            select
                (select count(*) from shards s where not exists (
                    select 1 from workers w where w.worker_id = s.owner and w.expires_at > now())) as "orphan_shards!",
                (select count(*) from run_states where held and ended_at is null) as "held!",
                (select (extract(epoch from now() - min(coalesce(a.ended_at, a.sent_at))) * 1000)::bigint
                 from run_states s join submit_attempts a on a.run_id = s.run_id and a.n = s.attempt
                 where s.state = 'submit_unknown') as unknown_oldest_ms,
                (select (extract(epoch from now() - min(not_before)) * 1000)::bigint
                 from run_states where state = 'queued' and not held and not_before <= now()) as queue_oldest_ms
            "#
        )
        .fetch_one(&self.pool)
        .await?)
    }
}
