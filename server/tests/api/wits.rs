//! WIT-SVIDs: issued by entry, minted for administrators, refused, and off unless switched on.

use crate::harness::{HOUR, Node, World, create, entry, id, key, refusal, seconds};
use signet_crypto::{KeyType, PrivateKey};
use signet_model::{Credential, Decision};
use signet_proto::spire::server::bundle::v1::GetBundleRequest;
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_proto::spire::server::svid::v1::{
    BatchNewWitsvidRequest, MintWitsvidRequest, NewWitsvidParams, batch_new_witsvid_response,
};
use signet_proto::spire::types::{Entry, Witsvid};
use signet_spiffe::jwks::{self, Flavor};
use signet_spiffe::{PublicKey, jwt_svid, wit_svid};
use std::time::Duration;
use tonic::{Code, Status};

async fn world() -> World {
    World::with(|parts| {
        parts.authority.wit_key_type = Some(KeyType::EcP384);
        parts.settings.policy.wit_issuer = Some("urn:example:wit".to_owned());
    })
    .await
}

async fn served(change: impl FnOnce(&mut Entry, &World)) -> (World, Node, Entry) {
    let world = world().await;
    let node = world.agent().await;
    let mut given = entry("/web", &node.id);
    change(&mut given, &world);
    let made = create(&world.local().await, vec![given]).await.remove(0);
    (world, node, made)
}

fn wanted(entry_id: &str, key: &PublicKey, algorithm: &str) -> NewWitsvidParams {
    NewWitsvidParams {
        entry_id: entry_id.to_owned(),
        public_key: key.spki_der().to_vec().into(),
        signing_algorithm: algorithm.to_owned(),
    }
}

async fn batch(
    node: &Node,
    params: Vec<NewWitsvidParams>,
) -> Result<Vec<batch_new_witsvid_response::Result>, Status> {
    let request = BatchNewWitsvidRequest { params };
    let answer = node.svids().batch_new_witsvid(request).await?;
    Ok(answer.into_inner().results)
}

async fn issued(node: &Node, entry: &Entry, key: &PublicKey) -> Witsvid {
    let results = batch(node, vec![wanted(&entry.id, key, "ES256")]).await;
    results.unwrap().remove(0).svid.unwrap()
}

async fn mint(
    world: &World,
    path: &str,
    key: &[u8],
    algorithm: &str,
    ttl: i32,
) -> Result<Witsvid, Status> {
    let request = MintWitsvidRequest {
        id: Some(id(path)),
        public_key: key.to_vec().into(),
        ttl,
        signing_algorithm: algorithm.to_owned(),
    };
    let mut client = SvidClient::new(world.local().await);
    let minted = client.mint_witsvid(request).await?;
    Ok(minted.into_inner().svid.unwrap())
}

fn public_key() -> PublicKey {
    key().public_key().clone()
}

#[tokio::test]
async fn a_wit_says_what_its_entry_says_and_verifies_with_the_bundle() {
    let (world, node, made) = served(|entry, _| {
        entry.x509_svid_ttl = 600;
        entry.jwt_svid_ttl = 7;
    })
    .await;
    let key = public_key();
    let svid = issued(&node, &made, &key).await;
    assert_eq!(svid.id, Some(id("/web")));
    assert_eq!(
        (svid.issued_at, svid.expires_at),
        (world.now(), world.now() + 600)
    );
    assert_eq!(svid.hint, "");
    let own = world.server.issuer().own_bundle().unwrap();
    let now = world.server.issuer().clock.now();
    let read = wit_svid::verify(&svid.token, |_| Some(&*own), now, Duration::ZERO).unwrap();
    assert_eq!(read.id.path(), "/web");
    assert_eq!((read.key, read.key_algorithm.name()), (key, "ES256"));
    assert_eq!(read.claims["iss"], "urn:example:wit");
    assert!(!read.claims.contains_key("jti"));
    assert!(jwt_svid::parse_unverified(&svid.token).is_err());
}

#[tokio::test]
async fn the_key_stands_in_the_bundle_for_wits_alone() {
    let (world, node, made) = served(|_, _| {}).await;
    let svid = issued(&node, &made, &public_key()).await;
    let kid = wit_svid::parse_unverified(&svid.token).unwrap().key_id;
    let request = GetBundleRequest::default();
    let bundle = node
        .bundles()
        .get_bundle(request)
        .await
        .unwrap()
        .into_inner();
    let wits: Vec<_> = bundle
        .wit_authorities
        .iter()
        .map(|key| &key.key_id)
        .collect();
    assert_eq!(wits, [&kid]);
    assert!(bundle.jwt_authorities.iter().all(|key| key.key_id != kid));
    let spki = &bundle.wit_authorities[0].public_key;
    let key = PublicKey::from_spki_der(spki).unwrap();
    assert_eq!(key.key_type(), Some(KeyType::EcP384));
    let own = world.server.issuer().own_bundle().unwrap();
    assert_eq!(
        bundle.wit_authorities[0].expires_at,
        seconds(own.wit_authorities[0].expires_at.unwrap())
    );
    let document = jwks::encode(&own, Flavor::Spiffe);
    assert!(document.contains(r#""use":"wit-svid""#) && document.contains(&kid));
    assert!(!jwks::encode(&own, Flavor::JwtOnlyPlain).contains(&kid));
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item_in_order() {
    let (world, node, made) = served(|_, _| {}).await;
    let theirs = entry("/theirs", &id("/spire/agent/x/y"));
    let theirs = create(&world.local().await, vec![theirs]).await.remove(0);
    let key = public_key();
    let p384 = PrivateKey::generate(KeyType::EcP384).unwrap();
    let malformed = |bytes: &[u8]| NewWitsvidParams {
        public_key: bytes.to_vec().into(),
        ..wanted(&made.id, &key, "ES256")
    };
    let params = vec![
        wanted("", &key, "ES256"),
        malformed(b""),
        malformed(b"x"),
        malformed(&[0x30; 20_000]),
        wanted(&made.id, &key, ""),
        wanted(&made.id, &key, "HS256"),
        wanted(&made.id, &key, "ES384"),
        wanted(&made.id, &key, "RS256"),
        wanted("nope", &key, "ES256"),
        wanted(&theirs.id, &key, "ES256"),
        wanted(&made.id, p384.public_key(), "ES384"),
        wanted(&made.id, &key, "ES256"),
    ];
    let results = batch(&node, params).await.unwrap();
    let statuses: Vec<_> = results.iter().map(|r| r.status.clone().unwrap()).collect();
    let codes: Vec<_> = statuses.iter().map(|one| Code::from(one.code)).collect();
    let mut expected = vec![Code::InvalidArgument; 8];
    expected.extend([Code::NotFound; 2]);
    expected.extend([Code::Ok; 2]);
    assert_eq!(codes, expected, "{statuses:?}");
    assert!(results[..10].iter().all(|result| result.svid.is_none()));
    assert!(results[10..].iter().all(|result| result.svid.is_some()));
}

#[tokio::test]
async fn a_batch_of_none_is_refused_and_one_over_the_limit_too() {
    let (_world, node, made) = served(|_, _| {}).await;
    assert_eq!(refusal(batch(&node, vec![]).await).0, Code::InvalidArgument);
    let many = |count| vec![wanted(&made.id, &public_key(), "nonsense"); count];
    assert_eq!(
        refusal(batch(&node, many(501)).await).0,
        Code::ResourceExhausted
    );
    assert_eq!(batch(&node, many(500)).await.unwrap().len(), 500);
}

#[tokio::test]
async fn a_wit_outlives_neither_its_entry_nor_its_authority() {
    let (world, node, made) = served(|entry, world| {
        entry.x509_svid_ttl = 1_000_000;
        entry.expires_at = world.now() + 100;
    })
    .await;
    let key = public_key();
    assert_eq!(issued(&node, &made, &key).await.expires_at, made.expires_at);
    world.clock.advance(Duration::from_secs(100));
    let results = batch(&node, vec![wanted(&made.id, &key, "ES256")]).await;
    let status = results.unwrap().remove(0).status.unwrap();
    assert_eq!(Code::from(status.code), Code::NotFound);

    let (world, node, made) = served(|entry, _| entry.x509_svid_ttl = i32::MAX).await;
    let end = world.server.issuer().authorities.wit().unwrap().not_after;
    assert_eq!(issued(&node, &made, &key).await.expires_at, seconds(end));
}

#[tokio::test]
async fn a_wit_is_minted_for_a_workload_and_any_fitting_key() {
    let world = world().await;
    let key = public_key();
    for (ttl, life) in [(0, 3600), (-1, 3600), (60, 60)] {
        let svid = mint(&world, "/m", key.spki_der(), "ES256", ttl)
            .await
            .unwrap();
        assert_eq!(svid.expires_at, world.now() + life, "{ttl}");
        assert_eq!(
            wit_svid::parse_unverified(&svid.token).unwrap().id.path(),
            "/m"
        );
    }
    if signet_crypto::HAS_AWS_LC {
        let rsa = PrivateKey::generate(KeyType::Rsa2048).unwrap();
        for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
            let spki = rsa.public_key().spki_der();
            let svid = mint(&world, "/m", spki, algorithm, 0).await.unwrap();
            let read = wit_svid::parse_unverified(&svid.token).unwrap();
            assert_eq!(read.key_algorithm.name(), algorithm);
        }
    }
    for (path, spki, algorithm) in [
        ("", key.spki_der(), "ES256"),
        ("/spire/server", key.spki_der(), "ES256"),
        ("/spire/agent/a/b", key.spki_der(), "ES256"),
        ("/a//b", key.spki_der(), "ES256"),
        ("/m", b"", "ES256"),
        ("/m", key.spki_der(), "ES512"),
        ("/m", key.spki_der(), "none"),
    ] {
        let refused = mint(&world, path, spki, algorithm, 0).await;
        assert_eq!(
            refusal(refused).0,
            Code::InvalidArgument,
            "{path} {algorithm}"
        );
    }
}

#[tokio::test]
async fn each_wit_and_each_refusal_is_recorded_without_the_token() {
    let (world, node, made) = served(|_, _| {}).await;
    world.records();
    let key = public_key();
    let svid = issued(&node, &made, &key).await;
    batch(&node, vec![wanted("nope", &key, "ES256")])
        .await
        .unwrap();
    mint(&world, "/m", key.spki_der(), "ES256", 0)
        .await
        .unwrap();
    mint(&world, "/m", key.spki_der(), "ES384", 0)
        .await
        .unwrap_err();
    let records = world.records();
    let found: Vec<_> = records
        .iter()
        .map(|one| (one.action, one.decision))
        .collect();
    assert_eq!(
        found,
        [
            ("wit.issue", Decision::Granted),
            ("wit.issue", Decision::Refused),
            ("wit.mint", Decision::Granted),
            ("wit.mint", Decision::Refused),
        ]
    );
    let hash = signet_crypto::hex(&signet_crypto::sha256(svid.token.as_bytes()));
    assert_eq!(records[0].credential, Some(Credential::JtiHash(hash)));
    assert_eq!(records[0].entry.as_ref().unwrap().0.as_str(), made.id);
}

#[tokio::test]
async fn without_the_flag_both_ways_to_one_are_unimplemented_and_no_key_is_published() {
    let world = World::new().await;
    let node = world.agent().await;
    let made = create(&world.local().await, vec![entry("/web", &node.id)])
        .await
        .remove(0);
    let key = public_key();
    let refused = batch(&node, vec![wanted(&made.id, &key, "ES256")]).await;
    assert_eq!(refusal(refused).0, Code::Unimplemented);
    let refused = mint(&world, "/web", key.spki_der(), "ES256", 0).await;
    assert_eq!(refusal(refused).0, Code::Unimplemented);
    let own = world.server.issuer().own_bundle().unwrap();
    assert!(own.wit_authorities.is_empty());
    world.clock.advance(HOUR);
}
