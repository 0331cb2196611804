//! The default installation on a real cluster of one node: server and agents are its pods, and other pods
//! have their identities of them, through volumes of our storage driver.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use signet_tests::id;
use signet_tests::installation::{Installation, NAMESPACE, WORKLOAD};
use signet_tests::wait;
use tokio::time::Instant;

/// What the identity of every pod of these scenarios is.
const IDENTITY: &str = "/ns/default/sa/default";

const FETCH: &str =
    "signet-agent api fetch x509 --socket-path /spiffe/spire-agent.sock --timeout 30s";

/// A cluster with a server, an agent, and identities for pods.
struct Ground(Installation);

impl Ground {
    /// Runs a script in a pod that has the agent's folder, and one of the node's that outlives it.
    async fn run(&self, name: &str, volume: (&str, Value), script: &str) {
        let mut volumes = json!([
            {"name": "spiffe"},
            {"name": "out", "hostPath": {"path": self.out()}},
        ]);
        volumes[0][volume.0] = volume.1;
        let container = json!({
            "name": name, "image": WORKLOAD, "command": ["/bin/sh", "-c", script],
            "volumeMounts": [
                {"name": "spiffe", "mountPath": "/spiffe", "readOnly": true},
                {"name": "out", "mountPath": "/out"},
            ],
        });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [container], "volumes": volumes},
        });
        let cluster = &self.0.cluster;
        cluster.api.create(&pod.to_string()).await;
        cluster.pod_is("default", name, "condition=Ready").await;
    }

    fn out(&self) -> PathBuf {
        self.0.directory().to_owned()
    }

    /// Waits until a container has written something, and gives all that it wrote.
    async fn written(&self, pod: &str, container: &str, text: &str) -> String {
        wait::until(&format!("{text} of {pod}"), async || {
            let log = self.0.cluster.log("default", pod, container).await;
            log.contains(text).then_some(log)
        })
        .await
    }

    /// What the pod that watches has told.
    fn watch(&self) -> String {
        std::fs::read_to_string(self.out().join("watch")).unwrap_or_default()
    }

    /// How many SVIDs that were.
    fn watched(&self) -> usize {
        self.watch().matches(&id(IDENTITY)).count()
    }

    async fn watched_more_than(&self, number: usize) {
        wait::until("a further SVID", async || {
            (self.watched() > number).then_some(())
        })
        .await;
    }

    async fn field(&self, pod: &str, path: &str) -> String {
        self.0.cluster.field("default", pod, path).await
    }
}

/// A volume of our driver.
fn csi() -> (&'static str, Value) {
    ("csi", json!({"driver": "csi.spiffe.io", "readOnly": true}))
}

/// The same folder without it.
fn host_path() -> (&'static str, Value) {
    let path = "/run/spire/agent-sockets";
    ("hostPath", json!({"path": path, "type": "Directory"}))
}

#[tokio::test]
async fn pods_of_a_real_kubelet_have_their_identities_as_long_as_they_are_there() {
    let name = "pods_of_a_real_kubelet_have_their_identities_as_long_as_they_are_there";
    let Some(installation) = Installation::start(name).await else {
        return;
    };
    let mut ground = Ground(installation);
    the_folder_of_the_socket_is_a_volume(&ground).await;
    an_ephemeral_container_is_its_own(&ground).await;
    a_container_that_crashed_has_its_identity_again(&ground).await;
    whoever_is_in_no_pod_is_refused(&ground).await;
    a_kubelet_that_starts_anew_ends_no_stream(&mut ground).await;
    a_pods_mount_finds_the_next_agent(&ground).await;
    the_servers_pod_comes_back_with_its_store(&ground).await;
    a_deleted_pod_has_no_identity(&ground).await;
}

async fn the_folder_of_the_socket_is_a_volume(ground: &Ground) {
    let script = format!("{FETCH}; cat /proc/mounts; busybox touch /spiffe/x; exec sleep 100000");
    ground.run("by-driver", csi(), &script).await;
    ground.run("by-path", host_path(), &script).await;
    for pod in ["by-driver", "by-path"] {
        let log = ground.written(pod, pod, "touch: /spiffe/x").await;
        assert!(log.contains(&id(IDENTITY)), "{log}");
        assert!(log.contains(" /spiffe tmpfs ro,"), "{log}");
        assert!(log.contains("Read-only file system"), "{log}");
    }
    // As the driver leaves it on the node. Container runtimes mount that for the pod once more, with no
    // flag but what the pod asked for.
    let mounts = ground.0.cluster.machine().place();
    let mounts = mounts.run("cat", &["/proc/mounts"], &[]).await.ok();
    let mount = mounts
        .lines()
        .find(|line| line.contains("kubernetes.io~csi/spiffe/mount"));
    let mount = mount.unwrap();
    assert!(mount.contains(" ro,nosuid,nodev,noexec,"), "{mount}");
}

/// It comes after all others, and is not in the list that its pod was started from.
async fn an_ephemeral_container_is_its_own(ground: &Ground) {
    let api = &ground.0.cluster.api;
    api.create(OF_DEBUGGERS).await;
    let image = format!("--image={WORKLOAD}");
    // The folder that the container it looks at has.
    let fetch = FETCH.replace("/spiffe/", "/proc/1/root/spiffe/");
    let debug = [
        "debug",
        "by-driver",
        "--target=by-driver",
        "--container=debugger",
        "--attach=false",
    ];
    let profile = ["--profile=general", &image, "--"];
    let fetch: Vec<_> = fetch.split(' ').collect();
    api.kubectl(&[&debug[..], &profile, &fetch].concat()).await;
    let log = ground.written("by-driver", "debugger", "SPIFFE ID").await;
    assert!(log.contains(&id("/debugger")), "{log}");
    let log = ground
        .0
        .cluster
        .log("default", "by-driver", "by-driver")
        .await;
    assert!(!log.contains(&id("/debugger")), "{log}");
    // While it is there, no pod has the identity that those without another have.
    api.kubectl(&["delete", "clusterspiffeid", "debuggers"])
        .await;
}

const OF_DEBUGGERS: &str = "
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterSPIFFEID
metadata: {name: debuggers}
spec:
  spiffeIDTemplate: spiffe://{{ .TrustDomain }}/debugger
  workloadSelectorTemplates: ['k8s:container-name:debugger']
";

/// Another container of the same pod, with another id.
async fn a_container_that_crashed_has_its_identity_again(ground: &Ground) {
    let script =
        format!("{FETCH}; [ -e /out/crashed ] && exec sleep 100000; echo > /out/crashed; exit 1");
    ground.run("crashing", csi(), &script).await;
    wait::until("another start", async || {
        let count = ground
            .field("crashing", "{.status.containerStatuses[0].restartCount}")
            .await;
        (count == "1").then_some(())
    })
    .await;
    ground.written("crashing", "crashing", &id(IDENTITY)).await;
    let ids = ground
        .field(
            "crashing",
            "{.status.containerStatuses[0]['containerID','lastState.terminated.containerID']}",
        )
        .await;
    let (now, before) = ids.split_once(' ').unwrap();
    assert_ne!(now, before);
    let previous = ground
        .0
        .cluster
        .api
        .kubectl(&["logs", "crashing", "--previous"])
        .await;
    assert!(previous.contains(&id(IDENTITY)), "{previous}");
}

/// At once: it waits for no kubelet to know it.
async fn whoever_is_in_no_pod_is_refused(ground: &Ground) {
    let fetch = FETCH
        .replace("/spiffe/", "/run/spire/agent-sockets/")
        .replace("30s", "5s");
    let agent = signet_tests::Maker::Signet.agent();
    let arguments: Vec<_> = fetch.split(' ').skip(1).collect();
    let place = ground.0.cluster.machine().place();
    let refused = place.run(agent, &arguments, &[]).await.refused();
    assert!(refused.contains("PermissionDenied"), "{refused}");
}

/// For a moment it has no pods at all. Then it finds the driver again by itself.
async fn a_kubelet_that_starts_anew_ends_no_stream(ground: &mut Ground) {
    let script = "while :; do signet-agent api watch --socket-path /spiffe/spire-agent.sock >> \
                  /out/watch 2>&1; done";
    ground.run("watching", csi(), script).await;
    ground.watched_more_than(0).await;
    ground.0.cluster.restart_kubelet().await;
    ground
        .run("later", csi(), &format!("{FETCH}; exec sleep 100000"))
        .await;
    ground.written("later", "later", &id(IDENTITY)).await;
    let watch = ground.watch();
    assert!(!watch.contains("Warning"), "{watch}");
}

async fn a_pods_mount_finds_the_next_agent(ground: &Ground) {
    let (before, first) = (ground.0.agent().await, ground.watched());
    let delete = ["delete", "pod", "-n", NAMESPACE, &before];
    ground.0.cluster.api.kubectl(&delete).await;
    ground.watched_more_than(first).await;
    assert_ne!(ground.0.agent().await, before);
}

async fn the_servers_pod_comes_back_with_its_store(ground: &Ground) {
    let ids = async || {
        let entries = ground.0.entries().await;
        entries
            .iter()
            .map(|entry| entry["id"].clone())
            .collect::<Vec<_>>()
    };
    let before = ids().await;
    let delete = ["delete", "pod", "-n", NAMESPACE, "signet-server-0"];
    ground.0.cluster.api.kubectl(&delete).await;
    ground.0.start_server().await;
    assert_eq!(ids().await, before);
    // It asks again, as workloads do: the agent may not have found the next server yet.
    let script = format!("until {FETCH}; do busybox sleep 1; done; exec sleep 100000");
    ground.run("last", csi(), &script).await;
    ground.written("last", "last", &id(IDENTITY)).await;
}

/// Though its program still runs: the kubelet gives it time to end.
async fn a_deleted_pod_has_no_identity(ground: &Ground) {
    let pod = ground.field("watching", "{.metadata.uid}").await;
    let entries = async || {
        ground
            .0
            .entries()
            .await
            .iter()
            .filter(|entry| entry["selectors"].to_string().contains(&pod))
            .count()
    };
    assert!(entries().await > 0);
    let delete = ["delete", "pod", "watching", "--force", "--grace-period=0"];
    ground.0.cluster.api.kubectl(&delete).await;
    let begun = Instant::now();
    wait::until("the end of the identity", async || {
        ground.watch().contains("PermissionDenied").then_some(())
    })
    .await;
    // Two seconds, and as much again for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(entries().await, 0);
}
