//! `NodeAttestor`, the agent's half.

mod aws_iid;
mod combined;
mod oidc;

use std::path::PathBuf;

use signet_config::sections::Plugin;
use signet_config::{Key, Section, Unknown};
use signet_node_attestor::oidc::TokenSource;

use super::clouds::{self, AzureImdsSettings, AzureMsiSettings, GcpIitSettings};
pub use aws_iid::AwsIidSettings;

use super::k8s_psat::{self, K8sPsatSettings};

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

const X509POP_KEYS: [Key; 4] = [
    Key::implemented("private_key_path"),
    Key::implemented("certificate_path"),
    Key::implemented("intermediates_path"),
    Key::refused(
        "spiffe_endpoint_socket",
        "give private_key_path and certificate_path",
    ),
];

/// How the agent proves what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeAttestorSettings {
    /// By a one-time token.
    JoinToken,
    /// By the key of an X.509 certificate.
    X509Pop(X509PopSettings),
    /// By the identity token of a Google Compute Engine instance.
    GcpIit(GcpIitSettings),
    /// By a document about an Azure machine that Azure signs.
    AzureImds(AzureImdsSettings),
    /// By a token of an Azure machine's managed identity.
    AzureMsi(AzureMsiSettings),
    /// By a service account token of the pod it runs in.
    K8sPsat(K8sPsatSettings),
    /// By a token of an OpenID Connect issuer.
    Oidc(TokenSource),
    /// By several of these together, in this order.
    Combined(Vec<NodeAttestorSettings>),
    /// By the identity document of an EC2 instance.
    AwsIid(AwsIidSettings),
}

/// The `x509pop` attestor. All files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509PopSettings {
    /// `private_key_path`.
    pub private_key_path: PathBuf,
    /// `certificate_path`: the certificate, intermediates may follow it.
    pub certificate_path: PathBuf,
    /// `intermediates_path`.
    pub intermediates_path: Option<PathBuf>,
}

/// Without a plugin: a join token. `None` where a problem was found.
pub(super) fn read(plugins: &[&Plugin<'_>]) -> Option<NodeAttestorSettings> {
    let combined = plugins.iter().find(|plugin| plugin.name == "combined");
    match (combined, plugins) {
        (Some(combined), _) => combined::read(combined, plugins),
        (None, []) => Some(NodeAttestorSettings::JoinToken),
        (None, [one]) => read_one(one),
        (None, [_, second, ..]) => {
            second.block.problem_here(
                "is one NodeAttestor too many; to prove by several at once, list them in \
                 attestors of a NodeAttestor \"combined\"",
            );
            None
        }
    }
}

fn read_one(plugin: &Plugin<'_>) -> Option<NodeAttestorSettings> {
    match plugin.name {
        "join_token" => {
            plugin.data.check(&[], Unknown::Warned);
            Some(NodeAttestorSettings::JoinToken)
        }
        "aws_iid" => aws_iid::read(&plugin.data).map(NodeAttestorSettings::AwsIid),
        "gcp_iit" => clouds::gcp_iit(&plugin.data).map(NodeAttestorSettings::GcpIit),
        "azure_imds" => clouds::azure_imds(&plugin.data).map(NodeAttestorSettings::AzureImds),
        "azure_msi" => clouds::azure_msi(&plugin.data).map(NodeAttestorSettings::AzureMsi),
        "k8s_psat" => k8s_psat::read(&plugin.data).map(NodeAttestorSettings::K8sPsat),
        "oidc" => oidc::read(&plugin.data).map(NodeAttestorSettings::Oidc),
        _ => x509pop(&plugin.data).map(NodeAttestorSettings::X509Pop),
    }
}

fn x509pop(data: &Section<'_>) -> Option<X509PopSettings> {
    data.check(&[&X509POP_KEYS], Unknown::Warned);
    if data.is_set("spiffe_endpoint_socket") {
        return None;
    }
    let private_key_path = data.required_string("private_key_path");
    let certificate_path = data.required_string("certificate_path");
    Some(X509PopSettings {
        private_key_path: private_key_path?.into(),
        certificate_path: certificate_path?.into(),
        intermediates_path: data.path("intermediates_path"),
    })
}
