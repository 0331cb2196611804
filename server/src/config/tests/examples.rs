//! The samples in `examples/` start, show true defaults and name every key.

use signet_config::Class;

use super::*;

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name);
    std::fs::read_to_string(path).expect("the sample is there")
}

/// The sample with its commented-out settings (a `#` without a space) switched on.
fn with_defaults(text: &str) -> String {
    let on = |line: &str| {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let setting = rest
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c| c != ' '));
        format!("{indent}{}\n", setting.unwrap_or(rest))
    };
    text.lines().map(on).collect()
}

#[test]
fn every_sample_starts_without_a_warning() {
    for name in [
        "server.conf",
        "server-azure.conf",
        "server-gcp.conf",
        "server-kubernetes.conf",
        "server-nested.conf",
        "server-oidc.conf",
        "server-x509pop.conf",
        "server-aws.conf",
        "server.json",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples")
            .join(name);
        let (_, warnings) =
            load(&path, &ServerFlags::default(), None, &|_| None).expect("accepted");
        assert_eq!(warnings, [], "{name}");
    }
}

#[test]
fn what_a_sample_comments_out_is_the_default() {
    for name in [
        "server.conf",
        "server-azure.conf",
        "server-gcp.conf",
        "server-oidc.conf",
        "server-kubernetes.conf",
        "server-x509pop.conf",
    ] {
        let text = sample(name);
        let all = with_defaults(&text);
        assert_ne!(text, all);
        assert_eq!(
            format!("{:?}", quiet(&all)),
            format!("{:?}", quiet(&text)),
            "{name}"
        );
    }
}

#[test]
fn every_implemented_key_stands_in_a_sample() {
    let names = [
        "server.conf",
        "server-kubernetes.conf",
        "server-x509pop.conf",
    ];
    let text = names.map(sample).concat();
    for table in [
        &server::KEYS[..],
        &server::CA_SUBJECT_KEYS[..],
        &server::RATE_LIMIT_KEYS[..],
        &crate::config::kubernetes::KEYS[..],
        &crate::config::kubernetes::LEADER_KEYS[..],
        &plugins::K8S_CLUSTER_KEYS[..],
        &plugins::K8S_OFFLINE_KEYS[..],
        &plugins::CONFIGMAP_KEYS[..],
    ] {
        for key in table.iter().filter(|key| key.class == Class::Implemented) {
            assert!(text.contains(key.name), "{} is in no sample", key.name);
        }
    }
}

fn variables_of_manifests(name: &str) -> Option<String> {
    match name {
        "TRUST_DOMAIN" => Some("example.org".to_owned()),
        "CLUSTER_NAME" => Some("demo".to_owned()),
        "POD_NAMESPACE" => Some("signet".to_owned()),
        _ => None,
    }
}

#[test]
fn the_configuration_of_the_manifests_starts_in_a_pod() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kubernetes/base/server.conf");
    let flags = ServerFlags::default();
    let outcome = load(&path, &flags, Some(&variables_of_manifests), &in_a_pod);
    let (config, warnings) = outcome.expect("accepted");
    assert_eq!(warnings, []);
    assert_eq!(config.trust_domain.name(), "example.org");
    let cluster = config.kubernetes.expect("a cluster");
    assert_eq!(cluster.cluster_name, "demo");
    assert_eq!(cluster.ignored[2], "^signet$");
    assert_eq!(config.publishers.len(), 1);
    assert!(config.health.is_some());
}
