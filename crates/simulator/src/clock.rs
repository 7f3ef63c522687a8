//! The simulator's time: real time, sped up or skipped on request, so that no test waits for a job.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Simulated seconds per real second: at this speed the clock still counts for thousands of years.
const FASTEST: f64 = 1e7;

/// Milliseconds since the Unix epoch, as jobs see them.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_ms: u64,
    speed: f64,
    skipped_ms: watch::Sender<u64>,
}

impl Clock {
    /// `speed` is simulated seconds per real second, from 0.001 to 10 million.
    pub(crate) fn new(speed: f64) -> Self {
        Self {
            started: Instant::now(),
            started_ms: wall_ms(),
            speed: if speed.is_nan() {
                1.0
            } else {
                speed.clamp(0.001, FASTEST)
            },
            skipped_ms: watch::Sender::new(0),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let run = self.started.elapsed().mul_f64(self.speed);
        self.started_ms
            .saturating_add(millis(run))
            .saturating_add(*self.skipped_ms.borrow())
    }

    /// The time of the world, for what others check against their own clocks.
    pub(crate) fn world_ms(&self) -> u64 {
        self.started_ms + millis(self.started.elapsed())
    }

    pub(crate) fn skip(&self, by: Duration) {
        self.skipped_ms
            .send_modify(|skipped| *skipped = skipped.saturating_add(millis(by)));
    }

    /// Cancel safety: may be dropped at any point.
    pub(crate) async fn wait_until(&self, at_ms: u64) {
        let mut skipped = self.skipped_ms.subscribe();
        loop {
            let left_ms = at_ms.saturating_sub(self.now_ms());
            if left_ms == 0 {
                return;
            }
            let sleep = Duration::from_millis(left_ms).div_f64(self.speed);
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                _ = skipped.changed() => {}
            }
        }
    }
}

/// Saturates after half a billion years.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the simulator reads the wall clock"
)]
fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}
