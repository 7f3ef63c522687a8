//! The critical section before a submit: who may send, and the intent that is
//! committed before the first byte.

mod at_once;

pub(crate) use at_once::insert_claimed;

use crate::connect::DURABLY;
use crate::work::WorkRow;
use crate::workers::Swept;
use crate::{Store, StoreError};
use serde_json::Value;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

/// A run picked to be sent, locked until its transaction ends.
#[derive(Debug, Clone)]
pub struct Picked {
    /// The run.
    pub run_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Counts state changes.
    pub ver: i64,
    /// Number of the last attempt; the next is one more.
    pub attempt: i32,
    /// What earlier steps captured.
    pub captured: Option<Value>,
    /// What it runs under.
    pub revision_id: Vec<u8>,
    /// What was asked.
    pub request: Value,
    /// `start_by` is over: to be ended as `not_started`.
    pub too_late: bool,
}

/// What will be sent, as far as a replay must know it.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The run.
    pub run_id: Uuid,
    /// Number of the attempt.
    pub n: i32,
    /// A function of run and `n`: the same after a lost commit.
    pub token: Uuid,
    /// Of the request's bytes.
    pub request_sha256: Vec<u8>,
    /// Where it goes.
    pub endpoint: String,
    /// Clock, uuids, boundary: what the rendering drew.
    pub drawn: Value,
}

/// An intent that stands. It is void unless the transaction commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intended {
    /// The run.
    pub run_id: Uuid,
    /// Its new version.
    pub ver: i64,
}

/// The credential's lock, held from the count of places to the commit of the
/// intents. Render between the calls (microseconds) and await nothing else:
/// tokens and uploads come before. Dropped: nothing happened.
#[derive(Debug)]
pub struct Claim {
    tx: Transaction<'static, Postgres>,
    worker: Uuid,
    credential: Uuid,
    /// Whose turn it was last.
    last_tenant: Option<Uuid>,
    /// The use is written down already.
    used_lately: bool,
}

impl Store {
    /// Opens a claim on a credential. `None`: paused (by a worker or by an operator's brake), locked by another worker at this moment, this worker's lease is
    /// over or it drains, or the database may have gone back in time and [`Store::database_rewound`] has not looked yet; go on to the next credential.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: nothing is claimed.
    pub async fn claim(&self, worker: Uuid, credential: Uuid) -> Result<Option<Claim>, StoreError> {
        let mut tx = self.pool.begin_with(DURABLY).await?;
        // A statement of its own, on purpose: together with the pick, the count of places would come from a snapshot
        // older than the lock, and two workers could both take the last places.
        let locked = sqlx::query!(
            r#"
            select c.credential_id, c.last_tenant, coalesce(c.last_used_at > now() - interval '1 minute', false) as "used_lately!"
            from credential_limits c
            where c.credential_id = $2 and coalesce(c.paused_until <= now(), true)
              and exists (select 1 from workers where worker_id = $1 and expires_at > now() and draining_at is null)
              and not is_paused(c.credential_id, null)
              and not exists (select 1 from database_identity d, database_identity_now() i
                              where (i.timeline <> 'unknown' and i.timeline <> d.timeline)
                                 or (i.system_identifier <> 'unknown' and i.system_identifier <> d.system_identifier))
            for no key update skip locked
            "#,
            worker,
            credential,
        )
        .fetch_optional(&mut *tx)
        .await?;
        Ok(locked.map(|locked| Claim {
            tx,
            worker,
            credential: locked.credential_id,
            last_tenant: locked.last_tenant,
            used_lately: locked.used_lately,
        }))
    }

    /// Credentials that have something due, those without a pause; in no order. A paused tenant's runs count here and are not picked.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn credentials_due(&self) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select c.credential_id from credential_limits c
            where coalesce(c.paused_until <= now(), true)
              and not is_paused(c.credential_id, null)
              and exists (select 1 from run_states q where q.credential_id = c.credential_id and q.state = 'queued'
                          and not q.held and q.not_before <= now())
            "#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Milliseconds until the next queued run is due (0: now); `None`: nothing is queued. Pauses are not counted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn next_due_ms(&self) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select greatest((extract(epoch from min(not_before) - now()) * 1000)::bigint, 0) as due
            from run_states where state = 'queued' and not held
            "#
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Claims whose commit answer was lost: I remember these intents, and I never sent them. They are closed as `not_sent` and
    /// queued again, whoever has swept them meanwhile; ask again for a minute, for a commit in doubt may still land.
    ///
    /// An attempt is theirs by what its rendering drew: where their commit came to nothing, the same worker may claim the run
    /// again, under the same number, and send it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: ask again.
    pub async fn claim_doubted(&self, doubted: &[Intent]) -> Result<Vec<Uuid>, StoreError> {
        let runs: Vec<Uuid> = doubted.iter().map(|intent| intent.run_id).collect();
        let ns: Vec<i32> = doubted.iter().map(|intent| intent.n).collect();
        let drawn: Vec<Value> = doubted.iter().map(|intent| intent.drawn.clone()).collect();
        Ok(sqlx::query_scalar!(
            r#"
            with att as (update submit_attempts a set outcome = 'not_sent', sender_ended = true, ended_at = now()
                         from unnest($1::uuid[], $2::int[], $3::jsonb[]) as d (run_id, n, drawn)
                         where a.run_id = d.run_id and a.n = d.n and a.drawn = d.drawn
                           and a.outcome in ('pending', 'unknown') and a.replays = 0 and not a.adopted
                         returning a.run_id, a.n)
            update run_states r set state = 'queued', ver = r.ver + 1, worker_id = null, shard = null,
                spent = case when exists (select 1 from submit_attempts p where p.run_id = r.run_id and p.n < att.n
                                          and p.outcome in ('job_failed', 'written_off')) then r.spent else 'none' end
            from att where r.run_id = att.run_id and r.attempt = att.n and r.state in ('submitting', 'submit_unknown') returning r.run_id
            "#,
            &runs,
            &ns,
            &drawn,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Runs under this worker's id that memory does not hold: one `submitting` that is not in `sending` goes the way of the
    /// dead, to `submit_unknown` in `shard`; one `preparing` that is not in `preparing` paid for nothing and is queued again,
    /// unless its intent is about to be committed. Call it only when no claim of this worker is open.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn claim_forgotten(
        &self,
        worker: Uuid,
        (sending, preparing): (&[Uuid], &[Uuid]),
        shard: i16,
    ) -> Result<Vec<Swept>, StoreError> {
        let rows = sqlx::query!(
            r#"
            with gone as (select run_id, attempt, state from run_states where worker_id = $1
                            and (state = 'submitting' and run_id <> all($2) or state = 'preparing' and run_id <> all($4))
                          for update skip locked),
            att as (update submit_attempts a set outcome = 'unknown' from gone
                    where gone.state = 'submitting' and a.run_id = gone.run_id and a.n = gone.attempt and a.outcome = 'pending'
                    returning a.run_id)
            update run_states r set state = case gone.state when 'preparing' then 'queued' else 'submit_unknown' end,
                ver = r.ver + 1, shard = case gone.state when 'preparing' then null else $3::smallint end, worker_id = null,
                spent = case when gone.state = 'preparing' or r.spent = 'yes' then r.spent else 'maybe' end
            from gone where r.run_id = gone.run_id returning r.run_id, r.state
            "#,
            worker,
            sending,
            shard,
            preparing,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| Swept::of(row.run_id, &row.state))
            .collect()
    }
}

impl Claim {
    /// For the statements on the row that the claim locks.
    pub(crate) fn parts(&mut self) -> (&mut PgConnection, Uuid) {
        (&mut self.tx, self.credential)
    }

    pub(crate) fn last_tenant(&self) -> Option<Uuid> {
        self.last_tenant
    }

    pub(crate) fn used_lately(&self) -> bool {
        self.used_lately
    }

    /// The due runs that may be sent now, at most `free`: within the credential's limit of jobs in flight (a run that prepares
    /// has its place), tenants in turns that go on behind the one that was served last, one over its own limit hiding nobody
    /// behind it. Their rows are locked.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: nothing is claimed.
    pub async fn pick(&mut self, free: i32) -> Result<Vec<Picked>, StoreError> {
        let tenants = self.lock_tenants().await?;
        Ok(sqlx::query_as!(
            Picked,
            r#"
            with recursive
            free as (
                -- Counted where there is a limit only: `coalesce` would count a hundred thousand jobs for nothing.
                select case when k.max_concurrent_jobs is null then $3::int else
                    least($3::int, k.max_concurrent_jobs - (select count(*) from run_states r where r.credential_id = $2
                           and r.state in ('preparing', 'submitting', 'submit_unknown', 'polling'))::int) end as n
                from provider_api_credentials k where k.id = $2 and exists (select 1 from workers where worker_id = $1 and expires_at > now())),
            tenant as (
                (select q.tenant_id from run_states q where q.credential_id = $2 and q.state = 'queued' and not q.held order by q.tenant_id limit 1)
                union all
                select (select q.tenant_id from run_states q where q.credential_id = $2 and q.state = 'queued' and not q.held
                        and q.tenant_id > tenant.tenant_id order by q.tenant_id limit 1)
                from tenant where tenant.tenant_id is not null),
            pick as (
                select due.run_id, due.turn, tenant.tenant_id from tenant
                left join tenant_limits l using (tenant_id)
                cross join lateral (
                    select d.run_id, row_number() over (order by d.priority desc, d.not_before, d.run_id) as turn from (
                        select q.run_id, q.priority, q.not_before from run_states q
                        where q.credential_id = $2 and q.tenant_id = tenant.tenant_id and q.state = 'queued'
                              and not q.held and q.not_before <= now()
                              and not exists (select 1 from pauses p where p.tenant_id = tenant.tenant_id)
                        order by q.priority desc, q.not_before, q.run_id limit $3::int) d) due
                where tenant.tenant_id is not null and (l.max_in_flight is null or tenant.tenant_id = any($5))
                  and due.turn <= case when l.max_in_flight is null then $3::int else
                      l.max_in_flight - (select count(*) from run_states r where r.tenant_id = tenant.tenant_id
                           and r.state in ('preparing', 'submitting', 'submit_unknown', 'polling')) end
                order by due.turn, coalesce(tenant.tenant_id <= $4, false), tenant.tenant_id limit greatest(coalesce((select n from free), 0), 0))
            select r.run_id, r.tenant_id, r.ver, r.attempt, r.captured, r.revision_id, u.request,
                   coalesce(u.start_by < now(), false) as "too_late!"
            from run_states r join runs u using (run_id)
            where r.run_id in (select run_id from pick) and r.state = 'queued'
            for update of r skip locked
            "#,
            self.worker,
            self.credential,
            free,
            self.last_tenant,
            &tenants,
        )
        .fetch_all(&mut *self.tx)
        .await?)
    }

    /// A tenant's runs wait at several credentials: who counts them has locked the tenant, in a statement before, too. One
    /// that is locked elsewhere is passed over this time.
    async fn lock_tenants(&mut self) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            select l.tenant_id from tenant_limits l
            where l.max_in_flight is not null
              and exists (select 1 from run_states q where q.credential_id = $1 and q.tenant_id = l.tenant_id and q.state = 'queued' and not q.held)
            for no key update of l skip locked
            "#,
            self.credential
        )
        .fetch_all(&mut *self.tx)
        .await?)
    }

    /// Marks runs as `preparing`, for profiles with steps before the submit. Commit, do the steps, then
    /// [`Store::intend_prepared`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: nothing is claimed.
    pub async fn prepare(&mut self, runs: &[Uuid]) -> Result<Vec<Intended>, StoreError> {
        Ok(sqlx::query_as!(
            Intended,
            r#"
            update run_states set state = 'preparing', ver = ver + 1, worker_id = $1
            where run_id = any($2) and state = 'queued' returning run_id, ver
            "#,
            self.worker,
            runs,
        )
        .fetch_all(&mut *self.tx)
        .await?)
    }

    /// Writes the intents. A run that is not returned has an attempt that may be paid for, or is no longer ours:
    /// it must not be sent. Nothing may be sent before [`Claim::commit`] has answered.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: nothing is claimed.
    pub async fn intend(&mut self, intents: &[Intent]) -> Result<Vec<Intended>, StoreError> {
        let ids: Vec<Uuid> = intents.iter().map(|i| i.run_id).collect();
        let ns: Vec<i32> = intents.iter().map(|i| i.n).collect();
        let tokens: Vec<Uuid> = intents.iter().map(|i| i.token).collect();
        let hashes: Vec<Vec<u8>> = intents.iter().map(|i| i.request_sha256.clone()).collect();
        let endpoints: Vec<String> = intents.iter().map(|i| i.endpoint.clone()).collect();
        let drawn: Vec<Value> = intents.iter().map(|i| i.drawn.clone()).collect();
        Ok(sqlx::query_as!(
            Intended,
            r#"
            with att as (
                insert into submit_attempts (run_id, n, token, revision_id, credential_id, endpoint, request_sha256, drawn, worker_id)
                select i.run_id, i.n, i.token, s.revision_id, s.credential_id, i.endpoint, i.hash, i.drawn, $1
                from unnest($2::uuid[], $3::int[], $4::uuid[], $5::bytea[], $6::text[], $7::jsonb[])
                    as i (run_id, n, token, hash, endpoint, drawn)
                join run_states s using (run_id) where s.state = 'queued' or (s.state = 'preparing' and s.worker_id = $1)
                on conflict do nothing
                returning run_id, n)
            update run_states s set state = 'submitting', ver = s.ver + 1, worker_id = $1, attempt = att.n,
                spent = case s.spent when 'yes' then 'yes' else 'maybe' end
            from att where s.run_id = att.run_id and s.state in ('queued', 'preparing') returning s.run_id, s.ver
            "#,
            self.worker,
            &ids,
            &ns,
            &tokens,
            &hashes,
            &endpoints,
            &drawn,
        )
        .fetch_all(&mut *self.tx)
        .await?)
    }

    /// Ends a picked run that will not be sent: `not_started`, a rendering that failed. Nothing is spent.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: nothing is claimed.
    pub async fn refuse(&mut self, run: Uuid, failure: &Value) -> Result<bool, StoreError> {
        let ended = crate::decisions::fail_unsent(&mut self.tx, run, failure, None).await?;
        Ok(ended.is_some())
    }

    /// The details of picked runs, read under their locks.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn work(&mut self, runs: &[Uuid]) -> Result<Vec<WorkRow>, StoreError> {
        crate::work::read(&mut self.tx, runs).await
    }

    /// Queues a prepared run again: nothing of it was sent.
    async fn put_back(mut self, run: Uuid) -> Result<Option<Intended>, StoreError> {
        sqlx::query!(
            "update run_states set state = 'queued', ver = ver + 1, worker_id = null where run_id = $1 and state = 'preparing'",
            run
        )
        .execute(&mut *self.tx)
        .await?;
        self.tx.commit().await?;
        Ok(None)
    }

    /// Commits, durably, as it was begun: the answer comes after the write-ahead log is on disk, whatever the server's default.
    /// Then send.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: in doubt. Send nothing; remember the intents for [`Store::claim_doubted`].
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await?;
        Ok(())
    }
}

impl Store {
    /// Writes the intent of a run that this worker prepared. `None`: it is no longer ours, or it was held or paused
    /// meanwhile, and is queued again. It commits durably before it answers; then send.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: in doubt, as with [`Claim::commit`].
    pub async fn intend_prepared(
        &self,
        worker: Uuid,
        intent: &Intent,
    ) -> Result<Option<Intended>, StoreError> {
        let mut claim = Claim {
            tx: self.pool.begin_with(DURABLY).await?,
            worker,
            credential: Uuid::nil(),
            last_tenant: None,
            used_lately: true,
        };
        let mine = sqlx::query_scalar!(
            r#"
            select s.held or is_paused(s.credential_id, s.tenant_id)
                   or exists (select 1 from workers where worker_id = $2 and draining_at is not null) as "braked!"
            from run_states s where s.run_id = $1 and s.worker_id = $2 and s.state = 'preparing'
              and exists (select 1 from workers where worker_id = $2 and expires_at > now())
              and not exists (select 1 from database_identity d, database_identity_now() i
                              where (i.timeline <> 'unknown' and i.timeline <> d.timeline)
                                 or (i.system_identifier <> 'unknown' and i.system_identifier <> d.system_identifier))
            for update of s
            "#,
            intent.run_id,
            worker,
        )
        .fetch_optional(&mut *claim.tx)
        .await?;
        match mine {
            None => return Ok(None),
            Some(true) => return claim.put_back(intent.run_id).await,
            Some(false) => {}
        }
        let intended = claim.intend(std::slice::from_ref(intent)).await?;
        claim.commit().await?;
        Ok(intended.first().copied())
    }
}
