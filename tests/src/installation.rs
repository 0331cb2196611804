//! The default installation of `examples/kubernetes` on a [`Cluster`], as an operator makes it, with images
//! of our programs and an identity for every pod.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::image::Image;
use crate::machine::SERVICE;
use crate::{Maker, scene, wait};

/// Where the manifests put everything.
pub const NAMESPACE: &str = "signet";

/// The image of pods that use the Workload API: a shell, `busybox` and `signet-agent`.
pub const WORKLOAD: &str = "workload:1";

/// Where images have our programs.
const PROGRAMS: &str = "/usr/local/bin";

/// A server and an agent as pods, up until this is dropped.
#[derive(Debug)]
pub struct Installation {
    /// What they run on.
    pub cluster: Cluster,
    directory: TempDir,
}

impl Installation {
    /// Makes it; if something for it is missing, the scenario `name` is skipped.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(name: &str) -> Option<Self> {
        let directory = scene::directory();
        let cluster = Cluster::start(directory.path(), name).await?;
        let it = Self { cluster, directory };
        it.load_images().await;
        it.apply().await;
        it.start_server().await;
        it.start_agent().await;
        Some(it)
    }

    async fn load_images(&self) {
        let there = |program: &str| format!("{PROGRAMS}/{program}");
        for (program, path) in [
            ("signet-server", Maker::Signet.server()),
            ("signet-agent", Maker::Signet.agent()),
        ] {
            let image = Image::new(&format!("{program}:0.1.0")).program(&path, &there(program));
            self.cluster
                .load(&image.entrypoint(&[&there(program)]))
                .await;
        }
        let busybox = Path::new("/bin/busybox");
        let workload = Image::new(WORKLOAD)
            .program(busybox, "/bin/sh")
            .program(busybox, "/bin/busybox")
            .program(&Maker::Signet.agent(), &there("signet-agent"));
        self.cluster.load(&workload).await;
    }

    /// The manifests stay as they are. The cluster has nothing that makes volumes, so one is brought along,
    /// and knows the server's name at a fixed address only.
    async fn apply(&self) {
        let folder = self.directory.path().join("installation");
        let volume = self.directory.path().join("volume");
        for one in [&folder, &volume] {
            fs::create_dir(one).expect("a folder");
        }
        let kustomization = KUSTOMIZATION
            .replace("EXAMPLES", &from(&folder, &examples()))
            .replace("ADDRESS", SERVICE[1]);
        let volume = VOLUME.replace("FOLDER", &volume.display().to_string());
        fs::write(folder.join("kustomization.yaml"), kustomization).expect("a file");
        fs::write(folder.join("volume.yaml"), volume).expect("a file");
        let folder = folder.display().to_string();
        self.cluster.api.kubectl(&["apply", "-k", &folder]).await;
    }

    /// Waits for the server's pod, also for the one after it was deleted, and leads the agent there.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_server(&self) {
        let pod = "signet-server-0";
        wait::until("the server's pod", async || {
            let get = ["get", "pod", pod, "-n", NAMESPACE];
            let there = self.cluster.api.try_kubectl(&get).await;
            there.status.success().then_some(())
        })
        .await;
        self.cluster.pod_is(NAMESPACE, pod, "condition=Ready").await;
        self.cluster.route(NAMESPACE, pod).await;
    }

    /// It waits for the bundle, which the kubelet may show a minute after it was published.
    async fn start_agent(&self) {
        let name = self.agent().await;
        self.cluster
            .pod_is(NAMESPACE, &name, "condition=Ready")
            .await;
    }

    /// The name of the agent's pod.
    ///
    /// # Panics
    /// When there is none.
    pub async fn agent(&self) -> String {
        let pods = self.cluster.objects(NAMESPACE, "pods").await;
        let is_agent = |pod: &&Value| pod["metadata"]["generateName"] == "signet-agent-";
        let pod = pods.iter().find(is_agent).expect("the agent's pod");
        let name = pod["metadata"]["name"].as_str().expect("a name");
        name.to_owned()
    }

    /// The server's entries.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn entries(&self) -> Vec<Value> {
        let server = ["exec", "-n", NAMESPACE, "signet-server-0", "--"];
        let show = ["signet-server", "entry", "show", "--output", "json"];
        let line = [&server[..], &show].concat();
        let shown = self.cluster.api.try_kubectl(&line).await.json();
        shown["entries"].as_array().cloned().unwrap_or_default()
    }

    /// Where a scenario may put files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// The manifests.
pub fn examples() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kubernetes");
    path.canonicalize().expect("the examples of this tree")
}

/// The way from a folder to another: kustomize takes no absolute paths.
fn from(folder: &Path, other: &Path) -> String {
    let up = "../".repeat(folder.components().count() - 1);
    format!("{up}{}", other.display()).replace("//", "/")
}

const KUSTOMIZATION: &str = "
resources: [EXAMPLES, volume.yaml]
patches:
- patch: |-
    apiVersion: v1
    kind: Service
    metadata: {name: signet-server, namespace: signet}
    spec: {clusterIP: ADDRESS}
";

const VOLUME: &str = "
apiVersion: v1
kind: PersistentVolume
metadata: {name: signet}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  local: {path: FOLDER}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node-1]}]
";
