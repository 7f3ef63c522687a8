//! The running server: one thread starts it, lives as long as it does, and says when it ended.

use super::cluster::Layout;
use super::error::EmbeddedError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// After SIGQUIT, and again after SIGKILL.
const HARD_LIMIT: Duration = Duration::from_secs(5);
/// For the fast shutdown of a server that is dropped, not stopped.
const DROP_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks at `postmaster.pid`.
const STEP: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    ended: Option<ExitStatus>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until the child has ended; `None` when that was asked for.
    pub(super) fn wait(&self) -> Option<ExitStatus> {
        let mut state = self.lock();
        loop {
            match state.ended {
                Some(_) if state.stopping => return None,
                Some(status) => return Some(status),
                None => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }

    fn ended(&self) -> Option<ExitStatus> {
        self.lock().ended
    }

    fn ended_within(&self, limit: Duration) -> bool {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, limit, |state| state.ended.is_none());
        waited
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .ended
            .is_some()
    }
}

/// A child that we own.
#[derive(Debug)]
pub(super) struct Server {
    pid: Pid,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts `command` on a thread of its own: the child's death signal follows that thread.
    pub(super) fn spawn(command: Command) -> Result<Self, EmbeddedError> {
        let program = std::path::PathBuf::from(command.get_program());
        let shared = Arc::new(Shared::default());
        let (started, start) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("postgres-supervisor".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || supervise(command, &started, &shared)
            })
            .map_err(|error| EmbeddedError::Thread(Some(error)))?;
        let pid = start
            .recv()
            .map_err(|_| EmbeddedError::Thread(None))?
            .map_err(EmbeddedError::folder("run", program))?;
        Ok(Self {
            pid,
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Waits until `postmaster.pid` says that *this* child is ready.
    pub(super) fn wait_ready(&self, layout: &Layout, limit: Duration) -> Result<(), EmbeddedError> {
        let start = Instant::now();
        loop {
            if layout.pid_file_pid() == Some(self.pid.as_raw()) && layout.says_ready() {
                return Ok(());
            }
            let reason = match self.shared.ended() {
                Some(status) => status.to_string(),
                None if start.elapsed() > limit => format!("not ready after {} s", limit.as_secs()),
                None => {
                    thread::sleep(STEP);
                    continue;
                }
            };
            return Err(EmbeddedError::NotReady {
                reason: format!("{reason}\n{}", layout.log_tail()),
            });
        }
    }

    /// Fast shutdown within `limit`, then an immediate one, then the end.
    pub(super) fn stop(&mut self, limit: Duration) -> Result<(), EmbeddedError> {
        self.shared.lock().stopping = true;
        let steps = [
            (Signal::SIGINT, limit),
            (Signal::SIGQUIT, HARD_LIMIT),
            (Signal::SIGKILL, HARD_LIMIT),
        ];
        for (signal, limit) in steps {
            self.signal(signal);
            if self.shared.ended_within(limit) {
                self.join();
                return match signal {
                    Signal::SIGINT => Ok(()),
                    _ => Err(not_stopped(limit)),
                };
            }
        }
        Err(not_stopped(limit))
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported where it happened.
            let _ended = thread.join();
        }
    }

    /// Under the lock: the child is reaped under it too, so the id is not another process's.
    fn signal(&self, signal: Signal) {
        let state = self.shared.lock();
        if state.ended.is_none() {
            // Without the right to signal it there is nothing left to do; the time limit reports it.
            let _refused = kill(self.pid, signal);
        }
    }
}

fn not_stopped(limit: Duration) -> EmbeddedError {
    EmbeddedError::NotStopped {
        limit_ms: limit.as_millis(),
    }
}

fn supervise(mut command: Command, started: &mpsc::Sender<io::Result<Pid>>, shared: &Shared) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            // The other side waits for this message and nothing else.
            let _received = started.send(Err(error));
            return;
        }
    };
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let _received = started.send(Ok(pid));
    reap(&mut child, pid, shared);
    shared.changed.notify_all();
}

/// Blocks until the child is dead, and only then takes the lock to reap it.
#[cfg(target_os = "linux")]
fn reap(child: &mut Child, pid: Pid, shared: &Shared) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(nix::errno::Errno::EINTR) {}
    let mut state = shared.lock();
    // It cannot fail: nobody else reaps this child.
    state.ended = Some(child.wait().unwrap_or_default());
}

/// Without `waitid` a look every 50 ms.
#[cfg(not(target_os = "linux"))]
fn reap(child: &mut Child, _pid: Pid, shared: &Shared) {
    loop {
        let mut state = shared.lock();
        match child.try_wait() {
            Ok(None) => {}
            ended => {
                state.ended = Some(ended.ok().flatten().unwrap_or_default());
                return;
            }
        }
        drop(state);
        thread::sleep(Duration::from_millis(50));
    }
}

/// Nothing outlives its owner.
impl Drop for Server {
    fn drop(&mut self) {
        if self.shared.ended().is_none() {
            // Nobody is left to tell.
            let _stopped = self.stop(DROP_LIMIT);
        }
    }
}
