//! The server's configuration: SPIRE's file, checked and complete.
//!
//! [`load`] reads a file, lays the command line over it and answers either settings with warnings or
//! every problem at once; `run` and `validate` both use it. Each block of the file has a module here
//! with its key table. Nothing of the raw file survives: what the program gets is typed.

mod experimental;
mod federation;
mod flags;
mod jwt_alternative;
mod kubernetes;
mod plugins;
mod server;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signet_config::sections::{HealthSettings, LogSettings, TelemetrySettings};
use signet_config::{ConfigError, Document, Key, Lookup, Section, Unknown, Warning};
use signet_crypto::KeyType;
use signet_spiffe::{SpiffeId, TrustDomain};

pub use flags::ServerFlags;
pub use jwt_alternative::JwtAlternativeSettings;
pub use kubernetes::KubernetesSettings;
pub use plugins::{
    AwsIidSettings, AzureEndpoints, AzureImdsSettings, AzureMsiSettings, AzureMsiTenant,
    AzureTenant, BundleForm, ClusterBundleSettings, ComposerSettings, GcpCredentials,
    GcpIitSettings, GcpMetadata, IssuerKeysPlace, K8sClusterSettings, K8sPsatSettings,
    K8sVerification, KeyIdentifier, KeySettings, NodeAttestorSettings, OidcIssuerSettings,
    Pkcs11Settings, StoreSettings, TransitSettings, UpstreamSettings, X509PopRoots,
    X509PopSettings,
};

/// Where the file is looked for without `--config`, as in SPIRE.
pub const DEFAULT_PATH: &str = "conf/server/server.conf";

/// Where the admin socket is without `socket_path`, as in SPIRE.
pub const DEFAULT_SOCKET_PATH: &str = "/tmp/spire-server/private/api.sock";

const BLOCKS: [Key; 4] = [
    Key::implemented("server"),
    Key::implemented("plugins"),
    Key::implemented("telemetry"),
    Key::implemented("health_checks"),
];

/// Everything the server is told. Names are those of the file where a field says no more.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `trust_domain`.
    pub trust_domain: TrustDomain,
    /// `bind_address` and `bind_port`: where agents connect.
    pub bind: SocketAddr,
    /// `socket_path` of the admin API.
    pub socket_path: PathBuf,
    /// `data_dir`.
    pub data_dir: PathBuf,
    /// `admin_ids`: callers with administrative rights.
    pub admin_ids: BTreeSet<SpiffeId>,
    /// Keys and lifetimes of the server's authorities.
    pub authority: AuthoritySettings,
    /// What is issued, and for how long.
    pub svids: SvidSettings,
    /// How WIT-SVIDs are issued; `None` without `wit-svid` in `experimental.feature_flags`.
    pub wit: Option<WitSettings>,
    /// `kubernetes`: the cluster whose objects declare entries.
    pub kubernetes: Option<KubernetesSettings>,
    /// `ratelimit`.
    pub rate_limits: RateLimits,
    /// `audit_log_enabled`.
    pub audit_log_enabled: bool,
    /// `prune_attested_nodes_*`; `None` keeps agents for ever.
    pub agent_pruning: Option<AgentPruning>,
    /// `log_*`.
    pub log: LogSettings,
    /// `health_checks`; `None` if the listener is off.
    pub health: Option<HealthSettings>,
    /// `telemetry`.
    pub telemetry: TelemetrySettings,
    /// The `DataStore` plugin.
    pub store: StoreSettings,
    /// The `KeyManager` plugin.
    pub keys: KeySettings,
    /// The `NodeAttestor` plugins, each kind at most once.
    pub node_attestors: Vec<NodeAttestorSettings>,
    /// The `UpstreamAuthority` plugin; without one the server signs its own authorities.
    pub upstream: Option<UpstreamSettings>,
    /// Where the `Notifier` and `BundlePublisher` plugins keep the bundle.
    pub publishers: Vec<ClusterBundleSettings>,
    /// The `CredentialComposer` plugins, in the order of the file.
    pub composers: Vec<ComposerSettings>,
}

/// Keys and lifetimes of the authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySettings {
    /// `ca_ttl`: lifetime of CA certificates and JWT keys.
    pub ttl: Duration,
    /// `ca_key_type`, also of the server's own SVID.
    pub ca_key_type: KeyType,
    /// `jwt_key_type`.
    pub jwt_key_type: KeyType,
    /// `jwt_alternative`: the second JWT key.
    pub jwt_alternative: Option<JwtAlternativeSettings>,
    /// `ca_subject`.
    pub subject: CaSubject,
}

/// The subject of CA certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaSubject {
    /// `country`.
    pub country: Vec<String>,
    /// `organization`.
    pub organization: Vec<String>,
    /// `common_name`, never empty.
    pub common_name: Option<String>,
}

/// What is issued, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SvidSettings {
    /// `default_x509_svid_ttl`.
    pub x509_ttl: Duration,
    /// `default_jwt_svid_ttl`.
    pub jwt_ttl: Duration,
    /// `agent_ttl`.
    pub agent_ttl: Duration,
    /// Whether JWT-SVIDs are issued: not `disable_jwt_svids`.
    pub jwt_enabled: bool,
    /// `jwt_issuer`: the `iss` claim, never empty.
    pub jwt_issuer: Option<String>,
}

/// How WIT-SVIDs are issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitSettings {
    /// `experimental.wit_key_type`.
    pub key_type: KeyType,
    /// `experimental.wit_issuer`: the `iss` claim, never empty.
    pub issuer: Option<String>,
}

/// Which rate limits are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// `ratelimit.attestation`.
    pub attestation: bool,
    /// `ratelimit.signing`.
    pub signing: bool,
}

/// When agents that do not come back are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentPruning {
    /// `prune_attested_nodes_expired_for`: how long their SVID must have been expired.
    pub expired_for: Duration,
    /// `prune_attested_nodes_batch_size`: at most so many in one go.
    pub batch_size: usize,
    /// `prune_tofu_nodes`: also those that cannot attest again.
    pub tofu: bool,
}

/// Reads the file at `path` and lays `flags` over it. With `variables` (`--expand-env`), the
/// variables named in the file are looked up there. `environment` has those that stand in for keys
/// of some plugins.
pub fn load(
    path: &Path,
    flags: &ServerFlags,
    variables: Option<Lookup<'_>>,
    environment: Lookup<'_>,
) -> Result<(ServerConfig, Vec<Warning>), ConfigError> {
    read(Document::read(path, variables)?, flags, environment)
}

fn read(
    document: Document,
    flags: &ServerFlags,
    environment: Lookup<'_>,
) -> Result<(ServerConfig, Vec<Warning>), ConfigError> {
    let flags = flags.members();
    let root = document.root();
    root.check(&[&BLOCKS], Unknown::Refused);
    let mut block = root.block("server");
    block.overlay(&flags);
    let config = config(&root, &block, environment);
    document.finish(config)
}

/// Reads every block before it gives up, so that all problems are found.
fn config(
    root: &Section<'_>,
    block: &Section<'_>,
    environment: Lookup<'_>,
) -> Option<ServerConfig> {
    server::check(block);
    federation::check(block);
    let trust_domain = server::trust_domain(block);
    let data_dir = block.required_string("data_dir").map(PathBuf::from);
    let authority = server::authority(block);
    let svids = server::svids(block, authority.ttl);
    let wit = experimental::read(block, authority.ca_key_type);
    let kubernetes = kubernetes::read(block, environment);
    let plugins = plugins::read(root, data_dir.as_deref(), environment);
    Some(ServerConfig {
        bind: server::bind(block),
        socket_path: block
            .socket_path("socket_path")
            .unwrap_or(DEFAULT_SOCKET_PATH.into()),
        admin_ids: server::admin_ids(block),
        kubernetes,
        rate_limits: server::rate_limits(block),
        audit_log_enabled: block.bool("audit_log_enabled").unwrap_or(false),
        agent_pruning: server::agent_pruning(block),
        log: LogSettings::read(block),
        health: HealthSettings::read(root),
        telemetry: TelemetrySettings::read(root, "spire_server"),
        trust_domain: trust_domain?,
        data_dir: data_dir?,
        store: plugins.store?,
        keys: plugins.keys?,
        node_attestors: plugins.node_attestors,
        upstream: plugins.upstream,
        publishers: plugins.publishers,
        composers: plugins.composers,
        wit,
        authority,
        svids,
    })
}
