//! The first bytes of a connection, and until when they must have come.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// Every HTTP/2 client begins with so many fixed bytes (RFC 9113, section 3.4).
const BYTES: usize = 24;

/// A connection that has not sent them by then only holds a place. The pings that find dead
/// connections begin after them.
pub const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is still missing of a client's preface.
#[derive(Debug)]
pub struct Preface {
    missing: usize,
    until: Pin<Box<Sleep>>,
}

impl Preface {
    /// All of it; the time runs from now.
    #[must_use]
    pub fn awaited() -> Self {
        Self {
            missing: BYTES,
            until: Box::pin(tokio::time::sleep(PREFACE_TIMEOUT)),
        }
    }

    /// Ready when the time is up.
    pub fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.until.as_mut().poll(context)
    }

    /// Counts bytes that were read, and says whether it is there.
    pub fn has_come(&mut self, bytes: usize) -> bool {
        self.missing = self.missing.saturating_sub(bytes);
        self.missing == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_comes_in_pieces_and_is_late_only_in_time() {
        let mut preface = Preface::awaited();
        assert!(!preface.has_come(BYTES - 1));
        let late = std::future::poll_fn(|context| preface.poll_late(context));
        let early = tokio::time::timeout(PREFACE_TIMEOUT / 2, late).await;
        assert!(early.is_err());
        assert!(preface.has_come(1));
        let late = std::future::poll_fn(|context| preface.poll_late(context));
        tokio::time::timeout(PREFACE_TIMEOUT, late).await.unwrap();
    }
}
