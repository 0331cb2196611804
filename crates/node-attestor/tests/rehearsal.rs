//! What an operator is told of the evidence that a node would show.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signet_cloud::aws::InstanceMetadata;
use signet_crypto::SecretString;
use signet_node_attestor::aws_iid::AwsIidAgent;
use signet_node_attestor::aws_iid::payload::Payload;
use signet_node_attestor::azure_imds::AzureImdsAgent;
use signet_node_attestor::azure_msi::AzureMsiAgent;
use signet_node_attestor::combined::CombinedAgent;
use signet_node_attestor::gcp_iit::GcpIitAgent;
use signet_node_attestor::join_token::JoinTokenAgent;
use signet_node_attestor::k8s_psat::K8sPsatAgent;
use signet_node_attestor::{AgentAttestor, AgentError, Finding};
use signet_runtime::SystemClock;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";
const NOW: u64 = 1_800_000_000;

/// A token as an issuer would sign it; nobody has.
fn token(expires_at: u64) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": "https://issuer.example", "aud": "signet", "sub": "hidden", "exp": expires_at,
    });
    let header = part(json!({"alg": "RS256", "kid": "one"}));
    format!("{header}.{}.{}", part(claims), part(json!("signature")))
}

async fn told(agent: &dyn AgentAttestor, payload: &[u8]) -> Result<Vec<Finding>, AgentError> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    agent.findings(payload, now).await
}

fn texts(findings: &[Finding]) -> String {
    let lines = findings
        .iter()
        .map(|one| format!("{} {}\n", one.holds, one.text));
    lines.collect()
}

fn aws(document: &str) -> (AwsIidAgent, Vec<u8>) {
    let payload = Payload {
        document: document.to_owned(),
        rsa2048: "c2lnbmVk".to_owned(),
        ..Payload::default()
    };
    let metadata = InstanceMetadata::at(NOWHERE).unwrap();
    (AwsIidAgent::new(metadata), payload.encode())
}

#[tokio::test]
async fn of_a_document_of_aws_the_account_the_region_and_the_instance() {
    let (agent, payload) = aws(include_str!("fixtures/aws_iid/document"));
    let found = texts(&told(&agent, &payload).await.unwrap());
    let expected = "true accountId \"123456789012\"\ntrue region \"us-west-2\"\n\
                    true instanceId \"i-1234567890abcdef0\"\n";
    assert_eq!(found, expected);
    let (agent, payload) = aws("{\"region\": 7}");
    let found = told(&agent, &payload).await.unwrap();
    assert_eq!(found.iter().filter(|one| !one.holds).count(), 3);
}

#[tokio::test]
async fn of_a_token_its_issuer_audience_time_and_the_names_of_its_claims() {
    let google = GcpIitAgent::new("127.0.0.1:1", "default");
    let found = told(&google, token(NOW + 60).as_bytes()).await.unwrap();
    let text = texts(&found);
    for part in [
        "true a token of the issuer \"https://issuer.example\"",
        "true for the audience [\"signet\"]",
        "true it is good for 60 s more",
        "true with the claims aud, exp, iss, sub",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("hidden"), "{text}");

    let azure = AzureMsiAgent::new(NOWHERE, "https://management.azure.com/");
    let payload = json!({"token": token(NOW - 1)}).to_string();
    let text = texts(&told(&azure, payload.as_bytes()).await.unwrap());
    assert!(text.contains("false it has expired"), "{text}");

    let cluster = K8sPsatAgent::new("demo".to_owned(), "/nowhere".into(), Arc::new(SystemClock));
    let payload = json!({"cluster": "demo", "token": token(NOW + 60)}).to_string();
    let text = texts(&told(&cluster, payload.as_bytes()).await.unwrap());
    assert!(text.contains("true of the cluster \"demo\""), "{text}");
}

#[tokio::test]
async fn what_is_no_token_fails() {
    let google = GcpIitAgent::new("127.0.0.1:1", "default");
    for bad in ["no token", "a.b.c", ""] {
        let found = told(&google, bad.as_bytes()).await.unwrap();
        assert!(
            found.iter().all(|one| !one.holds),
            "{bad}: {}",
            texts(&found)
        );
    }
}

#[tokio::test]
async fn azures_metadata_service_is_asked_for_its_signature() {
    let agent = AzureImdsAgent::new(NOWHERE, "example.onmicrosoft.com");
    let error = told(&agent, &agent.payload().await.unwrap())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("an attested document"),
        "{error}"
    );
}

#[tokio::test]
async fn each_part_of_a_combination_is_named() {
    let token = |text: &str| SecretString::new(text.to_owned());
    let both = CombinedAgent::new(vec![
        Arc::new(JoinTokenAgent::new(token("one"))),
        Arc::new(JoinTokenAgent::new(token("three"))),
    ]);
    let found = told(&both, &both.payload().await.unwrap()).await.unwrap();
    let expected = "true join_token: 3 bytes of evidence\ntrue join_token: 5 bytes of evidence\n";
    assert_eq!(texts(&found), expected);
}
