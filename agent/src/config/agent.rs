//! The `agent` block, save the bootstrap keys and `experimental`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use signet_config::sections::{LOG_KEYS, PROFILING_KEYS};
use signet_config::{Key, Lookup, Section, Unknown};
use signet_crypto::{KeyType, SecretString};
use signet_spiffe::TrustDomain;

use super::bootstrap::BOOTSTRAP_KEYS;
use super::{CsiSettings, DEFAULT_SOCKET_PATH, JoinTokenSource, ServerAddress};

const NO_SDS: &str = "the SDS API is not served yet; Envoy needs SPIRE's agent until then";

/// `csi_kubelet_dir` is ours.
pub(super) const KEYS: [Key; 21] = [
    Key::implemented("trust_domain"),
    Key::implemented("server_address"),
    Key::implemented("server_port"),
    Key::implemented("data_dir"),
    Key::implemented("socket_path"),
    Key::implemented("admin_socket_path"),
    Key::implemented("join_token"),
    Key::implemented("join_token_file"),
    Key::implemented("allow_unauthenticated_verifiers"),
    Key::implemented("allowed_foreign_jwt_claims"),
    Key::implemented("availability_target"),
    Key::implemented("workload_x509_svid_key_type"),
    Key::implemented("x509_svid_cache_max_size"),
    Key::implemented("jwt_svid_cache_max_size"),
    Key::implemented("disable_workload_api"),
    Key::implemented("csi_kubelet_dir"),
    Key::implemented("experimental"),
    Key::ignored("sds", NO_SDS),
    Key::ignored("disable_sds_api", "the SDS API is not served"),
    Key::ignored(
        "authorized_delegates",
        "the Delegated Identity API is not served yet",
    ),
    Key::ignored("log_selectors", "the values of selectors are never logged"),
];

/// SPIRE's agent knows no `rsa-4096` here; its server takes such keys all the same.
const WORKLOAD_KEY_TYPES: [(&str, KeyType); 4] = [
    ("ec-p256", KeyType::EcP256),
    ("ec-p384", KeyType::EcP384),
    ("rsa-2048", KeyType::Rsa2048),
    ("rsa-4096", KeyType::Rsa4096),
];

/// The node's name for Kubernetes. Not the attestor's variable, which also decides where the kubelet is
/// asked.
const NODE_NAME: &str = "NODE_NAME";

const DEFAULT_CACHE_SIZE: usize = 1000;

/// Shorter outages are covered anyway; SPIRE refuses them too.
const MIN_AVAILABILITY_TARGET: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn check(block: &Section<'_>) {
    block.check(
        &[&KEYS, &BOOTSTRAP_KEYS, &LOG_KEYS, &PROFILING_KEYS],
        Unknown::Refused,
    );
}

pub(super) fn switch(block: &Section<'_>, key: &str) -> bool {
    block.bool(key).unwrap_or(false)
}

pub(super) fn trust_domain(block: &Section<'_>) -> Option<TrustDomain> {
    block.required_string("trust_domain")?;
    block.parsed("trust_domain", TrustDomain::from_name_or_id)
}

pub(super) fn server(block: &Section<'_>) -> Option<ServerAddress> {
    let host = block.required_string("server_address");
    if !block.is_set("server_port") {
        block.problem("server_port", "is required");
        return None;
    }
    let port = block.integer("server_port", 1..=65535)?;
    Some(ServerAddress {
        host: host?.to_owned(),
        port: u16::try_from(port).ok()?,
    })
}

/// The Workload API's socket and the admin socket. Whoever may reach the first must not find the
/// second beside or below it.
pub(super) fn sockets(block: &Section<'_>) -> (PathBuf, Option<PathBuf>) {
    let public = block
        .socket_path("socket_path")
        .unwrap_or(DEFAULT_SOCKET_PATH.into());
    let admin = block.socket_path("admin_socket_path");
    if admin
        .as_deref()
        .is_some_and(|admin| is_below(admin, &public))
    {
        let message = "must not be in the directory of socket_path or below it";
        block.problem("admin_socket_path", message);
    }
    (public, admin)
}

/// Where the kubelet keeps its files, if the agent serves it a storage driver. What is mounted into pods
/// is the socket's folder.
pub(super) fn csi(
    block: &Section<'_>,
    socket: &Path,
    environment: Lookup<'_>,
) -> Option<CsiSettings> {
    let kubelet_dir = block.path("csi_kubelet_dir")?;
    if !kubelet_dir.is_absolute() {
        block.problem(
            "csi_kubelet_dir",
            "must be absolute, such as \"/var/lib/kubelet\"",
        );
    }
    let folder = socket.parent().filter(|folder| folder.is_absolute());
    if folder.is_none() {
        let message = "must be absolute beside csi_kubelet_dir: its folder is mounted into pods";
        block.problem("socket_path", message);
    }
    let node = environment(NODE_NAME).filter(|name| !name.is_empty());
    if node.is_none() {
        let message = format!("needs the node's name in the environment variable {NODE_NAME}");
        block.problem("csi_kubelet_dir", message);
    }
    Some(CsiSettings {
        kubelet_dir,
        folder: folder?.to_owned(),
        node: node?,
    })
}

fn is_below(admin: &Path, public: &Path) -> bool {
    let (Ok(admin), Ok(public)) = (absolute(admin), absolute(public)) else {
        return false;
    };
    public
        .parent()
        .is_some_and(|directory| admin.starts_with(directory))
}

pub(super) fn join_token(block: &Section<'_>) -> Option<JoinTokenSource> {
    let text = block
        .string("join_token")
        .map(|token| SecretString::new(token.to_owned()));
    let file = block.path("join_token_file");
    if text.is_some() && file.is_some() {
        block.problem(
            "join_token_file",
            "stands beside join_token; give one of them",
        );
    }
    text.map(JoinTokenSource::Text)
        .or(file.map(JoinTokenSource::File))
}

pub(super) fn foreign_claims(block: &Section<'_>) -> BTreeSet<String> {
    block
        .strings("allowed_foreign_jwt_claims")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

pub(super) fn availability_target(block: &Section<'_>) -> Option<Duration> {
    let target = block.ttl("availability_target")?;
    if target < MIN_AVAILABILITY_TARGET {
        block.problem("availability_target", "must be at least 24h");
    }
    Some(target)
}

pub(super) fn workload_key_type(block: &Section<'_>) -> KeyType {
    let chosen = block.choice("workload_x509_svid_key_type", &WORKLOAD_KEY_TYPES);
    chosen.unwrap_or(KeyType::EcP256)
}

/// Zero stands for the default, as in SPIRE.
pub(super) fn cache_size(block: &Section<'_>, key: &str) -> usize {
    let size = block
        .integer(key, 0..=i64::from(u32::MAX))
        .filter(|size| *size > 0);
    size.and_then(|size| usize::try_from(size).ok())
        .unwrap_or(DEFAULT_CACHE_SIZE)
}
