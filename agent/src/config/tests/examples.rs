//! The samples in `examples/` start, show true defaults and name every key.

use signet_config::{Class, Lookup};

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
        "agent.conf",
        "agent-aws.conf",
        "agent-azure.conf",
        "agent-azure-msi.conf",
        "agent-gcp.conf",
        "agent-oidc.conf",
        "agent-kubernetes.conf",
        "agent-x509pop.conf",
        "agent.json",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples")
            .join(name);
        let (_, warnings) = load(&path, &AgentFlags::default(), None, &|_| None).expect("accepted");
        assert_eq!(warnings, [], "{name}");
    }
}

#[test]
fn what_a_sample_comments_out_is_the_default() {
    for name in [
        "agent.conf",
        "agent-azure.conf",
        "agent-azure-msi.conf",
        "agent-gcp.conf",
        "agent-kubernetes.conf",
        "agent-x509pop.conf",
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
    let names = ["agent.conf", "agent-kubernetes.conf", "agent-x509pop.conf"];
    let text = names.map(sample).concat();
    for table in [
        &agent::KEYS[..],
        &bootstrap::BOOTSTRAP_KEYS[..],
        &plugins::K8S_KEYS[..],
    ] {
        for key in table.iter().filter(|key| key.class == Class::Implemented) {
            assert!(text.contains(key.name), "{} is in no sample", key.name);
        }
    }
}

#[test]
fn the_configuration_of_the_manifests_starts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kubernetes/base/agent.conf");
    let flags = AgentFlags {
        csi_kubelet_dir: Some("/var/lib/kubelet".to_owned()),
        ..AgentFlags::default()
    };
    let environment = |name: &str| (name == "NODE_NAME").then(|| "node-1".to_owned());
    let variables = |name: &str| match name {
        "TRUST_DOMAIN" => Some("example.org".to_owned()),
        "CLUSTER_NAME" => Some("demo".to_owned()),
        "POD_NAMESPACE" => Some("signet".to_owned()),
        _ => None,
    };
    let load = |flags: &AgentFlags, environment: Lookup<'_>| {
        load(&path, flags, Some(&variables), environment)
    };
    let (config, warnings) = load(&flags, &environment).expect("accepted");
    assert_eq!(warnings, []);
    let csi = config.csi.expect("with a storage driver");
    assert_eq!(csi.folder, Path::new("/run/spire/agent-sockets"));
    assert_eq!(csi.node, "node-1");
    let refused = load(&flags, &|_| None).expect_err("without the node's name");
    assert!(refused.to_string().contains("NODE_NAME"), "{refused}");
    let relative = AgentFlags {
        csi_kubelet_dir: Some("kubelet".to_owned()),
        ..AgentFlags::default()
    };
    let refused = load(&relative, &environment).expect_err("a relative folder");
    assert!(
        refused.to_string().contains("must be absolute"),
        "{refused}"
    );
}
