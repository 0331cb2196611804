//! Nodes of Kubernetes and nodes with an SVID: SPIRE's agent passes our server's half, and ours SPIRE's.

use std::path::Path;

use signet_tests::openssl::{NodeKey, NodePki};
use signet_tests::programs::spire_is_here;
use signet_tests::scene::directory;
use signet_tests::{Agent, AgentSettings, Attestation, Maker, Scene, Server, ServerSettings, id};

use crate::cluster::{AGENT_POD_UID, FakeCluster, NODE_UID, review};
use crate::spire_agent::serves_the_workload;

both_ways! {
    attests_by_pod: spires_agent_attests_to_our_server_by_its_pods_token,
        our_agent_attests_to_spires_server_by_its_pods_token;
    attests_by_svid: spires_agent_attests_to_our_server_by_an_svid,
        our_agent_attests_to_spires_server_by_an_svid;
}

async fn attests_by_pod(_: &str, server: Maker, agent: Maker) {
    let directory = directory();
    let cluster = FakeCluster::start(directory.path()).await;
    let token = directory.path().join("token");
    std::fs::write(&token, "good").unwrap();
    cluster.change(|state| state.tokens.insert("good".into(), review(true)));
    let labels = "allowed_node_label_keys = [\"kubernetes.io/os\"]\n          \
                  allowed_pod_label_keys = [\"app\"]";
    let server = ServerSettings::new(server).plugin(cluster.server_plugin(labels));
    let attestation = Attestation::Plugin(FakeCluster::agent_plugin(&token));
    let scene = Scene::with(directory, &server, &AgentSettings::new(agent, attestation)).await;
    let parent = scene.server.only_agent().await;
    assert_eq!(
        parent,
        id(&format!("/spire/agent/k8s_psat/demo/{NODE_UID}"))
    );
    let expected = [
        "k8s_psat:agent_node_ip:10.231.0.1".to_owned(),
        "k8s_psat:agent_node_label:kubernetes.io/os:linux".to_owned(),
        "k8s_psat:agent_node_name:node-1".to_owned(),
        format!("k8s_psat:agent_node_uid:{NODE_UID}"),
        "k8s_psat:agent_ns:spire".to_owned(),
        "k8s_psat:agent_pod_label:app:agent".to_owned(),
        "k8s_psat:agent_pod_name:agent-x7k2p".to_owned(),
        format!("k8s_psat:agent_pod_uid:{AGENT_POD_UID}"),
        "k8s_psat:agent_sa:agent".to_owned(),
        "k8s_psat:cluster:demo".to_owned(),
    ];
    assert_eq!(scene.server.selectors_of(&parent).await, expected);
    serves_the_workload(&scene, &parent).await;
}

/// With `mode = "spiffe"`: the node has an SVID of the same trust domain.
async fn attests_by_svid(_: &str, server: Maker, agent: Maker) {
    let directory = directory();
    let plugin = "NodeAttestor \"x509pop\" { plugin_data { mode = \"spiffe\" } }";
    let server = ServerSettings::new(server).plugin(plugin.to_owned());
    let server = Server::start(directory.path(), &server).await;
    let pki = minted(&server, &directory.path().join("node")).await;
    let agent = AgentSettings::new(agent, Attestation::X509Pop(pki));
    let scene = Scene::around(directory, server, &agent).await;
    let parent = scene.server.only_agent().await;
    assert_eq!(parent, id("/spire/agent/x509pop/rack-7"));
    serves_the_workload(&scene, &parent).await;
}

async fn minted(server: &Server, directory: &Path) -> NodePki {
    std::fs::create_dir_all(directory).unwrap();
    let (node, to) = (
        id("/spire-exchange/rack-7"),
        directory.display().to_string(),
    );
    let line = ["x509", "mint", "-spiffeID", &node, "-write", &to];
    server.cli(&line).await.ok();
    NodePki {
        authority: directory.join("bundle.pem"),
        certificate: directory.join("svid.pem"),
        key: directory.join("key.pem"),
    }
}

#[tokio::test]
async fn both_servers_call_a_node_the_same_and_see_the_same_in_its_certificate() {
    if !spire_is_here("both_servers_call_a_node_the_same_and_see_the_same_in_its_certificate") {
        return;
    }
    for kind in [NodeKey::Ec, NodeKey::Rsa] {
        let directory = directory();
        let pki = NodePki::make(directory.path(), kind).await;
        let ours = seen_by(Maker::Signet, &pki, &directory.path().join("ours")).await;
        let theirs = seen_by(Maker::Spire, &pki, &directory.path().join("theirs")).await;
        assert_eq!(ours, theirs);
        assert!(ours.1.len() >= 3, "{ours:?}");
    }
}

async fn seen_by(server: Maker, pki: &NodePki, directory: &Path) -> (String, Vec<String>) {
    std::fs::create_dir_all(directory).unwrap();
    let settings = ServerSettings::new(server).nodes_of(pki);
    let server = Server::start(directory, &settings).await;
    let agent = AgentSettings::new(Maker::Signet, Attestation::X509Pop(pki.clone()));
    let _agent = Agent::start(directory, &server, &agent).await;
    let parent = server.only_agent().await;
    let selectors = server.selectors_of(&parent).await;
    (parent, selectors)
}
