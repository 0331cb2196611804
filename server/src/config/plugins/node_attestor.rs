//! `NodeAttestor`, the server's half.

mod aws_iid;

use std::path::PathBuf;

use signet_config::sections::Plugin;
use signet_config::{Key, Lookup, Section, Unknown};
use signet_node_attestor::AgentPathTemplate;
use signet_node_attestor::x509pop::VARIABLES;

pub use aws_iid::AwsIidSettings;

const USE_OTHERS: &str = "attest with \"join_token\" or \"x509pop\"";

pub(super) const NAMES: [Key; 10] = [
    Key::implemented("join_token"),
    Key::implemented("x509pop"),
    Key::refused("k8s_psat", USE_OTHERS),
    Key::implemented("aws_iid"),
    Key::refused("gcp_iit", USE_OTHERS),
    Key::refused("azure_imds", USE_OTHERS),
    Key::refused("azure_msi", USE_OTHERS),
    Key::refused("sshpop", USE_OTHERS),
    Key::refused("tpm_devid", USE_OTHERS),
    Key::refused("http_challenge", USE_OTHERS),
];

/// SPIRE documents `svid_prefix` but reads `spiffe_prefix`; either is taken.
const X509POP_KEYS: [Key; 9] = [
    Key::implemented("mode"),
    Key::implemented("ca_bundle_path"),
    Key::implemented("ca_bundle_paths"),
    Key::implemented("agent_path_template"),
    Key::implemented("max_intermediates"),
    Key::implemented("max_rsa_key_size"),
    Key::implemented("verify_client_ip"),
    Key::implemented("spiffe_prefix"),
    Key::implemented("svid_prefix"),
];

const DEFAULT_PREFIX: &str = "/spire-exchange/";
const DEFAULT_MAX_INTERMEDIATES: usize = 4;
const DEFAULT_MAX_RSA_KEY_BITS: usize = 8192;

/// More is refused: each certificate of a chain costs a signature check before anybody is trusted.
const MAX_INTERMEDIATES: i64 = 16;

/// More is refused: the cost of a check grows with the square, and no library here takes more.
const MAX_RSA_KEY_BITS: i64 = 8192;

/// One way in which agents prove what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeAttestorSettings {
    /// A one-time token made by the operator.
    JoinToken,
    /// Possession of the key of an X.509 certificate.
    X509Pop(X509PopSettings),
    /// The identity document of an EC2 instance.
    AwsIid(Box<AwsIidSettings>),
}

/// The `x509pop` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509PopSettings {
    /// `mode` and what it needs.
    pub roots: X509PopRoots,
    /// `agent_path_template`; the attestor has a default.
    pub agent_path_template: Option<String>,
    /// `max_intermediates`.
    pub max_intermediates: usize,
    /// `max_rsa_key_size`, in bits.
    pub max_rsa_key_bits: usize,
    /// `verify_client_ip`: the peer's address must be among the certificate's.
    pub verify_client_ip: bool,
}

/// Under which roots a node's certificate must stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum X509PopRoots {
    /// `mode = "external_pki"`: those in PEM files, at least one.
    Files(Vec<PathBuf>),
    /// `mode = "spiffe"`: the server's own bundle; the SPIFFE ID's path must start so.
    OwnBundle {
        /// `spiffe_prefix`, which starts and ends with `/`.
        prefix: String,
    },
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    ExternalPki,
    Spiffe,
}

/// `None` where a problem was found.
pub(super) fn read(plugin: &Plugin<'_>, environment: Lookup<'_>) -> Option<NodeAttestorSettings> {
    let data = &plugin.data;
    match plugin.name {
        "join_token" => {
            data.check(&[], Unknown::Warned);
            Some(NodeAttestorSettings::JoinToken)
        }
        "aws_iid" => aws_iid::read(data, environment)
            .map(|settings| NodeAttestorSettings::AwsIid(Box::new(settings))),
        _ => x509pop(data).map(NodeAttestorSettings::X509Pop),
    }
}

fn x509pop(data: &Section<'_>) -> Option<X509PopSettings> {
    data.check(&[&X509POP_KEYS], Unknown::Warned);
    let size = |key, max, default| match data.integer(key, 0..=max) {
        Some(0) | None => default,
        Some(size) => usize::try_from(size).expect("from 0 to a small constant"),
    };
    let settings = X509PopSettings {
        roots: X509PopRoots::Files(Vec::new()),
        agent_path_template: agent_path_template(data),
        max_intermediates: size(
            "max_intermediates",
            MAX_INTERMEDIATES,
            DEFAULT_MAX_INTERMEDIATES,
        ),
        max_rsa_key_bits: size(
            "max_rsa_key_size",
            MAX_RSA_KEY_BITS,
            DEFAULT_MAX_RSA_KEY_BITS,
        ),
        verify_client_ip: data.bool("verify_client_ip").unwrap_or(false),
    };
    let modes = [
        ("external_pki", Mode::ExternalPki),
        ("spiffe", Mode::Spiffe),
    ];
    let roots = match data.choice("mode", &modes).unwrap_or(Mode::ExternalPki) {
        Mode::ExternalPki => root_files(data)?,
        Mode::Spiffe => own_bundle(data)?,
    };
    Some(X509PopSettings { roots, ..settings })
}

/// The template as text, once it is known to be one.
fn agent_path_template(data: &Section<'_>) -> Option<String> {
    data.parsed("agent_path_template", |text| {
        AgentPathTemplate::parse(text, VARIABLES).map(|_| text.to_owned())
    })
}

fn root_files(data: &Section<'_>) -> Option<X509PopRoots> {
    let one = data.path("ca_bundle_path");
    let many: Vec<_> = data
        .strings("ca_bundle_paths")
        .into_iter()
        .map(PathBuf::from)
        .collect();
    match (one, many.is_empty()) {
        (Some(path), true) => Some(X509PopRoots::Files(vec![path])),
        (None, false) => Some(X509PopRoots::Files(many)),
        (Some(_), false) => {
            data.problem(
                "ca_bundle_paths",
                "stands beside ca_bundle_path; give one of them",
            );
            None
        }
        (None, true) => {
            data.problem(
                "ca_bundle_path",
                "is required, or ca_bundle_paths, unless mode is \"spiffe\"",
            );
            None
        }
    }
}

fn own_bundle(data: &Section<'_>) -> Option<X509PopRoots> {
    for key in ["ca_bundle_path", "ca_bundle_paths"] {
        if data.is_set(key) {
            data.problem(
                key,
                "has no place in mode \"spiffe\", which uses the server's own bundle",
            );
        }
    }
    if data.is_set("spiffe_prefix") && data.is_set("svid_prefix") {
        data.problem(
            "svid_prefix",
            "is another name of spiffe_prefix; give one of them",
        );
    }
    let prefix = data
        .string("spiffe_prefix")
        .or_else(|| data.string("svid_prefix"));
    let mut prefix = prefix.unwrap_or(DEFAULT_PREFIX).to_owned();
    if !prefix.starts_with('/') {
        data.problem("spiffe_prefix", "must start with \"/\"");
        return None;
    }
    if !prefix.ends_with('/') {
        prefix.push('/');
    }
    Some(X509PopRoots::OwnBundle { prefix })
}
