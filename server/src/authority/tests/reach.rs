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

async fn pass(bench: &Bench, time: Duration) {
    bench.clock.forward(time);
    tokio::time::advance(time).await;
}

/// An authority is active and the server was away over the time at which the next was due.
async fn too_late() -> (Bench, Run) {
    let bench = Bench::new();
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    pass(&bench, HOUR * 22).await;
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
    pass(&bench, Duration::from_secs(15)).await;
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

async fn restart(bench: &Bench, run: Run) -> Run {
    run.kill().await;
    bench.start().await
}

/// Prepared in time or too late, an agent attested; then the server was away until just now.
async fn back_again(prepared_after: u32) -> (Bench, Run) {
    let bench = Bench::new();
    let run = bench.start().await;
    settle(&run).await;
    attested(&bench, &run, "a").await;
    pass(&bench, HOUR * prepared_after).await;
    if prepared_after < 20 {
        settle(&run).await;
        pass(&bench, HOUR * 9).await;
    }
    let run = restart(&bench, run).await;
    settle(&run).await;
    (bench, run)
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_an_agent_of_which_nothing_was_heard_yet_is_waited_for() {
    for prepared_after in [13, 22] {
        let (bench, run) = back_again(prepared_after).await;
        assert!(prepared(&run).is_some(), "{prepared_after}");
        let slot = prepared(&run).unwrap();
        let lacking = run.rotation.lacking(Kind::X509, slot);
        assert_eq!((lacking.awaited, lacking.silent.len()), (vec![id("a")], 0));
        pass(&bench, Duration::from_secs(3)).await;
        let presence = run.rotation.online.enter(&id("a"));
        settle(&run).await;
        assert!(prepared(&run).is_some(), "{prepared_after}");
        presence.acknowledge(run.state.revision(), false);
        settle(&run).await;
        assert!(prepared(&run).is_none(), "{prepared_after}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_come_back_after_a_restart_stops_nothing() {
    for prepared_after in [13, 22] {
        let (bench, run) = back_again(prepared_after).await;
        pass(&bench, Duration::from_secs(14)).await;
        settle(&run).await;
        assert!(prepared(&run).is_some(), "{prepared_after}");
        pass(&bench, Duration::from_secs(1)).await;
        settle(&run).await;
        assert!(prepared(&run).is_none(), "{prepared_after}");
    }
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
    pass(&bench, Duration::from_secs(3 * 300)).await;
    assert_eq!(run.rotation.lacking(Kind::X509, slot).peers, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_in_time_waits_for_nobody_beyond_the_threshold() {
    let bench = Bench::new();
    let run = bench.start().await;
    settle(&run).await;
    attested(&bench, &run, "dead").await;
    let _presence = run.rotation.online.enter(&id("dead"));
    pass(&bench, HOUR * 13).await;
    settle(&run).await;
    assert!(prepared(&run).is_some());
    pass(&bench, HOUR * 7).await;
    settle(&run).await;
    assert!(prepared(&run).is_some(), "it is not due yet");
    pass(&bench, Duration::from_secs(1)).await;
    settle(&run).await;
    assert!(prepared(&run).is_none());
}
