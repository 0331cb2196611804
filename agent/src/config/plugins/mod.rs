//! The `plugins` block: the names of every kind, and the settings of those that are here.

mod clouds;
mod k8s;
mod k8s_psat;
mod keys;
mod node_attestor;
mod workload_attestor;

use std::path::Path;

use signet_config::sections::{Plugin, PluginKind, plugins};
use signet_config::{Key, Lookup, Section};

pub use clouds::{AzureImdsSettings, AzureMsiSettings, GcpIitSettings};
pub use k8s::K8sSettings;
#[cfg(test)]
pub(super) use k8s::KEYS as K8S_KEYS;
pub use k8s_psat::K8sPsatSettings;
pub use keys::KeySettings;
pub use node_attestor::{AwsIidSettings, NodeAttestorSettings, X509PopSettings};
pub use workload_attestor::{ProgramHash, UnixSettings, WorkloadAttestorSettings};

const NO_SVID_STORE: &str = "SVIDs are not pushed into secret stores; remove the block";

const KINDS: [PluginKind; 4] = [
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
        kind: "WorkloadAttestor",
        names: &workload_attestor::NAMES,
        many: true,
    },
    PluginKind {
        kind: "SVIDStore",
        names: &SVID_STORES,
        many: true,
    },
];

const SVID_STORES: [Key; 2] = [
    Key::refused("aws_secretsmanager", NO_SVID_STORE),
    Key::refused("gcp_secretmanager", NO_SVID_STORE),
];

/// What the plugins come to. `None` where a problem was found.
pub(super) struct Plugins {
    pub(super) keys: Option<KeySettings>,
    pub(super) node_attestor: Option<NodeAttestorSettings>,
    pub(super) workload_attestors: Vec<WorkloadAttestorSettings>,
}

/// Reads the block. `data_dir` is where keys are kept if nothing else is said; `environment` is for
/// what SPIRE looks for there.
pub(super) fn read(root: &Section<'_>, data_dir: &Path, environment: Lookup<'_>) -> Plugins {
    let found = plugins(root, &KINDS);
    let keys = keys::read(of_kind(&found, "KeyManager").next(), data_dir);
    let attestors: Vec<_> = of_kind(&found, "NodeAttestor").collect();
    let node_attestor = node_attestor::read(&attestors);
    if let (Some(KeySettings::Memory), Some(NodeAttestorSettings::JoinToken)) =
        (&keys, &node_attestor)
    {
        root.block("plugins").block("KeyManager").warn_here(
            "with keys in memory the agent needs a new join token after each restart; use \"disk\"",
        );
    }
    let workload_attestors =
        workload_attestor::read(of_kind(&found, "WorkloadAttestor"), environment);
    Plugins {
        keys,
        node_attestor,
        workload_attestors,
    }
}

fn of_kind<'p, 'a>(found: &'p [Plugin<'a>], kind: &str) -> impl Iterator<Item = &'p Plugin<'a>> {
    found.iter().filter(move |plugin| plugin.kind == kind)
}
