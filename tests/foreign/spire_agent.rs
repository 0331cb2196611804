//! SPIRE's agent on our server, and ours on SPIRE's: the same story both ways.

use std::time::Duration;

use serde_json::Value;
use signet_tests::openssl::{NodeKey, NodePki};
use signet_tests::programs::spire_is_here;
use signet_tests::scene::directory;
use signet_tests::{AgentSettings, Attestation, Maker, Scene, ServerSettings, id, wait};
use tempfile::TempDir;

use crate::clients;

const WORKLOAD: &str = "/workload";

/// Half of it is soon over; the agents look every few seconds.
const SHORT_AGENT_TTL: &str = "agent_ttl = \"30s\"";

/// Both agents look at least this often whether they are still welcome.
const NOTICED: Duration = Duration::from_secs(45);

both_ways! {
    joins: spires_agent_joins_our_server_by_token, our_agent_joins_spires_server_by_token;
    attests_by_ec: spires_agent_attests_to_our_server_by_ec_certificate,
        our_agent_attests_to_spires_server_by_ec_certificate;
    attests_by_rsa: spires_agent_attests_to_our_server_by_rsa_certificate,
        our_agent_attests_to_spires_server_by_rsa_certificate;
    renews: spires_agent_renews_at_our_server, our_agent_renews_at_spires_server;
    is_banned: our_server_bans_spires_agent, spires_server_bans_our_agent;
    is_evicted: our_server_evicts_spires_agent, spires_server_evicts_our_agent;
    attests_again: spires_agent_attests_again_when_evicted, our_agent_attests_again_when_evicted;
    serves_go: spires_agent_on_our_server_serves_go_spiffe,
        our_agent_on_spires_server_serves_go_spiffe;
}

async fn joins(_: &str, server: Maker, agent: Maker) {
    let scene = Scene::of(&ServerSettings::new(server), agent).await;
    serves_the_workload(&scene, &id("/node")).await;
    assert_eq!(
        scene.server.agents().await[0]["attestation_type"],
        "join_token"
    );
}

async fn attests_by_ec(_: &str, server: Maker, agent: Maker) {
    attests_by(NodeKey::Ec, server, agent).await;
}

async fn attests_by_rsa(_: &str, server: Maker, agent: Maker) {
    attests_by(NodeKey::Rsa, server, agent).await;
}

async fn attests_by(kind: NodeKey, server: Maker, agent: Maker) {
    let scene = by_certificate(kind, ServerSettings::new(server), agent).await;
    let parent = scene.server.only_agent().await;
    assert!(parent.contains("/spire/agent/x509pop/"), "{parent}");
    serves_the_workload(&scene, &parent).await;
}

async fn by_certificate(kind: NodeKey, server: ServerSettings, agent: Maker) -> Scene {
    let directory: TempDir = directory();
    let pki = NodePki::make(directory.path(), kind).await;
    let server = server.nodes_of(&pki);
    let agent = AgentSettings::new(agent, Attestation::X509Pop(pki));
    Scene::with(directory, &server, &agent).await
}

/// A workload below this parent gets an identity of each kind, and the agent judges its token.
pub(crate) async fn serves_the_workload(scene: &Scene, parent: &str) {
    scene.server.entry_below(parent, WORKLOAD, &[]).await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
    let token = scene.agent.fetch_jwt("payments").await;
    let line = [
        "api",
        "validate",
        "jwt",
        "-audience",
        "payments",
        "-svid",
        &token,
    ];
    let valid = scene.agent.cli(&line).await.ok();
    assert!(valid.contains(&id(WORKLOAD)), "{valid}");
}

async fn renews(_: &str, server: Maker, agent: Maker) {
    let scene = Scene::of(&ServerSettings::new(server).line(SHORT_AGENT_TTL), agent).await;
    let mut serials = vec![serial(&scene).await];
    wait::until("two renewals", async || {
        let serial = serial(&scene).await;
        if serials.last() != Some(&serial) {
            serials.push(serial);
        }
        (serials.len() > 2).then_some(())
    })
    .await;
    serves_the_workload(&scene, &id("/node")).await;
}

async fn serial(scene: &Scene) -> Value {
    scene.server.agents().await[0]["x509svid_serial_number"].clone()
}

async fn is_banned(_: &str, server: Maker, agent: Maker) {
    let mut scene = Scene::of(&ServerSettings::new(server), agent).await;
    let agent = scene.server.only_agent().await;
    scene
        .server
        .cli(&["agent", "ban", "-spiffeID", &agent])
        .await
        .ok();
    let process = scene.agent.process.as_mut().unwrap();
    assert!(!process.ended_within(NOTICED).await.success());
    assert_eq!(scene.server.agents().await[0]["banned"], true);
}

async fn is_evicted(_: &str, server: Maker, agent: Maker) {
    let mut scene = Scene::of(&ServerSettings::new(server), agent).await;
    let agent = scene.server.only_agent().await;
    scene
        .server
        .cli(&["agent", "evict", "-spiffeID", &agent])
        .await
        .ok();
    let process = scene.agent.process.as_mut().unwrap();
    assert!(
        !process.ended_within(NOTICED).await.success(),
        "its token is used up"
    );
    assert_eq!(scene.server.agents().await, Vec::<Value>::new());
}

async fn attests_again(_: &str, server: Maker, agent: Maker) {
    let mut scene = by_certificate(NodeKey::Ec, ServerSettings::new(server), agent).await;
    let agent = scene.server.only_agent().await;
    let before = serial(&scene).await;
    scene
        .server
        .cli(&["agent", "evict", "-spiffeID", &agent])
        .await
        .ok();
    wait::until("the agent to attest again", async || {
        let process = scene.agent.process.as_mut().unwrap();
        // A supervisor would start it again.
        if !process.is_running() {
            scene.agent.process = Some(scene.agent.spawn(&[]));
        }
        (scene.server.agents().await.len() == 1).then_some(())
    })
    .await;
    assert_ne!(serial(&scene).await, before);
    scene.agent.healthy().await;
    serves_the_workload(&scene, &agent).await;
}

async fn serves_go(name: &str, server: Maker, agent: Maker) {
    let Some(client) = clients::go(name) else {
        return;
    };
    let scene = Scene::of(&ServerSettings::new(server), agent).await;
    scene.server.entry(WORKLOAD, &[]).await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
    client.run(&scene, &[]).await;
}
