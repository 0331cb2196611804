//! A section's getters and what they report.

use std::time::Duration;

use crate::sections::{HealthSettings, LogFormat, LogLevel, LogSettings, PluginKind};
use crate::sections::{TelemetrySettings, plugins};
use crate::{ConfigError, Document, Key, Member, Section, Unknown, Value};

const KEYS: [Key; 4] = [
    Key::implemented("bind_port"),
    Key::implemented("name"),
    Key::refused("federation", "keep SPIRE for that"),
    Key::ignored("cache_reload_interval", "changes are pushed"),
];

const KINDS: [PluginKind; 2] = [
    PluginKind {
        kind: "NodeAttestor",
        names: &[
            Key::implemented("join_token"),
            Key::implemented("x509pop"),
            Key::refused("k8s_psat", "attest with a join token"),
        ],
        many: true,
    },
    PluginKind {
        kind: "KeyManager",
        names: &[Key::implemented("memory"), Key::implemented("disk")],
        many: false,
    },
];

/// Reads a text and answers problems and warnings as lines.
fn findings(text: &str, read: impl FnOnce(&Section<'_>)) -> (Vec<String>, Vec<String>) {
    let document = Document::parse("s.conf", text, None).expect("the text parses");
    read(&document.root());
    let lines = |found: Vec<crate::Problem>| found.iter().map(ToString::to_string).collect();
    let (problems, warnings) = document.into_findings();
    (lines(problems), lines(warnings))
}

fn problems(text: &str, read: impl FnOnce(&Section<'_>)) -> Vec<String> {
    findings(text, read).0
}

/// The value read from a text in which nothing is wrong.
fn value<T>(text: &str, read: impl FnOnce(&Section<'_>) -> T) -> T {
    let document = Document::parse("s.conf", text, None).expect("the text parses");
    let value = read(&document.root());
    document.finish(Some(value)).expect("nothing is wrong").0
}

#[test]
fn an_unknown_key_names_line_key_and_the_nearest_known_key() {
    let found = problems("server {\n  bind_prot = 1\n  x = 2\n}", |root| {
        root.block("server").check(&[&KEYS], Unknown::Refused);
    });
    let expected = [
        "s.conf:2: server.bind_prot: unknown key; did you mean \"bind_port\"?",
        "s.conf:3: server.x: unknown key",
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_unknown_key_is_a_warning_where_spire_is_silent() {
    let (problems, warnings) = findings("bind_prot = 1", |root| {
        root.check(&[&KEYS], Unknown::Warned)
    });
    assert!(problems.is_empty());
    let expected =
        "s.conf:1: bind_prot: unknown key, it has no effect; did you mean \"bind_port\"?";
    assert_eq!(warnings, [expected]);
}

#[test]
fn a_key_not_supported_yet_is_an_error_that_says_what_to_do() {
    let found = problems("federation { a = 1 }", |root| {
        root.check(&[&KEYS], Unknown::Refused)
    });
    assert_eq!(
        found,
        ["s.conf:1: federation: not supported yet: keep SPIRE for that"]
    );
}

#[test]
fn a_key_not_supported_yet_that_switches_nothing_on_passes() {
    for text in [
        "federation {}",
        "federation = false",
        "federation = []",
        "federation = \"\"",
    ] {
        assert!(
            problems(text, |root| root.check(&[&KEYS], Unknown::Refused)).is_empty(),
            "{text}"
        );
    }
}

#[test]
fn a_key_without_effect_is_a_warning() {
    let (problems, warnings) = findings("cache_reload_interval = \"5s\"", |root| {
        root.check(&[&KEYS], Unknown::Refused);
    });
    assert!(problems.is_empty());
    assert_eq!(
        warnings,
        ["s.conf:1: cache_reload_interval: has no effect: changes are pushed"]
    );
}

#[test]
fn keys_have_no_case_and_the_last_of_two_counts_with_a_warning() {
    let text = "Bind_Port = 1\nname = \"a\"\nBIND_PORT = 2";
    assert_eq!(value(text, |root| root.port("bind_port")), Some(2));
    let (_, warnings) = findings(text, |root| root.check(&[&KEYS], Unknown::Refused));
    assert_eq!(
        warnings,
        ["s.conf:3: BIND_PORT: given twice: this one counts, not line 1"]
    );
}

#[test]
fn repeated_blocks_and_lists_of_blocks_are_one_section() {
    for text in [
        "a { x = 1 }\na { y = 2 }",
        r#"{"a": [{"x": 1}, {"y": "2"}]}"#,
    ] {
        let sum = value(text, |root| {
            let block = root.block("A");
            block.count("x").zip(block.count("y")).map(|(x, y)| x + y)
        });
        assert_eq!(sum, Some(3), "{text}");
    }
}

#[test]
fn every_wrong_value_is_reported_in_the_order_of_the_file() {
    let text = "b = \"true\"\nd = \"1d\"\nn = \"70000\"\nl = \"x\"\nt = [1]\nm = [true]\ns = 1";
    let found = problems(text, |root| {
        root.string("t");
        root.strings("l");
        root.strings("m");
        root.port("n");
        root.duration("d");
        root.bool("b");
        root.block("s");
        root.required_string("absent");
    });
    let expected = [
        "s.conf: absent: is required",
        "s.conf:1: b: needs true or false without quotes, not a text",
        "s.conf:2: d: the duration \"1d\" needs a unit after the number: h, m, s, ms, us or ns, \
         such as \"10s\"",
        "s.conf:3: n: \"70000\" is no whole number from 0 to 65535",
        "s.conf:4: l: needs a list in brackets, not a text",
        "s.conf:5: t: needs a text in quotes, not a list",
        "s.conf:6: m: holds true or false where a text is needed",
        "s.conf:7: s: needs a block in braces, not a number",
    ];
    assert_eq!(found, expected);
}

#[test]
fn getters_read_what_both_forms_write() {
    let text =
        "n = \"0x10\"\nt = 8081\nd = \"1h30m\"\nl = [\"a\", 2]\nb = true\ne = \"\"\nz = \"0s\"";
    value(text, |root| {
        assert_eq!(root.count("n"), Some(16));
        assert_eq!(root.string("t"), Some("8081"));
        assert_eq!(root.duration("d"), Some(Duration::from_secs(5400)));
        assert_eq!(root.strings("l"), ["a", "2"]);
        assert_eq!(root.bool("b"), Some(true));
        assert_eq!(
            (root.string("e"), root.duration("e"), root.count("e")),
            (None, None, None)
        );
        assert_eq!(
            (root.duration("z"), root.ttl("z")),
            (Some(Duration::ZERO), None)
        );
        assert!(root.is_set("t") && !root.is_set("e") && root.has("e") && !root.has("absent"));
    });
}

#[test]
fn a_flag_wins_over_the_file_and_its_fault_is_the_command_lines() {
    let flag = |text: &str| {
        let (value, empty) = (Some(Value::flag_text(text)), Some(Value::flag_text("")));
        Member::from_flags([("bind_port", value), ("name", None), ("name", empty)])
    };
    let document = Document::parse("s.conf", "bind_port = 1", None).expect("the text parses");
    let (good, bad) = (flag("2"), flag("x"));
    assert_eq!(good.len(), 1);
    let mut root = document.root();
    root.overlay(&good);
    root.check(&[&KEYS], Unknown::Refused);
    assert_eq!(root.port("bind_port"), Some(2));
    root.overlay(&bad);
    assert_eq!(root.port("bind_port"), None);
    let ConfigError { problems } = document.finish(Some(())).expect_err("the flag is bad");
    let expected = "command line: bind_port: \"x\" is no whole number from 0 to 65535";
    assert_eq!(problems[0].to_string(), expected);
}

#[test]
fn a_socket_path_has_to_fit_a_socket() {
    let found = problems(&format!("s = \"/{}\"", "x".repeat(107)), |root| {
        root.socket_path("s");
    });
    assert_eq!(
        found,
        ["s.conf:1: s: is longer than a socket's path may be: 107 bytes"]
    );
}

#[test]
fn plugins_are_read_from_every_shape() {
    let shapes = [
        "plugins { NodeAttestor \"x509pop\" { plugin_data { mode = \"spiffe\" } } }",
        "plugins { NodeAttestor \"x509pop\" { plugin_data = { mode = \"spiffe\" } } }",
        "plugins { NodeAttestor { x509pop { plugin_data { mode = \"spiffe\" } } } }",
        r#"{"plugins": {"NodeAttestor": [{"x509pop": {"plugin_data": {"mode": "spiffe"}}}]}}"#,
        r#"{"plugins": [{"NodeAttestor": {"x509pop": [{"plugin_data": [{"mode": "spiffe"}]}]}}]}"#,
    ];
    for text in shapes {
        let mode = value(text, |root| {
            let found = plugins(root, &KINDS);
            assert_eq!((found.len(), found[0].kind), (1, "NodeAttestor"), "{text}");
            (
                found[0].name,
                found[0].data.string("mode").map(str::to_owned),
            )
        });
        assert_eq!(mode, ("x509pop", Some("spiffe".to_owned())), "{text}");
    }
}

#[test]
fn plugins_that_cannot_work_are_all_named() {
    let text = r#"plugins {
      NodeAttestor "k8s_psat" { plugin_data {} }
      NodeAttestor "x509pob" {}
      NodeAttestor "mine" { plugin_cmd = "/bin/mine" }
      NodeAttestor "join_token" {}
      NodeAttestor "join_token" {}
      KeyManager "memory" {}
      KeyManager "disk" { plugin_dat {} }
      NodeAtestor "join_token" {}
    }"#;
    let expected = [
        "s.conf:2: plugins.NodeAttestor \"k8s_psat\": not supported yet: attest with a join token",
        "s.conf:3: plugins.NodeAttestor \"x509pob\": no such NodeAttestor; did you mean \"x509pop\"?",
        "s.conf:4: plugins.NodeAttestor \"mine\".plugin_cmd: not supported yet: plugins cannot be \
         external programs; use one that is built in",
        "s.conf:6: plugins.NodeAttestor \"join_token\": is configured twice; remove one",
        "s.conf:8: plugins.KeyManager \"disk\": only one KeyManager may be configured; remove one",
        "s.conf:8: plugins.KeyManager \"disk\".plugin_dat: unknown key; did you mean \
         \"plugin_data\"?",
        "s.conf:9: plugins.NodeAtestor: unknown key; did you mean \"NodeAttestor\"?",
    ];
    let found = problems(text, |root| {
        plugins(root, &KINDS);
    });
    assert_eq!(found, expected);
}

#[test]
fn a_plugin_switched_off_is_not_there() {
    let text = r#"plugins { NodeAttestor "k8s_psat" { enabled = false } }"#;
    assert_eq!(value(text, |root| plugins(root, &KINDS).len()), 0);
}

#[test]
fn logging_health_and_telemetry_have_spires_defaults() {
    value("", |root| {
        assert_eq!(LogSettings::read(root), LogSettings::default());
        assert_eq!(HealthSettings::read(root), None);
        let telemetry = TelemetrySettings::read(root, "spire_server");
        assert_eq!(telemetry.metric_prefix, "spire_server");
        assert_eq!(telemetry.prometheus, None);
    });
}

#[test]
fn logging_health_and_telemetry_read_their_keys() {
    let text = r#"
      log_level = "warning", log_format = "JSON", log_file = "/var/log/x", log_source_location = true
      health_checks { listener_enabled = true, bind_address = "0.0.0.0", bind_port = "8080" }
      telemetry { Prometheus { host = "0.0.0.0", port = 9988 }, metricprefix = "my" }
    "#;
    value(text, |root| {
        let log = LogSettings::read(root);
        assert_eq!((log.level, log.format), (LogLevel::Warn, LogFormat::Json));
        assert!(log.source_location && log.file.is_some());
        let health = HealthSettings::read(root).expect("it is on");
        assert_eq!(
            (health.bind_address.as_str(), health.bind_port),
            ("0.0.0.0", 8080)
        );
        assert_eq!(
            (health.live_path.as_str(), health.ready_path.as_str()),
            ("/live", "/ready")
        );
        let telemetry = TelemetrySettings::read(root, "p");
        assert_eq!(telemetry.prometheus.map(|p| p.port), Some(9988));
        assert_eq!(telemetry.metric_prefix, "my");
    });
}

#[test]
fn logging_health_and_telemetry_refuse_what_they_cannot_do() {
    let text = "log_level = \"loud\"\nhealth_checks { ready_path = \"ready\", port = 1 }\n\
        telemetry {\nPrometheus { tls { cert_file = \"x\" } }\nStatsd = [{ address = \"a\" }]\n}";
    let (problems, warnings) = findings(text, |root| {
        LogSettings::read(root);
        HealthSettings::read(root);
        TelemetrySettings::read(root, "p");
    });
    let expected = [
        "s.conf:1: log_level: \"loud\" is none of: TRACE, DEBUG, INFO, WARN, WARNING, ERROR, FATAL, \
         PANIC",
        "s.conf:2: health_checks.ready_path: must start with \"/\"",
        "s.conf:2: health_checks.port: unknown key",
        "s.conf:4: telemetry.Prometheus.port: is required",
        "s.conf:4: telemetry.Prometheus.tls: not supported yet: remove it and let host be \
         \"localhost\", or keep others off the port",
    ];
    assert_eq!(problems, expected);
    let sink = "s.conf:5: telemetry.Statsd: has no effect: only Prometheus is served; scrape that";
    assert_eq!(warnings, [sink]);
}
