//! Randomness that shows in output: serial numbers, tokens, nonces, `jti`.
//!
//! It comes through a trait so that a simulation can seed it. Keys and signatures do not use it:
//! ring draws their randomness from the operating system itself.

use ring::rand::SecureRandom;

/// A source of unpredictable bytes.
pub trait Random: Send + Sync {
    /// Fills all of `out`.
    fn fill(&self, out: &mut [u8]);
}

/// The operating system's randomness: the only source a program uses.
#[derive(Clone, Debug)]
pub struct SystemRandom(ring::rand::SystemRandom);

impl SystemRandom {
    /// A handle on the operating system's source.
    #[must_use]
    pub fn new() -> Self {
        Self(ring::rand::SystemRandom::new())
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) {
        self.0
            .fill(out)
            .expect("the operating system gives randomness once it is up");
    }
}

/// The same bytes for the same seed, in the same order of calls. For simulations only.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    block: std::sync::atomic::AtomicU64,
}

#[cfg(feature = "testing")]
impl SeededRandom {
    /// A source that repeats itself for an equal `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            block: std::sync::atomic::AtomicU64::new(0),
        }
    }
}

#[cfg(feature = "testing")]
impl Random for SeededRandom {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = self
                .block
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let input = [self.seed.to_be_bytes(), block.to_be_bytes()].concat();
            chunk.copy_from_slice(&crate::sha256(&input)[..chunk.len()]);
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_another_seed_differs() {
        let draw = |seed| {
            let random = SeededRandom::new(seed);
            let mut out = [0; 70];
            random.fill(&mut out);
            out
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
