//! Databases that do not fit, each with its code.

use super::house::{House, database};
use crate::{ConnectOptions, State, Store};
use diag::Code;
use sqlx::{Connection as _, Executor as _, PgConnection};

async fn as_owner(url: &str, sql: &'static str) {
    let mut owner = PgConnection::connect(url).await.unwrap();
    owner.execute(sqlx::raw_sql(sql)).await.unwrap();
    owner.close().await.unwrap();
}

#[tokio::test]
async fn a_role_without_the_memberships_is_refused_with_the_grant_that_it_lacks() {
    let database = database().await;
    let make = "do $$ begin if not exists (select from pg_roles where rolname = 'acme_small') then
                    create role acme_small login; end if; end $$;
                grant select on _sqlx_migrations to acme_small";
    as_owner(&database.owner_url, make).await;
    let url = database.url.replacen("//modelrow@", "//acme_small@", 1);
    let refused = Store::connect(&url, ConnectOptions::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::S123, "{refused:?}");
    let help = refused.help();
    assert!(
        help.contains("grant modelrow_worker to \"acme_small\""),
        "{help}"
    );
}

#[test]
fn a_word_of_a_newer_program_is_told_with_its_column() {
    let refused = State::parse("dreaming").unwrap_err();
    assert_eq!(refused.code(), Code::S127);
    let text = refused.to_string();
    assert!(
        text.contains("run_states.state") && text.contains("dreaming"),
        "{text}"
    );
}

#[tokio::test]
async fn a_statement_that_no_later_try_will_change_is_told_apart_from_an_outage() {
    let house = House::new().await;
    let rename = "alter table provider_api_credentials rename to renamed";
    as_owner(&house.database.owner_url, rename).await;
    let refused = house.store.credential(house.credential).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.is_transient()),
        (Code::S129, false),
        "{refused:?}"
    );
}
