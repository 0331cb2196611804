//! A configured server and its command line.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{self, Output};
use crate::openssl::NodePki;
use crate::{Maker, Process, TRUST_DOMAIN, id, wait, wire};

/// What a scenario wants different from the default.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Whose server it is.
    pub maker: Maker,
    /// Lines of the `server` block.
    pub lines: Vec<String>,
    /// Blocks at the top level.
    pub blocks: Vec<String>,
    /// Further plugins.
    pub plugins: Vec<String>,
    /// Nodes that this authority vouches for may attest by certificate.
    pub node_authority: Option<PathBuf>,
    /// The `KeyManager` block; a file in the data directory if there is none.
    pub keys: Option<String>,
    /// Variables of the program's environment.
    pub variables: Vec<(String, PathBuf)>,
}

impl ServerSettings {
    /// Of the given maker, with join tokens only.
    pub fn new(maker: Maker) -> Self {
        Self {
            maker,
            lines: Vec::new(),
            blocks: Vec::new(),
            plugins: Vec::new(),
            node_authority: None,
            keys: None,
            variables: Vec::new(),
        }
    }

    /// Adds a line to the `server` block.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Adds a block at the top level.
    #[must_use]
    pub fn block(mut self, block: String) -> Self {
        self.blocks.push(block);
        self
    }

    /// Keeps the keys elsewhere than in the usual file.
    #[must_use]
    pub fn keys(mut self, block: &str) -> Self {
        self.keys = Some(block.into());
        self
    }

    /// Sets a variable of the program's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: PathBuf) -> Self {
        self.variables.push((name.into(), value));
        self
    }

    /// Adds a plugin.
    #[must_use]
    pub fn plugin(mut self, plugin: String) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// Lets nodes attest by certificate.
    #[must_use]
    pub fn nodes_of(mut self, pki: &NodePki) -> Self {
        self.node_authority = Some(pki.authority.clone());
        self
    }
}

/// A server, running or stopped.
#[derive(Debug)]
pub struct Server {
    /// The running program; scenarios may take and kill it.
    pub process: Option<Process>,
    /// Where agents connect.
    pub port: u16,
    /// The admin socket.
    pub socket: PathBuf,
    /// Everything the server keeps.
    pub data_dir: PathBuf,
    config: PathBuf,
    log: PathBuf,
    maker: Maker,
    variables: Vec<(String, PathBuf)>,
}

impl Server {
    /// Writes the configuration into the directory, starts the server and waits until it is healthy.
    ///
    /// # Panics
    /// When it does not become healthy.
    pub async fn start(directory: &Path, settings: &ServerSettings) -> Self {
        let mut server = Self::configured(directory, settings).await;
        server.resume().await;
        server
    }

    /// Writes the configuration into the directory, and starts nothing.
    ///
    /// # Panics
    /// When it cannot be written.
    pub async fn configured(directory: &Path, settings: &ServerSettings) -> Self {
        let port = wire::free_port().await;
        let mut server = Self::at(directory, settings.maker, port);
        server.variables.clone_from(&settings.variables);
        std::fs::create_dir_all(&server.data_dir).expect("a data directory");
        server.configure(settings);
        server
    }

    /// Gives the stopped server other settings; its files and its environment stay.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn configure(&self, settings: &ServerSettings) {
        std::fs::write(&self.config, self.text(settings)).expect("a configuration file");
    }

    fn at(directory: &Path, maker: Maker, port: u16) -> Self {
        Self {
            process: None,
            port,
            socket: directory.join("server.sock"),
            data_dir: directory.join("server"),
            config: directory.join("server.conf"),
            log: directory.join("server.log"),
            maker,
            variables: Vec::new(),
        }
    }

    /// Starts the stopped server again and waits until it is healthy.
    ///
    /// # Panics
    /// When it does not become healthy.
    pub async fn resume(&mut self) {
        self.process = Some(self.spawn());
        wait::until("a healthy server", async || {
            let process = self.process.as_mut().expect("just started");
            assert!(process.is_running(), "the server ended:\n{}", process.log());
            let healthy = self.socket.exists() && self.cli(&["healthcheck"]).await.status.success();
            healthy.then_some(())
        })
        .await;
    }

    /// Starts the program, without waiting and without keeping it.
    pub fn spawn(&self) -> Process {
        let config = self.config.display().to_string();
        Process::start_with(
            &self.maker.server(),
            &["run", "-config", &config],
            &self.log,
            &self.variables,
        )
    }

    /// Starts the program, which ends with an error, and gives what it said.
    ///
    /// # Panics
    /// When it does not end, or with another code.
    pub async fn refusal(&self) -> String {
        let before = self.log().len();
        let mut process = self.spawn();
        let status = process.ended().await;
        assert_eq!(status.code(), Some(1), "{}", process.log());
        self.log().split_off(before)
    }

    /// All the server wrote, over restarts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it as a power cut would.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&mut self) {
        self.process.take().expect("a running server").kill().await;
    }

    /// Runs a command of the server's program on its admin socket.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_of(self.maker, arguments).await
    }

    /// Runs a command of the given maker's program on the admin socket.
    pub async fn cli_of(&self, maker: Maker, arguments: &[&str]) -> Output {
        let socket = self.socket.display().to_string();
        let mut line = arguments.to_vec();
        line.extend(["-socketPath", &socket]);
        command::run(maker.server(), &line).await
    }

    /// Runs a command and reads its JSON.
    ///
    /// # Panics
    /// When it fails.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let mut line = arguments.to_vec();
        line.extend(["-output", "json"]);
        self.cli(&line).await.json()
    }

    /// A join token for an agent that entries name `spiffe://example.org/node`.
    ///
    /// # Panics
    /// When the server does not give one.
    pub async fn join_token(&self) -> String {
        let token = self
            .json(&["token", "generate", "-spiffeID", &id("/node")])
            .await;
        token["value"].as_str().expect("a token").to_owned()
    }

    /// Makes an entry below `spiffe://example.org/node` for all processes of this test's user, and
    /// gives its id.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn entry(&self, path: &str, further: &[&str]) -> String {
        self.entry_below(&id("/node"), path, further).await
    }

    /// As [`Server::entry`], below a parent of the caller's choice.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn entry_below(&self, parent: &str, path: &str, further: &[&str]) -> String {
        let (identity, selector) = (id(path), self.selector());
        let mut line = vec![
            "entry",
            "create",
            "-parentID",
            parent,
            "-spiffeID",
            &identity,
        ];
        line.extend(["-selector", &selector]);
        line.extend(further);
        let created = self.json(&line).await;
        let result = &created["results"][0];
        let entry = result["entry"]["id"].as_str();
        entry
            .unwrap_or_else(|| panic!("no entry: {created}"))
            .to_owned()
    }

    /// What every process of this test has.
    pub fn selector(&self) -> String {
        use std::os::unix::fs::MetadataExt;
        let user = self
            .config
            .metadata()
            .expect("the configuration file")
            .uid();
        format!("unix:uid:{user}")
    }

    /// The agents, as the server lists them.
    ///
    /// # Panics
    /// When it does not.
    pub async fn agents(&self) -> Vec<Value> {
        let list = self.json(&["agent", "list"]).await;
        list["agents"].as_array().cloned().unwrap_or_default()
    }

    /// The SPIFFE ID of the only agent.
    ///
    /// # Panics
    /// When there is none, or more.
    pub async fn only_agent(&self) -> String {
        let agents = self.agents().await;
        assert_eq!(agents.len(), 1, "{agents:?}");
        id(agents[0]["id"]["path"].as_str().expect("an agent's path"))
    }

    /// What an agent was found to be, in order: `type:value`.
    ///
    /// # Panics
    /// When the server does not show the agent.
    pub async fn selectors_of(&self, agent: &str) -> Vec<String> {
        let shown = self.json(&["agent", "show", "-spiffeID", agent]).await;
        let selectors = shown["selectors"].as_array().cloned().unwrap_or_default();
        let text = |one: &Value, member: &str| one[member].as_str().unwrap_or_default().to_owned();
        let selectors = selectors.iter();
        let mut texts: Vec<_> = selectors
            .map(|one| format!("{}:{}", text(one, "type"), text(one, "value")))
            .collect();
        texts.sort();
        texts
    }

    /// Writes the trust bundle into a PEM file.
    ///
    /// # Panics
    /// When the server does not show it.
    pub async fn bundle_to(&self, path: &Path) {
        let bundle = self.cli(&["bundle", "show"]).await.ok();
        std::fs::write(path, bundle).expect("a bundle file");
    }

    /// All audit records of our server.
    pub fn audit(&self) -> Vec<Value> {
        let directory = self.data_dir.join("audit");
        let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut files: Vec<_> = files.map(|file| file.path()).collect();
        files.sort();
        let texts = files
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok());
        let texts: String = texts.collect();
        texts
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    fn text(&self, settings: &ServerSettings) -> String {
        let (data, socket) = (self.data_dir.display(), self.socket.display());
        let mut text = format!(
            "server {{\n  trust_domain = \"{TRUST_DOMAIN}\"\n  bind_address = \"127.0.0.1\"\n  \
             bind_port = {}\n  socket_path = \"{socket}\"\n  data_dir = \"{data}\"\n  \
             log_level = \"DEBUG\"\n",
            self.port
        );
        for line in &settings.lines {
            let _ = writeln!(text, "  {line}");
        }
        text.push_str("}\nplugins {\n");
        if settings.maker == Maker::Spire {
            let _ = writeln!(
                text,
                "  DataStore \"sql\" {{\n    plugin_data {{\n      database_type = \"sqlite3\"\n      \
                 connection_string = \"{data}/datastore.sqlite3\"\n    }}\n  }}"
            );
        }
        let in_file = format!(
            "KeyManager \"disk\" {{\n    plugin_data {{ keys_path = \"{data}/keys.json\" }}\n  }}"
        );
        let keys = settings.keys.as_ref().unwrap_or(&in_file);
        let _ = writeln!(
            text,
            "  {keys}\n  NodeAttestor \"join_token\" {{\n    plugin_data {{}}\n  }}"
        );
        if let Some(authority) = &settings.node_authority {
            let authority = authority.display();
            let _ = writeln!(
                text,
                "  NodeAttestor \"x509pop\" {{\n    plugin_data {{ ca_bundle_path = \
                 \"{authority}\" }}\n  }}"
            );
        }
        text.extend(settings.plugins.iter().map(|plugin| format!("{plugin}\n")));
        text.push_str("}\n");
        text.extend(settings.blocks.iter().map(|block| format!("{block}\n")));
        text
    }
}
