//! `modelrow serve` and `modelrow work`: until they are told to stop.

use crate::args::{HouseArgs, OpsArgs, PaceArgs, PublicArgs, ServeArgs, TraceArgs, WorkArgs};
use crate::exit::{Stop, chain};
use crate::house::{House, Purpose, run_stop};
use crate::ui;
use anstream::eprintln;
use diag::{Code, ExposeSecret as _};
use runtime::{LeaseTimes, Modelrow, Traces};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long exchanges in flight are awaited. What is cut is settled by the next worker.
const GRACE: Duration = Duration::from_secs(600);
/// How long the collector of traces may take for the last spans.
const FLUSH: Duration = Duration::from_secs(5);

pub(crate) async fn serve(args: &HouseArgs, serve: &ServeArgs) -> Result<(), Stop> {
    let listener = listen(serve.listen, "--listen").await?;
    let address = listener.local_addr().unwrap_or(serve.listen);
    let ops = Ops::listen(&serve.ops).await?;
    let house = House::open(args).await?;
    let purpose = if serve.no_work {
        Purpose::Serve
    } else {
        Purpose::Work
    };
    let traces = begun(&serve.traces)?;
    let modelrow = start(&house, purpose, (&serve.public, &serve.pace), &traces).await?;
    let access = match serve.no_auth {
        true => server::Access::Local,
        false => server::Access::Keys,
    };
    let settings = settings(access, serve);
    if access == server::Access::Keys {
        first_key(&modelrow).await?;
    }
    ui::done(&format!("the API listens on http://{address}/v1"));
    let (stopped, stop) = tokio::sync::oneshot::channel::<()>();
    let served = server::serve(modelrow.clone(), listener, settings, async {
        let _ = stop.await;
    });
    let told = async {
        let told = told_to_stop(&house).await;
        let _ = stopped.send(());
        told
    };
    let work = async {
        let (served, told) = tokio::join!(served, told);
        modelrow.clone().shutdown(GRACE).await;
        (served, told)
    };
    let (served, told) = ops.beside(&modelrow, work).await;
    traces.end(FLUSH).await;
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

fn settings(access: server::Access, serve: &ServeArgs) -> server::Settings {
    let origins = serve.cors_origin.iter();
    server::Settings {
        cors_origins: origins.filter_map(|origin| origin.parse().ok()).collect(),
        calls_per_second: NonZeroU32::new(serve.key_rate),
        upload_bytes: u64::from(serve.upload_mib) << 20,
        connections: usize::try_from(serve.http_connections).unwrap_or(usize::MAX),
        ..access.into()
    }
}

/// On standard error, not in the log: a log is kept.
async fn first_key(modelrow: &Modelrow) -> Result<(), Stop> {
    let made = modelrow.first_key().await;
    if let Some(key) = made.map_err(|error| run_stop(&error))? {
        ui::done("there was no API key: this one is an operator's, and is not shown again");
        eprintln!("{}", key.expose_secret());
    }
    Ok(())
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, Stop> {
    TcpListener::bind(address).await.map_err(|error| {
        Stop::house(
            Code::X104,
            format!("cannot listen on {address}: {error}"),
            format!("give `{flag}` an address that is free"),
        )
    })
}

/// The operators' port, where one is wanted.
struct Ops(Option<TcpListener>);

impl Ops {
    async fn listen(args: &OpsArgs) -> Result<Self, Stop> {
        Ok(Self(match args.ops_listen {
            Some(address) => Some(listen(address, "--ops-listen").await?),
            None => None,
        }))
    }

    /// Serves as long as `work` goes on, its end included: who drains is still looked at.
    async fn beside<T>(self, modelrow: &Modelrow, work: impl Future<Output = T>) -> T {
        let Some(listener) = self.0 else {
            return work.await;
        };
        if let Ok(address) = listener.local_addr() {
            ui::done(&format!("operators look at http://{address}/metrics"));
        }
        // Cancel safety: what is cut are answers to those who look.
        tokio::select! {
            done = work => done,
            never = for_good(modelrow.clone(), listener) => match never {},
        }
    }
}

/// What breaks this port breaks nothing else.
async fn for_good(modelrow: Modelrow, listener: TcpListener) -> Infallible {
    if let Err(error) = server::ops::serve_ops(modelrow, listener).await {
        tracing::error!(%error, "the operators' port is closed");
    }
    std::future::pending().await
}

/// Traces, where a collector is configured.
fn begun(args: &TraceArgs) -> Result<Traces, Stop> {
    let stop = |why| {
        let help =
            "correct `--otlp-headers` or `OTEL_EXPORTER_OTLP_HEADERS`: `name=value,name=value`";
        Stop::house(Code::X122, why, help)
    };
    let Some(settings) = args.settings().map_err(stop)? else {
        return Ok(Traces::default());
    };
    Traces::start(settings).map_err(|error| {
        let help = "correct the settings that begin with `otlp_`, or do without them";
        Stop::house(Code::X122, chain(&error), help)
    })
}

async fn start(
    house: &House,
    purpose: Purpose,
    (public, pace): (&PublicArgs, &PaceArgs),
    traces: &Traces,
) -> Result<Modelrow, Stop> {
    let mut options = house.options(purpose);
    options.traces = traces.clone();
    options.public_url.clone_from(&public.public_url);
    options.lease = LeaseTimes::lasting(Duration::from_millis(pace.lease_ms));
    options.tick = Duration::from_millis(pace.tick_ms);
    options.connections = pace.connections;
    options.connection_wait = Duration::from_millis(pace.connection_wait_ms);
    house.start_with(options).await
}

pub(crate) async fn work(args: &HouseArgs, work: &WorkArgs) -> Result<(), Stop> {
    let ops = Ops::listen(&work.ops).await?;
    let house = House::open(args).await?;
    let traces = begun(&work.traces)?;
    let modelrow = start(&house, Purpose::Work, (&work.public, &work.pace), &traces).await?;
    ui::done("working; SIGTERM or Ctrl-C hands everything over and stops");
    let until_told = async {
        let told = told_to_stop(&house).await;
        modelrow.clone().shutdown(GRACE).await;
        told
    };
    let told = ops.beside(&modelrow, until_told).await;
    traces.end(FLUSH).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        traces: TraceArgs,
    }

    #[test]
    fn headers_that_are_none_stop_the_start_and_are_not_repeated() {
        let line = [
            "serve",
            "--otlp-endpoint=http://127.0.0.1:1",
            "--otlp-headers=sk-hidden",
        ];
        let stop = begun(&Line::parse_from(line).traces).unwrap_err();
        let Stop::House {
            code,
            message,
            help,
        } = stop
        else {
            panic!("not refused");
        };
        assert_eq!(code, Code::X122);
        assert!(!format!("{message} {help}").contains("sk-hidden"));
        let off = begun(&Line::parse_from(["serve", "--otlp-headers=sk-hidden"]).traces);
        assert!(off.is_ok(), "nothing is traced");
    }
}
