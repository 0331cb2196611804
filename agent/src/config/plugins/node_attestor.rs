//! `NodeAttestor`, the agent's half.

mod aws_iid;

use std::path::PathBuf;

use signet_config::sections::Plugin;
use signet_config::{Key, Section, Unknown};

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
pub(super) fn read(plugin: Option<&Plugin<'_>>) -> Option<NodeAttestorSettings> {
    match plugin {
        None => Some(NodeAttestorSettings::JoinToken),
        Some(Plugin {
            name: "join_token",
            data,
            ..
        }) => {
            data.check(&[], Unknown::Warned);
            Some(NodeAttestorSettings::JoinToken)
        }
        Some(Plugin {
            name: "aws_iid",
            data,
            ..
        }) => aws_iid::read(data).map(NodeAttestorSettings::AwsIid),
        Some(Plugin { data, .. }) => x509pop(data).map(NodeAttestorSettings::X509Pop),
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
