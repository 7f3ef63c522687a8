-- What nobody knows is counted for the gauges every few seconds: few rows among a hundred thousand that wait.

create index run_states_unknown on run_states (run_id) where state = 'submit_unknown';
