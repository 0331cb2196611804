//! Clocks that jump, keys that are another's, authorities that somebody took out of the bundle.

use super::bench::{Bench, HOUR, KINDS, LEGACY, td};
use crate::authority::{Kind, LocalFault};
use crate::state::{Plan, Snapshot, StateError};
use signet_crypto::KeyType;
use signet_keys::KeyManager;
use signet_model::approve::{self, Refusal};
use signet_model::lifetime::Spent;
use signet_model::{Change, Moment};
use signet_runtime::Clock;
use signet_spiffe::Bundle;
use std::sync::Arc;
use std::time::Duration;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[tokio::test]
async fn a_clock_set_back_by_an_hour_keeps_an_older_authority_and_replaces_a_newer_one() {
    let bench = Bench::new();
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    let first = run.rotation.local_authorities(Kind::X509).unwrap().active;
    bench.clock.forward(HOUR * 2);
    run.rotation.settle().await.unwrap();
    bench.clock.back(HOUR);
    run.rotation.settle().await.unwrap();
    let kept = run.rotation.local_authorities(Kind::X509).unwrap().active;
    assert_eq!(kept, first);
    bench.clock.back(HOUR * 2);
    run.rotation.settle().await.unwrap();
    let replaced = run.rotation.local_authorities(Kind::X509).unwrap().active;
    assert_ne!(replaced, first);
    bench.check_slots(&run).await;
    bench.witness(&run).await;
}

#[tokio::test]
async fn after_a_clock_that_went_a_year_ahead_a_new_authority_signs() {
    let bench = Bench::new();
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    let before = run.rotation.local_authorities(Kind::Jwt).unwrap().active;
    bench.clock.forward(YEAR);
    run.rotation.settle().await.unwrap();
    bench.check_slots(&run).await;
    bench.witness(&run).await;
    let after = run.rotation.local_authorities(Kind::Jwt).unwrap();
    assert_ne!(after.active, before);
    bench.clock.back(YEAR);
    run.rotation.settle().await.unwrap();
    bench.check_slots(&run).await;
    bench.witness(&run).await;
}

#[tokio::test]
async fn between_the_jump_and_the_new_authority_nothing_is_approved() {
    let bench = Bench::new();
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    bench.clock.forward(YEAR);
    let policy = crate::issuer::Settings::defaults(td()).policy;
    let refused = |authority_not_after| {
        let moment = Moment {
            now: bench.clock.now(),
            authority_not_after,
        };
        let id = td().id();
        let id = signet_spiffe::SpiffeId::new(id.trust_domain(), "/web").unwrap();
        approve::mint_jwt(&policy, moment, id, vec!["a".to_owned()], None).unwrap_err()
    };
    for audience in ["any", LEGACY] {
        let key = run.authorities.jwt_for(&[audience.to_owned()]).unwrap();
        let refusal = refused(key.not_after);
        assert!(matches!(refusal, Refusal::Lifetime(Spent::Authority)));
    }
}

#[tokio::test]
async fn slots_from_the_future_are_replaced_at_the_start() {
    let bench = Bench::new();
    bench.clock.forward(YEAR);
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    run.kill().await;
    bench.clock.back(YEAR);
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    bench.check_slots(&run).await;
    bench.witness(&run).await;
}

#[tokio::test]
async fn a_key_of_another_server_in_a_slot_is_never_signed_with() {
    let bench = Bench::new();
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    bench.witness(&run).await;
    run.kill().await;
    for key in [
        "x509-CA-A",
        "JWT-Signer-A",
        "JWT-Alternative-A",
        "WIT-Signer-A",
    ] {
        bench.keys.generate(key, KeyType::EcP256).await.unwrap();
    }
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    bench.check_slots(&run).await;
    bench.witness(&run).await;
    bench.verify_all(&run);
}

/// Takes all of our authorities out of the bundle, as somebody with the store in hand might.
fn unpublish(snapshot: &Snapshot) -> Result<(Plan, ()), StateError> {
    let own = snapshot.index.bundle(&td()).unwrap();
    let emptied = Bundle {
        sequence: own.sequence + 1,
        ..Bundle::empty(td())
    };
    let plan = Plan::default().change(Change::PutBundle(Arc::new(emptied)));
    Ok((plan, ()))
}

#[tokio::test]
async fn what_was_taken_out_of_the_bundle_signs_no_more_even_if_nothing_can_be_made() {
    let bench = Bench::new();
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    run.state.change(unpublish).await.unwrap();
    bench.fate.die_at(1, false);
    run.rotation.settle().await.unwrap_err();
    assert!(run.authorities.x509().is_err());
    assert!(run.authorities.jwt_for(&["any".to_owned()]).is_err());
    assert!(run.authorities.jwt_for(&[LEGACY.to_owned()]).is_err());
    assert!(run.authorities.wit().is_none());
    bench.fate.spare();
    run.rotation.settle().await.unwrap();
    bench.check_slots(&run).await;
    bench.witness(&run).await;
}

#[tokio::test]
async fn the_reconciler_hears_at_once_of_a_bundle_that_another_changed() {
    let bench = Bench::new();
    let run = bench.start().await;
    run.rotation.settle().await.unwrap();
    let before = run.rotation.local_authorities(Kind::X509).unwrap().active;
    let stop = run.tasks.stop();
    run.tasks
        .spawn_essential("authorities", run.rotation.clone().run(stop));
    let mut changes = run.authorities.changes();
    tokio::task::yield_now().await;
    run.state.change(unpublish).await.unwrap();
    let replaced = async {
        loop {
            changes.changed().await.unwrap();
            let now = run.rotation.local_authorities(Kind::X509);
            if now.is_ok_and(|now| now.active != before) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), replaced)
        .await
        .unwrap();
}

#[tokio::test]
async fn before_the_first_authority_an_operator_is_told_to_wait() {
    let bench = Bench::new();
    let run = bench.start().await;
    for kind in KINDS {
        let told = run.rotation.local_authorities(kind);
        assert!(matches!(told, Err(LocalFault::Initializing)));
        let told = run.rotation.prepare_now(kind).await;
        assert!(matches!(told, Err(LocalFault::Initializing)));
    }
}
