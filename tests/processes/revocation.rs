//! What is taken away is gone within a second, for streams that are open too.

use std::time::Duration;

use signet_proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use signet_proto::workload::{X509svidRequest, X509svidResponse};
use signet_tests::{Scene, wait, wire};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

/// From the answer to the operator on.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_disabled_entry_is_gone_from_an_open_stream() {
    let scene = Scene::start().await;
    let entry = scene.server.entry("/workload", &[]).await;
    let mut stream = open(&scene).await;
    let set = async |to: &str| {
        let line = ["entry", "patch", "--entry-id", &entry, to];
        scene.server.cli(&line).await.ok();
    };
    set("--disabled=true").await;
    assert_denied(&ended(&mut stream).await);
    set("--disabled=false").await;
    open(&scene).await;
}

#[tokio::test]
async fn a_deleted_entry_is_gone_from_an_open_stream() {
    let scene = Scene::start().await;
    let entry = scene.server.entry("/workload", &[]).await;
    let mut stream = open(&scene).await;
    scene
        .server
        .cli(&["entry", "delete", "-entryID", &entry])
        .await
        .ok();
    assert_denied(&ended(&mut stream).await);
}

#[tokio::test]
async fn a_banned_agent_stops_at_once_and_does_not_come_back() {
    let mut scene = Scene::start().await;
    stops_at_once(&mut scene, "ban").await;
    let mut again = scene.agent.spawn(&[]);
    assert!(!again.ended().await.success());
}

#[tokio::test]
async fn an_evicted_agent_without_a_token_stops_at_once() {
    let mut scene = Scene::start().await;
    stops_at_once(&mut scene, "evict").await;
    assert_eq!(scene.server.agents().await.len(), 0);
}

async fn stops_at_once(scene: &mut Scene, verb: &str) {
    scene.server.entry("/workload", &[]).await;
    let mut stream = open(scene).await;
    let agent = scene.server.only_agent().await;
    scene
        .server
        .cli(&["agent", verb, "-spiffeID", &agent])
        .await
        .ok();
    let end = ended(&mut stream).await;
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    let mut process = scene.agent.process.take().unwrap();
    assert!(!process.ended_within(AT_ONCE).await.success());
}

async fn open(scene: &Scene) -> Streaming<X509svidResponse> {
    let channel = wire::channel(&scene.agent.socket).await.unwrap();
    let mut client = SpiffeWorkloadApiClient::new(channel);
    wait::until("an SVID", async || {
        let request = wire::workload_request(X509svidRequest {});
        let mut stream = client.fetch_x509svid(request).await.ok()?.into_inner();
        let first = stream.message().await.ok()??;
        assert_eq!(first.svids.len(), 1);
        Some(stream)
    })
    .await
}

/// Why the stream ended.
async fn ended(stream: &mut Streaming<X509svidResponse>) -> Status {
    let end = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    panic!("the stream ended with OK, after which clients do not ask again")
                }
                Err(status) => return status,
            }
        }
    };
    timeout(AT_ONCE, end)
        .await
        .expect("the stream to end within a second")
}

fn assert_denied(status: &Status) {
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(status.message().contains("no identity issued"), "{status}");
}
