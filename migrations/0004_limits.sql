-- Limits and use: apart from the rows they belong to, for they are hot.

create table credential_limits (
    credential_id uuid primary key references provider_api_credentials on delete cascade,
    tat           timestamptz not null default '-infinity',   -- requests per minute (GCRA: theoretical arrival time)
    day           date not null default current_date, day_used integer not null default 0,
    paused_until  timestamptz, paused_why text
) with (fillfactor = 20);
-- A claim locks this row, so a credential without one would never be served.
create function credential_limits_born() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into credential_limits (credential_id) values (new.id) on conflict do nothing;
    return null;
end $$;
create trigger provider_api_credentials_limits_born after insert on provider_api_credentials
    for each row execute function credential_limits_born();

create table tenant_limits (
    tenant_id uuid primary key references tenants, max_in_flight integer, max_queued integer,
    runs_per_day integer, spend_per_month numeric(18, 6)
);
create table tenant_usage (                                   -- estimate reserved before, cost after
    tenant_id uuid not null references tenants, month date not null, runs bigint not null default 0,
    reserved numeric(18, 6) not null default 0, spent numeric(18, 6) not null default 0,
    primary key (tenant_id, month)
) with (fillfactor = 20);
