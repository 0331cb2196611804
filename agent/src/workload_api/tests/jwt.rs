//! FetchJWTSVID and ValidateJWTSVID.

use super::*;
use crate::testing::{Ca, HOUR, entry, spiffe_id};
use signet_proto::workload::{
    JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest, ValidateJwtsvidResponse,
};
use signet_spiffe::{Bundle, SpiffeId, TrustDomain, jwt_svid};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

async fn fetch(
    client: &mut Client,
    audience: &[&str],
    id: &str,
) -> Result<JwtsvidResponse, Status> {
    let asked = JwtsvidRequest {
        audience: audience.iter().map(|&one| one.to_owned()).collect(),
        spiffe_id: id.to_owned(),
    };
    Ok(client.fetch_jwtsvid(request(asked)).await?.into_inner())
}

async fn validate(
    client: &mut Client,
    audience: &str,
    svid: &str,
) -> Result<ValidateJwtsvidResponse, Status> {
    let asked = ValidateJwtsvidRequest {
        audience: audience.to_owned(),
        svid: svid.to_owned(),
    };
    Ok(client.validate_jwtsvid(request(asked)).await?.into_inner())
}

fn names(response: &JwtsvidResponse) -> Vec<&str> {
    let ids = response.svids.iter().map(|svid| svid.spiffe_id.as_str());
    ids.map(|id| id.trim_start_matches("spiffe://example.org/"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_workload_gets_a_token_for_each_identity_with_all_audiences() {
    let world = World::synced(&[entry("b", &["unix:uid:1"]), entry("a", &["unix:uid:1"])]);
    let mut client = world.client(1).await;
    let response = fetch(&mut client, &["x", "", "y"], "")
        .await
        .expect("issued");
    assert_eq!(names(&response), ["a", "b"]);
    let parsed = jwt_svid::parse_unverified(&response.svids[0].svid).expect("a token");
    assert_eq!(parsed.audience, ["x", "y"]);
    assert_eq!(parsed.id.to_string(), response.svids[0].spiffe_id);
}

#[tokio::test(start_paused = true)]
async fn one_identity_can_be_asked_for_and_only_an_own_one() {
    let world = World::synced(&[entry("a", &["unix:uid:1"]), entry("b", &["unix:uid:2"])]);
    let mut client = world.client(1).await;
    let response = fetch(&mut client, &["x"], "spiffe://example.org/a").await;
    assert_eq!(names(&response.expect("issued")), ["a"]);
    let error = fetch(&mut client, &["x"], "spiffe://example.org/b").await;
    assert_denied(&error.expect_err("of another workload"));
}

#[tokio::test(start_paused = true)]
async fn arguments_are_checked_before_anybody_is_attested() {
    let world = World::unsynced(&[], Options::default());
    let mut client = world.client(1).await;
    let before = tokio::time::Instant::now();
    for none in [&[][..], &[""]] {
        let error = fetch(&mut client, none, "").await.expect_err("no audience");
        let expected = (Code::InvalidArgument, "audience must be specified");
        assert_eq!(said(&error), expected);
    }
    let error = fetch(&mut client, &["x"], "nonsense")
        .await
        .expect_err("malformed");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().starts_with("invalid requested SPIFFE ID: "));
    let error = validate(&mut client, "", "token")
        .await
        .expect_err("no audience");
    assert_eq!(error.message(), "audience must be specified");
    let error = validate(&mut client, "x", "").await.expect_err("no token");
    assert_eq!(error.message(), "svid must be specified");
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_had_is_unavailable() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    world.server.fail_with(Some(FakeServer::outage()));
    let error = fetch(&mut world.client(1).await, &["x"], "")
        .await
        .expect_err("down");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().starts_with("could not fetch JWT-SVID: "));
}

#[tokio::test(start_paused = true)]
async fn a_token_of_ours_is_valid_for_its_audience_only_and_for_anybody_to_check() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    let response = fetch(&mut world.client(1).await, &["x"], "")
        .await
        .expect("issued");
    let token = &response.svids[0].svid;
    let mut stranger = world.client(2).await;
    let checked = validate(&mut stranger, "x", token).await.expect("valid");
    assert_eq!(checked.spiffe_id, "spiffe://example.org/a");
    let claims = checked.claims.expect("shown").fields;
    assert!(claims.contains_key("iat") && claims.contains_key("aud"));
    let error = validate(&mut stranger, "y", token)
        .await
        .expect_err("for another");
    assert_eq!(error.code(), Code::InvalidArgument);
    let cut = &token[..token.len() - 5];
    let error = validate(&mut stranger, "x", cut)
        .await
        .expect_err("damaged");
    assert_eq!(error.code(), Code::InvalidArgument);
    tokio::time::advance(HOUR + Duration::from_secs(61)).await;
    world.freshness.confirm();
    let error = validate(&mut stranger, "x", token)
        .await
        .expect_err("expired");
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_token_is_valid_for_those_who_federate_and_shows_only_standard_claims() {
    let other = TrustDomain::parse("other.example").expect("valid");
    let mut one = entry("a", &["unix:uid:1"]);
    one.federates_with.insert(other.clone());
    let mut world = World::unsynced(std::slice::from_ref(&one), Options::default());
    let foreign = Ca::new();
    let bundle = Bundle {
        trust_domain: other.clone(),
        ..foreign.bundle()
    };
    world.apply(whole(vec![one], vec![world.server.ca.bundle(), bundle]));
    let id = SpiffeId::new(&other, "/web").expect("valid");
    let token = foreign.jwt(&id, &["x".to_owned()], noon(), HOUR).token;
    let checked = validate(&mut world.client(1).await, "x", &token)
        .await
        .expect("valid");
    let names: BTreeSet<_> = checked.claims.expect("shown").fields.into_keys().collect();
    assert_eq!(
        names,
        BTreeSet::from(["aud", "exp", "sub"].map(str::to_owned))
    );
    let error = validate(&mut world.client(2).await, "x", &token).await;
    assert_eq!(
        error.expect_err("not federated").code(),
        Code::InvalidArgument
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_key_left_the_bundle_is_valid_no_more_and_fetched_anew() {
    let all = [entry("a", &["unix:uid:1"])];
    let mut world = World::synced(&all);
    let mut client = world.client(1).await;
    let response = fetch(&mut client, &["x"], "").await.expect("issued");
    let token = &response.svids[0].svid;
    validate(&mut client, "x", token).await.expect("valid");
    let mut bundle = world.server.ca.bundle();
    bundle.jwt_authorities = Ca::new().bundle().jwt_authorities;
    bundle.jwt_authorities[0].key_id = "key-2".to_owned();
    world.apply(whole(all.to_vec(), vec![bundle]));
    let error = validate(&mut client, "x", token).await;
    assert_eq!(error.expect_err("gone").code(), Code::InvalidArgument);
    let calls = world.server.jwt_calls.load(Ordering::SeqCst);
    let error = fetch(&mut client, &["x"], "").await;
    assert_eq!(
        error.expect_err("the server has not heard").code(),
        Code::Unavailable
    );
    assert!(world.server.jwt_calls.load(Ordering::SeqCst) > calls);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_claims_our_trust_domain_under_another_key_is_refused() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    let forged = Ca::new()
        .jwt(&spiffe_id("/a"), &["x".to_owned()], noon(), HOUR)
        .token;
    let error = validate(&mut world.client(1).await, "x", &forged)
        .await
        .expect_err("forged");
    assert_eq!(error.code(), Code::InvalidArgument);
}
