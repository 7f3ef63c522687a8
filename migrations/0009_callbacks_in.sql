-- Callbacks in: what proves our addresses, and whose a stored callback is.

-- An address is proved by this key and not stored: one row, of 244 random bits. Another key makes every address given away
-- so far unknown; processes read it when they start.
create table hook_key (
    one boolean primary key default true check (one),
    key bytea not null constraint hook_key_long check (octet_length(key) >= 16)
);
insert into hook_key (key) values (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
grant select on hook_key to modelrow_worker;

-- Whose credentials the job was made with, where the callback came to the address that stays the same.
alter table webhook_receipts add column tenant_id uuid;
create index webhook_receipts_of_run on webhook_receipts (run_id, received_at) where run_id is not null;
create index webhook_receipts_age on webhook_receipts (received_at);
