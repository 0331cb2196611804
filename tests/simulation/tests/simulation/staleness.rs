//! From when on an agent must know better: the bound on what it may serve that is over.

use std::time::{Duration, SystemTime};

/// How late an agent with an open stream may hear of a change. A ban, an eviction, a disabled entry
/// act within a second; a stream that has just had its time is made anew after one more.
const PROMPT: Duration = Duration::from_secs(5);
/// How long an agent may take to find its server again: the longest wait between attempts (a minute
/// and a tenth), after an attempt that timed out (45 s), after another.
const FINDS_BACK: Duration = Duration::from_secs(240);

/// Whether the way to the server is clear, and how long it has been.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    /// Since when it has not been good for long enough to be relied on.
    doubtful_since: SystemTime,
    clear_since: Option<SystemTime>,
}

impl Path {
    pub(crate) fn new(now: SystemTime) -> Self {
        Self {
            doubtful_since: now,
            clear_since: None,
        }
    }

    pub(crate) fn clear(&mut self, now: SystemTime) {
        self.clear_since.get_or_insert(now);
    }

    pub(crate) fn broken(&mut self, now: SystemTime) {
        if self.is_reliable(now) {
            self.doubtful_since = now;
        }
        self.clear_since = None;
    }

    fn is_reliable(&self, now: SystemTime) -> bool {
        self.clear_since
            .is_some_and(|since| now >= since + FINDS_BACK)
    }

    /// What was authorized at this time or later, the agent may still serve.
    pub(crate) fn horizon(&self, now: SystemTime) -> SystemTime {
        let known = match self.is_reliable(now) {
            true => now,
            false => self.doubtful_since,
        };
        known - PROMPT
    }
}
