//! The JWT cache against a server that follows a script.

use super::*;
use crate::testing::{FakeServer, HOUR, entry, noon, td};
use signet_runtime::TokioClock;
use std::sync::atomic::Ordering;

struct World {
    server: Arc<FakeServer>,
    jwt: Arc<JwtSvids>,
    entry: Arc<Entry>,
    bundle: watch::Sender<Option<Arc<Bundle>>>,
}

fn world(script: impl FnOnce(&mut FakeServer)) -> World {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(noon()));
    let entry = entry("a", &["unix:uid:1"]);
    let mut server = FakeServer::new(clock.clone()).knows(std::slice::from_ref(&entry));
    script(&mut server);
    let server = Arc::new(server);
    let config = JwtConfig {
        cache_max: 2,
        policy: SvidPolicy::default(),
    };
    let (bundle, follow) = watch::channel(Some(Arc::new(server.ca.bundle())));
    World {
        jwt: JwtSvids::new(server.clone(), clock, follow, config, Jitter::seeded(1)),
        server,
        entry: Arc::new(entry),
        bundle,
    }
}

impl World {
    async fn get(&self, audience: &[&str]) -> Result<Arc<str>, JwtError> {
        let audience: Vec<_> = audience.iter().map(|&one| one.to_owned()).collect();
        self.jwt.get(&self.entry, &audience).await
    }

    /// The server's key is tainted, or not any more.
    fn taint(&self, tainted: bool) {
        let mut bundle = self.server.ca.bundle();
        bundle.jwt_authorities[0].tainted = tainted;
        self.bundle.send_replace(Some(Arc::new(bundle)));
    }

    fn calls(&self) -> usize {
        self.server.jwt_calls.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_audiences_in_any_order_are_asked_for_once() {
    let world = world(|_| {});
    let first = world.get(&["x", "y"]).await.expect("issued");
    let second = world.get(&["y", "x"]).await.expect("cached");
    assert_eq!((first == second, world.calls()), (true, 1));
    world.get(&["x"]).await.expect("issued");
    assert_eq!(world.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn callers_that_miss_together_share_one_call() {
    let world = world(|server| server.jwt_delay = Duration::from_secs(1));
    let (a, b, c) = tokio::join!(world.get(&["x"]), world.get(&["x"]), world.get(&["x"]));
    assert!(a.expect("issued") == b.expect("shared"));
    c.expect("shared");
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_does_not_take_the_call_with_it() {
    let world = world(|server| server.jwt_delay = Duration::from_secs(2));
    let brief = tokio::time::timeout(Duration::from_secs(1), world.get(&["x"]));
    let (gone, stays) = tokio::join!(brief, world.get(&["x"]));
    assert!(gone.is_err());
    stays.expect("issued");
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_at_half_life() {
    let world = world(|_| {});
    let first = world.get(&["x"]).await.expect("issued");
    tokio::time::advance(HOUR.mul_f64(0.44)).await;
    assert!(world.get(&["x"]).await.expect("cached") == first);
    tokio::time::advance(HOUR.mul_f64(0.07)).await;
    assert!(world.get(&["x"]).await.expect("renewed") != first);
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_survives_a_failed_renewal_and_an_expired_one_is_never_given() {
    let world = world(|_| {});
    let first = world.get(&["x"]).await.expect("issued");
    world.server.fail_with(Some(FakeServer::outage()));
    tokio::time::advance(HOUR.mul_f64(0.9)).await;
    assert!(world.get(&["x"]).await.expect("still valid") == first);
    let calls = world.calls();
    world.get(&["x"]).await.expect("still valid");
    assert_eq!(
        world.calls(),
        calls,
        "a failed renewal is not repeated at once"
    );
    tokio::time::advance(HOUR.mul_f64(0.1)).await;
    world.get(&["x"]).await.expect_err("expired");
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_comes_at_once_and_an_outage_after_patience() {
    let world = world(|_| {});
    let refusal = CallError::Final {
        code: tonic::Code::NotFound,
        message: "no".to_owned(),
    };
    world.server.fail_with(Some(refusal));
    let before = tokio::time::Instant::now();
    world.get(&["x"]).await.expect_err("refused");
    assert_eq!((before.elapsed(), world.calls()), (Duration::ZERO, 1));
    world.server.fail_with(Some(FakeServer::outage()));
    world.get(&["x"]).await.expect_err("down");
    assert_eq!(before.elapsed(), CALL_TIMEOUT);
    assert!(world.calls() > 5);
}

/// As it is when an operator prepares a key and lets it sign at once.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_faster_than_its_key_waits_for_the_bundle() {
    let world = world(|_| {});
    let with_the_key = world
        .bundle
        .send_replace(Some(Arc::new(Bundle::empty(td()))));
    let before = tokio::time::Instant::now();
    let get = async {
        world.get(&["x"]).await.expect("issued");
        before.elapsed()
    };
    let publish = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.bundle.send_replace(with_the_key);
    };
    let (came_after, ()) = tokio::join!(get, publish);
    assert_eq!(came_after, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_key_the_bundle_never_has_is_given_after_a_while() {
    let world = world(|_| {});
    world
        .bundle
        .send_replace(Some(Arc::new(Bundle::empty(td()))));
    let before = tokio::time::Instant::now();
    world.get(&["x"]).await.expect("issued");
    assert_eq!(before.elapsed(), KEY_PATIENCE);
    world.get(&["x"]).await.expect("cached");
    assert_eq!((before.elapsed(), world.calls()), (KEY_PATIENCE, 1));
}

#[tokio::test(start_paused = true)]
async fn tokens_with_a_jti_are_never_shared() {
    let mut world = world(|_| {});
    Arc::make_mut(&mut world.entry).jwt_svid_include_jti = true;
    world.get(&["x"]).await.expect("issued");
    world.get(&["x"]).await.expect("issued");
    assert_eq!((world.calls(), world.jwt.len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn no_more_tokens_are_kept_than_allowed_and_the_last_used_stay() {
    let world = world(|_| {});
    for audience in ["x", "y", "x", "z"] {
        world.get(&[audience]).await.expect("issued");
    }
    assert_eq!((world.calls(), world.jwt.len()), (3, 2));
    world.get(&["x"]).await.expect("kept");
    assert_eq!(world.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_tainted_key_and_of_one_that_left_the_bundle_are_gone_at_once() {
    let world = world(|_| {});
    for lose in [
        |world: &World| world.taint(true),
        |world: &World| {
            drop(
                world
                    .bundle
                    .send_replace(Some(Arc::new(Bundle::empty(td())))),
            )
        },
    ] {
        world.taint(false);
        world.get(&["x"]).await.expect("issued");
        assert_eq!(world.jwt.len(), 1);
        lose(&world);
        assert!(world.jwt.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_bundle_with_more_keys_costs_no_token() {
    let world = world(|_| {});
    world.get(&["x"]).await.expect("issued");
    let mut bundle = world.server.ca.bundle();
    let mut more = crate::testing::Ca::new().bundle().jwt_authorities;
    more[0].key_id = "key-2".to_owned();
    bundle.jwt_authorities.append(&mut more);
    world.bundle.send_replace(Some(Arc::new(bundle)));
    world.get(&["x"]).await.expect("cached");
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_still_signs_with_a_tainted_key_is_asked_until_it_does_not() {
    let world = world(|_| {});
    world.taint(true);
    let heard = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.taint(false);
    };
    let (token, ()) = tokio::join!(world.get(&["x"]), heard);
    token.expect("signed with a sound key");
    assert!(world.calls() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_key_is_tainted_on_its_way_is_not_given_even_if_there_is_no_other() {
    let world = world(|server| server.jwt_delay = Duration::from_secs(1));
    let tainted = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.taint(true);
    };
    let (token, ()) = tokio::join!(world.get(&["x"]), tainted);
    token.expect_err("late");
    assert!(world.jwt.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_for_somebody_else_is_not_passed_on() {
    let world = world(|server| {
        let other = crate::testing::spiffe_id("/other");
        server
            .entries
            .lock()
            .unwrap()
            .values_mut()
            .for_each(|id| *id = other.clone());
    });
    let error = world.get(&["x"]).await.expect_err("another subject");
    assert!(matches!(error, JwtError::Wrong { .. }));
}
