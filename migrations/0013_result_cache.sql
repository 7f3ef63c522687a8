-- Results that serve the same request again. `result_cache` itself is of 0005: per tenant, credential, revision and request.

alter table tenants add column cache boolean not null default false;     -- for calls that do not say
-- Who calls is told within a second, as of every row of the catalogue.
create trigger tenants_cache_changed after insert or update of cache on tenants
    for each statement execute function catalogue_changed();

alter table runs
    add column cache_key bytea,                               -- of the requests, without per-run values; absent: its result serves nobody else
    add column cache_of  uuid,                                -- the run whose result this one was given; no foreign key: it may be forgotten
    add constraint runs_cached_is_free check (cache_of is null or (cost is null and budget_month is null));

create index result_cache_by_run on result_cache (run_id);    -- erased runs, and those that are forgotten
