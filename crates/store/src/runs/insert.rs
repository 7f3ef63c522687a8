//! A call becomes a run, unless its key has made it before or its tenant has reached a limit.

use super::{Inserted, Insertion, NewRun, Sent};
use crate::budgets::{self, Admitted};
use crate::claim::{self, Intent};
use crate::inputs;
use crate::{Store, StoreError};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Whether the tenant's limits were asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    /// A tenant that has some gets no run.
    No,
}

impl Store {
    /// Inserts a run and its state, or finds the run that the key made before, or that the client made with the call that it
    /// repeats. A tenant without limits costs nothing more. Workers are told by [`Store::tell`], not here: transactions that
    /// notify commit one after the other.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: in doubt, look the run up by its id. [`crate::Rule::KeyLength`].
    pub async fn run_insert(&self, run: &NewRun) -> Result<Inserted, StoreError> {
        Ok(self.run_make(run, None).await?.inserted)
    }

    /// The same, and when; by a worker that would send it at once, with its intent: a new run is [`Inserted::Claimed`] where
    /// the worker may, and queued otherwise.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: in doubt, the intent too; send nothing, and remember it for [`Store::claim_doubted`].
    /// [`crate::Rule::KeyLength`].
    pub async fn run_make(
        &self,
        run: &NewRun,
        sender: Option<(Uuid, &Intent)>,
    ) -> Result<Insertion, StoreError> {
        // One statement is a transaction, with one round trip for all of it.
        if stands_alone(run) {
            let mut connection = self.pool.acquire().await?;
            if let Some(made) = new(&mut connection, run, sender).await? {
                return Ok(made);
            }
        }
        let mut tx = self.as_tenant(run.tenant_id).await?;
        if let Some(repeated) = repeated(&mut tx, run).await? {
            tx.commit().await?;
            return Ok(repeated.into());
        }
        let made = match stands_alone(run) {
            true => None,
            false => with_inputs(&mut tx, run, sender).await?,
        };
        let made = match made {
            Some(made) => Some(made),
            None => earlier(&mut tx, run).await?.map(Insertion::from),
        };
        let Some(made) = made else {
            tx.rollback().await?;
            return Ok(self.run_insert_limited(run).await?.into());
        };
        tx.commit().await?;
        Ok(made)
    }

    /// The same under the lock of the tenant's limits. A key that has made a run before is asked first: that run is no new one.
    async fn run_insert_limited(&self, run: &NewRun) -> Result<Inserted, StoreError> {
        let mut tx = self.pool.begin().await?;
        let limits = budgets::lock(&mut tx, run.tenant_id).await?;
        if let Some(before) = made_before(&mut tx, run).await? {
            return Ok(before);
        }
        let admitted = match &limits {
            Some(limits) => match budgets::admitted(&mut tx, run, limits).await? {
                Ok(admitted) => admitted,
                Err(over) => return Ok(Inserted::Over(over)),
            },
            None => Admitted::default(),
        };
        let inserted = match write(&mut tx, run, admitted, Asked::Yes).await? {
            Some(_) => {
                inputs::named(&mut tx, run).await?;
                Inserted::New(run.run_id)
            }
            // Somebody was first who holds no lock: the limits were set just now.
            None => match earlier(&mut tx, run).await? {
                Some(earlier) => {
                    tx.rollback().await?;
                    return Ok(earlier);
                }
                None => {
                    return Err(StoreError::NoSuchRow {
                        table: "runs",
                        key: run.run_id.to_string(),
                    });
                }
            },
        };
        tx.commit().await?;
        Ok(inserted)
    }
}

/// Whether one statement makes the run: it names no inputs, and repeats no call.
fn stands_alone(run: &NewRun) -> bool {
    run.inputs.is_empty() && !may_repeat(run)
}

/// Whether its client sends again what was not answered.
fn may_repeat(run: &NewRun) -> bool {
    run.sent != Sent::Once && run.idempotency_key.is_none()
}

/// A new run, claimed where its maker would send it and may. `None`: as [`write()`].
async fn new(
    connection: &mut PgConnection,
    run: &NewRun,
    sender: Option<(Uuid, &Intent)>,
) -> Result<Option<Insertion>, StoreError> {
    match sender {
        Some((worker, intent)) => claim::insert_claimed(connection, run, worker, intent).await,
        None => {
            let at = write(connection, run, Admitted::default(), Asked::No).await?;
            let inserted = Inserted::New(run.run_id);
            Ok(at.map(|at| Insertion {
                inserted,
                at: Some(at),
            }))
        }
    }
}

/// The same in a transaction, with the inputs that the run names.
async fn with_inputs(
    connection: &mut PgConnection,
    run: &NewRun,
    sender: Option<(Uuid, &Intent)>,
) -> Result<Option<Insertion>, StoreError> {
    if sender.is_some() {
        // Callers see neither workers nor attempts.
        sqlx::query!(r#"select set_config('role', 'none', true) as role"#)
            .fetch_one(&mut *connection)
            .await?;
    }
    let made = new(connection, run, sender).await?;
    if made.is_some() {
        inputs::named(connection, run).await?;
    }
    Ok(made)
}

/// Time of the run, which is queued. `None`: the key or the id is there, or the tenant has limits that were not asked.
async fn write(
    connection: &mut PgConnection,
    run: &NewRun,
    admitted: Admitted,
    asked: Asked,
) -> Result<Option<OffsetDateTime>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        with start as (select coalesce($13::date::timestamp at time zone 'utc', now()) as at),
        r as (insert into runs (run_id, tenant_id, idempotency_key, request_sha256, purpose, revision_id, request, api_key_id, start_by,
                                cost, currency, budget_month, cache_key)
              select $1, $2, $3, $4, $5, $6, $7, $9, coalesce($10, start.at + make_interval(secs => $12)),
                     $14::text::numeric, $15, $16, $18 from start
              where $17 or not exists (select 1 from tenant_limits l where l.tenant_id = $2)
              on conflict do nothing returning run_id, tenant_id)
        insert into run_states (run_id, tenant_id, credential_id, revision_id, state, priority, not_before)
        select r.run_id, r.tenant_id, $8, $6, 'queued', $11, start.at from r cross join start returning now() as "at!"
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
        run.start_by,
        run.priority,
        run.start_within.as_secs_f64(),
        admitted.not_before,
        run.price.as_ref().map(|price| &*price.amount),
        run.price.as_ref().map(|price| &*price.currency),
        admitted.budget_month,
        asked == Asked::Yes,
        run.cache_key,
    )
    .fetch_optional(connection)
    .await?)
}

/// What the key, or the call that this one repeats, has made.
pub(crate) async fn made_before(
    connection: &mut PgConnection,
    run: &NewRun,
) -> Result<Option<Inserted>, StoreError> {
    match repeated(connection, run).await? {
        Some(repeated) => Ok(Some(repeated)),
        None => earlier(connection, run).await,
    }
}

/// The run that the same API key made from the same body within the last ten minutes, for a client that says that it sends the
/// call again. Of several it is the last: a client repeats its call before it makes the next.
///
/// The lock makes a repetition wait for the transaction of what it repeats, which may still be on its way to its commit.
async fn repeated(
    connection: &mut PgConnection,
    run: &NewRun,
) -> Result<Option<Inserted>, StoreError> {
    if !may_repeat(run) {
        return Ok(None);
    }
    let start = run.request_sha256.first_chunk();
    let body = i64::from_be_bytes(start.copied().unwrap_or_default());
    sqlx::query!("select pg_advisory_xact_lock($1) as lock", body)
        .fetch_one(&mut *connection)
        .await?;
    if run.sent == Sent::First {
        return Ok(None);
    }
    let made = sqlx::query_scalar!(
        r#"
        select u.run_id from runs u join run_states s using (run_id)
        where u.tenant_id = $1 and u.request_sha256 = $2 and u.api_key_id is not distinct from $3 and u.idempotency_key is null
          and u.created_at > now() - interval '10 minutes' and s.erased_at is null
        order by u.created_at desc limit 1
        "#,
        run.tenant_id,
        run.request_sha256,
        run.api_key_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(made.map(Inserted::Same))
}

/// What the key has made, or this very insert that was committed before.
async fn earlier(
    connection: &mut PgConnection,
    run: &NewRun,
) -> Result<Option<Inserted>, StoreError> {
    let row = sqlx::query!(
        r#"
        select u.run_id, u.request_sha256, s.erased_at is not null as "erased!" from runs u join run_states s using (run_id)
        where (u.tenant_id = $1 and u.idempotency_key = $2) or u.run_id = $3
        "#,
        run.tenant_id,
        run.idempotency_key,
        run.run_id,
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(if row.run_id == run.run_id {
        Inserted::New(row.run_id)
    } else if row.erased {
        Inserted::Erased(row.run_id)
    } else if row.request_sha256 == run.request_sha256 {
        Inserted::Same(row.run_id)
    } else {
        Inserted::OtherBody(row.run_id)
    }))
}
