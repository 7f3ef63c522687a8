-- One run as the worker writes it, one client for each: the same tables, transactions and row writes, and nothing else.
\set n random(1, 1000000000000000)
begin;
insert into runs (run_id, tenant_id, request_sha256, purpose, revision_id, request)
    values (md5(:n::text)::uuid, :tenant::uuid, sha256('call'), 'video', decode(:revision, 'hex'),
            '{"prompt": "a cat that plays the piano", "params": {"life_ms": 0}}');
insert into run_states (run_id, tenant_id, credential_id, revision_id, state)
    values (md5(:n::text)::uuid, :tenant::uuid, :credential::uuid, decode(:revision, 'hex'), 'queued');
end;
begin;
select * from run_states s join runs r using (run_id) where s.run_id = md5(:n::text)::uuid for update of s skip locked;
with att as (
    insert into submit_attempts (run_id, n, token, revision_id, credential_id, endpoint, request_sha256, drawn, worker_id)
    select s.run_id, 1, gen_random_uuid(), s.revision_id, s.credential_id, 'http://127.0.0.1/v1', sha256('request'), '{}', md5('worker')::uuid
    from run_states s where s.run_id = md5(:n::text)::uuid and s.state = 'queued'
    on conflict do nothing returning run_id, n)
update run_states s set state = 'submitting', ver = s.ver + 1, worker_id = md5('worker')::uuid, attempt = att.n, spent = 'maybe'
from att where s.run_id = att.run_id and s.state = 'queued' returning s.run_id, s.ver;
end;
with att as (
    update submit_attempts set outcome = 'accepted', sender_ended = true, provider_job_id = 'video_' || :n, http_status = 200, ended_at = now()
    where run_id = md5(:n::text)::uuid and n = 1 and outcome in ('pending', 'unknown') returning run_id),
st as (
    update run_states s set state = 'polling', ver = s.ver + 1, shard = 1, worker_id = null, endpoint = 'http://127.0.0.1/v1',
        provider_job_id = 'video_' || :n, captured = jsonb_build_object('job_id', 'video_' || :n, 'ticket', repeat('t', 300)), spent = 'yes',
        accepted_at = now(), deadline_at = now() + interval '1 hour', give_up_at = now() + interval '1 day', event_seq = s.event_seq + 1
    from att where s.run_id = att.run_id and s.attempt = 1 and s.state = 'submitting'
    returning s.run_id, s.tenant_id, s.ver, s.event_seq),
ev as (insert into run_events (run_id, seq, tenant_id, kind, body)
       select run_id, event_seq, tenant_id, 'accepted', jsonb_build_object('job', 'video_' || :n) from st)
select ver from st;
update run_states set state = 'fetching', ver = ver + 1 where run_id = md5(:n::text)::uuid and state = 'polling' returning ver;
insert into artifacts (run_id, name, idx, tenant_id, object_key, sha256, bytes, content_type, delete_after)
    select md5(:n::text)::uuid, 'video', 0, tenant_id, 'run/video.0/' || :n, sha256('file'), 100000, 'video/mp4', now() + interval '30 days'
    from run_states where run_id = md5(:n::text)::uuid on conflict (run_id, name, idx) do nothing;
with st as (
    update run_states s set state = 'succeeded', ver = s.ver + 1, ended_at = now(), shard = null, worker_id = null, event_seq = s.event_seq + 1,
        captured = jsonb_build_object('job_id', 'video_' || :n, 'ticket', repeat('t', 300), 'status', 'completed')
    where s.run_id = md5(:n::text)::uuid and s.state = 'fetching' returning s.run_id, s.tenant_id, s.event_seq, s.ver),
ev as (insert into run_events (run_id, seq, tenant_id, kind, body) select run_id, event_seq, tenant_id, 'succeeded', '{}' from st)
select ver from st;
