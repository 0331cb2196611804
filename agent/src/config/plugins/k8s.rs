//! The workload attestor `k8s`.

use std::time::Duration;

use signet_cluster::InCluster;
use signet_config::{Key, Lookup, Section, Unknown};
use signet_workload_attestor::k8s::{
    KubeletConfig, KubeletCredentials, KubeletPort, KubeletVerification,
};

pub(in crate::config) const KEYS: [Key; 20] = [
    Key::implemented("kubelet_read_only_port"),
    Key::implemented("kubelet_secure_port"),
    Key::implemented("kubelet_ca_path"),
    Key::implemented("skip_kubelet_verification"),
    Key::implemented("token_path"),
    Key::implemented("certificate_path"),
    Key::implemented("private_key_path"),
    Key::implemented("use_anonymous_authentication"),
    Key::implemented("node_name_env"),
    Key::implemented("node_name"),
    Key::implemented("max_poll_attempts"),
    Key::implemented("poll_retry_interval"),
    Key::implemented("reload_interval"),
    Key::implemented("disable_container_selectors"),
    Key::implemented("enable_namespace_labels"),
    Key::refused(
        "disable_kubelet_client",
        "the kubelet says what a pod is; give access to it",
    ),
    Key::ignored(
        "use_new_container_locator",
        "one way finds pods and containers for all kubelets and runtimes",
    ),
    Key::ignored(
        "verbose_container_locator_logs",
        "\"signet-agent why\" tells what was found",
    ),
    Key::refused(
        "sigstore",
        "signatures of images are not verified; check them when pods are admitted",
    ),
    Key::refused("experimental", "brokers are not served; remove the block"),
];

/// Keys that mean something only where the kubelet is asked over HTTPS.
const SECURE_KEYS: [&str; 6] = [
    "kubelet_secure_port",
    "skip_kubelet_verification",
    "certificate_path",
    "private_key_path",
    "use_anonymous_authentication",
    "token_path",
];

const DEFAULT_PORT: u16 = 10250;
const DEFAULT_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
const DEFAULT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const DEFAULT_NODE_NAME_ENV: &str = "MY_NODE_NAME";
const DEFAULT_ATTEMPTS: u32 = 60;
const DEFAULT_INTERVAL: Duration = Duration::from_millis(500);
const DEFAULT_RELOAD: Duration = Duration::from_secs(60);

/// The `k8s` attestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K8sSettings {
    /// How the kubelet is reached.
    pub kubelet: KubeletConfig,
    /// `max_poll_attempts`.
    pub max_poll_attempts: u32,
    /// `poll_retry_interval`: the kubelet is asked no more often.
    pub poll_retry_interval: Duration,
    /// `disable_container_selectors`.
    pub disable_container_selectors: bool,
    /// `enable_namespace_labels`: the cluster that has them.
    pub namespaces: Option<InCluster>,
}

/// `None` where a problem was found.
pub(super) fn read(data: &Section<'_>, environment: Lookup<'_>) -> Option<K8sSettings> {
    data.check(&[&KEYS], Unknown::Warned);
    let attempts = data.integer("max_poll_attempts", 0..=i64::from(u32::MAX));
    let attempts = attempts.filter(|attempts| *attempts > 0);
    let namespaces = namespaces(data, environment);
    let (port, credentials) = (port(data, environment), credentials(data));
    Some(K8sSettings {
        kubelet: KubeletConfig {
            port: port?,
            credentials: credentials?,
            reload_interval: data.ttl("reload_interval").unwrap_or(DEFAULT_RELOAD),
        },
        max_poll_attempts: attempts.map_or(DEFAULT_ATTEMPTS, |attempts| {
            u32::try_from(attempts).expect("checked against u32::MAX")
        }),
        poll_retry_interval: data.ttl("poll_retry_interval").unwrap_or(DEFAULT_INTERVAL),
        disable_container_selectors: data.bool("disable_container_selectors").unwrap_or(false),
        namespaces: namespaces?,
    })
}

fn port(data: &Section<'_>, environment: Lookup<'_>) -> Option<KubeletPort> {
    let read_only = data.port("kubelet_read_only_port").filter(|port| *port > 0);
    if let Some(port) = read_only {
        let secure = SECURE_KEYS.into_iter().find(|key| data.is_set(key));
        if let Some(key) = secure {
            data.problem(
                key,
                "stands beside kubelet_read_only_port, which takes HTTP",
            );
            return None;
        }
        return Some(KubeletPort::ReadOnly(port));
    }
    let skipped = data.bool("skip_kubelet_verification").unwrap_or(false);
    if skipped {
        data.warn(
            "skip_kubelet_verification",
            "lets whoever listens on the kubelet's port say what the pods are, and take the token",
        );
    }
    let port = data.port("kubelet_secure_port").filter(|port| *port > 0);
    Some(KubeletPort::Secure {
        port: port.unwrap_or(DEFAULT_PORT),
        node_name: node_name(data, environment),
        verification: match skipped {
            true => KubeletVerification::Skipped,
            false => KubeletVerification::Ca(
                data.path("kubelet_ca_path")
                    .unwrap_or_else(|| DEFAULT_CA.into()),
            ),
        },
    })
}

fn node_name(data: &Section<'_>, environment: Lookup<'_>) -> Option<String> {
    let given = data.string("node_name").map(str::to_owned);
    let variable = data
        .string("node_name_env")
        .unwrap_or(DEFAULT_NODE_NAME_ENV);
    given.or_else(|| environment(variable).filter(|name| !name.is_empty()))
}

fn credentials(data: &Section<'_>) -> Option<KubeletCredentials> {
    let pair = (data.path("certificate_path"), data.path("private_key_path"));
    let anonymous = data.bool("use_anonymous_authentication").unwrap_or(false);
    match pair {
        (Some(_), _) | (_, Some(_)) if anonymous => {
            data.problem(
                "use_anonymous_authentication",
                "stands beside a client certificate; give one of them",
            );
            None
        }
        (Some(certificate), Some(key)) => {
            Some(KubeletCredentials::Certificate { certificate, key })
        }
        (Some(_), None) => {
            data.problem("private_key_path", "is required with certificate_path");
            None
        }
        (None, Some(_)) => {
            data.problem("certificate_path", "is required with private_key_path");
            None
        }
        (None, None) if anonymous => Some(KubeletCredentials::Anonymous),
        (None, None) => Some(KubeletCredentials::Token(
            data.path("token_path")
                .unwrap_or_else(|| DEFAULT_TOKEN.into()),
        )),
    }
}

/// The outer `None` where a problem was found.
fn namespaces(data: &Section<'_>, environment: Lookup<'_>) -> Option<Option<InCluster>> {
    if !data.bool("enable_namespace_labels").unwrap_or(false) {
        return Some(None);
    }
    let cluster = InCluster::from_variables(&environment);
    if cluster.is_none() {
        data.problem(
            "enable_namespace_labels",
            "needs the API server: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not in \
             the environment, as they are in a pod",
        );
    }
    cluster.map(Some)
}
