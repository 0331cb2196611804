//! The attestors of Google's and Azure's machines.

use signet_cloud::azure::Credentials;

use super::*;

fn attestor(name: &str, data: &str) -> String {
    with_plugins(&format!(
        "NodeAttestor \"{name}\" {{ plugin_data {{ {data} }} }}"
    ))
}

#[test]
fn gcp_iit_reads_its_keys() {
    let config = quiet(&attestor(
        "gcp_iit",
        r#"projectid_allow_list = ["a", "b"], use_instance_metadata = true, service_account_file = "/sa.json"
        allowed_label_keys = ["env"], allowed_metadata_keys = ["role"], max_metadata_value_size = 64
        agent_path_template = "/gcp_iit/{{ .InstanceID }}""#,
    ));
    let NodeAttestorSettings::GcpIit(settings) = &config.node_attestors[0] else {
        panic!()
    };
    assert!(settings.projects.iter().eq(["a", "b"]));
    let metadata = settings.metadata.as_ref().unwrap();
    assert_eq!(metadata.max_metadata_value_size, 64);
    let is_file = |credentials: &GcpCredentials| matches!(credentials, GcpCredentials::File { path, .. } if path == Path::new("/sa.json"));
    assert!(is_file(&metadata.credentials));
}

#[test]
fn azure_imds_reads_each_way_to_authenticate() {
    let config = quiet(&attestor(
        "azure_imds",
        r#"tenants = {
            "a.example" = { secret_auth = { app_id = "a", app_secret = "s" }, allowed_vm_tags = ["t"] }
            "b.example" = { token_auth = { app_id = "b", token_path = "/t" } }
            "c.example" = {}
        }
        allowed_metadata_domains = ["metadata.azure.us"], trust_bundle_path = "/r.pem""#,
    ));
    let NodeAttestorSettings::AzureImds(settings) = &config.node_attestors[0] else {
        panic!()
    };
    assert_eq!(settings.domains, ["metadata.azure.us"]);
    let of = |name: &str| &settings.tenants[name].credentials;
    assert!(matches!(of("a.example"), Credentials::Secret { app_id, .. } if app_id == "a"));
    assert!(matches!(of("b.example"), Credentials::Token { app_id, .. } if app_id == "b"));
    assert!(matches!(of("c.example"), Credentials::ManagedIdentity(_)));
}

#[test]
fn what_cannot_work_is_refused_with_its_key() {
    for (name, data, fault) in [
        ("gcp_iit", "", "projectid_allow_list: is required"),
        (
            "gcp_iit",
            "projectid_allow_list = [\"a\"], agent_path_template = \"/{{ .Nonsense }}\"",
            "agent_path_template: ",
        ),
        (
            "gcp_iit",
            "projectid_allow_list = [\"a\"]\nexperimental { keys_url = \"http://a\" }",
            "keys_url: must begin with https://",
        ),
        (
            "gcp_iit",
            "projectid_allow_list = [\"a\"]\nuse_instance_metadata = true\n\
             experimental { metadata_url = \"http://a\" }",
            "on this machine or its link",
        ),
        ("azure_imds", "", "tenants: is required"),
        (
            "azure_imds",
            "tenants = { \"a\" = { secret_auth = { app_id = \"a\" } } }",
            "app_secret: is required",
        ),
        (
            "azure_imds",
            "tenants = { \"a\" = { secret_auth = { app_id = \"a\", app_secret = \"b\" }, token_auth = { app_id = \"a\", token_path = \"b\" } } }",
            "give one of them",
        ),
        ("azure_msi", "", "tenants: is required"),
        (
            "azure_msi",
            "tenants = { \"a\" = { app_id = \"x\" } }",
            "together, or none",
        ),
    ] {
        let found = problems(&attestor(name, data));
        assert_eq!(found.len(), 1, "{name} {data}: {found:?}");
        assert!(found[0].contains(fault), "{name} {data}: {found:?}");
    }
}
