//! A configured agent and its command line.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cgroups::Cgroups;
use crate::command::{self, Output};
use crate::openssl::NodePki;
use crate::{Maker, Process, Server, TRUST_DOMAIN, wait};

/// How an agent proves what it is.
#[derive(Clone, Debug)]
pub enum Attestation {
    /// By a join token.
    JoinToken(String),
    /// By the node's certificate.
    X509Pop(NodePki),
    /// By another plugin, with its block.
    Plugin(String),
    /// Not at all: it has its identity already.
    None,
}

/// What a scenario wants different from the default.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// Whose agent it is.
    pub maker: Maker,
    /// How it attests.
    pub attestation: Attestation,
    /// Lines of the `agent` block.
    pub lines: Vec<String>,
    /// Blocks at the top level.
    pub blocks: Vec<String>,
    /// Further plugins.
    pub plugins: Vec<String>,
    /// Where the first bundle comes from, if it is no file.
    pub bundle_url: Option<String>,
    /// The file with the first bundle, if the scenario itself writes it.
    pub bundle_path: Option<PathBuf>,
    /// Variables of the program's environment.
    pub environment: Vec<(String, PathBuf)>,
    /// Whether a workload's program is a selector too.
    pub knows_programs: bool,
}

impl AgentSettings {
    /// Of the given maker, attesting by the given way.
    pub fn new(maker: Maker, attestation: Attestation) -> Self {
        Self {
            maker,
            attestation,
            lines: Vec::new(),
            blocks: Vec::new(),
            plugins: Vec::new(),
            bundle_url: None,
            bundle_path: None,
            environment: Vec::new(),
            knows_programs: false,
        }
    }

    /// Adds a line to the `agent` block.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Takes the first bundle from a URL.
    #[must_use]
    pub fn bundle_from(mut self, url: &str) -> Self {
        self.bundle_url = Some(url.into());
        self
    }

    /// Takes the first bundle from a file that the scenario writes.
    #[must_use]
    pub fn bundle_in(mut self, path: &Path) -> Self {
        self.bundle_path = Some(path.into());
        self
    }

    /// Sets a variable of the program's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, path: &Path) -> Self {
        self.environment.push((name.into(), path.into()));
        self
    }

    /// Gives workloads the selector `unix:path` too.
    #[must_use]
    pub fn know_programs(mut self) -> Self {
        self.knows_programs = true;
        self
    }

    /// Adds a plugin.
    #[must_use]
    pub fn plugin(mut self, plugin: String) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// Adds a block at the top level.
    #[must_use]
    pub fn block(mut self, block: String) -> Self {
        self.blocks.push(block);
        self
    }
}

/// An agent, running or stopped.
#[derive(Debug)]
pub struct Agent {
    /// The running program; scenarios may take and kill it.
    pub process: Option<Process>,
    /// The Workload API's socket.
    pub socket: PathBuf,
    /// The agent's own identity and keys.
    pub data_dir: PathBuf,
    config: PathBuf,
    log: PathBuf,
    maker: Maker,
    environment: Vec<(String, PathBuf)>,
}

impl Agent {
    /// Starts an agent of the server and waits until it is healthy.
    ///
    /// # Panics
    /// When it does not become healthy.
    pub async fn start(directory: &Path, server: &Server, settings: &AgentSettings) -> Self {
        let mut agent = Self::launch(directory, server, settings).await;
        agent.healthy().await;
        agent
    }

    /// Starts an agent of the server, without waiting.
    ///
    /// # Panics
    /// When its files cannot be written.
    pub async fn launch(directory: &Path, server: &Server, settings: &AgentSettings) -> Self {
        std::fs::create_dir_all(directory.join("agent")).expect("a data directory");
        let bundle = directory.join("bundle.pem");
        server.bundle_to(&bundle).await;
        let mut agent = Self {
            process: None,
            socket: directory.join("public").join("agent.sock"),
            data_dir: directory.join("agent"),
            config: directory.join("agent.conf"),
            log: directory.join("agent.log"),
            maker: settings.maker,
            environment: settings.environment.clone(),
        };
        agent.configure(server, &bundle, settings);
        agent.process = Some(match &settings.attestation {
            Attestation::JoinToken(token) => agent.spawn(&["-joinToken", token]),
            _ => agent.spawn(&[]),
        });
        agent
    }

    /// Makes another maker's program of the stopped agent, on the same files.
    ///
    /// # Panics
    /// When its configuration cannot be written.
    pub fn become_of(&mut self, server: &Server, settings: &AgentSettings) {
        self.maker = settings.maker;
        let bundle = self.config.with_file_name("bundle.pem");
        self.configure(server, &bundle, settings);
    }

    fn configure(&self, server: &Server, bundle: &Path, settings: &AgentSettings) {
        let text = self.text(server, bundle, settings);
        std::fs::write(&self.config, text).expect("a configuration file");
    }

    /// Waits until it is healthy.
    ///
    /// # Panics
    /// When it ends instead, or never is.
    pub async fn healthy(&mut self) {
        wait::until("a healthy agent", async || {
            let process = self.process.as_mut().expect("a running agent");
            assert!(process.is_running(), "the agent ended:\n{}", process.log());
            let healthy = self.socket.exists() && self.cli(&["healthcheck"]).await.status.success();
            healthy.then_some(())
        })
        .await;
    }

    /// Starts the stopped agent again, without a token, and waits until it is healthy.
    ///
    /// # Panics
    /// When it does not become healthy.
    pub async fn resume(&mut self) {
        self.process = Some(self.spawn(&[]));
        self.healthy().await;
    }

    /// Starts the program, without waiting and without keeping it.
    pub fn spawn(&self, further: &[&str]) -> Process {
        let config = self.config.display().to_string();
        let mut line = vec!["run", "-config", &config];
        line.extend(further);
        let environment = &self.environment;
        Process::start_with(&self.maker.agent(), &line, &self.log, environment)
    }

    /// Kills it as a power cut would.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&mut self) {
        self.process.take().expect("a running agent").kill().await;
    }

    /// Runs a command of the agent's program on the Workload API's socket.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_of(self.maker, arguments).await
    }

    /// Runs a command of the agent's program on the Workload API's socket, in these cgroups.
    pub async fn cli_in(&self, cgroups: &Cgroups, arguments: &[&str]) -> Output {
        command::run("/bin/sh", &self.line_in(cgroups, arguments)).await
    }

    /// Starts such a command, whose output goes to the end of a file.
    pub fn spawn_in(&self, cgroups: &Cgroups, arguments: &[&str], log: &Path) -> Process {
        Process::start(Path::new("/bin/sh"), &self.line_in(cgroups, arguments), log)
    }

    fn line_in(&self, cgroups: &Cgroups, arguments: &[&str]) -> Vec<String> {
        let program = self.maker.agent().display().to_string();
        let socket = self.socket.display().to_string();
        let mut line = vec!["-c", cgroups.enter(), "sh", &program];
        line.extend(arguments);
        line.extend(["-socketPath", &socket]);
        line.into_iter().map(str::to_owned).collect()
    }

    /// Runs a command of the given maker's program on the Workload API's socket.
    pub async fn cli_of(&self, maker: Maker, arguments: &[&str]) -> Output {
        let socket = self.socket.display().to_string();
        let mut line = arguments.to_vec();
        line.extend(["-socketPath", &socket]);
        command::run(maker.agent(), &line).await
    }

    /// Asks for X.509-SVIDs until the workload has an identity, and writes them into a directory.
    ///
    /// # Panics
    /// When it never has one.
    pub async fn fetch_x509_to(&self, directory: &Path) {
        std::fs::create_dir_all(directory).expect("a directory for SVIDs");
        let directory = directory.display().to_string();
        let line = [
            "api", "fetch", "x509", "-timeout", "20s", "-write", &directory,
        ];
        wait::until("an X.509-SVID", async || {
            self.cli(&line).await.status.success().then_some(())
        })
        .await;
    }

    /// A JWT-SVID for the audience.
    ///
    /// # Panics
    /// When the workload does not get one.
    pub async fn fetch_jwt(&self, audience: &str) -> String {
        let line = [
            "api",
            "fetch",
            "jwt",
            "-timeout",
            "20s",
            "-audience",
            audience,
            "-output",
            "json",
        ];
        let answer = self.cli(&line).await.json();
        token_in(&answer).unwrap_or_else(|| panic!("no JWT-SVID: {answer}"))
    }

    /// The address as clients take it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// All the agent wrote, over restarts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn text(&self, server: &Server, bundle: &Path, settings: &AgentSettings) -> String {
        let bundle = settings.bundle_path.as_deref().unwrap_or(bundle);
        let (data, socket) = (self.data_dir.display(), self.socket.display());
        let mut text = format!(
            "agent {{\n  trust_domain = \"{TRUST_DOMAIN}\"\n  server_address = \"127.0.0.1\"\n  \
             server_port = {}\n  socket_path = \"{socket}\"\n  data_dir = \"{data}\"\n  \
             {}\n  log_level = \"DEBUG\"\n",
            server.port,
            match &settings.bundle_url {
                Some(url) => format!("trust_bundle_url = \"{url}\""),
                None => format!("trust_bundle_path = \"{}\"", bundle.display()),
            }
        );
        for line in &settings.lines {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(
            text,
            "}}\nplugins {{\n  KeyManager \"disk\" {{\n    plugin_data {{ directory = \"{data}\" }}\n  }}\n  \
             WorkloadAttestor \"unix\" {{\n    plugin_data {{\n      discover_workload_path = {}\n      \
             workload_size_limit = -1\n    }}\n  }}",
            settings.knows_programs
        );
        match &settings.attestation {
            Attestation::X509Pop(pki) => {
                let (key, certificate) = (pki.key.display(), pki.certificate.display());
                let _ = writeln!(
                    text,
                    "  NodeAttestor \"x509pop\" {{\n    plugin_data {{\n      private_key_path = \
                     \"{key}\"\n      certificate_path = \"{certificate}\"\n    }}\n  }}"
                );
            }
            Attestation::Plugin(block) => {
                let _ = writeln!(text, "  {block}");
            }
            _ => text.push_str("  NodeAttestor \"join_token\" {\n    plugin_data {}\n  }\n"),
        }
        text.extend(
            settings
                .plugins
                .iter()
                .map(|plugin| format!("\n{plugin}\n")),
        );
        text.push_str("}\n");
        text.extend(settings.blocks.iter().map(|block| format!("{block}\n")));
        text
    }
}

/// The first JWT-SVID anywhere in the answer: the makers nest it differently.
fn token_in(answer: &Value) -> Option<String> {
    match answer {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match value {
            Value::String(token) if name == "svid" => Some(token.clone()),
            value => token_in(value),
        }),
        Value::Array(values) => values.iter().find_map(token_in),
        _ => None,
    }
}
