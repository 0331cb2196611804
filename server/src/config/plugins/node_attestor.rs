//! `NodeAttestor`, the server's half.

mod aws_iid;
mod combined;
mod oidc;

use std::path::PathBuf;

use signet_config::sections::Plugin;
use signet_config::{Key, Lookup, Section, Unknown};
use signet_node_attestor::AgentPathTemplate;
use signet_node_attestor::x509pop::VARIABLES;

use super::azure_imds::{self, AzureImdsSettings};
use super::azure_msi::{self, AzureMsiSettings};
use super::gcp_iit::{self, GcpIitSettings};
use super::k8s_psat::{self, K8sPsatSettings};

pub use aws_iid::AwsIidSettings;
pub use oidc::OidcIssuerSettings;

const USE_OTHERS: &str =
    "attest with \"x509pop\", \"oidc\", \"k8s_psat\" or the attestor of your cloud";

pub(super) const NAMES: [Key; 12] = [
    Key::implemented("combined"),
    Key::implemented("oidc"),
    Key::implemented("join_token"),
    Key::implemented("x509pop"),
    Key::implemented("k8s_psat"),
    Key::implemented("aws_iid"),
    Key::implemented("gcp_iit"),
    Key::implemented("azure_imds"),
    Key::implemented("azure_msi"),
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
    /// The identity token of a Google Compute Engine instance.
    GcpIit(GcpIitSettings),
    /// A document about an Azure machine that Azure signed.
    AzureImds(AzureImdsSettings),
    /// A token of an Azure machine's managed identity.
    AzureMsi(AzureMsiSettings),
    /// A service account token of the agent's pod.
    K8sPsat(K8sPsatSettings),
    /// A token of one of these issuers.
    Oidc(Vec<OidcIssuerSettings>),
    /// Several of the others together, which are then not accepted alone.
    Combined(Vec<&'static str>),
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

/// Those without a problem.
pub(super) fn read(plugins: &[&Plugin<'_>], environment: Lookup<'_>) -> Vec<NodeAttestorSettings> {
    let names = plugins.iter().map(|plugin| plugin.name);
    let names: Vec<_> = names.filter(|name| *name != "combined").collect();
    let one = |plugin: &&Plugin<'_>| match plugin.name {
        "combined" => combined::read(plugin, &names).map(NodeAttestorSettings::Combined),
        "oidc" => oidc::read(&plugin.data).map(NodeAttestorSettings::Oidc),
        "join_token" => {
            plugin.data.check(&[], Unknown::Warned);
            Some(NodeAttestorSettings::JoinToken)
        }
        "aws_iid" => aws_iid::read(&plugin.data, environment)
            .map(|settings| NodeAttestorSettings::AwsIid(Box::new(settings))),
        "gcp_iit" => gcp_iit::read(&plugin.data, environment).map(NodeAttestorSettings::GcpIit),
        "azure_imds" => {
            azure_imds::read(&plugin.data, environment).map(NodeAttestorSettings::AzureImds)
        }
        "azure_msi" => azure_msi::read(&plugin.data).map(NodeAttestorSettings::AzureMsi),
        "k8s_psat" => k8s_psat::read(&plugin.data, environment).map(NodeAttestorSettings::K8sPsat),
        _ => x509pop(&plugin.data).map(NodeAttestorSettings::X509Pop),
    };
    plugins.iter().filter_map(one).collect()
}

fn x509pop(data: &Section<'_>) -> Option<X509PopSettings> {
    data.check(&[&X509POP_KEYS], Unknown::Warned);
    let size = |key, max, default| match data.integer(key, 0..=max) {
        Some(0) | None => default,
        Some(size) => usize::try_from(size).expect("from 0 to a small constant"),
    };
    let settings = X509PopSettings {
        roots: X509PopRoots::Files(Vec::new()),
        agent_path_template: agent_path_template(data, VARIABLES),
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
pub(super) fn agent_path_template(data: &Section<'_>, variables: &[&str]) -> Option<String> {
    data.parsed("agent_path_template", |text| {
        AgentPathTemplate::parse(text, variables).map(|_| text.to_owned())
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
