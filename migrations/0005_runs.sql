-- Runs: what was asked, where it stands, what was sent, what came of it.

create table runs (                                           -- what was asked; never updated
    run_id          uuid primary key,                         -- UUIDv7, made before the insert
    tenant_id       uuid not null references tenants,
    api_key_id      uuid,
    idempotency_key text constraint runs_key_length check (length(idempotency_key) between 1 and 255),
    request_sha256  bytea not null,                           -- of the caller's canonical body: 409, and retries that say so
    purpose         text not null,
    revision_id     bytea not null references revisions,
    request         jsonb not null,                           -- input, params, inputs, context, callback, metadata
    start_by        timestamptz,                              -- not started by then: failed(not_started), nothing spent
    created_at      timestamptz not null default now(),
    constraint runs_idempotency_key_unique unique (tenant_id, idempotency_key)
);
create index runs_by_tenant on runs (tenant_id, created_at desc, run_id desc);
create index runs_by_request on runs (tenant_id, request_sha256, created_at);

create table run_states (
    run_id           uuid primary key references runs on delete cascade,
    tenant_id        uuid not null,
    credential_id    uuid not null references provider_api_credentials,   -- restrict: no run loses its key
    revision_id      bytea not null references revisions,     -- what it runs under now (a fallback changes it)
    held             boolean not null default false,          -- no new attempt without an operator
    state            text not null constraint run_states_state check (state in ('queued', 'preparing', 'submitting',
                       'submit_unknown', 'polling', 'fetching', 'validating', 'succeeded', 'failed', 'canceled')),
    ver              bigint not null default 0,               -- counts state changes only; never goes down
    shard            smallint references shards,
    worker_id        uuid,                                    -- who prepares or sends
    attempt          integer not null default 0,
    priority         smallint not null default 0,
    not_before       timestamptz not null default now(),
    accepted_at      timestamptz, deadline_at timestamptz, give_up_at timestamptz, result_expires_at timestamptz,
    endpoint         text, provider_job_id text, captured jsonb,
    spent            text not null default 'none' constraint run_states_spent check (spent in ('none', 'maybe', 'yes')),
    failure          jsonb,
    ended_at         timestamptz,
    -- set without `ver`, in no index: HOT
    cancel_requested_at timestamptz,
    progress         smallint,
    overdue_at       timestamptz,                             -- when the caller was told
    event_seq        integer not null default 0,
    constraint run_states_ended check ((state in ('succeeded', 'failed', 'canceled')) = (ended_at is not null)),
    -- what an owner follows must be findable by its owner
    constraint run_states_owned check (state not in ('submit_unknown', 'polling', 'fetching', 'validating') or shard is not null),
    constraint run_states_sender check (state not in ('preparing', 'submitting') or worker_id is not null),
    constraint run_states_followed check (state <> 'polling' or (provider_job_id is not null and give_up_at is not null)),
    constraint run_states_captured_small check (pg_column_size(captured) <= 65536)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index run_states_queue on run_states (credential_id, tenant_id, priority desc, not_before, run_id)
    where state = 'queued' and not held;
create index run_states_sender_of on run_states (worker_id) where state in ('preparing', 'submitting');
create index run_states_shard on run_states (shard) where state in ('submit_unknown', 'polling', 'fetching', 'validating');
-- Slots: what may occupy the provider. A job is followed by one live run (ids of ended runs may come again: some providers count from 1).
create index run_states_slots on run_states (credential_id) where state in ('submitting', 'submit_unknown', 'polling');
create index run_states_tenant_slots on run_states (tenant_id) where state in ('submitting', 'submit_unknown', 'polling');
create unique index run_states_one_run_per_job on run_states (credential_id, provider_job_id)
    where provider_job_id is not null and ended_at is null;
create index run_states_retention on run_states (tenant_id, ended_at) where ended_at is not null;

create table submit_attempts (
    run_id        uuid not null references runs on delete cascade,
    n             integer not null,
    token         uuid not null,                              -- from (run_id, n) alone: the same after a lost commit
    revision_id   bytea not null references revisions,        -- a fallback sends another one
    credential_id uuid not null references provider_api_credentials,
    endpoint      text not null,
    request_sha256 bytea not null,
    drawn         jsonb not null default '{}',                -- clock, uuids, boundary: a replay sends the same bytes
    worker_id     uuid not null,
    outcome       text not null default 'pending' constraint submit_attempts_outcome check (outcome in
                    ('pending', 'not_sent', 'refused', 'accepted', 'unknown', 'job_failed', 'written_off')),
    sender_ended  boolean not null default false,             -- the sender itself saw its exchange end
    adopted       boolean not null default false,             -- found by look-up or list, not from the sender's answer
    replays       integer not null default 0,                 -- committed before each replay is sent
    http_status   smallint, provider_job_id text, provider_request_id text, answer text,
    sent_at       timestamptz not null default now(),         -- the intent's time: no proof of sending
    ended_at      timestamptz,
    primary key (run_id, n)
);
-- THE invariant: at most one submission of a run may be, or have been, paid for.
create unique index submit_attempts_one_live on submit_attempts (run_id) where outcome in ('pending', 'accepted', 'unknown');
create index submit_attempts_by_job on submit_attempts (credential_id, provider_job_id) where provider_job_id is not null;

create table artifacts (
    run_id uuid not null references runs on delete cascade, name text not null, idx integer not null,
    tenant_id uuid not null,
    object_key text not null,                                 -- one per fetch, so bytes under a key never change
    sha256 bytea not null, bytes bigint not null, content_type text not null,
    created_at timestamptz not null default now(), delete_after timestamptz,
    deleted_at timestamptz, removed_at timestamptz,           -- no longer served; an hour later the object goes
    primary key (run_id, name, idx)
);
create index artifacts_by_object on artifacts (object_key);   -- cached runs share objects
create index artifacts_sweep on artifacts (delete_after) where deleted_at is null;
create index artifacts_removal on artifacts (deleted_at) where deleted_at is not null and removed_at is null;

create table run_events (                                     -- seq comes from run_states.event_seq: in order, no gap, per run
    run_id uuid not null, seq integer not null, at timestamptz not null default now(), tenant_id uuid not null,
    kind text not null, body jsonb not null default '{}', primary key (run_id, seq, at)
) partition by range (at);
create table run_events_default partition of run_events default;          -- midnight never stops the house
-- The coming week, one partition a day; asked at each tick, and nothing is done when all are there. A day that the default
-- partition already holds rows of stays there. Runs with the owner's rights: workers may not create tables.
create function run_events_prepare() returns integer language plpgsql security definer
    set search_path = public, pg_temp set timezone = 'UTC' as $$
declare
    d date;
    t text;
    made integer := 0;
begin
    if not pg_try_advisory_xact_lock(hashtext('run_events_prepare')) then return 0; end if;
    perform set_config('lock_timeout', '500ms', true);
    for d in select generate_series(current_date - 1, current_date + 7, interval '1 day')::date loop
        t := 'run_events_' || to_char(d, 'YYYYMMDD');
        continue when to_regclass(t) is not null;
        begin
            execute format('create table %I (like run_events including all)', t);
            execute format('alter table run_events attach partition %I for values from (%L) to (%L)', t, d, d + 1);
            made := made + 1;
        exception when check_violation or lock_not_available or duplicate_table or invalid_object_definition then
            null;                                             -- the next tick, or never
        end;
    end loop;
    return made;
end $$;
revoke execute on function run_events_prepare() from public;
select run_events_prepare();

-- What must happen after a commit and may be repeated: callbacks out, cancel and cleanup at the provider.
create table outbox (
    outbox_id uuid primary key default gen_random_uuid(),     -- the webhook-id
    run_id uuid not null references runs on delete cascade, tenant_id uuid not null,
    kind text not null constraint outbox_kind check (kind in ('callback', 'cancel', 'cleanup')),
    event_seq integer not null, event text not null, url text, payload jsonb not null default '{}',
    attempts integer not null default 0, next_at timestamptz not null default now(),
    done_at timestamptz, gave_up_at timestamptz, last_status smallint, last_error text,
    created_at timestamptz not null default now(),
    constraint outbox_once unique (run_id, kind, event_seq)
) with (fillfactor = 70);
create index outbox_due on outbox (next_at) where done_at is null and gave_up_at is null;

-- Stored before anything else is done with it; matched when the job id is known.
create table webhook_receipts (
    receipt_id uuid primary key, provider_id uuid not null, run_id uuid,
    dedup bytea not null, provider_job_id text, verified boolean not null, headers jsonb not null, body bytea not null,
    received_at timestamptz not null default now(), applied_at timestamptz,
    constraint webhook_receipts_once unique (provider_id, dedup),
    constraint webhook_receipts_small check (octet_length(body) <= 262144)
);
create index webhook_receipts_open on webhook_receipts (provider_id, provider_job_id) where applied_at is null;

create table inputs (                                         -- uploads; kept while an unended run names them
    input_id uuid primary key, tenant_id uuid not null references tenants, object_key text not null, sha256 bytea not null,
    bytes bigint not null, content_type text not null, filename text,
    created_at timestamptz not null default now(), delete_after timestamptz not null
);
create table run_inputs (run_id uuid references runs on delete cascade, input_id uuid references inputs, primary key (run_id, input_id));
create index run_inputs_by_input on run_inputs (input_id);
create table used_idempotency_keys (                          -- outlives the deletion of its run
    tenant_id uuid not null references tenants, idempotency_key text not null, request_sha256 bytea not null, run_id uuid not null,
    forget_after timestamptz not null, primary key (tenant_id, idempotency_key)
);
create table result_cache (                                   -- per tenant and credential; per-run values are left out of the hash
    tenant_id uuid not null, credential_id uuid not null, revision_id bytea not null, request_sha256 bytea not null,
    run_id uuid not null references runs on delete cascade, primary key (tenant_id, credential_id, revision_id, request_sha256)
);
create table audit_log (
    at timestamptz not null default now(), tenant_id uuid, actor text not null, action text not null, object text not null,
    before jsonb, after jsonb, primary key (at, object, action)
);

