//! `UpstreamAuthority`.

use std::path::PathBuf;

use signet_config::sections::Plugin;
use signet_config::{Key, Lookup, Section, Unknown};
use signet_vault::{Mount, Settings};

use super::vault;

const NOT_YET: &str = "use \"disk\", \"spire\" or \"vault\"";

pub(super) const NAMES: [Key; 8] = [
    Key::implemented("disk"),
    Key::implemented("spire"),
    Key::refused("aws_pca", NOT_YET),
    Key::refused("awssecret", NOT_YET),
    Key::refused("gcp_cas", NOT_YET),
    Key::implemented("vault"),
    Key::refused("cert-manager", NOT_YET),
    Key::refused("ejbca", NOT_YET),
];

const DISK: [Key; 3] = [
    Key::implemented("cert_file_path"),
    Key::implemented("key_file_path"),
    Key::implemented("bundle_file_path"),
];

const SPIRE: [Key; 4] = [
    Key::implemented("server_address"),
    Key::implemented("server_port"),
    Key::implemented("workload_api_socket"),
    Key::implemented("experimental"),
];

const SPIRE_EXPERIMENTAL: [Key; 2] = [
    Key::refused(
        "workload_api_named_pipe_name",
        "named pipes are for Windows; use workload_api_socket",
    ),
    Key::implemented("require_pq_kem"),
];

const PKI: [Key; 1] = [Key::implemented("pki_mount_point")];

/// Who signs this server's X.509 authorities, if it does not itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamSettings {
    /// A certificate and its key in files.
    Disk {
        /// `cert_file_path`
        cert: PathBuf,
        /// `key_file_path`
        key: PathBuf,
        /// `bundle_file_path`; without it the certificate is a root.
        bundle: Option<PathBuf>,
    },
    /// Another server of the trust domain.
    Spire {
        /// `server_address`
        host: String,
        /// `server_port`
        port: u16,
        /// `workload_api_socket`
        socket: PathBuf,
        /// `experimental.require_pq_kem`
        post_quantum: bool,
    },
    /// A PKI engine of Vault or OpenBao.
    Vault {
        /// How the Vault is reached.
        vault: Box<Settings>,
        /// `pki_mount_point`
        engine: Mount,
    },
}

/// `None` where a problem was found.
pub(super) fn read(plugin: &Plugin<'_>, environment: Lookup<'_>) -> Option<UpstreamSettings> {
    match plugin.name {
        "disk" => read_disk(&plugin.data),
        "vault" => read_vault(&plugin.data, environment),
        _ => read_spire(&plugin.data),
    }
}

fn read_disk(data: &Section<'_>) -> Option<UpstreamSettings> {
    data.check(&[&DISK], Unknown::Warned);
    let cert = data.required_string("cert_file_path");
    let key = data.required_string("key_file_path");
    Some(UpstreamSettings::Disk {
        cert: cert?.into(),
        key: key?.into(),
        bundle: data.path("bundle_file_path"),
    })
}

fn read_spire(data: &Section<'_>) -> Option<UpstreamSettings> {
    data.check(&[&SPIRE], Unknown::Warned);
    let experimental = data.block("experimental");
    experimental.check(&[&SPIRE_EXPERIMENTAL], Unknown::Warned);
    let host = data.required_string("server_address");
    let port = port(data);
    data.required_string("workload_api_socket")?;
    Some(UpstreamSettings::Spire {
        host: host?.to_owned(),
        port: port?,
        socket: data.socket_path("workload_api_socket")?,
        post_quantum: experimental.bool("require_pq_kem").unwrap_or(false),
    })
}

fn read_vault(data: &Section<'_>, environment: Lookup<'_>) -> Option<UpstreamSettings> {
    data.check(&[&vault::KEYS, &PKI], Unknown::Warned);
    let engine = vault::mount(data, "pki_mount_point", "pki");
    Some(UpstreamSettings::Vault {
        vault: Box::new(vault::read(data, environment)?),
        engine: engine?,
    })
}

/// As text or as a number.
fn port(data: &Section<'_>) -> Option<u16> {
    match data.port("server_port") {
        Some(0) => data.problem("server_port", "must be the upstream's port"),
        None if !data.is_set("server_port") => data.problem("server_port", "is required"),
        given => return given,
    }
    None
}
