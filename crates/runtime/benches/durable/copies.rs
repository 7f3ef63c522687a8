//! A hundred thousand waiting runs, without a hundred thousand submits: copies of one that a worker made.

use crate::ground::{DAY_MS, Ground, call, until};
use runtime::Modelrow;
use uuid::Uuid;

/// Makes one run of `model` and copies it; the copies were accepted within the last `over_ms`. The worker finds them
/// with its next look at its shards.
pub(crate) async fn waiting(
    ground: &Ground,
    library: &Modelrow,
    model: &str,
    n: u64,
    over_ms: u64,
) {
    let template = template(library, model).await;
    let copies = COPIES
        .replace("TEMPLATE", &template.to_string())
        .replace("COUNT", &n.to_string())
        .replace("OVER", &over_ms.to_string())
        .replace("LIFE", &format!("{DAY_MS:010}"));
    ground.sql(&copies).await;
    // As autovacuum does within a minute, which would then be measured as growth.
    ground
        .sql("vacuum analyze runs, run_states, submit_attempts, artifacts, outbox")
        .await;
    until(|| async { following(library).await >= n }).await;
}

async fn template(library: &Modelrow, model: &str) -> Uuid {
    let handle = library.run_profile(call(model, DAY_MS)).await.unwrap();
    until(|| async {
        library
            .run(store::DEFAULT_TENANT, handle.id())
            .await
            .unwrap()
            .state
            == "polling"
    })
    .await;
    handle.id()
}

/// Runs that workers have in memory, as they told with their last renewal.
pub(crate) async fn following(library: &Modelrow) -> u64 {
    let fleet = library.fleet().await.unwrap();
    fleet
        .workers
        .iter()
        .map(|worker| worker.report.following)
        .sum()
}

/// Columns that are not named keep the template's value.
const COPIES: &str = "
create temp table copies as
    select gen_random_uuid() as run_id, now() - make_interval(secs => random() * OVER / 1000.0) as accepted_at,
           'video_' || lpad((extract(epoch from now()) * 1000)::bigint::text, 13, '0') || '_LIFE_' || lpad((1000000 + n)::text, 14, '0') as job
    from generate_series(1, COUNT) n;
insert into runs select (jsonb_populate_record(r, jsonb_build_object('run_id', c.run_id, 'idempotency_key', null))).*
    from runs r, copies c where r.run_id = 'TEMPLATE';
insert into submit_attempts select (jsonb_populate_record(a, jsonb_build_object('run_id', c.run_id, 'token', gen_random_uuid(),
        'provider_job_id', c.job))).*
    from submit_attempts a, copies c where a.run_id = 'TEMPLATE';
insert into run_states select (jsonb_populate_record(s, jsonb_build_object('run_id', c.run_id, 'shard', floor(random() * 256),
        'provider_job_id', c.job, 'accepted_at', c.accepted_at, 'deadline_at', now() + interval '1 day', 'give_up_at', now() + interval '2 days',
        'captured', replace(s.captured::text, s.provider_job_id, c.job)::jsonb))).*
    from run_states s, copies c where s.run_id = 'TEMPLATE';
";
