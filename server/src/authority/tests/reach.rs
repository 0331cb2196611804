//! Who is waited for before an authority signs, and for how long.

use super::bench::{Bench, HOUR, Run, td};
use crate::authority::{Kind, Outlook};
use crate::state::{Plan, Snapshot, StateError};
use signet_ca::slots::{SlotId, Status};
use signet_model::{Agent, Change, Revision, SelectorSet};
use signet_runtime::Clock;
use signet_spiffe::{Bundle, Serial, SpiffeId, TrustDomain};
use std::sync::Arc;
use std::time::Duration;

fn id(name: &str) -> SpiffeId {
    SpiffeId::new(&td(), &format!("/spire/agent/test/{name}")).unwrap()
}

async fn put(run: &Run, change: Change) {
    let put = |_: &Snapshot| Ok::<_, StateError>((Plan::default().change(change.clone()), ()));
    run.state.change(put).await.unwrap();
}

async fn attested(bench: &Bench, run: &Run, name: &str) {
    let agent = Agent {
        id: id(name),
        attestation_type: "test".to_owned(),
        serial: Some(Serial::from_bytes(&[1])),
        expires_at: bench.clock.now() + HOUR * 100,
        pending: None,
        selectors: SelectorSet::default(),
        can_reattest: false,
        agent_version: String::new(),
        attestation: None,
        token: None,
    };
    put(run, Change::PutAgent(Arc::new(agent))).await;
}

/// An authority is active and the server was away over the time at which the next was due.
async fn too_late() -> (Bench, Run) {
    let bench = Bench::new();
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    bench.clock.forward(HOUR * 22);
    (bench, run)
}

fn prepared(run: &Run) -> Option<SlotId> {
    let slots = run.rotation.slots(Kind::X509);
    slots.find(Status::Prepared).map(|(slot, _)| slot)
}

async fn settle(run: &Run) -> Outlook {
    run.rotation.settle().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_prepared_too_late_is_activated_as_soon_as_the_connected_agent_has_it() {
    let (bench, run) = too_late().await;
    attested(&bench, &run, "a").await;
    let presence = run.rotation.online.enter(&id("a"));
    let outlook = settle(&run).await;
    assert!(prepared(&run).is_some() && outlook.waits_for_agents);
    presence.acknowledge(Revision(run.state.revision().0 - 5), false);
    settle(&run).await;
    assert!(prepared(&run).is_some(), "it acknowledged something older");
    presence.acknowledge(run.state.revision(), false);
    let outlook = settle(&run).await;
    assert!(prepared(&run).is_none() && !outlook.waits_for_agents);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_acknowledges_stops_nothing() {
    let (bench, run) = too_late().await;
    attested(&bench, &run, "a").await;
    let _presence = run.rotation.online.enter(&id("a"));
    settle(&run).await;
    assert!(prepared(&run).is_some());
    bench.clock.forward(Duration::from_secs(15));
    settle(&run).await;
    assert!(prepared(&run).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_gone_is_waited_for_three_intervals() {
    let (bench, run) = too_late().await;
    attested(&bench, &run, "a").await;
    drop(run.rotation.online.enter(&id("a")));
    settle(&run).await;
    assert!(prepared(&run).is_some());
    tokio::time::advance(Duration::from_secs(15)).await;
    settle(&run).await;
    assert!(prepared(&run).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_polls_has_what_it_was_last_given() {
    let (bench, run) = too_late().await;
    attested(&bench, &run, "spire").await;
    run.rotation
        .online
        .fetched(&id("spire"), run.state.revision());
    settle(&run).await;
    assert!(prepared(&run).is_some());
    run.rotation
        .online
        .fetched(&id("spire"), run.state.revision());
    settle(&run).await;
    assert!(prepared(&run).is_none());
}

#[tokio::test(start_paused = true)]
async fn without_agents_nobody_is_waited_for() {
    let (_bench, run) = too_late().await;
    settle(&run).await;
    assert!(prepared(&run).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_evicted_agent_is_forgotten() {
    let (_bench, run) = too_late().await;
    drop(run.rotation.online.enter(&id("evicted")));
    settle(&run).await;
    assert!(prepared(&run).is_none());
}

#[tokio::test(start_paused = true)]
async fn those_who_lack_it_are_named_by_what_is_known_of_them() {
    let (bench, run) = too_late().await;
    for name in ["has", "connected", "silent"] {
        attested(&bench, &run, name).await;
    }
    let other = TrustDomain::parse("other.org").unwrap();
    put(&run, Change::PutBundle(Arc::new(Bundle::empty(other)))).await;
    let has = run.rotation.online.enter(&id("has"));
    let _connected = run.rotation.online.enter(&id("connected"));
    settle(&run).await;
    has.acknowledge(run.state.revision(), true);
    let slot = prepared(&run).unwrap();
    let lacking = run.rotation.lacking(Kind::X509, slot);
    assert_eq!(lacking.awaited, [id("connected")]);
    assert_eq!(lacking.silent, [id("silent")]);
    assert_eq!(lacking.peers, 1);
    bench.clock.forward(Duration::from_secs(3 * 300));
    assert_eq!(run.rotation.lacking(Kind::X509, slot).peers, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_in_time_waits_for_nobody_beyond_the_threshold() {
    let bench = Bench::new();
    let run = bench.start().await;
    settle(&run).await;
    attested(&bench, &run, "dead").await;
    let _presence = run.rotation.online.enter(&id("dead"));
    bench.clock.forward(HOUR * 13);
    settle(&run).await;
    assert!(prepared(&run).is_some());
    bench.clock.forward(HOUR * 7);
    settle(&run).await;
    assert!(prepared(&run).is_some(), "it is not due yet");
    bench.clock.forward(Duration::from_secs(1));
    settle(&run).await;
    assert!(prepared(&run).is_none());
}
