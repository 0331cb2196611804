//! Signals, probes, metrics, and two programs on the same files.

use rustix::process::Signal;
use signet_proto::workload::X509svidRequest;
use signet_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use signet_tests::scene::directory;
use signet_tests::{
    Agent, AgentSettings, Attestation, Maker, Scene, Server, ServerSettings, wait, wire,
};
use tonic::Code;

#[tokio::test]
async fn a_second_server_on_the_same_data_directory_is_refused() {
    let directory = directory();
    let server = Server::start(directory.path(), &ServerSettings::new(Maker::Signet)).await;
    let mut second = server.spawn();
    assert!(!second.ended().await.success());
    assert!(
        second.log().contains("is in use by another signet-server"),
        "{}",
        second.log()
    );
    server.cli(&["healthcheck"]).await.ok();
}

#[tokio::test]
async fn a_second_agent_on_the_same_data_directory_is_refused() {
    let scene = Scene::start().await;
    let mut second = scene.agent.spawn(&[]);
    assert!(!second.ended().await.success());
    assert!(
        second.log().contains("another signet-agent"),
        "{}",
        second.log()
    );
    scene.agent.cli(&["healthcheck"]).await.ok();
}

#[tokio::test]
async fn a_stopped_agent_drains_and_its_streams_can_be_tried_again() {
    let mut scene = Scene::start().await;
    scene.server.entry("/workload", &[]).await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
    let channel = wire::channel(&scene.agent.socket).await.unwrap();
    let request = wire::workload_request(X509svidRequest {});
    let stream = SpiffeWorkloadApiClient::new(channel)
        .fetch_x509svid(request)
        .await;
    let mut stream = stream.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    scene.agent.process.take().unwrap().terminate().await;
    let end = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended with OK, after which clients do not ask again"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end}");
}

#[tokio::test]
async fn a_stopped_server_ends_well_with_an_agent_connected() {
    let mut scene = Scene::start().await;
    scene.server.process.take().unwrap().terminate().await;
    scene.server.resume().await;
}

#[tokio::test]
async fn the_log_file_can_be_rotated() {
    let directory = directory();
    let log = directory.path().join("rotated.log");
    let line = format!("log_file = \"{}\"", log.display());
    let settings = ServerSettings::new(Maker::Signet).line(&line);
    let mut server = Server::start(directory.path(), &settings).await;
    let old = directory.path().join("rotated.log.1");
    std::fs::rename(&log, &old).unwrap();
    let process = server.process.take().unwrap();
    process.signal(Signal::USR2);
    wait::until("a new log file", async || log.exists().then_some(())).await;
    process.terminate().await;
    assert!(std::fs::read_to_string(&log).unwrap().contains("stopping"));
    assert!(!std::fs::read_to_string(&old).unwrap().contains("stopping"));
}

fn probes(port: u16) -> String {
    format!(
        "health_checks {{\n  listener_enabled = true\n  bind_address = \"127.0.0.1\"\n  \
         bind_port = \"{port}\"\n}}"
    )
}

fn metrics(port: u16) -> String {
    format!("telemetry {{\n  Prometheus {{\n    host = \"127.0.0.1\"\n    port = {port}\n  }}\n}}")
}

async fn is_well(port: u16, path: &str) -> bool {
    let answer = wire::http_get(port, path).await;
    answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

#[tokio::test]
async fn both_programs_answer_probes_and_show_metrics() {
    let directory = directory();
    let mut ports = Vec::new();
    for _ in 0..4 {
        ports.push(wire::free_port().await);
    }
    let server = ServerSettings::new(Maker::Signet)
        .block(probes(ports[0]))
        .block(metrics(ports[1]));
    let server = Server::start(directory.path(), &server).await;
    let attestation = Attestation::JoinToken(server.join_token().await);
    let agent = AgentSettings::new(Maker::Signet, attestation);
    let agent = agent.block(probes(ports[2])).block(metrics(ports[3]));
    let mut agent = Agent::start(directory.path(), &server, &agent).await;
    for port in [ports[0], ports[2]] {
        assert!(is_well(port, "/live").await);
        wait::until("a ready program", async || {
            is_well(port, "/ready").await.then_some(())
        })
        .await;
    }
    for (port, prefix) in [(ports[1], "spire_server_"), (ports[3], "spire_agent_")] {
        let page = wire::http_get(port, "/metrics").await.unwrap();
        assert!(page.contains("200 OK") && page.contains(prefix), "{page}");
    }
    agent.process.take().unwrap().terminate().await;
    drop(server);
    agent.process = Some(agent.spawn(&[]));
    wait::until("a live agent", async || {
        is_well(ports[2], "/live").await.then_some(())
    })
    .await;
    assert!(
        !is_well(ports[2], "/ready").await,
        "it has not reached a server yet"
    );
}

#[tokio::test]
async fn secrets_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::start().await;
    let files = [
        scene.server.data_dir.join("keys.json"),
        scene.agent.data_dir.join("keys.json"),
    ];
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", file.display());
    }
    let mode = scene.agent.socket.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o777, "every process may ask who it is");
}
