//! Which clients a server lets in, and what it then knows of them.

use std::sync::Arc;

use crate::support::{AGENT, Authority, HOUR, Leaf, Refused, Svid, World, id, noon};
use signet_tls::{PeerRefused, VerifiedPeer};

async fn is_refused(world: &mut World, svid: &Svid) {
    let client = world.client(Some(svid));
    let refused = world.talk(&client).await.unwrap_err();
    assert!(matches!(refused, Refused::ByServer(_)), "{refused:?}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_served_and_unknown() {
    let mut world = World::new();
    let client = world.client(None);
    let connection = world.talk(&client).await.unwrap();
    assert!(connection.peer_info().peer.is_none());
}

#[tokio::test]
async fn an_agents_certificate_is_verified_and_known() {
    let mut world = World::new();
    let client = world.client(Some(&world.authority.svid(AGENT)));
    let connection = world.talk(&client).await.unwrap();
    let peer = connection.peer_info().peer.clone().unwrap();
    assert_eq!(*peer.id(), id(AGENT));
    assert_eq!(peer.serial().to_string(), "7");
    assert_eq!(peer.not_after(), noon() + HOUR);
    assert_eq!(peer.chain().len(), 1);
}

#[tokio::test]
async fn a_certificate_without_extended_key_usage_is_accepted() {
    let mut world = World::new();
    let svid = world.authority.sign(&Leaf {
        extended: Vec::new(),
        ..Leaf::of(AGENT)
    });
    let client = world.client(Some(&svid));
    world.talk(&client).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let mut world = World::new();
    is_refused(&mut world, &Authority::new("one.test").svid(AGENT)).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let mut world = World::new();
    let svid = world.authority.sign(&Leaf {
        not_after: noon() - HOUR / 2,
        ..Leaf::of(AGENT)
    });
    is_refused(&mut world, &svid).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_refused() {
    let mut world = World::new();
    let svid = world.authority.sign(&Leaf {
        not_before: noon() + HOUR / 2,
        ..Leaf::of(AGENT)
    });
    is_refused(&mut world, &svid).await;
}

#[tokio::test]
async fn a_certificate_of_another_trust_domain_is_refused_although_its_bundle_is_known() {
    let mut world = World::new();
    let other = Authority::new("two.test");
    world.trust.set(&other.bundle());
    is_refused(&mut world, &other.svid("spiffe://two.test/admin")).await;
}

#[tokio::test]
async fn a_listed_foreign_admin_is_let_in_by_its_own_bundle() {
    let admin = "spiffe://two.test/admin";
    let mut world = World::with(|tls| tls.foreign.extend([id(admin)]), 8);
    let other = Authority::new("two.test");
    is_refused(&mut world, &other.svid(admin)).await;
    world.trust.set(&other.bundle());
    let client = world.client(Some(&other.svid(admin)));
    world.talk(&client).await.unwrap();
    is_refused(&mut world, &other.svid("spiffe://two.test/someone")).await;
}

#[tokio::test]
async fn an_authority_cannot_vouch_for_another_trust_domain() {
    let admin = "spiffe://two.test/admin";
    let mut world = World::with(|tls| tls.foreign.extend([id(admin)]), 8);
    world.trust.set(&Authority::new("two.test").bundle());
    let forged = world.authority.svid(admin);
    is_refused(&mut world, &forged).await;
}

#[tokio::test]
async fn a_ca_as_leaf_is_refused() {
    let mut world = World::new();
    let svid = world.authority.sign(&Leaf {
        is_ca: true,
        ..Leaf::of(AGENT)
    });
    is_refused(&mut world, &svid).await;
}

#[tokio::test]
async fn a_certificate_with_two_uris_or_none_is_refused() {
    let mut world = World::new();
    let two = vec![AGENT.to_owned(), "spiffe://one.test/b".to_owned()];
    for uris in [two, vec![], vec!["https://one.test/a".to_owned()]] {
        let svid = world.authority.sign(&Leaf {
            uris,
            ..Leaf::of(AGENT)
        });
        is_refused(&mut world, &svid).await;
    }
}

#[tokio::test]
async fn a_certificate_without_a_path_in_its_id_is_refused() {
    let mut world = World::new();
    let svid = world.authority.svid("spiffe://one.test");
    is_refused(&mut world, &svid).await;
}

#[tokio::test]
async fn a_chain_that_is_too_long_is_refused() {
    let mut world = World::new();
    let mut svid = world.authority.svid(AGENT);
    svid.chain.extend(vec![world.authority.der.clone(); 20]);
    is_refused(&mut world, &svid).await;
}

#[tokio::test]
async fn a_refusal_of_one_client_does_not_disturb_the_next() {
    let mut world = World::new();
    is_refused(&mut world, &Authority::new("one.test").svid(AGENT)).await;
    let client = world.client(Some(&world.authority.svid(AGENT)));
    world.talk(&client).await.unwrap();
}

#[tokio::test]
async fn a_new_bundle_counts_from_the_next_handshake_on() {
    let mut world = World::new();
    let next = Authority::new("one.test");
    let client = world.client(Some(&next.svid(AGENT)));
    world.talk(&client).await.unwrap_err();
    world
        .trust
        .set(&crate::support::bundle(&[&world.authority, &next]));
    world.talk(&client).await.unwrap();
    world.trust.set(&world.authority.bundle());
    world.talk(&client).await.unwrap_err();
}

#[tokio::test]
async fn a_tainted_authority_still_verifies() {
    let mut world = World::new();
    let mut bundle = world.authority.bundle();
    bundle.x509_authorities = bundle
        .x509_authorities
        .into_iter()
        .map(|one| one.with_taint(true))
        .collect();
    world.trust.set(&bundle);
    let client = world.client(Some(&world.authority.svid(AGENT)));
    world.talk(&client).await.unwrap();
}

#[tokio::test]
async fn an_expired_root_verifies_nothing() {
    let mut world = World::new();
    let expired = Authority::valid("one.test", noon() - 2 * HOUR, noon() - HOUR);
    world.trust.set(&expired.bundle());
    is_refused(&mut world, &expired.svid(AGENT)).await;
}

#[tokio::test]
async fn an_open_connection_is_judged_anew_when_the_trust_changes() {
    let mut world = World::new();
    let client = world.client(Some(&world.authority.svid(AGENT)));
    let peer = world
        .talk(&client)
        .await
        .unwrap()
        .peer_info()
        .peer
        .clone()
        .unwrap();
    peer.recheck(&world.trust, noon()).unwrap();
    let other = Authority::new("one.test");
    world.trust.set(&other.bundle());
    let refused = peer.recheck(&world.trust, noon()).unwrap_err();
    assert!(refused.is_unknown_authority(), "{refused:?}");
    assert!(
        peer.recheck(&world.trust, noon()).is_err(),
        "it stays refused"
    );
    world
        .trust
        .set(&crate::support::bundle(&[&other, &world.authority]));
    peer.recheck(&world.trust, noon()).unwrap();
}

#[tokio::test]
async fn an_open_connection_ends_with_its_certificate() {
    let mut world = World::new();
    let client = world.client(Some(&world.authority.svid(AGENT)));
    let peer = world
        .talk(&client)
        .await
        .unwrap()
        .peer_info()
        .peer
        .clone()
        .unwrap();
    peer.recheck(&world.trust, noon() + HOUR).unwrap();
    let late = noon() + HOUR + std::time::Duration::from_secs(1);
    assert!(matches!(
        peer.recheck(&world.trust, late),
        Err(PeerRefused::Expired)
    ));
}

#[test]
fn only_a_change_of_certificates_makes_a_new_generation() {
    let authority = Authority::new("one.test");
    let trust = Arc::new(signet_tls::Trust::new([&authority.bundle()]));
    let before = trust.generation();
    let mut same = authority.bundle();
    same.sequence += 1;
    trust.set(&same);
    trust.remove(&Authority::new("two.test").trust_domain);
    assert_eq!(trust.generation(), before);
    trust.set(&Authority::new("two.test").bundle());
    assert_eq!(trust.generation(), before + 1);
    let svid = authority.svid(AGENT);
    VerifiedPeer::verify(&svid.chain, &trust, noon()).unwrap();
    trust.remove(&authority.trust_domain);
    let refused = VerifiedPeer::verify(&svid.chain, &trust, noon()).unwrap_err();
    assert!(matches!(refused, PeerRefused::NoBundle { .. }));
}

#[test]
fn a_refusal_does_not_quote_the_certificate() {
    let authority = Authority::new("one.test");
    let trust = signet_tls::Trust::new([&authority.bundle()]);
    let uris = vec!["spiffe://one.test/secret%20marker".to_owned()];
    for svid in [
        authority.sign(&Leaf {
            uris,
            ..Leaf::of(AGENT)
        }),
        Authority::new("marker.test").svid("spiffe://marker.test/marker"),
        Authority::new("one.test").svid("spiffe://one.test/marker"),
    ] {
        let refused = trust.verify(&svid.chain, noon()).unwrap_err();
        let mut text = String::new();
        let mut next: Option<&dyn std::error::Error> = Some(&refused);
        while let Some(error) = next {
            text.push_str(&error.to_string());
            next = error.source();
        }
        assert!(!text.contains("marker"), "{text}");
    }
}
