//! The harness judged by programs that are known to work.

use signet_tests::programs::spire_is_here;
use signet_tests::{Maker, Scene, ServerSettings};

#[tokio::test]
async fn spires_server_and_agent_run_under_the_harness() {
    if !spire_is_here("spires_server_and_agent_run_under_the_harness") {
        return;
    }
    let scene = Scene::of(&ServerSettings::new(Maker::Spire), Maker::Spire).await;
    scene.server.entry("/workload", &[]).await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
    scene.agent.fetch_jwt("payments").await;
}
