//! Erasing a run: what was asked, what came of it, and the files. What is left says that there was a run, and nothing of it.

use crate::{Scope, State, Store, StoreError};
use sqlx::PgConnection;
use uuid::Uuid;

/// What an erasure came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erased {
    /// Done. The key of an output that was too large for its row: its object is to be deleted.
    Done {
        /// In the artifact store.
        output_object: Option<String>,
    },
    /// It has not ended.
    Live(State),
    /// It has ended, and something is still to be done at the provider: its cancel, its cleanup.
    Closing,
}

impl Store {
    /// Erases an ended run: request, output, failure, answers, timeline, callbacks. Its files are no longer served, and the
    /// sweep takes their objects an hour later; inputs that only this run named go the same way. `None`: there is no such run.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: perhaps erased; do it again. [`StoreError::UnknownWord`].
    pub async fn run_erase(
        &self,
        scope: impl Into<Scope>,
        run: Uuid,
        by: &str,
    ) -> Result<Option<Erased>, StoreError> {
        // Row security decides whether it is the scope's; what follows is not for callers' hands.
        let mut tx = self.seen_by(scope.into()).await?;
        let found = sqlx::query!(
            r#"
            select s.state, s.ended_at is not null as "ended!", s.captured ->> 'output_object' as output_object,
                   exists (select 1 from outbox o where o.run_id = s.run_id and o.kind in ('cancel', 'cleanup')
                           and o.done_at is null and o.gave_up_at is null) as "closing!"
            from run_states s where s.run_id = $1 and s.erased_at is null for update
            "#,
            run,
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(found) = found else { return Ok(None) };
        if !found.ended {
            return Ok(Some(Erased::Live(State::parse(&found.state)?)));
        }
        if found.closing {
            return Ok(Some(Erased::Closing));
        }
        let tx_ref = &mut tx;
        sqlx::query!("select set_config('role', 'none', true) as role")
            .fetch_one(&mut **tx_ref)
            .await?;
        empty(tx_ref, run).await?;
        let_go_of_files(tx_ref, run).await?;
        sqlx::query!(
            r#"
            insert into audit_log (tenant_id, actor, action, object)
            select tenant_id, $2, 'run.delete', run_id::text from run_states where run_id = $1
            "#,
            run,
            by,
        )
        .execute(&mut **tx_ref)
        .await?;
        tx.commit().await?;
        Ok(Some(Erased::Done {
            output_object: found.output_object,
        }))
    }

    /// Forgets runs that were erased over 30 days ago, at most `limit`, and with each its idempotency key and its attempts;
    /// those whose files the sweep has taken, or are another run's as well. How many went.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`].
    pub async fn erased_forget(&self, limit: i64) -> Result<u64, StoreError> {
        let gone = sqlx::query!(
            r#"
            with old as (
                select s.run_id from run_states s where s.erased_at < now() - interval '30 days'
                  and not exists (select 1 from artifacts a where a.run_id = s.run_id and a.removed_at is null
                                  and not exists (select 1 from artifacts b where b.object_key = a.object_key and b.deleted_at is null))
                order by s.erased_at limit $1 for update skip locked)
            delete from runs r using old where r.run_id = old.run_id
            "#,
            limit,
        )
        .execute(&self.pool)
        .await?;
        Ok(gone.rows_affected())
    }
}

/// Takes the content out of the run's rows. A list of what stays, so that what is added later goes too.
async fn empty(connection: &mut PgConnection, run: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "update run_states set erased_at = now(), captured = null, failure = null, ver = ver + 1 where run_id = $1",
        run
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        update runs set request = jsonb_build_object('provider', request -> 'provider', 'model', request -> 'model',
            'profile_key', request -> 'profile_key', 'cost', request -> 'cost'), cache_key = null where run_id = $1
        "#,
        run
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update submit_attempts set answer = null, drawn = '{}' where run_id = $1",
        run
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from run_events where run_id = $1", run)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        r#"
        update outbox set url = null, payload = '{}', gave_up_at = case when done_at is null then coalesce(gave_up_at, now()) end,
            last_error = 'the run was deleted' where run_id = $1
        "#,
        run
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from outbox_attempts a using outbox o where a.outbox_id = o.outbox_id and o.run_id = $1",
        run
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        delete from webhook_receipts w using submit_attempts a join provider_api_credentials k on k.id = a.credential_id
        where a.run_id = $1 and (w.run_id = $1 or (w.provider_id = k.provider_id and w.provider_job_id = a.provider_job_id))
        "#,
        run
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Files are no longer served. Inputs that no other run names are past their time.
async fn let_go_of_files(connection: &mut PgConnection, run: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "update artifacts set deleted_at = now() where run_id = $1 and deleted_at is null",
        run
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from result_cache where run_id = $1", run)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        r#"
        with named as (delete from run_inputs where run_id = $1 returning input_id)
        update inputs i set delete_after = least(i.delete_after, now()) from named
        where i.input_id = named.input_id and not exists (select 1 from run_inputs o where o.input_id = i.input_id and o.run_id <> $1)
        "#,
        run
    )
    .execute(connection)
    .await?;
    Ok(())
}
