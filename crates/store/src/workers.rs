//! Leases of workers and ownership of shards. The worker is leased, not the
//! job: one small write per worker and second, whatever the number of jobs.

use crate::{State, Store, StoreError};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;
use uuid::Uuid;

/// First key of the workers' advisory locks; the second is `workers.no`.
pub const LOCK_NAMESPACE: i32 = 0x6d6f_6472;

/// What a worker tells about itself.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    /// New at every start, and after every lost lease.
    pub worker_id: Uuid,
    /// Version of the program.
    pub build: String,
    /// Highest language level it reads.
    pub language: i32,
    /// Where it runs, for people.
    pub host: String,
}

/// The lease's own connection: to be used by its own thread, so that a busy
/// pool or a busy runtime cannot let it expire.
#[derive(Debug)]
pub struct Lease {
    connection: PgConnection,
}

impl Lease {
    /// Registers the worker for `ttl`, and takes the session lock whose end lets peers see that the process died.
    /// Returns the lock's number, for [`Store::lock_is_seen`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]; the worker may then be registered, and expires.
    pub async fn register(&mut self, worker: &WorkerRow, ttl: Duration) -> Result<i32, StoreError> {
        // One transaction, so that nobody sees the row without the lock.
        let mut tx = self.connection.begin().await?;
        let no = sqlx::query_scalar!(
            r#"
            insert into workers (worker_id, expires_at, build, language, host)
            values ($1, now() + make_interval(secs => $2), $3, $4, $5) returning no as "no!"
            "#,
            worker.worker_id,
            ttl.as_secs_f64(),
            worker.build,
            worker.language,
            worker.host,
        )
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query_scalar!(
            r#"select pg_advisory_lock($1, $2) is null as "locked""#,
            LOCK_NAMESPACE,
            no
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(no)
    }

    /// Renews for `ttl` from now, by the database's clock, and writes down what the worker tells of itself. `false`: the lease is lost, and the worker's id with it.
    /// Note a clock that counts suspension *before* the call: the proof is as old as that.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: not known to be renewed.
    pub async fn renew(
        &mut self,
        worker: Uuid,
        ttl: Duration,
        report: &Value,
    ) -> Result<bool, StoreError> {
        let renewed = sqlx::query_scalar!(
            r#"
            update workers set expires_at = now() + make_interval(secs => $2), report = $3
            where worker_id = $1 and expires_at > now() returning true as "renewed!"
            "#,
            worker,
            ttl.as_secs_f64(),
            report,
        )
        .fetch_optional(&mut self.connection)
        .await?;
        Ok(renewed.is_some())
    }

    /// Ends the lease now: the row goes, its shards are free for the others at their next tick.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]; the lease then ends by itself.
    pub async fn release(mut self, worker: Uuid) -> Result<(), StoreError> {
        sqlx::query!("delete from workers where worker_id = $1", worker)
            .execute(&mut self.connection)
            .await?;
        self.connection.close().await?;
        Ok(())
    }
}

/// A shard and how often it changed hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// 0 to 255.
    pub shard: i16,
    /// Another number means that it was somebody else's in between.
    pub epoch: i64,
}

/// A run of a shard, in the fewest columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRun {
    /// The run.
    pub run_id: Uuid,
    /// Counts state changes.
    pub ver: i64,
    /// Where it stands.
    pub state: State,
    /// Whether somebody asked to cancel it.
    pub cancel: bool,
    /// Whose it is.
    pub shard: i16,
}

/// A run whose sender is gone, or that its worker's memory does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The run.
    pub run_id: Uuid,
    /// `queued` when it only prepared, else `submit_unknown`.
    pub state: State,
}

impl Swept {
    pub(crate) fn of(run_id: Uuid, state: &str) -> Result<Self, StoreError> {
        let state = State::parse(state)?;
        Ok(Self { run_id, state })
    }
}

impl Store {
    /// Opens the lease's connection, outside the pool; statements end after `statement_timeout`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn open_lease(&self, statement_timeout: Duration) -> Result<Lease, StoreError> {
        Ok(Lease {
            connection: self.own_connection(statement_timeout).await?,
        })
    }

    /// Self-test: whether a worker's session lock is seen from another connection. A pooler between may hide it; then
    /// [`Store::workers_expire_dead`] must not be called, and the TTL decides alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn lock_is_seen(&self, no: i32) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select exists (select 1 from pg_locks l where l.locktype = 'advisory' and l.classid = $1::int::oid
                and l.objid = $2::int::oid and l.objsubid = 2 and l.granted
                and l.database = (select oid from pg_database where datname = current_database())) as "seen!"
            "#,
            LOCK_NAMESPACE,
            no,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Expires workers whose session is gone, and says which. Only after [`Store::lock_is_seen`] said yes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn workers_expire_dead(&self) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            update workers w set expires_at = now()
            where w.expires_at > now()
              and not exists (select 1 from pg_locks l where l.locktype = 'advisory' and l.classid = $1::int::oid
                  and l.objid = w.no::oid and l.objsubid = 2 and l.granted
                  and l.database = (select oid from pg_database where datname = current_database()))
            returning worker_id
            "#,
            LOCK_NAMESPACE,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Forgets workers that expired over an hour ago; a missing row means dead as well.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn workers_forget(&self) -> Result<u64, StoreError> {
        let gone = sqlx::query!("delete from workers where expires_at < now() - interval '1 hour'")
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected())
    }

    /// Takes a fair share of the shards without a living owner; returns those taken now. Writes nothing in a steady house. A worker
    /// that drains takes none, unless all that live do: somebody must follow the jobs.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn shards_take(&self, worker: Uuid) -> Result<Vec<i16>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with live as (select worker_id, draining_at is not null as drains from workers where expires_at > now()),
                 able as (select worker_id from live where not drains or not exists (select 1 from live where not drains)),
                 want as (select ceil(256.0 / greatest((select count(*) from able), 1))::int
                               - (select count(*) from shards where owner = $1)::int as n
                          where exists (select 1 from able where worker_id = $1)),
                 free as (select s.shard from shards s
                          where s.owner is null or not exists (select 1 from live where live.worker_id = s.owner)
                          order by s.shard limit greatest(coalesce((select n from want), 0), 0)
                          for update skip locked)
            update shards s set owner = $1, epoch = s.epoch + 1 from free where s.shard = free.shard returning s.shard
            "#,
            worker,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Gives up what is above the fair share, after a worker joined, and all while it drains and another lives; returns those given.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: assume them given until [`Store::shards_mine`] says otherwise.
    pub async fn shards_give_surplus(&self, worker: Uuid) -> Result<Vec<i16>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with live as (select worker_id, draining_at is not null as drains from workers where expires_at > now()),
                 able as (select worker_id from live where not drains or not exists (select 1 from live where not drains)),
                 share as (select case when exists (select 1 from live where worker_id = $1 and drains) and not exists (select 1 from able where worker_id = $1)
                                       then 0 else ceil(256.0 / greatest((select count(*) from able), 1))::int end as n),
                 extra as (select shard from shards where owner = $1 order by shard desc
                           limit greatest((select count(*) from shards where owner = $1)::int - (select n from share), 0))
            update shards s set owner = null, epoch = s.epoch + 1 from extra
            where s.shard = extra.shard and s.owner = $1 returning s.shard
            "#,
            worker,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Tells a living worker to drain, as `by`. `false`: there is none of that id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: tell it again.
    pub async fn worker_drain(&self, worker: Uuid, by: &str) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            with told as (update workers set draining_at = now() where worker_id = $1 and expires_at > now() and draining_at is null
                          returning worker_id, host),
            au as (insert into audit_log (actor, action, object, after)
                   select $2, 'worker.drain', 'worker/' || worker_id, jsonb_build_object('host', host) from told)
            select (exists (select 1 from told)
                    or exists (select 1 from workers where worker_id = $1 and expires_at > now() and draining_at is not null)) as "told!"
            "#,
            worker,
            by,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Gives up all shards, on SIGTERM.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]; they are free when the lease ends.
    pub async fn shards_give_all(&self, worker: Uuid) -> Result<Vec<i16>, StoreError> {
        Ok(sqlx::query_scalar!(
            "update shards set owner = null, epoch = epoch + 1 where owner = $1 returning shard",
            worker,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Which shards are still mine: asked at each tick, since a renewal may commit late.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn shards_mine(&self, worker: Uuid) -> Result<Vec<Shard>, StoreError> {
        Ok(sqlx::query_as!(
            Shard,
            "select shard, epoch from shards where owner = $1 order by shard",
            worker
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// A shard that a living worker owns, for a run accepted by a process that owns none. `None`: nobody lives.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn shard_of_anyone(&self) -> Result<Option<i16>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select s.shard from shards s join workers w on w.worker_id = s.owner
            where w.expires_at > now() order by random() limit 1
            "#
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The runs of these shards: after a take-over, and as anti-entropy. Details come from [`Store::work`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`], [`StoreError::UnknownWord`].
    pub async fn shard_runs(&self, shards: &[i16]) -> Result<Vec<ShardRun>, StoreError> {
        let rows = sqlx::query!(
            r#"
            select run_id, ver, state, cancel_requested_at is not null as "cancel!", shard as "shard!" from run_states
            where shard = any($1) and state in ('submit_unknown', 'polling', 'fetching', 'validating')
            "#,
            shards,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(ShardRun {
                    run_id: row.run_id,
                    ver: row.ver,
                    state: State::parse(&row.state)?,
                    cancel: row.cancel,
                    shard: row.shard,
                })
            })
            .collect()
    }

    /// What dead senders left, at most `limit` runs: `preparing` paid for nothing and is queued again; `submitting` may
    /// have paid, becomes `submit_unknown` and joins `shard`. Does nothing for a worker that is dead itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]; the next tick sweeps again.
    pub async fn senders_sweep(
        &self,
        worker: Uuid,
        shard: i16,
        limit: i32,
    ) -> Result<Vec<Swept>, StoreError> {
        let rows = sqlx::query!(
            r#"
            with gone as (
                select r.run_id, r.state, r.attempt from run_states r
                where r.state in ('preparing', 'submitting')
                  and not exists (select 1 from workers w where w.worker_id = r.worker_id and w.expires_at > now())
                  and exists (select 1 from workers where worker_id = $1 and expires_at > now())
                limit $3::int for update skip locked),
            att as (
                update submit_attempts a set outcome = 'unknown' from gone
                where gone.state = 'submitting' and a.run_id = gone.run_id and a.n = gone.attempt and a.outcome = 'pending'
                returning a.run_id)
            update run_states r set state = case gone.state when 'preparing' then 'queued' else 'submit_unknown' end,
                ver = r.ver + 1, shard = case gone.state when 'preparing' then null else $2::smallint end, worker_id = null,
                spent = case when gone.state = 'preparing' or r.spent = 'yes' then r.spent else 'maybe' end
            from gone where r.run_id = gone.run_id returning r.run_id, r.state
            "#,
            worker,
            shard,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| Swept::of(row.run_id, &row.state))
            .collect()
    }
}
