//! How a process takes part: where the database and the artifacts are, how much
//! it does at once, and who opens secret references.

use crate::artifacts::Artifacts;
use crate::sealed::SecretKeys;
use crate::secrets::{EnvironmentSecrets, Secrets};
use crate::sweep::Retention;
use crate::traces::Traces;
use diag::Secret;
use engine::egress::Allow;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Everything [`crate::Modelrow::start`] needs. [`Options::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// `postgres://user:password@host:port/database` of the program's login role.
    pub database_url: Secret,
    /// Connections to the database; the lease and the listener have their own.
    pub connections: u32,
    /// How long a statement waits for one of them.
    pub connection_wait: Duration,
    /// Where artifacts are kept.
    pub artifacts: Artifacts,
    /// Bytes of parts of files on their way to the artifacts, of the whole process. A bucket takes parts of 8 MiB: files wait
    /// for a place in turn. A folder needs 32 MiB at most.
    pub artifact_memory: usize,
    /// How long things are kept.
    pub retention: Retention,
    /// Whether this process sends and follows runs, or only takes calls.
    pub work: Work,
    /// How long a worker is believed to live, and how often it says so.
    pub lease: LeaseTimes,
    /// Between two looks at the database.
    pub tick: Duration,
    /// How long a minute of the credentials' limits is: tests have no minute.
    #[doc(hidden)]
    pub limit_minute: Duration,
    /// How much is done at once.
    pub concurrency: Concurrency,
    /// What the operator allows beside the providers' `egress`.
    pub allow: Allow,
    /// Opens the references that credentials hold.
    pub secrets: Arc<dyn Secrets>,
    /// Seal and open the secrets that the database keeps.
    pub secret_keys: SecretKeys,
    /// Where a machine of a cloud asks who it is; absent: at the clouds' own address for it, `169.254.169.254`.
    pub metadata: Option<Url>,
    /// Where callers and providers reach us, `https://host`: artifacts in outputs get whole addresses, and runs a
    /// `callback_url`. Absent: paths, and none.
    pub public_url: Option<String>,
    /// The standby is synchronous: after a failover nothing is held.
    pub failover_is_lossless: bool,
    /// Hears every exchange with providers, secrets and all: for recording a case, and nothing else.
    pub tap: Option<engine::http::Tap>,
    /// Where spans of calls and runs go: nowhere, unless it was started. End it after the library.
    pub traces: Traces,
    /// Version of the program, for people.
    pub build: String,
    /// Name of the machine, for people.
    pub host: String,
}

/// Whether a process works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It sends, follows and fetches.
    Yes,
    /// It takes calls; other processes do the work.
    No,
}

/// Times of a worker's lease, by the database's clock.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    /// Without a renewal for so long a worker is dead.
    pub ttl: Duration,
    /// Between two renewals.
    pub renew: Duration,
    /// A renewal that takes longer has failed.
    pub statement_timeout: Duration,
}

impl LeaseTimes {
    /// Renewed five times in its life, so that one renewal may fail.
    #[must_use]
    pub fn lasting(ttl: Duration) -> Self {
        Self {
            ttl,
            renew: ttl / 5,
            statement_timeout: ttl / 5,
        }
    }
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self::lasting(Duration::from_secs(5))
    }
}

/// Bounds of one process. One host may hold at most three of four places of a kind, so that a slow provider delays no other.
#[derive(Debug, Clone, Copy)]
pub struct Concurrency {
    /// Submits on the wire.
    pub submits: usize,
    /// Polls and other exchanges on the wire.
    pub polls: usize,
    /// Files on their way.
    pub fetches: usize,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self {
            submits: 64,
            polls: 512,
            fetches: 8,
        }
    }
}

impl Options {
    /// Defaults for everything else; secret references are read from the environment and from files, and there are no keys for sealed ones.
    #[must_use]
    pub fn new(database_url: impl Into<String>, artifacts: impl Into<Artifacts>) -> Self {
        Self {
            database_url: Secret::from(database_url.into()),
            connections: 16,
            connection_wait: Duration::from_secs(5),
            artifacts: artifacts.into(),
            artifact_memory: 256 * 1024 * 1024,
            retention: Retention::default(),
            work: Work::Yes,
            lease: LeaseTimes::default(),
            tick: Duration::from_secs(1),
            limit_minute: Duration::from_secs(60),
            concurrency: Concurrency::default(),
            allow: Allow::default(),
            secrets: Arc::new(EnvironmentSecrets),
            secret_keys: SecretKeys::default(),
            metadata: None,
            public_url: None,
            failover_is_lossless: false,
            tap: None,
            traces: Traces::default(),
            build: build(),
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
        }
    }
}

/// What the rows of workers call this program.
fn build() -> String {
    #[cfg(feature = "faults")]
    if let Some(build) = crate::faults::build() {
        return build.to_owned();
    }
    env!("CARGO_PKG_VERSION").to_owned()
}
