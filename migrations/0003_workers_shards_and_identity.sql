-- Who works, who follows which runs, and which database this is.

-- A changed timeline or identifier means that the database may have gone back in time (a lagging standby took over, a
-- backup was restored): the first worker to see it sets `held` on every live run, unless the operator has declared that
-- failover loses nothing. Where the server does not tell (some managed ones refuse these functions), both read
-- 'unknown' and nothing is ever noticed; a standby must then be synchronous.
create function database_identity_now(out timeline text, out system_identifier text) language plpgsql volatile as $$
begin
    begin
        timeline := substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
    exception when others then timeline := 'unknown';
    end;
    begin
        system_identifier := (select s.system_identifier::text from pg_control_system() s);
    exception when others then system_identifier := 'unknown';
    end;
end $$;
create table database_identity (
    one boolean primary key default true check (one),
    timeline text not null,
    system_identifier text not null,
    rewound_at timestamptz
);
insert into database_identity (timeline, system_identifier) select timeline, system_identifier from database_identity_now();

-- No index on a column that changes: every renewal is a HOT update.
create table workers (
    worker_id  uuid primary key,
    no         integer generated always as identity,          -- advisory lock (namespace, no), exact, no hash
    expires_at timestamptz not null,
    build      text not null, language integer not null, host text not null, started_at timestamptz not null default now()
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create table shards (
    shard smallint primary key constraint shards_range check (shard between 0 and 255),
    owner uuid,                                               -- no foreign key: a missing worker row means dead
    epoch bigint not null default 0
) with (fillfactor = 20);
insert into shards (shard) select generate_series(0, 255);
