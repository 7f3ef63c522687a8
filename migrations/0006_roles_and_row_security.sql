-- Row security: a query that forgets its tenant finds nothing.
--
-- Three roles. The *owner* runs the migrations; it needs no more than CREATEROLE, and not even that when an administrator
-- has created the two roles below. `modelrow_worker` sees every row; the program's login role is its member. Callers'
-- transactions `set local role modelrow_api` and see the tenant named in `modelrow.tenant`. Where one URL is all there
-- is (a managed PostgreSQL), its role may be owner and login role at once: row security is forced on the owner too.
-- A login role with another name than `modelrow` needs: grant modelrow_api, modelrow_worker to <role>.

do $$
declare r text; m text;
begin
    foreach r in array array['modelrow_api', 'modelrow_worker'] loop
        if not exists (select from pg_roles where rolname = r) then
            begin
                execute format('create role %I nologin', r);
            exception
                when duplicate_object or unique_violation then null;      -- another database's migration, just now
                when insufficient_privilege then
                    raise insufficient_privilege using
                        message = format('role "%s" is missing, and "%s" may not create roles', r, current_user),
                        hint = format('as an administrator: create role modelrow_api nologin; create role modelrow_worker nologin; '
                            'grant modelrow_api, modelrow_worker to %I with admin option', current_user);
            end;
        end if;
        foreach m in array array[current_user::text, 'modelrow'] loop
            continue when not exists (select from pg_roles where rolname = m);
            continue when pg_has_role(m, r, 'usage');
            begin
                execute format('grant %I to %I', r, m);
            exception when insufficient_privilege then
                raise insufficient_privilege using
                    message = format('role "%s" is not a member of "%s", and "%s" may not grant it', m, r, current_user),
                    hint = format('as an administrator: grant modelrow_api, modelrow_worker to %I', m);
            end;
        end loop;
    end loop;
end $$;

do $$
declare t text;
begin
    foreach t in array array['runs', 'run_states', 'artifacts', 'run_events', 'outbox', 'inputs', 'used_idempotency_keys',
        'result_cache', 'api_keys', 'tenant_limits', 'tenant_usage'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format('create policy own_rows on %I to modelrow_api using (tenant_id = (select
            nullif(current_setting(''modelrow.tenant'', true), '''')::uuid))', t);
        execute format('create policy all_rows on %I to modelrow_worker using (true)', t);
    end loop;
    foreach t in array array['ai_providers', 'provider_auth_profiles', 'prompt_templates', 'response_schemas', 'ai_models',
        'model_api_profiles', 'model_routing_rules', 'provider_api_credentials'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        -- Two policies, since `using` alone decides what may be updated and deleted: the system's rows are read, not written.
        execute format('create policy own_and_system on %I for select to modelrow_api using (tenant_id in (
            (select nullif(current_setting(''modelrow.tenant'', true), '''')::uuid), (select tenant_id from tenants where is_system)))', t);
        execute format('create policy own_rows on %I to modelrow_api using (tenant_id = (select
            nullif(current_setting(''modelrow.tenant'', true), '''')::uuid))', t);
        execute format('create policy all_rows on %I to modelrow_worker using (true)', t);
    end loop;
    -- Without a tenant of their own these follow the row they belong to.
    foreach t in array array['profile_statuses', 'profile_cases'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format('create policy of_its_profile on %I to modelrow_api using (profile_id in (select id from model_api_profiles))', t);
        execute format('create policy all_rows on %I to modelrow_worker using (true)', t);
    end loop;
    foreach t in array array['submit_attempts', 'run_inputs'] loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format('create policy of_its_run on %I to modelrow_api using (run_id in (select run_id from runs))', t);
        execute format('create policy all_rows on %I to modelrow_worker using (true)', t);
    end loop;
end $$;

grant select, insert, update, delete on all tables in schema public to modelrow_worker;
grant usage on all sequences in schema public to modelrow_worker;
grant execute on function run_events_prepare(), database_identity_now() to modelrow_worker;
-- Callers: tables that know their tenant, and of the rest what they must read.
grant select, insert, update, delete on runs, run_states, run_events, outbox, inputs, run_inputs, used_idempotency_keys, result_cache,
    api_keys, ai_providers, provider_auth_profiles, prompt_templates, response_schemas, ai_models, model_api_profiles,
    model_routing_rules, provider_api_credentials, profile_cases to modelrow_api;
grant select on tenants, tenant_limits, tenant_usage, artifacts, profile_statuses, profile_status, catalogue_version to modelrow_api;
-- What was sent, without the answers and what the rendering drew.
grant select (run_id, n, outcome, http_status, provider_job_id, provider_request_id, adopted, replays, sent_at, ended_at)
    on submit_attempts to modelrow_api;

-- The migrations' own table: the program reads whether all of them ran, and writes nothing there.
do $$
begin
    if to_regclass('_sqlx_migrations') is not null then
        revoke all on _sqlx_migrations from modelrow_worker;
        grant select on _sqlx_migrations to modelrow_worker;
    end if;
end $$;
