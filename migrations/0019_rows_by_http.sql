-- Rows of the profile language one by one: which there are, and who changed them.

-- Every row of every kind, by the names that a bundle has for their lists, and a key for people. Read with the rights of who asks.
create view row_index with (security_invoker = true) as
    select 'providers' as kind, r.id, r.tenant_id, r.slug as provider, r.slug as key, r.updated_at from ai_providers r
    union all
    select 'credentials', r.id, r.tenant_id, p.slug, p.slug || '/' || r.name, r.updated_at
    from provider_api_credentials r join ai_providers p on p.id = r.provider_id
    union all
    select 'auth_profiles', r.id, r.tenant_id, p.slug, concat_ws('/', p.slug, r.profile_key), r.updated_at
    from provider_auth_profiles r left join ai_providers p on p.id = r.provider_id
    union all
    select 'response_schemas', r.id, r.tenant_id, null, r.name || '/' || r.version, r.updated_at from response_schemas r
    union all
    select 'prompt_templates', r.id, r.tenant_id, null, r.name || '/' || r.version, r.updated_at from prompt_templates r
    union all
    select 'models', r.id, r.tenant_id, p.slug, p.slug || '/' || r.model_id, r.updated_at
    from ai_models r join ai_providers p on p.id = r.provider_id
    union all
    select 'profiles', r.id, r.tenant_id, p.slug, concat_ws('/', p.slug, r.profile_key, m.model_id), r.updated_at
    from model_api_profiles r join ai_providers p on p.id = r.provider_id left join ai_models m on m.id = r.model_id
    union all
    select 'routing_rules', r.id, r.tenant_id, p.slug, p.slug || '/' || coalesce(r.name, m.model_id), r.updated_at
    from model_routing_rules r join ai_models m on m.id = r.target_model_id join ai_providers p on p.id = m.provider_id;
grant select on row_index to modelrow_api, modelrow_worker;

-- A tenant reads the cases of the system's profiles, and writes those of its own.
drop policy of_its_profile on profile_cases;
create policy of_its_profile on profile_cases for select to modelrow_api
    using (profile_id in (select id from model_api_profiles));
create policy of_own_profile_new on profile_cases for insert to modelrow_api
    with check (profile_id in (select id from model_api_profiles
        where tenant_id = (select nullif(current_setting('modelrow.tenant', true), '')::uuid)));
create policy of_own_profile_changed on profile_cases for update to modelrow_api
    using (profile_id in (select id from model_api_profiles
        where tenant_id = (select nullif(current_setting('modelrow.tenant', true), '')::uuid)));
create policy of_own_profile_gone on profile_cases for delete to modelrow_api
    using (profile_id in (select id from model_api_profiles
        where tenant_id = (select nullif(current_setting('modelrow.tenant', true), '')::uuid)));

-- An address may carry a name and a password, or a key behind its `?`.
create or replace function without_userinfo(shown jsonb) returns jsonb language plpgsql immutable as $$
declare member text;
begin
    foreach member in array array['endpoint_url', 'api_base_url'] loop
        if shown ->> member is not null then
            shown := shown || jsonb_build_object(member, split_part(regexp_replace(shown ->> member, '//[^/]*@', '//***@'), '?', 1));
        end if;
    end loop;
    return shown;
end $$;

-- As in migration 16, for every row of the language too.
create or replace function audited() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    unseen constant text[] := array['key_hash', 'secret', 'updated_at', 'last_used_at'];
    was jsonb := to_jsonb(old) - unseen;
    becomes jsonb := to_jsonb(new) - unseen;
    any_row jsonb;
    owner uuid; provider text; noun text; name text;
begin
    if tg_table_name in ('provider_api_credentials', 'webhook_secrets') then
        was := was || jsonb_build_object('sealed_under', sealed_under(old.secret));
        becomes := becomes || jsonb_build_object('sealed_under', sealed_under(new.secret));
        if tg_op = 'UPDATE' and old.secret is distinct from new.secret then
            becomes := becomes || jsonb_build_object('secret_changed', true);
        end if;
    end if;
    if was = becomes then
        return null;
    end if;
    any_row := coalesce(becomes, was);
    owner := any_row ->> 'tenant_id';
    provider := (select p.slug from ai_providers p where p.id = (any_row ->> 'provider_id')::uuid);
    case tg_table_name
        when 'tenants' then noun := 'tenant'; name := any_row ->> 'slug';
        when 'api_keys' then noun := 'api_key'; name := any_row ->> 'api_key_id';
        when 'tenant_limits' then noun := 'limits'; name := any_row ->> 'tenant_id';
        when 'webhook_secrets' then noun := 'webhook_secret'; name := any_row ->> 'webhook_secret_id';
        when 'ai_providers' then noun := 'provider'; name := any_row ->> 'slug';
        when 'provider_auth_profiles' then noun := 'auth_profile'; name := concat_ws('/', provider, any_row ->> 'profile_key');
        when 'prompt_templates' then noun := 'prompt_template'; name := concat_ws('/', any_row ->> 'name', any_row ->> 'version');
        when 'response_schemas' then noun := 'response_schema'; name := concat_ws('/', any_row ->> 'name', any_row ->> 'version');
        when 'ai_models' then noun := 'model'; name := concat_ws('/', provider, any_row ->> 'model_id');
        when 'model_api_profiles' then noun := 'profile';
            name := concat_ws('/', provider, any_row ->> 'profile_key',
                (select m.model_id from ai_models m where m.id = (any_row ->> 'model_id')::uuid));
        when 'model_routing_rules' then noun := 'routing_rule'; name := any_row ->> 'id';
        when 'profile_cases' then noun := 'case';
            select p.tenant_id, concat_ws('/', v.slug, p.profile_key, m.model_id, any_row ->> 'name') into owner, name
            from model_api_profiles p join ai_providers v on v.id = p.provider_id left join ai_models m on m.id = p.model_id
            where p.id = (any_row ->> 'profile_id')::uuid;
            name := coalesce(name, any_row ->> 'name');           -- its profile went with it
        else noun := 'credential'; name := provider || '/' || (any_row ->> 'name');
    end case;
    insert into audit_log (tenant_id, actor, action, object, before, after)
    values (owner,
        coalesce(nullif(current_setting('modelrow.actor', true), ''), 'database role ' || session_user),
        noun || case tg_op when 'INSERT' then '.create' when 'DELETE' then '.delete' else '.change' end,
        noun || '/' || coalesce(name, any_row ->> 'id'), without_userinfo(was), without_userinfo(becomes));
    return null;
end $$;
do $$
declare t text;
begin
    foreach t in array array['ai_providers', 'provider_auth_profiles', 'prompt_templates', 'response_schemas', 'ai_models',
        'model_api_profiles', 'model_routing_rules', 'profile_cases'] loop
        execute format('create trigger %I after insert or update or delete on %I for each row execute function audited()',
            t || '_audited', t);
    end loop;
end $$;
