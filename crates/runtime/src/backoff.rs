//! Waiting times between retries: they grow by a factor up to a cap, each with ±10 % jitter, so
//! that a thousand agents that failed together do not come back together.

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::time::Duration;

/// The jitter on each side of the nominal waiting time.
const JITTER: f64 = 0.1;

/// A growing, jittered sequence of waiting times.
#[derive(Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    factor: f64,
    nominal: Duration,
    rng: SmallRng,
}

impl Backoff {
    /// Waits start at `initial` and are multiplied by `factor` up to `max`.
    pub fn new(initial: Duration, max: Duration, factor: f64) -> Self {
        Self::seeded(initial, max, factor, rand::random())
    }

    /// As [`Backoff::new`], with a jitter that a seed reproduces.
    pub fn seeded(initial: Duration, max: Duration, factor: f64, seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        Self {
            initial,
            max,
            factor,
            nominal: initial,
            rng,
        }
    }

    /// The next waiting time; the one after it is longer.
    pub fn next_delay(&mut self) -> Duration {
        let jitter = 1.0 + self.rng.random_range(-JITTER..=JITTER);
        let delay = self.nominal.mul_f64(jitter);
        self.nominal = self.nominal.mul_f64(self.factor).min(self.max);
        delay
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.nominal = self.initial;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_start_over_after_a_success() {
        let mut backoff = Backoff::seeded(Duration::from_secs(1), Duration::from_secs(4), 2.0, 7);
        let nominal = [1.0, 2.0, 4.0, 4.0];
        for expected in nominal {
            let delay = backoff.next_delay().as_secs_f64();
            assert!(
                (delay / expected - 1.0).abs() <= JITTER + 1e-9,
                "{delay} for {expected}"
            );
        }
        backoff.reset();
        assert!(backoff.next_delay() < Duration::from_millis(1101));
    }
}
