//! What the operator of a node is told.

use super::*;
use crate::identify::DEADLINE;
use crate::testing::{entry, noon, spiffe_id, td, whole};
use async_trait::async_trait;
use signet_keys::KeyManager;
use signet_keys::memory::MemoryKeys;
use signet_runtime::SystemClock;
use signet_workload_attestor::{AttestError, WorkloadAttestor};
use tonic::Code;

struct Finds(&'static [&'static str]);

#[async_trait]
impl WorkloadAttestor for Finds {
    fn kind(&self) -> &'static str {
        "unix"
    }

    async fn attest(&self, _: &Peer) -> Result<Vec<Selector>, AttestError> {
        let found = self
            .0
            .iter()
            .map(|text| Selector::parse(text).expect("valid"));
        Ok(found.collect())
    }
}

struct Fails;

#[async_trait]
impl WorkloadAttestor for Fails {
    fn kind(&self) -> &'static str {
        "docker"
    }

    async fn attest(&self, _: &Peer) -> Result<Vec<Selector>, AttestError> {
        Err(AttestError::ProgramChanged)
    }
}

async fn member() -> OwnSvid {
    let keys = MemoryKeys::new();
    let key = keys
        .generate("agent-svid-A", signet_crypto::KeyType::EcP256)
        .await;
    OwnSvid {
        id: spiffe_id("/spire/agent/test/node"),
        chain: Vec::new(),
        key: key.expect("made"),
        not_after: noon(),
        renew_at: noon(),
        reattestable: false,
    }
}

async fn admin(member: Option<OwnSvid>) -> AgentAdmin {
    let holdings = Holdings::new(td(), Arc::new(SystemClock));
    let entries = vec![
        entry("web", &["unix:uid:1"]),
        entry("near", &["unix:uid:1", "unix:gid:9"]),
        entry("else", &["unix:uid:7"]),
    ];
    holdings.apply(whole(entries, vec![]));
    let found = Finds(&["unix:uid:1", "unix:path:/bin/\u{1b}[2J"]);
    AgentAdmin {
        holdings: Arc::new(holdings),
        identify: Arc::new(Identify::new(
            vec![Arc::new(found), Arc::new(Fails)],
            DEADLINE,
        )),
        member: watch::channel(member).1,
        proc: ProcRoot::default(),
    }
}

fn this_process() -> Request<WhyRequest> {
    let pid = i32::try_from(std::process::id()).expect("small");
    Request::new(WhyRequest { pid })
}

#[tokio::test]
async fn the_operator_sees_selectors_failures_matching_and_near_entries() {
    let admin = admin(Some(member().await)).await;
    let answer = admin
        .why(this_process())
        .await
        .expect("answered")
        .into_inner();
    let text = answer.text;
    for part in [
        "unix:uid:1",
        "docker failed",
        "entry web",
        "entry near",
        "unix:gid:9",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(
        !text.contains("unix:uid:7") && !text.contains('\u{1b}'),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&answer.json).expect("JSON");
    assert_eq!(json["explanation"]["granted"][0]["entry_id"], "web");
    assert_eq!(json["attestors"][1]["attestor"], "docker");
}

#[tokio::test]
async fn a_process_that_is_not_there_is_not_found() {
    let admin = admin(Some(member().await)).await;
    for pid in [0, -1, i32::MAX] {
        let error = admin
            .why(Request::new(WhyRequest { pid }))
            .await
            .expect_err("no process");
        assert_eq!(error.code(), Code::NotFound);
    }
}

#[tokio::test]
async fn before_the_agent_is_attested_the_answer_points_to_its_log() {
    let admin = admin(None).await;
    let error = admin.why(this_process()).await.expect_err("not attested");
    assert_eq!(error.code(), Code::Unavailable);
}
