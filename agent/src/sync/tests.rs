//! The sync against a scripted server on the wire, in paused time.

use super::session::{FRESH, HEARTBEAT};
use super::*;
use crate::rotate::{Rotator, RotatorConfig, SvidPolicy};
use crate::testing::upstream::{Reached, Upstream, wire_bundle, wire_entry};
use crate::testing::{Ca, HOUR, td};
use async_trait::async_trait;
use signet_crypto::KeyType;
use signet_keys::KeyManager;
use signet_keys::memory::MemoryKeys;
use signet_model::EntryId;
use signet_proto::signet::sync::v1 as wire;
use signet_proto::signet::sync::v1::watch_request::Message as Said;
use signet_proto::signet::sync::v1::watch_response::Message as Hears;
use signet_proto::spire::types;
use tonic::Status;

struct World {
    reached: Reached,
    holdings: Arc<Holdings>,
    freshness: Arc<Freshness>,
    member: watch::Sender<Option<OwnSvid>>,
}

/// An attested agent that syncs with a server of this script.
fn world(script: impl FnOnce(&mut Upstream)) -> World {
    let reached = Reached::with(script).attested();
    let holdings = Arc::new(Holdings::new(td(), reached.clock.clone()));
    let freshness = Arc::new(Freshness::new());
    let member = watch::Sender::new(None);
    let parts = Parts {
        server: reached.server.clone(),
        holdings: holdings.clone(),
        freshness: freshness.clone(),
        cache_max: 1000,
        member: member.subscribe(),
        clock: reached.clock.clone(),
        interval: Duration::from_secs(5),
        version: "test",
    };
    let sync = Sync::new(parts, Jitter::seeded(1));
    reached.tasks.spawn("sync", sync.run(reached.tasks.stop()));
    World {
        reached,
        holdings,
        freshness,
        member,
    }
}

impl World {
    fn held(&self) -> Vec<(String, i64)> {
        self.holdings.read(|cache| {
            let entries = cache.held().map(|held| &held.entry);
            entries
                .map(|entry| (entry.id.to_string(), entry.revision_number))
                .collect()
        })
    }

    fn refuse(&self, statuses: impl IntoIterator<Item = Status>) {
        let mut refusals = self.reached.upstream.refusals.lock().unwrap();
        refusals.extend(statuses);
    }

    /// Waits until the holdings are these.
    async fn holds(&self, expected: &[(&str, i64)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, rev)| ((*id).to_owned(), *rev))
            .collect();
        let mut work = self.holdings.work();
        while self.held() != expected {
            let changed = tokio::time::timeout(HOUR, work.changed()).await;
            changed
                .unwrap_or_else(|_| panic!("it holds {:?}", self.held()))
                .expect("open");
        }
    }

    fn start_rotator(&self) {
        let config = RotatorConfig {
            key_type: KeyType::EcP256,
            cache_max: 1000,
            policy: SvidPolicy::default(),
        };
        let signer = Arc::new(Signs(self.reached.upstream.clone()));
        let clock = self.reached.clock.clone();
        let rotator = Rotator::new(
            self.holdings.clone(),
            signer,
            clock,
            config,
            Jitter::seeded(2),
        );
        self.reached
            .tasks
            .spawn("rotator", rotator.run(self.reached.tasks.stop()));
    }
}

/// Signs for the rotator what the wire would sign.
struct Signs(Arc<Upstream>);

#[async_trait]
impl crate::upstream::Server for Signs {
    async fn new_x509_svids(
        &self,
        requests: Vec<crate::upstream::X509Request>,
    ) -> Result<Vec<crate::upstream::Signed>, CallError> {
        let sign = |request: crate::upstream::X509Request| {
            let key = signet_spiffe::csr::verify(&request.csr)
                .expect("ours")
                .public_key;
            let id = crate::testing::spiffe_id(&format!("/{}", request.entry_id));
            Ok(self.0.ca.issue(&id, &key, self.0.clock.now(), HOUR))
        };
        Ok(requests.into_iter().map(sign).collect())
    }

    async fn new_jwt_svid(
        &self,
        _: &EntryId,
        _: &[String],
    ) -> Result<crate::upstream::NewJwt, CallError> {
        Err(crate::testing::FakeServer::outage())
    }

    async fn renew_agent(&self, _: Vec<u8>) -> Result<crate::upstream::Chain, CallError> {
        Err(crate::testing::FakeServer::outage())
    }
}

fn page(world: &World, upserts: Vec<types::Entry>) -> wire::Page {
    wire::Page {
        upserts,
        bundles: vec![wire_bundle(&world.reached.upstream.ca, 1)],
        ..wire::Page::default()
    }
}

fn hello(said: Said) -> wire::Hello {
    match said {
        Said::Hello(hello) => hello,
        other => panic!("no hello: {other:?}"),
    }
}

fn ack(said: Said) -> (u64, bool) {
    match said {
        Said::Ack(ack) => (ack.revision, ack.ready),
        other => panic!("no acknowledgement: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_applies_as_a_whole_and_is_acknowledged_when_applied_and_when_served() {
    let mut world = world(|_| {});
    let mut watch = world.reached.watch().await;
    let first = hello(watch.hears().await);
    assert_eq!((first.revision, first.agent_version.as_str()), (0, "test"));
    let page = page(&world, vec![wire_entry("a", 0)]);
    let begin = wire::Begin {
        store_epoch: b"epoch".as_slice().into(),
        revision: 7,
        full: true,
    };
    watch.says(Hears::Begin(begin)).await;
    watch.says(Hears::Page(page)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        world.held().is_empty() && !world.freshness.is_synced(),
        "not before its end"
    );
    watch.says(Hears::End(wire::End { revision: 7 })).await;
    assert_eq!(ack(watch.hears_more_than_a_beat().await), (7, false));
    assert_eq!(world.held(), [("a".to_owned(), 0)]);
    assert!(world.freshness.is_synced());
    world.start_rotator();
    assert_eq!(ack(watch.hears_more_than_a_beat().await), (7, true));
}

/// A bundle in which the authority of all SVIDs is tainted or not, beside another one.
fn bundle_with(world: &World, tainted: bool, sequence: u64) -> types::Bundle {
    let mut bundle = wire_bundle(&world.reached.upstream.ca, sequence);
    bundle.x509_authorities[0].tainted = tainted;
    let mut other = wire_bundle(&Ca::new(), sequence).x509_authorities;
    bundle.x509_authorities.append(&mut other);
    bundle
}

async fn own_svid(world: &World, ca: &Ca) -> OwnSvid {
    let keys = MemoryKeys::new();
    let key = keys.generate("own", KeyType::EcP256).await.expect("made");
    let id = crate::testing::spiffe_id("/spire/agent/test/node");
    let now = world.reached.clock.now();
    OwnSvid {
        chain: ca.issue(&id, key.public_key(), now, HOUR),
        id,
        key,
        not_after: now + HOUR,
        renew_at: now + HOUR,
        reattestable: false,
    }
}

#[tokio::test(start_paused = true)]
async fn the_agent_is_not_ready_while_it_serves_an_svid_of_a_tainted_authority() {
    let mut world = world(|_| {});
    world.start_rotator();
    let mut watch = world.reached.watch().await;
    hello(watch.hears().await);
    let page = page(&world, vec![wire_entry("a", 0)]);
    watch.updates(1, true, page).await;
    assert_eq!(ack(watch.hears_more_than_a_beat().await), (1, false));
    assert_eq!(ack(watch.hears_more_than_a_beat().await), (1, true));
    let bundle = |tainted, sequence| wire::Page {
        bundles: vec![bundle_with(&world, tainted, sequence)],
        ..wire::Page::default()
    };
    watch.updates(2, false, bundle(true, 2)).await;
    assert_eq!(ack(watch.hears_more_than_a_beat().await), (2, false));
    let beat = Hears::Heartbeat(wire::Heartbeat { revision: 2 });
    for _ in 0..8 {
        watch.says(beat.clone()).await;
        let said = tokio::time::timeout(HEARTBEAT, watch.hears_more_than_a_beat()).await;
        assert!(said.is_err(), "the server still signs with it: {said:?}");
    }
    watch.updates(3, false, bundle(false, 3)).await;
    assert_eq!(ack(watch.hears_more_than_a_beat().await), (3, false));
    assert_eq!(ack(watch.hears_more_than_a_beat().await), (3, true));
}

#[tokio::test(start_paused = true)]
async fn the_agent_is_not_ready_while_its_own_svid_is_of_a_tainted_authority() {
    let mut world = world(|_| {});
    world.start_rotator();
    let tainted = own_svid(&world, &world.reached.upstream.ca).await;
    world.member.send_replace(Some(tainted));
    let mut watch = world.reached.watch().await;
    hello(watch.hears().await);
    let other = Ca::new();
    let mut bundle = bundle_with(&world, true, 1);
    let mut more = wire_bundle(&other, 1).x509_authorities;
    bundle.x509_authorities.append(&mut more);
    let page = wire::Page {
        bundles: vec![bundle],
        ..wire::Page::default()
    };
    watch.updates(1, true, page).await;
    assert_eq!(ack(watch.hears_more_than_a_beat().await), (1, false));
    let said = tokio::time::timeout(2 * HEARTBEAT, watch.hears_more_than_a_beat()).await;
    assert!(said.is_err(), "{said:?}");
    let sound = own_svid(&world, &other).await;
    world.member.send_replace(Some(sound));
    assert_eq!(ack(watch.hears_more_than_a_beat().await), (1, true));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_calls_an_entry_is_said_back_to_it() {
    let mut world = world(|_| {});
    let watch = world.reached.watch().await;
    let mut page = page(&world, vec![wire_entry("a", 5), wire_entry("b", 6)]);
    page.marks = vec![1001, 1002];
    watch.updates(3, true, page).await;
    world.holds(&[("a", 5), ("b", 6)]).await;
    drop(watch);
    let mut next = world.reached.watch().await;
    hello(next.hears().await);
    next.says(Hears::NeedHoldings(wire::NeedHoldings {})).await;
    let Said::Holdings(held) = next.hears_more_than_a_beat().await else {
        panic!("no holdings");
    };
    let marks: Vec<_> = held.holdings.iter().map(|one| one.entry_revision).collect();
    assert_eq!(marks, [1001, 1002]);
}

#[tokio::test(start_paused = true)]
async fn a_difference_changes_only_what_it_names() {
    let mut world = world(|_| {});
    let mut watch = world.reached.watch().await;
    let all = vec![wire_entry("a", 0), wire_entry("b", 0), wire_entry("c", 0)];
    watch.updates(1, true, page(&world, all)).await;
    world.holds(&[("a", 0), ("b", 0), ("c", 0)]).await;
    let difference = wire::Page {
        upserts: vec![wire_entry("b", 1)],
        deletes: vec!["c".to_owned()],
        ..wire::Page::default()
    };
    watch.updates(2, false, difference).await;
    world.holds(&[("a", 0), ("b", 1)]).await;
    drop(watch.hears().await);
}

#[tokio::test(start_paused = true)]
async fn after_a_broken_stream_the_agent_says_what_it_holds() {
    let mut world = world(|_| {});
    let watch = world.reached.watch().await;
    watch
        .updates(3, true, page(&world, vec![wire_entry("a", 5)]))
        .await;
    world.holds(&[("a", 5)]).await;
    drop(watch);
    let mut next = world.reached.watch().await;
    let again = hello(next.hears().await);
    assert_eq!(
        (again.revision, again.store_epoch.as_ref()),
        (3, b"epoch".as_slice())
    );
    let id = EntryId::parse("a").expect("valid");
    let created = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let lines = signet_model::holdings_lines([(&id, 5, created)], [(&td(), 1)]);
    assert_eq!(again.holdings_hash.as_ref(), signet_crypto::sha256(&lines));
    next.says(Hears::NeedHoldings(wire::NeedHoldings {})).await;
    let Said::Holdings(held) = next.hears_more_than_a_beat().await else {
        panic!("no holdings");
    };
    assert!(!held.more);
    assert_eq!(held.holdings[0].entry_id, "a");
    assert_eq!(
        (held.holdings[0].entry_revision, held.holdings[0].created_at),
        (5, 1_700_000_000)
    );
    assert_eq!(
        (
            held.bundles[0].trust_domain.as_str(),
            held.bundles[0].sequence_number
        ),
        ("example.org", 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_behind_never_rolls_the_agent_back() {
    let mut world = world(|_| {});
    let watch = world.reached.watch().await;
    watch
        .updates(9, true, page(&world, vec![wire_entry("a", 0)]))
        .await;
    world.holds(&[("a", 0)]).await;
    watch.updates(8, true, page(&world, vec![])).await;
    let mut next = world.reached.watch().await;
    assert_eq!(hello(next.hears().await).revision, 9);
    assert_eq!(world.held().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_go_out_every_15_seconds_and_45_of_silence_reconnect() {
    let mut world = world(|_| {});
    let mut silent = world.reached.watch().await;
    let started = Instant::now();
    hello(silent.hears().await);
    assert!(matches!(silent.hears().await, Said::Heartbeat(_)));
    assert_eq!(started.elapsed().as_secs(), HEARTBEAT.as_secs());
    assert!(matches!(silent.hears().await, Said::Heartbeat(_)));
    let mut next = world.reached.watch().await;
    hello(next.hears().await);
    assert!(
        started.elapsed() < Duration::from_secs(50),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_of_the_server_confirms_what_is_held() {
    let mut world = world(|_| {});
    let watch = world.reached.watch().await;
    watch.updates(1, true, page(&world, vec![])).await;
    world.freshness.first().await;
    for _ in 0..20 {
        tokio::time::sleep(HEARTBEAT).await;
        watch
            .says(Hears::Heartbeat(wire::Heartbeat { revision: 1 }))
            .await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(world.freshness.age().expect("synced") < FRESH);
    }
    drop(watch);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_replaced_before_it_ends() {
    let mut world = world(|_| {});
    let old = world.reached.watch().await;
    old.updates(1, true, page(&world, vec![wire_entry("a", 0)]))
        .await;
    let started = Instant::now();
    let beat = async {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            old.says(Hears::Heartbeat(wire::Heartbeat { revision: 1 }))
                .await;
        }
    };
    let next = tokio::select! {
        next = world.reached.watches.recv() => next.expect("opened"),
        () = beat => unreachable!("it beats for ever"),
    };
    let life = started.elapsed();
    assert!(life >= LIFE_NOMINAL.mul_f64(0.66) && life <= LIFE_NOMINAL.mul_f64(1.34));
    assert!(
        !old.answers.is_closed(),
        "the old one stays until the new one has the truth"
    );
    next.updates(2, false, wire::Page::default()).await;
    old.answers.closed().await;
    assert!(!next.answers.is_closed());
}

#[tokio::test(start_paused = true)]
async fn with_a_new_certificate_the_stream_goes_over_to_a_new_connection() {
    let mut world = world(|_| {});
    let old = world.reached.watch().await;
    old.updates(1, true, page(&world, vec![])).await;
    world.freshness.first().await;
    let before = Instant::now();
    world.reached.connection.renew().await;
    let next = world.reached.watch().await;
    let ended = Status::unavailable("the agent has a newer SVID");
    old.answers.send(Err(ended)).await.expect("open");
    drop(old);
    next.updates(1, false, wire::Page::default()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!next.answers.is_closed() && before.elapsed() < Duration::from_secs(6));
    assert!(
        world.reached.watches.try_recv().is_err(),
        "one stream is enough"
    );
}

#[tokio::test(start_paused = true)]
async fn pages_outside_of_an_update_break_the_stream() {
    let mut world = world(|_| {});
    let watch = world.reached.watch().await;
    watch.says(Hears::Page(wire::Page::default())).await;
    watch.answers.closed().await;
    let mut next = world.reached.watch().await;
    hello(next.hears().await);
    assert!(!world.freshness.is_synced());
}

fn polled(script: impl FnOnce(&mut Upstream)) -> World {
    world(|upstream| {
        upstream.pushes = false;
        script(upstream);
    })
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_push_is_polled() {
    let world = polled(|upstream| *upstream.entries.lock().unwrap() = vec![wire_entry("a", 0)]);
    world.holds(&[("a", 0)]).await;
    world.freshness.first().await;
    *world.reached.upstream.entries.lock().unwrap() = vec![wire_entry("b", 0)];
    let changed = Instant::now();
    world.holds(&[("b", 0)]).await;
    assert!(
        changed.elapsed() <= Duration::from_millis(5600),
        "{:?}",
        changed.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn of_many_entries_only_new_and_changed_ones_are_fetched_in_chunks_of_a_page() {
    let world = polled(|upstream| {
        upstream.page = 2;
        let ids = ["a", "b", "c", "d", "e"];
        *upstream.entries.lock().unwrap() = ids.map(|id| wire_entry(id, 0)).to_vec();
    });
    world
        .holds(&[("a", 0), ("b", 0), ("c", 0), ("d", 0), ("e", 0)])
        .await;
    let asked = std::mem::take(&mut *world.reached.upstream.asked.lock().unwrap());
    assert_eq!(asked, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    world.reached.upstream.entries.lock().unwrap()[2].revision_number = 1;
    world.reached.upstream.entries.lock().unwrap()[3].created_at += 1;
    world.reached.upstream.entries.lock().unwrap().remove(0);
    world.holds(&[("b", 0), ("c", 1), ("d", 0), ("e", 0)]).await;
    let asked = world.reached.upstream.asked.lock().unwrap().concat();
    assert_eq!(asked, ["c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_federated_bundle_that_cannot_be_had_hinders_nothing() {
    let world = polled(|upstream| {
        let mut one = wire_entry("a", 0);
        one.federates_with = ["bad.example", "good.example", "none.example"]
            .map(str::to_owned)
            .to_vec();
        *upstream.entries.lock().unwrap() = vec![one];
        let good = types::Bundle {
            trust_domain: "good.example".to_owned(),
            ..wire_bundle(&upstream.ca, 1)
        };
        let bad = Err(Status::internal("broken"));
        let known = [
            ("bad.example".to_owned(), bad),
            ("good.example".to_owned(), Ok(good)),
        ];
        *upstream.federated.lock().unwrap() = known.into();
    });
    world.holds(&[("a", 0)]).await;
    let names: Vec<_> = world.holdings.read(|cache| {
        cache
            .bundles()
            .map(|bundle| bundle.trust_domain.to_string())
            .collect()
    });
    assert_eq!(names, ["example.org", "good.example"]);
}

#[tokio::test(start_paused = true)]
async fn errors_are_answered_with_patience_and_lose_nothing() {
    let world = polled(|upstream| *upstream.entries.lock().unwrap() = vec![wire_entry("a", 0)]);
    world.holds(&[("a", 0)]).await;
    world.refuse(std::iter::repeat_with(|| Status::unavailable("away")).take(3));
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(world.held().len(), 1);
    *world.reached.upstream.entries.lock().unwrap() = vec![wire_entry("b", 0)];
    world.holds(&[("b", 0)]).await;
}

#[tokio::test(start_paused = true)]
async fn somebody_who_would_be_denied_makes_the_agent_poll_at_once() {
    let world = polled(|_| {});
    world.freshness.first().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    *world.reached.upstream.entries.lock().unwrap() = vec![wire_entry("a", 0)];
    let before = Instant::now();
    world.freshness.refreshed().await;
    assert_eq!(world.held(), [("a".to_owned(), 0)]);
    assert!(before.elapsed() < Duration::from_secs(1));
}
