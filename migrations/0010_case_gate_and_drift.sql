-- Recorded cases keep their text: the order of members and the spelling of numbers are part of what a replay compares.
-- (Both types take each other's values, so the code before this migration goes on.)
alter table profile_cases alter column document type json using document::json;

-- What the replay of a profile's cases came to, and for which state of rows, cases and program: it is not repeated.
alter table profile_statuses add column cases_key bytea, add column cases_found jsonb;

-- What answers had and the profile did not know. Words of the provider only, no content of calls; bounded by the writer.
create table profile_drift (
    revision_id bytea not null references revisions,
    kind        text not null constraint profile_drift_kind check (kind in ('status', 'error', 'member')),
    step        text not null,                                -- whose answer it was; `submit` for the transport's own
    word        text not null constraint profile_drift_word check (char_length(word) between 1 and 256),
    seen        bigint not null default 1,                    -- runs
    first_seen  timestamptz not null default now(),
    last_seen   timestamptz not null default now(),
    run_id      uuid not null,                                -- one of them, the latest
    primary key (revision_id, kind, step, word)
);
grant select, insert, update, delete on profile_drift to modelrow_worker;
