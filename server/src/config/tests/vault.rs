//! The key manager `hashicorp_vault` and the upstream authority `vault`: their keys, and what the
//! environment fills in.

use signet_http::Roots;
use signet_vault::{Auth, Secret};

use super::*;

const TOKEN: &str = "token_auth { token = \"s.1\" }\nkey_identifier_value = \"one\"";

fn key_manager(data: &str) -> String {
    with_plugins(&format!(
        "KeyManager \"hashicorp_vault\" {{\nplugin_data {{\n{data}\n}}\n}}"
    ))
}

fn transit(text: &str, environment: Lookup<'_>) -> (TransitSettings, Vec<String>) {
    let outcome = outcome_in(environment, &key_manager(text), &ServerFlags::default());
    let (config, warnings) = outcome.unwrap_or_else(|problems| panic!("{problems:#?}"));
    match config.keys {
        KeySettings::HashicorpVault(settings) => (*settings, warnings),
        other => panic!("{other:?}"),
    }
}

fn at(data: &str) -> TransitSettings {
    let text = format!("vault_addr = \"https://v.example:8200\"\n{data}");
    let (settings, warnings) = transit(&text, &|_| None);
    assert_eq!(warnings, [""; 0]);
    settings
}

fn faults(data: &str) -> Vec<String> {
    let prefix = "plugins.KeyManager \"hashicorp_vault\".plugin_data";
    let text = key_manager(data);
    let found = outcome(&text, &ServerFlags::default()).expect_err("refused");
    let cut = |line: &String| line.split_once(prefix).expect("in the block").1.to_owned();
    found.iter().map(cut).collect()
}

#[test]
fn defaults_are_vaults_own() {
    let settings = at(TOKEN);
    assert_eq!(settings.vault.address.to_string(), "https://v.example:8200");
    assert_eq!(settings.vault.namespace, None);
    assert_eq!(settings.vault.roots, Roots::System);
    assert_eq!(settings.engine.to_string(), "transit");
    let identifier = "one".parse().expect("an identifier");
    assert_eq!(settings.identifier, KeyIdentifier::Value(identifier));
}

#[test]
fn each_way_to_a_token_is_read() {
    let auth = |block: &str| {
        at(&format!("{block}\nkey_identifier_file = \"/id\""))
            .vault
            .auth
    };
    let mount = |text: &str| text.parse().expect("a mount");
    assert_eq!(
        auth(
            "cert_auth { client_cert_path = \"/c\", client_key_path = \"/k\", cert_auth_role_name = \"r\" }"
        ),
        Auth::Certificate {
            mount: mount("cert"),
            role: Some("r".to_owned()),
            certificate: "/c".into(),
            key: "/k".into(),
        }
    );
    assert_eq!(
        auth(
            "k8s_auth { k8s_auth_mount_point = \"k8s/a\", k8s_auth_role_name = \"r\", token_path = \"/t\" }"
        ),
        Auth::Kubernetes {
            mount: mount("k8s/a"),
            role: "r".to_owned(),
            token_path: "/t".into(),
        }
    );
    let approle = auth("approle_auth { approle_id = \"a\", approle_secret_id = \"b\" }");
    assert!(matches!(approle, Auth::AppRole { mount: at, .. } if at == mount("approle")));
    assert!(matches!(
        auth("token_auth { token = \"s\" }"),
        Auth::Token(_)
    ));
}

#[test]
fn the_environment_fills_gaps_and_the_file_wins() {
    let environment = |name: &str| {
        let value = match name {
            "VAULT_ADDR" => "https://env.example",
            "VAULT_CACERT" => "/env/ca.pem",
            "VAULT_NAMESPACE" => "team",
            "VAULT_TRANSIT_ENGINE_PATH" => "env-transit",
            "VAULT_TOKEN" | "VAULT_APPROLE_ID" | "VAULT_APPROLE_SECRET_ID" => "s.2",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let data = "token_auth {}\nkey_identifier_file = \"/id\"";
    let (settings, _) = transit(data, &environment);
    assert_eq!(settings.vault.address.to_string(), "https://env.example");
    assert_eq!(settings.vault.roots, Roots::File("/env/ca.pem".into()));
    assert_eq!(settings.engine.to_string(), "env-transit");
    assert_eq!(settings.vault.namespace, "team".parse().ok());
    let data = "vault_addr = \"https://v.example\"\nca_cert_path = \"/ca.pem\"\n\
                transit_engine_path = \"keys\"\napprole_auth {}\nkey_identifier_file = \"/id\"";
    let (settings, _) = transit(data, &environment);
    assert_eq!(settings.vault.address.to_string(), "https://v.example");
    assert_eq!(settings.vault.roots, Roots::File("/ca.pem".into()));
    assert_eq!(settings.engine.to_string(), "keys");
}

#[test]
fn what_is_missing_or_given_twice_is_named_all_at_once() {
    assert_eq!(
        faults("").join("\n"),
        ".vault_addr: is required, here or as VAULT_ADDR in the environment\n\
         : needs one of the blocks cert_auth, token_auth, approle_auth, k8s_auth\n\
         .key_identifier_file: is required, or key_identifier_value"
    );
    let both = faults(
        "vault_addr = \"https://v\"\ntoken_auth {}\nk8s_auth {}\n\
         key_identifier_file = \"/id\"\nkey_identifier_value = \"a\"",
    );
    assert_eq!(
        both,
        [
            ".k8s_auth: stands beside token_auth; give one of them",
            ".key_identifier_value: stands beside key_identifier_file; give one of them"
        ]
    );
    let empty = faults("vault_addr = \"https://v\"\ncert_auth {}\nkey_identifier_file = \"/id\"");
    assert_eq!(empty.len(), 2, "{empty:?}");
    let empty = faults("vault_addr = \"https://v\"\nk8s_auth {}\nkey_identifier_file = \"/id\"");
    assert_eq!(empty.len(), 2, "{empty:?}");
}

#[test]
fn what_cannot_be_used_is_refused_without_showing_it() {
    let line = |data: &str| faults(&format!("{data}\n{TOKEN}"));
    let found = line("vault_addr = \"https://me:hunter2@v\"");
    assert_eq!(found, [".vault_addr: must not carry a user name"]);
    let found = line("vault_addr = \"https://v\"\ntransit_engine_path = \"a?b\"");
    assert!(found[0].starts_with(".transit_engine_path: must be a path"));
    let found = faults(
        "vault_addr = \"http://v\"\ncert_auth { client_cert_path = \"/c\", client_key_path = \"/k\" }\n\
         key_identifier_file = \"/id\"",
    );
    assert_eq!(
        found,
        [".cert_auth: needs a vault_addr that starts with https://"]
    );
}

#[test]
fn what_weakens_the_connection_is_warned_of() {
    let data = format!("vault_addr = \"http://127.0.0.1:8200\"\n{TOKEN}");
    let (_, warnings) = transit(&data, &|_| None);
    assert!(warnings[0].contains("has no TLS"), "{warnings:?}");
    let data = format!("vault_addr = \"https://v\"\ninsecure_skip_verify = true\n{TOKEN}");
    let (settings, warnings) = transit(&data, &|_| None);
    assert_eq!(settings.vault.roots, Roots::Unverified);
    assert!(warnings[0].contains("pose as Vault"), "{warnings:?}");
}

#[test]
fn no_secret_shows_in_the_settings() {
    let settings = at(
        "approle_auth { approle_id = \"hunter1\", approle_secret_id = \"hunter2\" }\nkey_identifier_value = \"one\"",
    );
    assert!(!format!("{settings:?}").contains("hunter"));
    assert_eq!(
        format!("{:?}", Secret::new("hunter3".to_owned())),
        "[secret]"
    );
}

#[test]
fn the_upstream_authority_is_reached_in_the_same_way() {
    let upstream = |data: &str| {
        let block = format!("UpstreamAuthority \"vault\" {{ plugin_data {{ {data} }} }}");
        quiet(&with_plugins(&block)).upstream.expect("an upstream")
    };
    let common = "vault_addr = \"https://v.example\" token_auth { token = \"s\" }";
    for (further, mount) in [("", "pki"), (" pki_mount_point = \"a/pki\"", "a/pki")] {
        let found = upstream(&format!("{common}{further}"));
        let UpstreamSettings::Vault { vault, engine } = found else {
            panic!("{found:?}");
        };
        assert_eq!(engine.to_string(), mount);
        assert_eq!(vault.address.to_string(), "https://v.example");
    }
    let block = "UpstreamAuthority \"vault\" { plugin_data {} }";
    assert_eq!(problems(&with_plugins(block)).len(), 2);
}
