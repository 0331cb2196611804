//! Our server below SPIRE's, and SPIRE's below ours: the same story both ways.

use signet_tests::nested::Level;
use signet_tests::openssl::openssl;
use signet_tests::programs::spire_is_here;
use signet_tests::scene::directory;
use signet_tests::{Maker, ServerSettings, wait};

#[tokio::test]
async fn our_server_hangs_below_spires() {
    if spire_is_here("our_server_hangs_below_spires") {
        hangs_below(Maker::Spire, Maker::Signet).await;
    }
}

#[tokio::test]
async fn spires_server_hangs_below_ours() {
    if spire_is_here("spires_server_hangs_below_ours") {
        hangs_below(Maker::Signet, Maker::Spire).await;
    }
}

async fn hangs_below(above: Maker, below: Maker) {
    let directory = directory();
    let path = directory.path();
    let root = Level::start(path, "root", &ServerSettings::new(above)).await;
    root.lets_servers_below(path).await;
    let level = root.below(path, "below", below).await;
    level.server.entry("/workload", &[]).await;
    let svids = path.join("svids");
    level.agent.fetch_x509_to(&svids).await;
    let bundle = path.join("root.pem");
    root.server.bundle_to(&bundle).await;
    let svid = svids.join("svid.0.pem");
    let (svid, bundle) = (svid.to_str().unwrap(), bundle.to_str().unwrap());
    let line = ["verify", "-CAfile", bundle, "-untrusted", svid, svid];
    assert!(openssl(&line).await.ok().contains(": OK"));

    let token = level.agent.fetch_jwt("payments").await;
    let line = [
        "api",
        "validate",
        "jwt",
        "-audience",
        "payments",
        "-svid",
        &token,
    ];
    wait::until("a token that is good above", async || {
        root.agent.cli(&line).await.status.success().then_some(())
    })
    .await;
    the_root_is_replaced(&root, &level).await;
}

/// What is prepared, activated, tainted and revoked above is followed below.
async fn the_root_is_replaced(root: &Level, below: &Level) {
    let mut authorities = root.authorities().await;
    let mut ours = below.authorities().await;
    let (old, before) = (authorities.active().await, ours.active().await);
    let new = authorities.prepare().await;
    wait::until("the new root below", async || {
        (below.roots().await == 2).then_some(())
    })
    .await;
    authorities.activate(&new).await;
    authorities.taint(&old).await;
    wait::until("an authority below the new root", async || {
        (ours.active().await != before).then_some(())
    })
    .await;
    authorities.revoke(&old).await;
    wait::until("one root below", async || {
        (below.roots().await == 1).then_some(())
    })
    .await;
}
