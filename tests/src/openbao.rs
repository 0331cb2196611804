//! A real OpenBao, over TLS and with its storage on disk, so that it can be sealed, killed and come back.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{self, Output};
use crate::openssl::openssl;
use crate::{Process, skip, wait, wire};

/// OpenBao's program: `BAO`, or `bao` on the path; if there is none, the scenario `name` is skipped.
pub fn program(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("BAO").filter(|path| !path.is_empty());
    let on_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut found = std::env::split_paths(&path).map(|folder| folder.join("bao"));
        found.find(|file| file.is_file())
    };
    let found = named.map(PathBuf::from).or_else(on_path);
    if found.is_none() {
        skip::skipped(name, "BAO is not set, and there is no bao on the path");
    }
    found
}

/// An OpenBao, running or stopped.
#[derive(Debug)]
pub struct OpenBao {
    /// The running program; scenarios may take and kill it.
    pub process: Option<Process>,
    /// The authority of its certificate, PEM.
    pub authority: PathBuf,
    /// The token that may do everything.
    pub root_token: String,
    unseal_key: String,
    directory: PathBuf,
    program: PathBuf,
    port: u16,
    /// It speaks to other nodes here, though there are none.
    cluster_port: u16,
}

impl OpenBao {
    /// Starts one with nothing in it, unsealed.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(directory: &Path, program: PathBuf) -> Self {
        let directory = directory.join("openbao");
        std::fs::create_dir_all(directory.join("data")).expect("a directory");
        let mut bao = Self {
            process: None,
            authority: directory.join("ca.pem"),
            root_token: String::new(),
            unseal_key: String::new(),
            port: wire::free_port().await,
            cluster_port: wire::free_port().await,
            directory,
            program,
        };
        bao.certify().await;
        bao.configure();
        bao.process = Some(bao.spawn());
        let made = wait::until("a new OpenBao", async || {
            bao.is_running();
            let init = [
                "operator",
                "init",
                "-key-shares=1",
                "-key-threshold=1",
                "-format=json",
            ];
            let made = bao.cli(&init).await;
            made.status.success().then(|| made.json())
        })
        .await;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        bao.root_token = text(&made["root_token"]);
        bao.unseal_key = text(&made["unseal_keys_b64"][0]);
        bao.unseal().await;
        bao
    }

    /// Starts the stopped one again and unseals it.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn resume(&mut self) {
        self.process = Some(self.spawn());
        self.unseal().await;
    }

    /// Kills it as a power cut would.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&mut self) {
        self.process.take().expect("a running OpenBao").kill().await;
    }

    /// Unseals it.
    ///
    /// # Panics
    /// When it does not become usable.
    pub async fn unseal(&mut self) {
        wait::until("an unsealed OpenBao", async || {
            self.is_running();
            self.cli(&["operator", "unseal", &self.unseal_key]).await;
            self.cli(&["token", "lookup"])
                .await
                .status
                .success()
                .then_some(())
        })
        .await;
    }

    /// Runs a command of its program as its root.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_as(&self.root_token, arguments).await
    }

    /// Runs a command of its program as whom the token names.
    pub async fn cli_as(&self, token: &str, arguments: &[&str]) -> Output {
        let (address, authority) = (self.address(), self.authority.as_os_str());
        let environment: [(&str, &OsStr); 3] = [
            ("BAO_ADDR", OsStr::new(&address)),
            ("BAO_TOKEN", OsStr::new(token)),
            ("BAO_CACERT", authority),
        ];
        command::run_with(&self.program, arguments, &environment).await
    }

    /// Lets everything below the paths be done under the name of a policy.
    ///
    /// # Panics
    /// When it does not take the policy.
    pub async fn policy(&self, name: &str, text: &str) {
        let file = self.directory.join(format!("{name}.hcl"));
        std::fs::write(&file, text).expect("a policy file");
        let file = file.display().to_string();
        self.cli(&["policy", "write", name, &file]).await.ok();
    }

    /// Where it listens, as a URL.
    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn is_running(&mut self) {
        let process = self.process.as_mut().expect("a started OpenBao");
        assert!(process.is_running(), "OpenBao ended:\n{}", process.log());
    }

    fn spawn(&self) -> Process {
        let config = format!("-config={}", self.directory.join("bao.hcl").display());
        let log = self.directory.join("bao.log");
        Process::start(&self.program, &["server", &config], &log)
    }

    fn configure(&self) {
        let (directory, port) = (self.directory.display(), self.port);
        let text = format!(
            "storage \"raft\" {{\n  path = \"{directory}/data\"\n  node_id = \"one\"\n  \
             performance_multiplier = \"1\"\n}}\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  \
             tls_cert_file = \"{directory}/server.pem\"\n  \
             tls_key_file = \"{directory}/server.key\"\n}}\n\
             api_addr = \"https://127.0.0.1:{port}\"\n\
             cluster_addr = \"https://127.0.0.1:{}\"\n",
            self.cluster_port
        );
        std::fs::write(self.directory.join("bao.hcl"), text).expect("a configuration file");
    }

    async fn certify(&self) {
        let path = |name: &str| self.directory.join(name).display().to_string();
        let (ca, ca_key) = (path("ca.pem"), path("ca.key"));
        let (server, key) = (path("server.pem"), path("server.key"));
        let common = ["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"];
        let common = [&common[..], &["-pkeyopt", "ec_paramgen_curve:P-256"]].concat();
        let authority = [
            "-subj",
            "/CN=openbao authority",
            "-keyout",
            &ca_key,
            "-out",
            &ca,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ];
        openssl(&[&common[..], &authority].concat()).await.ok();
        let leaf = [
            "-subj",
            "/CN=openbao",
            "-keyout",
            &key,
            "-out",
            &server,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ];
        openssl(&[&common[..], &leaf].concat()).await.ok();
    }
}
