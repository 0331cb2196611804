//! A real API server of Kubernetes with etcd, and `kubectl` for it. There are no controllers and no
//! nodes: objects are stored and judged, and nothing runs. For more see [`cluster`](crate::cluster).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::command::Output;
use crate::machine::{ADDRESS, API_ADDRESS, Machine, Place};
use crate::openssl::openssl;
use crate::skip::{missing_program, path_from, skipped};
use crate::{Process, wait, wire};

/// What it signs tokens as.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// Off by default in releases that have it.
const TRUST_BUNDLES: [&str; 2] = [
    "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true",
    "--feature-gates=ClusterTrustBundle=true",
];

/// What of requests is recorded, so that it can be measured what follows one.
const AUDIT: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n\
                     - {level: Metadata, verbs: [create], resources: [{group: \"\", resources: [pods]}]}\n\
                     - {level: None}\n";

/// A cluster's API, up until it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    place: Place,
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
    _etcd: Process,
    process: Process,
}

impl ApiServer {
    /// Starts both programs, whose folder `KUBEBUILDER_ASSETS` names, and waits until they are ready. If
    /// they are not there, the scenario `name` is skipped.
    ///
    /// # Panics
    /// When they do not become ready.
    pub async fn start(directory: &Path, name: &str) -> Option<Self> {
        let port = wire::free_port().await;
        // It refuses to publish a loopback address.
        let reach = [
            "--bind-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
        ];
        Self::start_in(Place::default(), directory, name, port, &reach).await
    }

    /// As [`start`](Self::start), where the nodes and pods of a machine reach it.
    ///
    /// # Panics
    /// When they do not become ready.
    pub async fn start_on(machine: &Machine, directory: &Path, name: &str) -> Option<Self> {
        let cluster = directory.join("cluster");
        let file = |kind: &str, name: &str| format!("--{kind}={}", cluster.join(name).display());
        let reach = [
            "--bind-address=0.0.0.0".to_owned(),
            format!("--advertise-address={ADDRESS}"),
            file("kubelet-client-certificate", "admin.pem"),
            file("kubelet-client-key", "admin.key"),
            file("kubelet-certificate-authority", "ca.pem"),
            // The node's name means nothing to a resolver.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
        ];
        let reach = reach.each_ref().map(String::as_str);
        // The port of the service "kubernetes".
        Self::start_in(machine.place().clone(), directory, name, 443, &reach).await
    }

    async fn start_in(
        place: Place,
        directory: &Path,
        name: &str,
        port: u16,
        reach: &[&str],
    ) -> Option<Self> {
        let programs = path_from("KUBEBUILDER_ASSETS", name)?;
        if missing_program(&["kubectl"]).is_some() {
            skipped(name, "kubectl is not on the path");
            return None;
        }
        let directory = directory.join("cluster");
        std::fs::create_dir_all(&directory).expect("a directory");
        certificates(&directory).await;
        let etcd_port = wire::free_port().await;
        let etcd = etcd(&place, &programs, &directory, etcd_port).await;
        let process = api_server(&place, &programs, &directory, [etcd_port, port], reach);
        let mut cluster = Self {
            place,
            programs,
            directory,
            port,
            _etcd: etcd,
            process,
        };
        cluster.kubeconfig_with("admin", "admin");
        cluster.ready().await;
        Some(cluster)
    }

    async fn ready(&mut self) {
        wait::until("a ready API server", async || {
            let running = self.process.is_running();
            assert!(running, "it ended:\n{}", self.process.log());
            let ready = self.try_kubectl(&["get", "--raw", "/readyz"]).await;
            ready.status.success().then_some(())
        })
        .await;
    }

    /// Runs `kubectl` as an administrator and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).await.ok()
    }

    /// As [`kubectl`](Self::kubectl), where it may fail.
    pub async fn try_kubectl(&self, arguments: &[&str]) -> Output {
        let config = self.directory.join("admin.kubeconfig");
        let environment = [("KUBECONFIG", config.as_os_str())];
        self.place.run("kubectl", arguments, &environment).await
    }

    /// Creates the object or objects in a YAML or JSON text.
    ///
    /// # Panics
    /// When the server does not take them.
    pub async fn create(&self, text: &str) {
        let path = self.directory.join("object.yaml");
        std::fs::write(&path, text).expect("a file");
        self.kubectl(&["create", "-f", &path.display().to_string()])
            .await;
    }

    /// Writes a kubeconfig for a service account, with a token of its own.
    ///
    /// # Panics
    /// When there is no such account.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let token = self
            .kubectl(&["create", "token", account, "-n", namespace])
            .await;
        let path = self.directory.join(format!("{account}.kubeconfig"));
        let user = format!("token: {}", token.trim());
        std::fs::write(&path, self.kubeconfig(&user)).expect("a kubeconfig");
        path
    }

    /// Writes a kubeconfig for whom one of [`file`](Self::file)'s certificates names.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn kubeconfig_with(&self, name: &str, certificate: &str) -> PathBuf {
        let user = format!("client-certificate: {certificate}.pem, client-key: {certificate}.key");
        let path = self.file(&format!("{name}.kubeconfig"));
        std::fs::write(&path, self.kubeconfig(&user)).expect("a kubeconfig");
        path
    }

    /// A file of the cluster: `ca.pem`; `admin` and `kubelet`, both `.pem` and `.key`; `sa.key`, by which
    /// accounts' tokens are signed; `audit.log`, with each pod that was created.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where the programs of Kubernetes are.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    fn kubeconfig(&self, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- {{name: c, context: {{cluster: k, user: u}}}}\n\
             clusters:\n- {{name: k, cluster: {{server: \"https://127.0.0.1:{}\", certificate-authority: {}}}}}\n\
             users:\n- {{name: u, user: {{{user}}}}}\n",
            self.port,
            self.directory.join("ca.pem").display()
        )
    }
}

/// An authority; certificates of it for the server, an administrator and a kubelet; the key of service
/// accounts.
async fn certificates(directory: &Path) {
    let ca = ["-x509", "-days", "2", "-subj", "/CN=cluster"];
    request(directory, "ca", &ca).await;
    let names = format!("subjectAltName=IP:127.0.0.1,IP:{ADDRESS},IP:{API_ADDRESS}");
    let server = ["-subj", "/CN=api", "-addext", &names];
    request(directory, "api", &signed(directory, &server)).await;
    let admin = [
        "-subj",
        "/O=system:masters/CN=admin",
        "-addext",
        "extendedKeyUsage=clientAuth",
    ];
    request(directory, "admin", &signed(directory, &admin)).await;
    let kubelet = [
        "-subj",
        "/O=system:nodes/CN=system:node:node-1",
        "-addext",
        &names,
    ];
    request(directory, "kubelet", &signed(directory, &kubelet)).await;
    let [key, public] = ["sa.key", "sa.pub"].map(|name| directory.join(name).display().to_string());
    let curve = "ec_paramgen_curve:P-256";
    openssl(&[
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        curve,
        "-out",
        &key,
    ])
    .await
    .ok();
    openssl(&["pkey", "-in", &key, "-pubout", "-out", &public])
        .await
        .ok();
}

fn signed(directory: &Path, further: &[&str]) -> Vec<String> {
    let (ca, key) = (directory.join("ca.pem"), directory.join("ca.key"));
    let ca = [ca, key].map(|path| path.display().to_string());
    let signer = ["-x509", "-days", "2", "-CA", &ca[0], "-CAkey", &ca[1]];
    let signer = signer
        .iter()
        .chain(&["-addext", "basicConstraints=critical,CA:FALSE"]);
    let all = signer.chain(further);
    all.map(|one| (*one).to_owned()).collect()
}

async fn request<A: AsRef<str>>(directory: &Path, name: &str, further: &[A]) {
    let path = |kind: &str| {
        directory
            .join(format!("{name}.{kind}"))
            .display()
            .to_string()
    };
    let (key, certificate) = (path("key"), path("pem"));
    let curve = "ec_paramgen_curve:P-256";
    let mut arguments = vec!["req", "-newkey", "ec", "-pkeyopt", curve, "-nodes"];
    arguments.extend(["-keyout", &key, "-out", &certificate]);
    arguments.extend(further.iter().map(AsRef::as_ref));
    openssl(&arguments).await.ok();
}

async fn etcd(place: &Place, programs: &Path, directory: &Path, port: u16) -> Process {
    let peers = format!("http://127.0.0.1:{}", wire::free_port().await);
    let clients = format!("http://127.0.0.1:{port}");
    let data = directory.join("etcd").display().to_string();
    let arguments = [
        "--name=n".to_owned(),
        format!("--data-dir={data}"),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=n={peers}"),
    ];
    let log = directory.join("etcd.log");
    place.start(&programs.join("etcd"), &arguments, &log)
}

fn api_server(
    place: &Place,
    programs: &Path,
    directory: &Path,
    [etcd, port]: [u16; 2],
    reach: &[&str],
) -> Process {
    std::fs::write(directory.join("audit.yaml"), AUDIT).expect("a file");
    let file = |name: &str| directory.join(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", file("api.pem")),
        format!("--tls-private-key-file={}", file("api.key")),
        format!("--client-ca-file={}", file("ca.pem")),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        format!("--service-account-issuer={ISSUER}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/24".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--audit-policy-file={}", file("audit.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
    ];
    arguments.extend(reach.iter().chain(&TRUST_BUNDLES).map(|&one| one.into()));
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let log = directory.join("api.log");
    place.start(&programs.join("kube-apiserver"), &arguments, &log)
}
