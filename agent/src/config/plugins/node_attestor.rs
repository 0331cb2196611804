//! `NodeAttestor`, the agent's half.

use std::path::PathBuf;

use signet_config::sections::Plugin;
use signet_config::{Key, Section, Unknown};

use super::clouds::{self, AzureImdsSettings, AzureMsiSettings, GcpIitSettings};

use super::k8s_psat::{self, K8sPsatSettings};

const USE_OTHERS: &str = "attest with \"join_token\", \"x509pop\" or \"k8s_psat\"";

pub(super) const NAMES: [Key; 10] = [
    Key::implemented("join_token"),
    Key::implemented("x509pop"),
    Key::implemented("k8s_psat"),
    Key::refused("aws_iid", USE_OTHERS),
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
pub(super) fn read(plugin: Option<&Plugin<'_>>) -> Option<NodeAttestorSettings> {
    let Some(Plugin { name, data, .. }) = plugin else {
        return Some(NodeAttestorSettings::JoinToken);
    };
    match *name {
        "join_token" => {
            data.check(&[], Unknown::Warned);
            Some(NodeAttestorSettings::JoinToken)
        }
        "gcp_iit" => clouds::gcp_iit(data).map(NodeAttestorSettings::GcpIit),
        "azure_imds" => clouds::azure_imds(data).map(NodeAttestorSettings::AzureImds),
        "azure_msi" => clouds::azure_msi(data).map(NodeAttestorSettings::AzureMsi),
        "k8s_psat" => k8s_psat::read(data).map(NodeAttestorSettings::K8sPsat),
        _ => x509pop(data).map(NodeAttestorSettings::X509Pop),
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
