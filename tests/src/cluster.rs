//! A real cluster of one node, `node-1`, on a [`Machine`] of its own: API server, controllers, scheduler,
//! containerd and kubelet. Services are not routed but for one, by its name in [`SERVICE`].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::api_server::ApiServer;
use crate::image::Image;
use crate::machine::{Machine, SERVICE};
use crate::skip::{missing_program, skipped};
use crate::{Process, wait};

/// The programs of Debian's packages `containerd`, `runc` and `busybox-static`, and those that make images.
const NEEDED: [&str; 8] = [
    "containerd",
    "ctr",
    "runc",
    "busybox",
    "ldd",
    "tar",
    "sha256sum",
    "pkill",
];

/// Those of `containernetworking-plugins`.
const NETWORK_PROGRAMS: &str = "/usr/lib/cni";

/// Pods that a node takes; the kubelet's own limit is 110.
const MOST_PODS: u16 = 300;

/// How long a container may take to run, with all that goes before.
const START: Duration = Duration::from_secs(180);

/// A cluster, up until it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// Its API.
    pub api: ApiServer,
    programs: Vec<Process>,
    // The last to go: with it goes whatever else is left.
    machine: Machine,
    directory: PathBuf,
}

impl Cluster {
    /// Starts it; if something for it is missing, the scenario `name` is skipped.
    ///
    /// # Panics
    /// When the node does not become ready.
    pub async fn start(directory: &Path, name: &str) -> Option<Self> {
        if let Some(program) = missing_program(&NEEDED) {
            skipped(name, &format!("{program} is not on the path"));
            return None;
        }
        if !Path::new(NETWORK_PROGRAMS).join("ptp").is_file() {
            skipped(name, &format!("no network plugins in {NETWORK_PROGRAMS}"));
            return None;
        }
        let programs = crate::skip::path_from("KUBEBUILDER_ASSETS", name)?;
        if !programs.join("kubelet").is_file() {
            skipped(name, "KUBEBUILDER_ASSETS has no kubelet");
            return None;
        }
        let machine = Machine::start(directory, name).await?;
        let api = ApiServer::start_on(&machine, directory, name).await?;
        let mut cluster = Self {
            api,
            programs: Vec::new(),
            machine,
            directory: directory.to_owned(),
        };
        cluster.start_containerd().await;
        cluster.start_controllers();
        cluster.start_kubelet();
        cluster.ready().await;
        Some(cluster)
    }

    fn run(&mut self, program: &Path, arguments: &[String]) {
        let name = program.file_name().expect("a program").to_string_lossy();
        let log = self.directory.join(format!("{name}.log"));
        let process = self.machine.place().start(program, arguments, &log);
        self.programs.push(process);
    }

    async fn start_containerd(&mut self) {
        let network = self.directory.join("network");
        fs::create_dir(&network).expect("a folder");
        fs::write(network.join("pods.conflist"), NETWORK).expect("a file");
        let config = containerd_config(&self.directory.join("containerd"), &network);
        let path = self.directory.join("containerd.toml");
        fs::write(&path, config).expect("a file");
        let arguments = ["--config".to_owned(), path.display().to_string()];
        self.run(Path::new("containerd"), &arguments);
        wait::until("containerd", async || {
            let arguments = ["version"];
            let asked = self.machine.place().run("ctr", &arguments, &[]).await;
            asked.status.success().then_some(())
        })
        .await;
        let busybox = Path::new("/bin/busybox");
        let pause = Image::new(PAUSE).program(busybox, "/bin/sleep");
        self.load(&pause.entrypoint(&["/bin/sleep", "2147483647"]))
            .await;
    }

    fn start_controllers(&mut self) {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.api.file(name).display());
        let (kubeconfig, alone) = (
            file("kubeconfig", "admin.kubeconfig"),
            "--leader-elect=false",
        );
        let controllers = [
            kubeconfig.clone(),
            alone.to_owned(),
            "--use-service-account-credentials".to_owned(),
            file("service-account-private-key-file", "sa.key"),
            file("root-ca-file", "ca.pem"),
        ];
        let programs = self.api.programs().to_owned();
        self.run(&programs.join("kube-controller-manager"), &controllers);
        let scheduler = [kubeconfig, alone.to_owned()];
        self.run(&programs.join("kube-scheduler"), &scheduler);
    }

    fn start_kubelet(&mut self) {
        let path = self.directory.join("kubelet.yaml");
        fs::write(&path, self.kubelet_config()).expect("a file");
        let account = self.api.kubeconfig_with("kubelet", "kubelet");
        let arguments = [
            format!("--config={}", path.display()),
            format!("--kubeconfig={}", account.display()),
            "--hostname-override=node-1".to_owned(),
            format!("--node-ip={}", crate::machine::ADDRESS),
        ];
        let program = self.api.programs().join("kubelet");
        self.run(&program, &arguments);
    }

    /// Kills the kubelet, as an operator who replaces it, and starts it anew.
    ///
    /// # Panics
    /// When there was none, or the node does not become ready.
    pub async fn restart_kubelet(&mut self) {
        let kill = ["-KILL", "-x", "kubelet"];
        self.machine.place().run("pkill", &kill, &[]).await.ok();
        self.start_kubelet();
        wait::within(START, "the next kubelet", async || {
            let healthy = ["get", "--raw", "/api/v1/nodes/node-1/proxy/healthz"];
            let asked = self.api.try_kubectl(&healthy).await;
            asked.status.success().then_some(())
        })
        .await;
        self.ready().await;
    }

    async fn ready(&self) {
        let wait = [
            "wait",
            "--for=condition=Ready",
            "node/node-1",
            "--timeout=5s",
        ];
        wait::within(START, "a ready node", async || {
            let ready = self.api.try_kubectl(&wait).await;
            ready.status.success().then_some(())
        })
        .await;
    }

    /// Gives the node an image.
    ///
    /// # Panics
    /// When it does not take it.
    pub async fn load(&self, image: &Image) {
        let archive = image.archive(&self.directory).await;
        let path = archive.display().to_string();
        let import = ["--namespace", "k8s.io", "images", "import", &path];
        self.machine.place().run("ctr", &import, &[]).await.ok();
        fs::remove_file(archive).expect("a file of ours");
    }

    /// Routes the one service that the node knows by name to a pod, as a service proxy would.
    ///
    /// # Panics
    /// When the pod has no address.
    pub async fn route(&self, namespace: &str, pod: &str) {
        let address = self.field(namespace, pod, "{.status.podIP}").await;
        assert!(!address.is_empty(), "{pod} has no address");
        for chain in ["PREROUTING", "OUTPUT"] {
            let rule = ["-d", SERVICE[1], "-j", "DNAT", "--to-destination", &address];
            // In place of where it led before.
            for (verb, rule) in [("-F", &[][..]), ("-A", &rule)] {
                let line = [&["-t", "nat", verb, chain], rule].concat();
                self.machine.place().run("iptables", &line, &[]).await.ok();
            }
        }
    }

    /// A field of a pod, by a path of JSONPath.
    pub async fn field(&self, namespace: &str, pod: &str, path: &str) -> String {
        let output = format!("jsonpath={path}");
        let get = ["get", "pod", pod, "-n", namespace, "-o", &output];
        self.api.kubectl(&get).await
    }

    /// Waits for something of a pod, as `kubectl wait --for` names it.
    ///
    /// # Panics
    /// When it does not come; then with what the cluster says of the pod.
    pub async fn pod_is(&self, namespace: &str, pod: &str, state: &str) {
        let (state, name) = (format!("--for={state}"), format!("pod/{pod}"));
        let wait = ["wait", &state, &name, "-n", namespace, "--timeout=90s"];
        let came = self.api.try_kubectl(&wait).await;
        if !came.status.success() {
            let describe = ["describe", "pod", pod, "-n", namespace];
            panic!("{came}\n{}", self.api.try_kubectl(&describe).await);
        }
    }

    /// What a container has written, as the kubelet keeps it: each line after its time.
    pub async fn log(&self, namespace: &str, pod: &str, container: &str) -> String {
        let logs = ["logs", "-n", namespace, pod, "-c", container];
        self.api.try_kubectl(&logs).await.stdout
    }

    /// The objects of a kind.
    ///
    /// # Panics
    /// When the API server does not know it.
    pub async fn objects(&self, namespace: &str, kind: &str) -> Vec<Value> {
        let get = ["get", kind, "-n", namespace, "-o", "json"];
        let list: Value =
            serde_json::from_str(&self.api.kubectl(&get).await).expect("a list in JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// The machine it is on.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    fn kubelet_config(&self) -> String {
        let file = |name: &str| self.api.file(name).display().to_string();
        let (ca, certificate, key) = (file("ca.pem"), file("kubelet.pem"), file("kubelet.key"));
        let cgroup = self.machine.cgroup();
        // The disk is not the test's own, so that how full it is must evict and remove nothing.
        format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1\n\
             kind: KubeletConfiguration\n\
             address: 0.0.0.0\n\
             healthzBindAddress: 127.0.0.1\n\
             containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n\
             cgroupDriver: cgroupfs\n\
             cgroupRoot: /{cgroup}\n\
             failCgroupV1: false\n\
             failSwapOn: false\n\
             evictionHard: {{nodefs.available: \"0%\"}}\n\
             imageGCHighThresholdPercent: 100\n\
             enforceNodeAllocatable: []\n\
             makeIPTablesUtilChains: false\n\
             maxPods: {MOST_PODS}\n\
             authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {ca}}}}}\n\
             authorization: {{mode: Webhook}}\n\
             tlsCertFile: {certificate}\n\
             tlsPrivateKeyFile: {key}\n"
        )
    }
}

/// The image that keeps a pod's namespaces.
const PAUSE: &str = "pause:1";

const NETWORK: &str = r#"{
  "cniVersion": "0.4.0", "name": "pods",
  "plugins": [{
    "type": "ptp",
    "ipam": {"type": "host-local", "subnet": "10.232.0.0/22", "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}"#;

fn containerd_config(root: &Path, network: &Path) -> String {
    let (root, network) = (root.display(), network.display());
    // A machine of tests may not let anybody lower the score by which the kernel kills.
    format!(
        "version = 2\n\
         root = \"{root}\"\n\
         state = \"/run/containerd\"\n\
         [grpc]\n\
         address = \"/run/containerd/containerd.sock\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\n\
         restrict_oom_score_adj = true\n\
         sandbox_image = \"docker.io/library/{PAUSE}\"\n\
         stream_server_address = \"127.0.0.1\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\n\
         bin_dir = \"{NETWORK_PROGRAMS}\"\n\
         conf_dir = \"{network}\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
         runtime_type = \"io.containerd.runc.v2\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n\
         SystemdCgroup = false\n"
    )
}
