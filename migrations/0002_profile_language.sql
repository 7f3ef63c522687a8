-- The profile language: its rows, their version, revisions and verdicts.
-- Columns of the language carry no checks of its own: a bad row is stored and reported with its diagnostics, while the
-- last good revision goes on serving. A row written by hand needs its natural key and its documents, nothing else.
-- Hot counters never stand in these tables: each write to one of them wakes every node.

create table ai_providers (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null default '00000000-0000-0000-0000-000000000001' references tenants,
    slug text not null, provider_family text, name text, api_base_url text not null,
    conventions jsonb not null default '{}', egress jsonb not null default '{}',
    status text not null default 'active', updated_at timestamptz not null default now(),
    constraint ai_providers_slug_unique unique (tenant_id, slug)
);
-- A provider without a secret has a credential row too (auth-less): queue, limits and pauses hang on it.
create table provider_api_credentials (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null default '00000000-0000-0000-0000-000000000001' references tenants,
    provider_id uuid not null references ai_providers,
    name text not null default 'default',
    secret bytea, secret_ref text, endpoint_url text, is_default boolean not null default false,
    rate_limit_per_minute integer, rate_limit_per_day integer, max_concurrent_jobs integer,
    status text not null default 'active', updated_at timestamptz not null default now(),
    constraint provider_api_credentials_name_unique unique (tenant_id, provider_id, name),
    constraint provider_api_credentials_one_secret check (secret is null or secret_ref is null),
    constraint provider_api_credentials_limits check (rate_limit_per_minute > 0 and rate_limit_per_day > 0 and max_concurrent_jobs > 0)
);
create unique index provider_api_credentials_one_default on provider_api_credentials (tenant_id, provider_id) where is_default;
create table provider_auth_profiles (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null default '00000000-0000-0000-0000-000000000001' references tenants,
    provider_id uuid references ai_providers,
    profile_key text not null, auth_type text not null, credential_id uuid references provider_api_credentials,
    config jsonb not null default '{}', updated_at timestamptz not null default now(),
    constraint provider_auth_profiles_key_unique unique nulls not distinct (tenant_id, provider_id, profile_key)
);
create table prompt_templates (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null default '00000000-0000-0000-0000-000000000001' references tenants,
    name text not null, purpose text, version integer not null default 1, body jsonb not null,
    updated_at timestamptz not null default now(),
    constraint prompt_templates_version_unique unique (tenant_id, name, version)
);
create table response_schemas (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null default '00000000-0000-0000-0000-000000000001' references tenants,
    name text not null, version integer not null default 1, strict boolean not null default true, schema jsonb not null,
    updated_at timestamptz not null default now(),
    constraint response_schemas_version_unique unique (tenant_id, name, version)
);
create table ai_models (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null default '00000000-0000-0000-0000-000000000001' references tenants,
    provider_id uuid not null references ai_providers,
    model_id text not null, name text, display_name text, model_type text not null, capabilities jsonb not null default '{}',
    prompt_template_id uuid references prompt_templates, response_schema_id uuid references response_schemas,
    is_default boolean not null default false, status text not null default 'active',
    updated_at timestamptz not null default now(),
    constraint ai_models_id_unique unique (tenant_id, provider_id, model_id)
);
create table model_api_profiles (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null default '00000000-0000-0000-0000-000000000001' references tenants,
    provider_id uuid not null references ai_providers,
    model_id uuid references ai_models, profile_key text not null, name text, purpose text not null,
    auth_profile_id uuid references provider_auth_profiles,
    transport jsonb not null default '{}', response_mapping jsonb not null default '{}', workflow jsonb not null default '{}',
    is_active boolean not null default true, updated_at timestamptz not null default now(),
    constraint model_api_profiles_key_unique unique nulls not distinct (tenant_id, provider_id, profile_key, model_id)
);
create table model_routing_rules (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null default '00000000-0000-0000-0000-000000000001' references tenants,
    name text, priority integer not null default 0,
    conditions jsonb not null default '{}', target_model_id uuid not null references ai_models,
    fallback_model_id uuid references ai_models, fallback_on text[] not null default '{}',
    updated_at timestamptz not null default now()
);
create table profile_cases (
    profile_id uuid not null references model_api_profiles on delete cascade,
    name text not null, document jsonb not null, primary key (profile_id, name)
);

-- One row, so that the number becomes visible exactly with the rows it announces (a sequence would not: a node could
-- read the new number before the commit and never look again).
create table catalogue_version (one boolean primary key default true check (one), v bigint not null) with (fillfactor = 20);
insert into catalogue_version (v) values (0);

-- Runs with the owner's rights, so that whoever may write a row announces it.
create function catalogue_changed() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update catalogue_version set v = v + 1;
    perform pg_notify('modelrow_catalogue', '');           -- a hint; the tick reads catalogue_version anyway
    return null;
end $$;

-- The latest `updated_at` is chosen among equals, so an edit by hand must move it.
create function touch_updated_at() returns trigger language plpgsql as $$
begin
    if new is distinct from old and new.updated_at = old.updated_at then new.updated_at := now(); end if;
    return new;
end $$;

do $$
declare t text;
begin
    foreach t in array array['ai_providers', 'provider_api_credentials', 'provider_auth_profiles', 'prompt_templates',
        'response_schemas', 'ai_models', 'model_api_profiles', 'model_routing_rules', 'profile_cases'] loop
        execute format('create trigger %I after insert or update or delete or truncate on %I
                        for each statement execute function catalogue_changed()', t || '_changed', t);
        if t <> 'profile_cases' then
            execute format('create trigger %I before update on %I for each row execute function touch_updated_at()', t || '_touched', t);
        end if;
    end loop;
end $$;

-- Immutable, content-addressed, never deleted by the program: a run in flight cannot lose its meaning.
create table revisions (
    revision_id bytea primary key constraint revisions_is_sha256 check (octet_length(revision_id) = 32),
    language    integer not null,                             -- language level it needs; older builds leave it alone
    content     jsonb not null,
    created_at  timestamptz not null default now()
);
-- What each language level made of a row: two builds side by side do not overwrite each other's verdict.
create table profile_statuses (
    profile_id  uuid not null references model_api_profiles on delete cascade, language integer not null,
    revision_id bytea references revisions,                   -- the last good one
    diagnostics jsonb not null default '[]', build text not null, checked_at timestamptz not null default now(),
    primary key (profile_id, language)
);
-- Read with the rights of who asks: a view that ran as its owner would show every tenant's rows.
create view profile_status with (security_invoker = true) as
    select p.tenant_id, v.slug as provider, p.profile_key, m.model_id as model, p.purpose, p.is_active,
           s.language, s.build, s.checked_at, encode(s.revision_id, 'hex') as serving,
           not s.diagnostics @> '[{"severity": "error"}]' as ok, s.diagnostics
    from model_api_profiles p
    join ai_providers v on v.id = p.provider_id
    left join ai_models m on m.id = p.model_id
    left join profile_statuses s on s.profile_id = p.id;
