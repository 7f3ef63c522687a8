//! The listening side: who may reach us, and how it stops.

use crate::routes;
use axum::serve::ListenerExt as _;
use runtime::Modelrow;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long answers that are on their way may take once we are told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// Who can reach the port. There are no API keys: whoever can may call, and pays with our credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Programs of this machine.
    Loopback,
    /// Anyone: other machines too, under any name. The operator has said so.
    Anyone,
}

/// Serves the API until `shutdown` is ready; then takes no more calls, answers those that wait for a
/// run as it stands, and lets downloads go on for 30 seconds at most.
///
/// All calls are the default tenant's. `modelrow` goes on working afterwards: shut it down too.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] when the listener can be reached from other machines and `exposure`
/// is not [`Exposure::Anyone`]: nothing is served. Other errors are the listener's.
pub async fn serve(
    modelrow: Modelrow,
    listener: TcpListener,
    exposure: Exposure,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    refuse_outsiders(&listener, exposure)?;
    let stopping = CancellationToken::new();
    let app = routes::guarded(modelrow, stopping.clone(), exposure);
    // Without it small answers wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|tcp| drop(tcp.set_nodelay(true)));
    let told = stopping.clone();
    let served = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        told.cancel();
    });
    // Cancel safety: what is cut here are answers whose callers were too slow.
    tokio::select! {
        served = async { served.await } => served,
        () = over(&stopping) => Ok(()),
    }
}

async fn over(stopping: &CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

fn refuse_outsiders(listener: &TcpListener, exposure: Exposure) -> io::Result<()> {
    let address = listener.local_addr()?;
    if exposure == Exposure::Anyone || address.ip().is_loopback() {
        return Ok(());
    }
    let message =
        format!("{address} can be reached from other machines, and there are no API keys yet");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_others_reach_is_refused_unless_anyone_may_call() {
        let cases = [
            ("127.0.0.1:0", Exposure::Loopback, true),
            ("0.0.0.0:0", Exposure::Loopback, false),
            ("0.0.0.0:0", Exposure::Anyone, true),
        ];
        for (address, exposure, want) in cases {
            let listener = TcpListener::bind(address).await.unwrap();
            let found = refuse_outsiders(&listener, exposure);
            assert_eq!(found.is_ok(), want, "{address} {exposure:?}: {found:?}");
        }
    }
}
