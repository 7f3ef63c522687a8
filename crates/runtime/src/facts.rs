//! Facts are written until they stand: whatever became of the lease, the owner,
//! or the database meanwhile.

use std::future::Future;
use std::time::Duration;
use store::StoreError;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Writes until the database has answered. What no later try can change is returned.
///
/// # Errors
///
/// A statement that can never succeed: an alarm.
pub(crate) async fn written<T, F, W>(what: &'static str, mut write: W) -> Result<T, StoreError>
where
    W: FnMut() -> F,
    F: Future<Output = Result<T, StoreError>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        match write().await {
            Err(error) if error.is_transient() => {
                tracing::warn!(what, %error, "a fact is not written yet");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            other => return other,
        }
    }
}
