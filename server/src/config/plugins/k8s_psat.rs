//! The node attestor `k8s_psat`, the server's half.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use signet_cluster::Reach;
use signet_config::{Key, Lookup, Section, Unknown};
use signet_node_attestor::k8s_psat::ServiceAccount;

use super::cluster::reach;

const KEYS: [Key; 1] = [Key::implemented("clusters")];

/// `offline` is ours.
pub(in crate::config) const CLUSTER_KEYS: [Key; 7] = [
    Key::implemented("service_account_allow_list"),
    Key::implemented("audience"),
    Key::implemented("kube_config_file"),
    Key::implemented("allowed_node_label_keys"),
    Key::implemented("allowed_pod_label_keys"),
    Key::implemented("use_pod_uid_for_agent_id"),
    Key::implemented("offline"),
];

pub(in crate::config) const OFFLINE_KEYS: [Key; 3] = [
    Key::implemented("issuer"),
    Key::implemented("jwks_file"),
    Key::implemented("issuer_ca_path"),
];

const DEFAULT_AUDIENCE: &str = "spire-server";

/// The `k8s_psat` attestor: clusters by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K8sPsatSettings {
    /// `clusters`; at least one.
    pub clusters: BTreeMap<String, K8sClusterSettings>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K8sClusterSettings {
    /// `service_account_allow_list`.
    pub allowed: BTreeSet<ServiceAccount>,
    /// `audience`; that of the API server if empty.
    pub audience: Vec<String>,
    /// `allowed_node_label_keys`.
    pub node_label_keys: Vec<String>,
    /// `allowed_pod_label_keys`.
    pub pod_label_keys: Vec<String>,
    /// `use_pod_uid_for_agent_id`.
    pub use_pod_uid: bool,
    /// Who says what a token is worth.
    pub verification: K8sVerification,
}

/// Who says what a token is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum K8sVerification {
    /// The API server.
    Online(Reach),
    /// The token itself, by the keys of its issuer.
    Offline {
        /// `issuer`.
        issuer: String,
        /// Where the keys are.
        keys: IssuerKeysPlace,
    },
}

/// Where the keys of a cluster's tokens are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerKeysPlace {
    /// `jwks_file`.
    File(PathBuf),
    /// Where the issuer publishes them.
    Published {
        /// `issuer_ca_path`: who vouches for its web server in place of the machine's authorities.
        authorities: Option<PathBuf>,
    },
}

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>, environment: Lookup<'_>) -> Option<K8sPsatSettings> {
    data.check(&[&KEYS], Unknown::Warned);
    let blocks = data.labelled("clusters");
    if blocks.is_empty() {
        data.problem("clusters", "needs at least one cluster");
        return None;
    }
    let number = blocks.len();
    let clusters: BTreeMap<_, _> = blocks
        .into_iter()
        .filter_map(|(name, block)| cluster(name, &block, environment))
        .collect();
    (clusters.len() == number).then_some(K8sPsatSettings { clusters })
}

fn cluster(
    name: &str,
    data: &Section<'_>,
    environment: Lookup<'_>,
) -> Option<(String, K8sClusterSettings)> {
    data.check(&[&CLUSTER_KEYS], Unknown::Warned);
    if !signet_node_attestor::is_segment(name) {
        data.problem_here(
            "the name becomes part of SPIFFE IDs: only letters, digits, \".\", \"-\" and \"_\"",
        );
        return None;
    }
    let texts = |key| data.strings(key).into_iter().map(str::to_owned).collect();
    let allowed = data.parsed_list("service_account_allow_list", str::parse);
    if allowed.is_empty() {
        data.problem(
            "service_account_allow_list",
            "needs the service accounts of agents, as [\"namespace:name\"]",
        );
    }
    let mut audience: Vec<String> = texts("audience");
    if !data.has("audience") {
        audience.push(DEFAULT_AUDIENCE.to_owned());
    }
    let settings = K8sClusterSettings {
        node_label_keys: texts("allowed_node_label_keys"),
        pod_label_keys: texts("allowed_pod_label_keys"),
        use_pod_uid: data.bool("use_pod_uid_for_agent_id").unwrap_or(false),
        verification: match data.has("offline") {
            true => offline(data, &audience)?,
            false => K8sVerification::Online(reach(data, "kube_config_file", environment)?),
        },
        allowed: allowed.into_iter().collect(),
        audience,
    };
    (!settings.allowed.is_empty()).then(|| (name.to_owned(), settings))
}

fn offline(data: &Section<'_>, audience: &[String]) -> Option<K8sVerification> {
    let mut fits = true;
    let mut refuse = |key: &str, message: &str| {
        data.problem(key, message);
        fits = false;
    };
    for key in ["kube_config_file"] {
        if data.is_set(key) {
            refuse(key, "has no place beside offline, which asks no API server");
        }
    }
    for key in ["allowed_node_label_keys", "allowed_pod_label_keys"] {
        if !data.strings(key).is_empty() {
            refuse(key, "has no place beside offline: tokens carry no labels");
        }
    }
    if audience.is_empty() {
        refuse("audience", "must not be empty beside offline");
    }
    let block = data.block("offline");
    block.check(&[&OFFLINE_KEYS], Unknown::Refused);
    let issuer = block.required_string("issuer")?.to_owned();
    let authorities = block.path("issuer_ca_path");
    let keys = match block.path("jwks_file") {
        Some(path) => IssuerKeysPlace::File(path),
        None => IssuerKeysPlace::Published { authorities },
    };
    if matches!(keys, IssuerKeysPlace::Published { .. })
        && let Err(error) = signet_oidc::IssuerUrl::parse(&issuer)
    {
        block.problem("issuer", format!("{error}; or give its keys in jwks_file"));
        return None;
    }
    fits.then_some(K8sVerification::Offline { issuer, keys })
}
