//! Where the bundle is kept: `Notifier "k8sbundle"` and `BundlePublisher "k8s_configmap"`.

use std::time::Duration;

use signet_cluster::Reach;

use super::*;

const PLACE: &str = "namespace = \"n\"\nconfigmap_name = \"c\"\nconfigmap_key = \"k\"";

fn configmap(cluster: &str) -> String {
    with_plugins(&format!(
        "BundlePublisher \"k8s_configmap\" {{\nplugin_data {{\nclusters = {{\n\"demo\" = {{\n{cluster}\n}}\n}}\n}}\n}}"
    ))
}

fn notifier(data: &str) -> String {
    with_plugins(&format!(
        "Notifier \"k8sbundle\" {{\nplugin_data {{\n{data}\n}}\n}}"
    ))
}

fn read(text: &str) -> (Vec<ClusterBundleSettings>, usize) {
    let outcome = outcome_in(&in_a_pod, text, &ServerFlags::default());
    let (config, warnings) = outcome.unwrap_or_else(|problems| panic!("{problems:#?}"));
    (config.publishers, warnings.len())
}

fn refused(text: &str) -> Vec<String> {
    outcome_in(&in_a_pod, text, &ServerFlags::default()).expect_err("refused")
}

#[test]
fn a_notifier_without_settings_keeps_the_bundle_where_spire_does() {
    let (found, warnings) = read(&notifier(""));
    let [one] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(warnings, 0);
    assert!(matches!(one.reach, Reach::InCluster(_)));
    let place = (one.namespace.as_str(), one.config_map.as_str(), &*one.key);
    assert_eq!(place, ("spire", "spire-bundle", "bundle.crt"));
    assert_eq!((one.form, &one.trust_bundle), (BundleForm::Pem, &None));
}

#[test]
fn a_notifier_may_have_several_clusters_beside_its_own() {
    let further = "clusters = [{ kube_config_file_path = \"/a\" }, { namespace = \"b\", kube_config_file_path = \"/b\" }]";
    let (found, _) = read(&notifier(further));
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].reach, Reach::Kubeconfig("/a".into()));
    assert_eq!(found[1].namespace.as_str(), "b");
    let (found, _) = read(&notifier(&format!("namespace = \"own\"\n{further}")));
    assert_eq!(found[0].namespace.as_str(), "own");
    assert_eq!(found.len(), 3);
}

#[test]
fn every_key_of_a_publisher_is_read() {
    let (found, warnings) = read(&configmap(&format!(
        "{PLACE}\nformat = \"SPIFFE\"\nkubeconfig_path = \"/k\"\nrefresh_hint = \"5m\"\ncluster_trust_bundle_name = \"t\""
    )));
    let [one] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(warnings, 0);
    assert_eq!(one.cluster, "demo");
    assert_eq!(one.reach, Reach::Kubeconfig("/k".into()));
    let refresh_hint = Some(Duration::from_secs(300));
    assert_eq!(one.form, BundleForm::Spiffe { refresh_hint });
    assert_eq!(
        one.trust_bundle.as_ref().map(|name| name.as_str()),
        Some("t")
    );
}

#[test]
fn a_refresh_hint_in_a_form_without_one_is_warned_of() {
    let text = configmap(&format!("{PLACE}\nformat = \"pem\"\nrefresh_hint = \"5m\""));
    assert_eq!(read(&text).1, 1);
}

#[test]
fn places_that_cannot_be_are_refused() {
    for (data, fault) in [
        (PLACE, "format: is required"),
        ("format = \"pem\"", "namespace: is required"),
        (
            "namespace = \"n\"\nconfigmap_name = \"../c\"\nconfigmap_key = \"k\"\nformat = \"pem\"",
            "not the name of a Kubernetes object",
        ),
        (
            "namespace = \"n\"\nconfigmap_name = \"c\"\nconfigmap_key = \"a/b\"\nformat = \"pem\"",
            "must be letters",
        ),
        (
            "namespace = \"n\"\nconfigmap_name = \"c\"\nconfigmap_key = \"k\"\nformat = \"der\"",
            "is none of: spiffe, jwks, pem",
        ),
        (
            "namespace = \"n\"\nconfigmap_name = \"c\"\nconfigmap_key = \"k\"\nformat = \"pem\"\n\
             cluster_trust_bundle_name = \"a:b\"",
            "not the name of a Kubernetes object",
        ),
    ] {
        let found = refused(&configmap(data));
        assert!(found.iter().any(|one| one.contains(fault)), "{found:?}");
    }
    let none = "BundlePublisher \"k8s_configmap\" {\nplugin_data {}\n}";
    assert!(refused(&with_plugins(none))[0].contains("needs at least one cluster"));
    let webhooks = refused(&notifier("webhook_label = \"x\""));
    assert!(webhooks[0].contains("not supported yet"), "{webhooks:?}");
    let outside = outcome(&notifier(""), &ServerFlags::default()).expect_err("refused");
    assert!(
        outside[0].contains("is required outside of the cluster"),
        "{outside:?}"
    );
}
