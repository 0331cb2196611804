//! Every type of key, for authorities and for workloads, judged by OpenSSL and another JWT library.

use jsonwebtoken::decode_header;
use signet_tests::scene::directory;
use signet_tests::{AgentSettings, Attestation, Maker, Scene, Server, ServerSettings, id};

use crate::judges::{
    assert_key_fits, assert_mints, assert_verifies, jwt_algorithm, text_of, verified_claims,
    x509_facts,
};

/// The authority's key, the key of JWT-SVIDs, the workload's key: each type in each place.
const EVERYWHERE: [[&str; 3]; 4] = [
    ["ec-p256", "ec-p384", "rsa-2048"],
    ["ec-p384", "ec-p256", "ec-p384"],
    ["rsa-2048", "rsa-4096", "ec-p256"],
    ["rsa-4096", "rsa-2048", "rsa-4096"],
];

pub(crate) fn server_with(ca: &str, jwt: &str) -> ServerSettings {
    ServerSettings::new(Maker::Signet)
        .line(&format!("ca_key_type = \"{ca}\""))
        .line(&format!("jwt_key_type = \"{jwt}\""))
}

async fn a_workload_is_served([ca, jwt, workload]: [&str; 3]) {
    let directory = directory();
    let server = Server::start(directory.path(), &server_with(ca, jwt)).await;
    let attestation = Attestation::JoinToken(server.join_token().await);
    let agent = AgentSettings::new(Maker::Signet, attestation)
        .line(&format!("workload_x509_svid_key_type = \"{workload}\""));
    let scene = Scene::around(directory, server, &agent).await;
    scene.server.entry("/workload", &[]).await;
    let svids = scene.path().join("svids");
    scene.agent.fetch_x509_to(&svids).await;

    let (bundle, svid) = (svids.join("bundle.0.pem"), svids.join("svid.0.pem"));
    assert_verifies(&bundle, &svid).await;
    assert_key_fits(&svid, &svids.join("svid.0.key")).await;
    let (authority, svid) = (text_of(&bundle).await, text_of(&svid).await);
    assert!(svid.contains(x509_facts(ca).signature), "{svid}");
    assert!(svid.contains(x509_facts(workload).key), "{svid}");
    assert!(authority.contains(x509_facts(ca).key), "{authority}");

    let token = scene.agent.fetch_jwt("payments").await;
    assert_eq!(decode_header(&token).unwrap().alg, jwt_algorithm(jwt));
    let claims = verified_claims(&scene.server, &token, "payments").await;
    assert_eq!(claims["sub"], id("/workload"));
}

#[tokio::test]
async fn a_p256_authority_serves_a_workload_with_an_rsa_2048_key() {
    a_workload_is_served(EVERYWHERE[0]).await;
}

#[tokio::test]
async fn a_p384_authority_serves_a_workload_with_a_p384_key() {
    a_workload_is_served(EVERYWHERE[1]).await;
}

#[tokio::test]
async fn an_rsa_2048_authority_serves_a_workload_with_a_p256_key() {
    a_workload_is_served(EVERYWHERE[2]).await;
}

#[tokio::test]
async fn an_rsa_4096_authority_serves_a_workload_with_an_rsa_4096_key() {
    a_workload_is_served(EVERYWHERE[3]).await;
}

#[tokio::test]
async fn keys_in_memory_sign_with_every_type_and_are_new_after_a_restart() {
    for [ca, jwt, _] in EVERYWHERE {
        let directory = directory();
        let settings = server_with(ca, jwt).keys("KeyManager \"memory\" {}");
        let mut server = Server::start(directory.path(), &settings).await;
        assert_mints(&server, &directory.path().join("one"), [ca, jwt]).await;
        assert!(!server.data_dir.join("keys.json").exists());
        server.kill().await;
        server.resume().await;
        let two = directory.path().join("two");
        assert_mints(&server, &two, [ca, jwt]).await;
        let bundle = std::fs::read_to_string(two.join("bundle.pem")).unwrap();
        let authorities = bundle.matches("BEGIN CERTIFICATE").count();
        assert_eq!(authorities, 2, "the old one stays until it expires");
    }
}

#[tokio::test]
async fn keys_on_disk_sign_with_every_type_and_are_the_same_after_a_restart() {
    for [ca, jwt, _] in EVERYWHERE {
        let directory = directory();
        let mut server = Server::start(directory.path(), &server_with(ca, jwt)).await;
        let bundle = server.cli(&["bundle", "show"]).await.ok();
        assert_mints(&server, &directory.path().join("one"), [ca, jwt]).await;
        server.kill().await;
        server.resume().await;
        assert_eq!(server.cli(&["bundle", "show"]).await.ok(), bundle);
        assert_mints(&server, &directory.path().join("two"), [ca, jwt]).await;
    }
}
