-- API keys in use, and who changed what.

-- The key of their hashes: one row, of 244 random bits. Another key makes every API key given away so far unknown; processes
-- read it when they start. Not `MODELROW_SECRET_KEY`: a process without that one still knows its callers.
create table api_key_hash_key (
    one boolean primary key default true check (one),
    key bytea not null constraint api_key_hash_key_long check (octet_length(key) >= 16)
);
insert into api_key_hash_key (key) values (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
grant select on api_key_hash_key to modelrow_worker;

alter table api_keys
    add column name text not null default '' constraint api_keys_name check (char_length(name) <= 100),
    add column created_by text not null default session_user,
    add column last_used_at timestamptz,                      -- to the minute: a key is written once in it, however much it is used
    add constraint api_keys_hash_is_sha256 check (octet_length(key_hash) = 32) not valid;
create index api_keys_by_tenant on api_keys (tenant_id, created_at desc, api_key_id desc);
alter table tenants add constraint tenants_slug_plain check (slug ~ '^[a-z0-9][a-z0-9_-]{0,62}$') not valid;

-- Callers read no hash. What they see of tenants is their own, and the system's, whose rows they inherit.
revoke all on api_keys from modelrow_api;
grant select (api_key_id, tenant_id, shown, name, role, expires_at, revoked_at, created_at, created_by, last_used_at),
    insert, update (revoked_at) on api_keys to modelrow_api;
do $$
begin
    alter table tenants enable row level security;
    alter table tenants force row level security;
    create policy own_and_system on tenants for select to modelrow_api using (is_system or tenant_id = (select
        nullif(current_setting('modelrow.tenant', true), '')::uuid));
    create policy all_rows on tenants to modelrow_worker using (true);
end $$;

-- Entries are added and never changed. Two of one object may be of one moment.
alter table audit_log drop constraint audit_log_pkey;
alter table audit_log add column audit_id uuid primary key default gen_random_uuid();
create index audit_log_by_time on audit_log (at desc, audit_id desc);
create index audit_log_by_tenant on audit_log (tenant_id, at desc, audit_id desc);
revoke update, delete on audit_log from modelrow_worker;
do $$
begin
    alter table audit_log enable row level security;
    alter table audit_log force row level security;
    create policy own_rows on audit_log for select to modelrow_api using (tenant_id = (select
        nullif(current_setting('modelrow.tenant', true), '')::uuid));
    create policy all_rows on audit_log to modelrow_worker using (true);
end $$;
grant select on audit_log to modelrow_api;

-- Whoever changes such a row, by whatever statement: the program names who asked in `modelrow.actor`, plain SQL is its role's.
-- No secret and no hash is among what is written: of a sealed secret it says under which key, and that it changed.
-- An address may carry a name and a password, or a key behind its `?`.
create function without_userinfo(shown jsonb) returns jsonb language sql immutable as $$
    select case when shown ->> 'endpoint_url' is null then shown
        else shown || jsonb_build_object('endpoint_url', split_part(regexp_replace(shown ->> 'endpoint_url', '//[^/]*@', '//***@'), '?', 1)) end
$$;
create function audited() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    unseen constant text[] := array['key_hash', 'secret', 'updated_at', 'last_used_at'];
    was jsonb := to_jsonb(old) - unseen;
    becomes jsonb := to_jsonb(new) - unseen;
    any_row jsonb;
    noun text; name text;
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
    case tg_table_name
        when 'tenants' then noun := 'tenant'; name := any_row ->> 'slug';
        when 'api_keys' then noun := 'api_key'; name := any_row ->> 'api_key_id';
        when 'tenant_limits' then noun := 'limits'; name := any_row ->> 'tenant_id';
        when 'webhook_secrets' then noun := 'webhook_secret'; name := any_row ->> 'webhook_secret_id';
        else noun := 'credential'; name := (select p.slug from ai_providers p where p.id = (any_row ->> 'provider_id')::uuid)
            || '/' || (any_row ->> 'name');
    end case;
    insert into audit_log (tenant_id, actor, action, object, before, after)
    values ((any_row ->> 'tenant_id')::uuid,
        coalesce(nullif(current_setting('modelrow.actor', true), ''), 'database role ' || session_user),
        noun || case tg_op when 'INSERT' then '.create' when 'DELETE' then '.delete' else '.change' end,
        noun || '/' || coalesce(name, any_row ->> 'id'), without_userinfo(was), without_userinfo(becomes));
    return null;
end $$;
do $$
declare t text;
begin
    foreach t in array array['tenants', 'api_keys', 'tenant_limits', 'provider_api_credentials', 'webhook_secrets'] loop
        execute format('create trigger %I after insert or update or delete on %I for each row execute function audited()',
            t || '_audited', t);
    end loop;
end $$;
