//! Instances of AWS: SPIRE's agent passes our server's half; ours passes SPIRE's as far as that can be
//! shown.
//!
//! SPIRE's server has the certificates of AWS's regions built in and takes no others, so only documents
//! that AWS itself signed pass it. `AWS_DOCUMENTS` names a directory with those of an instance: the files
//! `document`, `signature` and `rsa2048` as the metadata service gives them. They hold no secret, but
//! whose instance it is: none is in the tree. Without them what SPIRE's server says is still the judge
//! that our agent sent all it asks for: it finds the signature wrong, and nothing before it.

use std::path::Path;

use serde_json::Value;
use signet_tests::aws::{ACCOUNT, DocumentAuthority, Documents, REGION, metadata};
use signet_tests::moto::Moto;
use signet_tests::programs::spire_is_here;
use signet_tests::scene::directory;
use signet_tests::{
    Agent, AgentSettings, Attestation, Maker, Scene, Server, ServerSettings, id, skip, wait,
};

use crate::spire_agent::serves_the_workload;
use crate::web::{Answer, Web, local};

both_ways! {
    attests_by_aws_own: spires_agent_attests_to_our_server_by_a_document_that_aws_signed,
        our_agent_attests_to_spires_server_by_a_document_that_aws_signed;
}

fn server(maker: Maker, lines: &str) -> ServerSettings {
    let plugin = format!("NodeAttestor \"aws_iid\" {{ plugin_data {{ {lines} }} }}");
    ServerSettings::new(maker).plugin(plugin)
}

fn agent(maker: Maker, endpoint: &str) -> AgentSettings {
    let plugin = format!(
        "NodeAttestor \"aws_iid\" {{ plugin_data {{ ec2_metadata_endpoint = \"{endpoint}\" }} }}"
    );
    AgentSettings::new(maker, Attestation::Plugin(plugin))
}

/// The server asks AWS's API here.
fn asking(settings: ServerSettings, endpoint: &str) -> ServerSettings {
    settings
        .variable("AWS_ENDPOINT_URL", endpoint.into())
        .variable("AWS_ACCESS_KEY_ID", "test".into())
        .variable("AWS_SECRET_ACCESS_KEY", "test".into())
}

#[tokio::test]
async fn spires_agent_attests_to_our_server_as_an_instance_of_moto() {
    const NAME: &str = "spires_agent_attests_to_our_server_as_an_instance_of_moto";
    let directory = directory();
    if !spire_is_here(NAME) {
        return;
    }
    let Some(moto) = Moto::start(directory.path(), NAME).await else {
        return;
    };
    let authority = DocumentAuthority::make(directory.path()).await;
    let instance = moto.instance("web-7").await;
    let endpoint = metadata(authority.sign(&instance).await).await;
    let certificates = authority.certificates.display();
    let lines = format!("region_certificates_path = \"{certificates}\"");
    let server = asking(server(Maker::Signet, &lines), &moto.endpoint());
    let scene = Scene::with(directory, &server, &agent(Maker::Spire, &endpoint)).await;
    let parent = scene.server.only_agent().await;
    let path = format!("/spire/agent/aws_iid/{ACCOUNT}/{REGION}/{instance}");
    assert_eq!(parent, id(&path));
    let selectors = scene.server.selectors_of(&parent).await;
    for selector in [
        format!("aws_iid:instance:id:{instance}"),
        "aws_iid:tag:Name:web-7".to_owned(),
        format!("aws_iid:iamrole:arn:aws:iam::{ACCOUNT}:role/web"),
    ] {
        assert!(selectors.contains(&selector), "{selector}: {selectors:?}");
    }
    serves_the_workload(&scene, &parent).await;
}

#[tokio::test]
async fn spires_server_finds_nothing_wrong_with_our_agents_document_but_its_signer() {
    const NAME: &str = "spires_server_finds_nothing_wrong_with_our_agents_document_but_its_signer";
    if !spire_is_here(NAME) {
        return;
    }
    let directory = directory();
    let authority = DocumentAuthority::make(directory.path()).await;
    let endpoint = metadata(authority.sign("i-1234567890abcdef0").await).await;
    let server = Server::start(directory.path(), &server(Maker::Spire, "")).await;
    let settings = agent(Maker::Signet, &endpoint);
    let _agent = Agent::launch(directory.path(), &server, &settings).await;
    let refusal = "failed verification of instance identity cryptographic signature";
    wait::until("SPIRE's refusal", async || {
        server.log().contains(refusal).then_some(())
    })
    .await;
    assert!(server.agents().await.is_empty());
}

async fn attests_by_aws_own(name: &str, maker: Maker, agents: Maker) {
    let Some(path) = skip::path_from("AWS_DOCUMENTS", name) else {
        return;
    };
    let documents = documents(&path);
    let facts: Value = serde_json::from_str(&documents.document).unwrap();
    let fact = |name: &str| facts[name].as_str().unwrap().to_owned();
    let (account, region) = (fact("accountId"), fact("region"));
    let (instance, zone) = (fact("instanceId"), fact("availabilityZone"));
    local(async {
        let directory = directory();
        let endpoint = metadata(documents).await;
        let described = described(&account, &instance);
        let ec2 = Web::new(move |_| Answer::Ok(described.clone().into_bytes())).await;
        let settings = asking(server(maker, "skip_block_device = true"), &ec2.url);
        let scene = Scene::with(directory, &settings, &agent(agents, &endpoint)).await;
        let parent = scene.server.only_agent().await;
        let path = format!("/spire/agent/aws_iid/{account}/{region}/{instance}");
        assert_eq!(parent, id(&path));
        let expected = [
            format!("aws_iid:account_id:{account}"),
            format!("aws_iid:az:{zone}"),
            format!("aws_iid:image:id:{}", fact("imageId")),
            format!("aws_iid:instance:id:{instance}"),
            format!("aws_iid:region:{region}"),
            "aws_iid:sg:id:sg-903004f8".to_owned(),
            "aws_iid:sg:name:front".to_owned(),
            "aws_iid:tag:Name:web-7".to_owned(),
        ];
        assert_eq!(scene.server.selectors_of(&parent).await, expected);
        serves_the_workload(&scene, &parent).await;
    })
    .await;
}

fn documents(directory: &Path) -> Documents {
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    Documents {
        document: read("document"),
        signature: read("signature").trim_end().to_owned(),
        rsa2048: read("rsa2048").trim_end().to_owned(),
    }
}

/// The answer to `DescribeInstances`, for moto makes no instance with an ID of our choice.
fn described(account: &str, instance: &str) -> String {
    format!(
        "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>8f7724cf-496f-496e-8fe3-example</requestId><reservationSet><item>\
         <reservationId>r-1234567890abcdef0</reservationId><ownerId>{account}</ownerId>\
         <instancesSet><item><instanceId>{instance}</instanceId>\
         <instanceState><code>16</code><name>running</name></instanceState>\
         <groupSet><item><groupId>sg-903004f8</groupId><groupName>front</groupName></item></groupSet>\
         <tagSet><item><key>Name</key><value>web-7</value></item></tagSet>\
         </item></instancesSet></item></reservationSet></DescribeInstancesResponse>"
    )
}
