-- Limits: who is served next, what a tenant may have and spend, and what it has spent.

-- A credential with one free place gives it to the tenant behind the one that had the last.
alter table credential_limits add column last_tenant uuid;

-- A run that prepares will be sent: it has its slot from the claim on.
drop index run_states_slots;
create index run_states_slots on run_states (credential_id) where state in ('preparing', 'submitting', 'submit_unknown', 'polling');
drop index run_states_tenant_slots;
create index run_states_tenant_slots on run_states (tenant_id) where state in ('preparing', 'submitting', 'submit_unknown', 'polling');
create index run_states_tenant_open on run_states (tenant_id) where ended_at is null;

-- The price by the model's list when the run was made; absent: it has none. Never updated, as all of the row.
alter table runs
    add column cost         numeric(18, 6) constraint runs_cost check (cost >= 0),
    add column currency     text,
    add column budget_month date,                             -- of which budget; absent: the tenant had none
    add constraint runs_cost_in_a_currency check ((cost is null) = (currency is null) and (budget_month is null or cost is not null));

alter table tenant_limits
    add column over_limit text not null default 'refuse' constraint tenant_limits_over check (over_limit in ('refuse', 'queue')),
    add column currency   text not null default 'USD',        -- of `spend_per_month`
    add constraint tenant_limits_positive check (max_in_flight >= 0 and max_queued >= 0 and runs_per_day >= 0 and spend_per_month >= 0);

-- Counted for tenants with limits, under the lock of their row in `tenant_limits`; for others it is read from the runs.
create table tenant_days (                                    -- runs made for a day (UTC); one that waits for tomorrow is tomorrow's
    tenant_id uuid not null references tenants, day date not null, runs integer not null,
    primary key (tenant_id, day)
) with (fillfactor = 50);
drop table tenant_usage;
create table tenant_usage (                                   -- estimate reserved before, cost after
    tenant_id uuid not null references tenants, month date not null, currency text not null,
    reserved numeric(18, 6) not null default 0, spent numeric(18, 6) not null default 0,
    primary key (tenant_id, month, currency)
) with (fillfactor = 50);

-- Whoever ends a run, and whoever opens it again: what was reserved is spent, unless nothing was. In one place, so that no
-- statement can forget it.
create function run_states_budget() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update tenant_usage t set
        reserved = t.reserved - case when new.ended_at is null then -r.cost else r.cost end,
        spent = t.spent + case when new.ended_at is not null and new.spent <> 'none' then r.cost
                               when new.ended_at is null and old.spent <> 'none' then -r.cost else 0 end
    from runs r
    where r.run_id = new.run_id and r.budget_month is not null
      and t.tenant_id = r.tenant_id and t.month = r.budget_month and t.currency = r.currency;
    return null;
end $$;
create trigger run_states_budget after update of ended_at on run_states
    for each row when ((old.ended_at is null) <> (new.ended_at is null)) execute function run_states_budget();

do $$
declare t text;
begin
    foreach t in array array['tenant_days', 'tenant_usage'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format('create policy own_rows on %I to modelrow_api using (tenant_id = (select
            nullif(current_setting(''modelrow.tenant'', true), '''')::uuid))', t);
        execute format('create policy all_rows on %I to modelrow_worker using (true)', t);
    end loop;
end $$;
grant select, insert, update, delete on tenant_days, tenant_usage to modelrow_worker;
grant select on tenant_days, tenant_usage to modelrow_api;
