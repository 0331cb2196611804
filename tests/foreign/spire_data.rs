//! One maker's agent goes on with what the other's left on the disk.

use signet_tests::programs::spire_is_here;
use signet_tests::{AgentSettings, Attestation, Maker, Scene, ServerSettings, id};

#[tokio::test]
async fn our_agent_goes_on_with_the_identity_of_a_stopped_spire_agent() {
    if spire_is_here("our_agent_goes_on_with_the_identity_of_a_stopped_spire_agent") {
        change_hands(Maker::Signet, Maker::Spire, Maker::Signet).await;
    }
}

#[tokio::test]
async fn spires_agent_goes_on_with_the_identity_of_our_stopped_agent() {
    if spire_is_here("spires_agent_goes_on_with_the_identity_of_our_stopped_agent") {
        change_hands(Maker::Signet, Maker::Signet, Maker::Spire).await;
    }
}

#[tokio::test]
async fn two_programs_can_be_changed_on_a_node_of_a_spire_server() {
    if spire_is_here("two_programs_can_be_changed_on_a_node_of_a_spire_server") {
        change_hands(Maker::Spire, Maker::Spire, Maker::Signet).await;
    }
}

async fn change_hands(server: Maker, from: Maker, to: Maker) {
    let mut scene = Scene::of(&ServerSettings::new(server), from).await;
    scene.server.entry("/workload", &[]).await;
    scene
        .agent
        .fetch_x509_to(&scene.path().join("before"))
        .await;
    let before = scene.server.agents().await;
    scene.agent.process.take().unwrap().terminate().await;

    let settings = AgentSettings::new(to, Attestation::None);
    scene.agent.become_of(&scene.server, &settings);
    scene.agent.resume().await;
    scene.agent.fetch_x509_to(&scene.path().join("after")).await;
    let after = scene.server.agents().await;
    assert_eq!(after.len(), 1);
    assert_eq!(after[0]["id"], before[0]["id"]);
    assert_eq!(
        after[0]["x509svid_serial_number"],
        before[0]["x509svid_serial_number"]
    );
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
    assert!(scene.agent.cli(&line).await.ok().contains(&id("/workload")));
}
