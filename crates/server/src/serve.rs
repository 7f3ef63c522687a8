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

/// How callers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// By their API keys.
    Keys,
    /// Not at all: programs of this machine call, each as an admin of the default tenant.
    Local,
}

/// Serves the API until `shutdown` is ready; then takes no more calls, answers those that wait for a
/// run as it stands, and lets downloads go on for 30 seconds at most.
///
/// `modelrow` goes on working afterwards: shut it down too.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] when the listener can be reached from other machines and `access`
/// asks for no keys: nothing is served. Other errors are the listener's.
pub async fn serve(
    modelrow: Modelrow,
    listener: TcpListener,
    access: Access,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    refuse_outsiders(&listener, access)?;
    let stopping = CancellationToken::new();
    let app = routes::guarded(modelrow, stopping.clone(), access);
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

fn refuse_outsiders(listener: &TcpListener, access: Access) -> io::Result<()> {
    let address = listener.local_addr()?;
    if access == Access::Keys || address.ip().is_loopback() {
        return Ok(());
    }
    let message =
        format!("{address} can be reached from other machines, and no API keys are asked for");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_keys_an_address_that_others_reach_is_refused() {
        let cases = [
            ("127.0.0.1:0", Access::Local, true),
            ("0.0.0.0:0", Access::Local, false),
            ("0.0.0.0:0", Access::Keys, true),
        ];
        for (address, access, want) in cases {
            let listener = TcpListener::bind(address).await.unwrap();
            let found = refuse_outsiders(&listener, access);
            assert_eq!(found.is_ok(), want, "{address} {access:?}: {found:?}");
        }
    }
}
