//! FetchX509SVID.

use super::*;
use crate::testing::{HOUR, entry, spiffe_id};
use signet_crypto::PrivateKey;
use signet_proto::workload::{X509svidRequest, X509svidResponse};
use signet_spiffe::certificate::split_concatenated;
use signet_spiffe::{Bundle, TrustDomain, x509_svid};
use tokio::time::Instant;
use tonic::Streaming;

async fn fetch(client: &mut Client) -> Result<Streaming<X509svidResponse>, Status> {
    let answers = client.fetch_x509svid(request(X509svidRequest {})).await?;
    Ok(answers.into_inner())
}

async fn first(client: &mut Client) -> Result<X509svidResponse, Status> {
    let message = fetch(client).await?.message().await?;
    Ok(message.expect("a stream of ours never ends with OK"))
}

fn names(response: &X509svidResponse) -> Vec<&str> {
    let ids = response.svids.iter().map(|svid| svid.spiffe_id.as_str());
    ids.map(|id| id.trim_start_matches("spiffe://example.org/"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_workload_gets_its_svids_with_keys_and_bundle_in_the_order_of_the_entries() {
    let all = [entry("b", &["unix:uid:1"]), entry("a", &["unix:uid:1"])];
    let world = World::synced(&all);
    let response = first(&mut world.client(1).await).await.expect("issued");
    assert_eq!(names(&response), ["a", "b"]);
    assert!(response.crl.is_empty() && response.federated_bundles.is_empty());
    for svid in &response.svids {
        let chain = split_concatenated(&svid.x509_svid, 10).expect("certificates");
        let verified = x509_svid::verify(&chain, &world.server.ca.bundle(), noon());
        let verified = verified.expect("a valid SVID");
        assert_eq!(verified.id.to_string(), svid.spiffe_id);
        let key = PrivateKey::from_pkcs8_der(&svid.x509_svid_key).expect("PKCS#8");
        assert_eq!(*key.public_key(), verified.public_key);
        assert_eq!(svid.bundle, *world.server.ca.authority().der);
    }
}

#[tokio::test(start_paused = true)]
async fn hints_are_passed_on_and_of_equal_ones_the_oldest_entry_wins() {
    let mut all = ["a", "b", "c"].map(|id| entry(id, &["unix:uid:1"]));
    for one in &mut all {
        one.hint = "internal".to_owned();
    }
    all[1].created_at -= HOUR;
    all[2].hint = "external".to_owned();
    let world = World::synced(&all);
    let response = first(&mut world.client(1).await).await.expect("issued");
    assert_eq!(names(&response), ["b", "c"]);
    assert_eq!(response.svids[0].hint, "internal");
}

#[tokio::test(start_paused = true)]
async fn federated_bundles_come_by_trust_domain_id() {
    let other = TrustDomain::parse("other.example").expect("valid");
    let mut one = entry("a", &["unix:uid:1"]);
    one.federates_with.insert(other.clone());
    let mut world = World::unsynced(std::slice::from_ref(&one), Options::default());
    let mut foreign = Bundle::empty(other);
    foreign.x509_authorities = vec![crate::testing::Ca::new().authority()];
    let der = foreign.x509_authorities[0].der.clone();
    world.apply(whole(vec![one], vec![world.server.ca.bundle(), foreign]));
    let response = first(&mut world.client(1).await).await.expect("issued");
    assert_eq!(response.federated_bundles["spiffe://other.example"], *der);
}

#[tokio::test(start_paused = true)]
async fn a_call_before_the_first_sync_waits_instead_of_being_denied() {
    let all = [entry("a", &["unix:uid:1"])];
    let mut world = World::unsynced(&all, Options::default());
    let mut client = world.client(1).await;
    let sync = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.sync(&all);
    };
    let (response, ()) = tokio::join!(first(&mut client), sync);
    assert_eq!(names(&response.expect("issued")), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_first_sync_the_wait_ends_with_unavailable() {
    let world = World::unsynced(&[], Options::default());
    let mut client = world.client(1).await;
    let before = Instant::now();
    let error = first(&mut client).await.expect_err("never synced");
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(before.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn an_svid_that_cannot_be_had_is_unavailable_and_not_denied() {
    let all = [entry("a", &["unix:uid:1"])];
    let world = World::synced(&all);
    world.server.fail_with(Some(FakeServer::outage()));
    let error = first(&mut world.client(1).await)
        .await
        .expect_err("no SVID");
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_workload_without_entry_is_denied_at_once_when_the_agent_is_up_to_date() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    let before = Instant::now();
    let error = first(&mut world.client(2).await)
        .await
        .expect_err("no entry");
    assert_denied(&error);
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_stale_agent_asks_its_server_before_it_denies() {
    let mut world = World::synced(&[]);
    tokio::time::advance(Duration::from_secs(60)).await;
    let all = [entry("a", &["unix:uid:1"])];
    world
        .server
        .entries
        .lock()
        .unwrap()
        .insert(all[0].id.clone(), spiffe_id("/a"));
    let mut client = world.client(1).await;
    let freshness = world.freshness.clone();
    let sync = async {
        freshness.asked().await;
        world.sync(&all);
    };
    let (response, ()) = tokio::join!(first(&mut client), sync);
    assert_eq!(names(&response.expect("issued")), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_one_message_with_another_key() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    let mut answers = fetch(&mut world.client(1).await).await.expect("open");
    let before = Instant::now();
    let mut keys = Vec::new();
    for _ in 0..4 {
        let message = answers.message().await.expect("well").expect("open");
        keys.push(message.svids[0].x509_svid_key.clone());
    }
    keys.dedup();
    assert_eq!(keys.len(), 4);
    let lives = before.elapsed().as_secs_f64() / HOUR.as_secs_f64();
    assert!(
        (1.3..=1.5).contains(&lives),
        "three renewals took {lives} lives"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_workload_would_not_see_is_not_sent() {
    let mut one = entry("a", &["unix:uid:1"]);
    let mut world = World::synced(std::slice::from_ref(&one));
    let mut answers = fetch(&mut world.client(1).await).await.expect("open");
    answers.message().await.expect("well").expect("open");
    world.sync(&[one.clone(), entry("other", &["unix:uid:9"])]);
    let silence = tokio::time::timeout(Duration::from_secs(60), answers.message()).await;
    assert!(silence.is_err());
    one.hint = "new".to_owned();
    world.sync(&[one]);
    let message = answers.message().await.expect("well").expect("open");
    assert_eq!(message.svids[0].hint, "new");
}

#[tokio::test(start_paused = true)]
async fn a_removed_entry_ends_the_stream_with_permission_denied() {
    let mut world = World::synced(&[entry("a", &["unix:uid:1"])]);
    let mut answers = fetch(&mut world.client(1).await).await.expect("open");
    answers.message().await.expect("well").expect("open");
    world.sync(&[]);
    assert_denied(&answers.message().await.expect_err("removed"));
}

#[tokio::test(start_paused = true)]
async fn a_stopping_agent_ends_its_streams_with_unavailable() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    let mut answers = fetch(&mut world.client(1).await).await.expect("open");
    answers.message().await.expect("well").expect("open");
    let stopped = world.tasks.shutdown(Duration::from_secs(5));
    let (ended, _) = tokio::join!(answers.message(), stopped);
    assert_eq!(ended.expect_err("stopped").code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn no_key_leaves_for_a_process_that_is_another_program_by_now() {
    let mut one = entry("a", &["unix:uid:1"]);
    let mut world = World::synced(std::slice::from_ref(&one));
    let (process, channel) = world.process(1).await;
    let mut answers = fetch(&mut Client::new(channel)).await.expect("open");
    answers.message().await.expect("well").expect("open");
    process.exec("/usr/bin/other", b"other");
    one.revision_number += 1;
    world.sync(&[one]);
    let error = answers.message().await.expect_err("another program");
    assert_eq!(
        said(&error),
        (Code::Unavailable, "workload attestation failed")
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_has_ended_is_not_attested() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    let (process, channel) = world.process(1).await;
    process.exit();
    let error = first(&mut Client::new(channel)).await.expect_err("ended");
    assert_eq!(
        said(&error),
        (Code::Unavailable, "workload attestation failed")
    );
}

#[tokio::test(start_paused = true)]
async fn through_an_outage_new_clients_get_the_cached_svid_until_it_expires() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    first(&mut world.client(1).await).await.expect("issued");
    world.server.fail_with(Some(FakeServer::outage()));
    tokio::time::sleep(HOUR.mul_f64(0.9)).await;
    first(&mut world.client(1).await)
        .await
        .expect("still valid");
    tokio::time::sleep(HOUR.mul_f64(0.2)).await;
    let error = first(&mut world.client(1).await)
        .await
        .expect_err("expired");
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_workload_whose_selectors_change_moves_over_to_what_it_gets_now() {
    let all = [entry("a", &["unix:uid:1"]), entry("b", &["unix:uid:2"])];
    let world = World::synced(&all);
    let mut stream = fetch(&mut world.client(1).await).await.expect("a stream");
    let message = stream.message().await.expect("issued").expect("no end");
    assert_eq!(names(&message), ["a"]);
    world.attestor.now(Says::Another(2));
    let message = stream.message().await.expect("issued").expect("no end");
    assert_eq!(names(&message), ["b"]);
    world.attestor.now(Says::Another(3));
    let status = stream.message().await.expect_err("denied");
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test(start_paused = true)]
async fn an_attestor_that_fails_takes_nothing_from_those_who_are_served() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    let mut stream = fetch(&mut world.client(1).await).await.expect("a stream");
    stream.message().await.expect("issued").expect("no end");
    world.attestor.now(Says::Fails);
    let next = tokio::time::timeout(HOUR / 60, stream.message()).await;
    assert!(next.is_err(), "nothing to say");
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_workload_whose_container_is_gone_ends_at_once() {
    let world = World::synced(&[entry("a", &["unix:uid:1"])]);
    let mut stream = fetch(&mut world.client(1).await).await.expect("a stream");
    stream.message().await.expect("issued").expect("no end");
    let began = Instant::now();
    world.attestor.now(Says::Departed);
    let status = stream.message().await.expect_err("gone");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(1));
}
