//! What workloads see while an authority is replaced: never a moment without identity.

use super::*;
use crate::cache::Standing;
use crate::testing::{Ca, HOUR, entry};
use signet_proto::workload::{X509svidRequest, X509svidResponse};
use signet_spiffe::certificate::split_concatenated;
use signet_spiffe::{Bundle, x509_svid};
use std::sync::atomic::Ordering;
use tokio::time::Instant;
use tonic::Streaming;

const WINDOW: Duration = Duration::from_secs(30);

/// How the old authority stands in the bundle beside the next one.
enum Old {
    Sound,
    Tainted,
    Gone,
}

impl World {
    fn replacing(&mut self, entries: &[Entry], old: &Old) {
        let mut bundle = self.server.next.bundle();
        let authority = self.server.ca.authority();
        match old {
            Old::Sound => bundle.x509_authorities.push(authority),
            Old::Tainted => bundle.x509_authorities.push(authority.with_taint(true)),
            Old::Gone => {}
        }
        self.apply(whole(entries.to_vec(), vec![bundle]));
    }

    /// How many of the SVIDs that are held stand so.
    fn standing(&self, standing: Standing) -> usize {
        self.holdings.read(|cache| {
            let with_svid = cache.held().filter(|held| held.svid.is_some());
            with_svid.filter(|held| held.standing == standing).count()
        })
    }

    fn next_bundle(&self) -> Bundle {
        self.server.next.bundle()
    }
}

/// A workload that holds a stream.
struct Witness {
    answers: Streaming<X509svidResponse>,
    last: X509svidResponse,
    messages: usize,
}

impl Witness {
    async fn of(world: &World, uid: u32) -> Result<Self, Status> {
        let mut client = world.client(uid).await;
        let call = client.fetch_x509svid(request(X509svidRequest {}));
        let mut answers = call.await?.into_inner();
        let last = answers.message().await?.expect("open");
        Ok(Self {
            answers,
            last,
            messages: 1,
        })
    }

    /// Follows the stream for this long; each message must show all identities.
    async fn follows(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let count = self.last.svids.len();
        while let Ok(message) = tokio::time::timeout_at(end, self.answers.message()).await {
            let message = message.expect("the stream goes on").expect("open");
            assert_eq!(message.svids.len(), count, "no identity is missing");
            self.last = message;
            self.messages += 1;
        }
    }

    /// How many of the last message's SVIDs verify against this bundle now.
    fn verified(&self, world: &World, bundle: &Bundle) -> usize {
        let now = world.server.clock.now();
        let svids = self.last.svids.iter();
        let chains = svids.map(|svid| split_concatenated(&svid.x509_svid, 10).expect("a chain"));
        chains
            .filter(|chain| x509_svid::verify(chain, bundle, now).is_ok())
            .count()
    }
}

fn entries(count: u32) -> Vec<Entry> {
    let one = |number: u32| entry(&format!("e{number:03}"), &["unix:uid:1"]);
    (0..count).map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn through_prepare_activate_taint_and_revoke_a_stream_always_shows_every_identity() {
    let all = entries(30);
    let mut world = World::synced(&all);
    let mut witness = Witness::of(&world, 1).await.expect("issued");
    let old = world.server.ca.bundle();
    assert_eq!(witness.verified(&world, &old), 30);

    world.replacing(&all, &Old::Sound);
    world.server.activate_next();
    witness.follows(WINDOW).await;
    assert_eq!(witness.messages, 2, "the new bundle, and no new SVID yet");

    world.replacing(&all, &Old::Tainted);
    let begun = Instant::now();
    while world.standing(Standing::Tainted) > 0 {
        assert!(!world.holdings.is_settled(1000));
        witness.follows(Duration::from_secs(1)).await;
    }
    assert!(begun.elapsed() <= WINDOW + Duration::from_secs(1));
    assert!(
        begun.elapsed() >= WINDOW / 2,
        "spread: {:?}",
        begun.elapsed()
    );
    assert!(world.holdings.is_settled(1000));
    assert_eq!(witness.verified(&world, &world.next_bundle()), 30);
    assert!(witness.messages <= 25, "in batches: {}", witness.messages);

    let messages = witness.messages;
    world.replacing(&all, &Old::Gone);
    witness.follows(WINDOW).await;
    assert_eq!(witness.messages, messages + 1, "the bundle alone");
    assert_eq!(witness.verified(&world, &world.next_bundle()), 30);
}

#[tokio::test(start_paused = true)]
async fn svids_that_a_workload_uses_are_replaced_before_those_that_nobody_does() {
    let mut all = entries(20);
    all.extend((0..80).map(|number| entry(&format!("a{number:03}"), &["unix:uid:2"])));
    let mut world = World::synced(&all);
    let mut witness = Witness::of(&world, 1).await.expect("issued");
    while world.standing(Standing::Sound) < 100 {
        witness.follows(Duration::from_secs(1)).await;
    }
    world.replacing(&all, &Old::Sound);
    world.server.activate_next();
    let calls = world.server.x509_calls.load(Ordering::SeqCst);
    world.replacing(&all, &Old::Tainted);
    while witness.verified(&world, &world.next_bundle()) < 20 {
        witness.follows(Duration::from_millis(500)).await;
    }
    let rest = world.standing(Standing::Tainted);
    assert!((70..=80).contains(&rest), "{rest}");
    witness.follows(WINDOW).await;
    assert_eq!(world.standing(Standing::Sound), 100);
    let calls = world.server.x509_calls.load(Ordering::SeqCst) - calls;
    assert!((15..=25).contains(&calls), "in batches: {calls}");
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_leaves_without_a_taint_costs_no_open_stream_its_identity() {
    let all = entries(3);
    let mut world = World::synced(&all);
    let mut witness = Witness::of(&world, 1).await.expect("issued");
    world.replacing(&all, &Old::Sound);
    world.server.activate_next();
    world.replacing(&all, &Old::Gone);
    witness.follows(Duration::from_secs(1)).await;
    assert_eq!(witness.verified(&world, &world.next_bundle()), 3, "at once");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_would_accept_is_kept_from_new_workloads_and_not_taken_from_old_ones() {
    let all = [entry("a", &["unix:uid:1"]), entry("b", &["unix:uid:2"])];
    let mut world = World::synced(&all);
    let mut witness = Witness::of(&world, 1).await.expect("issued");
    witness.follows(Duration::from_secs(1)).await;
    world.server.fail_with(Some(FakeServer::outage()));
    world.server.activate_next();
    world.replacing(&all, &Old::Gone);
    witness.follows(HOUR / 4).await;
    assert_eq!(
        witness.verified(&world, &world.server.ca.bundle()),
        1,
        "the old one"
    );
    let refused = Witness::of(&world, 2).await.err();
    assert_eq!(refused.expect("nothing to give").code(), Code::Unavailable);
    world.server.fail_with(None);
    witness.follows(Duration::from_secs(90)).await;
    assert_eq!(witness.verified(&world, &world.next_bundle()), 1);
    Witness::of(&world, 2).await.expect("issued");
}

#[tokio::test(start_paused = true)]
async fn chains_with_intermediates_are_served_whole_and_the_bundle_holds_roots_only() {
    let all = entries(1);
    let mut world = World::served_by(&all, Options::default(), |server| {
        server.ca = Ca::below_another();
    });
    world.sync(&all);
    let witness = Witness::of(&world, 1).await.expect("issued");
    let svid = &witness.last.svids[0];
    assert_eq!(
        split_concatenated(&svid.x509_svid, 10).expect("two").len(),
        2
    );
    assert_eq!(svid.bundle, *world.server.ca.authority().der);
    assert_eq!(witness.verified(&world, &world.server.ca.bundle()), 1);
}
