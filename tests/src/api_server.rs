//! A real API server of Kubernetes with etcd, and `kubectl` for it. There are no controllers and no
//! nodes: objects are stored and judged, and nothing runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::command::{self, Output};
use crate::openssl::openssl;
use crate::skip::{path_from, skipped};
use crate::{Process, wait, wire};

/// What it signs tokens as.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// Off by default in releases that have it.
const TRUST_BUNDLES: [&str; 2] = [
    "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true",
    "--feature-gates=ClusterTrustBundle=true",
];

/// A cluster's API, up until it is dropped.
#[derive(Debug)]
pub struct ApiServer {
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
        let programs = path_from("KUBEBUILDER_ASSETS", name)?;
        if which("kubectl").is_none() {
            skipped(name, "kubectl is not on the path");
            return None;
        }
        let directory = directory.join("cluster");
        std::fs::create_dir_all(&directory).expect("a directory");
        certificates(&directory).await;
        let etcd_port = wire::free_port().await;
        let etcd = etcd(&programs, &directory, etcd_port).await;
        let port = wire::free_port().await;
        let process = api_server(&programs, &directory, etcd_port, port);
        let mut cluster = Self {
            directory,
            port,
            _etcd: etcd,
            process,
        };
        cluster.write_admin();
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
        command::run_with(Path::new("kubectl"), arguments, &environment).await
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

    fn write_admin(&self) {
        let user = "client-certificate: admin.pem, client-key: admin.key";
        let path = self.directory.join("admin.kubeconfig");
        std::fs::write(path, self.kubeconfig(user)).expect("a kubeconfig");
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

/// A program on the path.
fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(program));
    found.find(|file| file.is_file())
}

/// An authority; certificates of it for the server and an administrator; the key of service accounts.
async fn certificates(directory: &Path) {
    let ca = ["-x509", "-days", "2", "-subj", "/CN=cluster"];
    request(directory, "ca", &ca).await;
    let server = ["-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1"];
    request(directory, "api", &signed(directory, &server)).await;
    let admin = [
        "-subj",
        "/O=system:masters/CN=admin",
        "-addext",
        "extendedKeyUsage=clientAuth",
    ];
    request(directory, "admin", &signed(directory, &admin)).await;
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

async fn etcd(programs: &Path, directory: &Path, port: u16) -> Process {
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
    Process::start(&programs.join("etcd"), &arguments, &log)
}

fn api_server(programs: &Path, directory: &Path, etcd: u16, port: u16) -> Process {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // It refuses to publish a loopback address.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--tls-cert-file={}", file("api.pem")),
        format!("--tls-private-key-file={}", file("api.key")),
        format!("--client-ca-file={}", file("ca.pem")),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        format!("--service-account-issuer={ISSUER}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/24".to_owned(),
        "--allow-privileged=true".to_owned(),
    ];
    arguments.extend(TRUST_BUNDLES.map(str::to_owned));
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let log = directory.join("api.log");
    Process::start(&programs.join("kube-apiserver"), &arguments, &log)
}
