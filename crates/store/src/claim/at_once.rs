//! A run that is claimed by the statement that makes it: who calls a process that works need not wait for the queue.

use super::{Intended, Intent};
use crate::StoreError;
use crate::runs::{Inserted, Insertion, NewRun};
use sqlx::PgConnection;
use uuid::Uuid;

/// Inserts a run and writes its intent with it, one commit for both. It is queued where something that a claim asks about stands
/// in the way, or has a limit that only a claim counts. `None`: the key or the id is there, or the tenant has limits.
///
/// Its commit is durable, whatever the server's default; nothing may be sent before it was answered.
pub(crate) async fn insert_claimed(
    connection: &mut PgConnection,
    run: &NewRun,
    worker: Uuid,
    intent: &Intent,
) -> Result<Option<Insertion>, StoreError> {
    let row = sqlx::query!(
        r#"
        with start as materialized (select set_config('synchronous_commit', 'on', true) as durable),
        r as (insert into runs (run_id, tenant_id, idempotency_key, request_sha256, purpose, revision_id, request, api_key_id, start_by,
                                cost, currency, cache_key)
              select $1, $2, $3, $4, $5, $6, $7, $9, coalesce($10, now() + make_interval(secs => $12)), $13::text::numeric, $14, $15
              from start where start.durable = 'on' and not exists (select 1 from tenant_limits l where l.tenant_id = $2)
              on conflict do nothing returning run_id, tenant_id, revision_id, start_by),
        att as (
            insert into submit_attempts (run_id, n, token, revision_id, credential_id, endpoint, request_sha256, drawn, worker_id)
            select r.run_id, $17, $18, r.revision_id, k.id, $19, $20, $21, $16
            from r join provider_api_credentials k on k.id = $8
            join credential_limits c on c.credential_id = k.id
            where r.start_by > now()
              and num_nulls(k.max_concurrent_jobs, k.rate_limit_per_minute, k.rate_limit_per_day) = 3
              and coalesce(c.paused_until <= now(), true) and not is_paused(k.id, r.tenant_id)
              and exists (select 1 from workers where worker_id = $16 and expires_at > now() and draining_at is null)
              and not exists (select 1 from database_identity d, database_identity_now() i
                              where (i.timeline <> 'unknown' and i.timeline <> d.timeline)
                                 or (i.system_identifier <> 'unknown' and i.system_identifier <> d.system_identifier))
              -- Whoever has waited for a second goes first. The younger ones are about to be claimed: calls that waited for those
              -- would all be queued for as long as one is, and under load that is for good.
              and not exists (select 1 from run_states q where q.credential_id = $8 and q.state = 'queued'
                              and not q.held and q.not_before <= now() - interval '1 second')
            returning run_id, n)
        insert into run_states (run_id, tenant_id, credential_id, revision_id, state, priority, ver, worker_id, attempt, spent)
        select r.run_id, r.tenant_id, $8, r.revision_id, case when att.n is null then 'queued' else 'submitting' end, $11,
               -- It was queued, and was claimed.
               case when att.n is null then 0 else 1 end, case when att.n is not null then $16 end, coalesce(att.n, 0),
               case when att.n is null then 'none' else 'maybe' end
        from r left join att using (run_id) returning run_id, ver, state = 'submitting' as claimed, now() as at
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
        run.price.as_ref().map(|price| &*price.amount),
        run.price.as_ref().map(|price| &*price.currency),
        run.cache_key,
        worker,
        intent.n,
        intent.token,
        intent.endpoint,
        intent.request_sha256,
        intent.drawn,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Insertion {
        inserted: match row.claimed {
            Some(true) => Inserted::Claimed(Intended {
                run_id: row.run_id,
                ver: row.ver,
            }),
            _ => Inserted::New(row.run_id),
        },
        at: row.at,
    }))
}
