//! The node attestor `k8s_psat`: its clusters, and what the environment fills in.

use signet_cluster::{InCluster, Reach};

use super::*;

const LIST: &str = "service_account_allow_list = [\"spire:agent\"]";

fn plugin(cluster: &str) -> String {
    with_plugins(&format!(
        "NodeAttestor \"k8s_psat\" {{\nplugin_data {{\nclusters = {{\n\"demo\" = {{\n{cluster}\n}}\n}}\n}}\n}}"
    ))
}

fn cluster(data: &str) -> K8sClusterSettings {
    let outcome = outcome_in(&in_a_pod, &plugin(data), &ServerFlags::default());
    let (config, warnings) = outcome.unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(warnings, [""; 0]);
    let mut settings = config
        .node_attestors
        .into_iter()
        .find_map(|settings| match settings {
            NodeAttestorSettings::K8sPsat(settings) => Some(settings),
            _ => None,
        });
    let settings = settings.take().expect("k8s_psat");
    settings.clusters.get("demo").cloned().expect("the cluster")
}

fn faults(data: &str) -> usize {
    let found = outcome(&plugin(data), &ServerFlags::default());
    found.expect_err("refused").len()
}

#[test]
fn the_list_of_accounts_is_all_that_a_cluster_needs_from_inside() {
    let settings = cluster(LIST);
    assert_eq!(settings.audience, ["spire-server"]);
    let reach = Reach::InCluster(InCluster {
        host: "fd00::1".to_owned(),
        port: 443,
        folder: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
    });
    assert_eq!(settings.verification, K8sVerification::Online(reach));
    assert!(!settings.use_pod_uid);
}

#[test]
fn every_key_of_a_cluster_is_read() {
    let settings = cluster(&format!(
        "{LIST}\naudience = []\nkube_config_file = \"/k\"\nallowed_node_label_keys = [\"a\"]\n\
         allowed_pod_label_keys = [\"b\", \"c\"]\nuse_pod_uid_for_agent_id = true"
    ));
    assert_eq!(settings.audience, [""; 0]);
    let reach = Reach::Kubeconfig("/k".into());
    assert_eq!(settings.verification, K8sVerification::Online(reach));
    assert_eq!(settings.node_label_keys, ["a"]);
    assert_eq!(settings.pod_label_keys, ["b", "c"]);
    assert!(settings.use_pod_uid);
}

#[test]
fn offline_the_keys_are_in_a_file_or_published() {
    let keys = |block: &str| match cluster(&format!("{LIST}\noffline = {{ {block} }}")).verification
    {
        K8sVerification::Offline { keys, .. } => keys,
        K8sVerification::Online(_) => panic!("online"),
    };
    let file = keys("issuer = \"kubernetes/serviceaccount\", jwks_file = \"/jwks\"");
    assert_eq!(file, IssuerKeysPlace::File("/jwks".into()));
    let published = keys("issuer = \"https://oidc.example\", issuer_ca_path = \"/ca\"");
    let authorities = Some("/ca".into());
    assert_eq!(published, IssuerKeysPlace::Published { authorities });
}

#[test]
fn clusters_that_lack_something_or_contradict_themselves_are_refused() {
    // Outside of a cluster, the file is needed.
    assert_eq!(faults(LIST), 1);
    let file = "kube_config_file = \"/k\"";
    for data in [
        file.to_owned(),
        format!(
            "{file}\nservice_account_allow_list = [\"agent\"]\nservice_account_allow_list = []"
        ),
        format!("{LIST}\noffline = {{ jwks_file = \"/j\" }}"),
        format!("{LIST}\noffline = {{ issuer = \"http://plain\" }}"),
        format!("{LIST}\noffline = {{ issuer = \"x\", jwks_file = \"/j\", keys = \"\" }}"),
        format!("{LIST}\n{file}\noffline = {{ issuer = \"x\", jwks_file = \"/j\" }}"),
        format!("{LIST}\naudience = []\noffline = {{ issuer = \"x\", jwks_file = \"/j\" }}"),
        format!(
            "{LIST}\nallowed_pod_label_keys = [\"a\"]\noffline = {{ issuer = \"x\", jwks_file = \"/j\" }}"
        ),
    ] {
        assert!(faults(&data) >= 1, "{data}");
    }
    let named = |name: &str| {
        let text = plugin(&format!("{LIST}\n{file}")).replace("\"demo\"", name);
        outcome(&text, &ServerFlags::default())
    };
    named("\"prod-1.eu\"").expect("accepted");
    named("\"a/b\"").expect_err("refused");
    outcome(
        &with_plugins("NodeAttestor \"k8s_psat\" {}"),
        &ServerFlags::default(),
    )
    .expect_err("refused");
}
