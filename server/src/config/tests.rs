//! The server's configuration: what is read, refused and warned of.

mod clouds;
mod examples;
mod k8s_psat;
mod kubernetes;
mod pkcs11;
mod publishers;
mod vault;

use std::path::Path;
use std::time::Duration;

use signet_config::sections::{LogFormat, LogLevel};
use signet_config::{ConfigError, Document, Problem};
use signet_crypto::KeyType;

use super::*;

const MINIMAL: &str = r#"server { trust_domain = "example.org", data_dir = "/var/lib/signet" }"#;

type Outcome = Result<(ServerConfig, Vec<String>), Vec<String>>;

fn outcome(text: &str, flags: &ServerFlags) -> Outcome {
    outcome_in(&|_| None, text, flags)
}

/// With what the environment holds.
fn outcome_in(environment: Lookup<'_>, text: &str, flags: &ServerFlags) -> Outcome {
    let lines = |found: Vec<Problem>| found.iter().map(ToString::to_string).collect();
    let document = Document::parse("server.conf", text, None).expect("the text parses");
    match read(document, flags, environment) {
        Ok((config, warnings)) => Ok((config, lines(warnings))),
        Err(ConfigError { problems }) => Err(lines(problems)),
    }
}

fn parsed(text: &str) -> (ServerConfig, Vec<String>) {
    outcome(text, &ServerFlags::default()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn quiet(text: &str) -> ServerConfig {
    let (config, warnings) = parsed(text);
    assert_eq!(warnings, [""; 0], "{text}");
    config
}

fn problems(text: &str) -> Vec<String> {
    outcome(text, &ServerFlags::default()).expect_err("refused")
}

/// A file with more keys in its `server` block.
fn with(keys: &str) -> String {
    format!("server {{\ntrust_domain = \"example.org\"\ndata_dir = \"/d\"\n{keys}\n}}")
}

/// A file with plugins.
fn with_plugins(plugins: &str) -> String {
    format!("{MINIMAL}\nplugins {{\n{plugins}\n}}")
}

/// The environment of a pod.
fn in_a_pod(name: &str) -> Option<String> {
    match name {
        "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
        _ => None,
    }
}

#[test]
fn trust_domain_and_data_directory_are_all_that_is_needed() {
    let config = quiet(MINIMAL);
    assert_eq!(config.trust_domain.name(), "example.org");
    assert_eq!(config.bind.to_string(), "0.0.0.0:8081");
    assert_eq!(config.socket_path, Path::new(DEFAULT_SOCKET_PATH));
    assert_eq!(config.authority.ttl, Duration::from_secs(86_400));
    assert_eq!(config.authority.ca_key_type, KeyType::EcP256);
    assert_eq!(config.authority.jwt_key_type, KeyType::EcP256);
    assert_eq!(config.authority.subject, CaSubject::default());
    assert_eq!(config.svids.x509_ttl, Duration::from_secs(3_600));
    assert_eq!(config.svids.agent_ttl, Duration::from_secs(3_600));
    assert_eq!(config.svids.jwt_ttl, Duration::from_secs(300));
    assert!(config.svids.jwt_enabled && config.svids.jwt_issuer.is_none());
    assert_eq!(
        config.rate_limits,
        RateLimits {
            attestation: true,
            signing: true
        }
    );
    assert_eq!(config.agent_pruning, None);
    assert_eq!(
        config.store,
        StoreSettings::Redb {
            path: "/var/lib/signet/signet.redb".into()
        }
    );
    assert_eq!(
        config.keys,
        KeySettings::Disk {
            path: "/var/lib/signet/keys.json".into()
        }
    );
    assert_eq!(config.node_attestors, []);
    assert_eq!(config.health, None);
    assert_eq!(config.telemetry.metric_prefix, "spire_server");
}

#[test]
fn an_empty_file_lacks_trust_domain_and_data_directory() {
    let expected = [
        "server.conf: server.trust_domain: is required",
        "server.conf: server.data_dir: is required",
    ];
    assert_eq!(problems(""), expected);
    assert_eq!(problems("server {}").len(), 2);
}

#[test]
fn every_key_of_the_server_block_is_read() {
    let config = quiet(
        r#"server {
            trust_domain = "spiffe://example.org"
            bind_address = "127.0.0.1"
            bind_port = "9081"
            socket_path = "/run/signet/api.sock"
            data_dir = "/d"
            admin_ids = ["spiffe://example.org/admin", "spiffe://other.org/ops"]
            agent_ttl = "2h"
            ca_ttl = "72h"
            ca_key_type = "EC-P384"
            jwt_key_type = "rsa-2048"
            ca_subject = { country = ["DE"], organization = ["Example"], common_name = "Root" }
            default_x509_svid_ttl = "30m"
            default_jwt_svid_ttl = "10m"
            disable_jwt_svids = true
            jwt_issuer = "https://issuer.example.org"
            audit_log_enabled = true
            prune_attested_nodes_expired_for = "720h"
            prune_attested_nodes_batch_size = 10
            prune_tofu_nodes = true
            ratelimit { attestation = false, signing = false }
            log_level = "DEBUG"
            log_format = "json"
        }"#,
    );
    assert_eq!(config.bind.to_string(), "127.0.0.1:9081");
    assert_eq!(config.admin_ids.len(), 2);
    assert_eq!(config.authority.ca_key_type, KeyType::EcP384);
    assert_eq!(config.authority.jwt_key_type, KeyType::Rsa2048);
    assert_eq!(
        config.authority.subject.common_name.as_deref(),
        Some("Root")
    );
    assert_eq!(config.authority.subject.country, ["DE"]);
    assert_eq!(config.svids.agent_ttl, Duration::from_secs(7_200));
    assert!(!config.svids.jwt_enabled);
    assert_eq!(
        config.svids.jwt_issuer.as_deref(),
        Some("https://issuer.example.org")
    );
    assert_eq!(
        config.rate_limits,
        RateLimits {
            attestation: false,
            signing: false
        }
    );
    let pruning = config.agent_pruning.expect("it is on");
    assert_eq!((pruning.batch_size, pruning.tofu), (10, true));
    assert_eq!(
        (config.log.level, config.log.format),
        (LogLevel::Debug, LogFormat::Json)
    );
    assert!(config.audit_log_enabled);
}

#[test]
fn all_problems_of_all_blocks_come_at_once() {
    let text = r#"server {
        trust_domain = "Example Org"
        bind_address = "localhost"
        bind_prot = 8081
        agent_ttl = "-1h"
        ca_key_type = "ed25519"
        admin_ids = ["admin"]
        audit_log_enabled = "true"
        federation { federates_with "other.org" { bundle_endpoint_url = "https://other.org" } }
    }
    plugins { KeyManager "aws_kms" { plugin_data { region = "r" } } }
    health_checks { listener_enabled = 1 }
    telemetri {}"#;
    let starts = [
        "server.conf:1: server.data_dir: is required",
        "server.conf:2: server.trust_domain: trust domain may only hold",
        "server.conf:3: server.bind_address: \"localhost\" is no IP address",
        "server.conf:4: server.bind_prot: unknown key; did you mean \"bind_port\"?",
        "server.conf:5: server.agent_ttl: the duration \"-1h\" must not be negative",
        "server.conf:6: server.ca_key_type: \"ed25519\" is none of: ec-p256, ec-p384, rsa-2048, \
         rsa-4096",
        "server.conf:7: server.admin_ids: \"admin\" is no SPIFFE ID: ",
        "server.conf:8: server.audit_log_enabled: needs true or false without quotes, not a text",
        "server.conf:9: server.federation.federates_with: not supported yet: ",
        "server.conf:11: plugins.KeyManager \"aws_kms\": not supported yet: use \"disk\", ",
        "server.conf:12: health_checks.listener_enabled: needs true or false, not a number",
        "server.conf:13: telemetri: unknown key; did you mean \"telemetry\"?",
    ];
    let mut found = problems(text);
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
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let flags = ServerFlags {
        bind_address: Some("::1".into()),
        server_port: Some(0),
        data_dir: Some("/flag".into()),
        trust_domain: Some("flag.org".into()),
        log_level: Some("trace".into()),
        log_source_location: Some(true),
        socket_path: Some(String::new()),
        ..ServerFlags::default()
    };
    let text = with("bind_port = 1, log_level = \"warn\", socket_path = \"/file.sock\"");
    let (config, warnings) = outcome(&text, &flags).expect("accepted");
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.bind.to_string(), "[::1]:0");
    assert_eq!(config.trust_domain.name(), "flag.org");
    assert_eq!(config.log.level, LogLevel::Trace);
    assert_eq!(
        config.store,
        StoreSettings::Redb {
            path: "/flag/signet.redb".into()
        }
    );
    assert_eq!(config.socket_path, Path::new("/file.sock"));
}

#[test]
fn flags_alone_fill_a_file_without_a_server_block() {
    let flags = ServerFlags {
        trust_domain: Some("flag.org".into()),
        data_dir: Some("/d".into()),
        ..ServerFlags::default()
    };
    assert!(outcome("", &flags).is_ok());
}

#[test]
fn a_bad_flag_is_reported_as_such() {
    let flags = ServerFlags {
        log_level: Some("loud".into()),
        ..ServerFlags::default()
    };
    let found = outcome(MINIMAL, &flags).expect_err("refused");
    assert!(found[0].starts_with("command line: server.log_level: \"loud\" is none of: "));
}

#[test]
fn lifetimes_longer_than_an_authority_is_sure_to_sign_are_warned_of() {
    let (_, warnings) = parsed(&with("ca_ttl = \"12h\"\ndefault_x509_svid_ttl = \"3h\""));
    let expected = "server.conf:5: server.default_x509_svid_ttl: 3h will often be cut short: with \
         this ca_ttl an SVID is sure of 2h only; lower it, or raise ca_ttl to 18h";
    assert_eq!(warnings, [expected]);
    quiet(&with("ca_ttl = \"24h\"\nagent_ttl = \"4h\""));
    let (_, warnings) = parsed(&with("ca_ttl = \"1h\"\nagent_ttl = \"11m\""));
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
}

#[test]
fn keys_that_cannot_be_ignored_are_errors_and_harmless_ones_are_warnings() {
    for (key, value) in [
        ("proxy_protocol_trusted_cidrs", "[\"10.0.0.0/8\"]"),
        ("federation", "{ bundle_endpoint { port = 8443 } }"),
        ("experimental", "{ require_pq_kem = true }"),
        ("experimental", "{ agent_spiffe_id_as_selector = true }"),
        (
            "experimental",
            "{ auth_opa_policy_engine { local { rego_path = \"x\" } } }",
        ),
        ("experimental", "{ feature_flags = [\"telepathy\"] }"),
    ] {
        assert_eq!(
            problems(&with(&format!("{key} = {value}"))).len(),
            1,
            "{key} {value}"
        );
    }
    for (key, value) in [
        ("max_attested_node_info_staleness", "\"5s\""),
        ("profiling_enabled", "true"),
        ("experimental", "{ cache_reload_interval = \"1s\" }"),
        ("experimental", "{ events_based_cache = true }"),
        ("experimental", "{ unheard_of = true }"),
        ("experimental", "{ wit_issuer = \"urn:example\" }"),
        ("federation", "{ unheard_of = true }"),
    ] {
        assert_eq!(
            parsed(&with(&format!("{key} = {value}"))).1.len(),
            1,
            "{key} {value}"
        );
    }
    quiet(&with(
        "proxy_protocol_trusted_cidrs = [], federation {}, profiling_enabled = false\n\
         experimental { require_pq_kem = false, events_based_cache = false, feature_flags = [] }",
    ));
}

#[test]
fn wit_svids_are_issued_only_with_the_flag_and_with_keys_like_the_cas() {
    assert_eq!(quiet(MINIMAL).wit, None);
    let of = |keys: &str| quiet(&with(keys)).wit.expect("it is on");
    let plain = of("ca_key_type = \"ec-p384\"\nexperimental { feature_flags = [\"wit-svid\"] }");
    assert_eq!((plain.key_type, plain.issuer), (KeyType::EcP384, None));
    let chosen = of(
        "experimental { feature_flags = [\"wit-svid\"], wit_key_type = \"rsa-2048\"\n\
         wit_issuer = \"urn:example:wit\" }",
    );
    assert_eq!(chosen.key_type, KeyType::Rsa2048);
    assert_eq!(chosen.issuer.as_deref(), Some("urn:example:wit"));
    let bad = "experimental { feature_flags = [\"wit-svid\"], wit_key_type = \"ed25519\" }";
    assert_eq!(problems(&with(bad)).len(), 1);
}

#[test]
fn composers_are_read_and_unknown_ones_refused() {
    assert!(quiet(MINIMAL).composers.is_empty());
    for plugin in ["{}", "{ plugin_data {} }"] {
        let config = quiet(&with_plugins(&format!(
            "CredentialComposer \"uniqueid\" {plugin}"
        )));
        assert_eq!(config.composers, [ComposerSettings::UniqueId]);
    }
    let found = problems(&with_plugins("CredentialComposer \"uniqueids\" {}"));
    assert!(found[0].contains("did you mean \"uniqueid\"?"), "{found:?}");
}

#[test]
fn each_store_is_read_and_spires_starts_with_ours_and_a_warning() {
    let store = |plugin: &str| parsed(&with_plugins(plugin)).0.store;
    let redb = |path: &str| StoreSettings::Redb { path: path.into() };
    assert_eq!(
        store("DataStore \"redb\" {}"),
        redb("/var/lib/signet/signet.redb")
    );
    assert_eq!(
        store("DataStore \"redb\" { plugin_data { path = \"/x\" } }"),
        redb("/x")
    );
    assert_eq!(
        store("DataStore \"memory\" { plugin_data {} }"),
        StoreSettings::Memory
    );
    let sql = "DataStore \"sql\" { plugin_data { database_type = \"sqlite3\"\n\
         connection_string = \"secret\" } }";
    let (config, warnings) = parsed(&with_plugins(sql));
    assert_eq!(config.store, redb("/var/lib/signet/signet.redb"));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("plugins.DataStore \"sql\": SPIRE's database is neither read"));
    assert!(!format!("{warnings:?}{config:?}").contains("secret"));
}

#[cfg(feature = "sled")]
#[test]
fn sled_is_taken_with_a_warning() {
    let (config, warnings) = parsed(&with_plugins("DataStore \"sled\" {}"));
    assert_eq!(
        config.store,
        StoreSettings::Sled {
            path: "/var/lib/signet/signet.sled".into()
        }
    );
    assert!(warnings[0].contains("sled may lose"), "{warnings:?}");
}

#[cfg(not(feature = "sled"))]
#[test]
fn a_build_without_sled_refuses_it() {
    let found = problems(&with_plugins("DataStore \"sled\" {}"));
    assert!(found[0].contains("this build has no sled"), "{found:?}");
}

#[test]
fn each_key_manager_is_read() {
    let keys = |plugin: &str| quiet(&with_plugins(plugin)).keys;
    assert_eq!(keys("KeyManager \"memory\" {}"), KeySettings::Memory);
    let disk = "KeyManager \"disk\" { plugin_data { keys_path = \"/k.json\" } }";
    assert_eq!(
        keys(disk),
        KeySettings::Disk {
            path: "/k.json".into()
        }
    );
    let found = problems(&with_plugins("KeyManager \"disk\" { plugin_data {} }"));
    let expected = "server.conf:3: plugins.KeyManager \"disk\".plugin_data.keys_path: is required";
    assert_eq!(found, [expected]);
}

#[test]
fn x509pop_reads_both_modes() {
    let config = quiet(&with_plugins(
        r#"NodeAttestor "join_token" {}
        NodeAttestor "x509pop" { plugin_data {
            ca_bundle_paths = ["/a.pem", "/b.pem"], max_intermediates = 2, verify_client_ip = true
            agent_path_template = "/x509pop/cn/{{ .SerialNumberHex }}"
        } }"#,
    ));
    assert_eq!(config.node_attestors[0], NodeAttestorSettings::JoinToken);
    let expected = X509PopSettings {
        roots: X509PopRoots::Files(vec!["/a.pem".into(), "/b.pem".into()]),
        agent_path_template: Some("/x509pop/cn/{{ .SerialNumberHex }}".into()),
        max_intermediates: 2,
        max_rsa_key_bits: 8192,
        verify_client_ip: true,
    };
    assert_eq!(
        config.node_attestors[1],
        NodeAttestorSettings::X509Pop(expected)
    );
    for (key, prefix) in [("svid_prefix = \"/x\"", "/x/"), ("", "/spire-exchange/")] {
        let text =
            format!("NodeAttestor \"x509pop\" {{ plugin_data {{ mode = \"spiffe\"\n{key} }} }}");
        let config = quiet(&with_plugins(&text));
        let NodeAttestorSettings::X509Pop(settings) = &config.node_attestors[0] else {
            panic!()
        };
        assert_eq!(
            settings.roots,
            X509PopRoots::OwnBundle {
                prefix: prefix.into()
            }
        );
    }
}

#[test]
fn x509pop_needs_its_roots_exactly_once() {
    for (data, fault) in [
        ("", "ca_bundle_path: is required"),
        (
            "ca_bundle_path = \"a\", ca_bundle_paths = [\"b\"]",
            "give one of them",
        ),
        (
            "mode = \"spiffe\", ca_bundle_path = \"a\"",
            "has no place in mode \"spiffe\"",
        ),
        (
            "mode = \"spiffe\", svid_prefix = \"x\"",
            "must start with \"/\"",
        ),
        (
            "mode = \"spiffe\", svid_prefix = \"/x\", spiffe_prefix = \"/y\"",
            "give one of them",
        ),
        (
            "mode = \"other\", ca_bundle_path = \"a\"",
            "is none of: external_pki, spiffe",
        ),
        (
            "ca_bundle_path = \"a\", max_intermediates = 100",
            "from 0 to 16",
        ),
        (
            "ca_bundle_path = \"a\", agent_path_template = \"/{{ .Nonsense }}\"",
            "agent_path_template: ",
        ),
    ] {
        let text = format!("NodeAttestor \"x509pop\" {{ plugin_data {{ {data} }} }}");
        let found = problems(&with_plugins(&text));
        assert_eq!(found.len(), 1, "{data}: {found:?}");
        assert!(found[0].contains(fault), "{data}: {found:?}");
    }
}

#[test]
fn every_plugin_of_spire_is_known_by_name() {
    for (kind, names) in [
        ("KeyManager", "aws_kms gcp_kms azure_key_vault"),
        ("NodeAttestor", "sshpop tpm_devid http_challenge"),
        (
            "UpstreamAuthority",
            "aws_pca awssecret gcp_cas cert-manager ejbca",
        ),
        ("Notifier", "gcs_bundle"),
        (
            "BundlePublisher",
            "aws_s3 gcp_cloudstorage azure_blob aws_rolesanywhere_trustanchor",
        ),
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

/// The shape the Helm chart renders: JSON, quoted numbers, lists around plugins, empty blocks.
#[test]
fn json_as_the_helm_chart_makes_it_starts() {
    let (config, warnings) = parsed(
        r#"{
          "health_checks": {
            "bind_address": "0.0.0.0", "bind_port": "8080", "listener_enabled": true,
            "live_path": "/live", "ready_path": "/ready"
          },
          "plugins": {
            "DataStore": [{"sql": {"plugin_data": {
              "connection_string": "/run/spire/data/datastore.sqlite3", "database_type": "sqlite3"
            }}}],
            "KeyManager": [{"disk": {"plugin_data": {"keys_path": "/run/spire/data/keys.json"}}}],
            "NodeAttestor": [{"join_token": {"plugin_data": {}}}],
            "Notifier": []
          },
          "server": {
            "audit_log_enabled": false, "bind_address": "0.0.0.0", "bind_port": "8081",
            "ca_key_type": "rsa-2048",
            "ca_subject": [{"common_name": "example.org", "country": ["ARPA"],
                            "organization": ["Example"]}],
            "ca_ttl": "24h", "data_dir": "/run/spire/data", "default_jwt_svid_ttl": "1h",
            "default_x509_svid_ttl": "4h", "experimental": {}, "federation": {},
            "jwt_issuer": "https://oidc-discovery.example.org", "log_level": "info",
            "trust_domain": "example.org"
          },
          "telemetry": {"Prometheus": {"host": "0.0.0.0", "port": "9988"}}
        }"#,
    );
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(config.bind.port(), 8081);
    assert_eq!(config.authority.subject.country, ["ARPA"]);
    assert_eq!(config.health.map(|health| health.bind_port), Some(8080));
    assert_eq!(
        config
            .telemetry
            .prometheus
            .map(|prometheus| prometheus.port),
        Some(9988)
    );
    assert_eq!(
        config.keys,
        KeySettings::Disk {
            path: "/run/spire/data/keys.json".into()
        }
    );
    assert_eq!(config.node_attestors, [NodeAttestorSettings::JoinToken]);
}

#[test]
fn a_missing_file_is_named() {
    let error = load(
        Path::new("/nonexistent/server.conf"),
        &ServerFlags::default(),
        None,
        &|_| None,
    );
    let text = error.expect_err("refused").to_string();
    assert!(
        text.starts_with("/nonexistent/server.conf: cannot be read: "),
        "{text}"
    );
}

#[test]
fn a_second_jwt_key_signs_for_the_audiences_named() {
    let block =
        "jwt_alternative { key_type = \"rsa-2048\", audiences = [\"https://legacy.example/*\"] }";
    let chosen = quiet(&with(block)).authority.jwt_alternative.unwrap();
    assert_eq!(chosen.key_type, KeyType::Rsa2048);
    let audience = |text: &str| chosen.audiences.match_all(&[text.to_owned()]);
    assert!(audience("https://legacy.example/api") && !audience("https://new.example"));
    let none = quiet(&with("jwt_alternative {}")).authority.jwt_alternative;
    assert_eq!(none, None);
}

#[test]
fn half_a_second_jwt_key_is_refused() {
    for block in [
        "key_type = \"rsa-2048\"",
        "audiences = [\"a\"]",
        "key_type = \"rsa-1024\", audiences = [\"a\"]",
        "key_type = \"rsa-2048\", audiences = [\"a\"], audience = \"b\"",
    ] {
        let found = problems(&with(&format!("jwt_alternative {{ {block} }}")));
        assert_eq!(found.len(), 1, "{block}: {found:?}");
    }
}

#[test]
fn an_upstream_in_files_or_over_the_network_is_read() {
    let read = |text: &str| {
        let text = format!("UpstreamAuthority {text}");
        parsed(&with_plugins(&text)).0.upstream.unwrap()
    };
    let disk = "\"disk\" { plugin_data { cert_file_path = \"c\" key_file_path = \"k\" } }";
    let expected = UpstreamSettings::Disk {
        cert: "c".into(),
        key: "k".into(),
        bundle: None,
    };
    assert_eq!(read(disk), expected);
    let spire = "\"spire\" { plugin_data { server_address = \"up.example\" server_port = \"8081\" \
                 workload_api_socket = \"/run/agent.sock\" } }";
    let expected = UpstreamSettings::Spire {
        host: "up.example".into(),
        port: 8081,
        socket: "/run/agent.sock".into(),
        post_quantum: false,
    };
    assert_eq!(read(spire), expected);
}

#[test]
fn an_upstream_that_lacks_what_it_needs_is_refused() {
    for (name, data, keys) in [
        ("disk", "", &["cert_file_path", "key_file_path"][..]),
        ("disk", "cert_file_path = \"c\"", &["key_file_path"]),
        (
            "spire",
            "",
            &["server_address", "server_port", "workload_api_socket"],
        ),
        (
            "spire",
            "server_address = \"a\" server_port = 0 workload_api_socket = \"s\"",
            &["server_port"],
        ),
    ] {
        let text = format!("UpstreamAuthority \"{name}\" {{ plugin_data {{ {data} }} }}");
        let found = problems(&with_plugins(&text));
        for key in keys {
            assert!(
                found.iter().any(|one| one.contains(key)),
                "{key}: {found:?}"
            );
        }
        assert_eq!(found.len(), keys.len(), "{found:?}");
    }
}
