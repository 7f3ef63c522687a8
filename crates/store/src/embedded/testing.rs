//! A server for tests: one per process, one database per test, gone with the process.

use super::cluster::Layout;
use super::{Embedded, Options, orphan, remove, set_up};
use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Before the process id, in the folder for temporary files.
const PREFIX: &str = "modelrow-pg-";
const TEMPLATE: &str = "migrated";

/// A server without `fsync`. On Linux it ends with this process; its folder is removed by a later one.
#[derive(Debug)]
pub struct TestServer {
    embedded: Embedded,
    template: OnceLock<()>,
    count: AtomicU32,
}

/// A database of one test.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    /// As the ordinary role.
    pub url: String,
    /// As the owner of the schema.
    pub owner_url: String,
}

/// The server of this process, started by the first call.
///
/// # Panics
///
/// When it cannot be started: the message says why and what to do.
#[expect(clippy::panic, reason = "a test cannot go on without it")]
pub fn server() -> &'static TestServer {
    static SERVER: OnceLock<TestServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let temp = std::env::temp_dir();
        remove_stale(&temp);
        let options = options(temp.join(format!("{PREFIX}{}", std::process::id())));
        match Embedded::start(&options, &mut |_| {}) {
            Ok(embedded) => TestServer {
                embedded,
                template: OnceLock::new(),
                count: AtomicU32::new(0),
            },
            Err(error) => panic!("{}", error.diagnostic(&options.data_dir)),
        }
    })
}

impl TestServer {
    /// A new database, a copy of one that `migrate` has been run on (by the first call only, with the owner's address).
    ///
    /// Blocks for some 20 ms; may be called inside a runtime.
    ///
    /// # Panics
    ///
    /// When `migrate` does, or a database cannot be made.
    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    pub fn database<F, W>(&self, migrate: F) -> TestDatabase
    where
        F: FnOnce(String) -> W + Send,
        W: Future<Output = ()>,
    {
        self.template.get_or_init(|| {
            self.create(TEMPLATE, None);
            let url = self.embedded.url_of("modelrow_owner", TEMPLATE);
            let work = || {
                let work = migrate(url);
                set_up::run(async {
                    work.await;
                    Ok(())
                })
            };
            match thread::scope(|scope| scope.spawn(work).join()) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => panic!("{error}"),
                Err(panicked) => std::panic::resume_unwind(panicked),
            }
        });
        let name = format!("t{}", self.count.fetch_add(1, Ordering::Relaxed));
        TestDatabase {
            url: self.create(&name, Some(TEMPLATE)),
            owner_url: self.embedded.url_of("modelrow_owner", &name),
        }
    }

    /// The server itself.
    #[must_use]
    pub fn embedded(&self) -> &Embedded {
        &self.embedded
    }

    #[expect(clippy::panic, reason = "a test cannot go on without it")]
    fn create(&self, name: &str, template: Option<&str>) -> String {
        match self.embedded.create_database(name, template) {
            Ok(url) => url,
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }
}

/// Programs and cache as the environment has them; `MODELROW_PG_BIN` chooses the version to test on.
fn options(data_dir: PathBuf) -> Options {
    let found = Options::default_for_user(|name| std::env::var_os(name));
    let options = found.unwrap_or_else(|_| Options::new(PathBuf::new(), std::env::temp_dir()));
    Options {
        data_dir,
        fsync: false,
        ..options
    }
}

/// Folders whose process is gone and whose lock is free.
fn remove_stale(temp: &Path) {
    let entries = std::fs::read_dir(temp)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    for entry in entries {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        let dead = pid.is_some_and(|pid| {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err()
        });
        let lock = File::open(entry.path().join("lock"));
        if dead && lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            // Where there is no death signal its server may still run.
            let stopped = Layout::new(&entry.path()).and_then(|layout| orphan::stop(&layout));
            if stopped.is_ok() {
                remove(&entry.path());
            }
        }
    }
}
