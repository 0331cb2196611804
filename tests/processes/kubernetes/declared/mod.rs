//! Entries that the cluster's objects declare, in a real server.

mod faults;
mod identities;
mod pods;
mod resources;

use std::time::Duration;

use serde_json::{Value, json};
use signet_tests::scene::directory;
use signet_tests::{AgentSettings, Attestation, Maker, Scene, Server, ServerSettings, id, wait};
use tempfile::TempDir;

use super::cluster::{FakeCluster, NODE_UID};
use super::objects::Midway;
use super::{FETCH, Ground, POD, cgroups, pod};

/// A cluster with a namespace and a node, and a server that follows it.
struct Declaring {
    cluster: FakeCluster,
    server: Server,
    _directory: TempDir,
}

fn block(cluster: &FakeCluster, further: &str) -> String {
    format!(
        "kubernetes {{\n  cluster_name = \"demo\"\n  kube_config_file = \"{}\"\n  {further}\n  }}",
        cluster.kubeconfig.display()
    )
}

impl Declaring {
    async fn start(further: &str) -> Self {
        let directory = directory();
        let cluster = cluster_in(&directory).await;
        Self::over(directory, cluster, further).await
    }

    /// With a cluster that is there already.
    async fn over(directory: TempDir, cluster: FakeCluster, further: &str) -> Self {
        let settings = ServerSettings::new(Maker::Signet).line(&block(&cluster, further));
        let server = Server::start(directory.path(), &settings).await;
        Self {
            cluster,
            server,
            _directory: directory,
        }
    }

    fn put(&self, resource: &str, object: Value) {
        self.cluster
            .change(|state| state.watched.put(resource, object));
    }

    fn delete(&self, resource: &str, name: &str) {
        self.cluster
            .change(|state| state.watched.delete(resource, name));
    }

    fn status(&self, resource: &str, name: &str) -> Value {
        let read = |state: &mut super::cluster::State| state.watched.get(resource, name).cloned();
        self.cluster.change(read).unwrap()["status"].clone()
    }

    /// Waits until the status of a `ClusterSPIFFEID` holds this.
    async fn says(&self, name: &str, message: &str) {
        self.told("clusterspiffeids", name, message).await;
    }

    async fn told(&self, resource: &str, name: &str, message: &str) {
        wait::until(message, async || {
            let status = self.status(resource, name);
            let found = status["conditions"][0]["message"].as_str();
            found
                .is_some_and(|found| found.contains(message))
                .then_some(())
        })
        .await;
    }

    async fn logs(&self, text: &str) {
        wait::until(text, async || {
            self.server.log().contains(text).then_some(())
        })
        .await;
    }

    /// Records of the server's own acts, by their action.
    fn acts(&self, action: &str, target: &str) -> usize {
        let records = self.server.audit().into_iter();
        let found = records.filter(|one| one["action"] == action && one["target"] == target);
        found.count()
    }

    /// Waits until the server has entries of these paths, and no others.
    async fn has(&self, expected: &[&str]) {
        has(&self.server, expected).await;
    }
}

async fn cluster_in(directory: &TempDir) -> FakeCluster {
    let cluster = FakeCluster::start(directory.path()).await;
    cluster.change(|state| {
        state.watched.put("namespaces", object("shop", json!({})));
        state.watched.put("nodes", node("node-1", NODE_UID));
    });
    cluster
}

async fn entries(server: &Server) -> Vec<Value> {
    let shown = server.json(&["entry", "show"]).await;
    shown["entries"].as_array().cloned().unwrap_or_default()
}

async fn has(server: &Server, expected: &[&str]) {
    let mut last = Vec::new();
    let probe = async || {
        last = entries(server).await;
        let mut paths: Vec<_> = last
            .iter()
            .map(|entry| entry["spiffe_id"]["path"].as_str().unwrap())
            .collect();
        paths.sort_unstable();
        (paths == expected).then_some(())
    };
    wait::until(&format!("the entries {expected:?}"), probe).await;
}

fn object(name: &str, spec: Value) -> Value {
    json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1, "labels": {"name": name},
            "creationTimestamp": "2026-11-29T08:00:00Z"},
        "spec": spec,
    })
}

fn of_generation(mut object: Value, generation: u64) -> Value {
    object["metadata"]["generation"] = json!(generation);
    object
}

fn node(name: &str, uid: &str) -> Value {
    json!({"metadata": {"name": name, "uid": uid}, "spec": {}})
}

fn by_account(further: Value) -> Value {
    let mut spec = further;
    spec["spiffeIDTemplate"] = json!(
        "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}"
    );
    spec
}

fn running(name: &str, account: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {"app": name}},
        "spec": {"nodeName": "node-1", "serviceAccountName": account, "containers": [{"name": "app", "image": "i"}]},
        "status": {"phase": "Running"},
    })
}
