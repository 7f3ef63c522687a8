-- What belongs to a run is seen with its run. `run_id in (select run_id from runs)` made a list of all of a tenant's runs
-- for each look at one of them; a look by the key is one into an index, however many runs there are. Not `exists`: of that, too,
-- the planner may make a list.

alter policy of_its_run on submit_attempts using ((select true from runs r where r.run_id = submit_attempts.run_id));
alter policy of_its_run on run_inputs using ((select true from runs r where r.run_id = run_inputs.run_id));
alter policy of_its_row on outbox_attempts using ((select true from outbox o where o.outbox_id = outbox_attempts.outbox_id));
