-- Links that are good without an API key: what they are signed with.

-- Of HMAC-SHA-256, 244 random bits each. The newest signs, and each verifies as long as its row stands; they are read at each use,
-- so that a change holds at once, everywhere. To rotate: `insert into link_keys default values`, and delete the one before when its links
-- are over, or at once if it leaked: links to files live an hour at most, links to inputs as long as their runs.
create table link_keys (
    link_key_id integer generated always as identity primary key,
    key bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
        constraint link_keys_long check (octet_length(key) >= 32),
    created_at timestamptz not null default now()
);
insert into link_keys default values;
grant select, insert, delete on link_keys to modelrow_worker;
