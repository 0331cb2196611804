//! The agent's configuration: SPIRE's file, checked and complete.
//!
//! [`load`] reads a file, lays the command line over it and answers either settings with warnings or
//! every problem at once; `run` and `validate` both use it. Each block of the file has a module here
//! with its key table. Nothing of the raw file survives: what the program gets is typed.

mod agent;
mod bootstrap;
mod experimental;
mod flags;
mod plugins;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signet_config::sections::{HealthSettings, LogSettings, TelemetrySettings};
use signet_config::{ConfigError, Document, Key, Lookup, Section, Unknown, Warning};
use signet_crypto::{KeyType, SecretString};
use signet_spiffe::TrustDomain;

pub use bootstrap::{BundleFormat, BundleSource};
pub use flags::AgentFlags;
pub use plugins::{
    AwsIidSettings, AzureImdsSettings, AzureMsiSettings, GcpIitSettings, K8sPsatSettings,
    K8sSettings, KeySettings, NodeAttestorSettings, ProgramHash, UnixSettings,
    WorkloadAttestorSettings, X509PopSettings,
};

/// Where the file is looked for without `--config`, as in SPIRE.
pub const DEFAULT_PATH: &str = "conf/agent/agent.conf";

/// Where the Workload API's socket is without `socket_path`, as in SPIRE.
pub const DEFAULT_SOCKET_PATH: &str = "/tmp/spire-agent/public/api.sock";

const BLOCKS: [Key; 4] = [
    Key::implemented("agent"),
    Key::implemented("plugins"),
    Key::implemented("telemetry"),
    Key::implemented("health_checks"),
];

/// Everything the agent is told. Names are those of the file where a field says no more.
#[derive(Debug)]
pub struct AgentConfig {
    /// `trust_domain`.
    pub trust_domain: TrustDomain,
    /// `server_address` and `server_port`.
    pub server: ServerAddress,
    /// `data_dir`.
    pub data_dir: PathBuf,
    /// `socket_path`: the socket workloads use.
    pub socket_path: PathBuf,
    /// Whether the Workload API is served there: not `disable_workload_api`.
    pub workload_api: bool,
    /// `admin_socket_path`; no admin socket if `None`.
    pub admin_socket_path: Option<PathBuf>,
    /// `csi_kubelet_dir`; no storage driver if `None`.
    pub csi: Option<CsiSettings>,
    /// `trust_bundle_*`, `insecure_bootstrap`: how the server is known at the first contact.
    pub bootstrap: BundleSource,
    /// The environment's `SSL_CERT_FILE`, which SPIRE's agent heeds as all Go programs do: who vouches
    /// for the server of `trust_bundle_url` in place of the machine's authorities.
    pub web_authorities: Option<PathBuf>,
    /// Looks up the variables of the environment that attestors name.
    pub environment: fn(&str) -> Option<String>,
    /// `join_token`, `join_token_file`.
    pub join_token: Option<JoinTokenSource>,
    /// `allow_unauthenticated_verifiers`: bundles also for processes without an identity.
    pub allow_unauthenticated_verifiers: bool,
    /// `allowed_foreign_jwt_claims`.
    pub allowed_foreign_jwt_claims: BTreeSet<String>,
    /// `availability_target`: SVIDs are renewed so early that they outlive an outage of this length.
    pub availability_target: Option<Duration>,
    /// `workload_x509_svid_key_type`.
    pub workload_key_type: KeyType,
    /// `x509_svid_cache_max_size`: X.509-SVIDs kept at hand that no workload asks for at present.
    pub x509_cache_size: usize,
    /// `jwt_svid_cache_max_size`: JWT-SVIDs kept for repeated requests.
    pub jwt_cache_size: usize,
    /// `experimental.sync_interval`: how often a server without our stream is asked.
    pub sync_interval: Duration,
    /// `experimental.taint_window`: over how long the SVIDs of a tainted authority are replaced.
    pub taint_window: Duration,
    /// `log_*`.
    pub log: LogSettings,
    /// `health_checks`; `None` if the listener is off.
    pub health: Option<HealthSettings>,
    /// `telemetry`.
    pub telemetry: TelemetrySettings,
    /// The `KeyManager` plugin.
    pub keys: KeySettings,
    /// The `NodeAttestor` plugin.
    pub node_attestor: NodeAttestorSettings,
    /// The `WorkloadAttestor` plugins, each kind at most once.
    pub workload_attestors: Vec<WorkloadAttestorSettings>,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// A host name or IP address.
    pub host: String,
    /// A TCP port, not 0.
    pub port: u16,
}

/// The storage driver that carries the workload socket into pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsiSettings {
    /// `csi_kubelet_dir`.
    pub kubelet_dir: PathBuf,
    /// The folder of `socket_path`.
    pub folder: PathBuf,
    /// The node's name, from the environment.
    pub node: String,
}

/// Where the join token comes from.
#[derive(Debug)]
pub enum JoinTokenSource {
    /// Given as text.
    Text(SecretString),
    /// The content of a file, read when the agent attests.
    File(PathBuf),
}

/// Reads the file at `path` and lays `flags` over it. With `variables` (`--expand-env`), the
/// variables named in the file are looked up there. `environment` has those that stand in for keys
/// of the file.
pub fn load(
    path: &Path,
    flags: &AgentFlags,
    variables: Option<Lookup<'_>>,
    environment: Lookup<'_>,
) -> Result<(AgentConfig, Vec<Warning>), ConfigError> {
    read(Document::read(path, variables)?, flags, environment)
}

/// What `run-once` works with where there is no file: a process is known by its user and program.
const WITHOUT_FILE: &str = r#"plugins {
  KeyManager "memory" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}"#;

/// Settings from `flags` alone.
pub fn from_flags(flags: &AgentFlags) -> Result<(AgentConfig, Vec<Warning>), ConfigError> {
    read(
        Document::parse("the command line", WITHOUT_FILE, None)?,
        flags,
        &|_| None,
    )
}

fn read(
    document: Document,
    flags: &AgentFlags,
    environment: Lookup<'_>,
) -> Result<(AgentConfig, Vec<Warning>), ConfigError> {
    let flags = flags.members();
    let root = document.root();
    root.check(&[&BLOCKS], Unknown::Refused);
    let mut block = root.block("agent");
    block.overlay(&flags);
    let config = config(&root, &block, environment);
    document.finish(config)
}

/// Reads every block before it gives up, so that all problems are found.
fn config(root: &Section<'_>, block: &Section<'_>, environment: Lookup<'_>) -> Option<AgentConfig> {
    agent::check(block);
    let trust_domain = agent::trust_domain(block);
    let server = agent::server(block);
    let bootstrap = bootstrap::read(block);
    let (socket_path, admin_socket_path) = agent::sockets(block);
    let data_dir = block.path("data_dir").unwrap_or(".".into());
    let plugins = plugins::read(root, &data_dir, environment);
    let experimental = experimental::read(block);
    Some(AgentConfig {
        workload_api: !agent::switch(block, "disable_workload_api"),
        join_token: agent::join_token(block),
        allow_unauthenticated_verifiers: agent::switch(block, "allow_unauthenticated_verifiers"),
        allowed_foreign_jwt_claims: agent::foreign_claims(block),
        availability_target: agent::availability_target(block),
        workload_key_type: agent::workload_key_type(block),
        x509_cache_size: agent::cache_size(block, "x509_svid_cache_max_size"),
        jwt_cache_size: agent::cache_size(block, "jwt_svid_cache_max_size"),
        sync_interval: experimental.sync_interval,
        taint_window: experimental.taint_window,
        log: LogSettings::read(block),
        health: HealthSettings::read(root),
        telemetry: TelemetrySettings::read(root, "spire_agent"),
        csi: agent::csi(block, &socket_path, environment),
        trust_domain: trust_domain?,
        server: server?,
        bootstrap: bootstrap?,
        web_authorities: None,
        environment: |_| None,
        keys: plugins.keys?,
        node_attestor: plugins.node_attestor?,
        workload_attestors: plugins.workload_attestors,
        data_dir,
        socket_path,
        admin_socket_path,
    })
}
