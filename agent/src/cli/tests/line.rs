//! What the line means, and what is wrong with it.

use std::path::Path;

use clap::CommandFactory;
use signet_cli::testing::Fake;
use signet_proto::signet::agent::admin::v1::{WhyRequest, WhyResponse};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{Line, asked, parsed};
use crate::cli::RunArgs;

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
fn run_takes_spires_flags() {
    let arguments = run(
        "run -config x.conf -dataDir /d -joinToken secret -logFile /l -logFormat \
                         json -logLevel DEBUG -serverAddress s -serverPort 8081 -trustDomain td \
                         -disableWorkloadAPI -disableSDSAPI -trustBundle /b -trustBundleUrl u \
                         -trustBundleFormat pem -allowUnauthenticatedVerifiers -insecureBootstrap \
                         -rebootstrapMode auto -rebootstrapDelay 10m -expandEnv -socketPath /s \
                         -logSourceLocation=false",
    );
    assert_eq!(arguments.config, Path::new("x.conf"));
    assert!(arguments.expand_env());
    let flags = arguments.flags();
    assert_eq!(flags.join_token.unwrap().expose(), "secret");
    assert_eq!(flags.server_port, Some(8081));
    assert_eq!(flags.trust_bundle_url.as_deref(), Some("u"));
    assert_eq!(flags.disable_sds_api, Some(true));
    assert_eq!(flags.disable_workload_api, Some(true));
    assert_eq!(flags.log_source_location, Some(false));
    assert_eq!(flags.rebootstrap_delay.as_deref(), Some("10m"));
}

#[test]
fn a_join_token_does_not_print() {
    let arguments = run("run -joinToken hush");
    assert!(!format!("{arguments:?}").contains("hush"));
}

#[test]
fn mistakes_have_spires_exit_codes() {
    for (line, code) in [
        ("", 127),
        ("fetch", 127),
        ("api", 1),
        ("api sing", 1),
        ("api fetch jwt", 1),
        ("api validate jwt -audience a", 1),
        ("run -joinToken a -joinTokenFile b", 1),
        ("why", 1),
        ("why -pid 0", 1),
        ("-h", 0),
        ("api fetch -h", 0),
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

#[tokio::test]
async fn a_healthy_agent_is_healthy() {
    let agent = Fake::new().on("/grpc.health.v1.Health/Check", |_: HealthCheckRequest| {
        Ok(HealthCheckResponse { status: 1 })
    });
    let answer = asked(&agent, "healthcheck").await.unwrap();
    assert_eq!(answer.text, "Agent is healthy.\n");
}

#[tokio::test]
async fn an_explanation_is_passed_on_in_both_forms() {
    let agent = Fake::new().on("/signet.agent.admin.v1.Admin/Why", |request: WhyRequest| {
        assert_eq!(request.pid, 42);
        Ok(WhyResponse {
            text: "because".into(),
            json: "{\"why\":\"because\"}".into(),
        })
    });
    let answer = asked(&agent, "why --pid 42").await.unwrap();
    assert_eq!(answer.text, "because\n");
    assert_eq!(answer.json.unwrap()["why"], "because");
}
