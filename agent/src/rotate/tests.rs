//! What is due, and the rotator against a server that follows a script.

use super::*;
use crate::testing::{Ca, FakeServer, HOUR, entry, noon, selectors, td, whole};
use signet_runtime::{Tasks, TokioClock};

fn config(cache_max: usize) -> RotatorConfig {
    RotatorConfig {
        key_type: KeyType::EcP256,
        cache_max,
        policy: SvidPolicy::default(),
    }
}

fn ids(plan: &[Planned]) -> Vec<&str> {
    plan.iter()
        .map(|planned| planned.entry.id.as_str())
        .collect()
}

#[test]
fn what_somebody_waits_for_comes_before_what_is_prefetched() {
    let mut lazy = entry("d", &["unix:uid:4"]);
    lazy.disable_x509_svid_prefetch = true;
    let all = vec![
        entry("a", &["unix:uid:1"]),
        entry("b", &["unix:uid:2"]),
        entry("c", &["unix:uid:3"]),
        lazy,
    ];
    let mut cache = Cache::new(td());
    cache.apply(whole(all, vec![]), noon());
    let wants_c = |entry: &Entry| entry.id.as_str() == "c";
    assert_eq!(ids(&plan(&cache, noon(), 10, wants_c)), ["c", "a", "b"]);
    assert_eq!(ids(&plan(&cache, noon(), 2, wants_c)), ["c", "a"]);
    let wants_d = |entry: &Entry| entry.id.as_str() == "d";
    assert_eq!(ids(&plan(&cache, noon(), 0, wants_d)), ["d"]);
}

#[test]
fn of_svids_that_are_revoked_those_that_somebody_uses_are_replaced_first() {
    let (old, new) = (Ca::new(), Ca::new());
    let all = ["a", "b", "c"]
        .map(|id| entry(id, &["unix:uid:1"]))
        .to_vec();
    let mut cache = Cache::new(td());
    cache.apply(whole(all.clone(), vec![old.bundle()]), noon());
    for one in &all {
        cache.put_svid(&one.id, Arc::new(old.svid(one, noon(), HOUR)), noon());
    }
    cache.apply(whole(all, vec![new.bundle()]), noon());
    let due = plan(&cache, noon(), 10, |entry| entry.id.as_str() == "c");
    assert_eq!(ids(&due), ["c", "a", "b"]);
    assert!(due.iter().all(|planned| planned.reason == Due::Revoked));
}

#[test]
fn nothing_is_asked_for_an_entry_that_has_ended() {
    let mut ended = entry("a", &["unix:uid:1"]);
    ended.expires_at = Some(noon());
    let mut cache = Cache::new(td());
    cache.apply(whole(vec![ended], vec![]), noon());
    assert!(plan(&cache, noon(), 10, |_| true).is_empty());
}

#[test]
fn a_half_lived_svid_is_renewed_even_if_nobody_subscribes() {
    let ca = Ca::new();
    let one = entry("a", &["unix:uid:1"]);
    let mut cache = Cache::new(td());
    cache.apply(whole(vec![one.clone()], vec![ca.bundle()]), noon());
    cache.put_svid(&one.id, Arc::new(ca.svid(&one, noon(), HOUR)), noon());
    assert!(plan(&cache, noon(), 10, |_| false).is_empty());
    let due = plan(&cache, noon() + HOUR / 2, 10, |_| false);
    assert_eq!(due[0].reason, Due::Expiring);
}

struct World {
    server: Arc<FakeServer>,
    holdings: Arc<Holdings>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

impl World {
    fn start(entries: Vec<Entry>) -> Self {
        Self::start_with(KeyType::EcP256, entries)
    }

    fn start_with(key_type: KeyType, entries: Vec<Entry>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(noon()));
        let server = Arc::new(FakeServer::new(clock.clone()).knows(&entries));
        let holdings = Arc::new(Holdings::new(td(), clock.clone()));
        holdings.apply(whole(entries, vec![server.ca.bundle()]));
        let tasks = Tasks::new();
        let jitter = Jitter::seeded(1);
        let rotator = Rotator::new(
            holdings.clone(),
            server.clone(),
            clock.clone(),
            RotatorConfig {
                key_type,
                ..config(1000)
            },
            jitter,
        );
        tasks.spawn("rotator", rotator.run(tasks.stop()));
        Self {
            server,
            holdings,
            clock,
            tasks,
        }
    }

    async fn settled(&self) {
        let mut settled = self.holdings.settled();
        while !self.holdings.is_settled(1000) {
            settled.changed().await.expect("open");
        }
    }

    fn svid(&self, id: &str) -> Option<Arc<HeldSvid>> {
        let id = EntryId::parse(id).expect("valid");
        let now = self.clock.now();
        self.holdings
            .read(|cache| cache.get(&id)?.valid_svid(now).cloned())
    }
}

#[tokio::test(start_paused = true)]
async fn every_entry_gets_an_svid_with_a_key_of_its_own() {
    let world = World::start(vec![
        entry("a", &["unix:uid:1"]),
        entry("b", &["unix:uid:2"]),
    ]);
    world.settled().await;
    let (a, b) = (
        world.svid("a").expect("issued"),
        world.svid("b").expect("issued"),
    );
    assert_ne!(a.key.public_key(), b.key.public_key());
    world.tasks.shutdown(HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn an_svid_is_replaced_before_half_of_its_life_by_one_with_another_key() {
    let world = World::start(vec![entry("a", &["unix:uid:1"])]);
    world.settled().await;
    let first = world.svid("a").expect("issued");
    tokio::time::sleep(HOUR.mul_f64(0.44)).await;
    assert!(Arc::ptr_eq(&world.svid("a").expect("kept"), &first));
    tokio::time::sleep(HOUR.mul_f64(0.07)).await;
    let second = world.svid("a").expect("renewed");
    assert_ne!(first.key.public_key(), second.key.public_key());
    world.tasks.shutdown(HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn through_an_outage_the_old_svid_stays_and_an_expired_one_does_not() {
    let world = World::start(vec![entry("a", &["unix:uid:1"])]);
    world.settled().await;
    world.server.fail_with(Some(FakeServer::outage()));
    tokio::time::sleep(HOUR.mul_f64(0.9)).await;
    assert!(world.svid("a").is_some());
    tokio::time::sleep(HOUR.mul_f64(0.2)).await;
    assert!(world.svid("a").is_none());
    world.server.fail_with(None);
    world.settled().await;
    assert!(world.svid("a").is_some());
    world.tasks.shutdown(HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_entry_is_issued_anew_at_once() {
    let mut one = entry("a", &["unix:uid:1"]);
    let world = World::start(vec![one.clone()]);
    world.settled().await;
    let first = world.svid("a").expect("issued");
    one.revision_number += 1;
    world
        .holdings
        .apply(whole(vec![one], vec![world.server.ca.bundle()]));
    world.settled().await;
    assert!(!Arc::ptr_eq(&world.svid("a").expect("renewed"), &first));
    world.tasks.shutdown(HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_the_server_refuses_hinders_no_other() {
    let world = World::start(vec![entry("a", &["unix:uid:1"])]);
    let stranger = entry("stranger", &["unix:uid:2"]);
    let known = entry("a", &["unix:uid:1"]);
    world
        .holdings
        .apply(whole(vec![stranger, known], vec![world.server.ca.bundle()]));
    let mut view = world
        .holdings
        .subscribe(&selectors(&["unix:uid:1", "unix:uid:2"]));
    let ready = |view: &Arc<crate::views::View>| matches!(&view.x509, crate::views::X509Answer::Ready(all) if all.len() == 1);
    view.wait_for(ready).await.expect("open");
    world.tasks.shutdown(HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_comes_while_slow_keys_are_made_is_next() {
    let all =
        (0..40).map(|number| entry(&format!("e{number:02}"), &[&format!("unix:uid:{number}")]));
    let world = World::start_with(KeyType::Rsa2048, all.collect());
    let issued = || {
        let with_svid = |cache: &Cache| cache.held().filter(|held| held.svid.is_some()).count();
        world.holdings.read(with_svid)
    };
    while issued() == 0 {
        // Paused time stands still while a key is made.
        tokio::task::yield_now().await;
    }
    let mut view = world.holdings.subscribe(&selectors(&["unix:uid:39"]));
    let ready =
        |view: &Arc<crate::views::View>| matches!(&view.x509, crate::views::X509Answer::Ready(_));
    view.wait_for(ready).await.expect("open");
    assert!(issued() < 40, "it did not wait for the others");
    world.tasks.shutdown(HOUR).await;
}
