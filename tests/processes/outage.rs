//! Programs that go and come back.

use signet_tests::Scene;

use crate::attestation::attestations;

#[tokio::test]
async fn an_agent_that_was_killed_goes_on_with_its_identity() {
    let mut scene = Scene::start().await;
    scene.server.entry("/workload", &[]).await;
    let before = scene.server.agents().await;
    scene.agent.kill().await;
    scene.agent.resume().await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
    let after = scene.server.agents().await;
    assert_eq!(before[0]["id"], after[0]["id"]);
    assert_eq!(
        before[0]["x509svid_serial_number"],
        after[0]["x509svid_serial_number"]
    );
    assert_eq!(after.len(), 1);
    assert_eq!(attestations(&scene.server, "granted"), 1);
    assert_eq!(attestations(&scene.server, "refused"), 0);
}

#[tokio::test]
async fn without_a_server_the_agent_goes_on_serving_clients_old_and_new() {
    let mut scene = Scene::start().await;
    scene.server.entry("/workload", &[]).await;
    let svids = |name: &str| scene.path().join(name);
    let (before, after) = (svids("before"), svids("after"));
    scene.agent.fetch_x509_to(&before).await;
    let token = scene.agent.fetch_jwt("payments").await;
    scene.server.kill().await;

    scene.agent.fetch_x509_to(&after).await;
    let read = |directory: &std::path::Path| std::fs::read(directory.join("svid.0.pem")).unwrap();
    assert_eq!(read(&before), read(&after));
    assert_eq!(scene.agent.fetch_jwt("payments").await, token);
    let line = [
        "api",
        "validate",
        "jwt",
        "-audience",
        "payments",
        "-svid",
        &token,
    ];
    scene.agent.cli(&line).await.ok();

    scene.server.resume().await;
    scene.server.entry("/later", &[]).await;
    signet_tests::wait::until("the entry made after the outage", async || {
        let answer = scene.agent.cli(&["api", "fetch", "x509"]).await;
        answer.stdout.contains("/later").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_starts_in_an_outage_serves_when_it_is_over() {
    let mut scene = Scene::start().await;
    scene.server.entry("/workload", &[]).await;
    scene.agent.kill().await;
    scene.server.kill().await;
    scene.agent.process = Some(scene.agent.spawn(&[]));
    let socket = scene.agent.socket.clone();
    signet_tests::wait::until("the open socket", async || {
        signet_tests::wire::channel(&socket).await.ok()
    })
    .await;
    let denied = scene
        .agent
        .cli(&["api", "fetch", "x509", "-timeout", "2s"])
        .await
        .refused();
    assert!(!denied.contains("no identity issued"), "{denied}");
    scene.server.resume().await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
    assert_eq!(attestations(&scene.server, "granted"), 1);
}

#[tokio::test]
async fn a_server_that_was_killed_keeps_its_authority() {
    let mut scene = Scene::start().await;
    let bundle = async |scene: &Scene| scene.server.cli(&["bundle", "show"]).await.ok();
    let before = bundle(&scene).await;
    scene.server.kill().await;
    scene.server.resume().await;
    assert_eq!(bundle(&scene).await, before);
}
