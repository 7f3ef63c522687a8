//! A run that is claimed by the transaction that makes it: who calls a process that works need not wait for the queue.

use super::{Intended, Intent};
use crate::StoreError;
use sqlx::PgConnection;
use uuid::Uuid;

/// Claims the run that this transaction has made and writes its intent. `None`: it stays queued, for something that a claim
/// asks about stands in the way, or has a limit that only a claim counts.
///
/// The commit that follows is durable, whatever the server's default; nothing may be sent before it was answered.
pub(crate) async fn claim_made(
    connection: &mut PgConnection,
    worker: Uuid,
    intent: &Intent,
) -> Result<Option<Intended>, StoreError> {
    // Callers see neither workers nor attempts.
    sqlx::query!(
        r#"select set_config('role', 'none', true) as role, set_config('synchronous_commit', 'on', true) as durable"#
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(sqlx::query_as!(
        Intended,
        r#"
        with att as (
            insert into submit_attempts (run_id, n, token, revision_id, credential_id, endpoint, request_sha256, drawn, worker_id)
            select s.run_id, $3, $4, s.revision_id, s.credential_id, $6, $5, $7, $1
            from run_states s join runs u using (run_id)
            join provider_api_credentials k on k.id = s.credential_id
            join credential_limits c on c.credential_id = s.credential_id
            where s.run_id = $2 and s.state = 'queued' and not s.held and s.not_before <= now() and coalesce(u.start_by > now(), true)
              and num_nulls(k.max_concurrent_jobs, k.rate_limit_per_minute, k.rate_limit_per_day) = 3
              and coalesce(c.paused_until <= now(), true) and not is_paused(s.credential_id, s.tenant_id)
              and not exists (select 1 from tenant_limits l where l.tenant_id = s.tenant_id)
              and exists (select 1 from workers where worker_id = $1 and expires_at > now() and draining_at is null)
              and not exists (select 1 from database_identity d, database_identity_now() i
                              where (i.timeline <> 'unknown' and i.timeline <> d.timeline)
                                 or (i.system_identifier <> 'unknown' and i.system_identifier <> d.system_identifier))
              -- Whoever has waited for a second goes first. The younger ones are about to be claimed: calls that waited for those
              -- would all be queued for as long as one is, and under load that is for good.
              and not exists (select 1 from run_states q where q.credential_id = s.credential_id and q.state = 'queued'
                              and not q.held and q.not_before <= now() - interval '1 second' and q.run_id <> s.run_id)
            on conflict do nothing
            returning run_id, n)
        update run_states s set state = 'submitting', ver = s.ver + 1, worker_id = $1, attempt = att.n, spent = 'maybe'
        from att where s.run_id = att.run_id and s.state = 'queued' returning s.run_id, s.ver
        "#,
        worker,
        intent.run_id,
        intent.n,
        intent.token,
        intent.request_sha256,
        intent.endpoint,
        intent.drawn,
    )
    .fetch_optional(connection)
    .await?)
}
