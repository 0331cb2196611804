//! What the line means, and what is wrong with it.

use std::path::Path;

use clap::CommandFactory;

use super::{Line, asked, parsed};
use crate::cli::RunArgs;
use crate::config::ServerFlags;
use signet_cli::testing::Fake;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::HealthCheckResponse;

fn run(line: &str) -> RunArgs {
    match parsed(line) {
        Ok(Line::Run(arguments)) => arguments,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_tree_is_sound() {
    Line::command().debug_assert();
}

#[test]
fn run_without_flags_leaves_all_to_the_file() {
    let arguments = run("run");
    assert_eq!(arguments.config, Path::new("conf/server/server.conf"));
    assert!(!arguments.expand_env());
    assert_eq!(arguments.flags(), ServerFlags::default());
}

#[test]
fn run_takes_spires_flags() {
    let arguments = run(
        "run -config x.conf -bindAddress 127.0.0.1 -serverPort 8081 -dataDir /d \
                         -socketPath=/s -trustDomain td -logFile /l -logFormat JSON -logLevel INFO \
                         -logSourceLocation -expandEnv=true",
    );
    assert_eq!(arguments.config, Path::new("x.conf"));
    assert!(arguments.expand_env());
    let expected = ServerFlags {
        bind_address: Some("127.0.0.1".into()),
        server_port: Some(8081),
        socket_path: Some("/s".into()),
        data_dir: Some("/d".into()),
        trust_domain: Some("td".into()),
        log_file: Some("/l".into()),
        log_format: Some("JSON".into()),
        log_level: Some("INFO".into()),
        log_source_location: Some(true),
    };
    assert_eq!(arguments.flags(), expected);
}

#[test]
fn mistakes_have_spires_exit_codes() {
    for (line, code) in [
        ("", 127),
        ("entries show", 127),
        ("entry", 1),
        ("entry make", 1),
        ("-h", 0),
        ("entry create -h", 0),
        ("entry show -matchSelectorsOn sometimes", 1),
        ("agent show", 1),
        ("agent list -banned nonsense", 1),
        ("entry count -socketPath /a -instance b", 1),
        ("why", 1),
    ] {
        assert_eq!(parsed(line).unwrap_err().code, code, "{line}");
    }
}

#[test]
fn every_command_tells_what_its_flags_are_for() {
    fn check(command: &clap::Command) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name}");
        for flag in command.get_arguments() {
            assert!(flag.get_help().is_some(), "{name} --{}", flag.get_id());
        }
        command.get_subcommands().for_each(check);
    }
    check(&Line::command());
}

fn health(status: i32) -> Fake {
    let reply = move |_: HealthCheckRequest| Ok(HealthCheckResponse { status });
    Fake::new().on("/grpc.health.v1.Health/Check", reply)
}

#[tokio::test]
async fn a_healthy_server_is_healthy() {
    let answer = asked(&health(1), "healthcheck -verbose").await.unwrap();
    assert_eq!(
        answer.text,
        "Checking server health...\nServer is healthy.\n"
    );
    assert!(!answer.failed);
}

#[tokio::test]
async fn an_unhealthy_server_fails_the_command() {
    let answer = asked(&health(2), "healthcheck").await.unwrap();
    assert!(answer.failed);
    assert!(
        answer.problems.contains("NOT_SERVING"),
        "{}",
        answer.problems
    );
}
