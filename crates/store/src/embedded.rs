//! A private, native PostgreSQL as our own child: the embedded default.
//!
//! Where its programs come from ([`Options`]), as whom it runs, and the rules of its life: a `flock` decides who owns
//! the data folder, a second process connects through the owner's socket, and the server never outlives its owner.
//! What is in the database is the business of the rest of this crate.

mod account;
mod archives;
mod binaries;
mod child;
mod cluster;
mod error;
mod fetch;
mod install;
mod options;
mod orphan;
mod server;
mod set_up;
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;

pub use error::EmbeddedError;
pub use options::Options;

use account::Account;
use binaries::Binaries;
use cluster::{Layout, Lock};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use server::{Server, Shared};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A crash recovery may take minutes.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// How long a second process waits for the first one's start.
const ATTACH_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at another process's server.
const STEP: Duration = Duration::from_millis(20);

/// What takes time, or changes something on this machine: for people, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// The pinned archive is fetched, once.
    Fetching {
        /// Its name and version.
        what: String,
        /// The cache.
        to: PathBuf,
    },
    /// The first start makes the cluster.
    Creating {
        /// The data folder.
        data_dir: PathBuf,
        /// Of the server's programs.
        version: String,
    },
    /// The server does not run as us.
    RunsAs {
        /// The other user.
        user: String,
    },
    /// The other users cannot reach the data or the programs: the server runs in a user namespace.
    InNamespace,
    /// A server of an earlier start had lost its owner and was stopped.
    StoppedOrphan {
        /// Its process.
        pid: i32,
    },
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetching { what, to } => write!(
                f,
                "fetching PostgreSQL (`{what}`, about 25 MB) into `{}`",
                to.display()
            ),
            Self::Creating { data_dir, version } => {
                write!(
                    f,
                    "creating a PostgreSQL {version} database in `{}`",
                    data_dir.display()
                )
            }
            Self::RunsAs { user } => {
                write!(f, "PostgreSQL runs as user `{user}`, since it refuses root")
            }
            Self::InNamespace => f.write_str("PostgreSQL runs in a user namespace"),
            Self::StoppedOrphan { pid } => write!(
                f,
                "stopped process {pid}, a PostgreSQL that an earlier start had left"
            ),
        }
    }
}

/// A server: our child, or, while another process owns the data folder, its socket.
#[derive(Debug)]
pub struct Embedded {
    /// Dropped before the lock: the server is gone when the next owner comes.
    server: Option<Server>,
    layout: Layout,
    version: String,
    _lock: Option<Lock>,
}

impl Embedded {
    /// Starts the server, or finds the one that another process has started in this data folder.
    ///
    /// Blocks: about 0.6 s at the first start, 50 ms later, minutes when the archive has to be fetched or a crash
    /// recovered. May be called from any thread, also one that ends soon: the server hangs on a thread of its own.
    ///
    /// # Errors
    ///
    /// Every [`EmbeddedError`] but [`EmbeddedError::NotStopped`] and [`EmbeddedError::Ended`]. Nothing runs after one.
    pub fn start(
        options: &Options,
        announce: &mut dyn FnMut(Announcement),
    ) -> Result<Self, EmbeddedError> {
        let layout = Layout::new(&options.data_dir)?;
        layout.create()?;
        match lock_or_attach(&layout, ATTACH_LIMIT)? {
            Some(lock) => Self::own(options, layout, lock, announce),
            None => Ok(Self {
                server: None,
                version: layout
                    .data_version()?
                    .map(|major| major.to_string())
                    .unwrap_or_default(),
                layout,
                _lock: None,
            }),
        }
    }

    fn own(
        options: &Options,
        layout: Layout,
        lock: Lock,
        announce: &mut dyn FnMut(Announcement),
    ) -> Result<Self, EmbeddedError> {
        if let Some(pid) = orphan::stop(&layout)? {
            announce(Announcement::StoppedOrphan { pid });
        }
        let data = layout.data_version()?;
        let binaries = binaries::find(options, &layout.cluster, data, announce)?;
        let account = account::choose(
            &layout.data_dir,
            &layout.cluster,
            &binaries.program("postgres"),
        )?;
        if data.is_none() {
            announce_first(&layout, &binaries, &account, announce);
            layout.init(&binaries, &account, options.fsync)?;
        }
        layout.create_socket_dir(&account)?;
        let server = Server::spawn(postgres(&layout, &binaries, &account, options.fsync)?)?;
        server.wait_ready(&layout, READY_LIMIT)?;
        let embedded = Self {
            server: Some(server),
            layout,
            version: binaries.version,
            _lock: Some(lock),
        };
        embedded.set_up_once()?;
        Ok(embedded)
    }

    /// The bootstrap superuser's only connection.
    fn set_up_once(&self) -> Result<(), EmbeddedError> {
        let done = &self.layout.set_up;
        if done.exists() {
            return Ok(());
        }
        set_up::first(self.url_of("postgres", "postgres"))?;
        File::create(done)
            .and_then(|file| file.sync_all())
            .map_err(EmbeddedError::folder("write", done))
    }

    /// The database `modelrow`, as the ordinary role of that name.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("modelrow", "modelrow")
    }

    /// The same database as the role that owns the schema and runs the migrations; no superuser either.
    #[must_use]
    pub fn owner_url(&self) -> String {
        self.url_of("modelrow_owner", "modelrow")
    }

    /// Any role, any database. Port and TLS are named, lest `PGPORT` or `PGSSLMODE` say otherwise.
    fn url_of(&self, role: &str, database: &str) -> String {
        let host = percent(self.layout.socket_dir.as_os_str().as_bytes());
        let database = utf8_percent_encode(database, NON_ALPHANUMERIC);
        format!("postgres://{role}@{host}:5432/{database}?sslmode=disable")
    }

    /// Makes a database that `modelrow_owner` owns; `template`: a copy of that one, to which nobody may be connected.
    /// For tests, which want one each.
    ///
    /// Returns its address for the ordinary role.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::SetUp`], also when the name is taken.
    pub fn create_database(
        &self,
        name: &str,
        template: Option<&str>,
    ) -> Result<String, EmbeddedError> {
        let template = template.map(|name| format!(" template {}", set_up::quoted(name)));
        let statement = format!(
            "create database {}{}",
            set_up::quoted(name),
            template.unwrap_or_default()
        );
        set_up::execute(self.url_of("modelrow_owner", "postgres"), statement)?;
        Ok(self.url_of("modelrow", name))
    }

    /// Of the server: `15.18`; of another process's server the major version only.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether the server is our child.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.server.is_some()
    }

    /// The last lines of the server's log; empty when there are none.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.layout.log_tail()
    }

    /// A handle to wait for the server's end; it may outlive `self`.
    #[must_use]
    pub fn exited(&self) -> Exited {
        Exited {
            shared: self.server.as_ref().map(Server::shared),
            layout: self.layout.clone(),
        }
    }

    /// Stops the server if it is ours: SIGINT, after `limit` SIGQUIT. Close every pool first.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::NotStopped`]: it had to be stopped the hard way, and the next start recovers.
    pub fn stop(mut self, limit: Duration) -> Result<(), EmbeddedError> {
        self.server
            .take()
            .map_or(Ok(()), |mut server| server.stop(limit))
    }
}

/// Waits for a server's end.
#[derive(Debug, Clone)]
pub struct Exited {
    /// Absent: another process's server.
    shared: Option<Arc<Shared>>,
    layout: Layout,
}

impl Exited {
    /// Blocks until the server has ended, so give it a thread of its own. `None`: we stopped it ourselves. An error
    /// holds the log's last lines, and the service must end with it.
    #[must_use]
    pub fn wait(&self) -> Option<EmbeddedError> {
        let reason = match &self.shared {
            Some(shared) => shared.wait()?.to_string(),
            None => self.wait_for_other(),
        };
        Some(EmbeddedError::Ended {
            reason: format!("{reason}\n{}", self.layout.log_tail()),
        })
    }

    /// The owner removes `postmaster.pid`, or its state is no longer `ready`.
    fn wait_for_other(&self) -> String {
        while self.layout.says_ready() {
            thread::sleep(10 * STEP);
        }
        "its owner has stopped it".to_owned()
    }
}

/// The lock; `None` when another process has it and its server is ready for us.
fn lock_or_attach(layout: &Layout, limit: Duration) -> Result<Option<Lock>, EmbeddedError> {
    let start = Instant::now();
    loop {
        if let Some(lock) = layout.try_lock()? {
            return Ok(Some(lock));
        }
        if layout.says_ready() && layout.set_up.exists() {
            return Ok(None);
        }
        if start.elapsed() > limit {
            return Err(EmbeddedError::InUse {
                dir: layout.data_dir.clone(),
            });
        }
        thread::sleep(STEP);
    }
}

fn announce_first(
    layout: &Layout,
    binaries: &Binaries,
    account: &Account,
    announce: &mut dyn FnMut(Announcement),
) {
    announce(Announcement::Creating {
        data_dir: layout.data_dir.clone(),
        version: binaries.version.clone(),
    });
    match account {
        Account::Same => {}
        Account::Drop { name, .. } => announce(Announcement::RunsAs { user: name.clone() }),
        Account::Namespace { .. } => announce(Announcement::InNamespace),
    }
}

/// No port; the socket's folder is closed to others, its owner is trusted.
fn postgres(
    layout: &Layout,
    binaries: &Binaries,
    account: &Account,
    fsync: bool,
) -> Result<std::process::Command, EmbeddedError> {
    let log = layout.open_log()?;
    let again = log
        .try_clone()
        .map_err(EmbeddedError::folder("open", &layout.log))?;
    let mut command = child::command(&binaries.program("postgres"), account, &layout.data_dir);
    command.arg("-D").arg(&layout.cluster);
    for setting in [
        "listen_addresses=",
        "port=5432",
        "unix_socket_permissions=0700",
        "logging_collector=off",
    ] {
        command.args(["-c", setting]);
    }
    command.arg("-c").arg(socket_setting(&layout.socket_dir));
    if !fsync {
        // Tests, many at once.
        for setting in [
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=300",
        ] {
            command.args(["-c", setting]);
        }
    }
    command.stdout(log).stderr(again);
    Ok(command)
}

/// A list of folders, so the path is quoted.
fn socket_setting(dir: &Path) -> OsString {
    let mut setting = OsString::from("unix_socket_directories=\"");
    setting.push(dir);
    setting.push("\"");
    setting
}

fn percent(bytes: &[u8]) -> String {
    percent_encoding::percent_encode(bytes, NON_ALPHANUMERIC).to_string()
}

/// Removes what a finished server has left; for tests.
fn remove(data_dir: &Path) {
    // What cannot be removed now is removed by a later run.
    let _left = fs::remove_dir_all(data_dir);
}
