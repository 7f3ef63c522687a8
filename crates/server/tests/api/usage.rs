//! `GET /v1/usage`, `GET /v1/limits`.

use crate::fixture::{House, answer, key};
use crate::video;
use axum::Router;
use runtime::{OverLimit, Role, TenantLimits};
use serde_json::{Value, json};
use store::DEFAULT_TENANT;

async fn asked(app: &Router, path: &str, key: &str) -> Value {
    let answer = answer(app, path, key).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_sees_what_it_used_what_is_left_and_until_when_and_nobody_elses() {
    let house = House::open().await;
    let limits = TenantLimits {
        max_in_flight: Some(4),
        max_queued: None,
        runs_per_day: Some(10),
        spend_per_month: Some("50".into()),
        currency: "USD".into(),
        over_limit: OverLimit::Queue,
    };
    let set = house
        .modelrow
        .set_limits(DEFAULT_TENANT, Some(&limits), "the test");
    set.await.unwrap();
    let made = house.create(&video("a cat"), &[]).await;
    assert_eq!(made.status.as_u16(), 202, "{made:?}");
    // Who may only look may look at this.
    let viewer = key(&house.modelrow, DEFAULT_TENANT, Role::Viewer).await;
    let app = server::router(house.modelrow.clone(), server::Access::Keys);
    let usage = asked(&app, "/v1/usage", &viewer).await;
    let counts = [
        "runs_today",
        "runs_this_month",
        "runs_in_flight",
        "cached_this_month",
    ];
    assert_eq!(
        counts.map(|name| &usage[name]),
        [1, 1, 1, 0].map(|n| json!(n)).each_ref()
    );
    let day_ends = usage["day_ends"].as_str().unwrap();
    assert!(day_ends.ends_with("T00:00:00Z"), "{usage}");
    let limits = asked(&app, "/v1/limits", &viewer).await;
    assert_eq!(limits["over_limit"], "queue");
    let day = &limits["runs_per_day"];
    assert_eq!(
        (&day["most"], &day["used"], &day["left"], &day["until"]),
        (&json!(10), &json!(1), &json!(9), &usage["day_ends"])
    );
    assert_eq!(limits["runs_in_flight"]["left"], 3);
    assert_eq!(limits["runs_queued"], Value::Null);
    let spend = &limits["spend_per_month"];
    assert_eq!(
        (&spend["most"], &spend["until"]),
        (&json!("50"), &usage["month_ends"])
    );
    let other = house.modelrow.tenant_create("other", "the test").await;
    let other = key(&house.modelrow, other.unwrap().id, Role::Viewer).await;
    let usage = asked(&app, "/v1/usage", &other).await;
    assert_eq!(usage["runs_this_month"], 0);
    let limits = asked(&app, "/v1/limits", &other).await;
    assert_eq!(
        (&limits["over_limit"], &limits["credentials"]),
        (&Value::Null, &json!([]))
    );
    let nobody = answer(&app, "/v1/usage", "mrk_nobody").await;
    assert_eq!(nobody.status.as_u16(), 401);
}
