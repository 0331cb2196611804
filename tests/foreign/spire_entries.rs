//! Our agent on SPIRE's server with few and many entries. SPIRE answers in pages of 500, so one
//! more is where paging begins.

use std::fmt::Write;

use signet_tests::programs::spire_is_here;
use signet_tests::{Maker, Scene, ServerSettings, id, wait};
use spiffe::WorkloadApiClient;

#[tokio::test]
async fn our_agent_on_spires_server_without_entries_is_healthy_and_denies() {
    if !spire_is_here("our_agent_on_spires_server_without_entries_is_healthy_and_denies") {
        return;
    }
    let scene = Scene::of(&ServerSettings::new(Maker::Spire), Maker::Signet).await;
    let answer = scene.agent.cli(&["api", "fetch", "x509"]).await.refused();
    assert!(answer.contains("no identity issued"), "{answer}");
}

#[tokio::test]
async fn our_agent_on_spires_server_serves_500_entries() {
    if spire_is_here("our_agent_on_spires_server_serves_500_entries") {
        serves(500).await;
    }
}

#[tokio::test]
async fn our_agent_on_spires_server_serves_501_entries() {
    if spire_is_here("our_agent_on_spires_server_serves_501_entries") {
        serves(501).await;
    }
}

async fn serves(count: usize) {
    let scene = Scene::of(&ServerSettings::new(Maker::Spire), Maker::Signet).await;
    create(&scene, count).await;
    let client = WorkloadApiClient::connect_to(scene.agent.endpoint())
        .await
        .unwrap();
    let mut ids = wait::until("all SVIDs", async || {
        let svids = client.fetch_all_x509_svids().await.ok()?;
        (svids.len() == count).then_some(svids)
    })
    .await
    .into_iter()
    .map(|svid| svid.spiffe_id().to_string())
    .collect::<Vec<_>>();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

async fn create(scene: &Scene, count: usize) {
    let selector = scene.server.selector();
    let (kind, value) = selector.split_once(':').unwrap();
    let mut entries = String::new();
    for number in 0..count {
        let comma = if number == 0 { "" } else { "," };
        let (identity, parent) = (id(&format!("/workload/{number}")), id("/node"));
        let selectors = format!("[{{\"type\":\"{kind}\",\"value\":\"{value}\"}}]");
        write!(
            entries,
            "{comma}{{\"spiffe_id\":\"{identity}\",\"parent_id\":\"{parent}\",\"selectors\":{selectors}}}"
        )
        .unwrap();
    }
    let file = scene.path().join("entries.json");
    std::fs::write(&file, format!("{{\"entries\":[{entries}]}}")).unwrap();
    scene
        .server
        .cli(&["entry", "create", "-data", file.to_str().unwrap()])
        .await
        .ok();
}
