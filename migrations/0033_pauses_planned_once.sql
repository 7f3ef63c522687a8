-- As before, in a language that keeps its plan: a function in `sql` that cannot be inlined is planned anew by each statement
-- that calls it, and every run's claim does. That was 0.15 ms of the 0.35 ms of that statement.
create or replace function is_paused(of_credential uuid, of_tenant uuid) returns boolean language plpgsql stable as $$
begin
    return exists (
        select 1 from pauses p
        where (p.credential_id is null or p.credential_id = of_credential)
          and (p.tenant_id is null or p.tenant_id = of_tenant)
          and (p.provider is null or p.provider = (select i.slug from provider_api_credentials k
               join ai_providers i on i.id = k.provider_id where k.id = of_credential)));
end $$;
