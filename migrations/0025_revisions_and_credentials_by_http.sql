-- Which revisions served of a profile, and what became of credentials.

-- One row for each revision that ever served of a profile for a model ('': calls without one), with the time when it began to last.
create table profile_revisions (
    profile_id  uuid not null references model_api_profiles on delete cascade,
    model       text not null default '',
    revision_id bytea not null references revisions,
    first_served_at timestamptz not null default now(),
    served_since timestamptz not null default clock_timestamp(),
    primary key (profile_id, model, revision_id)
);
create index profile_revisions_by_time on profile_revisions (profile_id, served_since desc);
grant select, insert, update, delete on profile_revisions to modelrow_worker;
grant select on profile_revisions to modelrow_api;
do $$
begin
    alter table profile_revisions enable row level security;
    alter table profile_revisions force row level security;
    create policy of_its_profile on profile_revisions to modelrow_api using (profile_id in (select id from model_api_profiles));
    create policy all_rows on profile_revisions to modelrow_worker using (true);
end $$;

-- A tenant's admin pauses its credentials too, and ends no pause of an operator.
alter table pauses add column by_operator boolean not null default true;

-- Beside the pauses, for they are hot too. The use is to the minute: a credential is written once in it, however much it is used.
alter table credential_limits add column last_used_at timestamptz,
    add column last_refused_at timestamptz, add column last_refused_why text;
