//! SPIRE's command line on our socket.

use signet_tests::programs::spire_is_here;
use signet_tests::{Maker, Scene, Server, ServerSettings, id, scene};
use tempfile::TempDir;

async fn server(name: &str) -> Option<(TempDir, Server)> {
    if !spire_is_here(name) {
        return None;
    }
    let directory = scene::directory();
    let server = Server::start(directory.path(), &ServerSettings::new(Maker::Signet)).await;
    Some((directory, server))
}

async fn spire(server: &Server, line: &[&str]) -> String {
    server.cli_of(Maker::Spire, line).await.ok()
}

#[tokio::test]
async fn spires_command_line_administers_our_entries() {
    let Some((_directory, server)) = server("spires_command_line_administers_our_entries").await
    else {
        return;
    };
    let (parent, identity) = (id("/node"), id("/workload"));
    let what = [
        "-parentID",
        &parent,
        "-spiffeID",
        &identity,
        "-selector",
        "unix:uid:7",
    ];
    let create = [
        &["entry", "create", "-x509SVIDTTL", "600", "-hint", "till"],
        &what[..],
    ]
    .concat();
    let created = spire(&server, &create).await;
    let entry = created
        .lines()
        .find_map(|line| line.strip_prefix("Entry ID"))
        .unwrap();
    let entry = entry.trim_start_matches([' ', ':']).to_owned();
    let twice = server.cli_of(Maker::Spire, &create).await.refused();
    assert!(twice.contains("similar entry already exists"), "{twice}");

    for by in [
        ["-entryID", &entry],
        ["-spiffeID", &identity],
        ["-selector", "unix:uid:7"],
    ] {
        let shown = spire(&server, &["entry", "show", by[0], by[1]]).await;
        assert!(
            shown.contains("Found 1 entry") && shown.contains("600"),
            "{shown}"
        );
    }
    let update = [
        &["entry", "update", "-entryID", &entry, "-jwtSVIDTTL", "60"],
        &what[..],
    ]
    .concat();
    let updated = spire(&server, &update).await;
    let revision = updated
        .lines()
        .find(|line| line.starts_with("Revision"))
        .unwrap();
    assert!(revision.ends_with(": 1"), "{updated}");
    let shown = spire(&server, &["entry", "show", "-entryID", &entry]).await;
    assert!(
        !shown.contains("600") && !shown.contains("till"),
        "an update replaces: {shown}"
    );
    assert!(
        spire(&server, &["entry", "count"])
            .await
            .contains("1 registration entry")
    );
    let deleted = spire(&server, &["entry", "delete", "-entryID", &entry]).await;
    assert!(
        deleted.contains(&format!("Deleted entry with ID: {entry}")),
        "{deleted}"
    );
    server
        .cli_of(Maker::Spire, &["entry", "delete", "-entryID", &entry])
        .await
        .refused();
    let shown = spire(&server, &["entry", "show"]).await;
    assert!(shown.contains("Found 0 entries"), "{shown}");
}

#[tokio::test]
async fn spires_command_line_administers_our_agents_and_tokens() {
    if !spire_is_here("spires_command_line_administers_our_agents_and_tokens") {
        return;
    }
    let scene = Scene::of(&ServerSettings::new(Maker::Signet), Maker::Signet).await;
    let server = &scene.server;
    let token = spire(
        server,
        &["token", "generate", "-ttl", "60", "-spiffeID", &id("/n")],
    )
    .await;
    assert!(token.starts_with("Token: "), "{token}");
    let agent = server.only_agent().await;
    let listed = spire(server, &["agent", "list"]).await;
    assert!(
        listed.contains("Found 1 attested agent") && listed.contains(&agent),
        "{listed}"
    );
    let shown = spire(server, &["agent", "show", "-spiffeID", &agent]).await;
    assert!(
        shown.contains("Found an attested agent given its SPIFFE ID"),
        "{shown}"
    );
    let count = spire(
        server,
        &["agent", "count", "-attestationType", "join_token"],
    )
    .await;
    assert!(count.contains("1 attested agent"), "{count}");
    let purged = spire(server, &["agent", "purge", "-expiredFor", "1h"]).await;
    assert!(purged.contains("No agents"), "{purged}");
    let banned = spire(server, &["agent", "ban", "-spiffeID", &agent]).await;
    assert!(banned.contains("Agent banned successfully"), "{banned}");
    let evicted = spire(server, &["agent", "evict", "-spiffeID", &agent]).await;
    assert!(evicted.contains("Agent evicted successfully"), "{evicted}");
    let listed = spire(server, &["agent", "list"]).await;
    assert!(listed.contains("No attested agents found"), "{listed}");
}

#[tokio::test]
async fn spires_command_line_administers_our_bundles() {
    let Some((directory, server)) = server("spires_command_line_administers_our_bundles").await
    else {
        return;
    };
    let pem = spire(&server, &["bundle", "show"]).await;
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"), "{pem}");
    let document = spire(&server, &["bundle", "show", "-format", "spiffe"]).await;
    assert!(
        document.contains("x509-svid") && document.contains("jwt-svid"),
        "{document}"
    );
    assert_eq!(pem, server.cli(&["bundle", "show"]).await.ok());

    let file = directory.path().join("other.json");
    std::fs::write(&file, &document).unwrap();
    let (file, other) = (file.to_str().unwrap(), "spiffe://other.test");
    let set = [
        "bundle", "set", "-id", other, "-format", "spiffe", "-path", file,
    ];
    assert!(spire(&server, &set).await.contains("bundle set"));
    assert!(
        spire(&server, &["bundle", "list"])
            .await
            .contains("other.test")
    );
    let count = spire(&server, &["bundle", "count"]).await;
    assert!(count.contains("2 bundles"), "{count}");
    assert!(
        spire(&server, &["bundle", "delete", "-id", other])
            .await
            .contains("bundle deleted")
    );
    let count = spire(&server, &["bundle", "count"]).await;
    assert!(count.contains("1 bundle"), "{count}");
}

#[tokio::test]
async fn spires_command_line_mints_and_asks_for_health() {
    let Some((_directory, server)) = server("spires_command_line_mints_and_asks_for_health").await
    else {
        return;
    };
    assert!(
        spire(&server, &["healthcheck"])
            .await
            .contains("Server is healthy.")
    );
    let minted = spire(&server, &["x509", "mint", "-spiffeID", &id("/minted")]).await;
    assert!(
        minted.contains("X509-SVID:") && minted.contains("Private key:"),
        "{minted}"
    );
    let jwt = [
        "jwt",
        "mint",
        "-spiffeID",
        &id("/minted"),
        "-audience",
        "payments",
    ];
    assert_eq!(spire(&server, &jwt).await.trim().split('.').count(), 3);
}
