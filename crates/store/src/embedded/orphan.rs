//! What an earlier start may have left running. Called with the lock in hand: whoever runs there has no owner.

use super::cluster::Layout;
use super::error::EmbeddedError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::thread;
use std::time::{Duration, Instant};

/// For a fast shutdown; after that the hard one.
const FAST_LIMIT: Duration = Duration::from_secs(20);
/// For the hard one, and for a dead server to be reaped by its parent.
const HARD_LIMIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(10);

/// Stops the server of this folder, if one runs, and waits until nothing of it is left.
///
/// Returns the process that was stopped.
pub(super) fn stop(layout: &Layout) -> Result<Option<i32>, EmbeddedError> {
    let first = running(layout).into_iter().next();
    for (signal, limit) in [(Signal::SIGINT, FAST_LIMIT), (Signal::SIGQUIT, HARD_LIMIT)] {
        if ask_and_wait(layout, signal, limit) {
            break;
        }
    }
    match running(layout).first() {
        Some(pid) => Err(EmbeddedError::Orphan { pid: *pid }),
        None => wait_for_reaping(layout, HARD_LIMIT).map(|()| first),
    }
}

/// Whether nothing runs any more.
fn ask_and_wait(layout: &Layout, signal: Signal, limit: Duration) -> bool {
    // Only the postmaster is asked, unless it is gone: its children would read the signal as "cancel the query".
    let pids = running(layout);
    let postmaster = layout.pid_file_pid().filter(|pid| pids.contains(pid));
    let asked = postmaster.map_or(pids, |pid| vec![pid]);
    for pid in asked {
        // It may be gone by now, which is what we want.
        let _gone = kill(Pid::from_raw(pid), signal);
    }
    wait_until(limit, || running(layout).is_empty())
}

/// A dead server that its parent has not reaped blocks the start; its file must not be deleted.
pub(super) fn wait_for_reaping(layout: &Layout, limit: Duration) -> Result<(), EmbeddedError> {
    let Some(pid) = layout.pid_file_pid() else {
        return Ok(());
    };
    if wait_until(limit, || !is_zombie(pid)) {
        Ok(())
    } else {
        Err(EmbeddedError::Orphan { pid })
    }
}

fn wait_until(limit: Duration, done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(STEP);
    }
    true
}

/// Processes whose working directory is the cluster: the server and its children, and nobody else.
#[cfg(target_os = "linux")]
fn running(layout: &Layout) -> Vec<i32> {
    let Ok(cluster) = std::fs::canonicalize(&layout.cluster) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| works_in(*pid, &cluster, &layout.cluster))
        .collect()
}

/// Another user's working directory may be closed to us (a container's root lacks `CAP_SYS_PTRACE`); the command line,
/// in which we named the folder, never is.
#[cfg(target_os = "linux")]
fn works_in(pid: i32, canonical: &std::path::Path, named: &std::path::Path) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    if let Ok(cwd) = std::fs::read_link(format!("/proc/{pid}/cwd")) {
        return cwd == canonical;
    }
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut args = line.split(|byte| *byte == 0);
    args.any(|arg| arg == b"-D") && args.next() == Some(named.as_os_str().as_bytes())
}

/// No `/proc`: the process of `postmaster.pid`, if it is a server of this folder.
#[cfg(not(target_os = "linux"))]
fn running(layout: &Layout) -> Vec<i32> {
    let Some(pid) = layout.pid_file_pid() else {
        return Vec::new();
    };
    let out = std::process::Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output();
    let cluster = layout.cluster.display().to_string();
    let ours = out.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains(&cluster));
    if ours { vec![pid] } else { Vec::new() }
}

#[cfg(target_os = "linux")]
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which stands in brackets and may hold anything (proc(5)).
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'))
}

#[cfg(not(target_os = "linux"))]
fn is_zombie(pid: i32) -> bool {
    let out = std::process::Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output();
    out.is_ok_and(|out| out.stdout.starts_with(b"Z"))
}
