-- Callbacks out: what they are signed with, which of them a caller wants, and every attempt with its answer.

-- Sealed as the secrets of credentials are. The current one has no end; the one before it signs too, until its end.
create table webhook_secrets (
    webhook_secret_id uuid primary key,
    tenant_id  uuid not null references tenants,
    secret     bytea not null constraint webhook_secrets_sealed check (octet_length(secret) between 32 and 70000 and get_byte(secret, 0) = 1),
    created_at timestamptz not null default now(),
    expires_at timestamptz
);
create unique index webhook_secrets_one_current on webhook_secrets (tenant_id) where expires_at is null;

-- A repeated delivery begins a new day of attempts under the same id.
alter table outbox add column resent_at timestamptz;
create index outbox_by_time on outbox (created_at desc, outbox_id desc) where kind = 'callback';
create index outbox_by_tenant on outbox (tenant_id, created_at desc, outbox_id desc) where kind = 'callback';

create table outbox_attempts (
    outbox_id uuid not null references outbox on delete cascade,
    n         integer not null,
    at        timestamptz not null default now(),
    took_ms   integer,
    status    smallint,                                       -- absent: no answer
    answer    text constraint outbox_attempts_answer check (char_length(answer) <= 1000),
    error     text constraint outbox_attempts_error check (char_length(error) <= 1000),
    primary key (outbox_id, n)
);

-- Whatever statement ends a run writes its callback; this keeps those that the caller asked for. In one place, so that none
-- can forget it. Progress is told on request only.
create function outbox_wanted() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare events jsonb;
begin
    events := (select r.request -> 'callback' -> 'events' from runs r where r.run_id = new.run_id);
    if jsonb_typeof(events) = 'array' then
        return case when events ? new.event then new end;
    end if;
    return case when new.event <> 'run.progress' then new end;
end $$;
create trigger outbox_wanted before insert on outbox for each row when (new.kind = 'callback') execute function outbox_wanted();

-- Held runs are counted by whoever looks; there are none in an ordinary house.
create index run_states_held on run_states (run_id) where held;

do $$
begin
    alter table webhook_secrets enable row level security;
    alter table webhook_secrets force row level security;
    create policy all_rows on webhook_secrets to modelrow_worker using (true);
    alter table outbox_attempts enable row level security;
    alter table outbox_attempts force row level security;
    create policy of_its_row on outbox_attempts to modelrow_api using (outbox_id in (select outbox_id from outbox));
    create policy all_rows on outbox_attempts to modelrow_worker using (true);
end $$;
grant select, insert, update, delete on webhook_secrets, outbox_attempts to modelrow_worker;
grant select on outbox_attempts to modelrow_api;
