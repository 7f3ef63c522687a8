-- Whether a run may go on under its fallback: asked in the statement that writes why it must, so that both stand or neither.
create function run_may_fall_back(run uuid, revision bytea, credential uuid) returns boolean language sql stable as $$
    select exists (
        select 1 from run_states s join runs r using (run_id)
        join revisions v on v.revision_id = revision
        join provider_api_credentials k on k.id = credential and k.status = 'active'
        where s.run_id = run
          and s.cancel_requested_at is null               -- the caller wants nothing new
          and s.revision_id = r.revision_id               -- a fallback has no fallback
          and coalesce(r.start_by > now(), true)          -- nothing begins after it
          -- What may have been paid for unseen, and files that are kept, are of the model that ran.
          and not exists (select 1 from submit_attempts a where a.run_id = s.run_id and a.outcome = 'written_off')
          and not exists (select 1 from artifacts f where f.run_id = s.run_id))
$$;

-- Which model an attempt was sent to is for its caller to see.
grant select (revision_id) on submit_attempts to modelrow_api;
