//! Tokens of an issuer, and several proofs together.

use crate::attestation::Pki;
use crate::harness::{HOUR, World, csr, key, params, refusal};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};
use signet_cloud::aws::{AwsSettings, Environment, Partition};
use signet_crypto::{PrivateKey, SecretString};
use signet_http::{Addresses, Roots};
use signet_node_attestor::aws_iid::payload::Payload;
use signet_node_attestor::combined::CombinedAgent;
use signet_node_attestor::join_token::JoinTokenAgent;
use signet_node_attestor::oidc::{
    ClaimName, Condition, OidcAgent, Pattern, TokenSource, VARIABLES,
};
use signet_node_attestor::{AgentAttestor, AgentError, AgentPathTemplate};
use signet_oidc::testing::TestIssuer;
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::agent::v1::{
    AttestAgentRequest, attest_agent_request, attest_agent_response,
};
use signet_proto::spire::types::Spiffeid;
use signet_server::config::{AwsIidSettings, NodeAttestorSettings, OidcIssuerSettings};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A document as AWS's sample, signed by a signer of the tests.
macro_rules! aws {
    ($name:literal) => {
        concat!(
            "../../../crates/node-attestor/tests/fixtures/aws_iid/",
            $name
        )
    };
}

const TEMPLATE: &str = "/oidc/{{ .Claims.run_id }}";

fn oidc(issuer: &TestIssuer, change: impl FnOnce(&mut OidcIssuerSettings)) -> NodeAttestorSettings {
    let claim = |name: &str| ClaimName::new(name).unwrap();
    let pattern = Pattern::glob("acme/*").unwrap();
    let mut settings = OidcIssuerSettings {
        issuer: issuer.url(),
        audiences: vec!["signet".to_owned()],
        conditions: vec![Condition::new(claim("repository"), vec![pattern]).unwrap()],
        agent_path_template: AgentPathTemplate::parse(TEMPLATE, VARIABLES).unwrap(),
        selector_claims: vec![claim("repository"), claim("groups")],
        single_use: true,
        can_reattest: false,
        leeway: Duration::from_secs(30),
        jwks_url: None,
        roots: Roots::File(issuer.authority()),
        addresses: Addresses::Any,
    };
    change(&mut settings);
    NodeAttestorSettings::Oidc(vec![settings])
}

fn job(run: &str) -> Value {
    json!({"repository": "acme/app", "run_id": run, "jti": run, "groups": ["x", "y"], "sub": "s"})
}

fn token(world: &World, issuer: &TestIssuer, claims: Value) -> String {
    issuer.token(world.server.issuer().clock.now(), claims)
}

fn token_agent(token: String) -> Arc<dyn AgentAttestor> {
    let environment = move |_: &str| Some(token.clone());
    let source = TokenSource::Variable("TOKEN".to_owned());
    Arc::new(OidcAgent::new(source, Arc::new(environment)))
}

/// The whole exchange of an agent.
async fn attest(
    channel: Channel,
    agent: &dyn AgentAttestor,
    key: &PrivateKey,
) -> Result<(Spiffeid, bool), Status> {
    let (requests, received) = mpsc::channel(4);
    let payload = agent.payload().await.unwrap();
    let first = params(agent.kind(), &payload, &csr(key, &[]));
    requests.send(first).await.unwrap();
    let mut client = AgentClient::new(channel);
    let answers = client.attest_agent(ReceiverStream::new(received)).await?;
    let mut answers = answers.into_inner();
    loop {
        match answers.message().await?.unwrap().step.unwrap() {
            attest_agent_response::Step::Result(result) => {
                return Ok((result.svid.unwrap().id.unwrap(), result.reattestable));
            }
            attest_agent_response::Step::Challenge(challenge) => {
                let answer = agent.respond(&challenge).await.unwrap();
                let step = attest_agent_request::Step::ChallengeResponse(answer.into());
                let answer = AttestAgentRequest { step: Some(step) };
                requests.send(answer).await.unwrap();
            }
        }
    }
}

async fn with_token(world: &World, token: &str) -> Result<(Spiffeid, bool), Status> {
    let channel = world.remote(None).await;
    attest(channel, &*token_agent(token.to_owned()), &key()).await
}

fn selectors(world: &World, id: &Spiffeid) -> Vec<String> {
    let id = signet_spiffe::SpiffeId::parse(&format!("spiffe://example.org{}", id.path)).unwrap();
    let agent = world.server.issuer().agent(&id).unwrap();
    let texts = agent.selectors.iter().map(|one| one.expose().to_string());
    texts.collect()
}

#[tokio::test]
async fn a_token_of_an_issuer_makes_an_agent_with_selectors_of_its_claims() {
    let issuer = TestIssuer::start().await;
    let settings = oidc(&issuer, |_| {});
    let world = World::with(|parts| parts.attestors.push(settings)).await;
    let (id, reattestable) = with_token(&world, &token(&world, &issuer, job("7")))
        .await
        .unwrap();
    assert_eq!(id.path, "/spire/agent/oidc/7");
    assert!(!reattestable);
    let expected = [
        "oidc:claim:groups:x".to_owned(),
        "oidc:claim:groups:y".to_owned(),
        "oidc:claim:repository:acme/app".to_owned(),
        format!("oidc:iss:{}", issuer.url()),
    ];
    assert_eq!(selectors(&world, &id), expected);
}

/// A thousand nodes show the same evidence at once, each with a key of its own, and one is attested:
/// what the others are told.
async fn refused_of_a_thousand(world: &World, evidence: &dyn AgentAttestor) -> Vec<(Code, String)> {
    let channel = world.remote(None).await;
    let keys: Vec<_> = (0..1000).map(|_| key()).collect();
    let attempts: FuturesUnordered<_> = keys
        .iter()
        .map(|key| attest(channel.clone(), evidence, key))
        .collect();
    let outcomes: Vec<_> = attempts.collect().await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 999));
    lost.into_iter().map(refusal).collect()
}

#[tokio::test]
async fn of_a_thousand_nodes_with_one_token_of_an_issuer_exactly_one_is_attested() {
    let issuer = TestIssuer::start().await;
    // Each would be another agent, so that nothing but the token's ID keeps them apart.
    let settings = oidc(&issuer, |_| {});
    let world = World::with(|parts| parts.attestors.push(settings)).await;
    let text = token(&world, &issuer, job("7"));
    let agent = token_agent(text.clone());
    for (code, message) in refused_of_a_thousand(&world, &*agent).await {
        assert_eq!(code, Code::PermissionDenied, "{message}");
        assert!(
            message.ends_with("counts once and has already been used"),
            "{message}"
        );
    }
}

/// What AWS hands to every process of an instance, for who ever read it.
struct Document(Vec<u8>);

impl Document {
    fn new() -> Self {
        Self(
            Payload {
                document: include_str!(aws!("document")).to_owned(),
                rsa2048: include_str!(aws!("rsa2048")).to_owned(),
                ..Payload::default()
            }
            .encode(),
        )
    }
}

#[async_trait]
impl AgentAttestor for Document {
    fn kind(&self) -> &'static str {
        "aws_iid"
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        Ok(self.0.clone())
    }

    async fn respond(&self, _: &[u8]) -> Result<Vec<u8>, AgentError> {
        Err(AgentError::Challenge(None))
    }
}

fn aws() -> NodeAttestorSettings {
    let certificates = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/api/",
        aws!("certificates.txt")
    );
    NodeAttestorSettings::AwsIid(Box::new(AwsIidSettings {
        aws: AwsSettings {
            partition: Partition::default(),
            keys: None,
            environment: Environment::read(|_: &str| None),
        },
        assume_role: None,
        skip_block_device: false,
        disable_instance_profile_selectors: false,
        agent_path_template: None,
        local_accounts: ["123456789012".to_owned()].into(),
        accounts: None,
        clusters: vec![],
        region_certificates_path: Some(certificates.into()),
    }))
}

#[tokio::test]
async fn of_a_thousand_nodes_with_one_instances_document_exactly_one_is_attested() {
    let world = World::with(|parts| parts.attestors.push(aws())).await;
    for (code, message) in refused_of_a_thousand(&world, &Document::new()).await {
        assert_eq!(code, Code::PermissionDenied, "{message}");
        assert!(message.contains("agent evict -spiffeID"), "{message}");
    }
}

#[tokio::test]
async fn a_token_may_be_shown_again_by_its_key_alone_and_not_after_an_eviction() {
    let issuer = TestIssuer::start().await;
    let settings = oidc(&issuer, |_| {});
    let world = World::with(|parts| parts.attestors.push(settings)).await;
    let agent = token_agent(token(&world, &issuer, job("7")));
    let (channel, key) = (world.remote(None).await, key());
    let (id, _) = attest(channel.clone(), &*agent, &key).await.unwrap();
    attest(channel.clone(), &*agent, &key).await.unwrap();
    let id = signet_spiffe::SpiffeId::parse(&format!("spiffe://example.org{}", id.path)).unwrap();
    world
        .server
        .issuer()
        .evict_agent(&crate::harness::operator(), &id)
        .await
        .unwrap();
    let refused = attest(channel, &*agent, &key).await;
    assert_eq!(refusal(refused).0, Code::PermissionDenied);
}

#[tokio::test]
async fn used_tokens_are_forgotten_when_they_have_expired() {
    let issuer = TestIssuer::start().await;
    let settings = oidc(&issuer, |_| {});
    let world = World::with(|parts| parts.attestors.push(settings)).await;
    with_token(&world, &token(&world, &issuer, job("7")))
        .await
        .unwrap();
    let remembered = || world.server.issuer().state.read().index.all_used().count();
    world.clock.advance(HOUR);
    signet_server::prune::prune_once(world.server.issuer())
        .await
        .unwrap();
    assert_eq!(remembered(), 1);
    world.clock.advance(Duration::from_secs(30));
    signet_server::prune::prune_once(world.server.issuer())
        .await
        .unwrap();
    assert_eq!(remembered(), 0);
}

#[tokio::test]
async fn a_token_that_proves_too_little_is_refused_without_a_word_of_it() {
    let issuer = TestIssuer::start().await;
    let other = TestIssuer::start().await;
    let settings = oidc(&issuer, |_| {});
    let world = World::with(|parts| parts.attestors.push(settings)).await;
    let with = |name: &str, value: Value| {
        let mut claims = job("7");
        claims[name] = value;
        token(&world, &issuer, claims)
    };
    for (token, code, said) in [
        (
            with("repository", json!("evil/app")),
            Code::PermissionDenied,
            "\"repository\" does not meet",
        ),
        (
            with("repository", json!("acme/app/x")),
            Code::PermissionDenied,
            "\"repository\" does not meet",
        ),
        (
            with("aud", json!("other")),
            Code::PermissionDenied,
            "another audience",
        ),
        (with("exp", json!(1)), Code::PermissionDenied, "has expired"),
        (with("run_id", json!("../../server")), Code::Internal, ""),
        (with("run_id", json!("a/b")), Code::Internal, ""),
        (with("run_id", json!("a%2fb")), Code::Internal, ""),
        (with("run_id", json!(null)), Code::Internal, ""),
        (
            token(&world, &other, job("7")),
            Code::PermissionDenied,
            "no issuer that is configured",
        ),
        (
            with("iss", json!(other.url().as_str())),
            Code::PermissionDenied,
            "no issuer that is configured",
        ),
        ("no token".to_owned(), Code::InvalidArgument, ""),
        (
            "x".repeat(20_000),
            Code::InvalidArgument,
            "the limit of oidc is 16384",
        ),
    ] {
        let (found, message) = refusal(with_token(&world, &token).await);
        assert_eq!(found, code, "{message}");
        assert!(message.contains(said), "{message}");
        assert!(
            !message.contains("acme") && !message.contains("evil"),
            "{message}"
        );
    }
    assert_eq!(
        world.server.issuer().find_agents(&Default::default()).len(),
        0
    );
}

#[tokio::test]
async fn an_issuer_at_a_private_address_is_not_asked_unless_that_is_allowed() {
    let issuer = TestIssuer::start().await;
    let settings = oidc(&issuer, |settings| settings.addresses = Addresses::Public);
    let world = World::with(|parts| parts.attestors.push(settings)).await;
    let refused = with_token(&world, &token(&world, &issuer, job("7"))).await;
    let (code, message) = refusal(refused);
    assert_eq!(code, Code::Internal, "{message}");
    assert!(!message.contains("127.0.0.1"), "{message}");
}

/// A server that wants a certificate and a token, and an agent that has both.
struct Both {
    world: World,
    pki: Pki,
    issuer: TestIssuer,
}

impl Both {
    async fn new() -> Self {
        let (issuer, pki) = (TestIssuer::start().await, Pki::new());
        let settings = [
            pki.settings(8192),
            oidc(&issuer, |settings| settings.can_reattest = true),
            NodeAttestorSettings::Combined(vec!["x509pop", "oidc"]),
        ];
        let world = World::with(|parts| parts.attestors.extend(settings)).await;
        Self { world, pki, issuer }
    }

    fn certificate(&self) -> Arc<dyn AgentAttestor> {
        Arc::new(self.pki.agent())
    }

    fn token(&self, run: &str) -> Arc<dyn AgentAttestor> {
        token_agent(token(&self.world, &self.issuer, job(run)))
    }

    async fn attest(
        &self,
        proofs: Vec<Arc<dyn AgentAttestor>>,
    ) -> Result<(Spiffeid, bool), Status> {
        let channel = self.world.remote(None).await;
        attest(channel, &CombinedAgent::new(proofs), &key()).await
    }
}

#[tokio::test]
async fn two_proofs_make_the_first_ones_agent_with_the_selectors_of_both() {
    let both = Both::new().await;
    let (id, reattestable) = both
        .attest(vec![both.certificate(), both.token("7")])
        .await
        .unwrap();
    assert!(id.path.starts_with("/spire/agent/x509pop/"), "{}", id.path);
    assert!(reattestable);
    let selectors = selectors(&both.world, &id);
    let of = |kind: &str| selectors.iter().filter(|one| one.starts_with(kind)).count();
    assert!(of("x509pop:") > 0 && of("oidc:") == 4, "{selectors:?}");
    let again = both.attest(vec![both.certificate(), both.token("8")]).await;
    assert_eq!(again.unwrap().0, id);
}

#[tokio::test]
async fn a_server_that_wants_both_proofs_takes_neither_alone_nor_others_nor_another_order() {
    let both = Both::new().await;
    both.attest(vec![both.certificate(), both.token("1")])
        .await
        .unwrap();
    let channel = both.world.remote(None).await;
    for alone in [both.certificate(), both.token("2")] {
        let refused = attest(channel.clone(), &*alone, &key()).await;
        assert_eq!(
            refusal(refused).0,
            Code::FailedPrecondition,
            "{}",
            alone.kind()
        );
    }
    let join: Arc<dyn AgentAttestor> = Arc::new(JoinTokenAgent::new(SecretString::new(
        both.world.token().await,
    )));
    for proofs in [
        vec![],
        vec![both.certificate()],
        vec![both.token("3")],
        vec![both.token("4"), both.certificate()],
        vec![both.certificate(), both.certificate()],
        vec![both.certificate(), join.clone()],
        vec![both.certificate(), both.token("5"), join],
    ] {
        let (code, message) = refusal(both.attest(proofs).await);
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert!(
            message.contains("x509pop, oidc, in this order"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn one_proof_that_does_not_hold_is_enough_to_be_refused_and_uses_nothing_up() {
    let both = Both::new().await;
    let other = Pki::new();
    let foreign: Arc<dyn AgentAttestor> = Arc::new(other.agent());
    let token = both.token("7");
    let refused = both.attest(vec![foreign, token.clone()]).await;
    assert_eq!(refusal(refused).0, Code::PermissionDenied);
    let mut claims = job("8");
    claims["repository"] = json!("evil/app");
    let bad = token_agent(crate::proofs::token(&both.world, &both.issuer, claims));
    let (code, message) = refusal(both.attest(vec![both.certificate(), bad]).await);
    assert_eq!(code, Code::PermissionDenied);
    assert!(message.contains("by oidc"), "{message}");
    both.attest(vec![both.certificate(), token]).await.unwrap();
}

/// Answers challenges at length.
struct Verbose(Arc<dyn AgentAttestor>);

#[async_trait]
impl AgentAttestor for Verbose {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    async fn payload(&self) -> Result<Vec<u8>, AgentError> {
        self.0.payload().await
    }

    async fn respond(&self, _: &[u8]) -> Result<Vec<u8>, AgentError> {
        Ok(vec![b' '; 1 << 20])
    }
}

#[tokio::test]
async fn an_answer_longer_than_the_attestor_reads_is_not_handed_to_it() {
    let both = Both::new().await;
    let settings = both.pki.settings(8192);
    let world = World::with(|parts| parts.attestors.push(settings)).await;
    let verbose = Verbose(both.certificate());
    let refused = attest(world.remote(None).await, &verbose, &key()).await;
    assert_eq!(refusal(refused).0, Code::InvalidArgument);
    let record = crate::harness::only(world.records());
    assert!(
        record
            .reason
            .contains("the answer to a challenge has 1048576 bytes"),
        "{}",
        record.reason
    );
}

#[tokio::test]
async fn an_agent_of_two_proofs_never_comes_back_with_one_even_by_another_attestors_template() {
    let both = Both::new().await;
    let (id, _) = both
        .attest(vec![both.certificate(), both.token("7")])
        .await
        .unwrap();
    let agents = both.world.server.issuer().find_agents(&Default::default());
    let agent = agents[0].clone();
    assert_eq!(
        agent.attestation.as_ref().unwrap().proofs,
        ["x509pop", "oidc"]
    );
    // The same store under a server that no longer asks for both.
    let lenient = World::with(|parts| parts.attestors.push(both.pki.settings(8192))).await;
    let put = signet_model::Change::PutAgent(agent);
    let plan = |_: &signet_server::state::Snapshot| {
        let plan = signet_server::state::Plan::default().change(put.clone());
        Ok::<_, signet_server::state::StateError>((plan, ()))
    };
    lenient.server.issuer().state.change(plan).await.unwrap();
    let refused = attest(lenient.remote(None).await, &*both.certificate(), &key()).await;
    let (code, message) = refusal(refused);
    assert_eq!(code, Code::PermissionDenied);
    assert!(message.contains("must show all of them again"), "{message}");
    assert!(message.contains(&id.path), "{message}");
}
