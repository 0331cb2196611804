//! FetchX509Bundles and FetchJWTBundles.

use super::*;
use crate::testing::{Ca, entry};
use signet_proto::workload::{JwtBundlesRequest, X509BundlesRequest};
use signet_spiffe::{Bundle, TrustDomain};

const OWN: &str = "spiffe://example.org";
const OTHER: &str = "spiffe://other.example";

fn federated() -> (Entry, Bundle) {
    let other = TrustDomain::parse("other.example").expect("valid");
    let mut one = entry("a", &["unix:uid:1"]);
    one.federates_with.insert(other.clone());
    let bundle = Bundle {
        trust_domain: other,
        ..Ca::new().bundle()
    };
    (one, bundle)
}

fn world(options: Options) -> World {
    let (one, bundle) = federated();
    let mut world = World::unsynced(std::slice::from_ref(&one), options);
    world.apply(whole(vec![one], vec![world.server.ca.bundle(), bundle]));
    world
}

#[tokio::test(start_paused = true)]
async fn a_workload_gets_its_own_and_its_federated_bundles() {
    let world = world(Options::default());
    let mut client = world.client(1).await;
    let answers = client
        .fetch_x509_bundles(request(X509BundlesRequest {}))
        .await;
    let message = answers.expect("open").into_inner().message().await;
    let message = message.expect("well").expect("open");
    assert_eq!(message.bundles.keys().collect::<Vec<_>>(), [OWN, OTHER]);
    assert_eq!(message.bundles[OWN], *world.server.ca.authority().der);
}

#[tokio::test(start_paused = true)]
async fn jwt_bundles_hold_jwt_keys_only_each_with_its_key_id() {
    let world = world(Options::default());
    let mut client = world.client(1).await;
    let answers = client
        .fetch_jwt_bundles(request(JwtBundlesRequest {}))
        .await;
    let message = answers.expect("open").into_inner().message().await;
    let message = message.expect("well").expect("open");
    assert_eq!(message.bundles.keys().collect::<Vec<_>>(), [OWN, OTHER]);
    let own: serde_json::Value = serde_json::from_slice(&message.bundles[OWN]).expect("JSON");
    let keys = own["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["kid"], "key-1");
    assert!(keys[0].get("x5c").is_none() && keys[0].get("use").is_none());
    assert!(own.get("spiffe_sequence").is_none());
}

#[tokio::test(start_paused = true)]
async fn strangers_get_the_own_bundle_only_where_the_operator_allows_it() {
    let strict = world(Options::default());
    let mut client = strict.client(2).await;
    let answers = client
        .fetch_x509_bundles(request(X509BundlesRequest {}))
        .await;
    let message = answers.expect("open").into_inner().message().await;
    assert_denied(&message.expect_err("no identity"));
    let open = world(Options {
        allow_unauthenticated_verifiers: true,
        ..Options::default()
    });
    let mut client = open.client(2).await;
    let answers = client
        .fetch_x509_bundles(request(X509BundlesRequest {}))
        .await;
    let message = answers.expect("open").into_inner().message().await;
    let message = message.expect("well").expect("open");
    assert_eq!(message.bundles.keys().collect::<Vec<_>>(), [OWN]);
}

#[tokio::test(start_paused = true)]
async fn an_equal_bundle_is_not_sent_again_and_a_changed_one_is() {
    let mut world = world(Options::default());
    let mut client = world.client(1).await;
    let answers = client
        .fetch_x509_bundles(request(X509BundlesRequest {}))
        .await;
    let mut answers = answers.expect("open").into_inner();
    answers.message().await.expect("well").expect("open");
    let (one, bundle) = federated();
    let mut own = world.server.ca.bundle();
    own.jwt_authorities.clear();
    world.apply(whole(vec![one.clone()], vec![own.clone(), bundle.clone()]));
    answers
        .message()
        .await
        .expect("well")
        .expect("the federated one is another");
    own.sequence += 1;
    world.apply(whole(vec![one.clone()], vec![own.clone(), bundle.clone()]));
    let silence = tokio::time::timeout(Duration::from_secs(60), answers.message()).await;
    assert!(silence.is_err());
    own.x509_authorities.push(Ca::new().authority());
    world.apply(whole(vec![one], vec![own, bundle]));
    let message = answers.message().await.expect("well").expect("open");
    assert!(message.bundles[OWN].len() > world.server.ca.authority().der.len());
}
