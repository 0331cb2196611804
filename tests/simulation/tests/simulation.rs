//! A server and three agents in one process, on a clock that only moves when nobody has anything to
//! do, over streams in memory. A seed draws what operators do and what fails; at every moment no
//! acknowledged write may be lost and nothing expired or unauthorized served, and once everything
//! is well again each agent serves exactly what it may.
//!
//! ```text
//! schedule ─▶ world: server (store, disk) ◀─ net ─▶ three agents
//!    └▶ ledger: what was acknowledged      witness: what was authorized, and until when
//!                      └───────── invariants ─────────┘
//! ```
//!
//! `SIGNET_SIM_SEEDS` sets how many seeds run, `SIGNET_SEED` runs one (and
//! `SIGNET_LOG=info` shows what the programs log). The schedule and the faults
//! are the seed's; keys and signatures are not, nor is which of several ready tasks runs first.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "simulation/invariants.rs"]
mod invariants;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/net.rs"]
mod net;
#[path = "simulation/schedule.rs"]
mod schedule;
#[path = "simulation/staleness.rs"]
mod staleness;
#[path = "simulation/store.rs"]
mod store;
#[path = "simulation/witness.rs"]
mod witness;
#[path = "simulation/world.rs"]
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use world::World;

/// How many seeds run when nobody says otherwise.
const SEEDS: u64 = 200;

/// Runs one seed; says what went wrong.
fn run(seed: u64) -> Result<(), String> {
    runtime().block_on(async {
        let mut world = World::new(seed).await;
        let lived = world.live().await;
        lived.map_err(|wrong| format!("{}\nseed {seed}: {wrong}", world.story()))
    })
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

#[allow(clippy::disallowed_methods, reason = "whoever runs the test chooses")]
fn chosen(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_fails_no_write_is_lost_nothing_wrong_is_served_and_all_agents_converge() {
    if let Some(seed) = chosen("SIGNET_SEED") {
        let log = tracing_subscriber::fmt().without_time().with_test_writer();
        log.with_env_filter(EnvFilter::from_env("SIGNET_LOG"))
            .init();
        return run(seed).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    let (next, wrong) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let last = chosen("SIGNET_SIM_SEEDS").unwrap_or(SEEDS);
    let work = || {
        while wrong.lock().unwrap().is_empty() {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= last {
                return;
            }
            if let Err(found) = run(seed) {
                wrong.lock().unwrap().push(found);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{}\nrun again with SIGNET_SEED=… cargo test -p signet-simulation",
        wrong.join("\n\n")
    );
}

/// The bound of the protocol: after this much silence an agent looks for its server anew.
const SILENCE: Duration = Duration::from_secs(45);

#[test]
fn an_agent_whose_packets_are_dropped_has_a_new_stream_within_45_seconds() {
    let lost = runtime().block_on(async {
        let mut world = World::new(0).await;
        world.start_server().await;
        world.enrol(0).await;
        world.pass(Duration::from_secs(60)).await.unwrap();
        let freshness = world.agents[0].life.as_ref().unwrap().freshness.clone();
        world.agents[0].link.swallow();
        let silent_since = tokio::time::Instant::now();
        // What was on its way has arrived; the next that is heard came over a new stream.
        let heard = || silent_since.elapsed() > freshness.age().unwrap();
        while !heard() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        silent_since.elapsed()
    });
    assert!(lost <= SILENCE, "{lost:?}");
    assert!(lost > Duration::from_secs(1), "nothing was dropped");
}
