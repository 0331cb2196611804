//! The `plugins` block: the names of every kind, and the settings of those that are here.

mod azure_imds;
mod azure_msi;
mod cluster;
mod composer;
mod datastore;
mod endpoints;
mod gcp_iit;
mod k8s_psat;
mod keys;
mod node_attestor;
mod publishers;
mod transit;
mod upstream;
mod vault;

use std::path::Path;

use signet_config::sections::{Plugin, PluginKind, plugins};
use signet_config::{Lookup, Section};

pub use azure_imds::{AzureEndpoints, AzureImdsSettings, AzureTenant};
pub use azure_msi::{AzureMsiSettings, AzureMsiTenant};
pub use composer::ComposerSettings;
pub use datastore::StoreSettings;
pub use gcp_iit::{GcpCredentials, GcpIitSettings, GcpMetadata};
#[cfg(test)]
pub(super) use k8s_psat::{CLUSTER_KEYS as K8S_CLUSTER_KEYS, OFFLINE_KEYS as K8S_OFFLINE_KEYS};
pub use k8s_psat::{IssuerKeysPlace, K8sClusterSettings, K8sPsatSettings, K8sVerification};
pub use keys::{KeySettings, Pkcs11Settings};
pub use node_attestor::{
    AwsIidSettings, NodeAttestorSettings, OidcIssuerSettings, X509PopRoots, X509PopSettings,
};
#[cfg(test)]
pub(super) use publishers::CONFIGMAP_CLUSTER as CONFIGMAP_KEYS;
pub use publishers::{BundleForm, ClusterBundleSettings};
pub use transit::{KeyIdentifier, TransitSettings};
pub use upstream::UpstreamSettings;

const KINDS: [PluginKind; 7] = [
    PluginKind {
        kind: "DataStore",
        names: &datastore::NAMES,
        many: false,
    },
    PluginKind {
        kind: "KeyManager",
        names: &keys::NAMES,
        many: false,
    },
    PluginKind {
        kind: "NodeAttestor",
        names: &node_attestor::NAMES,
        many: true,
    },
    PluginKind {
        kind: "UpstreamAuthority",
        names: &upstream::NAMES,
        many: false,
    },
    PluginKind {
        kind: "Notifier",
        names: &publishers::NOTIFIERS,
        many: true,
    },
    PluginKind {
        kind: "BundlePublisher",
        names: &publishers::BUNDLE_PUBLISHERS,
        many: true,
    },
    PluginKind {
        kind: "CredentialComposer",
        names: &composer::NAMES,
        many: true,
    },
];

/// What the plugins come to. `None` where a problem was found.
pub(super) struct Plugins {
    pub(super) store: Option<StoreSettings>,
    pub(super) keys: Option<KeySettings>,
    pub(super) node_attestors: Vec<NodeAttestorSettings>,
    pub(super) upstream: Option<UpstreamSettings>,
    pub(super) publishers: Vec<ClusterBundleSettings>,
    pub(super) composers: Vec<ComposerSettings>,
}

/// Reads the block. `data_dir` is where plugins keep files that have no path of their own;
/// `environment` is for those that SPIRE has look there.
pub(super) fn read(
    root: &Section<'_>,
    data_dir: Option<&Path>,
    environment: Lookup<'_>,
) -> Plugins {
    let found = plugins(root, &KINDS);
    let data_dir = data_dir.unwrap_or(Path::new("."));
    Plugins {
        store: datastore::read(of_kind(&found, "DataStore").next(), data_dir),
        keys: keys::read(of_kind(&found, "KeyManager").next(), data_dir, environment),
        node_attestors: node_attestor::read(
            &of_kind(&found, "NodeAttestor").collect::<Vec<_>>(),
            environment,
        ),
        upstream: of_kind(&found, "UpstreamAuthority")
            .next()
            .and_then(|plugin| upstream::read(plugin, environment)),
        publishers: publishers::read(&found, environment),
        composers: of_kind(&found, "CredentialComposer")
            .map(composer::read)
            .collect(),
    }
}

fn of_kind<'p, 'a>(found: &'p [Plugin<'a>], kind: &str) -> impl Iterator<Item = &'p Plugin<'a>> {
    found.iter().filter(move |plugin| plugin.kind == kind)
}
