//! The agent's configuration: what is read, refused and warned of.

mod examples;

use std::path::Path;
use std::time::Duration;

use signet_config::{ConfigError, Document, Problem};
use signet_crypto::{KeyType, SecretString};

use super::*;

const MINIMAL: &str = r#"agent {
  trust_domain = "example.org", server_address = "localhost", server_port = 8081
  trust_bundle_path = "/bundle.pem"
}"#;

fn outcome(text: &str, flags: &AgentFlags) -> Result<(AgentConfig, Vec<String>), Vec<String>> {
    let lines = |found: Vec<Problem>| found.iter().map(ToString::to_string).collect();
    let document = Document::parse("agent.conf", text, None).expect("the text parses");
    match read(document, flags) {
        Ok((config, warnings)) => Ok((config, lines(warnings))),
        Err(ConfigError { problems }) => Err(lines(problems)),
    }
}

fn parsed(text: &str) -> (AgentConfig, Vec<String>) {
    outcome(text, &AgentFlags::default()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn quiet(text: &str) -> AgentConfig {
    let (config, warnings) = parsed(text);
    assert_eq!(warnings, [""; 0], "{text}");
    config
}

fn problems(text: &str) -> Vec<String> {
    outcome(text, &AgentFlags::default()).expect_err("refused")
}

/// A file with more keys in its `agent` block.
fn with(keys: &str) -> String {
    format!("{MINIMAL}\nagent {{\n{keys}\n}}")
}

/// A file whose `agent` block has its own way to bootstrap.
fn bootstrap(keys: &str) -> String {
    with(keys).replace("trust_bundle_path = \"/bundle.pem\"\n", "\n")
}

/// A file with plugins.
fn with_plugins(plugins: &str) -> String {
    format!("{MINIMAL}\nplugins {{\n{plugins}\n}}")
}

#[test]
fn trust_domain_server_and_bundle_are_all_that_is_needed() {
    let config = quiet(MINIMAL);
    assert_eq!(config.trust_domain.name(), "example.org");
    assert_eq!(
        config.server,
        ServerAddress {
            host: "localhost".into(),
            port: 8081
        }
    );
    assert_eq!(config.data_dir, Path::new("."));
    assert_eq!(config.socket_path, Path::new(DEFAULT_SOCKET_PATH));
    assert_eq!(config.admin_socket_path, None);
    assert!(config.workload_api && !config.allow_unauthenticated_verifiers);
    assert_eq!(config.workload_key_type, KeyType::EcP256);
    assert_eq!(
        (config.x509_cache_size, config.jwt_cache_size),
        (1000, 1000)
    );
    assert_eq!(config.sync_interval, Duration::from_secs(5));
    assert_eq!(
        config.keys,
        KeySettings::Disk {
            directory: ".".into()
        }
    );
    assert_eq!(config.node_attestor, NodeAttestorSettings::JoinToken);
    let unix = WorkloadAttestorSettings::Unix(UnixSettings::default());
    assert_eq!(config.workload_attestors, [unix]);
    assert_eq!(config.telemetry.metric_prefix, "spire_agent");
}

#[test]
fn an_empty_file_lacks_all_that_is_needed() {
    let expected = [
        "agent.conf: agent.trust_domain: is required",
        "agent.conf: agent.server_address: is required",
        "agent.conf: agent.server_port: is required",
        "agent.conf: agent.trust_bundle_path: is required, or trust_bundle_url, or \
         insecure_bootstrap = true",
    ];
    assert_eq!(problems(""), expected);
}

#[test]
fn every_key_of_the_agent_block_is_read() {
    let config = quiet(&with(
        r#"data_dir = "/d", socket_path = "/run/a/api.sock", admin_socket_path = "/run/b/admin.sock"
        join_token = "abc", allow_unauthenticated_verifiers = true
        allowed_foreign_jwt_claims = ["groups", "email"]
        availability_target = "48h", workload_x509_svid_key_type = "RSA-2048"
        x509_svid_cache_max_size = 5, jwt_svid_cache_max_size = 0
        disable_workload_api = true, rebootstrap_mode = "never"
        experimental { sync_interval = "1s", taint_window = "2m" }"#,
    ));
    assert_eq!(config.socket_path, Path::new("/run/a/api.sock"));
    assert_eq!(
        config.admin_socket_path.as_deref(),
        Some(Path::new("/run/b/admin.sock"))
    );
    assert!(matches!(&config.join_token, Some(JoinTokenSource::Text(t)) if t.expose() == "abc"));
    assert!(config.allow_unauthenticated_verifiers && !config.workload_api);
    assert_eq!(config.allowed_foreign_jwt_claims.len(), 2);
    assert_eq!(
        config.availability_target,
        Some(Duration::from_secs(48 * 3_600))
    );
    assert_eq!(config.workload_key_type, KeyType::Rsa2048);
    assert_eq!((config.x509_cache_size, config.jwt_cache_size), (5, 1000));
    assert_eq!(config.sync_interval, Duration::from_secs(1));
    assert_eq!(config.taint_window, Duration::from_secs(120));
    assert_eq!(
        config.keys,
        KeySettings::Disk {
            directory: "/d".into()
        }
    );
}

#[test]
fn all_problems_of_all_blocks_come_at_once() {
    let text = r#"agent {
        trust_domain = "spiffe://example.org/x"
        server_adress = "localhost"
        server_port = 0
        insecure_bootstrap = "true"
        availability_target = "1h"
        workload_x509_svid_key_type = "rsa-1024"
        join_token = "hunter2"
        join_token_file = "/t"
        rebootstrap_mode = "sometimes"
    }
    plugins { WorkloadAttestor "docker" {} }"#;
    let starts = [
        "agent.conf:1: agent.server_address: is required",
        "agent.conf:1: agent.trust_bundle_path: is required",
        "agent.conf:2: agent.trust_domain: trust domain has a path",
        "agent.conf:3: agent.server_adress: unknown key; did you mean \"server_address\"?",
        "agent.conf:4: agent.server_port: ",
        "agent.conf:5: agent.insecure_bootstrap: needs true or false without quotes",
        "agent.conf:6: agent.availability_target: must be at least 24h",
        "agent.conf:7: agent.workload_x509_svid_key_type: \"rsa-1024\" is none of: ",
        "agent.conf:9: agent.join_token_file: stands beside join_token",
        "agent.conf:10: agent.rebootstrap_mode: \"sometimes\" is none of: never, auto, always",
        "agent.conf:12: plugins.WorkloadAttestor \"docker\": not supported yet: ",
    ];
    let mut found = problems(text);
    assert!(!format!("{found:?}").contains("hunter2"));
    found.sort_by_key(|line| starts.iter().position(|start| line.starts_with(start)));
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (line, start) in found.iter().zip(starts) {
        assert!(
            line.starts_with(start),
            "{line} does not start with {start}"
        );
    }
}

#[test]
fn the_join_token_does_not_show_in_the_settings_or_flags() {
    let token = Some(SecretString::new("hunter2".to_owned()));
    let flags = AgentFlags {
        join_token: token,
        ..AgentFlags::default()
    };
    let (config, _) = outcome(MINIMAL, &flags).expect("accepted");
    assert!(config.join_token.is_some());
    assert!(!format!("{config:?}{flags:?}").contains("hunter2"));
}

#[test]
fn each_source_of_the_first_bundle_is_read() {
    let source = |keys: &str| quiet(&bootstrap(keys)).bootstrap;
    let pem = BundleFormat::Pem;
    let file = BundleSource::File {
        path: "/b".into(),
        format: BundleFormat::Spiffe,
    };
    assert_eq!(
        source("trust_bundle_path = \"/b\", trust_bundle_format = \"spiffe\""),
        file
    );
    let url: http::Uri = "https://b.org/x".parse().expect("a URL");
    let fetched = BundleSource::Url { url, format: pem };
    assert_eq!(source("trust_bundle_url = \"https://b.org/x\""), fetched);
    let url = "http://localhost/x?a=b".parse().expect("a URL");
    let local = BundleSource::UnixSocket {
        url,
        socket: "/s".into(),
        format: pem,
    };
    let keys = "trust_bundle_url = \"http://localhost/x?a=b\", trust_bundle_unix_socket = \"/s\"";
    assert_eq!(source(keys), local);
    assert_eq!(source("insecure_bootstrap = true"), BundleSource::Insecure);
}

#[test]
fn a_given_bundle_is_used_even_when_bootstrapping_insecurely() {
    let (config, warnings) = parsed(&with("insecure_bootstrap = true"));
    assert!(matches!(config.bootstrap, BundleSource::File { .. }));
    assert!(
        warnings[0].contains("the given trust bundle is used"),
        "{warnings:?}"
    );
}

#[test]
fn a_source_of_the_first_bundle_that_cannot_be_trusted_is_refused() {
    for (keys, fault) in [
        (
            "trust_bundle_url = \"http://b.org\"",
            "must start with https://",
        ),
        ("trust_bundle_url = \"b.org\"", "must start with https://"),
        ("trust_bundle_url = \"https://b org\"", "is no URL"),
        (
            "trust_bundle_url = \"https://b.org\", trust_bundle_unix_socket = \"/s\"",
            "must start with http:// beside",
        ),
        (
            "trust_bundle_url = \"http://b/?a=1&spire-x=1\", trust_bundle_unix_socket = \"/s\"",
            "must have no query key",
        ),
        (
            "trust_bundle_unix_socket = \"/s\", insecure_bootstrap = true",
            "needs trust_bundle_url beside it",
        ),
        (
            "trust_bundle_url = \"https://b.org\", trust_bundle_path = \"/b\"",
            "stands beside trust_bundle_path",
        ),
        (
            "trust_bundle_path = \"/b\", trust_bundle_format = \"der\"",
            "is none of: pem, spiffe",
        ),
    ] {
        let found = problems(&bootstrap(keys));
        assert_eq!(found.len(), 1, "{keys}: {found:?}");
        assert!(found[0].contains(fault), "{keys}: {found:?}");
    }
}

#[test]
fn the_admin_socket_stays_out_of_the_workloads_directory() {
    for admin in ["/run/a/admin.sock", "/run/a/b/admin.sock"] {
        let keys = format!("socket_path = \"/run/a/api.sock\", admin_socket_path = \"{admin}\"");
        let found = problems(&with(&keys));
        assert!(
            found[0].contains("must not be in the directory of socket_path"),
            "{found:?}"
        );
    }
    quiet(&with(
        "socket_path = \"/run/a/api.sock\", admin_socket_path = \"/run/ab/x.sock\"",
    ));
}

#[test]
fn a_flag_wins_over_the_file() {
    let flags = AgentFlags {
        server_address: Some("flag".into()),
        server_port: Some(1),
        trust_bundle: Some("/flag.pem".into()),
        disable_workload_api: Some(true),
        log_file: Some("/flag.log".into()),
        ..AgentFlags::default()
    };
    let (config, warnings) = outcome(MINIMAL, &flags).expect("accepted");
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        config.server,
        ServerAddress {
            host: "flag".into(),
            port: 1
        }
    );
    let file = BundleSource::File {
        path: "/flag.pem".into(),
        format: BundleFormat::Pem,
    };
    assert_eq!(config.bootstrap, file);
    assert!(!config.workload_api);
    assert_eq!(config.log.file.as_deref(), Some(Path::new("/flag.log")));
}

#[test]
fn keys_that_cannot_be_ignored_are_errors_and_harmless_ones_are_warnings() {
    for keys in [
        "trust_bundle_spiffe_workload_api = \"/s\"",
        "rebootstrap_delay = \"soon\"",
        "experimental { require_pq_kem = true }",
        "experimental { broker { socket_path = \"/s\" } }",
        "experimental { feature_flags = [\"wit-svid\"] }",
        "experimental { feature_flags = [\"telepathy\"] }",
        "experimental { taint_window = \"1h\" }",
        "unheard_of = true",
    ] {
        assert_eq!(problems(&with(keys)).len(), 1, "{keys}");
    }
    for keys in [
        "sds { default_svid_name = \"x\" }",
        "disable_sds_api = true",
        "rebootstrap_mode = \"always\", rebootstrap_delay = \"10m\"",
        "authorized_delegates = [\"spiffe://example.org/cilium\"]",
        "log_selectors = [\"unix\"]",
        "profiling_port = 6060",
        "experimental { ratelimit { fetch_x509_svid = 5 } }",
        "experimental { use_sync_authorized_entries = true }",
        "experimental { unheard_of = true }",
    ] {
        assert_eq!(parsed(&with(keys)).1.len(), 1, "{keys}");
    }
    quiet(&with(
        "sds {}, experimental { ratelimit {}, broker {} }, authorized_delegates = []\n\
         rebootstrap_mode = \"never\", rebootstrap_delay = \"10m\"",
    ));
}

#[test]
fn workload_keys_are_of_any_type_that_is_made_and_replaced_at_once_if_that_is_wanted() {
    for key_type in KeyType::ALL {
        let keys = format!("workload_x509_svid_key_type = \"{key_type}\"");
        assert_eq!(quiet(&with(&keys)).workload_key_type, key_type);
    }
    let config = quiet(&with("experimental { taint_window = \"0s\" }"));
    assert_eq!(config.taint_window, Duration::ZERO);
    assert_eq!(quiet(&with("")).taint_window, Duration::from_secs(30));
}

#[test]
fn each_plugin_is_read() {
    let config = quiet(&with_plugins(
        r#"KeyManager "memory" {}
        NodeAttestor "x509pop" { plugin_data {
            private_key_path = "/k", certificate_path = "/c", intermediates_path = "/i"
        } }
        WorkloadAttestor "unix" { plugin_data {
            discover_workload_path = true, workload_size_limit = "1024"
        } }"#,
    ));
    assert_eq!(config.keys, KeySettings::Memory);
    let expected = X509PopSettings {
        private_key_path: "/k".into(),
        certificate_path: "/c".into(),
        intermediates_path: Some("/i".into()),
    };
    assert_eq!(
        config.node_attestor,
        NodeAttestorSettings::X509Pop(expected)
    );
    let program_hash = ProgramHash::UpTo(1024);
    let unix = UnixSettings {
        discover_workload_path: true,
        program_hash,
    };
    assert_eq!(
        config.workload_attestors,
        [WorkloadAttestorSettings::Unix(unix)]
    );
}

#[test]
fn plugins_that_lack_something_or_come_twice_are_refused() {
    for (plugins, faults) in [
        ("KeyManager \"disk\" {}", 1),
        ("NodeAttestor \"x509pop\" {}", 2),
        (
            "NodeAttestor \"x509pop\" { plugin_data { spiffe_endpoint_socket = \"/s\" } }",
            1,
        ),
        (
            "NodeAttestor \"join_token\" {}\nNodeAttestor \"x509pop\" { plugin_data { private_key_path = \"/k\", certificate_path = \"/c\" } }",
            1,
        ),
        (
            "WorkloadAttestor \"unix\" {}\nWorkloadAttestor \"unix\" {}",
            1,
        ),
        (
            "WorkloadAttestor \"unix\" { plugin_data { discover_workload_path = \"yes\" } }",
            1,
        ),
        ("DataStore \"sql\" {}", 1),
    ] {
        assert_eq!(problems(&with_plugins(plugins)).len(), faults, "{plugins}");
    }
}

#[test]
fn keys_in_memory_with_a_join_token_are_warned_of() {
    let (_, warnings) = parsed(&with_plugins("KeyManager \"memory\" {}"));
    assert!(
        warnings[0].contains("plugins.KeyManager: with keys in memory"),
        "{warnings:?}"
    );
}

#[test]
fn every_plugin_of_spire_is_known_by_name() {
    for (kind, names) in [
        (
            "NodeAttestor",
            "k8s_psat gcp_iit azure_imds azure_msi sshpop tpm_devid http_challenge",
        ),
        ("WorkloadAttestor", "docker k8s slurm systemd windows"),
        ("SVIDStore", "aws_secretsmanager gcp_secretmanager"),
    ] {
        for name in names.split(' ') {
            let found = problems(&with_plugins(&format!(
                "{kind} \"{name}\" {{ plugin_data {{}} }}"
            )));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains("not supported yet: "), "{found:?}");
        }
    }
}

/// The shape the Helm chart renders, with attestors that are here.
#[test]
fn json_as_the_helm_chart_makes_it_starts() {
    let (config, warnings) = parsed(
        r#"{
          "agent": {
            "admin_socket_path": "/tmp/spire-agent/private/admin.sock",
            "availability_target": "", "data_dir": "/var/lib/spire", "log_level": "info",
            "retry_bootstrap": null, "server_address": "spire-server.spire", "server_port": "443",
            "socket_path": "/tmp/spire-agent/public/spire-agent.sock",
            "sds": {"default_all_bundles_name": "ALL", "default_bundle_name": "null"},
            "trust_bundle_path": "/run/spire/bundle/bundle.crt", "trust_domain": "example.org"
          },
          "health_checks": {"bind_address": "0.0.0.0", "bind_port": "9982", "listener_enabled": true},
          "plugins": {
            "KeyManager": [{"memory": {"plugin_data": null}}],
            "NodeAttestor": [{"x509pop": {"plugin_data": [{
              "private_key_path": "/k", "certificate_path": "/c"}]}}],
            "WorkloadAttestor": [{"unix": {"plugin_data": {}}}]
          }
        }"#,
    );
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(config.server.port, 443);
    assert_eq!(config.health.map(|health| health.bind_port), Some(9982));
}
