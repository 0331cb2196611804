//! Both halves of `gcp_iit` against emulated services, and tokens that prove nothing.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod tokens;
mod web;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use signet_cloud::Endpoint;
use signet_cloud::gcp::{Compute, Credentials};
use signet_node_attestor::gcp_iit::{
    AUDIENCE, EvidenceError, GcpIitAgent, GcpIitConfig, GcpIitServer, ISSUER, InstanceMetadata,
};
use signet_node_attestor::{
    AgentAttestor, AgentError, Attested, Fault, Peer, Refused, ServerAttestor,
};
use signet_oidc::{ClaimsError, TokenError};
use signet_runtime::Clock;
use signet_spiffe::TrustDomain;
use tokens::{Issuer, Nobody};
use web::{Answer, Web, local};

/// 1 June 2026.
const NOW: u64 = 1_780_272_000;

struct At(SystemTime);

impl Clock for At {
    fn now(&self) -> SystemTime {
        self.0
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(At(UNIX_EPOCH + Duration::from_secs(NOW)))
}

/// As Google's documentation shows them.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "azp": "1", "sub": "1",
        "iat": NOW - 60, "exp": NOW + 3540,
        "email": "123-compute@developer.gserviceaccount.com", "email_verified": true,
        "google": { "compute_engine": {
            "project_id": "my-project", "project_number": 739_419_398_126_u64,
            "zone": "us-west1-a", "instance_id": "152986662232938449",
            "instance_name": "example", "instance_creation_timestamp": 1_496_952_205,
            "license_id": ["1000204"]
        } }
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn with_fact(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims["google"]["compute_engine"][name] = value;
    claims
}

fn config() -> GcpIitConfig {
    GcpIitConfig {
        projects: BTreeSet::from(["my-project".to_owned()]),
        instance_metadata: None,
        agent_path_template: None,
    }
}

async fn attest(config: GcpIitConfig, payload: &[u8]) -> Result<Attested, Refused> {
    let domain = TrustDomain::parse("example.org").unwrap();
    let server = GcpIitServer::new(domain, config, Issuer::new().keys(), clock()).unwrap();
    server.attest(payload, &Peer::default(), &mut Nobody).await
}

/// The outcome for an agent with a token of Google that says this.
async fn outcome(claims: &Value) -> Result<Attested, Refused> {
    attest(config(), Issuer::new().token(claims).as_bytes()).await
}

#[track_caller]
fn evidence(outcome: Result<Attested, Refused>) -> EvidenceError {
    match outcome {
        Err(Refused::Evidence(error)) => *error.downcast().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn values(attested: &Attested) -> BTreeSet<String> {
    attested.selectors.iter().map(|one| one.expose()).collect()
}

#[tokio::test]
async fn an_instance_with_its_token_is_attested() {
    local(async {
        let token = Issuer::new().token(&claims());
        let service = Web::new(move |asked| {
            let line = "GET /computeMetadata/v1/instance/service-accounts/default/identity\
                        ?audience=spire-gcp-node-attestor&format=full";
            assert_eq!(asked.line, line);
            assert!(asked.headers.contains("metadata-flavor: google"));
            Answer::With("metadata-flavor: Google", token.clone().into_bytes())
        });
        let service = service.await;
        let agent = GcpIitAgent::new(service.host(), "default");
        let payload = agent.payload().await.unwrap();
        let attested = attest(config(), &payload).await.unwrap();
        let id = "/spire/agent/gcp_iit/my-project/152986662232938449";
        assert_eq!(attested.agent_id.path(), id);
        assert!(attested.first_use && !attested.can_reattest);
        let expected = [
            "gcp_iit:project-id:my-project",
            "gcp_iit:zone:us-west1-a",
            "gcp_iit:instance-name:example",
            "gcp_iit:sa:123-compute@developer.gserviceaccount.com",
        ];
        assert_eq!(values(&attested), expected.map(str::to_owned).into());
    })
    .await;
}

#[tokio::test]
async fn expired_and_future_tokens_and_those_for_others_are_refused() {
    for (claims, expected) in [
        (with("exp", json!(NOW - 61)), ClaimsError::Expired),
        (with("iat", json!(NOW + 61)), ClaimsError::NotYet("iat")),
        (
            with("aud", json!("https://www.example.com")),
            ClaimsError::Audience,
        ),
        (
            with("iss", json!("https://accounts.google.com.evil.example")),
            ClaimsError::Issuer,
        ),
        (with("exp", json!(null)), ClaimsError::Malformed("exp")),
    ] {
        let refused = evidence(outcome(&claims).await);
        let EvidenceError::Token(TokenError::Claims(error)) = refused else {
            panic!("{claims}: {refused:?}")
        };
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn a_token_of_another_project_or_of_no_instance_is_refused() {
    let refused = evidence(outcome(&with_fact("project_id", json!("other"))).await);
    assert!(matches!(refused, EvidenceError::Project));
    let refused = evidence(outcome(&with("google", json!({}))).await);
    assert!(matches!(refused, EvidenceError::Facts(_)));
}

#[tokio::test]
async fn values_that_cannot_be_part_of_an_id_give_none() {
    for value in ["a/b", "..", "a%2fb", "a b"] {
        let refused = outcome(&with_fact("instance_id", json!(value)))
            .await
            .unwrap_err();
        assert!(
            matches!(refused, Refused::AgentId(_)),
            "{value}: {refused:?}"
        );
        assert_eq!(refused.fault(), Fault::Ours);
    }
    for value in [json!(""), json!(null), json!("x".repeat(8000))] {
        let refused = evidence(outcome(&with_fact("instance_id", value)).await);
        assert!(matches!(refused, EvidenceError::Facts(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn tokens_by_another_key_or_altered_or_unsigned_are_refused() {
    let forged = Issuer::other().token(&claims());
    let refused = evidence(attest(config(), forged.as_bytes()).await);
    assert!(matches!(
        refused,
        EvidenceError::Token(TokenError::Signature(_))
    ));
    let other = with_fact("instance_id", json!("1"));
    let altered = tokens::altered(&Issuer::new().token(&claims()), &other);
    let refused = evidence(attest(config(), altered.as_bytes()).await);
    assert!(matches!(
        refused,
        EvidenceError::Token(TokenError::Signature(_))
    ));
    let unsigned = tokens::unsigned(&claims());
    let refused = attest(config(), unsigned.as_bytes()).await;
    assert!(matches!(refused, Err(Refused::Payload(_))));
}

#[tokio::test]
async fn payloads_that_are_empty_odd_or_of_10_mb_are_refused() {
    for payload in [&b""[..], b"x", b"a.b.c", b"\xff", &vec![b'x'; 10 << 20]] {
        let refused = attest(config(), payload).await;
        assert!(matches!(refused, Err(Refused::Payload(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_template_takes_its_values_from_the_token() {
    let template = "/{{ .PluginName }}/{{ .ProjectNumber }}/{{ .Zone }}/{{ .InstanceName }}/{{ .InstanceCreationTimestamp }}/{{ .ServiceAccount }}";
    let config = GcpIitConfig {
        agent_path_template: Some(template.to_owned()),
        ..config()
    };
    let attested = attest(config, Issuer::new().token(&claims()).as_bytes())
        .await
        .unwrap();
    let path = "/spire/agent/gcp_iit/739419398126/us-west1-a/example/1496952205/123-compute_developer.gserviceaccount.com";
    assert_eq!(attested.agent_id.path(), path);
}

/// What Compute Engine says of the instance.
fn instance(id: &str, value: &str) -> Vec<u8> {
    let instance = json!({
        "id": id, "tags": {"items": ["web", "blog"], "fingerprint": "x"},
        "labels": {"env": "prod", "other": "x", "empty": ""},
        "metadata": {"items": [{"key": "role", "value": value}, {"key": "ssh-keys", "value": "x"}]},
    });
    instance.to_string().into_bytes()
}

async fn attest_with_metadata(
    answer: impl Fn() -> Answer + Send + Sync + 'static,
) -> Result<Attested, Refused> {
    local(async {
        let web = Web::new(move |asked| match asked.line.as_str() {
            "GET /computeMetadata/v1/instance/service-accounts/default/token" => {
                Answer::Ok(br#"{"access_token":"at","expires_in":3599,"token_type":"Bearer"}"#.to_vec())
            }
            line => {
                let path = "GET /compute/v1/projects/my-project/zones/us-west1-a/instances/example?fields=id,";
                assert!(line.starts_with(path), "{line}");
                assert!(asked.headers.contains("authorization: bearer at"));
                answer()
            }
        });
        let web = web.await;
        let credentials = Credentials::Metadata(Endpoint::new(&web.url));
        let compute = Compute::new(Endpoint::new(&web.url), credentials, clock()).unwrap();
        let metadata = InstanceMetadata {
            compute,
            label_keys: ["env", "empty"].map(str::to_owned).into(),
            metadata_keys: ["role"].map(str::to_owned).into(),
            max_metadata_value_size: 8,
        };
        let config = GcpIitConfig {
            instance_metadata: Some(metadata),
            ..config()
        };
        attest(config, Issuer::new().token(&claims()).as_bytes()).await
    })
    .await
}

const ID: &str = "152986662232938449";

#[tokio::test]
async fn instance_metadata_becomes_selectors_of_the_allowed_keys() {
    let attested = attest_with_metadata(|| Answer::Ok(instance(ID, "frontend")))
        .await
        .unwrap();
    let values = values(&attested);
    for expected in [
        "gcp_iit:tag:web",
        "gcp_iit:tag:blog",
        "gcp_iit:label:env:prod",
        "gcp_iit:label:empty:",
        "gcp_iit:metadata:role:frontend",
    ] {
        assert!(values.contains(expected), "{expected}: {values:?}");
    }
    assert_eq!(values.len(), 9, "{values:?}");
}

#[tokio::test]
async fn a_metadata_value_over_the_limit_refuses_the_agent() {
    let refused = attest_with_metadata(|| Answer::Ok(instance(ID, "frontends"))).await;
    let error = evidence(refused);
    assert!(
        matches!(error, EvidenceError::MetadataTooLong { len: 9, limit: 8 }),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_instance_that_is_gone_or_another_by_now_is_refused() {
    let refused = attest_with_metadata(|| Answer::Ok(instance("1", "x"))).await;
    assert!(matches!(evidence(refused), EvidenceError::OtherInstance));
    let refused = attest_with_metadata(|| Answer::Status(404)).await;
    assert!(matches!(evidence(refused), EvidenceError::Unknown(_)));
}

#[tokio::test]
async fn an_api_that_refuses_redirects_or_answers_pages_makes_the_server_unable_to_decide() {
    for kind in 0..4 {
        let refused = attest_with_metadata(move || match kind {
            0 => Answer::Status(403),
            1 => Answer::Redirect("http://169.254.169.254/"),
            2 => Answer::Html,
            _ => Answer::Ok(vec![b' '; 10 << 20]),
        });
        let refused = refused.await;
        assert!(
            matches!(refused, Err(Refused::Unavailable(_))),
            "{refused:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_agent_takes_nothing_from_a_service_that_hangs_redirects_or_answers_pages() {
    local(async {
        for kind in 0..5 {
            let service = Web::new(move |_| match kind {
                0 => Answer::Hang,
                1 => Answer::Redirect("http://127.0.0.1:1/"),
                2 => Answer::Html,
                3 => Answer::Ok(b"a.b.c".to_vec()),
                _ => Answer::With("metadata-flavor: Google", b"<html>".to_vec()),
            });
            let service = service.await;
            let agent = GcpIitAgent::new(service.host(), "default");
            let failed = agent.payload().await;
            assert!(
                matches!(failed, Err(AgentError::Metadata { .. })),
                "{kind}: {failed:?}"
            );
            assert!(agent.respond(b"x").await.is_err());
        }
    })
    .await;
}
