//! The `spiffe` crate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use signet_tests::{Scene, TRUST_DOMAIN, id, wait};
use spiffe::{
    BundleSource, JwtSource, JwtSvid, TrustDomain, WorkloadApiClient, X509Source, X509SourceBuilder,
};
use x509_parser::prelude::{FromDer, X509Certificate};

const WORKLOAD: &str = "/workload";

async fn scene(further: &[&str]) -> Scene {
    let scene = Scene::start().await;
    scene.server.entry(WORKLOAD, further).await;
    scene
}

pub(crate) async fn x509_source(scene: &Scene) -> X509Source {
    let builder = X509SourceBuilder::new().endpoint(scene.agent.endpoint());
    tokio::time::timeout(wait::PATIENCE, builder.build())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn the_x509_source_has_the_svid_and_the_bundle() {
    let scene = scene(&[]).await;
    let source = x509_source(&scene).await;
    let svid = source.svid().unwrap();
    assert_eq!(svid.spiffe_id().to_string(), id(WORKLOAD));
    assert_eq!(svid.cert_chain().len(), 1);
    let own = TrustDomain::new(TRUST_DOMAIN).unwrap();
    let bundle = source.bundle_for_trust_domain(&own).unwrap().unwrap();
    let authority = &bundle.authorities()[0];
    let (_, authority) = X509Certificate::from_der(authority.as_bytes()).unwrap();
    let (_, leaf) = X509Certificate::from_der(svid.leaf().as_bytes()).unwrap();
    assert_eq!(leaf.issuer(), authority.subject());
}

#[tokio::test]
async fn the_jwt_source_has_tokens_and_keys_that_fit() {
    let scene = scene(&[]).await;
    drop(x509_source(&scene).await);
    let source = JwtSource::builder()
        .endpoint(scene.agent.endpoint())
        .build()
        .await
        .unwrap();
    let svid = source.fetch_jwt_svid(["payments", "orders"]).await.unwrap();
    assert_eq!(svid.spiffe_id().to_string(), id(WORKLOAD));
    let valid = JwtSvid::parse_and_validate(svid.token(), &source, &["payments"]).unwrap();
    assert_eq!(valid.audience(), ["payments", "orders"]);
    JwtSvid::parse_and_validate(svid.token(), &source, &["invoices"]).unwrap_err();
}

#[tokio::test]
async fn the_agent_validates_tokens_for_the_client() {
    let scene = scene(&[]).await;
    drop(x509_source(&scene).await);
    let client = WorkloadApiClient::connect_to(scene.agent.endpoint())
        .await
        .unwrap();
    let token = client.fetch_jwt_token(["payments"], None).await.unwrap();
    let valid = client.validate_jwt_token("payments", &token).await.unwrap();
    assert_eq!(valid.spiffe_id().to_string(), id(WORKLOAD));
    client
        .validate_jwt_token("orders", &token)
        .await
        .unwrap_err();
    let own = TrustDomain::new(TRUST_DOMAIN).unwrap();
    let x509 = client.fetch_x509_bundles().await.unwrap();
    assert!(!x509.get(&own).unwrap().authorities().is_empty());
    let jwt = client.fetch_jwt_bundles().await.unwrap();
    assert!(jwt.get(&own).is_some());
}

/// Renewals that are watched: over four lifetimes, as an SVID is renewed before half of its own.
const RENEWALS: usize = 8;

#[tokio::test]
async fn a_held_source_is_renewed_without_a_gap_and_once_each_time() {
    let scene = scene(&["-x509SVIDTTL", "12"]).await;
    let source = x509_source(&scene).await;
    let updates = source.updated();
    let first_update = updates.last();
    let mut serials = vec![serial(&source)];
    wait::within(Duration::from_secs(150), "all renewals", async || {
        let svid = source.svid().expect("an SVID at any time");
        let (_, leaf) = X509Certificate::from_der(svid.leaf().as_bytes()).unwrap();
        let now = i64::try_from(now().as_secs()).unwrap();
        assert!(
            now < leaf.validity().not_after.timestamp(),
            "the source holds an expired SVID"
        );
        let serial = serial(&source);
        if serials.last() != Some(&serial) {
            assert!(!serials.contains(&serial), "an SVID came back");
            serials.push(serial);
        }
        (serials.len() > RENEWALS).then_some(())
    })
    .await;
    let came = updates.last() - first_update;
    assert_eq!(came, RENEWALS as u64, "one update for each renewal");
    assert!(source.is_healthy());
}

fn serial(source: &X509Source) -> Vec<u8> {
    let svid = source.svid().unwrap();
    let (_, leaf) = X509Certificate::from_der(svid.leaf().as_bytes()).unwrap();
    leaf.raw_serial().to_vec()
}

#[allow(
    clippy::disallowed_methods,
    reason = "certificates of other processes have real times"
)]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
