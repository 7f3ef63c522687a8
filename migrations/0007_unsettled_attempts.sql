-- Who else may have made a job that a list shows: asked before such a job is adopted.
create index submit_attempts_unsettled on submit_attempts (credential_id) where outcome in ('pending', 'unknown', 'written_off');
