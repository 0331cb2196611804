//! A year of an authority: the server's own rotation over a store and keys that fail, three agents
//! that hear of the bundle sooner or later, and a judge who sees every instant at which anything
//! changes. The clock jumps from one event to the next.
//!
//! ```text
//! events ─▶ world: server (rotation, pruning; store, keys) ─▶ agents: what each holds and uses
//!                      └──────────────── judge ──────────────────┘
//! ```
//!
//! A seed draws crashes (also at a write of the store or the key manager, done or not), absences,
//! failing writes, steps of the clock, outages of agents and replacements by hand. `SIGNET_SEED` and
//! `SIGNET_SIM_SEEDS` are those of `signet_simulation::judge`. What happens and when is the seed's;
//! keys and signatures are not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "year/agents.rs"]
mod agents;
#[path = "year/events.rs"]
mod events;
#[path = "year/fate.rs"]
mod fate;
#[path = "year/judge.rs"]
mod judge;
#[path = "year/replace.rs"]
mod replace;
#[path = "year/world.rs"]
mod world;

use world::{Defect, World};

/// How many seeds run when nobody says otherwise.
const SEEDS: u64 = 50;
/// Seeds in which a wrong server is found out; each is stopped at the first wrong.
const SEEDS_OF_THE_WRONG: u64 = 3;

/// Lives one year; says what went wrong.
fn run(seed: u64) -> Result<(), String> {
    live(seed, Defect::None)
}

fn live(seed: u64, defect: Defect) -> Result<(), String> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, defect);
        let lived = world.live().await;
        lived.map_err(|wrong| format!("{}\nseed {seed}: {wrong}", world.story()))
    })
}

#[test]
fn for_a_year_every_view_verifies_every_live_svid_and_the_rotation_never_stops() {
    signet_simulation::judge("year", SEEDS, run);
}

/// What the judge says of a server with this defect, for each seed.
fn found_out(defect: Defect, expected: &str) {
    for seed in 0..SEEDS_OF_THE_WRONG {
        let story = live(seed, defect).expect_err("the judge saw nothing");
        let wrong = story.lines().last().unwrap();
        assert!(wrong.contains(expected), "{defect:?}: {wrong}");
    }
}

#[test]
fn the_judge_sees_a_signature_by_a_key_that_is_not_published() {
    found_out(Defect::PublishesLate, "is not in the bundle");
}

#[test]
fn the_judge_sees_an_authority_that_signs_before_its_time() {
    found_out(Defect::ActivatesAtOnce, "before its time");
}

#[test]
fn the_judge_sees_an_authority_that_signs_before_the_agents_that_come_back_have_it() {
    found_out(Defect::ForgetsAgents, "whom it had to wait for");
}

#[test]
fn the_judge_sees_what_is_pruned_an_hour_before_its_day_is_over() {
    found_out(Defect::PrunesAnHourEarly, "left the bundle");
}

#[test]
fn the_judge_sees_what_is_pruned_before_its_end() {
    found_out(Defect::PrunesTheLiving, "needs");
}

#[test]
fn the_judge_sees_a_rotation_that_stops() {
    found_out(Defect::StopsInJune, "was not");
}
