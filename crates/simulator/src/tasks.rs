//! The one place where the simulator starts tasks: all of them end when it stops.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Starts `work`, which is dropped where it stands once `stop` is cancelled; the handle then gives `None`.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulator uses none of our crates; every task ends with the token"
)]
pub(crate) fn start<F>(stop: CancellationToken, work: F) -> JoinHandle<Option<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(async move { stop.run_until_cancelled_owned(work).await })
}
