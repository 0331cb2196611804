//! How many CSRs go to the server at once.

/// The most that SPIRE's server takes in one second, and so in one call.
pub const BATCH_MAX: usize = 500;

/// Halves when a call fails, since the batch may be the reason; doubles when one succeeds.
#[derive(Debug)]
pub struct BatchSize(usize);

impl Default for BatchSize {
    fn default() -> Self {
        Self(BATCH_MAX)
    }
}

impl BatchSize {
    /// The size of the next batch.
    pub fn current(&self) -> usize {
        self.0
    }

    /// After a call that succeeded.
    pub fn grow(&mut self) {
        self.0 = (self.0 * 2).min(BATCH_MAX);
    }

    /// After a call that failed.
    pub fn shrink(&mut self) {
        self.0 = (self.0 / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_halves_down_to_one_and_doubles_up_to_the_limit() {
        let mut size = BatchSize::default();
        for _ in 0..12 {
            size.shrink();
        }
        assert_eq!(size.current(), 1);
        for _ in 0..12 {
            size.grow();
        }
        assert_eq!(size.current(), BATCH_MAX);
    }
}
