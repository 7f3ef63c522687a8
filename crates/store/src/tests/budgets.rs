//! What a tenant may have and spend, counted under its lock.

use super::house::{House, accepted};
use crate::budgets::{Limit, OverLimit, Price, TenantLimits};
use crate::decisions::Ended;
use crate::runs::{Inserted, NewRun};
use crate::{Outcome, State};
use serde_json::json;
use uuid::Uuid;

fn none() -> TenantLimits {
    TenantLimits {
        max_in_flight: None,
        max_queued: None,
        runs_per_day: None,
        spend_per_month: None,
        currency: "USD".into(),
        over_limit: OverLimit::Refuse,
    }
}

async fn limited(limits: TenantLimits) -> House {
    let house = House::new().await;
    put(&house, &limits).await;
    house
}

async fn put(house: &House, limits: &TenantLimits) {
    let put = house
        .store
        .tenant_limits_put(house.tenant, Some(limits), "ann");
    assert!(put.await.unwrap());
}

fn priced(house: &House, run: u128, amount: &str) -> NewRun {
    NewRun {
        price: Some(Price {
            amount: amount.into(),
            currency: "USD".into(),
        }),
        ..house.call(run, None)
    }
}

/// The limit that was reached, or nothing.
async fn made(house: &House, run: &NewRun) -> Option<Limit> {
    match house.store.run_insert(run).await.unwrap() {
        Inserted::New(_) => None,
        Inserted::Over(over) => Some(over.limit),
        other => panic!("{other:?}"),
    }
}

/// Reserved and spent, of this month.
async fn money(house: &House) -> (String, String) {
    let budget = house.store.budget(house.tenant).await.unwrap().unwrap();
    (budget.spend.reserved, budget.spend.spent)
}

#[tokio::test]
async fn a_day_has_as_many_runs_as_it_may_and_a_repeated_key_is_none() {
    let house = limited(TenantLimits {
        runs_per_day: Some(2),
        ..none()
    })
    .await;
    let first = house.call(1, Some("key"));
    assert_eq!(made(&house, &first).await, None);
    assert_eq!(made(&house, &house.call(2, None)).await, None);
    let Inserted::Over(over) = house.store.run_insert(&house.call(3, None)).await.unwrap() else {
        panic!("three");
    };
    let ends = house.store.usage(house.tenant).await.unwrap().day_ends;
    assert_eq!((over.limit, over.until), (Limit::RunsPerDay, Some(ends)));
    let again = NewRun {
        run_id: Uuid::from_u128(9),
        ..first
    };
    assert_eq!(
        house.store.run_insert(&again).await.unwrap(),
        Inserted::Same(Uuid::from_u128(1))
    );
    assert_eq!(house.one("select count(*) from runs").await, "2");
    // Yesterday's are not today's.
    house.sql("update tenant_days set day = day - 1").await;
    house
        .sql("update runs set created_at = created_at - interval '1 day'")
        .await;
    assert_eq!(made(&house, &house.call(4, None)).await, None);
}

#[tokio::test]
async fn what_is_queued_waits_for_the_first_day_that_has_room() {
    let house = limited(TenantLimits {
        runs_per_day: Some(2),
        over_limit: OverLimit::Queue,
        ..none()
    })
    .await;
    for run in 1..=5 {
        assert_eq!(made(&house, &house.call(run, None)).await, None);
    }
    let days = "select string_agg((not_before at time zone 'utc')::date - (now() at time zone 'utc')::date || '', ',' order by run_id) from run_states";
    assert_eq!(house.one(days).await, "0,0,1,1,2");
    // It has a day to start from the day on which it may.
    let late = "select bool_and(start_by = s.not_before + interval '1 day') from runs join run_states s using (run_id) where s.not_before > now()";
    assert_eq!(house.one(late).await, "true");
    let refuses = NewRun {
        over_limit: Some(OverLimit::Refuse),
        ..house.call(6, None)
    };
    assert_eq!(made(&house, &refuses).await, Some(Limit::RunsPerDay));
    let details = house.store.run(house.tenant, Uuid::from_u128(5)).await;
    assert!(details.unwrap().unwrap().run.not_before > time::OffsetDateTime::UNIX_EPOCH);
}

async fn ended(house: &House, run: Uuid, from: State, to: State) {
    let end = Ended {
        run_id: run,
        n: 1,
        ver: None,
        from,
        to,
        captured: None,
        failure: None,
        cleanup: None,
        file: None,
        answer: None,
    };
    assert!(house.store.run_ended(&end).await.unwrap().is_some());
}

#[tokio::test]
async fn a_month_is_spent_by_estimates_before_and_by_what_came_of_them_after() {
    let house = limited(TenantLimits {
        spend_per_month: Some("1".into()),
        ..none()
    })
    .await;
    let (a, _lease, _) = house.worker(10).await;
    let [one, two, three] = [1, 2, 3].map(|run| priced(&house, run, "0.4"));
    assert_eq!(made(&house, &one).await, None);
    assert_eq!(made(&house, &two).await, None);
    assert_eq!(money(&house).await, ("0.8".into(), "0".into()));
    let Inserted::Over(over) = house.store.run_insert(&three).await.unwrap() else {
        panic!("1.2 of 1");
    };
    let usage = house.store.usage(house.tenant).await.unwrap();
    assert_eq!(
        (over.limit, over.until),
        (Limit::Spend, Some(usage.month_ends))
    );
    // What was never sent is given back; what was paid for is spent.
    house
        .store
        .run_cancel(house.tenant, one.run_id)
        .await
        .unwrap();
    assert_eq!(money(&house).await, ("0.4".into(), "0".into()));
    house.submit(a, &[two.run_id], 1).await;
    house
        .store
        .fact_accepted(&accepted(two.run_id, 1, "job"))
        .await
        .unwrap();
    ended(&house, two.run_id, State::Polling, State::Failed).await;
    assert_eq!(money(&house).await, ("0".into(), "0.4".into()));
    assert_eq!(made(&house, &three).await, None);
    assert_eq!(money(&house).await, ("0.4".into(), "0.4".into()));
    let other = NewRun {
        price: Some(Price {
            amount: "99".into(),
            currency: "CNY".into(),
        }),
        ..house.call(5, None)
    };
    assert_eq!(made(&house, &other).await, None, "another currency");
    let never = NewRun {
        over_limit: Some(OverLimit::Queue),
        ..priced(&house, 6, "1.1")
    };
    assert_eq!(
        house.store.run_insert(&never).await.unwrap(),
        Inserted::Over(crate::budgets::Over {
            limit: Limit::Spend,
            most: None,
            until: None
        })
    );
    let later = NewRun {
        over_limit: Some(OverLimit::Queue),
        ..priced(&house, 7, "0.5")
    };
    assert_eq!(made(&house, &later).await, None);
    let month = "select date_trunc('month', now() at time zone 'utc')::date < budget_month from runs where run_id = '00000000-0000-0000-0000-000000000007'";
    assert_eq!(house.one(month).await, "true");
    assert_eq!(money(&house).await, ("0.4".into(), "0.4".into()));
}

#[tokio::test]
async fn a_run_that_is_opened_again_is_reserved_again() {
    let house = limited(TenantLimits {
        spend_per_month: Some("10".into()),
        ..none()
    })
    .await;
    let (a, _lease, _) = house.worker(10).await;
    let run = priced(&house, 1, "0.25");
    assert_eq!(made(&house, &run).await, None);
    house.submit(a, &[run.run_id], 1).await;
    house.sql("update workers set expires_at = now()").await;
    let (b, _other, _) = house.worker(11).await;
    let swept = house.store.senders_sweep(b, 200, 10).await.unwrap();
    assert_eq!(swept.len(), 1);
    let ver = house.ver(run.run_id).await;
    let why = json!({});
    let gave_up = house.store.settle_gave_up(run.run_id, ver, &why);
    assert!(gave_up.await.unwrap().is_some());
    assert_eq!(
        money(&house).await,
        ("0".into(), "0.25".into()),
        "maybe is yes"
    );
    house
        .store
        .fact_accepted(&accepted(run.run_id, 1, "job"))
        .await
        .unwrap();
    let outcome = house.store.attempts(run.run_id).await.unwrap()[0].outcome;
    assert_eq!(outcome, Outcome::Accepted);
    assert_eq!(money(&house).await, ("0.25".into(), "0".into()));
    ended(&house, run.run_id, State::Polling, State::Succeeded).await;
    assert_eq!(money(&house).await, ("0".into(), "0.25".into()));
}

#[tokio::test]
async fn limits_that_are_set_count_what_was_before() {
    let house = House::new().await;
    let (a, _lease, _) = house.worker(10).await;
    let [open, paid, free] = [1, 2, 3].map(|run| priced(&house, run, "0.4"));
    for run in [&open, &paid, &free] {
        assert_eq!(made(&house, run).await, None);
    }
    house.submit(a, &[paid.run_id], 1).await;
    house
        .store
        .fact_accepted(&accepted(paid.run_id, 1, "job"))
        .await
        .unwrap();
    ended(&house, paid.run_id, State::Polling, State::Succeeded).await;
    house
        .store
        .run_cancel(house.tenant, free.run_id)
        .await
        .unwrap();
    let usage = house.store.usage(house.tenant).await.unwrap();
    assert_eq!((usage.runs_today, usage.open, usage.queued), (3, 1, 1));
    assert_eq!(
        (
            usage.spend[0].reserved.as_str(),
            usage.spend[0].spent.as_str()
        ),
        ("0.4", "0.4")
    );
    let limits = TenantLimits {
        runs_per_day: Some(4),
        spend_per_month: Some("1.5".into()),
        ..none()
    };
    put(&house, &limits).await;
    // What runs now counts as spent.
    assert_eq!(money(&house).await, ("0".into(), "0.8".into()));
    assert_eq!(made(&house, &priced(&house, 4, "0.4")).await, None);
    assert_eq!(
        made(&house, &house.call(5, None)).await,
        Some(Limit::RunsPerDay)
    );
    // Taken away and set again they count as they would have.
    assert!(
        house
            .store
            .tenant_limits_put(house.tenant, None, "ann")
            .await
            .unwrap()
    );
    assert_eq!(made(&house, &house.call(6, None)).await, None);
    put(&house, &limits).await;
    assert_eq!(money(&house).await, ("0.4".into(), "0.8".into()));
    assert_eq!(
        made(&house, &house.call(7, None)).await,
        Some(Limit::RunsPerDay)
    );
    let nobody = house
        .store
        .tenant_limits_put(Uuid::from_u128(77), Some(&limits), "ann");
    assert!(!nobody.await.unwrap());
}

#[tokio::test]
#[rustfmt::skip]
async fn runs_that_are_made_at_once_never_pass_a_limit_together() {
    let cases = [
        (TenantLimits { max_in_flight: Some(3), ..none() },                                   Limit::InFlight),
        (TenantLimits { max_queued: Some(3), over_limit: OverLimit::Queue, ..none() },        Limit::Queued),
        (TenantLimits { runs_per_day: Some(3), ..none() },                                    Limit::RunsPerDay),
        (TenantLimits { spend_per_month: Some("1.3".into()), ..none() },                      Limit::Spend),
    ];
    let house = House::new().await;
    for (round, (limits, limit)) in (0_u128..).zip(&cases) {
        house.sql("delete from runs; delete from tenant_days; delete from tenant_usage").await;
        put(&house, limits).await;
        let one = async |n: u128| made(&house, &priced(&house, round * 100 + n, "0.4")).await;
        let six = tokio::join!(one(1), one(2), one(3), one(4), one(5), one(6));
        let refused: Vec<Limit> = <[_; 6]>::from(six).into_iter().flatten().collect();
        assert_eq!(refused, [*limit; 3], "{limits:?}");
        assert_eq!(house.one("select count(*) from run_states").await, "3", "{limits:?}");
    }
}

#[tokio::test]
async fn a_full_queue_takes_no_more() {
    let house = limited(TenantLimits {
        max_in_flight: Some(1),
        max_queued: Some(2),
        over_limit: OverLimit::Queue,
        ..none()
    })
    .await;
    let (a, _lease, _) = house.worker(10).await;
    let first = house.call(1, None);
    assert_eq!(made(&house, &first).await, None);
    house.submit(a, &[first.run_id], 1).await;
    assert_eq!(made(&house, &house.call(2, None)).await, None);
    assert_eq!(made(&house, &house.call(3, None)).await, None);
    assert_eq!(
        made(&house, &house.call(4, None)).await,
        Some(Limit::Queued)
    );
    let mut claim = house
        .store
        .claim(a, house.credential)
        .await
        .unwrap()
        .unwrap();
    assert!(claim.pick(9).await.unwrap().is_empty(), "one is in flight");
}
