//! Which refused handshakes are told: anybody can have as many of them as they like, and must not
//! fill the disk with them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// In this time so many are told; the others are counted.
const PERIOD: Duration = Duration::from_secs(10);
const TOLD: u32 = 10;

/// The refused handshakes of an acceptor.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    since: Option<Instant>,
    told: u32,
    untold: u64,
}

impl Refusals {
    /// Counts one. If it is to be told: how many were not since the last that was.
    pub(crate) fn one_more(&self, now: Instant) -> Option<u64> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since: Instant| now.duration_since(since) >= PERIOD;
        if count.since.is_none_or(is_over) {
            count.since = Some(now);
            count.told = 0;
        }
        if count.told >= TOLD {
            count.untold += 1;
            return None;
        }
        count.told += 1;
        Some(std::mem::take(&mut count.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_are_told_and_a_flood_is_counted() {
        let refusals = Refusals::default();
        let begun = Instant::now();
        for _ in 0..TOLD {
            assert_eq!(refusals.one_more(begun), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(refusals.one_more(begun + PERIOD / 2), None);
        }
        assert_eq!(refusals.one_more(begun + PERIOD), Some(1000));
        assert_eq!(refusals.one_more(begun + PERIOD), Some(0));
    }
}
