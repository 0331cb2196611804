//! SVIDs: issued by entry, minted for administrators, refused.

use crate::harness::{
    HOUR, Node, World, create, csr, csr_with, entry, forged_csr, id, key, mint, refusal, seconds,
};
use signet_proto::spire::server::svid::v1::svid_client::SvidClient;
use signet_proto::spire::server::svid::v1::{
    BatchNewX509svidRequest, MintJwtsvidRequest, NewJwtsvidRequest, NewX509svidParams,
    batch_new_x509svid_response,
};
use signet_proto::spire::types::entry::AdditionalAttributes;
use signet_proto::spire::types::{Entry, Jwtsvid, X509svid};
use signet_spiffe::{jwt_svid, x509_svid};
use std::time::Duration;
use tonic::{Code, Status};

async fn served(change: impl FnOnce(&mut Entry, &World)) -> (World, Node, Entry) {
    let world = World::new().await;
    let node = world.agent().await;
    let mut given = entry("/web", &node.id);
    change(&mut given, &world);
    let made = create(&world.local().await, vec![given]).await.remove(0);
    (world, node, made)
}

fn wanted(entry_id: &str, csr: &[u8]) -> NewX509svidParams {
    NewX509svidParams {
        entry_id: entry_id.to_owned(),
        csr: csr.to_vec().into(),
    }
}

async fn batch(
    node: &Node,
    params: Vec<NewX509svidParams>,
) -> Result<Vec<batch_new_x509svid_response::Result>, Status> {
    let request = BatchNewX509svidRequest { params };
    let answer = node.svids().batch_new_x509svid(request).await?;
    Ok(answer.into_inner().results)
}

async fn issued(node: &Node, entry: &Entry) -> X509svid {
    let results = batch(node, vec![wanted(&entry.id, &csr(&key(), &[]))]).await;
    results.unwrap().remove(0).svid.unwrap()
}

async fn new_jwt(node: &Node, entry_id: &str, audience: &[&str]) -> Result<Jwtsvid, Status> {
    let request = NewJwtsvidRequest {
        entry_id: entry_id.to_owned(),
        audience: audience.iter().map(|one| (*one).to_owned()).collect(),
    };
    let answer = node.svids().new_jwtsvid(request).await?;
    Ok(answer.into_inner().svid.unwrap())
}

async fn mint_jwt(
    world: &World,
    path: &str,
    audience: &[&str],
    ttl: i32,
) -> Result<Jwtsvid, Status> {
    let request = MintJwtsvidRequest {
        id: Some(id(path)),
        audience: audience.iter().map(|one| (*one).to_owned()).collect(),
        ttl,
    };
    let answer = SvidClient::new(world.local().await)
        .mint_jwtsvid(request)
        .await?;
    Ok(answer.into_inner().svid.unwrap())
}

#[tokio::test]
async fn an_svid_says_what_its_entry_says_and_nothing_that_was_asked_for() {
    let (world, node, made) = served(|entry, _| entry.x509_svid_ttl = 600).await;
    let key = key();
    let greedy = csr_with(&key, &["spiffe://example.org/root"], &["bank.example"]);
    let results = batch(&node, vec![wanted(&made.id, &greedy)]).await.unwrap();
    let svid = results[0].svid.clone().unwrap();
    assert_eq!(svid.id, Some(id("/web")));
    assert_eq!(svid.expires_at, world.now() + 600);
    assert_eq!(svid.hint, "");
    let own = world.server.issuer().own_bundle().unwrap();
    let now = world.server.issuer().clock.now();
    let parsed = x509_svid::verify(&svid.cert_chain, &own, now).unwrap();
    assert_eq!(parsed.id.to_string(), "spiffe://example.org/web");
    assert_eq!(parsed.public_key, *key.public_key());
    assert_eq!(seconds(parsed.not_before), world.now() - 10);
    assert_eq!(seconds(parsed.not_after), world.now() + 600);
    let der = &svid.cert_chain[0];
    let has = |name: &[u8]| der.windows(name.len()).any(|window| window == name);
    assert!(!has(b"bank.example") && !has(b"/root"));
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item_in_order() {
    let (world, node, made) = served(|_, _| {}).await;
    let theirs = entry("/theirs", &id("/spire/agent/x/y"));
    let theirs = create(&world.local().await, vec![theirs]).await.remove(0);
    let good = csr(&key(), &[]);
    let params = vec![
        wanted("", &good),
        wanted(&made.id, b""),
        wanted(&made.id, b"x"),
        wanted(&made.id, &forged_csr()),
        wanted(&made.id, &[0x30; 20_000]),
        wanted("nope", &good),
        wanted("a b", &good),
        wanted(&theirs.id, &good),
        wanted(&made.id, &good),
    ];
    let results = batch(&node, params).await.unwrap();
    let statuses: Vec<_> = results.iter().map(|r| r.status.clone().unwrap()).collect();
    let codes: Vec<_> = statuses
        .iter()
        .map(|status| Code::from(status.code))
        .collect();
    let mut expected = vec![Code::InvalidArgument; 5];
    expected.extend([Code::NotFound; 3]);
    expected.push(Code::Ok);
    assert_eq!(codes, expected, "{statuses:?}");
    for status in &statuses[5..8] {
        assert_eq!(status.message, "entry not found or not authorized");
    }
    assert!(results[..8].iter().all(|result| result.svid.is_none()));
}

#[tokio::test]
async fn a_batch_of_none_is_refused_and_one_over_the_limit_too() {
    let (_world, node, made) = served(|_, _| {}).await;
    assert_eq!(refusal(batch(&node, vec![]).await).0, Code::InvalidArgument);
    let many = vec![wanted(&made.id, b"x"); 501];
    assert_eq!(refusal(batch(&node, many).await).0, Code::ResourceExhausted);
    let many = vec![wanted(&made.id, b"x"); 500];
    assert_eq!(batch(&node, many).await.unwrap().len(), 500);
}

#[tokio::test]
async fn an_svid_outlives_neither_its_entry_nor_its_authority() {
    let (world, node, made) = served(|entry, world| {
        entry.x509_svid_ttl = 1_000_000;
        entry.jwt_svid_ttl = 1_000_000;
        entry.expires_at = world.now() + 100;
    })
    .await;
    assert_eq!(issued(&node, &made).await.expires_at, made.expires_at);
    let jwt = new_jwt(&node, &made.id, &["a"]).await.unwrap();
    assert_eq!(jwt.expires_at, made.expires_at);
    world.clock.advance(Duration::from_secs(100));
    let good = csr(&key(), &[]);
    let results = batch(&node, vec![wanted(&made.id, &good)]).await.unwrap();
    assert_eq!(
        Code::from(results[0].status.as_ref().unwrap().code),
        Code::NotFound
    );
    let refused = new_jwt(&node, &made.id, &["a"]).await;
    assert_eq!(refusal(refused).0, Code::NotFound);

    let (world, node, made) = served(|entry, _| entry.x509_svid_ttl = i32::MAX).await;
    let end = world
        .server
        .issuer()
        .authorities
        .x509()
        .unwrap()
        .not_after();
    assert_eq!(issued(&node, &made).await.expires_at, seconds(end));
}

#[tokio::test]
async fn a_jwt_svid_verifies_and_has_an_id_of_its_own_only_if_its_entry_says_so() {
    let (world, node, made) = served(|entry, _| {
        entry.additional_attributes = Some(AdditionalAttributes {
            jwt_svid_include_jti: true,
            ..AdditionalAttributes::default()
        });
    })
    .await;
    let plain = create(&world.local().await, vec![entry("/plain", &node.id)])
        .await
        .remove(0);
    let own = world.server.issuer().own_bundle().unwrap();
    let now = world.server.issuer().clock.now();
    for (entry, with_jti) in [(&made, true), (&plain, false)] {
        let svid = new_jwt(&node, &entry.id, &["one", "two"]).await.unwrap();
        assert_eq!(
            (svid.issued_at, svid.expires_at),
            (world.now(), world.now() + 300)
        );
        let parsed = jwt_svid::parse_unverified(&svid.token).unwrap();
        assert_eq!(parsed.claims.contains_key("jti"), with_jti);
        assert_eq!(parsed.audience, ["one", "two"]);
        let verified =
            jwt_svid::verify(&svid.token, |_| Some(&*own), &["two"], now, Duration::ZERO);
        assert_eq!(
            verified.unwrap().id.path(),
            entry.spiffe_id.as_ref().unwrap().path
        );
    }
}

#[tokio::test]
async fn the_entry_of_a_jwt_svid_is_checked_before_its_audience() {
    let (_world, node, made) = served(|_, _| {}).await;
    for entry_id in ["", "nope"] {
        let refused = new_jwt(&node, entry_id, &[]).await;
        assert_eq!(refusal(refused).0, Code::NotFound, "{entry_id:?}");
    }
    let many = vec!["a"; 1000];
    let long = "x".repeat(100_000);
    for audience in [&[][..], &[""], &many, &[long.as_str()]] {
        let refused = new_jwt(&node, &made.id, audience).await;
        assert_eq!(refusal(refused).0, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn without_jwt_svids_both_ways_to_one_are_unimplemented() {
    let world = World::with(|parts| parts.settings.disable_jwt_svids = true).await;
    let node = world.agent().await;
    let made = create(&world.local().await, vec![entry("/web", &node.id)])
        .await
        .remove(0);
    let refused = new_jwt(&node, &made.id, &["a"]).await;
    assert_eq!(refusal(refused).0, Code::Unimplemented);
    let refused = mint_jwt(&world, "/web", &["a"], 0).await;
    assert_eq!(refusal(refused).0, Code::Unimplemented);
}

#[tokio::test]
async fn a_certificate_is_minted_as_the_request_says_within_the_rules() {
    let world = World::new().await;
    let local = world.local().await;
    let key = key();
    let uri = "spiffe://example.org/m";
    for (ttl, life) in [(0, 3600), (-5, 3600), (60, 60), (i32::MIN, 3600)] {
        let der = mint(&local, csr(&key, &[uri]), ttl).await.unwrap();
        let svid = x509_svid::parse(&[der]).unwrap();
        assert_eq!(svid.id.to_string(), uri);
        assert_eq!(seconds(svid.not_after), world.now() + life, "{ttl}");
    }
    mint(&local, csr_with(&key, &[uri], &["a.example"]), 0)
        .await
        .unwrap();
    let bad = [
        Vec::new(),
        b"x".to_vec(),
        forged_csr(),
        csr(&key, &[]),
        csr(&key, &[uri, "spiffe://example.org/n"]),
        csr(&key, &["https://example.org/m"]),
        csr(&key, &["spiffe://other.org/m"]),
        csr(&key, &["spiffe://example.org/spire/server"]),
        csr(&key, &["spiffe://example.org"]),
        csr_with(&key, &[uri], &["*.a.example", "b.a.example"]),
        csr_with(&key, &[uri], &["a.example."]),
    ];
    for (number, csr) in bad.into_iter().enumerate() {
        let refused = mint(&local, csr, 0).await;
        assert_eq!(refusal(refused).0, Code::InvalidArgument, "{number}");
    }
}

#[tokio::test]
async fn a_token_is_minted_for_a_workload_and_an_audience() {
    let world = World::new().await;
    for (ttl, life) in [(0, 300), (-1, 300), (60, 60)] {
        let jwt = mint_jwt(&world, "/m", &["a"], ttl).await.unwrap();
        assert_eq!(jwt.expires_at, world.now() + life);
        let parsed = jwt_svid::parse_unverified(&jwt.token).unwrap();
        assert!(!parsed.claims.contains_key("jti"));
    }
    for (path, audience) in [
        ("/m", &[][..]),
        ("/m", &[""]),
        ("", &["a"]),
        ("/spire/server", &["a"]),
        ("/a//b", &["a"]),
    ] {
        let refused = mint_jwt(&world, path, audience, 0).await;
        assert_eq!(
            refusal(refused).0,
            Code::InvalidArgument,
            "{path} {audience:?}"
        );
    }
}

#[tokio::test]
async fn a_banned_agent_is_issued_nothing_on_its_open_connection() {
    let (world, node, made) = served(|_, _| {}).await;
    issued(&node, &made).await;
    let agent = signet_spiffe::SpiffeId::new(&crate::harness::td(), &node.id.path).unwrap();
    let issuer = world.server.issuer();
    issuer
        .ban_agent(&crate::harness::operator(), &agent)
        .await
        .unwrap();
    let refused = batch(&node, vec![wanted(&made.id, &csr(&key(), &[]))]).await;
    assert_eq!(refusal(refused).0, Code::PermissionDenied);
    world.clock.advance(HOUR / 2);
}
