//! Facts are written until they stand: whatever became of the lease, the owner,
//! or the database meanwhile.

use crate::faults::At as _;
use std::future::Future;
use std::time::Duration;
use store::StoreError;
use uuid::Uuid;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Writes until the database has answered. What no later try can change is returned.
///
/// # Errors
///
/// A statement that can never succeed: an alarm.
pub(crate) async fn written<T, F, W>(
    (what, run): (&'static str, Uuid),
    mut write: W,
) -> Result<T, StoreError>
where
    W: FnMut() -> F,
    F: Future<Output = Result<T, StoreError>>,
{
    let mut wait = FIRST_WAIT;
    #[cfg(feature = "faults")]
    if crate::faults::twice() {
        // Its answer is lost: the next one counts.
        drop(write().at("facts.write_again").await);
    }
    loop {
        match write().at("facts.write").await {
            Err(error) if error.is_transient() => {
                tracing::warn!(run.id = %run, what, %error, "a fact is not written yet");
                tokio::time::sleep(wait).at("facts.sleep").await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            other => return other,
        }
    }
}
