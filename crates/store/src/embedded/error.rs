//! What can keep the private PostgreSQL from running, in words for its owner.

use super::install;
use diag::{Code, Diagnostic, Place};
use std::io;
use std::path::PathBuf;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The chain of places to look at is at its end.
    #[error("no PostgreSQL server programs were found ({tried})")]
    NoBinaries {
        /// Every place that was looked at, and why it did not serve.
        tried: String,
    },
    /// The data folder was made by another major version.
    #[error("`{}` holds data of PostgreSQL {data}, but the programs at hand are of version {found}", .dir.display())]
    VersionMismatch {
        /// The cluster.
        dir: PathBuf,
        /// Major version of the data.
        data: u32,
        /// Major versions of the programs found.
        found: String,
    },
    /// The system's limit for the path of a socket.
    #[error("the socket folder `{}` is {length} bytes long, the system allows {limit}", .dir.display())]
    PathTooLong {
        /// The folder for the socket.
        dir: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// An archive that is not the one we know.
    #[error("`{}` has the SHA-256 {found}, not {expected}", .file.display())]
    DigestMismatch {
        /// The archive.
        file: PathBuf,
        /// From the table.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// The archive did not come.
    #[error("the PostgreSQL archive could not be fetched: {reason}")]
    Fetch {
        /// The last words of the program that was to fetch it.
        reason: String,
    },
    /// Neither a change of user nor a user namespace works here.
    #[error("PostgreSQL refuses to run as this user, and no other is possible: {reason}")]
    NoAccount {
        /// What was tried, and what the system said.
        reason: String,
    },
    /// A file or folder of ours.
    #[error("cannot {doing} `{}`", .path.display())]
    Folder {
        /// A verb.
        doing: &'static str,
        /// What it was about.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// `initdb` said no.
    #[error("`initdb` failed: {output}")]
    Initdb {
        /// Its last lines.
        output: String,
    },
    /// The server ended, or did not get ready in time.
    #[error("PostgreSQL did not start: {reason}")]
    NotReady {
        /// How it ended, or how long we waited; with the log's last lines.
        reason: String,
    },
    /// Another process holds the folder.
    #[error("`{}` is in use, and no server answers there", .dir.display())]
    InUse {
        /// The data folder.
        dir: PathBuf,
    },
    /// A server without an owner that does not go away.
    #[error("process {pid} of an earlier start still uses the data folder")]
    Orphan {
        /// Its process id.
        pid: i32,
    },
    /// The roles and the database could not be made.
    #[error("the roles or the database could not be set up")]
    SetUp(#[source] sqlx::Error),
    /// It did not go in time and was killed.
    #[error("PostgreSQL did not stop within {limit_ms} ms")]
    NotStopped {
        /// All three limits together.
        limit_ms: u128,
    },
    /// The server ended while it was needed.
    #[error("PostgreSQL ended: {reason}")]
    Ended {
        /// Its exit status, and its log's last lines.
        reason: String,
    },
    /// A thread could not be started, or ended before its work was done.
    #[error("a thread of the supervisor is missing")]
    Thread(#[source] Option<io::Error>),
}

impl EmbeddedError {
    /// Its page.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoBinaries { .. } => Code::S101,
            Self::VersionMismatch { .. } => Code::S102,
            Self::PathTooLong { .. } => Code::S103,
            Self::DigestMismatch { .. } => Code::S104,
            Self::Fetch { .. } => Code::S105,
            Self::NoAccount { .. } => Code::S106,
            Self::Folder { .. } => Code::S107,
            Self::Initdb { .. } => Code::S108,
            Self::NotReady { .. } => Code::S109,
            Self::InUse { .. } => Code::S110,
            Self::Orphan { .. } => Code::S111,
            Self::SetUp(_) => Code::S112,
            Self::NotStopped { .. } => Code::S113,
            Self::Ended { .. } => Code::S114,
            Self::Thread(_) => Code::S115,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoBinaries { .. } | Self::Fetch { .. } => format!(
                "install it with `{}`, name the folder of its programs in `MODELROW_PG_BIN`, or set `DATABASE_URL`",
                install::command()
            ),
            Self::VersionMismatch { dir, data, .. } => format!(
                "either install PostgreSQL {data} and name its programs in `MODELROW_PG_BIN`, or dump the data with \
                 version {data}, move `{}` away, start again and restore the dump",
                dir.display()
            ),
            Self::PathTooLong { .. } => "choose a data folder with a shorter path".into(),
            Self::DigestMismatch { .. } => {
                "do not use the file; delete it and try again, or install PostgreSQL yourself"
                    .into()
            }
            Self::NoAccount { .. } => {
                "start the program as an ordinary user, or set `DATABASE_URL`".into()
            }
            Self::Folder { .. } => {
                "check that the folder exists, is writable and has free space".into()
            }
            Self::Initdb { .. } => {
                "read its lines above; nothing was left behind, so the next start tries again"
                    .into()
            }
            Self::NotReady { .. } | Self::Ended { .. } => {
                "read the log lines above; the data folder is as the server left it".into()
            }
            Self::InUse { .. } => {
                "wait for the other process to start or end, or choose another data folder".into()
            }
            Self::Orphan { pid } => {
                format!("end process {pid}, then start again; do not delete `postmaster.pid`")
            }
            Self::SetUp(_) => "read the cause below; the next start tries again".into(),
            Self::NotStopped { .. } => "nothing: the next start recovers from its log".into(),
            Self::Thread(_) => "raise the limit on threads or memory, then start again".into(),
        }
    }

    /// The same as a diagnostic about `data_dir`.
    #[must_use]
    pub fn diagnostic(&self, data_dir: &std::path::Path) -> Diagnostic {
        let place = Place {
            source: Some(data_dir.display().to_string()),
            ..Place::default()
        };
        Diagnostic::error(self.code(), place, self.to_string(), self.help())
    }

    /// For `map_err` on a call of the file system.
    pub(super) fn folder(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Folder {
            doing,
            path,
            source,
        }
    }
}
