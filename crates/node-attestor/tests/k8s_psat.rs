//! `k8s_psat` over a cluster that a test writes, and over none.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};
use signet_cluster::{ApiError, Name, Node, Pod, ReviewStatus};
use signet_crypto::jose::{self, JwsAlgorithm};
use signet_crypto::{KeyType, PrivateKey};
use signet_node_attestor::k8s_psat::{
    Cluster, ClusterConfig, EvidenceError, JwksFile, K8sPsatAgent, K8sPsatServer, Offline,
    Verification,
};
use signet_node_attestor::{
    AgentAttestor, AgentError, Attested, Challenger, Fault, Peer, Refused, ServerAttestor,
};
use signet_oidc::IssuerKeys;
use signet_runtime::{Clock, Tasks};
use signet_spiffe::TrustDomain;

const POD: &str = "0e3a8a3c-8a4b-4d09-9c1a-5c1f0a9ae210";
const NODE: &str = "5d1c2f6e-97a3-4a31-8c50-0b7f3f6f2b11";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const NOW: u64 = 1_800_000_000;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
    }
}

/// Answers in the shapes of real API servers.
#[derive(Clone)]
struct FakeCluster(Arc<Mutex<Answers>>);

struct Answers {
    review: Value,
    pod: Value,
    node: Value,
    status: Option<StatusCode>,
}

impl FakeCluster {
    fn new() -> Self {
        let review = json!({
            "authenticated": true,
            "user": {"username": "system:serviceaccount:spire:agent", "extra": {
                "authentication.kubernetes.io/pod-name": ["agent-x7k2p"],
                "authentication.kubernetes.io/pod-uid": [POD],
                "authentication.kubernetes.io/node-name": ["node-1"],
                "authentication.kubernetes.io/node-uid": [NODE],
            }},
            "audiences": ["spire-server"],
        });
        let pod = json!({
            "metadata": {"name": "agent-x7k2p", "namespace": "spire", "uid": POD,
                "labels": {"app": "agent", "secret": "x"}},
            "spec": {"nodeName": "node-1", "serviceAccountName": "agent"},
            "status": {"hostIP": "10.231.0.1"},
        });
        let node = json!({"metadata": {"name": "node-1", "uid": NODE, "labels": {"zone": "a"}}});
        Self(Arc::new(Mutex::new(Answers {
            review,
            pod,
            node,
            status: None,
        })))
    }

    fn with(self, change: impl FnOnce(&mut Answers)) -> Self {
        change(&mut self.0.lock().unwrap());
        self
    }

    fn answer<T: serde::de::DeserializeOwned>(
        &self,
        resource: &'static str,
        answer: impl Fn(&Answers) -> &Value,
    ) -> Result<T, ApiError> {
        let answers = self.0.lock().unwrap();
        if let Some(status) = answers.status {
            return Err(ApiError::Status {
                verb: "get",
                resource,
                status,
            });
        }
        match answer(&answers) {
            Value::Null => Err(ApiError::NotFound { resource }),
            value => Ok(serde_json::from_value(value.clone()).unwrap()),
        }
    }
}

#[async_trait]
impl Cluster for FakeCluster {
    async fn review(&self, _: &str, _: &[String]) -> Result<ReviewStatus, ApiError> {
        self.answer("tokenreviews", |answers| &answers.review)
    }
    async fn pod(&self, _: &Name, _: &Name) -> Result<Pod, ApiError> {
        self.answer("pods", |answers| &answers.pod)
    }
    async fn node(&self, _: &Name) -> Result<Node, ApiError> {
        self.answer("nodes", |answers| &answers.node)
    }
}

/// Nobody is challenged here.
struct NoChallenge;

#[async_trait]
impl Challenger for NoChallenge {
    async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
        panic!("a challenge")
    }
}

fn config(verification: Verification) -> ClusterConfig {
    ClusterConfig {
        allowed: ["spire:agent".parse().unwrap()].into(),
        audience: vec!["spire-server".to_owned()],
        node_label_keys: vec!["zone".to_owned()],
        pod_label_keys: vec!["app".to_owned()],
        use_pod_uid: false,
        verification,
    }
}

async fn attest_with(config: ClusterConfig, payload: &[u8]) -> Result<Attested, Refused> {
    let clusters = BTreeMap::from([("demo".to_owned(), config)]);
    let server = K8sPsatServer::new(TrustDomain::parse("example.org").unwrap(), clusters);
    server
        .attest(payload, &Peer::default(), &mut NoChallenge)
        .await
}

async fn attest(cluster: FakeCluster) -> Result<Attested, Refused> {
    let config = config(Verification::Online(Arc::new(cluster)));
    attest_with(config, br#"{"cluster":"demo","token":"a.b.c"}"#).await
}

fn evidence(refused: Result<Attested, Refused>) -> String {
    match refused {
        Err(Refused::Evidence(error)) => {
            let error = error.downcast_ref::<EvidenceError>().unwrap();
            format!("{error:?}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_agent_is_what_the_cluster_says() {
    let attested = attest(FakeCluster::new()).await.unwrap();
    let path = format!("/spire/agent/k8s_psat/demo/{NODE}");
    assert_eq!(attested.agent_id.path(), path);
    assert!(attested.can_reattest && !attested.first_use);
    let values: Vec<_> = attested.selectors.iter().map(|one| one.value()).collect();
    let expected = [
        "cluster:demo".to_owned(),
        "agent_ns:spire".to_owned(),
        "agent_sa:agent".to_owned(),
        "agent_pod_name:agent-x7k2p".to_owned(),
        format!("agent_pod_uid:{POD}"),
        "agent_node_name:node-1".to_owned(),
        format!("agent_node_uid:{NODE}"),
        "agent_node_ip:10.231.0.1".to_owned(),
        "agent_node_label:zone:a".to_owned(),
        "agent_pod_label:app:agent".to_owned(),
    ];
    assert_eq!(values, expected);
}

#[tokio::test]
async fn a_token_that_names_no_node_is_of_its_pods_node() {
    let cluster = FakeCluster::new().with(|answers| {
        let extra = answers.review["user"]["extra"].as_object_mut().unwrap();
        extra.retain(|key, _| !key.contains("node"));
    });
    let attested = attest(cluster).await.unwrap();
    assert!(attested.agent_id.path().ends_with(NODE));
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    type Change = fn(&mut Answers);
    let cases: [(&str, Change); 14] = [
        ("NotAuthenticated", |a| {
            a.review = json!({"user": {}, "error": "expired"})
        }),
        ("NotAuthenticated", |a| {
            a.review["authenticated"] = json!(false)
        }),
        ("NotAuthenticated", |a| {
            a.review["audiences"] = json!(["other"])
        }),
        ("NotAuthenticated", |a| a.review["audiences"] = Value::Null),
        ("NoAccount", |a| {
            a.review["user"]["username"] = json!("admin")
        }),
        ("NotAllowed", |a| {
            a.review["user"]["username"] = json!("system:serviceaccount:spire:other");
        }),
        ("Name", |a| {
            a.review["user"]["username"] = json!("system:serviceaccount:../x:agent")
        }),
        ("NoPod", |a| a.review["user"]["extra"] = json!({})),
        ("Contradiction", |a| {
            a.review["user"]["extra"]["authentication.kubernetes.io/pod-uid"] = json!(["a", "b"]);
        }),
        ("NoPod", |a| a.pod = Value::Null),
        ("OtherPod", |a| a.pod["metadata"]["uid"] = json!("another")),
        ("OtherPod", |a| {
            a.pod["spec"]["serviceAccountName"] = json!("default")
        }),
        ("NoNode", |a| a.node = Value::Null),
        ("OtherNode", |a| {
            a.node["metadata"]["uid"] = json!("another")
        }),
    ];
    for (expected, change) in cases {
        let refused = evidence(attest(FakeCluster::new().with(change)).await);
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
}

#[tokio::test]
async fn a_cluster_that_is_not_configured_and_bytes_that_are_no_payload_are_refused() {
    let config = || config(Verification::Online(Arc::new(FakeCluster::new())));
    let refused = attest_with(config(), br#"{"cluster":"other","token":"a"}"#).await;
    assert_eq!(evidence(refused), "UnknownCluster");
    for payload in [&b""[..], b"<html>", br#"{"cluster":"demo"}"#] {
        let refused = attest_with(config(), payload).await.unwrap_err();
        assert_eq!(refused.fault(), Fault::Caller, "{refused:?}");
    }
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_is_no_fault_of_the_agents() {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let cluster = FakeCluster::new().with(|answers| answers.status = Some(status));
    let refused = attest(cluster).await.unwrap_err();
    assert_eq!(refused.fault(), Fault::Ours);
}

#[tokio::test]
async fn a_uid_that_is_no_path_segment_makes_no_id() {
    let cluster = FakeCluster::new().with(|answers| {
        answers.node["metadata"]["uid"] = json!("../../server");
        let extra = answers.review["user"]["extra"].as_object_mut().unwrap();
        extra.retain(|key, _| !key.contains("node"));
    });
    assert!(matches!(attest(cluster).await, Err(Refused::AgentId(_))));
}

/// An issuer of tokens, whose keys are in a file.
struct Issuer {
    key: PrivateKey,
    directory: tempfile::TempDir,
}

impl Issuer {
    fn new() -> Self {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut jwk = jose::jwk_members(key.public_key());
        jwk.insert("kid".to_owned(), json!("k1"));
        jwk.insert("use".to_owned(), json!("sig"));
        let document = json!({"keys": [jwk]}).to_string();
        std::fs::write(directory.path().join("jwks.json"), document).unwrap();
        Self { key, directory }
    }

    fn verification(&self, tasks: &Tasks) -> Verification {
        let file = JwksFile::new(&self.directory.path().join("jwks.json"));
        let keys = IssuerKeys::new(file, tasks.clone());
        Verification::Offline(Offline::new(ISSUER.to_owned(), keys, Arc::new(FixedClock)))
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": JwsAlgorithm::ES256.name(), "kid": "k1"});
        let input =
            jose::encode_signing_input(header.as_object().unwrap(), claims.as_object().unwrap());
        let der = self.key.sign_ecdsa_sha256(input.as_bytes()).unwrap();
        jose::attach_signature(input, JwsAlgorithm::ES256, &der).unwrap()
    }
}

/// The claims of a projected token of 1.36.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": ["spire-server"], "sub": "system:serviceaccount:spire:agent",
        "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 540,
        "kubernetes.io": {
            "namespace": "spire",
            "serviceaccount": {"name": "agent", "uid": "6a2a6a0e-2f6d-4f2c-a2f5-0d5d6d1d7f10"},
            "pod": {"name": "agent-x7k2p", "uid": POD},
            "node": {"name": "node-1", "uid": NODE},
        },
    })
}

async fn offline(issuer: &Issuer, use_pod_uid: bool, claims: &Value) -> Result<Attested, Refused> {
    let tasks = Tasks::new();
    let config = ClusterConfig {
        use_pod_uid,
        ..config(issuer.verification(&tasks))
    };
    let payload = json!({"cluster": "demo", "token": issuer.token(claims)}).to_string();
    attest_with(config, payload.as_bytes()).await
}

#[tokio::test]
async fn offline_the_token_alone_says_who_the_agent_is() {
    let issuer = Issuer::new();
    let attested = offline(&issuer, false, &claims()).await.unwrap();
    assert!(attested.agent_id.path().ends_with(NODE));
    let values: Vec<_> = attested.selectors.iter().map(|one| one.value()).collect();
    assert!(values.contains(&"agent_node_name:node-1"));
    let mut old = claims();
    old["kubernetes.io"].as_object_mut().unwrap().remove("node");
    let refused = evidence(offline(&issuer, false, &old).await);
    assert_eq!(refused, "NodeUnnamed");
    let attested = offline(&issuer, true, &old).await.unwrap();
    assert!(attested.agent_id.path().ends_with(&format!("/pod/{POD}")));
}

#[tokio::test]
async fn offline_tokens_that_do_not_hold_are_refused() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 8] = [
        ("Expired", |c| c["exp"] = json!(NOW - 120)),
        ("Audience", |c| {
            c["aud"] = json!(["https://kubernetes.default.svc"])
        }),
        ("Issuer", |c| c["iss"] = json!("https://evil.example")),
        ("NotYet", |c| c["nbf"] = json!(NOW + 3600)),
        ("NotAllowed", |c| {
            c["sub"] = json!("system:serviceaccount:shop:agent");
            c["kubernetes.io"]["namespace"] = json!("shop");
        }),
        ("Contradiction", |c| {
            c["kubernetes.io"]["namespace"] = json!("shop")
        }),
        ("NoPod", |c| {
            c["kubernetes.io"].as_object_mut().unwrap().remove("pod");
        }),
        ("NoPod", |c| {
            c.as_object_mut().unwrap().remove("kubernetes.io");
        }),
    ];
    let issuer = Issuer::new();
    for (expected, change) in cases {
        let mut claims = claims();
        change(&mut claims);
        let refused = evidence(offline(&issuer, false, &claims).await);
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
}

#[tokio::test]
async fn offline_a_token_of_another_issuers_key_is_refused() {
    let (ours, theirs) = (Issuer::new(), Issuer::new());
    let tasks = Tasks::new();
    let payload = json!({"cluster": "demo", "token": theirs.token(&claims())}).to_string();
    let refused = attest_with(config(ours.verification(&tasks)), payload.as_bytes()).await;
    assert!(evidence(refused).contains("Token"));
}

#[tokio::test]
async fn the_agent_reads_its_token_each_time_and_waits_for_one_that_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let agent = K8sPsatAgent::new("demo".to_owned(), path.clone(), Arc::new(FixedClock));
    assert!(matches!(
        agent.payload().await,
        Err(AgentError::File { .. })
    ));
    let issuer = Issuer::new();
    let mut expired = claims();
    expired["exp"] = json!(NOW);
    for text in [String::new(), issuer.token(&expired)] {
        std::fs::write(&path, text).unwrap();
        assert!(matches!(
            agent.payload().await,
            Err(AgentError::Content { .. })
        ));
    }
    std::fs::write(&path, "first\n").unwrap();
    assert_eq!(
        agent.payload().await.unwrap(),
        br#"{"cluster":"demo","token":"first"}"#
    );
    let second = issuer.token(&claims());
    std::fs::write(&path, &second).unwrap();
    let payload = String::from_utf8(agent.payload().await.unwrap()).unwrap();
    assert!(payload.contains(&second));
    assert!(matches!(
        agent.respond(b"x").await,
        Err(AgentError::Challenge(None))
    ));
}
