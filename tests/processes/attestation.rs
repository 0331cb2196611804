//! How agents get in, and who does not.

use signet_tests::openssl::{NodeKey, NodePki};
use signet_tests::scene::directory;
use signet_tests::{Agent, AgentSettings, Attestation, Maker, Scene, Server, ServerSettings, wait};

#[tokio::test]
async fn a_node_attests_by_an_ec_certificate_of_openssl() {
    attests_by(NodeKey::Ec).await;
}

#[tokio::test]
async fn a_node_attests_by_an_rsa_certificate_of_openssl() {
    attests_by(NodeKey::Rsa).await;
}

#[tokio::test]
async fn a_node_attests_by_a_p521_certificate_of_openssl_below_a_p521_authority() {
    attests_by(NodeKey::P521).await;
}

async fn attests_by(kind: NodeKey) {
    let directory = directory();
    let pki = NodePki::make(directory.path(), kind).await;
    let server = ServerSettings::new(Maker::Signet).nodes_of(&pki);
    let agent = AgentSettings::new(Maker::Signet, Attestation::X509Pop(pki));
    let scene = Scene::with(directory, &server, &agent).await;
    let parent = scene.server.only_agent().await;
    assert!(parent.contains("/spire/agent/x509pop/"), "{parent}");
    scene.server.entry_below(&parent, "/workload", &[]).await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
}

#[tokio::test]
async fn a_join_token_admits_no_second_agent() {
    let directory = directory();
    let server = Server::start(directory.path(), &ServerSettings::new(Maker::Signet)).await;
    let token = server.join_token().await;
    let settings = AgentSettings::new(Maker::Signet, Attestation::JoinToken(token));
    let first = directory.path().join("first");
    let second = directory.path().join("second");
    let _first = Agent::start(&first, &server, &settings).await;
    let _second = Agent::launch(&second, &server, &settings).await;
    wait::until("a refusal in the audit log", async || {
        let refused = attestations(&server, "refused");
        (refused > 0).then_some(())
    })
    .await;
    assert_eq!(attestations(&server, "granted"), 1);
    assert_eq!(server.agents().await.len(), 1);
}

#[tokio::test]
async fn a_node_of_another_authority_is_refused() {
    let directory = directory();
    let (ours, foreign) = (
        directory.path().join("ours"),
        directory.path().join("foreign"),
    );
    std::fs::create_dir_all(&ours).unwrap();
    std::fs::create_dir_all(&foreign).unwrap();
    let ours = NodePki::make(&ours, NodeKey::Ec).await;
    let foreign = NodePki::make(&foreign, NodeKey::Ec).await;
    let settings = ServerSettings::new(Maker::Signet).nodes_of(&ours);
    let server = Server::start(directory.path(), &settings).await;
    let settings = AgentSettings::new(Maker::Signet, Attestation::X509Pop(foreign));
    let mut agent = Agent::launch(directory.path(), &server, &settings).await;
    let status = agent.process.as_mut().unwrap().ended().await;
    assert!(!status.success());
    assert_eq!(server.agents().await.len(), 0);
    assert_eq!(attestations(&server, "refused"), 1);
}

/// Attestations that ended so.
pub(crate) fn attestations(server: &Server, decision: &str) -> usize {
    let is_one = |record: &&serde_json::Value| {
        record["action"] == "agent.attest" && record["decision"] == decision
    };
    server.audit().iter().filter(is_one).count()
}
