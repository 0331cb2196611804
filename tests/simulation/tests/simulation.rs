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

use std::time::Duration;
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

#[test]
fn whatever_fails_no_write_is_lost_nothing_wrong_is_served_and_all_agents_converge() {
    signet_simulation::judge("simulation", SEEDS, run);
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
