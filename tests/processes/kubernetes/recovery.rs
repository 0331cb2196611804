//! What ends by itself: a bundle that is yet to be published, a token that ran out while the machine slept,
//! a node that was made anew.

use super::*;

/// {"alg":"ES256"} and {"exp":1}, with any signature.
fn expired() -> String {
    format!("eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjF9.{}", "A".repeat(86))
}

#[tokio::test]
async fn an_agent_whose_bundle_is_yet_to_be_published_waits_for_it() {
    let ground = Ground::with("").await;
    // As a ConfigMap is mounted: without the key, and later with nothing in it.
    let folder = ground.directory.path().join("mounted");
    std::fs::create_dir(&folder).unwrap();
    let bundle = folder.join("bundle.pem");
    let settings = ground.agent().bundle_in(&bundle);
    let mut agent = Agent::launch(ground.directory.path(), &ground.server, &settings).await;
    let waiting = "waiting for the trust bundle";
    wait::until("the agent to say what it waits for", async || {
        agent.log().contains(waiting).then_some(())
    })
    .await;
    std::fs::write(&bundle, "").unwrap();
    // Workloads find the socket meanwhile, and are told to wait.
    let line = ["api", "fetch", "x509", "-timeout", "3s"];
    let fetched = agent.cli(&line).await;
    assert!(!fetched.status.success(), "{fetched:?}");
    assert!(agent.process.as_mut().unwrap().is_running());
    ground.server.bundle_to(&bundle).await;
    agent.healthy().await;
    let log = agent.log();
    let path = bundle.display().to_string();
    let said: Vec<_> = log.lines().filter(|line| line.contains(waiting)).collect();
    assert_eq!(said.len(), 1, "{log}");
    assert!(said[0].contains(&path), "{log}");
    assert!(!log.contains("could not attest"), "{log}");
}

#[tokio::test]
async fn tokens_that_ran_out_while_the_machine_slept_are_waited_for() {
    const NAME: &str = "tokens_that_ran_out_while_the_machine_slept_are_waited_for";
    let container = "e".repeat(64);
    let Some(inside) = cgroups(NAME, &format!("kubepods/besteffort/pod{POD}/{container}")) else {
        return;
    };
    let ground = Ground::with("").await;
    let token = ground.token.clone();
    let (mut scene, cluster) = ground.scene().await;
    cluster.change(|state| state.pods = vec![pod("shop", POD, &container)]);
    entry(&scene, "/shop", &["k8s:ns:shop"]).await;
    let agent = scene.server.only_agent().await;
    std::fs::write(&token, expired()).unwrap();
    std::fs::write(&cluster.kubelet_token, "expired").unwrap();
    // The server does not know it any more, as after a sleep that was longer than its SVID's life.
    let evict = ["agent", "evict", "-spiffeID", &agent];
    scene.server.cli(&evict).await.ok();
    let workload = ["api", "fetch", "x509", "-timeout", "3s"];
    for text in ["Kubernetes replaces it soon", "credentials (401)"] {
        wait::until(text, async || {
            scene.agent.cli_in(&inside, &workload).await;
            scene.agent.log().contains(text).then_some(())
        })
        .await;
    }
    assert!(scene.agent.process.as_mut().unwrap().is_running());
    assert_eq!(attestations(&scene.server, "refused"), 0);
    std::fs::write(&token, "good").unwrap();
    std::fs::write(&cluster.kubelet_token, super::cluster::KUBELET_TOKEN).unwrap();
    wait::until("an X.509-SVID in the pod", async || {
        let fetched = scene.agent.cli_in(&inside, &FETCH).await;
        fetched.stdout.contains(&id("/shop")).then_some(())
    })
    .await;
    wait::until("the agent", async || {
        (scene.server.agents().await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(scene.server.only_agent().await, agent);
}

#[tokio::test]
async fn a_node_that_was_made_anew_is_another_agent_and_the_one_before_gets_no_further() {
    let ground = Ground::with("").await;
    let settings = ground.agent();
    let directory = ground.directory.path();
    let mut before = Agent::start(directory, &ground.server, &settings).await;
    let old = ground.server.only_agent().await;
    // The node's pods went with it, and a new one of the same name has a new token.
    ground.cluster.change(|state| {
        let node = state.objects.get_mut("/api/v1/nodes/node-1").unwrap();
        node["metadata"]["uid"] = OTHER_POD.into();
        let pod = "/api/v1/namespaces/spire/pods/agent-x7k2p";
        let pod = state.objects.get_mut(pod).unwrap();
        pod["metadata"]["uid"] = POD.into();
        let mut review = review(true);
        let extra = &mut review["user"]["extra"];
        extra["authentication.kubernetes.io/node-uid"] = serde_json::json!([OTHER_POD]);
        extra["authentication.kubernetes.io/pod-uid"] = serde_json::json!([POD]);
        state.tokens = [("anew".to_owned(), review)].into();
    });
    std::fs::write(&ground.token, "anew").unwrap();
    let apart = directory.join("anew");
    let after = Agent::start(&apart, &ground.server, &settings).await;
    let new = id(&format!("/spire/agent/k8s_psat/demo/{OTHER_POD}"));
    let agents = async || ground.server.agents().await.len();
    assert_eq!(agents().await, 2);
    ground.server.entry_below(&new, "/on-node", &[]).await;
    wait::until("an X.509-SVID on the new node", async || {
        let fetched = after.cli(&FETCH).await;
        fetched.stdout.contains(&id("/on-node")).then_some(())
    })
    .await;
    // What is left of the old node has a token that nobody vouches for any more.
    std::fs::write(&ground.token, "good").unwrap();
    let evict = ["agent", "evict", "-spiffeID", &old];
    ground.server.cli(&evict).await.ok();
    let status = before.process.as_mut().unwrap().ended().await;
    assert!(!status.success());
    assert_eq!(ground.server.only_agent().await, new);
}
