//! `Notifier` and `BundlePublisher`: where the bundle is kept for others. In SPIRE these differ by when
//! they act; here both are kept current in the same way.

use std::time::Duration;

use signet_cluster::{Name, Reach};
use signet_config::sections::Plugin;
use signet_config::{Key, Lookup, Section, Unknown};

use super::cluster::reach;

const NOT_YET: &str = "publish the output of \"signet-server bundle show\" yourself and remove the \
                       block, or use \"k8s_configmap\"";

pub(super) const NOTIFIERS: [Key; 2] = [
    Key::refused("gcs_bundle", NOT_YET),
    Key::implemented("k8sbundle"),
];

pub(super) const BUNDLE_PUBLISHERS: [Key; 5] = [
    Key::refused("aws_s3", NOT_YET),
    Key::refused("gcp_cloudstorage", NOT_YET),
    Key::refused("azure_blob", NOT_YET),
    Key::refused("aws_rolesanywhere_trustanchor", NOT_YET),
    Key::implemented("k8s_configmap"),
];

const NO_WEBHOOKS: &str = "have the webhooks take their authorities from the ConfigMap";

const K8SBUNDLE: [Key; 7] = [
    Key::implemented("namespace"),
    Key::implemented("config_map"),
    Key::implemented("config_map_key"),
    Key::implemented("kube_config_file_path"),
    Key::implemented("clusters"),
    Key::refused("api_service_label", NO_WEBHOOKS),
    Key::refused("webhook_label", NO_WEBHOOKS),
];

const CONFIGMAP: [Key; 1] = [Key::implemented("clusters")];

/// `cluster_trust_bundle_name` is ours.
pub(in crate::config) const CONFIGMAP_CLUSTER: [Key; 7] = [
    Key::implemented("namespace"),
    Key::implemented("configmap_name"),
    Key::implemented("configmap_key"),
    Key::implemented("format"),
    Key::implemented("kubeconfig_path"),
    Key::implemented("refresh_hint"),
    Key::implemented("cluster_trust_bundle_name"),
];

const DEFAULT_NAMESPACE: &str = "spire";
const DEFAULT_CONFIG_MAP: &str = "spire-bundle";
const DEFAULT_KEY: &str = "bundle.crt";

/// The longest key of a ConfigMap's data (Kubernetes, "ConfigMap").
const MAX_KEY_BYTES: usize = 253;

/// The bundle in the objects of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterBundleSettings {
    /// Its name, for the log; empty where there is only one.
    pub cluster: String,
    /// How its API server is reached.
    pub reach: Reach,
    /// `namespace`.
    pub namespace: Name,
    /// `config_map`, `configmap_name`.
    pub config_map: Name,
    /// `config_map_key`, `configmap_key`.
    pub key: String,
    /// `format`.
    pub form: BundleForm,
    /// `cluster_trust_bundle_name`.
    pub trust_bundle: Option<Name>,
}

/// How the bundle is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleForm {
    /// The X.509 authorities in PEM.
    Pem,
    /// A JWK set without what SPIFFE adds to it.
    Jwks,
    /// The SPIFFE bundle document.
    Spiffe {
        /// `refresh_hint`.
        refresh_hint: Option<Duration>,
    },
}

/// Those without a problem.
pub(super) fn read(plugins: &[Plugin<'_>], environment: Lookup<'_>) -> Vec<ClusterBundleSettings> {
    let one = |plugin: &Plugin<'_>| match plugin.name {
        "k8sbundle" => k8sbundle(&plugin.data, environment),
        "k8s_configmap" => k8s_configmap(&plugin.data, environment),
        _ => Vec::new(),
    };
    plugins.iter().flat_map(one).collect()
}

/// `clusters` stand beside the one that the block itself describes, which is there if it is named or
/// nothing else is, as in SPIRE.
fn k8sbundle(data: &Section<'_>, environment: Lookup<'_>) -> Vec<ClusterBundleSettings> {
    data.check(&[&K8SBUNDLE], Unknown::Warned);
    let further = data.blocks("clusters");
    let own_keys = [
        "namespace",
        "config_map",
        "config_map_key",
        "kube_config_file_path",
    ];
    let itself = further.is_empty() || own_keys.iter().any(|key| data.has(key));
    let mut found = Vec::new();
    if itself {
        found.extend(k8sbundle_cluster(data, environment));
    }
    for block in further {
        block.check(&[&K8SBUNDLE[..4], &K8SBUNDLE[5..]], Unknown::Warned);
        found.extend(k8sbundle_cluster(&block, environment));
    }
    found
}

fn k8sbundle_cluster(data: &Section<'_>, environment: Lookup<'_>) -> Option<ClusterBundleSettings> {
    let namespace = name(data, "namespace", Some(DEFAULT_NAMESPACE));
    let config_map = name(data, "config_map", Some(DEFAULT_CONFIG_MAP));
    let key = key(data, "config_map_key", Some(DEFAULT_KEY));
    Some(ClusterBundleSettings {
        cluster: String::new(),
        reach: reach(data, "kube_config_file_path", environment)?,
        namespace: namespace?,
        config_map: config_map?,
        key: key?,
        form: BundleForm::Pem,
        trust_bundle: None,
    })
}

fn k8s_configmap(data: &Section<'_>, environment: Lookup<'_>) -> Vec<ClusterBundleSettings> {
    data.check(&[&CONFIGMAP], Unknown::Warned);
    let blocks = data.labelled("clusters");
    if blocks.is_empty() {
        data.problem("clusters", "needs at least one cluster");
    }
    let one = |(cluster, block): (&str, Section<'_>)| configmap(cluster, &block, environment);
    blocks.into_iter().filter_map(one).collect()
}

fn configmap(
    cluster: &str,
    data: &Section<'_>,
    environment: Lookup<'_>,
) -> Option<ClusterBundleSettings> {
    data.check(&[&CONFIGMAP_CLUSTER], Unknown::Warned);
    let namespace = name(data, "namespace", None);
    let config_map = name(data, "configmap_name", None);
    let key = key(data, "configmap_key", None);
    let form = form(data);
    let trust_bundle = match data.is_set("cluster_trust_bundle_name") {
        true => Some(name(data, "cluster_trust_bundle_name", None)?),
        false => None,
    };
    Some(ClusterBundleSettings {
        cluster: cluster.to_owned(),
        reach: reach(data, "kubeconfig_path", environment)?,
        namespace: namespace?,
        config_map: config_map?,
        key: key?,
        form: form?,
        trust_bundle,
    })
}

fn form(data: &Section<'_>) -> Option<BundleForm> {
    let refresh_hint = data.duration("refresh_hint");
    let spiffe = BundleForm::Spiffe { refresh_hint };
    let forms = [
        ("spiffe", spiffe),
        ("jwks", BundleForm::Jwks),
        ("pem", BundleForm::Pem),
    ];
    data.required_string("format")?;
    let form = data.choice("format", &forms)?;
    if data.is_set("refresh_hint") && form != spiffe {
        data.warn(
            "refresh_hint",
            "has no effect: only format \"spiffe\" has it",
        );
    }
    Some(form)
}

fn name(data: &Section<'_>, key: &str, default: Option<&str>) -> Option<Name> {
    let text = match default {
        Some(default) => data.string(key).unwrap_or(default),
        None => data.required_string(key)?,
    };
    let name = Name::parse(text);
    if let Err(error) = &name {
        data.problem(key, error.to_string());
    }
    name.ok()
}

/// A key of a ConfigMap's data, which becomes a file name in a mounted volume.
fn key(data: &Section<'_>, key: &str, default: Option<&str>) -> Option<String> {
    let text = match default {
        Some(default) => data.string(key).unwrap_or(default),
        None => data.required_string(key)?,
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() > MAX_KEY_BYTES || !text.bytes().all(fits) || matches!(text, "." | "..") {
        data.problem(key, "must be letters, digits, \"-\", \"_\" and \".\"");
        return None;
    }
    Some(text.to_owned())
}
