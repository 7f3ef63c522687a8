-- Jobs that the memory of a worker held and no run of this database can follow: it went back to before the run was made, or
-- the run has gone another way since. They may be paid for. No keys to other tables: what they name may be gone as well.
create table orphaned_jobs (
    run_id          uuid not null,
    n               integer not null,                         -- the attempt
    tenant_id       uuid not null,
    credential_id   uuid not null,
    endpoint        text not null,
    provider_job_id text,                                     -- absent: nobody knows whether there is a job, or the answer was the result
    captured        jsonb,                                    -- what was known of it: an answer that was the result, values of its steps
    noted_at        timestamptz not null default now(),
    primary key (run_id, n)
);
grant select, insert, update, delete on orphaned_jobs to modelrow_worker;
