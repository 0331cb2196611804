//! On a real API server agents attest by the tokens that it gives, and the accounts of the manifests have
//! every right they need and no other.

use signet_tests::api_server::ISSUER;
use signet_tests::{Agent, Maker, Server, ServerSettings, wait};

use super::ground::{AGENT, Ground, Right, attestor, right, says};

/// All that the server asks when an agent attests.
const ATTESTING: [Right; 3] = [
    right("clusterrole", "tokenreviews", "create"),
    right("clusterrole", "nodes", "get"),
    right("role", "pods", "get"),
];

/// All that it asks to publish a bundle, with what must be away for the right to matter.
const PUBLISHING: [(Right, Option<&str>); 3] = [
    (right("role", "configmaps", "patch"), None),
    (right("clusterrole", "clustertrustbundles", "patch"), None),
    (
        right("clusterrole", "clustertrustbundles", "create"),
        Some("clustertrustbundle/signet"),
    ),
];

#[tokio::test]
async fn the_accounts_of_the_manifests_suffice_and_one_verb_less_does_not() {
    let name = "the_accounts_of_the_manifests_suffice_and_one_verb_less_does_not";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let mut server = Server::start(ground.directory.path(), &ground.settings().await).await;
    let bundle = ground.directory.path().join("shown.pem");
    server.bundle_to(&bundle).await;
    let shown = std::fs::read_to_string(&bundle).unwrap().trim().to_owned();
    wait::until("a published bundle", async || {
        (ground.published().await == shown).then_some(())
    })
    .await;
    let get = [
        "get",
        "clustertrustbundle",
        "signet",
        "-o",
        "jsonpath={.spec.trustBundle}",
    ];
    assert_eq!(ground.cluster.kubectl(&get).await.trim(), shown);

    let token = ground.token("spire-server").await;
    for right in &ATTESTING {
        ground
            .without(right, async || {
                let since = server.log().len();
                let apart = ground.directory.path().join(right.resource);
                let agent = Agent::launch(&apart, &server, &Ground::agent(&token)).await;
                let missing = format!("the verb {} on {}", right.verb, right.resource);
                says(&server, since, &missing).await;
                assert!(server.agents().await.is_empty());
                drop(agent);
            })
            .await;
    }
    let _agent = Agent::start(ground.directory.path(), &server, &Ground::agent(&token)).await;
    let id = server.only_agent().await;
    assert!(
        id.ends_with(&format!("/k8s_psat/demo/{}", ground.node_uid)),
        "{id}"
    );

    for (right, away) in &PUBLISHING {
        ground
            .without(right, async || {
                if let Some(object) = away {
                    ground.cluster.kubectl(&["delete", object]).await;
                }
                let since = server.log().len();
                server.kill().await;
                server.resume().await;
                says(&server, since, &format!("on {}", right.resource)).await;
            })
            .await;
    }
    // The kubelet asks the API server whether the agent may have its pods.
    assert_eq!(
        ground.may(AGENT, "get", "nodes/pods").await,
        "no",
        "a name, not a subresource"
    );
    let pods = [
        "auth",
        "can-i",
        "get",
        "nodes",
        "--subresource=pods",
        "--as",
        AGENT,
    ];
    assert_eq!(ground.cluster.kubectl(&pods).await.trim(), "yes");
}

#[tokio::test]
async fn a_changed_bundle_is_published_at_once() {
    let name = "a_changed_bundle_is_published_at_once";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let server = Server::start(ground.directory.path(), &ground.settings().await).await;
    let first = wait::until("a published bundle", async || {
        Some(ground.published().await).filter(|text| !text.is_empty())
    })
    .await;
    server
        .cli(&["localauthority", "x509", "prepare"])
        .await
        .ok();
    let count = |text: &str| text.matches("BEGIN CERTIFICATE").count();
    wait::until("the next authority in the ConfigMap", async || {
        (count(&ground.published().await) > count(&first)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused_by_the_api_server() {
    let name = "a_token_for_another_audience_is_refused_by_the_api_server";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let server = Server::start(ground.directory.path(), &ground.settings().await).await;
    let token = ground.token("somebody-else").await;
    let _agent = Agent::launch(ground.directory.path(), &server, &Ground::agent(&token)).await;
    says(&server, 0, "does not accept the token for this audience").await;
    assert!(server.agents().await.is_empty());
}

#[tokio::test]
async fn without_the_api_server_a_token_is_verified_by_the_keys_that_it_published() {
    let name = "without_the_api_server_a_token_is_verified_by_the_keys_that_it_published";
    let Some(ground) = Ground::new(name).await else {
        return;
    };
    let keys = ground.directory.path().join("jwks.json");
    let published = ground
        .cluster
        .kubectl(&["get", "--raw", "/openid/v1/jwks"])
        .await;
    std::fs::write(&keys, published).unwrap();
    let offline = format!(
        "offline = {{ issuer = \"{ISSUER}\", jwks_file = \"{}\" }}",
        keys.display()
    );
    let settings = ServerSettings::new(Maker::Signet).plugin(attestor(&offline));
    let server = Server::start(ground.directory.path(), &settings).await;
    let token = ground.token("spire-server").await;
    let Ground {
        cluster,
        directory,
        node_uid,
        ..
    } = ground;
    drop(cluster);
    let _agent = Agent::start(directory.path(), &server, &Ground::agent(&token)).await;
    assert!(server.only_agent().await.ends_with(&node_uid));
}
