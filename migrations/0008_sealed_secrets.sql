-- A secret is a reference or it is sealed; plain text cannot be written into either column. Rows that were there before
-- are judged when they are next written.
--
-- Sealed: version 1, the length of its key's id, the id, a nonce of 12 bytes, the ciphertext with its tag of 16 bytes.
alter table provider_api_credentials
    add constraint provider_api_credentials_secret_sealed check (secret is null or case
        when octet_length(secret) not between 32 and 70000 or get_byte(secret, 0) <> 1 then false
        when get_byte(secret, 1) not between 1 and 32 or octet_length(secret) < 31 + get_byte(secret, 1) then false
        else encode(substring(secret from 3 for get_byte(secret, 1)), 'escape') ~ '^[A-Za-z0-9_-]+$' end) not valid,
    add constraint provider_api_credentials_secret_referred check (secret_ref ~ '^(env:[A-Za-z0-9_]+|file:.+)$') not valid;

-- Which key a secret is sealed under; null: it is not sealed.
create function sealed_under(secret bytea) returns text language sql immutable parallel safe as $$
    select case when octet_length(secret) > 2 then encode(substring(secret from 3 for get_byte(secret, 1)), 'escape') end
$$;
grant execute on function sealed_under(bytea) to modelrow_api, modelrow_worker;
