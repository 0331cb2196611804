//! A server whose authorities are signed by the PKI engine.

use std::path::Path;
use std::sync::Arc;

use signet_http::Roots;
use signet_runtime::{Clock, SystemClock};
use signet_spiffe::TrustDomain;
use signet_tests::openbao::{self, OpenBao};
use signet_tests::openssl::openssl;
use signet_tests::{Maker, Server, ServerSettings, TRUST_DOMAIN, scene};
use signet_upstream::testing::contract;
use signet_vault::{Auth, PkiUpstream, Secret, Settings, Vault};
use tempfile::TempDir;

use super::server::{mint, verified_by_openssl};

/// One with a root in `pki`, and below it an intermediate in `pki-int`; or a skip.
async fn with_pki(name: &str) -> Option<(TempDir, OpenBao)> {
    let program = openbao::program(name)?;
    let directory = scene::directory();
    let bao = OpenBao::start(directory.path(), program).await;
    for mount in ["pki", "pki-int"] {
        let path = format!("-path={mount}");
        let line = ["secrets", "enable", &path, "-max-lease-ttl=87600h", "pki"];
        bao.cli(&line).await.ok();
    }
    let root = [
        "pki/root/generate/internal",
        "common_name=root",
        "ttl=87600h",
    ];
    bao.cli(&[&["write"], &root[..]].concat()).await.ok();
    let path = |name: &str| directory.path().join(name);
    let request = [
        "pki-int/intermediate/generate/internal",
        "common_name=below",
    ];
    let asked = [&["write", "-format=json"], &request[..]].concat();
    let asked = bao.cli(&asked).await.json();
    std::fs::write(path("int.csr"), asked["data"]["csr"].as_str().unwrap()).unwrap();
    let csr = format!("csr=@{}", path("int.csr").display());
    let line = [
        "write",
        "-format=json",
        "pki/root/sign-intermediate",
        &csr,
        "ttl=80000h",
    ];
    let signed = bao.cli(&line).await.json();
    let chain = ["certificate", "issuing_ca"].map(|key| signed["data"][key].as_str().unwrap());
    std::fs::write(path("int.pem"), chain.join("\n")).unwrap();
    let signed = format!("certificate=@{}", path("int.pem").display());
    let line = ["write", "pki-int/intermediate/set-signed", &signed];
    bao.cli(&line).await.ok();
    Some((directory, bao))
}

fn settings(bao: &OpenBao, mount: &str) -> ServerSettings {
    ServerSettings::new(Maker::Signet).block(format!(
        "plugins {{\n  UpstreamAuthority \"vault\" {{\n    plugin_data {{\n      vault_addr = \
         \"{}\"\n      ca_cert_path = \"{}\"\n      pki_mount_point = \"{mount}\"\n      \
         token_auth {{ token = \"{}\" }}\n    }}\n  }}\n}}",
        bao.address(),
        bao.authority.display(),
        bao.root_token
    ))
}

#[tokio::test]
async fn the_pki_engine_keeps_the_contract_of_upstream_authorities() {
    let name = "the_pki_engine_keeps_the_contract_of_upstream_authorities";
    let Some((_directory, bao)) = with_pki(name).await else {
        return;
    };
    let settings = Settings {
        address: bao.address().parse().unwrap(),
        namespace: None,
        roots: Roots::File(bao.authority.clone()),
        auth: Auth::Token(Secret::new(bao.root_token.clone())),
    };
    let vault = Vault::connect(settings).await.unwrap();
    let trust_domain = TrustDomain::from_name_or_id(TRUST_DOMAIN).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    for mount in ["pki", "pki-int"] {
        let upstream = PkiUpstream::new(Arc::clone(&vault), mount.parse().unwrap());
        contract::check(&upstream, &trust_domain, &clock).await;
    }
}

#[tokio::test]
async fn svids_under_a_root_and_under_an_intermediate_verify_and_outages_pass() {
    let name = "svids_under_a_root_and_under_an_intermediate_verify_and_outages_pass";
    let Some((directory, mut bao)) = with_pki(name).await else {
        return;
    };
    for (mount, length) in [("pki", 2), ("pki-int", 3)] {
        let folder = directory.path().join(mount);
        std::fs::create_dir_all(&folder).unwrap();
        let server = Server::start(&folder, &settings(&bao, mount)).await;
        mint(&server, &folder.join("svid")).await.ok();
        verified_by_openssl(&folder.join("svid")).await;
        let chain = std::fs::read_to_string(folder.join("svid/svid.pem")).unwrap();
        assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), length);
        assert!(shows_root(&folder.join("svid/bundle.pem")).await);

        // What is signed does not need the engine.
        bao.kill().await;
        mint(&server, &folder.join("later")).await.ok();
        verified_by_openssl(&folder.join("later")).await;
        bao.resume().await;
    }
}

async fn shows_root(bundle: &Path) -> bool {
    let bundle = bundle.display().to_string();
    let line = ["x509", "-in", &bundle, "-noout", "-subject"];
    openssl(&line).await.ok().contains("root")
}
