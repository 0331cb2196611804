//! Machines of the clouds: SPIRE's agent passes our server's half, and ours SPIRE's, with one text for
//! both makers, the same agent ID and the same selectors.

use signet_tests::programs::spire_is_here;
use signet_tests::scene::directory;
use signet_tests::{
    Agent, AgentSettings, Attestation, Maker, Scene, Server, ServerSettings, id, wait,
};

use crate::cloud::{Cloud, azure, google};
use crate::spire_agent::serves_the_workload;
use crate::web::local;

both_ways! {
    attests_by_google: spires_agent_attests_to_our_server_as_a_google_instance,
        our_agent_attests_to_spires_server_as_a_google_instance;
    takes_a_google_instance_in_once: our_server_takes_spires_agent_of_an_instance_in_once,
        spires_server_takes_our_agent_of_an_instance_in_once;
    attests_by_azures_document: spires_agent_attests_to_our_server_by_azures_document,
        our_agent_attests_to_spires_server_by_azures_document;
    attests_in_a_scale_set: spires_agent_attests_to_our_server_from_a_scale_set_of_azure,
        our_agent_attests_to_spires_server_from_a_scale_set_of_azure;
    attests_by_managed_identity: spires_agent_attests_to_our_server_by_managed_identity,
        our_agent_attests_to_spires_server_by_managed_identity;
}

/// A machine, as both halves are told of it and as the server must see it.
struct Machine<'m> {
    server: String,
    agent: String,
    path: &'m str,
    /// In order.
    selectors: &'m [&'m str],
}

async fn attests_by_google(_: &str, server: Maker, agent: Maker) {
    local(async {
        let directory = directory();
        let cloud = google::cloud(directory.path()).await;
        let credentials = google::service_account(&cloud, directory.path());
        let machine = Machine {
            server: google::server_plugin(&cloud, &credentials),
            agent: google::agent_plugin(&cloud),
            path: google::AGENT,
            selectors: &google::SELECTORS,
        };
        attests(directory, &cloud, machine, server, agent).await;
    })
    .await;
}

async fn takes_a_google_instance_in_once(_: &str, maker: Maker, agent: Maker) {
    local(async {
        let directory = directory();
        let cloud = google::cloud(directory.path()).await;
        let credentials = google::service_account(&cloud, directory.path());
        let plugin = google::server_plugin(&cloud, &credentials);
        let mut settings = ServerSettings::new(maker).plugin(plugin);
        settings.variables.extend(cloud.for_go());
        let server = Server::start(directory.path(), &settings).await;
        let plugin = google::agent_plugin(&cloud);
        let agent = AgentSettings::new(agent, Attestation::Plugin(plugin));
        let place = |name: &str| directory.path().join(name);
        let _first = Agent::start(&place("first"), &server, &agent).await;
        let _second = Agent::launch(&place("second"), &server, &agent).await;
        let refusal = match maker {
            Maker::Signet => "agent evict",
            Maker::Spire => "has already been used to attest an agent",
        };
        wait::until("a refusal in the server's log", async || {
            server.log().contains(refusal).then_some(())
        })
        .await;
        assert_eq!(server.only_agent().await, id(google::AGENT));
    })
    .await;
}

async fn attests_by_azures_document(_: &str, server: Maker, agent: Maker) {
    let (path, selectors) = (azure::AGENT_OF_DOCUMENT, &azure::SELECTORS_OF_DOCUMENT);
    by_document(false, path, selectors, server, agent).await;
}

async fn attests_in_a_scale_set(_: &str, server: Maker, agent: Maker) {
    let (path, selectors) = (azure::AGENT_IN_SET, &azure::SELECTORS_IN_SET);
    by_document(true, path, selectors, server, agent).await;
}

async fn by_document(in_set: bool, path: &str, selectors: &[&str], server: Maker, agent: Maker) {
    local(async {
        let directory = directory();
        let cloud = azure::cloud(directory.path(), in_set).await;
        let machine = Machine {
            server: azure::server_plugin_for_documents(&cloud, directory.path()),
            agent: azure::agent_plugin_for_documents(&cloud),
            path,
            selectors,
        };
        attests(directory, &cloud, machine, server, agent).await;
    })
    .await;
}

async fn attests_by_managed_identity(_: &str, server: Maker, agent: Maker) {
    local(async {
        let directory = directory();
        let cloud = azure::cloud(directory.path(), false).await;
        let machine = Machine {
            server: azure::server_plugin_for_identities(&cloud),
            agent: azure::agent_plugin_for_identities(&cloud),
            path: azure::AGENT_OF_IDENTITY,
            selectors: &azure::SELECTORS_OF_IDENTITY,
        };
        attests(directory, &cloud, machine, server, agent).await;
    })
    .await;
}

async fn attests(
    directory: tempfile::TempDir,
    cloud: &Cloud,
    machine: Machine<'_>,
    server: Maker,
    agent: Maker,
) {
    let mut server = ServerSettings::new(server).plugin(machine.server);
    let mut agent = AgentSettings::new(agent, Attestation::Plugin(machine.agent));
    server.variables.extend(cloud.for_go());
    agent.environment.extend(cloud.for_go());
    let scene = Scene::with(directory, &server, &agent).await;
    let parent = scene.server.only_agent().await;
    assert_eq!(parent, id(machine.path));
    assert_eq!(scene.server.selectors_of(&parent).await, machine.selectors);
    serves_the_workload(&scene, &parent).await;
}
