//! The attestors of Google's and Azure's machines.

use super::*;

fn attestor(name: &str, data: &str) -> String {
    with_plugins(&format!(
        "NodeAttestor \"{name}\" {{ plugin_data {{ {data} }} }}"
    ))
}

#[test]
fn each_has_its_defaults_and_its_keys() {
    let config = quiet(&attestor("gcp_iit", ""));
    let expected = GcpIitSettings {
        host: "metadata.google.internal".to_owned(),
        service_account: "default".to_owned(),
    };
    assert_eq!(config.node_attestor, NodeAttestorSettings::GcpIit(expected));
    let config = quiet(&attestor("azure_imds", "tenant_domain = \"a.example\""));
    let expected = AzureImdsSettings {
        tenant_domain: "a.example".to_owned(),
        metadata_url: "http://169.254.169.254".to_owned(),
    };
    assert_eq!(
        config.node_attestor,
        NodeAttestorSettings::AzureImds(expected)
    );
    let config = quiet(&attestor("azure_msi", "resource_id = \"api://x\""));
    let expected = AzureMsiSettings {
        resource_id: "api://x".to_owned(),
        metadata_url: "http://169.254.169.254".to_owned(),
    };
    assert_eq!(
        config.node_attestor,
        NodeAttestorSettings::AzureMsi(expected)
    );
}

#[test]
fn what_cannot_work_is_refused_with_its_key() {
    for (name, data, fault) in [
        ("azure_imds", "", "tenant_domain: is required"),
        (
            "gcp_iit",
            "identity_token_host = \"a/b\"",
            "identity_token_host: ",
        ),
        (
            "azure_msi",
            "experimental { metadata_url = \"https://a\" }",
            "must begin with http://",
        ),
        (
            "azure_msi",
            "experimental { metadata_url = \"http://metadata.example\" }",
            "on this machine or its link",
        ),
    ] {
        let found = problems(&attestor(name, data));
        assert_eq!(found.len(), 1, "{name} {data}: {found:?}");
        assert!(found[0].contains(fault), "{name} {data}: {found:?}");
    }
}
