//! `--wait`: what an operator may rely on when the command comes back.

use signet_tests::{Scene, id, wait};

const FETCH: [&str; 5] = ["api", "fetch", "x509", "-timeout", "5s"];

#[tokio::test]
async fn a_workload_has_its_identity_when_the_creation_comes_back_and_not_when_the_deletion_does() {
    let scene = Scene::start().await;
    for number in 0..3 {
        let path = format!("/workload-{number}");
        let entry = scene.server.entry(&path, &["--wait"]).await;
        // No patience here: it is there already.
        let fetched = scene.agent.cli(&FETCH).await.ok();
        assert!(fetched.contains(&id(&path)), "{fetched}");

        let line = ["entry", "delete", "-entryID", &entry, "--wait"];
        let deleted = scene.server.cli(&line).await.ok();
        assert!(deleted.contains("Confirmed by 1 agent after"), "{deleted}");
        let refused = scene.agent.cli(&FETCH).await.refused();
        assert!(refused.contains("no identity issued"), "{refused}");
    }
}

#[tokio::test]
async fn without_its_agent_the_entry_is_made_and_the_command_says_who_is_missing() {
    let mut scene = Scene::start().await;
    let agent = scene.server.only_agent().await;
    scene.agent.kill().await;
    let mut number = 0;
    wait::until("a server that knows the agent is gone", async || {
        number += 1;
        let (parent, path) = (id("/node"), id(&format!("/workload-{number}")));
        let selector = scene.server.selector();
        let line = [
            "entry",
            "create",
            "-parentID",
            &parent,
            "-spiffeID",
            &path,
            "-selector",
            &selector,
            "--wait",
            "--wait-timeout",
            "1s",
        ];
        let told = scene.server.cli(&line).await.refused();
        assert!(told.contains(&path), "{told}");
        let offline = "no agent that the change concerns is connected; attested: ";
        told.contains(&format!("{offline}{agent}")).then_some(())
    })
    .await;
    scene.agent.resume().await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
}
