//! The `kubernetes` block of `server`: the cluster whose objects declare entries. Its keys are those of
//! spire-controller-manager's configuration, in the spelling of this file, and one of our own.

use signet_cluster::{InCluster, Name, Reach};
use signet_config::{Key, Lookup, Section, Unknown};
use signet_kubernetes::{DEFAULT_IGNORED, DEFAULT_PARENT_ID_TEMPLATE, IgnoredNamespaces, Template};

pub(super) const KEYS: [Key; 19] = [
    Key::implemented("cluster_name"),
    Key::implemented("cluster_domain"),
    Key::implemented("kube_config_file"),
    Key::implemented("ignore_namespaces"),
    Key::implemented("class_name"),
    Key::implemented("watch_classless"),
    Key::implemented("parent_id_template"),
    Key::implemented("default_spiffe_id_template"),
    Key::implemented("leader_election"),
    Key::refused(
        "entry_id_prefix",
        "the ids of declared entries begin with \"k8s.\" and the cluster's name, and no others are \
         touched; remove it",
    ),
    Key::refused(
        "entry_id_prefix_cleanup",
        "delete entries of another controller by \"entry delete\", and remove it",
    ),
    Key::refused(
        "static_manifest_path",
        "apply the manifests to the cluster, or create the entries by \"entry create --data\"",
    ),
    Key::refused(
        "cache_namespaces",
        "choose namespaces by ignore_namespaces or by the namespaceSelector of each resource",
    ),
    Key::refused("reconcile", "all three kinds are followed; remove it"),
    Key::ignored("gc_interval", "nothing is polled"),
    Key::ignored(
        "spire_server_socket_path",
        "entries are written in this very server",
    ),
    Key::ignored(
        "validating_webhook_configuration_name",
        "what is wrong with a resource stands in its status",
    ),
    Key::ignored(
        "enable_entry_render_cache",
        "only what changed is worked out",
    ),
    Key::ignored("entry_render_cache_size", "only what changed is worked out"),
];

pub(super) const LEADER_KEYS: [Key; 2] = [Key::implemented("namespace"), Key::implemented("name")];

const DEFAULT_DOMAIN: &str = "cluster.local";
const DEFAULT_LEASE: &str = "signet-server";

/// The longest name of a cluster: it becomes part of ids and of SPIFFE IDs.
const MAX_NAME: usize = 128;

/// The cluster whose objects declare entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// `cluster_name`.
    pub cluster_name: String,
    /// `cluster_domain`.
    pub cluster_domain: String,
    /// `kube_config_file`, or the cluster that the server runs in.
    pub reach: Reach,
    /// `ignore_namespaces`: expressions that can be read.
    pub ignored: Vec<String>,
    /// `class_name`.
    pub class_name: String,
    /// `watch_classless`.
    pub watch_classless: bool,
    /// `parent_id_template`: one that can be read.
    pub parent_id_template: String,
    /// `default_spiffe_id_template`: one that can be read.
    pub default_spiffe_id_template: Option<String>,
    /// `leader_election`: namespace and name of the lease.
    pub lease: Option<(Name, Name)>,
}

pub(super) fn read(server: &Section<'_>, environment: Lookup<'_>) -> Option<KubernetesSettings> {
    let block = server.block("kubernetes");
    block.check(&[&KEYS], Unknown::Refused);
    if !block.is_present() {
        return None;
    }
    let text = |key: &str, default: &str| block.string(key).unwrap_or(default).to_owned();
    let reach = reach(&block, environment);
    let ignored = ignored(&block);
    let lease = lease(&block);
    let template =
        |key: &str| block.parsed(key, |text| Template::parse(text).map(|_| text.to_owned()));
    let parent = template("parent_id_template");
    Some(KubernetesSettings {
        cluster_domain: text("cluster_domain", DEFAULT_DOMAIN),
        class_name: text("class_name", ""),
        watch_classless: block.bool("watch_classless").unwrap_or(false),
        parent_id_template: parent.unwrap_or_else(|| DEFAULT_PARENT_ID_TEMPLATE.to_owned()),
        default_spiffe_id_template: template("default_spiffe_id_template")
            .filter(|text| !text.is_empty()),
        cluster_name: cluster_name(&block)?,
        reach: reach?,
        ignored,
        lease,
    })
}

fn cluster_name(block: &Section<'_>) -> Option<String> {
    let name = block.required_string("cluster_name")?;
    if !signet_node_attestor::is_segment(name) || name.len() > MAX_NAME {
        block.problem(
            "cluster_name",
            format!(
                "becomes part of SPIFFE IDs: only letters, digits, \".\", \"-\" and \"_\", {MAX_NAME} at most"
            ),
        );
        return None;
    }
    Some(name.to_owned())
}

fn reach(block: &Section<'_>, environment: Lookup<'_>) -> Option<Reach> {
    if let Some(path) = block.path("kube_config_file") {
        return Some(Reach::Kubeconfig(path));
    }
    let cluster = InCluster::from_variables(&environment);
    if cluster.is_none() {
        block.problem(
            "kube_config_file",
            "is required outside of the cluster: KUBERNETES_SERVICE_HOST and \
             KUBERNETES_SERVICE_PORT are not in the environment, as they are in a pod",
        );
    }
    cluster.map(Reach::InCluster)
}

fn ignored(block: &Section<'_>) -> Vec<String> {
    if !block.has("ignore_namespaces") {
        return DEFAULT_IGNORED.map(str::to_owned).to_vec();
    }
    block.parsed_list("ignore_namespaces", |text| {
        IgnoredNamespaces::parse([text]).map(|_| text.to_owned())
    })
}

fn lease(block: &Section<'_>) -> Option<(Name, Name)> {
    let election = block.block("leader_election");
    election.check(&[&LEADER_KEYS], Unknown::Refused);
    if !election.is_present() {
        return None;
    }
    election.required_string("namespace");
    let namespace = election.parsed("namespace", Name::parse);
    let name = election.parsed("name", Name::parse);
    let default = || Name::parse(DEFAULT_LEASE).expect("a good name");
    let name = match election.is_set("name") {
        true => name?,
        false => default(),
    };
    Some((namespace?, name))
}
