//! The data folder: what lies where, and the first cluster in it.

use super::account::Account;
use super::binaries::Binaries;
use super::child;
use super::error::EmbeddedError;
use super::fetch::set_mode;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// With `/.s.PGSQL.5432` and its end this stays below 104 bytes, the smallest `sun_path` there is (macOS; Linux: 108).
const SOCKET_DIR_LIMIT: usize = 88;
/// The log starts anew when it is larger at a start.
const LOG_LIMIT: u64 = 8 << 20;
/// How much of the log's end is looked at.
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 12;

/// The paths in a data folder.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) data_dir: PathBuf,
    /// What `initdb` makes.
    pub(super) cluster: PathBuf,
    /// Its name until it is whole.
    new_cluster: PathBuf,
    pub(super) socket_dir: PathBuf,
    pub(super) log: PathBuf,
    lock: PathBuf,
    /// Exists once the roles and the database do.
    pub(super) set_up: PathBuf,
}

/// The ownership of a data folder.
#[derive(Debug)]
pub(super) struct Lock(File);

/// Closing alone would not do: a child of another thread holds a copy between its `fork` and its `exec`.
impl Drop for Lock {
    fn drop(&mut self) {
        // The system drops the lock with the last copy anyway.
        let _released = self.0.unlock();
    }
}

impl Layout {
    /// Absolute, and short enough for a socket.
    pub(super) fn new(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let data_dir =
            std::path::absolute(data_dir).map_err(EmbeddedError::folder("find", data_dir))?;
        let socket_dir = data_dir.join("run");
        let length = socket_dir.as_os_str().as_bytes().len();
        if length > SOCKET_DIR_LIMIT {
            return Err(EmbeddedError::PathTooLong {
                dir: socket_dir,
                length,
                limit: SOCKET_DIR_LIMIT,
            });
        }
        Ok(Self {
            cluster: data_dir.join("pg"),
            new_cluster: data_dir.join("pg.new"),
            log: data_dir.join("postgres.log"),
            lock: data_dir.join("lock"),
            set_up: data_dir.join("set-up-1"),
            socket_dir,
            data_dir,
        })
    }

    /// Makes the data folder if it is missing. For root others may pass through it, since the server is another user;
    /// what is inside stays closed.
    pub(super) fn create(&self) -> Result<(), EmbeddedError> {
        if self.data_dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = self.data_dir.parent() {
            fs::create_dir_all(parent).map_err(EmbeddedError::folder("create", parent))?;
        }
        let mode = if nix::unistd::geteuid().is_root() {
            0o711
        } else {
            0o700
        };
        match fs::create_dir(&self.data_dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made
                .map_err(EmbeddedError::folder("create", &self.data_dir))
                .and_then(|()| set_mode(&self.data_dir, mode)),
        }
    }

    /// `flock` decides who owns the folder; `None`: another process does.
    pub(super) fn try_lock(&self) -> Result<Option<Lock>, EmbeddedError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&self.lock)
            .map_err(EmbeddedError::folder("open", &self.lock))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => {
                Err(EmbeddedError::folder("lock", &self.lock)(error))
            }
        }
    }

    /// Major version of the data; `None`: no cluster yet.
    pub(super) fn data_version(&self) -> Result<Option<u32>, EmbeddedError> {
        let file = self.cluster.join("PG_VERSION");
        match fs::read_to_string(&file) {
            Ok(text) => match text.trim().parse() {
                Ok(major) => Ok(Some(major)),
                Err(_) => Err(EmbeddedError::folder("read", file)(
                    io::ErrorKind::InvalidData.into(),
                )),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.cluster.exists() => {
                Ok(None)
            }
            Err(error) => Err(EmbeddedError::folder("read", file)(error)),
        }
    }

    /// Makes the cluster under a temporary name and renames it: an interrupted run is never taken for one.
    pub(super) fn init(
        &self,
        binaries: &Binaries,
        account: &Account,
        fsync: bool,
    ) -> Result<(), EmbeddedError> {
        if self.new_cluster.exists() {
            fs::remove_dir_all(&self.new_cluster)
                .map_err(EmbeddedError::folder("remove", &self.new_cluster))?;
        }
        make_closed(&self.new_cluster, account)?;
        let mut initdb = child::command(&binaries.program("initdb"), account, &self.data_dir);
        initdb
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--data-checksums",
            ])
            .args(locale(binaries.major))
            .arg("--pgdata")
            .arg(&self.new_cluster);
        if !fsync {
            initdb.arg("--no-sync");
        }
        let out = initdb
            .output()
            .map_err(EmbeddedError::folder("run", binaries.program("initdb")))?;
        if !out.status.success() {
            let text = [out.stdout, out.stderr].concat();
            return Err(EmbeddedError::Initdb {
                output: last_lines(&String::from_utf8_lossy(&text)),
            });
        }
        fs::rename(&self.new_cluster, &self.cluster)
            .map_err(EmbeddedError::folder("create", &self.cluster))?;
        self.sync(fsync)
    }

    /// The rename must be on disk before a row is acknowledged.
    fn sync(&self, fsync: bool) -> Result<(), EmbeddedError> {
        if !fsync {
            return Ok(());
        }
        File::open(&self.data_dir)
            .and_then(|dir| dir.sync_all())
            .map_err(EmbeddedError::folder("sync", &self.data_dir))
    }

    /// The folder of the socket: with `trust` inside, its mode is the only guard.
    pub(super) fn create_socket_dir(&self, account: &Account) -> Result<(), EmbeddedError> {
        if !self.socket_dir.exists() {
            return make_closed(&self.socket_dir, account);
        }
        set_mode(&self.socket_dir, 0o700)
    }

    /// For the server's own words.
    pub(super) fn open_log(&self) -> Result<File, EmbeddedError> {
        let large = self.log.metadata().is_ok_and(|meta| meta.len() > LOG_LIMIT);
        if large {
            fs::remove_file(&self.log).map_err(EmbeddedError::folder("remove", &self.log))?;
        }
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(EmbeddedError::folder("open", &self.log))
    }

    /// The log's last lines; empty when there are none.
    pub(super) fn log_tail(&self) -> String {
        tail(&self.log).map_or_else(|_| String::new(), |text| last_lines(&text))
    }

    /// Line `number` (from 1) of `postmaster.pid`.
    pub(super) fn pid_file_line(&self, number: usize) -> Option<String> {
        let text = fs::read_to_string(self.cluster.join("postmaster.pid")).ok()?;
        let line = text.lines().nth(number.checked_sub(1)?)?;
        Some(line.trim().to_owned())
    }

    /// The process id in `postmaster.pid`.
    pub(super) fn pid_file_pid(&self) -> Option<i32> {
        self.pid_file_line(1)?.parse().ok()
    }

    /// Line 8 is the state; the other lines are in the manual of no version: `src/include/utils/pidfile.h`.
    pub(super) fn says_ready(&self) -> bool {
        self.pid_file_line(8).is_some_and(|state| state == "ready")
    }
}

/// `C.UTF-8`: built in from 17 on, so that no version of the C library changes an order.
fn locale(major: u32) -> &'static [&'static str] {
    if major >= 17 {
        &[
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]
    } else {
        &["--locale=C.UTF-8"]
    }
}

fn make_closed(dir: &Path, account: &Account) -> Result<(), EmbeddedError> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(dir)
        .map_err(EmbeddedError::folder("create", dir))?;
    account.own(dir)
}

fn tail(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let skip = lines.len().saturating_sub(TAIL_LINES);
    lines.into_iter().skip(skip).collect::<Vec<_>>().join("\n")
}
