-- Tenants, and the keys of their callers.

create table tenants (
    tenant_id  uuid primary key default gen_random_uuid(),
    slug       text not null constraint tenants_slug_unique unique,
    is_system  boolean not null default false,
    created_at timestamptz not null default now()
);
create unique index tenants_one_system on tenants (is_system) where is_system;
-- Every tenant inherits the system tenant's rows; the default tenant is the one of a house that names none.
-- Both ids are fixed: column defaults and the program name them.
insert into tenants (tenant_id, slug, is_system) values
    ('00000000-0000-0000-0000-000000000001', 'system', true),
    ('00000000-0000-0000-0000-000000000002', 'default', false);

-- A key is 256 random bits, so a keyed hash is enough and costs a microsecond; a password hash would cost
-- 50 ms on every request and buy nothing.
create table api_keys (
    api_key_id uuid primary key default gen_random_uuid(),
    tenant_id  uuid not null references tenants,
    shown      text not null,                                 -- first characters, for people
    key_hash   bytea not null constraint api_keys_hash_unique unique,
    role       text not null constraint api_keys_role check (role in ('admin', 'caller', 'viewer')),
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null default now()
);
