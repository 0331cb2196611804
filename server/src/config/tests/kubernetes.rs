//! The `kubernetes` block.

use signet_cluster::{InCluster, Reach};

use super::*;

fn block(keys: &str) -> String {
    with(&format!("kubernetes {{\n{keys}\n}}"))
}

fn settings(keys: &str) -> KubernetesSettings {
    quiet(&block(keys)).kubernetes.expect("the block")
}

const LEAST: &str = "cluster_name = \"demo\"\nkube_config_file = \"/k\"";

#[test]
fn the_name_of_the_cluster_is_all_that_a_pod_needs() {
    let in_a_pod = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some("10.96.0.1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
        _ => None,
    };
    let text = block("cluster_name = \"demo\"");
    let (config, _) = outcome_in(&in_a_pod, &text, &ServerFlags::default()).expect("accepted");
    let settings = config.kubernetes.expect("the block");
    assert!(matches!(
        settings.reach,
        Reach::InCluster(InCluster { port: 443, .. })
    ));
    assert_eq!(settings.cluster_domain, "cluster.local");
    assert_eq!(
        settings.ignored,
        ["kube-system", "kube-public", "spire-system"]
    );
    assert_eq!(
        (&*settings.class_name, settings.watch_classless),
        ("", false)
    );
    assert_eq!(settings.default_spiffe_id_template, None);
    assert_eq!(settings.lease, None);
    assert_eq!(quiet(MINIMAL).kubernetes, None);
}

#[test]
fn every_key_of_the_block_is_read() {
    let settings = settings(&format!(
        "{LEAST}\ncluster_domain = \"c.example\"\nignore_namespaces = []\nclass_name = \"mine\"\n\
         watch_classless = true\nparent_id_template = \"spiffe://{{{{ .TrustDomain }}}}/n\"\n\
         default_spiffe_id_template = \"spiffe://{{{{ .TrustDomain }}}}/p\"\n\
         leader_election {{ namespace = \"signet\" }}"
    ));
    assert_eq!(settings.reach, Reach::Kubeconfig("/k".into()));
    assert_eq!(settings.cluster_domain, "c.example");
    assert_eq!(settings.ignored, [""; 0]);
    assert_eq!(
        (&*settings.class_name, settings.watch_classless),
        ("mine", true)
    );
    assert_eq!(settings.parent_id_template, "spiffe://{{ .TrustDomain }}/n");
    let of_the_rest = settings.default_spiffe_id_template.as_deref();
    assert_eq!(of_the_rest, Some("spiffe://{{ .TrustDomain }}/p"));
    let (namespace, name) = settings.lease.expect("a lease");
    assert_eq!(
        (namespace.as_str(), name.as_str()),
        ("signet", "signet-server")
    );
}

#[test]
fn what_cannot_work_is_refused_by_its_key() {
    for (keys, key) in [
        ("kube_config_file = \"/k\"", "cluster_name"),
        ("cluster_name = \"demo\"", "kube_config_file"),
        (
            "cluster_name = \"a/b\"\nkube_config_file = \"/k\"",
            "cluster_name",
        ),
        (
            &format!("{LEAST}\nignore_namespaces = [\"a(\"]"),
            "ignore_namespaces",
        ),
        (
            &format!("{LEAST}\nparent_id_template = \"{{{{ x\""),
            "parent_id_template",
        ),
        (
            &format!("{LEAST}\ndefault_spiffe_id_template = \"{{{{ lower .PodMeta.Name }}}}\""),
            "default_spiffe_id_template",
        ),
        (
            &format!("{LEAST}\nleader_election {{ name = \"x\" }}"),
            "namespace",
        ),
        (
            &format!("{LEAST}\nleader_election {{ namespace = \"A\" }}"),
            "namespace",
        ),
        (
            &format!("{LEAST}\nentry_id_prefix = \"x\""),
            "entry_id_prefix",
        ),
        (&format!("{LEAST}\nclustername = \"x\""), "clustername"),
    ] {
        let found = problems(&block(keys));
        assert!(
            found.iter().any(|problem| problem.contains(key)),
            "{keys}: {found:?}"
        );
    }
}

#[test]
fn keys_of_the_controller_that_mean_nothing_here_are_warned_of() {
    let (_, warnings) = parsed(&block(&format!("{LEAST}\ngc_interval = \"10s\"")));
    assert!(warnings[0].contains("nothing is polled"), "{warnings:?}");
}
