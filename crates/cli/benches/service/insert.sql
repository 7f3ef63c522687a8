-- What `POST /v1/runs` writes, and nothing else: one transaction, synchronous commit.
\set n random(1, 1000000000000000)
begin;
insert into runs (run_id, tenant_id, request_sha256, purpose, revision_id, request)
    values (md5(:n::text)::uuid, :tenant::uuid, sha256('call'), 'embedding', decode(:revision, 'hex'),
            '{"call": {"prompt": "a cat that plays the piano", "params": {}}, "provider": "speed", "model": "recorded", "profile_key": "recorded", "metadata": {}}');
insert into run_states (run_id, tenant_id, credential_id, revision_id, state)
    values (md5(:n::text)::uuid, :tenant::uuid, :credential::uuid, decode(:revision, 'hex'), 'queued');
end;
