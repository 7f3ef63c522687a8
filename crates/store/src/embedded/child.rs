//! A child of ours: its user, its session, and its end when we end.
//!
//! The only place with unsafe code: what runs between `fork` and `exec`.

use super::account::Account;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What happens in the child before the program starts.
struct SetUp {
    /// The lines of `uid_map` and `gid_map`, written before the fork: nothing is allocated after it.
    maps: Option<(String, String)>,
    #[cfg(target_os = "linux")]
    parent: nix::unistd::Pid,
}

/// A program of PostgreSQL's, to run as `account` in `dir`, in a session of its own (so that Ctrl-C reaches only us).
///
/// On Linux it gets SIGINT when the *thread* that spawns it ends; spawn it from one that lives as long as the child.
pub(super) fn command(program: &Path, account: &Account, dir: &Path) -> Command {
    let mut command = Command::new(program);
    // A clean environment: `PGDATA`, `PGPORT` and others would change what the programs do.
    command
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC")].map(os))
        .current_dir(dir)
        .stdin(Stdio::null());
    if let Account::Drop { uid, gid, .. } = account {
        command.uid(*uid).gid(*gid);
    }
    let set_up = SetUp {
        maps: account.maps(),
        #[cfg(target_os = "linux")]
        parent: nix::unistd::getpid(),
    };
    before_exec(&mut command, set_up);
    command
}

fn os(pair: (&'static str, &'static str)) -> (&'static OsStr, &'static OsStr) {
    (OsStr::new(pair.0), OsStr::new(pair.1))
}

#[expect(
    unsafe_code,
    reason = "the death signal, the session and the user namespace can be set in the child only"
)]
fn before_exec(command: &mut Command, set_up: SetUp) {
    // SAFETY: the closure makes system calls and nothing else: no allocation, no lock, no panic. The standard library
    // runs it after the change of user, as the death signal needs it (the kernel clears the signal on that change).
    unsafe {
        command.pre_exec(move || set_up.run());
    }
}

impl SetUp {
    fn run(&self) -> io::Result<()> {
        nix::unistd::setsid()?;
        self.enter_namespace()?;
        self.die_with_parent()
    }

    #[cfg(target_os = "linux")]
    fn enter_namespace(&self) -> io::Result<()> {
        let Some((uids, gids)) = &self.maps else {
            return Ok(());
        };
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)?;
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", uids)?;
        std::fs::write("/proc/self/gid_map", gids)
    }

    #[cfg(not(target_os = "linux"))]
    fn enter_namespace(&self) -> io::Result<()> {
        match self.maps {
            Some(_) => Err(io::ErrorKind::Unsupported.into()),
            None => Ok(()),
        }
    }

    #[cfg(target_os = "linux")]
    fn die_with_parent(&self) -> io::Result<()> {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGINT)?;
        // The parent may have ended before the line above.
        if nix::unistd::getppid() == self.parent {
            Ok(())
        } else {
            Err(io::Error::from(nix::errno::Errno::ESRCH))
        }
    }

    /// There is no death signal: the next start stops the orphan.
    #[cfg(not(target_os = "linux"))]
    fn die_with_parent(&self) -> io::Result<()> {
        Ok(())
    }
}
