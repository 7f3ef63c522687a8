//! Migrations, roles, row security, partitions.

use super::house::{House, database};
use crate::{ConnectOptions, Store, StoreError};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

pub(super) async fn run(url: &str, sql: &str) -> Result<(), String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let done = connection
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())))
        .await;
    done.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn migrations_may_run_twice_and_by_an_ordinary_owner() {
    let database = database().await;
    Store::migrate(&database.owner_url).await.unwrap();
    let store = Store::connect(&database.owner_url, ConnectOptions::default())
        .await
        .unwrap();
    store.ready().await.unwrap();
    store.close().await;
    run(&database.owner_url, "do $$ begin assert not (select rolsuper or rolbypassrls from pg_roles where rolname = current_user); end $$")
        .await
        .unwrap();
}

/// Expand and contract: what a newer build has added stands in nobody's way.
#[tokio::test]
async fn an_older_build_works_on_the_schema_of_a_newer_one_and_takes_nothing_of_it_back() {
    let database = database().await;
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'of tomorrow', true, '', 0);
                 alter table run_states add column of_tomorrow text not null default 'x';
                 create table of_tomorrow (id uuid primary key)";
    run(&database.owner_url, newer).await.unwrap();
    Store::migrate(&database.owner_url).await.unwrap();
    let store = Store::connect(&database.url, ConnectOptions::default())
        .await
        .unwrap();
    store.ready().await.unwrap();
    store.close().await;
    run(
        &database.owner_url,
        "select of_tomorrow from run_states; select id from of_tomorrow",
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn an_older_database_is_refused_by_the_number_it_lacks() {
    let database = database().await;
    run(
        &database.owner_url,
        "delete from _sqlx_migrations where version = 6",
    )
    .await
    .unwrap();
    let refused = Store::connect(&database.url, ConnectOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, StoreError::NotMigrated { missing: 6 }),
        "{refused:?}"
    );
    run(&database.owner_url, "drop table _sqlx_migrations")
        .await
        .unwrap();
    let refused = Store::connect(&database.url, ConnectOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, StoreError::NotMigrated { missing: 1 }),
        "{refused:?}"
    );
    assert_eq!(refused.diagnostic("DATABASE_URL").code, diag::Code::S121);
    let refused = Store::connect("no address", ConnectOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::BadAddress(_)), "{refused:?}");
}

/// However many runs a tenant has: a list of them would be made anew for each look.
#[tokio::test]
async fn what_belongs_to_one_run_is_seen_by_one_look_at_its_run() {
    let house = House::new().await;
    for (table, key) in [
        ("submit_attempts", "run_id"),
        ("run_inputs", "run_id"),
        ("outbox_attempts", "outbox_id"),
    ] {
        let nobody = Uuid::nil();
        let sql = format!(
            "begin; set local role modelrow_api; do $$ declare line text; begin
                 for line in explain select {key} from {table} where {key} = '{nobody}' loop
                     assert line not like '%hashed SubPlan%', line;
                 end loop;
             end $$; rollback"
        );
        house.sql(&sql).await;
    }
}

#[tokio::test]
async fn a_query_that_forgets_its_tenant_finds_nothing() {
    let house = House::new().await;
    let id = house.queue(1).await;
    house
        .sql(
            "begin; set local role modelrow_api; do $$ begin
                 assert (select count(*) from runs) = 0 and (select count(*) from artifacts) = 0, 'forgot its tenant';
                 perform set_config('modelrow.tenant', '00000000-0000-0000-0000-000000000002', true);
                 assert (select count(*) from runs) = 1, 'with it, its own';
                 assert (select count(*) from ai_providers) = 1, 'and the system''s rows';
                 update ai_providers set name = 'mine';
                 assert not found, 'which it cannot write';
             end $$; rollback",
        )
        .await;
    let stranger = Uuid::from_u128(8);
    assert!(house.store.run(stranger, id).await.unwrap().is_none());
    assert!(
        house
            .store
            .run_cancel(stranger, id)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        house
            .store
            .events(stranger, id, 0, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(house.store.run(house.tenant, id).await.unwrap().is_some());
    assert_eq!(house.store.attempts(id).await.unwrap().len(), 0);
}

#[tokio::test]
async fn callers_reach_no_answers_limits_workers_or_other_tables_without_a_tenant() {
    let house = House::new().await;
    for table in [
        "workers",
        "shards",
        "credential_limits",
        "revisions",
        "webhook_receipts",
        "hook_key",
        "api_key_hash_key",
        "link_keys",
        "database_identity",
    ] {
        let refused = run(
            &house.database.url,
            &format!("set role modelrow_api; select * from {table}"),
        )
        .await
        .unwrap_err();
        assert!(refused.contains("permission denied"), "{table}: {refused}");
    }
    for statement in [
        "select answer from submit_attempts",
        "select key_hash from api_keys",
        "update api_keys set role = 'admin'",
        "delete from api_keys",
        "insert into audit_log (actor, action, object) values ('x', 'y', 'z')",
        "insert into tenants (slug) values ('sly')",
    ] {
        let refused = run(
            &house.database.url,
            &format!("set role modelrow_api; {statement}"),
        )
        .await
        .unwrap_err();
        assert!(
            refused.contains("permission denied"),
            "{statement}: {refused}"
        );
    }
    let foreign = "set role modelrow_api; set modelrow.tenant = '00000000-0000-0000-0000-000000000002';
                   insert into ai_providers (slug, api_base_url) values ('sly', 'https://acme.test')";
    let refused = run(&house.database.url, foreign).await.unwrap_err();
    assert!(refused.contains("row-level security"), "{refused}");
}

#[tokio::test]
async fn event_partitions_are_made_ahead_by_the_ordinary_role_and_midnight_stops_nobody() {
    let house = House::new().await;
    assert_eq!(house.store.events_prepare().await.unwrap(), 0, "all there");
    let id = house.queue(1).await;
    run(&house.database.owner_url, "do $$ declare t text; begin
            for t in select inhrelid::regclass::text from pg_inherits where inhparent = 'run_events'::regclass loop
                if t <> 'run_events_default' then execute 'drop table ' || t; end if;
            end loop; end $$")
        .await
        .unwrap();
    assert_eq!(
        house
            .store
            .event_append(id, "note", &json!({"n": 1}))
            .await
            .unwrap(),
        Some(1)
    );
    assert_eq!(
        house.store.events_prepare().await.unwrap(),
        8,
        "today's rows keep their place in the default partition"
    );
    assert_eq!(
        house
            .store
            .event_append(id, "note", &json!({"n": 2}))
            .await
            .unwrap(),
        Some(2)
    );
    assert_eq!(
        house.store.events(house.tenant, id, 1, 9).await.unwrap()[0].body,
        json!({"n": 2})
    );
}

#[tokio::test]
async fn a_migration_that_stops_hands_on_the_servers_own_hint() {
    let house = House::new().await;
    // Shadows the membership check of migration 6 by an exact match of its types.
    let sql = "delete from _sqlx_migrations where version = 6;
               create function pg_has_role(text, text, text) returns boolean language plpgsql as $$
                   begin raise exception 'no' using hint = 'ask the administrator'; end $$";
    run(&house.database.owner_url, sql).await.unwrap();
    let stopped = Store::migrate(&house.database.owner_url).await.unwrap_err();
    assert_eq!(
        (stopped.code(), stopped.help().as_str()),
        (diag::Code::S122, "ask the administrator")
    );
}
