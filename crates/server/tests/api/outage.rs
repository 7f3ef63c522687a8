//! The API while the database is away.

use crate::fixture::{answer, key};
use axum::Router;
use runtime::{Modelrow, Options, Role, Work};
use server::Access;
use std::time::Duration;
use store::embedded::{self, Embedded};
use store::{DEFAULT_TENANT, Store};

/// A database that this test can take away.
async fn database(folder: &std::path::Path) -> Embedded {
    let found = embedded::Options::default_for_user(|name| std::env::var_os(name)).unwrap();
    let options = embedded::Options {
        data_dir: folder.join("data"),
        fsync: false,
        ..found
    };
    tokio::task::spawn_blocking(move || Embedded::start(&options, &mut |_| {}).unwrap())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthz_never_asks_postgres_and_other_calls_say_that_it_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path()).await;
    Store::migrate(&database.owner_url()).await.unwrap();
    let mut options = Options::new(database.url(), folder.path().join("artifacts"));
    options.work = Work::No;
    let modelrow = Modelrow::start(options).await.unwrap();
    let key = key(&modelrow, DEFAULT_TENANT, Role::Caller).await;
    let ops = server::ops::router(modelrow.clone());
    let app: Router = server::router(modelrow, Access::Keys);
    assert_eq!(answer(&ops, "/readyz", "").await.status.as_u16(), 200);
    tokio::task::spawn_blocking(move || database.stop(Duration::from_secs(10)).unwrap())
        .await
        .unwrap();

    let health = answer(&app, "/healthz", "").await;
    assert_eq!(
        (health.status.as_u16(), health.body.as_slice()),
        (200, &b"ok\n"[..])
    );
    assert_eq!(answer(&ops, "/healthz", "").await.status.as_u16(), 200);
    let ready = answer(&ops, "/readyz", "").await;
    assert_eq!(ready.status.as_u16(), 503);
    assert_ne!(ready.body.as_slice(), b"ready\n");
    let metrics = String::from_utf8(answer(&ops, "/metrics", "").await.body).unwrap();
    assert!(metrics.contains("\nmodelrow_database_up 0\n"), "{metrics}");
    let run = answer(&app, "/v1/runs/018f0000-0000-7000-8000-000000000000", &key).await;
    assert_eq!(run.problem(), (503, "S120".to_owned()));
    assert_eq!(run.header("retry-after"), "5");
    assert!(
        run.json()["errors"][0].get("pointer").is_none(),
        "nothing in the call is wrong"
    );
}
