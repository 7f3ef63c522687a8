//! A worker: `modelrow work` of the fault build, or `modelrow serve`, a process that signals reach.

use crate::lane::{CLIENT, LEASE};
use crate::wire::Wire;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// The program of the fault build, unless another is named.
pub(crate) static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

fn program() -> &'static Path {
    PROGRAM.get_or_init(|| env!("CARGO_BIN_EXE_modelrow").into())
}

pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) wire: Wire,
    /// It was told to end, or need not be there.
    pub(crate) dismissed: bool,
    /// Where it is called, if it is.
    pub(crate) address: Option<SocketAddr>,
    child: Child,
    pid: Pid,
}

/// Where a seed's workers work.
pub(crate) struct Place<'a> {
    pub(crate) socket: PathBuf,
    pub(crate) database: &'a str,
    pub(crate) artifacts: &'a Path,
    pub(crate) logs: &'a Path,
    /// Whether it has the key for the provider.
    pub(crate) has_key: bool,
    /// Whether it is called.
    pub(crate) serves: bool,
}

impl Worker {
    /// `faults`: what the process is told (`runtime::faults`).
    pub(crate) async fn start(place: &Place<'_>, name: &str, faults: &Value) -> Self {
        let wire = Wire::to(place.socket.clone()).await;
        let log = place.logs.join(format!("{name}.log"));
        let key = if place.has_key { "acme-test-key" } else { "" };
        let address = place.serves.then(free_address);
        let mut command = Command::new(program());
        match address {
            None => command.arg("work"),
            Some(address) => command
                .args(["serve", "--no-auth", "--listen"])
                .arg(address.to_string()),
        };
        let child = command
            .args([
                "--tick-ms",
                "100",
                "--connections",
                "4",
                "--connection-wait-ms",
                "1000",
            ])
            .args(["--lease-ms", &LEASE.as_millis().to_string()])
            .arg("--data")
            .arg(place.logs)
            .arg("--artifacts")
            .arg(place.artifacts)
            .args(["--log", "info,sqlx=warn"])
            .env("DATABASE_URL", wire.url(place.database))
            .env("ACME_KEY", key)
            .env("ACME_CLIENT", CLIENT)
            .env("MODELROW_FAULTS", faults.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        Self {
            name: name.to_owned(),
            wire,
            dismissed: false,
            address,
            child,
            pid,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended.
        let _gone = kill(self.pid, signal);
    }

    /// How long it takes to end after SIGTERM; `None`: longer than that.
    pub(crate) async fn leaves_within(&mut self, limit: Duration) -> Option<Duration> {
        let begun = Instant::now();
        self.dismissed = true;
        self.signal(Signal::SIGTERM);
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        let good = ended.is_ok_and(|status| status.is_ok_and(|status| status.success()));
        good.then(|| begun.elapsed())
    }

    /// As `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.dismissed = true;
        drop(self.child.kill().await);
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !self.dismissed && self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

/// Of a port that nobody listens on at this moment.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
