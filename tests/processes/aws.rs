//! Agents on instances of AWS: the metadata service and its signer are ours, AWS's API is moto's.

use signet_tests::aws::{ACCOUNT, DocumentAuthority, REGION, metadata};
use signet_tests::moto::Moto;
use signet_tests::scene::directory;
use signet_tests::{Agent, AgentSettings, Attestation, Maker, Scene, Server, ServerSettings};

use crate::attestation::attestations;

const INSTANCE: &str = "i-1234567890abcdef0";

fn server(authority: &DocumentAuthority, lines: &str) -> ServerSettings {
    let certificates = authority.certificates.display();
    let plugin = format!(
        "  NodeAttestor \"aws_iid\" {{\n    plugin_data {{\n      region_certificates_path = \
         \"{certificates}\"\n      {lines}\n    }}\n  }}"
    );
    ServerSettings::new(Maker::Signet).plugin(plugin)
}

fn agent(endpoint: &str) -> AgentSettings {
    let plugin = format!(
        "NodeAttestor \"aws_iid\" {{\n    plugin_data {{ ec2_metadata_endpoint = \"{endpoint}\" }}\n  }}"
    );
    AgentSettings::new(Maker::Signet, Attestation::Plugin(plugin))
}

fn local() -> String {
    format!("account_ids_for_local_validation = [\"{ACCOUNT}\"]")
}

fn with_moto(settings: ServerSettings, moto: &Moto) -> ServerSettings {
    settings
        .variable("AWS_ENDPOINT_URL", moto.endpoint().into())
        .variable("AWS_ACCESS_KEY_ID", "test".into())
        .variable("AWS_SECRET_ACCESS_KEY", "test".into())
}

#[tokio::test]
async fn an_instance_attests_by_its_document_alone_where_that_is_configured() {
    let directory = directory();
    let authority = DocumentAuthority::make(directory.path()).await;
    let endpoint = metadata(authority.sign(INSTANCE).await).await;
    let settings = server(&authority, &local());
    let scene = Scene::with(directory, &settings, &agent(&endpoint)).await;
    let parent = scene.server.only_agent().await;
    let expected =
        format!("spiffe://example.org/spire/agent/aws_iid/{ACCOUNT}/{REGION}/{INSTANCE}");
    assert_eq!(parent, expected);
    scene.server.entry_below(&parent, "/workload", &[]).await;
    scene.agent.fetch_x509_to(&scene.path().join("svids")).await;
}

#[tokio::test]
async fn a_document_admits_no_second_agent() {
    let directory = directory();
    let authority = DocumentAuthority::make(directory.path()).await;
    let endpoint = metadata(authority.sign(INSTANCE).await).await;
    let server = Server::start(directory.path(), &server(&authority, &local())).await;
    let settings = agent(&endpoint);
    let _first = Agent::start(&directory.path().join("first"), &server, &settings).await;
    refused(&server, &settings, &directory.path().join("second")).await;
    assert_eq!(server.agents().await.len(), 1);
    let why = refusal(&server);
    assert!(why.contains("evict"), "{why}");
}

#[tokio::test]
async fn a_document_that_differs_from_the_signed_one_admits_nobody() {
    let directory = directory();
    let authority = DocumentAuthority::make(directory.path()).await;
    let mut documents = authority.sign(INSTANCE).await;
    documents.document = documents.document.replace(INSTANCE, "i-0fffffffffffffff0");
    let endpoint = metadata(documents).await;
    let server = Server::start(directory.path(), &server(&authority, &local())).await;
    refused(&server, &agent(&endpoint), directory.path()).await;
    assert_eq!(server.agents().await.len(), 0);
    let why = refusal(&server);
    assert!(
        why.contains("the document differs from the one that is signed"),
        "{why}"
    );
}

#[tokio::test]
async fn an_instance_of_moto_attests_with_what_its_api_says_of_it() {
    let directory = directory();
    let Some(moto) = Moto::start(directory.path(), "aws_iid with moto").await else {
        return;
    };
    let authority = DocumentAuthority::make(directory.path()).await;
    let instance = moto.instance("web-7").await;
    moto.organizations("CreateOrganization").await;
    let endpoint = metadata(authority.sign(&instance).await).await;
    let lines = format!(
        "assume_role = \"web\"\n      agent_path_template = \
         \"/aws_iid/{{{{ .Region }}}}/{{{{ .Tags.Name }}}}\"\n      verify_organization {{\n        \
         management_account_id = \"{ACCOUNT}\"\n        assume_org_role = \"web\"\n      }}"
    );
    let settings = with_moto(server(&authority, &lines), &moto);
    let scene = Scene::with(directory, &settings, &agent(&endpoint)).await;
    let parent = scene.server.only_agent().await;
    assert_eq!(
        parent,
        format!("spiffe://example.org/spire/agent/aws_iid/{REGION}/web-7")
    );
    let shown = scene
        .server
        .json(&["agent", "show", "-spiffeID", &parent])
        .await;
    let shown = shown.to_string();
    for selector in [
        format!("account_id:{ACCOUNT}"),
        format!("instance:id:{instance}"),
        format!("az:{REGION}a"),
        "image:id:ami-12c6146b".to_owned(),
        "tag:Name:web-7".to_owned(),
        format!("iamrole:arn:aws:iam::{ACCOUNT}:role/web"),
    ] {
        assert!(
            shown.contains(&format!("\"{selector}\"")),
            "{selector} in {shown}"
        );
    }
}

#[tokio::test]
async fn an_instance_that_moto_does_not_have_is_refused() {
    let directory = directory();
    let Some(moto) = Moto::start(directory.path(), "aws_iid, unknown, with moto").await else {
        return;
    };
    let authority = DocumentAuthority::make(directory.path()).await;
    let endpoint = metadata(authority.sign(INSTANCE).await).await;
    let settings = with_moto(server(&authority, ""), &moto);
    let server = Server::start(directory.path(), &settings).await;
    refused(&server, &agent(&endpoint), directory.path()).await;
    assert_eq!(server.agents().await.len(), 0);
    let why = refusal(&server);
    assert!(why.contains("AWS has no running instance"), "{why}");
}

/// An agent that ends because the server does not let it in.
async fn refused(server: &Server, settings: &AgentSettings, directory: &std::path::Path) {
    let mut agent = Agent::launch(directory, server, settings).await;
    let status = agent.process.as_mut().unwrap().ended().await;
    assert!(!status.success());
    assert_eq!(attestations(server, "refused"), 1);
}

/// What the audit log has of the refusal.
fn refusal(server: &Server) -> String {
    let records = server.audit();
    let refused = records
        .iter()
        .find(|record| record["decision"] == "refused");
    refused.expect("a refusal").to_string()
}
