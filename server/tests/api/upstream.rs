//! A server below an upstream authority: what it issues, what it publishes, and what becomes of it
//! when the upstream fails, changes or is compromised.

use crate::harness::{HOUR, HandClock, World, create, csr, entry, id, key, td};
use signet_crypto::KeyType;
use signet_proto::spire::server::bundle::v1::bundle_client::BundleClient;
use signet_proto::spire::server::bundle::v1::{
    PublishJwtAuthorityRequest, PublishWitAuthorityRequest,
};
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_proto::spire::server::svid::v1::{
    BatchNewX509svidRequest, NewDownstreamX509caRequest, NewX509svidParams,
};
use signet_proto::spire::types::{JwtKey, WitKey};
use signet_server::authority::{Due, Kind};
use signet_spiffe::{Bundle, JwtAuthority, X509Authority, x509_svid};
use signet_upstream::testing::{Behaviour, FakeUpstream, Pki};
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// An upstream, and a server below it.
async fn below(fake: impl FnOnce(FakeUpstream) -> FakeUpstream) -> (Arc<FakeUpstream>, World) {
    let mut upstream = None;
    let world = World::with(|parts| {
        let pki = Pki::new("root", parts.clock.now()).below("between", |_| {});
        let made = Arc::new(fake(FakeUpstream::new(pki, parts.clock.clone())));
        parts.upstream = Some(made.clone());
        upstream = Some(made);
    })
    .await;
    (upstream.unwrap(), world)
}

/// The same with WIT-SVIDs on.
async fn with_wit_below(
    fake: impl FnOnce(FakeUpstream) -> FakeUpstream,
) -> (Arc<FakeUpstream>, World) {
    let mut upstream = None;
    let world = World::with(|parts| {
        let pki = Pki::new("root", parts.clock.now());
        let made = Arc::new(fake(FakeUpstream::new(pki, parts.clock.clone())));
        parts.upstream = Some(made.clone());
        parts.authority.wit_key_type = Some(KeyType::EcP256);
        upstream = Some(made);
    })
    .await;
    (upstream.unwrap(), world)
}

fn ids(keys: Option<Vec<JwtAuthority>>) -> Option<Vec<String>> {
    keys.map(|keys| keys.into_iter().map(|key| key.key_id).collect())
}

/// What the server says why it does not start.
async fn refusal(behaviour: Behaviour) -> String {
    let started = World::try_with(|parts| {
        let pki = Pki::new("root", parts.clock.now());
        let fake = FakeUpstream::new(pki, parts.clock.clone());
        fake.behave(behaviour);
        parts.upstream = Some(Arc::new(fake));
    });
    let mut error: &dyn std::error::Error = &started.await.err().unwrap();
    let mut text = error.to_string();
    while let Some(cause) = error.source() {
        text = format!("{text}: {cause}");
        error = cause;
    }
    text
}

async fn issued_chain(world: &World) -> Vec<Vec<u8>> {
    let node = world.agent().await;
    let made = create(&world.local().await, vec![entry("/web", &node.id)]).await;
    let params = NewX509svidParams {
        entry_id: made[0].id.clone(),
        csr: csr(&key(), &[]).into(),
    };
    let request = BatchNewX509svidRequest {
        params: vec![params],
    };
    let answer = node.svids().batch_new_x509svid(request).await.unwrap();
    let svid = answer.into_inner().results.remove(0).svid.unwrap();
    svid.cert_chain.iter().map(|der| der.to_vec()).collect()
}

fn own(world: &World) -> Arc<Bundle> {
    world.server.issuer().own_bundle().unwrap()
}

fn active(world: &World) -> String {
    let authority = world.server.issuer().authorities.x509().unwrap();
    authority.authority_id()
}

/// Waits until the own bundle is like this.
async fn until(world: &World, like: impl Fn(&Bundle) -> bool) {
    let mut revisions = world.server.issuer().state.revisions();
    let waiting = async {
        while !like(&own(world)) {
            revisions.changed().await.unwrap();
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "the bundle is {:?}", own(world));
}

fn has(bundle: &Bundle, root: &X509Authority, tainted: bool) -> bool {
    let mut roots = bundle.x509_authorities.iter();
    roots.any(|known| known.der == root.der && known.tainted == tainted)
}

#[tokio::test]
async fn issued_chains_lead_over_the_upstream_to_the_root_in_the_bundle() {
    let (upstream, world) = below(|fake| fake).await;
    let bundle = own(&world);
    assert_eq!(bundle.x509_authorities, [upstream.root()]);
    let chain = issued_chain(&world).await;
    assert_eq!(chain.len(), 3);
    let now = world.server.issuer().clock.now();
    x509_svid::verify(&chain, &bundle, now).unwrap();
    x509_svid::verify(&chain[..2], &bundle, now).unwrap_err();
}

#[tokio::test]
async fn keys_are_published_upstream_or_else_in_the_own_bundle() {
    for keeps in [true, false] {
        let (upstream, world) = with_wit_below(|fake| match keeps {
            true => fake.with_keys(),
            false => fake,
        })
        .await;
        let signing = world.server.issuer().authorities.jwt_for(&[]).unwrap();
        assert!(own(&world).jwt_authority(&signing.key_id).is_some());
        upstream.announce(vec![upstream.root()]);
        let known = signet_upstream::UpstreamAuthority::bundle(&*upstream);
        let published = known.borrow().clone().unwrap().jwt_authorities.clone();
        assert_eq!(ids(published), keeps.then(|| vec![signing.key_id.clone()]));
        let wit = world.server.issuer().authorities.wit().unwrap();
        let bundle = own(&world);
        let ours = Some(bundle.wit_authorities.clone());
        assert_eq!(ids(ours), Some(vec![wit.key_id.clone()]));
        let published = known.borrow().clone().unwrap().wit_authorities.clone();
        assert_eq!(ids(published), keeps.then(|| vec![wit.key_id.clone()]));
    }
}

#[tokio::test]
async fn a_key_that_the_upstream_still_has_is_not_called_revoked() {
    for kind in [Kind::Jwt, Kind::Wit] {
        let (upstream, world) = with_wit_below(FakeUpstream::with_keys).await;
        let rotation = &world.server.issuer().rotation;
        let stolen = rotation.local_authorities(kind).unwrap().active;
        let stolen = stolen.authority_id;
        upstream.announce(vec![upstream.root()]);
        rotation.condemn_now(kind, "stolen").await.unwrap();
        let next = rotation.prepare_successor(kind).await.unwrap().unwrap();
        let superseded = rotation.supersede_now(kind, &next.authority_id).await;
        assert_eq!(superseded.unwrap(), std::slice::from_ref(&stolen));
        let refused = rotation.conclude_now(kind).await.unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("the upstream authority publishes")
        );
        rotation.revoke_now(kind, &stolen).await.unwrap_err();
        // An administrator takes it out there.
        upstream.forget_keys();
        upstream.announce(vec![upstream.root()]);
        until(&world, |bundle| {
            let keys = bundle.jwt_authorities.iter().chain(&bundle.wit_authorities);
            keys.into_iter().all(|key| key.key_id != stolen)
        })
        .await;
        assert_eq!(rotation.conclude_now(kind).await.unwrap().len(), 0);
        assert_eq!(rotation.due_now(kind), Due::Nothing);
    }
}

#[tokio::test]
async fn the_wit_key_of_a_server_below_is_published_unless_its_id_is_taken() {
    let world = World::new().await;
    let mut given = entry("/below", &id("/spire/agent/x/y"));
    given.downstream = true;
    create(&world.local().await, vec![given]).await;
    let shown = world.minted("/below").await;
    let mut client = BundleClient::new(world.remote(Some(&shown)).await);
    let spki = bytes::Bytes::copy_from_slice(key().public_key().spki_der());
    let wit = |key_id: &str, public_key: &bytes::Bytes| PublishWitAuthorityRequest {
        wit_authority: Some(WitKey {
            public_key: public_key.clone(),
            key_id: key_id.to_owned(),
            expires_at: world.now() + 600,
            tainted: true,
        }),
    };
    for _ in 0..2 {
        let answer = client.publish_wit_authority(wit("below", &spki)).await;
        let keys = answer.unwrap().into_inner().wit_authorities;
        assert_eq!(keys.len(), 1);
        assert_eq!((keys[0].key_id.as_str(), keys[0].tainted), ("below", false));
    }
    assert_eq!(own(&world).wit_authorities[0].key_id, "below");
    let other = bytes::Bytes::copy_from_slice(key().public_key().spki_der());
    let taken = client.publish_wit_authority(wit("below", &other)).await;
    assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
    let jwt = own(&world).jwt_authorities[0].key_id.clone();
    let taken = client.publish_wit_authority(wit(&jwt, &spki)).await;
    assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
    let taken = client.publish_jwt_authority(PublishJwtAuthorityRequest {
        jwt_authority: Some(JwtKey {
            public_key: spki.clone(),
            key_id: "below".to_owned(),
            ..JwtKey::default()
        }),
    });
    let taken = taken.await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    assert!(taken.message().contains("\"below\" is taken"), "{taken}");
    for bad in [
        wit("", &spki),
        wit(&"x".repeat(signet_spiffe::MAX_KEY_ID_LEN + 1), &spki),
        wit("odd", &b"no key"[..].into()),
        PublishWitAuthorityRequest::default(),
    ] {
        let refused = client.publish_wit_authority(bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    assert_eq!(own(&world).wit_authorities.len(), 1);
}

#[tokio::test]
async fn a_server_that_never_had_an_authority_does_not_start_without_a_good_upstream() {
    let past = |params: &mut rcgen::CertificateParams| {
        params.not_after = (crate::harness::start() - HOUR).into();
    };
    let mute = |params: &mut rcgen::CertificateParams| {
        params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
    };
    for (behaviour, why) in [
        (Behaviour::Refuses, "the upstream authority refused"),
        (Behaviour::Unreachable, "cannot be reached"),
        (Behaviour::Spoils(Arc::new(past)), "not valid now"),
        (Behaviour::Spoils(Arc::new(mute)), "lacks keyCertSign"),
        (
            Behaviour::Garbles(Arc::new(|minted| {
                minted.roots = vec![Pki::new("root", crate::harness::start()).root()];
            })),
            "does not lead to any of the 1 roots",
        ),
    ] {
        let refusal = refusal(behaviour).await;
        assert!(refusal.contains(why), "{why}: {refusal}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_hangs_is_given_up() {
    let refusal = refusal(Behaviour::Hangs).await;
    assert!(
        refusal.contains("did not answer within 30 seconds"),
        "{refusal}"
    );
}

#[tokio::test]
async fn while_the_upstream_fails_the_old_authority_signs_and_nothing_else_is_published() {
    let (upstream, world) = below(|fake| fake).await;
    let (before, bundle) = (active(&world), own(&world));
    let past = crate::harness::start() - HOUR;
    for behaviour in [
        Behaviour::Refuses,
        Behaviour::Spoils(Arc::new(move |params| params.not_after = past.into())),
    ] {
        upstream.behave(behaviour);
        world.clock.advance(HOUR);
        let rotation = &world.server.issuer().rotation;
        assert!(rotation.prepare_now(Kind::X509).await.is_err());
        assert_eq!(active(&world), before);
        assert_eq!(own(&world).x509_authorities, bundle.x509_authorities);
        issued_chain(&world).await;
    }
    upstream.behave(Behaviour::Answers);
    let rotation = &world.server.issuer().rotation;
    let next = rotation.prepare_now(Kind::X509).await.unwrap();
    rotation
        .activate_now(Kind::X509, &next.authority_id)
        .await
        .unwrap();
    assert_eq!(active(&world), next.authority_id);
}

#[tokio::test]
async fn a_tainted_root_is_left_before_it_is_tainted_here_and_revoked_when_it_is_gone() {
    let (upstream, world) = below(|fake| fake).await;
    let (old, before) = (upstream.root(), active(&world));
    upstream.replace(Pki::new("next", crate::harness::start()));
    let new = upstream.root();
    upstream.announce(vec![old.clone(), new.clone()]);
    until(&world, |bundle| has(bundle, &new, false)).await;
    assert_eq!(active(&world), before);

    upstream.announce(vec![old.clone().with_taint(true), new.clone()]);
    until(&world, |bundle| has(bundle, &old, true)).await;
    assert_ne!(active(&world), before);
    let chain = issued_chain(&world).await;
    let mut only_new = Bundle::empty(td());
    only_new.x509_authorities.push(new.clone());
    x509_svid::verify(&chain, &only_new, world.server.issuer().clock.now()).unwrap();

    upstream.announce(vec![new.clone()]);
    until(&world, |bundle| bundle.x509_authorities == [new.clone()]).await;
}

#[tokio::test]
async fn a_root_that_disappears_untainted_stays_and_one_that_the_upstream_still_uses_is_not_tainted()
 {
    let (upstream, world) = below(|fake| fake).await;
    let old = upstream.root();
    let other = Pki::new("other", crate::harness::start()).root();
    upstream.announce(vec![other.clone()]);
    until(&world, |bundle| has(bundle, &other, false)).await;
    assert!(has(&own(&world), &old, false));
    let minted = upstream.minted();
    upstream.announce(vec![old.clone().with_taint(true), other]);
    let mut revisions = world.server.issuer().state.revisions();
    while upstream.minted() == minted {
        revisions.changed().await.unwrap();
    }
    assert!(has(&own(&world), &old, false));
}

#[tokio::test]
async fn a_downstream_server_gets_an_authority_below_ours() {
    let world = World::new().await;
    let mut given = entry("/below", &id("/spire/agent/x/y"));
    given.downstream = true;
    create(&world.local().await, vec![given]).await;
    let shown = world.minted("/below").await;
    let mut client = SvidClient::new(world.remote(Some(&shown)).await);
    let key = key();
    let ask = |csr: Vec<u8>, preferred_ttl| NewDownstreamX509caRequest {
        csr: csr.into(),
        preferred_ttl,
    };
    let asked = ask(csr(&key, &["spiffe://example.org"]), 600);
    let answer = client.new_downstream_x509ca(asked).await.unwrap();
    let answer = answer.into_inner();
    let roots: Vec<_> = answer
        .x509_authorities
        .iter()
        .map(|der| X509Authority::from_der(der).unwrap())
        .collect();
    assert_eq!(roots, own(&world).x509_authorities);
    let minted = signet_upstream::MintedCa {
        chain: answer
            .ca_cert_chain
            .iter()
            .map(|der| der[..].into())
            .collect(),
        roots,
    };
    let now = world.server.issuer().clock.now();
    let ca = signet_upstream::validate(minted, key.public_key(), &td(), now).unwrap();
    assert_eq!(ca.certificate.not_after, now + Duration::from_secs(600));
    for bad in [Vec::new(), b"x".to_vec(), crate::harness::forged_csr()] {
        let refused = client.new_downstream_x509ca(ask(bad, 0)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let records = world.records();
    let granted: Vec<_> = records
        .iter()
        .filter(|record| record.action == "ca.issue")
        .map(|record| record.decision)
        .collect();
    use signet_model::Decision::{Granted, Refused};
    assert_eq!(granted, [Granted, Refused, Refused]);
}

#[tokio::test]
async fn an_authority_of_a_disabled_or_ended_entry_is_refused() {
    let world = World::new().await;
    let mut given = entry("/below", &id("/spire/agent/x/y"));
    given.downstream = true;
    given.expires_at = world.now() + 100;
    create(&world.local().await, vec![given]).await;
    let shown = world.minted("/below").await;
    let mut client = SvidClient::new(world.remote(Some(&shown)).await);
    let asked = || NewDownstreamX509caRequest {
        csr: csr(&key(), &["spiffe://example.org"]).into(),
        preferred_ttl: 0,
    };
    let answer = client.new_downstream_x509ca(asked()).await.unwrap();
    let ca = &answer.into_inner().ca_cert_chain[0];
    let ends = signet_spiffe::Certificate::parse(ca).unwrap().not_after;
    assert_eq!(crate::harness::seconds(ends), world.now() + 100);
    let clock: &HandClock = &world.clock;
    clock.advance(Duration::from_secs(200));
    let refused = client.new_downstream_x509ca(asked()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
