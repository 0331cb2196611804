//! Nodes and workloads of Kubernetes: server and agent as processes, the cluster a stand-in, the
//! workloads' cgroups real.

mod cluster;
mod declared;
mod ground;
mod kubelet;
mod manifests;
mod objects;
mod real;
mod real_declared;
mod recovery;
mod self_signed;

use std::path::PathBuf;
use std::time::Duration;

use signet_tests::cgroups::Cgroups;
use signet_tests::scene::directory;
use signet_tests::skip::skipped;
use signet_tests::{
    Agent, AgentSettings, Attestation, Maker, Scene, Server, ServerSettings, id, wait,
};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::attestation::attestations;
use cluster::{AGENT_POD_UID, FakeCluster, NODE_UID, pod, review};

const POD: &str = "2f0f4e5a-6b1c-4d3e-8f90-a1b2c3d4e5f6";
const OTHER_POD: &str = "11111111-2222-4333-8444-555555555555";

/// A cluster, a server that knows it, and where the agent's token is.
struct Ground {
    cluster: FakeCluster,
    server: Server,
    token: PathBuf,
    directory: TempDir,
}

impl Ground {
    async fn with(further: &str) -> Self {
        let directory = directory();
        let cluster = FakeCluster::start(directory.path()).await;
        let settings = ServerSettings::new(Maker::Signet).plugin(cluster.server_plugin(further));
        let server = Server::start(directory.path(), &settings).await;
        Self::of(directory, cluster, server)
    }

    fn of(directory: TempDir, cluster: FakeCluster, server: Server) -> Self {
        let token = directory.path().join("token");
        std::fs::write(&token, "good\n").unwrap();
        cluster.change(|state| state.tokens.insert("good".into(), review(true)));
        Self {
            cluster,
            server,
            token,
            directory,
        }
    }

    fn agent(&self) -> AgentSettings {
        let attestation = Attestation::Plugin(FakeCluster::agent_plugin(&self.token));
        AgentSettings::new(Maker::Signet, attestation).plugin(self.cluster.workload_plugin())
    }

    async fn scene(self) -> (Scene, FakeCluster) {
        let agent = self.agent();
        let scene = Scene::around(self.directory, self.server, &agent).await;
        (scene, self.cluster)
    }

    /// The agent is not let in, and says so.
    async fn refused(self) {
        let settings = self.agent();
        let mut agent = Agent::launch(self.directory.path(), &self.server, &settings).await;
        let status = agent.process.as_mut().unwrap().ended().await;
        assert!(!status.success());
        assert_eq!(attestations(&self.server, "refused"), 1);
        assert!(self.server.agents().await.is_empty());
    }
}

fn cgroups(name: &str, path: &str) -> Option<Cgroups> {
    let made = Cgroups::make(path);
    if made.is_none() {
        skipped(name, "cgroups cannot be made on this machine");
    }
    made
}

async fn entry(scene: &Scene, path: &str, selectors: &[&str]) {
    let parent = scene.server.only_agent().await;
    let identity = id(path);
    let mut line = vec![
        "entry",
        "create",
        "-parentID",
        &parent,
        "-spiffeID",
        &identity,
    ];
    line.extend(
        selectors
            .iter()
            .flat_map(|selector| ["-selector", selector]),
    );
    scene.server.cli(&line).await.ok();
}

const FETCH: [&str; 5] = ["api", "fetch", "x509", "-timeout", "20s"];

#[tokio::test]
async fn a_node_and_a_workload_of_it_are_attested_by_what_the_cluster_says() {
    const NAME: &str = "a_node_and_a_workload_of_it_are_attested_by_what_the_cluster_says";
    let id_of = "a".repeat(64);
    let Some(inside) = cgroups(NAME, &format!("kubepods/besteffort/pod{POD}/{id_of}")) else {
        return;
    };
    let (scene, cluster) = Ground::with("allowed_node_label_keys = [\"kubernetes.io/os\"]")
        .await
        .scene()
        .await;
    let parent = scene.server.only_agent().await;
    assert_eq!(
        parent,
        id(&format!("/spire/agent/k8s_psat/demo/{NODE_UID}"))
    );
    let shown = scene
        .server
        .json(&["agent", "show", "-spiffeID", &parent])
        .await
        .to_string();
    for value in [
        "cluster:demo",
        "agent_ns:spire",
        "agent_sa:agent",
        "agent_pod_name:agent-x7k2p",
        "agent_node_name:node-1",
        "agent_node_ip:10.231.0.1",
        "agent_node_label:kubernetes.io/os:linux",
    ] {
        assert!(shown.contains(value), "{value} in {shown}");
    }
    cluster.change(|state| state.pods = vec![pod("shop", POD, &id_of)]);
    let selectors = [
        "k8s:ns:shop",
        "k8s:container-name:app",
        "k8s:pod-label:app:shop",
    ];
    entry(&scene, "/shop", &selectors).await;
    wait::until("an X.509-SVID in the pod", async || {
        let fetched = scene.agent.cli_in(&inside, &FETCH).await;
        fetched.stdout.contains(&id("/shop")).then_some(())
    })
    .await;
    // Whoever is in no pod is denied at once.
    let began = Instant::now();
    let outside = scene
        .agent
        .cli(&["api", "fetch", "x509", "-timeout", "5s"])
        .await;
    assert!(!outside.stdout.contains(&id("/shop")), "{outside:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
    // Attestations add nothing to what the kubelet is asked each second anyway.
    let (calls, began) = (cluster.kubelet_calls(), Instant::now());
    for _ in 0..20 {
        let fetched = scene.agent.cli_in(&inside, &FETCH).await;
        assert!(fetched.stdout.contains(&id("/shop")), "{fetched:?}");
    }
    let asked = cluster.kubelet_calls() - calls;
    assert!(asked as u64 <= began.elapsed().as_secs() + 2, "{asked}");
}

#[tokio::test]
async fn a_stream_ends_when_the_kubelet_has_the_pod_no_more() {
    const NAME: &str = "a_stream_ends_when_the_kubelet_has_the_pod_no_more";
    let id_of = "b".repeat(64);
    let path = format!(
        "kubepods.slice/kubepods-pod{}.slice/cri-containerd-{id_of}.scope",
        POD.replace('-', "_")
    );
    let Some(inside) = cgroups(NAME, &path) else {
        return;
    };
    let (scene, cluster) = Ground::with("").await.scene().await;
    let other = pod("other", OTHER_POD, &"0".repeat(64));
    cluster.change(|state| state.pods = vec![pod("shop", POD, &id_of), other.clone()]);
    entry(&scene, "/shop", &["k8s:ns:shop"]).await;
    wait::until("an X.509-SVID in the pod", async || {
        let fetched = scene.agent.cli_in(&inside, &FETCH).await;
        fetched.stdout.contains(&id("/shop")).then_some(())
    })
    .await;
    let log = scene.path().join("watch.log");
    let watching = scene.agent.spawn_in(&inside, &["api", "watch"], &log);
    wait::until("the stream", async || {
        watching.log().contains(&id("/shop")).then_some(())
    })
    .await;
    cluster.change(|state| state.pods = vec![other]);
    let began = Instant::now();
    wait::until("the end of the stream", async || {
        let log = scene.agent.log();
        log.contains("not what it was when it was attested")
            .then_some(())
    })
    .await;
    // Two seconds, and as much again for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(4));
    let after = scene
        .agent
        .cli_in(&inside, &["api", "fetch", "x509", "-timeout", "5s"])
        .await;
    assert!(!after.stdout.contains(&id("/shop")), "{after:?}");
}

#[tokio::test]
async fn a_review_that_names_no_node_does_too() {
    let ground = Ground::with("").await;
    ground
        .cluster
        .change(|state| state.tokens.insert("good".into(), review(false)));
    let (scene, _cluster) = ground.scene().await;
    let parent = scene.server.only_agent().await;
    assert!(parent.ends_with(NODE_UID), "{parent}");
}

#[tokio::test]
async fn the_pod_can_be_the_agents_name() {
    let (scene, _cluster) = Ground::with("use_pod_uid_for_agent_id = true")
        .await
        .scene()
        .await;
    let parent = scene.server.only_agent().await;
    let expected = format!("/spire/agent/k8s_psat/demo/pod/{AGENT_POD_UID}");
    assert_eq!(parent, id(&expected));
}

#[tokio::test]
async fn an_api_server_that_is_busy_or_breaks_is_asked_again() {
    let ground = Ground::with("").await;
    ground.cluster.change(|state| {
        let html = "<html>Bad Gateway</html>".to_owned();
        state.instead = vec![(429, "{}".to_owned()), (502, html.clone()), (503, html)];
    });
    let (scene, _cluster) = ground.scene().await;
    assert_eq!(scene.server.agents().await.len(), 1);
}

#[tokio::test]
async fn an_expired_token_is_waited_out() {
    let ground = Ground::with("").await;
    // {"alg":"ES256"} and {"exp":1}, with any signature.
    let expired = format!("eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjF9.{}", "A".repeat(86));
    std::fs::write(&ground.token, expired).unwrap();
    let settings = ground.agent();
    let mut agent = Agent::launch(ground.directory.path(), &ground.server, &settings).await;
    wait::until("the agent to say what it waits for", async || {
        agent
            .log()
            .contains("Kubernetes replaces it soon")
            .then_some(())
    })
    .await;
    std::fs::write(&ground.token, "good").unwrap();
    agent.healthy().await;
    assert_eq!(attestations(&ground.server, "refused"), 0);
}

#[tokio::test]
async fn a_token_that_the_api_server_does_not_accept_is_refused() {
    let ground = Ground::with("").await;
    ground.cluster.change(|state| state.tokens.clear());
    ground.refused().await;
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused() {
    let ground = Ground::with("audience = [\"other\"]").await;
    ground.refused().await;
}

#[tokio::test]
async fn a_service_account_that_is_not_on_the_list_is_refused() {
    let ground = Ground::with("").await;
    ground.cluster.change(|state| {
        let mut review = review(true);
        review["user"]["username"] = "system:serviceaccount:shop:agent".into();
        state.tokens.insert("good".into(), review);
    });
    ground.refused().await;
}

#[tokio::test]
async fn a_token_of_an_earlier_pod_of_the_same_name_is_refused() {
    let ground = Ground::with("").await;
    ground.cluster.change(|state| {
        let path = "/api/v1/namespaces/spire/pods/agent-x7k2p";
        state.objects.get_mut(path).unwrap()["metadata"]["uid"] = OTHER_POD.into();
    });
    ground.refused().await;
}

#[tokio::test]
async fn a_token_of_a_node_that_was_made_anew_or_is_gone_is_refused() {
    let ground = Ground::with("").await;
    ground.cluster.change(|state| {
        state.objects.get_mut("/api/v1/nodes/node-1").unwrap()["metadata"]["uid"] =
            OTHER_POD.into();
    });
    ground.refused().await;
    let ground = Ground::with("").await;
    ground
        .cluster
        .change(|state| state.objects.remove("/api/v1/nodes/node-1"));
    ground.refused().await;
}
