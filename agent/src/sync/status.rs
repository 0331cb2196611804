//! How fresh what the agent holds is, and a way to ask for it to be fresher.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How long somebody who would be denied waits for news from the server.
const WAIT_FOR_NEWS: Duration = Duration::from_secs(5);

/// When the server last confirmed that the agent holds what it should.
pub struct Freshness {
    confirmed: watch::Sender<Option<Instant>>,
    /// Younger than this needs no asking, in milliseconds: what a stream's heartbeat or a polling
    /// interval make normal.
    tolerance: AtomicU64,
    asked: Notify,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            confirmed: watch::Sender::new(None),
            tolerance: AtomicU64::new(0),
            asked: Notify::new(),
        }
    }
}

impl Freshness {
    /// Nothing is confirmed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Up to which age what is held counts as fresh.
    pub fn set_tolerance(&self, age: Duration) {
        let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.tolerance.store(millis, Ordering::Relaxed);
    }

    /// The server confirmed just now.
    pub fn confirm(&self) {
        self.confirmed.send_replace(Some(Instant::now()));
    }

    /// Waits until the server has confirmed once.
    pub async fn first(&self) {
        let mut seen = self.confirmed.subscribe();
        // The sender lives as long as we do.
        let _closed = seen.wait_for(Option::is_some).await;
    }

    /// Whether the server has confirmed once.
    pub fn is_synced(&self) -> bool {
        self.confirmed.borrow().is_some()
    }

    /// When the server confirmed last.
    pub fn last(&self) -> Option<Instant> {
        *self.confirmed.borrow()
    }

    /// The time since the last confirmation.
    pub fn age(&self) -> Option<Duration> {
        self.confirmed.borrow().map(|at| at.elapsed())
    }

    /// Returns at once when what is held is fresh; else asks for news and waits for them, some
    /// seconds at most.
    pub async fn refreshed(&self) {
        let tolerance = Duration::from_millis(self.tolerance.load(Ordering::Relaxed));
        let mut seen = self.confirmed.subscribe();
        seen.borrow_and_update();
        if self.age().is_some_and(|age| age <= tolerance) {
            return;
        }
        self.asked.notify_one();
        let _late = tokio::time::timeout(WAIT_FOR_NEWS, seen.changed()).await;
    }

    /// Waits until somebody asks for news.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fresh_enough_needs_no_asking() {
        let freshness = Freshness::new();
        freshness.set_tolerance(Duration::from_secs(20));
        freshness.confirm();
        tokio::time::advance(Duration::from_secs(19)).await;
        let before = Instant::now();
        freshness.refreshed().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_stale_asks_and_waits_for_the_answer() {
        let freshness = Freshness::new();
        let answer = async {
            freshness.asked().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            freshness.confirm();
        };
        let before = Instant::now();
        tokio::join!(freshness.refreshed(), answer);
        assert_eq!(before.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_news() {
        let freshness = Freshness::new();
        let before = Instant::now();
        freshness.refreshed().await;
        assert_eq!(before.elapsed(), WAIT_FOR_NEWS);
    }
}
