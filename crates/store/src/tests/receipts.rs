//! Callbacks in: stored once, bounded, and found by whose they are.

use super::house::House;
use crate::receipts::NewReceipt;
use crate::{Rule, StoreError};
use serde_json::json;
use uuid::Uuid;

const PROVIDER: Uuid = Uuid::from_u128(2);

fn receipt(n: u8, run_id: Option<Uuid>, job: Option<&str>) -> NewReceipt {
    NewReceipt {
        receipt_id: Uuid::from_u128(u128::from(n)),
        provider_id: PROVIDER,
        tenant_id: Uuid::from_u128(1),
        run_id,
        dedup: vec![n],
        provider_job_id: job.map(str::to_owned),
        headers: json!({"a": "b"}),
        body: vec![b'{'],
    }
}

async fn found(house: &House, run: Uuid) -> Vec<u128> {
    let rows = house.store.receipts_of(run, 9).await.unwrap();
    rows.iter().map(|row| row.receipt_id.as_u128()).collect()
}

#[tokio::test]
async fn a_callback_is_stored_once_and_found_by_its_run_until_it_was_acted_on() {
    let house = House::new().await;
    let run = house.queue(1).await;
    let other = house.queue(2).await;
    let store = &house.store;
    assert!(
        store
            .receipt_store(&receipt(1, Some(run), None), 9)
            .await
            .unwrap()
    );
    let mut again = receipt(1, Some(run), None);
    again.receipt_id = Uuid::from_u128(7);
    assert!(
        !store.receipt_store(&again, 9).await.unwrap(),
        "it is there"
    );
    assert_eq!(
        (found(&house, run).await, found(&house, other).await),
        (vec![1], vec![])
    );
    let one = Uuid::from_u128(1);
    store.receipts_applied(&[one], &[one]).await.unwrap();
    assert!(found(&house, run).await.is_empty());
    let mut large = receipt(3, Some(run), None);
    large.body = vec![0; 262_145];
    let refused = store.receipt_store(&large, 9).await;
    assert!(matches!(
        refused,
        Err(StoreError::Broken(Rule::ReceiptTooLarge))
    ));
}

#[tokio::test]
async fn a_run_and_a_hook_keep_so_many_callbacks_and_no_more() {
    let house = House::new().await;
    let run = house.queue(1).await;
    let mut kept = Vec::new();
    for n in 1..=4 {
        kept.push(
            house
                .store
                .receipt_store(&receipt(n, Some(run), None), 2)
                .await
                .unwrap(),
        );
    }
    for n in 5..=8 {
        kept.push(
            house
                .store
                .receipt_store(&receipt(n, None, Some("j")), 2)
                .await
                .unwrap(),
        );
    }
    assert_eq!(kept, [true, true, false, false, true, true, false, false]);
    assert_eq!(found(&house, run).await, [1, 2]);
}

#[tokio::test]
async fn the_key_of_the_addresses_is_long_and_random() {
    let house = House::new().await;
    let key = house.store.hook_key().await.unwrap();
    let distinct: std::collections::BTreeSet<u8> = key.iter().copied().collect();
    assert!(key.len() == 32 && distinct.len() > 16, "{}", distinct.len());
}
