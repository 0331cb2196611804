//! A whole server whose keys are in the transit engine.

use std::path::Path;

use signet_tests::openbao::OpenBao;
use signet_tests::openssl::openssl;
use signet_tests::{Maker, Output, Server, ServerSettings, id, wait};

use super::{token, with_transit};

fn settings(bao: &OpenBao, token: &str) -> ServerSettings {
    ServerSettings::new(Maker::Signet).keys(&format!(
        "KeyManager \"hashicorp_vault\" {{\n    plugin_data {{\n      vault_addr = \"{}\"\n      \
         ca_cert_path = \"{}\"\n      key_identifier_value = \"server-1\"\n      \
         token_auth {{ token = \"{token}\" }}\n    }}\n  }}",
        bao.address(),
        bao.authority.display()
    ))
}

pub(super) async fn mint(server: &Server, folder: &Path) -> Output {
    std::fs::create_dir_all(folder).unwrap();
    let folder = folder.display().to_string();
    let identity = id("/web");
    let line = ["x509", "mint", "-spiffeID", &identity, "-write", &folder];
    server.cli(&line).await
}

pub(super) async fn verified_by_openssl(folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    let (bundle, svid) = (path("bundle.pem"), path("svid.pem"));
    let line = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        &bundle,
        "-untrusted",
        &svid,
        &svid,
    ];
    let said = openssl(&line).await.ok();
    assert!(said.ends_with(": OK\n"), "{said}");
}

#[tokio::test]
async fn every_kind_of_key_in_transit_signs_what_openssl_verifies() {
    let name = "every_kind_of_key_in_transit_signs_what_openssl_verifies";
    let Some((directory, bao)) = with_transit(name).await else {
        return;
    };
    let token = token(&bao, "1h").await;
    for kind in ["ec-p256", "ec-p384", "rsa-2048", "rsa-4096"] {
        let folder = directory.path().join(kind);
        std::fs::create_dir_all(&folder).unwrap();
        let settings = settings(&bao, &token)
            .line(&format!("ca_key_type = \"{kind}\""))
            .line(&format!("jwt_key_type = \"{kind}\""));
        // The same server with another data directory: it takes the keys over, and makes them anew.
        let server = Server::start(&folder, &settings).await;
        mint(&server, &folder.join("svid")).await.ok();
        verified_by_openssl(&folder.join("svid")).await;
        let line = ["jwt", "mint", "-spiffeID", &id("/web"), "-audience", "a"];
        let token = server.cli(&line).await.ok();
        assert_eq!(token.trim().split('.').count(), 3, "{token}");
    }
    let keys = bao
        .cli(&["list", "-format=json", "transit/keys"])
        .await
        .json();
    let keys: Vec<_> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap())
        .collect();
    let mut ids: Vec<_> = keys
        .iter()
        .map(|key| key.rsplit_once('.').unwrap().0)
        .collect();
    ids.dedup();
    assert_eq!(
        keys.len(),
        ids.len(),
        "keys that were replaced are deleted: {keys:?}"
    );
}

#[tokio::test]
async fn a_server_keeps_its_authority_over_restarts_and_outages_of_openbao() {
    let name = "a_server_keeps_its_authority_over_restarts_and_outages_of_openbao";
    let Some((directory, mut bao)) = with_transit(name).await else {
        return;
    };
    let settings = settings(&bao, &token(&bao, "1h").await);
    let mut server = Server::start(directory.path(), &settings).await;
    let svid = |name: &str| directory.path().join(name);
    let bundle = async |server: &Server| server.cli(&["bundle", "show"]).await.ok();
    let before = bundle(&server).await;
    mint(&server, &svid("one")).await.ok();

    server.kill().await;
    server.resume().await;
    assert_eq!(bundle(&server).await, before);

    bao.cli(&["operator", "seal"]).await.ok();
    let refused = mint(&server, &svid("sealed")).await.refused();
    assert!(refused.contains("Vault is sealed"), "{refused}");
    verified_by_openssl(&svid("one")).await;
    bao.unseal().await;
    mints_again(&server, &svid("two")).await;

    bao.kill().await;
    mint(&server, &svid("down")).await.refused();
    verified_by_openssl(&svid("two")).await;
    bao.resume().await;
    mints_again(&server, &svid("three")).await;
    assert_eq!(bundle(&server).await, before);
    let log = server.process.as_ref().unwrap().log();
    assert_eq!(
        log.matches("Vault does not do its part").count(),
        2,
        "{log}"
    );
    assert_eq!(log.matches("Vault does its part again").count(), 2, "{log}");
    assert!(log.contains("Vault is sealed"), "{log}");
}

async fn mints_again(server: &Server, folder: &Path) {
    wait::until("an SVID after the outage", async || {
        mint(server, folder).await.status.success().then_some(())
    })
    .await;
    verified_by_openssl(folder).await;
}

#[tokio::test]
async fn a_server_whose_openbao_is_down_says_so_and_does_not_start() {
    let name = "a_server_whose_openbao_is_down_says_so_and_does_not_start";
    let Some((directory, mut bao)) = with_transit(name).await else {
        return;
    };
    let settings = settings(&bao, &token(&bao, "1h").await);
    let mut server = Server::start(directory.path(), &settings).await;
    server.kill().await;
    bao.kill().await;
    let mut process = server.spawn();
    assert!(!process.ended().await.success());
    let log = process.log();
    assert!(log.contains("key manager hashicorp_vault"), "{log}");
    bao.resume().await;
    server.resume().await;
}

#[tokio::test]
async fn a_short_lived_token_is_renewed_while_the_server_runs() {
    let name = "a_short_lived_token_is_renewed_while_the_server_runs";
    let Some((directory, bao)) = with_transit(name).await else {
        return;
    };
    let token = token(&bao, "4s").await;
    let server = Server::start(directory.path(), &settings(&bao, &token)).await;
    // Two lifetimes later it is the same token.
    let renewed = wait::until("a renewed token", async || {
        let facts = bao.cli(&["token", "lookup", "-format=json", &token]).await;
        let facts = facts.status.success().then(|| facts.json())?;
        let moment = |key: &str| facts["data"][key].as_u64();
        let age = moment("last_renewal_time")? - moment("creation_time")?;
        (age >= 8).then_some(age)
    })
    .await;
    assert!(renewed >= 8);
    let folder = directory.path().join("svid");
    mint(&server, &folder).await.ok();
    verified_by_openssl(&folder).await;
}
