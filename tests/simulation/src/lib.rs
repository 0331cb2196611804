//! What the simulations in `tests/` share: they are run for many seeds, or again for one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing_subscriber::EnvFilter;

/// Runs the simulation for the first seeds, and panics with what it tells of the first that fails.
///
/// `SIGNET_SIM_SEEDS` sets how many, in place of `seeds`; `SIGNET_SEED` runs one seed alone, and then
/// `SIGNET_LOG=info` shows what the programs log.
///
/// # Panics
/// If a seed fails.
pub fn judge(test: &str, seeds: u64, run: impl Fn(u64) -> Result<(), String> + Sync) {
    if let Some(seed) = chosen("SIGNET_SEED") {
        let log = tracing_subscriber::fmt().without_time().with_test_writer();
        log.with_env_filter(EnvFilter::from_env("SIGNET_LOG"))
            .init();
        return run(seed).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    let (next, wrong) = (AtomicU64::new(0), Mutex::new(None));
    let last = chosen("SIGNET_SIM_SEEDS").unwrap_or(seeds);
    let found = || {
        wrong
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    };
    let work = || {
        while found().is_none() {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= last {
                return;
            }
            if let Err(story) = run(seed) {
                found().get_or_insert(story);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    if let Some(story) = found().take() {
        panic!(
            "{story}\nrun again with SIGNET_SEED=… cargo test -p signet-simulation --test {test}"
        );
    }
}

#[allow(clippy::disallowed_methods, reason = "whoever runs the test chooses")]
fn chosen(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
