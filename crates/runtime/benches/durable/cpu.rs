//! Processor time of processes, as `/proc` counts it: on a machine that others use it says more than the clock on the wall.

use std::time::Duration;

/// A tick of `/proc/<pid>/stat`: `USER_HZ` is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Where the figures stand in `/proc/<pid>/stat`, counted from behind the name: state is 0.
const PARENT: usize = 1;
const OWN: std::ops::Range<usize> = 11..13;
const WITH_ENDED: std::ops::Range<usize> = 11..15;

/// Of a process itself.
pub(crate) fn of(pid: u32) -> Duration {
    spent(&stat(pid).unwrap(), OWN)
}

/// Of this process, and of the children that it has waited for.
pub(crate) fn of_us_and_ended() -> Duration {
    spent(&stat(std::process::id()).unwrap(), WITH_ENDED)
}

/// Of a process and its children, those that have ended too: a server with a process for each connection.
pub(crate) fn of_family(pid: u32) -> Duration {
    let pids = std::fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let stats = pids.filter_map(|pid: u32| stat(pid));
    let children = stats.filter(|stat| stat[PARENT] == u64::from(pid));
    let children: Duration = children.map(|stat| spent(&stat, OWN)).sum();
    spent(&stat(pid).unwrap(), WITH_ENDED) + children
}

/// `None`: it has ended meanwhile. The name may hold anything, and ends at the last bracket.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(
        rest.split_whitespace()
            .map(|word| word.parse().unwrap_or(0))
            .collect(),
    )
}

fn spent(stat: &[u64], fields: std::ops::Range<usize>) -> Duration {
    let ticks: u64 = stat[fields].iter().sum();
    TICK * u32::try_from(ticks).unwrap()
}

/// What one unit of `n` took.
pub(crate) fn each(spent: Duration, n: u64) -> f64 {
    spent.as_secs_f64() * 1e6 / n as f64
}
