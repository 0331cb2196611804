//! The contract of [`UpstreamAuthority`], to be run by each implementation.

use std::sync::Arc;
use std::time::Duration;

use signet_crypto::KeyType;
use signet_runtime::{Clock, Stop, Tasks};
use signet_spiffe::{JwtAuthority, TrustDomain};

use super::request;
use crate::{UpstreamAuthority, UpstreamBundle, UpstreamCa, mint, publish_jwt, publish_wit};

const TTL: Duration = Duration::from_secs(3600);
/// An upstream's clock may be a little ahead.
const SLACK: Duration = Duration::from_secs(60);
/// Real upstreams are processes that poll.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the whole contract against a healthy `upstream` of `trust_domain`.
///
/// # Panics
/// Where the upstream breaks the contract.
pub async fn check(
    upstream: &dyn UpstreamAuthority,
    trust_domain: &TrustDomain,
    clock: &Arc<dyn Clock>,
) {
    it_signs_an_authority_for_each_kind_of_key(upstream, trust_domain, clock).await;
    an_authority_does_not_outlive_what_was_asked_for(upstream, trust_domain, clock).await;
    the_same_request_may_be_repeated(upstream, trust_domain, clock).await;
    what_is_no_request_is_refused_for_good(upstream, trust_domain).await;
    a_key_is_published_once_or_not_kept_at_all(upstream).await;
    the_bundle_becomes_known_and_has_the_roots(upstream, trust_domain, clock).await;
    following_ends_at_the_stop_signal(upstream).await;
}

async fn it_signs_an_authority_for_each_kind_of_key(
    upstream: &dyn UpstreamAuthority,
    trust_domain: &TrustDomain,
    clock: &Arc<dyn Clock>,
) {
    let mut kinds = vec![KeyType::EcP256, KeyType::EcP384];
    if signet_crypto::HAS_AWS_LC {
        kinds.push(KeyType::Rsa2048);
    }
    for kind in kinds {
        let (key, request) = request(trust_domain, kind);
        let ca = mint(upstream, &request, TTL, trust_domain, clock)
            .await
            .unwrap();
        assert_eq!(ca.certificate.public_key, *key.public_key(), "{kind}");
    }
}

async fn an_authority_does_not_outlive_what_was_asked_for(
    upstream: &dyn UpstreamAuthority,
    trust_domain: &TrustDomain,
    clock: &Arc<dyn Clock>,
) {
    let ca = minted(upstream, trust_domain, clock).await;
    assert!(ca.certificate.not_after <= clock.now() + TTL + SLACK);
}

async fn the_same_request_may_be_repeated(
    upstream: &dyn UpstreamAuthority,
    trust_domain: &TrustDomain,
    clock: &Arc<dyn Clock>,
) {
    let (_, request) = request(trust_domain, KeyType::EcP256);
    for _ in 0..2 {
        mint(upstream, &request, TTL, trust_domain, clock)
            .await
            .unwrap();
    }
}

async fn what_is_no_request_is_refused_for_good(
    upstream: &dyn UpstreamAuthority,
    trust_domain: &TrustDomain,
) {
    let (_, mut unproved) = request(trust_domain, KeyType::EcP256);
    let last = unproved.len() - 1;
    unproved[last] ^= 1;
    for request in [&b"no request"[..], &unproved] {
        let refused = upstream.mint_x509_ca(request, TTL).await.unwrap_err();
        assert!(!refused.is_transient(), "{refused:?}");
    }
}

async fn a_key_is_published_once_or_not_kept_at_all(upstream: &dyn UpstreamAuthority) {
    let key = signet_crypto::PrivateKey::generate(KeyType::EcP256).unwrap();
    let named = |id: &str| JwtAuthority::new(id.to_owned(), key.public_key().clone()).unwrap();
    let (jwt, wit) = (named("contract"), named("contract-wit"));
    for _ in 0..2 {
        let keys = publish_jwt(upstream, &jwt).await.unwrap();
        is_there_once(keys, &jwt);
        let keys = publish_wit(upstream, &wit).await.unwrap();
        is_there_once(keys, &wit);
    }
}

fn is_there_once(keys: Option<Vec<JwtAuthority>>, key: &JwtAuthority) {
    let Some(keys) = keys else { return };
    let count = keys.iter().filter(|one| one.key_id == key.key_id).count();
    assert_eq!(count, 1);
}

async fn the_bundle_becomes_known_and_has_the_roots(
    upstream: &dyn UpstreamAuthority,
    trust_domain: &TrustDomain,
    clock: &Arc<dyn Clock>,
) {
    let ca = minted(upstream, trust_domain, clock).await;
    let known = first_known(upstream).await;
    for root in &ca.roots {
        assert!(
            known.x509_authorities.iter().any(|one| one.der == root.der),
            "a root that was answered is not in the bundle"
        );
    }
}

async fn following_ends_at_the_stop_signal(upstream: &dyn UpstreamAuthority) {
    let tasks = Tasks::new();
    let stop = tasks.stop();
    tasks.shutdown(PATIENCE).await;
    tokio::time::timeout(PATIENCE, upstream.follow(stop))
        .await
        .unwrap();
}

async fn minted(
    upstream: &dyn UpstreamAuthority,
    trust_domain: &TrustDomain,
    clock: &Arc<dyn Clock>,
) -> UpstreamCa {
    let (_, request) = request(trust_domain, KeyType::EcP256);
    mint(upstream, &request, TTL, trust_domain, clock)
        .await
        .unwrap()
}

/// Follows until the bundle is known.
async fn first_known(upstream: &dyn UpstreamAuthority) -> Arc<UpstreamBundle> {
    let mut bundle = upstream.bundle();
    let known = async {
        let known = bundle.wait_for(Option::is_some).await.unwrap();
        known.clone().unwrap()
    };
    tokio::select! {
        () = upstream.follow(Stop::never()) => panic!("following ended without a stop signal"),
        known = tokio::time::timeout(PATIENCE, known) => known.unwrap(),
    }
}
