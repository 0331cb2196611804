//! From a pod to the identity that it holds.

use super::*;

/// The pod runs, as kubelet and API server see it, and an identity is declared for all pods.
fn begin(cluster: &FakeCluster, container: &str) {
    let running = pod("shop", POD, container);
    cluster.change(|state| {
        state.pods = vec![running.clone()];
        let all = object("all", by_account(json!({})));
        state.watched.put("clusterspiffeids", all);
        state.watched.put("pods", running);
    });
}

#[tokio::test]
async fn a_pod_gets_its_identity_without_an_entry_by_hand() {
    const NAME: &str = "a_pod_gets_its_identity_without_an_entry_by_hand";
    let container = "c".repeat(64);
    let Some(inside) = cgroups(NAME, &format!("kubepods/besteffort/pod{POD}/{container}")) else {
        return;
    };
    let directory = directory();
    let cluster = cluster_in(&directory).await;
    let settings = ServerSettings::new(Maker::Signet)
        .plugin(cluster.server_plugin(""))
        .line(&block(&cluster, ""));
    let server = Server::start(directory.path(), &settings).await;
    let (mut scene, cluster) = Ground::of(directory, cluster, server).scene().await;
    begin(&cluster, &container);
    let identity = id("/ns/shop/sa/default");
    wait::until("an X.509-SVID in the pod", async || {
        let fetched = scene.agent.cli_in(&inside, &FETCH).await;
        fetched.stdout.contains(&identity).then_some(())
    })
    .await;
    // An API server that is away stops nothing that is known, not even for a server that starts meanwhile.
    cluster.change(|state| {
        state.watched.is_away = true;
        state.watched.end_watches();
    });
    for audience in ["before", "after"] {
        let fetch = [
            "api",
            "fetch",
            "jwt",
            "-audience",
            audience,
            "-timeout",
            "20s",
        ];
        wait::until("a new JWT-SVID", async || {
            let fetched = scene.agent.cli_in(&inside, &fetch).await;
            fetched.stdout.contains(&identity).then_some(())
        })
        .await;
        scene.server.kill().await;
        scene.server.resume().await;
    }
    cluster.change(|state| state.watched.is_away = false);
    cluster.change(|state| state.watched.delete("pods", "shop-7d4b9c"));
    wait::until("the end of the identity", async || {
        let fetched = scene
            .agent
            .cli_in(&inside, &["api", "fetch", "x509", "-timeout", "1s"])
            .await;
        (!fetched.stdout.contains(&identity)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pod_s_identity_is_not_signed_for_an_agent_that_nothing_places() {
    const NAME: &str = "a_pod_s_identity_is_not_signed_for_an_agent_that_nothing_places";
    let container = "d".repeat(64);
    let Some(inside) = cgroups(NAME, &format!("kubepods/besteffort/pod{POD}/{container}")) else {
        return;
    };
    // An agent that attests by join token, under an alias that is the parent of all.
    let directory = directory();
    let cluster = cluster_in(&directory).await;
    let parent = "parent_id_template = \"spiffe://example.org/nodes\"";
    let settings = ServerSettings::new(Maker::Signet).line(&block(&cluster, parent));
    let server = Server::start(directory.path(), &settings).await;
    let made = ["token", "generate", "-spiffeID", &id("/nodes")];
    let token = server.json(&made).await["value"]
        .as_str()
        .unwrap()
        .to_owned();
    let settings = AgentSettings::new(Maker::Signet, Attestation::JoinToken(token))
        .plugin(cluster.workload_plugin());
    let scene = Scene::around(directory, server, &settings).await;
    begin(&cluster, &container);
    has(&scene.server, &["/nodes", "/ns/shop/sa/default"]).await;
    wait::until("the refusal", async || {
        let fetched = scene
            .agent
            .cli_in(&inside, &["api", "fetch", "x509", "-timeout", "1s"])
            .await;
        assert!(!fetched.stdout.contains(&id("/ns/shop")), "{fetched:?}");
        let records = scene.server.audit().into_iter();
        let why = "nothing tells whether its pod runs on the agent's node";
        let mut refused = records.filter(|one| one["decision"] == "refused");
        let is_why = |one: Value| {
            one["reason"]
                .as_str()
                .is_some_and(|text| text.contains(why))
        };
        refused.any(is_why).then_some(())
    })
    .await;
    assert!(
        scene.agent.log().contains("nothing tells whether its pod"),
        "{}",
        scene.agent.log()
    );
}
