//! `modelrow serve` and `modelrow work`: until they are told to stop.

use crate::args::{HouseArgs, PublicArgs, ServeArgs, WorkArgs};
use crate::exit::Stop;
use crate::house::{House, Purpose};
use crate::ui;
use diag::Code;
use runtime::Modelrow;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long exchanges in flight are awaited. What is cut is settled by the next worker.
const GRACE: Duration = Duration::from_secs(600);

pub(crate) async fn serve(args: &HouseArgs, serve: &ServeArgs) -> Result<(), Stop> {
    let listener = TcpListener::bind(serve.listen).await.map_err(|error| {
        Stop::house(
            Code::X104,
            format!("cannot listen on {}: {error}", serve.listen),
            "give `--listen` an address that is free",
        )
    })?;
    let house = House::open(args).await?;
    let purpose = if serve.no_work {
        Purpose::Serve
    } else {
        Purpose::Work
    };
    let modelrow = start(&house, purpose, &serve.public).await?;
    ui::done(&format!("the API listens on http://{}/v1", serve.listen));
    let exposure = if serve.insecure_listen_anywhere {
        server::Exposure::Anyone
    } else {
        server::Exposure::Loopback
    };
    let (stopped, stop) = tokio::sync::oneshot::channel::<()>();
    let served = server::serve(modelrow.clone(), listener, exposure, async {
        let _ = stop.await;
    });
    let told = async {
        let told = told_to_stop(&house).await;
        let _ = stopped.send(());
        told
    };
    let (served, told) = tokio::join!(served, told);
    modelrow.shutdown(GRACE).await;
    served.map_err(|error| {
        Stop::house(
            Code::X104,
            format!("the API stopped: {error}"),
            "start it again",
        )
    })?;
    told?;
    house.close().await
}

async fn start(house: &House, purpose: Purpose, public: &PublicArgs) -> Result<Modelrow, Stop> {
    let mut options = house.options(purpose);
    options.public_url.clone_from(&public.public_url);
    house.start_with(options).await
}

pub(crate) async fn work(args: &HouseArgs, work: &WorkArgs) -> Result<(), Stop> {
    let house = House::open(args).await?;
    let modelrow = start(&house, Purpose::Work, &work.public).await?;
    ui::done("working; SIGTERM or Ctrl-C hands everything over and stops");
    let told = told_to_stop(&house).await;
    modelrow.shutdown(GRACE).await;
    told?;
    house.close().await
}

/// Waits for SIGTERM, Ctrl-C, or the end of the private server.
///
/// Cancel safety: each of the three may be dropped at any time.
async fn told_to_stop(house: &House) -> Result<(), Stop> {
    let mut term = signal(SignalKind::terminate()).map_err(|error| {
        Stop::house(
            Code::X108,
            error.to_string(),
            "report it: signals cannot be received",
        )
    })?;
    tokio::select! {
        _ = term.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        stop = house.server_ended() => Err(stop),
    }
}
