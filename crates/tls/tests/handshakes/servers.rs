//! Which servers a client talks to.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{AGENT, Authority, HOUR, Leaf, Refused, SERVER, World, id, noon};
use signet_crypto::{KeyType, PrivateKey};
use signet_tls::{ConnectError, Identity, IdentityError, PeerRefused, ServerTrust, Trust};

fn by_client(refused: Refused) -> ConnectError {
    match refused {
        Refused::ByClient(error) => error,
        Refused::ByServer(error) => panic!("the server refused: {error}"),
    }
}

#[tokio::test]
async fn a_server_with_another_id_is_refused_and_both_ids_named() {
    let mut world = World::new();
    let mut client = world.client(None);
    client.server_id = id("spiffe://one.test/other");
    let error = by_client(world.talk(&client).await.unwrap_err());
    let refused = error.refused().unwrap();
    assert!(matches!(refused, PeerRefused::WrongServer { .. }));
    assert!(refused.to_string().contains(SERVER));
    assert!(!refused.is_unknown_authority());
}

#[tokio::test]
async fn an_agents_certificate_does_not_make_a_server() {
    let mut world = World::new();
    let agent = world.authority.svid(AGENT);
    world.identity.set(&agent.chain, &agent.key).unwrap();
    let client = world.client(None);
    by_client(world.talk(&client).await.unwrap_err());
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_refused_as_that() {
    let mut world = World::new();
    let mut client = world.client(None);
    let other = Authority::new("one.test");
    client.trust = ServerTrust::Bundle(Arc::new(Trust::new([&other.bundle()])));
    let error = by_client(world.talk(&client).await.unwrap_err());
    assert!(error.refused().unwrap().is_unknown_authority());
}

#[tokio::test]
async fn a_server_with_an_expired_certificate_is_refused() {
    let mut world = World::new();
    let client = world.client(None);
    world.clock.set(noon() + HOUR + Duration::from_secs(1));
    let error = by_client(world.talk(&client).await.unwrap_err());
    assert!(matches!(error.refused(), Some(PeerRefused::Expired)));
}

#[tokio::test]
async fn a_server_with_two_uris_or_a_ca_certificate_is_refused() {
    let mut world = World::new();
    let client = world.client(None);
    let uris = vec![SERVER.to_owned(), "spiffe://one.test/b".to_owned()];
    for leaf in [
        Leaf {
            uris,
            ..Leaf::of(SERVER)
        },
        Leaf {
            is_ca: true,
            ..Leaf::of(SERVER)
        },
    ] {
        let svid = world.authority.sign(&leaf);
        world.identity.set(&svid.chain, &svid.key).unwrap();
        let error = by_client(world.talk(&client).await.unwrap_err());
        assert!(matches!(
            error.refused(),
            Some(PeerRefused::NotAnSvid { .. })
        ));
    }
}

#[tokio::test]
async fn insecure_bootstrap_accepts_any_authority_but_only_the_right_id() {
    let mut world = World::new();
    let mut client = world.client(None);
    client.trust = ServerTrust::InsecureBootstrap;
    let stranger = Authority::new("one.test").svid(SERVER);
    world.identity.set(&stranger.chain, &stranger.key).unwrap();
    world.talk(&client).await.unwrap();
    let agent = Authority::new("one.test").svid(AGENT);
    world.identity.set(&agent.chain, &agent.key).unwrap();
    by_client(world.talk(&client).await.unwrap_err());
}

#[tokio::test]
async fn a_new_identity_is_shown_from_the_next_handshake_on() {
    let mut world = World::new();
    let client = world.client(None);
    world.talk(&client).await.unwrap();
    let next = Authority::new("one.test");
    let svid = next.svid(SERVER);
    world.identity.set(&svid.chain, &svid.key).unwrap();
    world.talk(&client).await.unwrap_err();
    let mut client = world.client(None);
    client.trust = ServerTrust::Bundle(Arc::new(Trust::new([&next.bundle()])));
    world.talk(&client).await.unwrap();
    assert_eq!(world.identity.leaf().unwrap(), svid.chain[0]);
}

#[tokio::test]
async fn a_server_without_an_identity_refuses_and_recovers() {
    let mut world = World::new();
    let svid = world.authority.svid(SERVER);
    let client = world.client(None);
    world.identity.clear();
    let error = by_client(world.talk(&client).await.unwrap_err());
    assert!(matches!(error, ConnectError::Handshake { .. }));
    world.identity.set(&svid.chain, &svid.key).unwrap();
    world.talk(&client).await.unwrap();
}

#[tokio::test]
async fn a_clients_new_identity_is_shown_from_the_next_handshake_on() {
    let mut world = World::new();
    let client = world.client(None);
    assert!(
        world
            .talk(&client)
            .await
            .unwrap()
            .peer_info()
            .peer
            .is_none()
    );
    let svid = world.authority.svid(AGENT);
    client.identity.set(&svid.chain, &svid.key).unwrap();
    assert!(
        world
            .talk(&client)
            .await
            .unwrap()
            .peer_info()
            .peer
            .is_some()
    );
}

#[test]
fn a_key_that_is_not_the_certificates_is_no_identity() {
    let svid = Authority::new("one.test").svid(SERVER);
    let other = PrivateKey::generate(KeyType::EcP256).unwrap();
    let refused = Identity::new(&svid.chain, &other).unwrap_err();
    assert!(matches!(refused, IdentityError::Mismatch { .. }));
    let none: [&[u8]; 0] = [];
    let refused = Identity::new(&none, &other).unwrap_err();
    assert!(matches!(refused, IdentityError::NoCertificate));
}
