-- What operators do: erase runs, pull the brake, look at workers.

-- An erased run is shown to nobody. Its row stays for as long as its idempotency key stays used, and its attempts with it: a job
-- that was somebody's must not be taken for a run whose outcome is unknown.
alter table run_states add column erased_at timestamptz;
alter table run_states add constraint run_states_erased_ended check (erased_at is null or ended_at is not null);
create index run_states_erased on run_states (erased_at) where erased_at is not null;
-- Lists over all tenants.
create index runs_by_time on runs (created_at desc, run_id desc);

-- The brake: what is named here starts no new submit. Polls and fetches go on. All three absent: everything.
create table pauses (
    pause_id      uuid primary key,
    provider      text,                                       -- `ai_providers.slug`, whosever row it is
    credential_id uuid references provider_api_credentials on delete cascade,
    tenant_id     uuid references tenants on delete cascade,
    reason        text not null constraint pauses_reason check (char_length(reason) between 1 and 500),
    paused_by     text not null,
    paused_at     timestamptz not null default now(),
    constraint pauses_one_scope check (num_nonnulls(provider, credential_id, tenant_id) <= 1),
    constraint pauses_once unique nulls not distinct (provider, credential_id, tenant_id)
);
grant select, insert, update, delete on pauses to modelrow_worker;

-- Whether a pause covers submits with this credential; with a tenant, also whether one covers that tenant.
create function is_paused(of_credential uuid, of_tenant uuid) returns boolean language sql stable as $$
    select exists (
        select 1 from pauses p
        where (p.credential_id is null or p.credential_id = of_credential)
          and (p.tenant_id is null or p.tenant_id = of_tenant)
          and (p.provider is null or p.provider = (select i.slug from provider_api_credentials k
               join ai_providers i on i.id = k.provider_id where k.id = of_credential)))
$$;

-- How late and how busy a worker is; written with the renewal of its lease, so that it costs no write of its own.
alter table workers add column report jsonb;
