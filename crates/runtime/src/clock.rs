//! The wall clock as a port, so that every rule about validity can be tested at any instant.

use std::time::SystemTime;

/// Tells the wall time. Timers are tokio's; only validity periods need a `Clock`.
pub trait Clock: Send + Sync + 'static {
    /// The current wall time.
    fn now(&self) -> SystemTime;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one home of the wall clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A wall clock that starts at a chosen instant and follows tokio's clock: in a test with paused
/// time, advancing the timers advances the wall time with them.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    base: SystemTime,
    started: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that shows `base` now. Must be called inside a tokio runtime.
    pub fn starting_at(base: SystemTime) -> Self {
        Self {
            base,
            started: tokio::time::Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> SystemTime {
        self.base + self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[tokio::test(start_paused = true)]
    async fn tokio_clock_follows_paused_time() {
        let clock = TokioClock::starting_at(UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), UNIX_EPOCH + Duration::from_secs(90));
    }
}
