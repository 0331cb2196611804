//! The attestors `k8s_psat` and `k8s`: their keys, and what the environment fills in.

use signet_cluster::InCluster;
use signet_workload_attestor::k8s::{KubeletCredentials, KubeletPort, KubeletVerification};

use super::*;

fn workload(data: &str) -> String {
    with_plugins(&format!(
        "WorkloadAttestor \"k8s\" {{ plugin_data {{\n{data}\n}} }}"
    ))
}

fn read_in(environment: Lookup<'_>, text: &str) -> (AgentConfig, Vec<String>) {
    let document = Document::parse("agent.conf", text, None).expect("HCL");
    let (config, warnings) = read(document, &AgentFlags::default(), environment).expect("accepted");
    (config, warnings.iter().map(ToString::to_string).collect())
}

fn k8s_in(environment: Lookup<'_>, data: &str) -> K8sSettings {
    let (config, _) = read_in(environment, &workload(data));
    match config.workload_attestors.into_iter().next() {
        Some(WorkloadAttestorSettings::K8s(settings)) => *settings,
        other => panic!("{other:?}"),
    }
}

fn k8s(data: &str) -> K8sSettings {
    k8s_in(&|_| None, data)
}

#[test]
fn defaults_are_spires() {
    let settings = k8s("");
    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    let port = KubeletPort::Secure {
        port: 10250,
        node_name: None,
        verification: KubeletVerification::Ca(format!("{account}/ca.crt").into()),
    };
    assert_eq!(settings.kubelet.port, port);
    let token = KubeletCredentials::Token(format!("{account}/token").into());
    assert_eq!(settings.kubelet.credentials, token);
    assert_eq!(settings.kubelet.reload_interval, Duration::from_secs(60));
    assert_eq!(settings.max_poll_attempts, 60);
    assert_eq!(settings.poll_retry_interval, Duration::from_millis(500));
    assert_eq!(settings.namespaces, None);
}

#[test]
fn the_nodes_name_comes_from_its_key_or_the_environment() {
    let environment = |name: &str| match name {
        "MY_NODE_NAME" => Some("from-default".to_owned()),
        "OTHER" => Some("from-other".to_owned()),
        _ => None,
    };
    let name = |data: &str| match k8s_in(&environment, data).kubelet.port {
        KubeletPort::Secure { node_name, .. } => node_name,
        KubeletPort::ReadOnly(_) => panic!("read-only"),
    };
    assert_eq!(name("").as_deref(), Some("from-default"));
    assert_eq!(
        name("node_name_env = \"OTHER\"").as_deref(),
        Some("from-other")
    );
    assert_eq!(name("node_name = \"n\"").as_deref(), Some("n"));
    assert_eq!(name("node_name_env = \"NONE\""), None);
}

#[test]
fn each_way_to_the_kubelet_is_read() {
    assert_eq!(
        k8s("kubelet_read_only_port = 10255").kubelet.port,
        KubeletPort::ReadOnly(10255)
    );
    let credentials = |data| k8s(data).kubelet.credentials;
    assert_eq!(
        credentials("use_anonymous_authentication = true"),
        KubeletCredentials::Anonymous
    );
    let expected = KubeletCredentials::Certificate {
        certificate: "/c".into(),
        key: "/k".into(),
    };
    assert_eq!(
        credentials("certificate_path = \"/c\"\nprivate_key_path = \"/k\""),
        expected
    );
}

#[test]
fn namespace_labels_take_the_cluster_of_the_pod() {
    let environment = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some("10.96.0.1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
        _ => None,
    };
    let settings = k8s_in(&environment, "enable_namespace_labels = true");
    let expected = InCluster {
        host: "10.96.0.1".to_owned(),
        port: 443,
        folder: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
    };
    assert_eq!(settings.namespaces, Some(expected));
}

#[test]
fn what_cannot_be_together_or_is_not_here_is_refused() {
    for data in [
        "kubelet_read_only_port = 1\nkubelet_secure_port = 2",
        "kubelet_read_only_port = 1\ntoken_path = \"/t\"",
        "certificate_path = \"/c\"",
        "private_key_path = \"/k\"",
        "certificate_path = \"/c\"\nprivate_key_path = \"/k\"\nuse_anonymous_authentication = true",
        "enable_namespace_labels = true",
        "disable_kubelet_client = true",
        "sigstore { ignore_tlog = true }",
        "experimental { broker { access_policy = \"permissive\" } }",
        "max_poll_attempts = -1",
        "poll_retry_interval = \"soon\"",
    ] {
        assert_eq!(problems(&workload(data)).len(), 1, "{data}");
    }
}

#[test]
fn what_is_risky_or_does_nothing_is_warned_of() {
    for data in [
        "skip_kubelet_verification = true",
        "use_new_container_locator = true",
        "verbose_container_locator_logs = true",
    ] {
        let (_, warnings) = read_in(&|_| None, &workload(data));
        assert_eq!(warnings.len(), 1, "{data}: {warnings:?}");
    }
}

#[test]
fn a_node_attests_by_its_clusters_name_and_a_token() {
    let node = |data: &str| {
        with_plugins(&format!(
            "NodeAttestor \"k8s_psat\" {{ plugin_data {{ {data} }} }}"
        ))
    };
    let settings = |token: &str| {
        NodeAttestorSettings::K8sPsat(K8sPsatSettings {
            cluster: "demo".to_owned(),
            token_path: token.into(),
        })
    };
    let config = quiet(&node("cluster = \"demo\""));
    assert_eq!(
        config.node_attestor,
        settings("/var/run/secrets/tokens/spire-agent")
    );
    let config = quiet(&node("cluster = \"demo\", token_path = \"/t\""));
    assert_eq!(config.node_attestor, settings("/t"));
    assert_eq!(problems(&node("")).len(), 1);
}
