//! Machines of the clouds get in once: emulated metadata services and APIs on this machine.

use std::path::Path;
use std::sync::Arc;

use signet_cloud::gcp::{Compute, Credentials, ServiceAccountKey};
use signet_cloud::{CloudError, Endpoint};
use signet_http::Roots;
use signet_runtime::SystemClock;
use signet_tests::scene::directory;
use signet_tests::{Agent, AgentSettings, Attestation, Maker, Server, ServerSettings, id, wait};

use crate::attestation::attestations;
use crate::cloud::{TOKEN_KEY, azure, google};
use crate::web::local;

#[tokio::test]
async fn a_google_instance_attests_once() {
    local(async {
        let directory = directory();
        let cloud = google::cloud(directory.path()).await;
        let server = google::server_plugin(&cloud, "");
        let agent = google::agent_plugin(&cloud);
        let (path, selectors) = (google::AGENT, &google::SELECTORS);
        attests_once(directory.path(), server, agent, path, selectors).await;
    })
    .await;
}

#[tokio::test]
async fn an_azure_machine_attests_once_by_a_signed_document() {
    local(async {
        let directory = directory();
        let cloud = azure::cloud(directory.path(), false).await;
        let server = azure::server_plugin_for_documents(&cloud, directory.path());
        let agent = azure::agent_plugin_for_documents(&cloud);
        let (path, selectors) = (azure::AGENT_OF_DOCUMENT, &azure::SELECTORS_OF_DOCUMENT);
        attests_once(directory.path(), server, agent, path, selectors).await;
    })
    .await;
}

#[tokio::test]
async fn an_azure_machine_attests_once_by_its_managed_identity() {
    local(async {
        let directory = directory();
        let cloud = azure::cloud(directory.path(), false).await;
        let server = azure::server_plugin_for_identities(&cloud);
        let agent = azure::agent_plugin_for_identities(&cloud);
        let (path, selectors) = (azure::AGENT_OF_IDENTITY, &azure::SELECTORS_OF_IDENTITY);
        attests_once(directory.path(), server, agent, path, selectors).await;
    })
    .await;
}

/// Google's token endpoint takes what the key of a service account signed, and nothing of another key.
#[tokio::test]
async fn a_service_accounts_key_file_is_worth_an_access_token() {
    const OTHER: &str = include_str!("../../crates/crypto/tests/fixtures/rsa-3072-pkcs8.pem");
    local(async {
        let directory = directory();
        let cloud = google::cloud(directory.path()).await;
        for (key, is_right) in [(TOKEN_KEY, true), (OTHER, false)] {
            let path = google::key_file(&cloud, directory.path(), key);
            let roots = Roots::File(cloud.ca.clone());
            let credentials = Credentials::ServiceAccount {
                key: ServiceAccountKey::read(&path).unwrap(),
                roots: roots.clone(),
            };
            let url = cloud.url.clone();
            let compute = Compute::new(Endpoint { url, roots }, credentials, Arc::new(SystemClock));
            let compute = compute.unwrap();
            let found = compute
                .instance("my-project", "us-west1-a", "example")
                .await;
            match is_right {
                true => assert_eq!(found.unwrap().tags, ["web"]),
                false => assert!(matches!(found, Err(CloudError::Status { .. }))),
            }
        }
    })
    .await;
}

/// A first agent attests and has these selectors; a second one on the same machine is refused, until
/// the operator does what the refusal says.
async fn attests_once(
    directory: &Path,
    plugin: String,
    agent: String,
    path: &str,
    selectors: &[&str],
) {
    let settings = ServerSettings::new(Maker::Signet).plugin(plugin);
    let server = Server::start(directory, &settings).await;
    let settings = AgentSettings::new(Maker::Signet, Attestation::Plugin(agent));
    let first = Agent::start(&directory.join("first"), &server, &settings).await;
    let id = &id(path);
    assert_eq!(server.only_agent().await, *id);
    assert_eq!(server.selectors_of(id).await, selectors);
    let mut second = Agent::launch(&directory.join("second"), &server, &settings).await;
    wait::until("a refusal in the audit log", async || {
        (attestations(&server, "refused") > 0).then_some(())
    })
    .await;
    assert_eq!(attestations(&server, "granted"), 1);
    assert!(server.log().contains("agent evict"), "{}", server.log());
    drop((first, second.process.take()));
    server.cli(&["agent", "evict", "-spiffeID", id]).await.ok();
    let _third = Agent::start(&directory.join("third"), &server, &settings).await;
    assert_eq!(server.only_agent().await, *id);
}
