//! The listening side: who may reach us, and how it stops.

use crate::settings::{Access, Settings};
use crate::{connections, routes};
use runtime::Modelrow;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long answers that are on their way may take once we are told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// Serves the API until `shutdown` is ready; then takes no more calls, answers those that wait for a
/// run as it stands, and lets downloads go on for 30 seconds at most.
///
/// `modelrow` goes on working afterwards: shut it down too.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] when the listener can be reached from other machines and no keys are
/// asked for: nothing is served. Other errors are of its address.
pub async fn serve(
    modelrow: Modelrow,
    listener: TcpListener,
    settings: impl Into<Settings>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let settings = settings.into();
    refuse_outsiders(&listener, settings.access)?;
    let stopping = CancellationToken::new();
    let bounds = settings.bounds();
    let app = routes::guarded(modelrow, stopping.clone(), settings);
    let told = async {
        shutdown.await;
        stopping.cancel();
        std::future::pending::<()>().await;
    };
    // Cancel safety: what is cut here are answers whose callers were too slow.
    tokio::select! {
        () = connections::serve(listener, app, bounds, &stopping) => {}
        () = told => {}
        () = over(&stopping) => {}
    }
    Ok(())
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
