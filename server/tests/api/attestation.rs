//! Attestation: join tokens and what becomes of them, x509pop, and exchanges that go wrong.

use crate::callers::{ForeignCa, valid};
use crate::harness::{
    HOUR, Shown, World, attest_over, call, create, csr, entry, forged_csr, id, key, params, reason,
    refusal, token_request,
};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use signet_crypto::{PrivateKey, SystemRandom};
use signet_node_attestor::AgentAttestor;
use signet_node_attestor::x509pop::{X509PopAgent, X509PopFiles};
use signet_proto::spire::server::agent::v1::agent_client::AgentClient;
use signet_proto::spire::server::agent::v1::{
    AgentX509svidParams, AttestAgentRequest, AttestAgentResponse, BanAgentRequest,
    DeleteAgentRequest, GetAgentRequest, RenewAgentRequest, attest_agent_request,
    attest_agent_response,
};
use signet_proto::spire::types::permission_denied_details::Reason;
use signet_proto::spire::types::{Agent, Spiffeid};
use signet_server::config::{NodeAttestorSettings, X509PopRoots, X509PopSettings};
use signet_spiffe::pem;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

const AUTHORIZED: &str = "/spire.api.server.entry.v1.Entry/GetAuthorizedEntries";
const USED: &str = "join token does not exist or has already been used";

async fn stored(world: &World, id: &Spiffeid) -> Result<Agent, Status> {
    let mut client = AgentClient::new(world.local().await);
    let request = GetAgentRequest {
        id: Some(id.clone()),
        output_mask: None,
    };
    Ok(client.get_agent(request).await?.into_inner())
}

#[tokio::test]
async fn of_a_thousand_nodes_with_one_token_exactly_one_is_attested() {
    let world = World::new().await;
    let token = world.token().await;
    let channel = world.remote(None).await;
    let requests: Vec<_> = (0..1000).map(|_| csr(&key(), &[])).collect();
    let attempts: FuturesUnordered<_> = requests
        .iter()
        .map(|csr| attest_over(channel.clone(), &token, csr))
        .collect();
    let outcomes: Vec<_> = attempts.collect().await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 999));
    for outcome in lost {
        let (code, message) = refusal(outcome);
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert!(message.ends_with(USED), "{message}");
    }
}

#[tokio::test]
async fn the_same_key_may_show_its_token_again_until_the_svid_was_used() {
    let world = World::new().await;
    let (token, key) = (world.token().await, Arc::new(key()));
    world.attest(&token, &key).await.unwrap();
    let again = world.attest(&token, &key).await.unwrap();
    assert_eq!(again.id, id(&format!("/spire/agent/join_token/{token}")));
    assert!(!again.reattestable);
    let other = world.attest(&token, &crate::harness::key()).await;
    assert_eq!(refusal(other).0, Code::InvalidArgument);
    let shown = Shown {
        chain: again.chain,
        key: key.clone(),
    };
    let channel = world.remote(Some(&shown)).await;
    call(&channel, AUTHORIZED).await.unwrap();
    let (code, message) = refusal(world.attest(&token, &key).await);
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.ends_with(USED), "{message}");
}

#[tokio::test]
async fn a_bad_csr_does_not_use_up_the_token() {
    let world = World::new().await;
    let token = world.token().await;
    let channel = world.remote(None).await;
    for bad in [b"x".to_vec(), forged_csr(), vec![0x30; 20_000]] {
        let (code, message) = refusal(attest_over(channel.clone(), &token, &bad).await);
        assert_eq!(code, Code::InvalidArgument);
        assert!(message.starts_with("malformed param: "), "{message}");
    }
    world.attest(&token, &key()).await.unwrap();
}

#[tokio::test]
async fn an_expired_token_lets_nobody_in() {
    let world = World::new().await;
    let token = world.token().await;
    world.clock.advance(HOUR);
    let (code, message) = refusal(world.attest(&token, &key()).await);
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.ends_with("join token expired"), "{message}");
}

#[tokio::test]
async fn a_token_taken_in_time_may_be_shown_again_by_its_key_after_its_end() {
    let world = World::new().await;
    let mut client = AgentClient::new(world.local().await);
    let made = client.create_join_token(token_request(1, "", None)).await;
    let (token, key) = (made.unwrap().into_inner().value, key());
    world.attest(&token, &key).await.unwrap();
    world.clock.advance(Duration::from_secs(5));
    world.attest(&token, &key).await.unwrap();
}

#[tokio::test]
async fn tokens_that_could_not_be_part_of_an_id_are_refused_at_creation() {
    let world = World::new().await;
    let mut client = AgentClient::new(world.local().await);
    for token in ["a b", "a/b", "ü", "..", ".", "a\n", &"x".repeat(256)] {
        let made = client
            .create_join_token(token_request(60, token, None))
            .await;
        assert_eq!(refusal(made).0, Code::InvalidArgument, "{token:?}");
    }
    for ttl in [0, -1, i32::MIN] {
        let made = client
            .create_join_token(token_request(ttl, "t", None))
            .await;
        let expected = "ttl is required, you must provide one".to_owned();
        assert_eq!(refusal(made), (Code::InvalidArgument, expected));
    }
    let made = client
        .create_join_token(token_request(60, "A-z_0.9", None))
        .await;
    let made = made.unwrap().into_inner();
    assert_eq!(made.value, "A-z_0.9");
    assert_eq!(made.expires_at, world.now() + 60);
    let twice = client
        .create_join_token(token_request(60, "A-z_0.9", None))
        .await;
    assert!(twice.is_err());
}

#[tokio::test]
async fn a_banned_agent_stays_in_the_list_and_may_not_attest_again() {
    let world = World::new().await;
    let (token, key) = (world.token().await, key());
    let attested = world.attest(&token, &key).await.unwrap();
    let mut client = AgentClient::new(world.local().await);
    let request = BanAgentRequest {
        id: Some(attested.id.clone()),
    };
    client.ban_agent(request).await.unwrap();
    let agent = stored(&world, &attested.id).await.unwrap();
    assert!(agent.banned);
    assert_eq!(agent.x509svid_serial_number, "");
    assert!(world.attest(&token, &key).await.is_err());
    let taken = client
        .create_join_token(token_request(60, &token, None))
        .await;
    assert!(
        taken.is_err(),
        "a token of that name would let a banned agent in"
    );
}

#[tokio::test]
async fn a_banned_agent_is_refused_with_spires_words_even_with_good_evidence() {
    let pki = Pki::new();
    let world = pki.world().await;
    let (_, attested) = pki.attest(&world, |answer| answer).await.unwrap();
    let mut client = AgentClient::new(world.local().await);
    let request = BanAgentRequest { id: Some(attested) };
    client.ban_agent(request).await.unwrap();
    let refused = pki.attest(&world, |answer| answer).await.map(drop);
    let status = refused.unwrap_err();
    assert_eq!(reason(&status), None);
    let expected = "failed to attest: agent is banned".to_owned();
    assert_eq!(
        refusal::<()>(Err(status)),
        (Code::PermissionDenied, expected)
    );
}

#[tokio::test]
async fn an_evicted_agent_takes_its_alias_with_it_and_leaves_other_entries() {
    let world = World::new().await;
    let local = world.local().await;
    let mut client = AgentClient::new(local.clone());
    let request = token_request(60, "t1", Some(id("/alias")));
    client.create_join_token(request).await.unwrap();
    let attested = world.attest("t1", &key()).await.unwrap();
    create(&local, vec![entry("/web", &attested.id)]).await;
    let entries = || world.server.issuer().find_entries(&Default::default());
    let alias = entries()
        .into_iter()
        .find(|entry| entry.spiffe_id.path() == "/alias")
        .unwrap();
    assert_eq!(alias.parent_id.path(), "/spire/agent/join_token/t1");
    let request = DeleteAgentRequest {
        id: Some(attested.id.clone()),
    };
    client.delete_agent(request).await.unwrap();
    assert_eq!(
        refusal(stored(&world, &attested.id).await).0,
        Code::NotFound
    );
    let left: Vec<_> = entries()
        .iter()
        .map(|entry| entry.spiffe_id.path().to_owned())
        .collect();
    assert_eq!(left, ["/web"]);
    let again = client
        .create_join_token(token_request(60, "t1", Some(id("/alias"))))
        .await;
    again.expect("nothing of the agent is left in the way");
}

#[tokio::test]
async fn a_renewed_agent_has_two_svids_until_the_new_one_is_used() {
    let world = World::new().await;
    let node = world.agent().await;
    call(&node.channel, AUTHORIZED).await.unwrap();
    let before = stored(&world, &node.id).await.unwrap();
    let new_key = key();
    let renew = |csr: Vec<u8>| RenewAgentRequest {
        params: Some(AgentX509svidParams { csr: csr.into() }),
    };
    let renewed = node.agents().renew_agent(renew(csr(&new_key, &[]))).await;
    let svid = renewed.unwrap().into_inner().svid.unwrap();
    assert_eq!(svid.id, Some(node.id.clone()));
    call(&node.channel, AUTHORIZED)
        .await
        .expect("the old one still works");
    let between = stored(&world, &node.id).await.unwrap();
    assert_eq!(
        between.x509svid_serial_number,
        before.x509svid_serial_number
    );
    let shown = Shown {
        chain: svid.cert_chain.iter().map(|der| der.to_vec()).collect(),
        key: Arc::new(new_key),
    };
    let channel = world.remote(Some(&shown)).await;
    call(&channel, AUTHORIZED).await.expect("the new one works");
    let after = stored(&world, &node.id).await.unwrap();
    assert_ne!(after.x509svid_serial_number, before.x509svid_serial_number);
    let status = call(&node.channel, AUTHORIZED).await.unwrap_err();
    assert_eq!(reason(&status), Some(Reason::AgentNotActive));
    for bad in [Vec::new(), b"x".to_vec(), forged_csr()] {
        let refused = AgentClient::new(channel.clone())
            .renew_agent(renew(bad))
            .await;
        assert_eq!(refusal(refused).0, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn malformed_beginnings_are_refused_by_name() {
    let world = World::new().await;
    let channel = world.remote(None).await;
    let csr = csr(&key(), &[]);
    let with = |change: fn(&mut attest_agent_request::Params)| {
        let mut request = params("join_token", b"t", &csr);
        if let Some(attest_agent_request::Step::Params(params)) = &mut request.step {
            change(params);
        }
        request
    };
    let answer = attest_agent_request::Step::ChallengeResponse("x".into());
    let cases = [
        (AttestAgentRequest::default(), "missing params"),
        (AttestAgentRequest { step: Some(answer) }, "missing params"),
        (
            with(|params| params.data = None),
            "missing attestation data",
        ),
        (
            with(|params| params.params = None),
            "missing X509-SVID parameters",
        ),
        (params("", b"t", &csr), "missing attestation data type"),
        (
            params("join_token", b"", &csr),
            "missing attestation data payload",
        ),
        (params("join_token", b"t", b""), "missing CSR"),
    ];
    for (request, what) in cases {
        let outcome = first_answer(&world, channel.clone(), request).await;
        let expected = format!("malformed param: {what}");
        assert_eq!(refusal(outcome), (Code::InvalidArgument, expected));
    }
    let unknown = first_answer(&world, channel, params("nope", b"t", &csr)).await;
    assert_eq!(refusal(unknown).0, Code::FailedPrecondition);
}

async fn first_answer(
    _: &World,
    channel: tonic::transport::Channel,
    request: AttestAgentRequest,
) -> Result<Option<AttestAgentResponse>, Status> {
    let mut client = AgentClient::new(channel);
    let answers = client.attest_agent(tokio_stream::once(request)).await?;
    answers.into_inner().message().await
}

/// Made by OpenSSL, as a build with ring alone makes no RSA keys.
const RSA_2048: &str = include_str!("../../../crates/crypto/tests/fixtures/rsa-2048-pkcs1.pem");
const RSA_3072: &str = include_str!("../../../crates/crypto/tests/fixtures/rsa-3072-pkcs8.pem");
const RSA_4096: &str = include_str!("../../../crates/crypto/tests/fixtures/rsa-4096-pkcs8.pem");

/// Nodes with certificates of somebody's own PKI.
pub(crate) struct Pki {
    dir: TempDir,
    has_intermediate: bool,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = ForeignCa::new();
        let node = ca.svid("/node");
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        write("ca.pem", pem::encode_pem_certs([&ca.der]));
        write("node.pem", pem::encode_pem_certs(&node.chain));
        write("key.pem", node.key.pkcs8_pem().expose().to_owned());
        Self {
            dir,
            has_intermediate: false,
        }
    }

    /// A root with an RSA key of 3,072 bits, below it an authority with one of 4,096, and a node
    /// with one of 2,048.
    fn rsa() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = CertifiedIssuer::self_signed(authority("root"), pair(RSA_3072)).unwrap();
        let middle = authority("middle");
        let middle = CertifiedIssuer::signed_by(middle, pair(RSA_4096), &root).unwrap();
        let mut leaf = valid("spiffe://other.org/node");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let leaf = leaf.signed_by(&pair(RSA_2048), &middle).unwrap();
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        write("ca.pem", pem::encode_pem_certs([root.der().as_ref()]));
        write("middle.pem", pem::encode_pem_certs([middle.der().as_ref()]));
        write("node.pem", pem::encode_pem_certs([leaf.der().as_ref()]));
        write("key.pem", RSA_2048.to_owned());
        Self {
            dir,
            has_intermediate: true,
        }
    }

    async fn world(&self) -> World {
        self.world_with(8192).await
    }

    async fn world_with(&self, max_rsa_key_bits: usize) -> World {
        let settings = self.settings(max_rsa_key_bits);
        World::with(|parts| parts.attestors.push(settings)).await
    }

    pub(crate) fn settings(&self, max_rsa_key_bits: usize) -> NodeAttestorSettings {
        NodeAttestorSettings::X509Pop(X509PopSettings {
            roots: X509PopRoots::Files(vec![self.dir.path().join("ca.pem")]),
            agent_path_template: None,
            max_intermediates: 4,
            max_rsa_key_bits,
            verify_client_ip: false,
        })
    }

    pub(crate) fn agent(&self) -> X509PopAgent {
        let files = X509PopFiles {
            private_key: self.dir.path().join("key.pem"),
            certificate: self.dir.path().join("node.pem"),
            intermediates: self
                .has_intermediate
                .then(|| self.dir.path().join("middle.pem")),
        };
        X509PopAgent::new(files, Arc::new(SystemRandom::new()))
    }

    /// The whole exchange; `spoil` may change the answer to the challenge, or drop it.
    async fn attest(
        &self,
        world: &World,
        spoil: impl Fn(Option<Vec<u8>>) -> Option<Vec<u8>>,
    ) -> Result<(Shown, Spiffeid), Status> {
        let (agent, key) = (self.agent(), key());
        let payload = agent.payload().await.unwrap();
        let (requests, sent) = mpsc::channel(1);
        let first = params("x509pop", &payload, &csr(&key, &[]));
        requests.send(first).await.unwrap();
        let mut client = AgentClient::new(world.remote(None).await);
        let answers = client.attest_agent(ReceiverStream::new(sent)).await?;
        let mut answers = answers.into_inner();
        let challenge = match answers.message().await?.unwrap().step {
            Some(attest_agent_response::Step::Challenge(challenge)) => challenge,
            other => panic!("{other:?}"),
        };
        let answer = agent.respond(&challenge).await.unwrap();
        match spoil(Some(answer)) {
            None => drop(requests),
            Some(answer) => {
                let step = attest_agent_request::Step::ChallengeResponse(answer.into());
                let answer = AttestAgentRequest { step: Some(step) };
                requests.send(answer).await.unwrap();
            }
        }
        let result = match answers.message().await?.unwrap().step {
            Some(attest_agent_response::Step::Result(result)) => result,
            other => panic!("{other:?}"),
        };
        assert!(result.reattestable);
        let svid = result.svid.unwrap();
        let chain = svid.cert_chain.iter().map(|der| der.to_vec()).collect();
        let key = Arc::new(key);
        Ok((Shown { chain, key }, svid.id.unwrap()))
    }
}

#[tokio::test]
async fn a_node_with_a_certificate_of_the_pki_is_attested_and_may_come_again() {
    let pki = Pki::new();
    let world = pki.world().await;
    let (shown, agent) = pki.attest(&world, |answer| answer).await.unwrap();
    assert!(
        agent.path.starts_with("/spire/agent/x509pop/"),
        "{}",
        agent.path
    );
    let stored = stored(&world, &agent).await.unwrap();
    assert_eq!(stored.attestation_type, "x509pop");
    assert!(stored.can_reattest && !stored.selectors.is_empty());
    let channel = world.remote(Some(&shown)).await;
    call(&channel, AUTHORIZED).await.unwrap();
    let renewal = RenewAgentRequest {
        params: Some(AgentX509svidParams {
            csr: csr(&key(), &[]).into(),
        }),
    };
    let refused = AgentClient::new(channel.clone()).renew_agent(renewal).await;
    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason(&status), Some(Reason::AgentMustReattest));
    let (_, same) = pki.attest(&world, |answer| answer).await.unwrap();
    assert_eq!(same, agent);
    let status = call(&channel, AUTHORIZED).await.unwrap_err();
    assert_eq!(reason(&status), Some(Reason::AgentNotActive));
}

fn authority(name: &str) -> CertificateParams {
    let mut params = valid("spiffe://other.org");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn pair(pem: &str) -> KeyPair {
    let key = PrivateKey::from_pem(pem).unwrap();
    KeyPair::try_from(key.pkcs8_der().expose()).unwrap()
}

#[tokio::test]
async fn a_node_with_an_rsa_key_below_rsa_authorities_is_attested_and_may_come_again() {
    let pki = Pki::rsa();
    let world = pki.world().await;
    let (shown, agent) = pki.attest(&world, |answer| answer).await.unwrap();
    let stored = stored(&world, &agent).await.unwrap();
    let fingerprints = stored.selectors.iter();
    let fingerprints = fingerprints.filter(|one| one.value.starts_with("ca:fingerprint:"));
    assert_eq!(fingerprints.count(), 2, "{:?}", stored.selectors);
    let channel = world.remote(Some(&shown)).await;
    call(&channel, AUTHORIZED).await.unwrap();
    let (_, same) = pki.attest(&world, |answer| answer).await.unwrap();
    assert_eq!(same, agent);
}

#[tokio::test]
async fn an_rsa_node_that_answers_wrongly_lacks_a_link_or_has_too_large_a_key_is_refused() {
    let pki = Pki::rsa();
    let world = pki.world().await;
    let signed = |answer: Option<Vec<u8>>| {
        let text = String::from_utf8(answer.unwrap()).unwrap();
        let at = text.find("\"signature\":\"").unwrap() + 13;
        let other = if &text[at..=at] == "A" { "B" } else { "A" };
        Some(format!("{}{other}{}", &text[..at], &text[at + 1..]).into_bytes())
    };
    let refused = pki.attest(&world, signed).await.map(|_| ());
    assert_eq!(refusal(refused).0, Code::PermissionDenied);

    let broken = Pki {
        has_intermediate: false,
        ..Pki::rsa()
    };
    let first = async |pki: &Pki, world: &World| {
        let payload = pki.agent().payload().await.unwrap();
        let request = params("x509pop", &payload, &csr(&key(), &[]));
        first_answer(world, world.remote(None).await, request).await
    };
    assert_eq!(
        refusal(first(&broken, &world).await).0,
        Code::PermissionDenied
    );

    let strict = pki.world_with(1024).await;
    let (code, message) = refusal(first(&pki, &strict).await);
    assert!(
        matches!(code, Code::PermissionDenied | Code::InvalidArgument),
        "{code:?} {message}"
    );
    assert!(message.contains("1024"), "{message}");
}

#[tokio::test]
async fn an_answer_signed_wrongly_garbled_or_missing_attests_nobody() {
    let pki = Pki::new();
    let world = pki.world().await;
    let flip = |answer: Option<Vec<u8>>| {
        let text = String::from_utf8(answer.unwrap()).unwrap();
        // The nonce is what was signed: another one spoils the signature.
        let at = text.find("\"nonce\":\"").unwrap() + 9;
        let other = if &text[at..=at] == "A" { "B" } else { "A" };
        Some(format!("{}{other}{}", &text[..at], &text[at + 1..]).into_bytes())
    };
    let refused = pki.attest(&world, flip).await.map(|_| ());
    assert_eq!(refusal(refused).0, Code::PermissionDenied);
    let refused = pki
        .attest(&world, |_| Some(b"x".to_vec()))
        .await
        .map(|_| ());
    assert_eq!(refusal(refused).0, Code::InvalidArgument);
    let (code, message) = refusal(pki.attest(&world, |_| None).await.map(|_| ()));
    assert_eq!(code, Code::InvalidArgument, "{message}");
    let mut client = AgentClient::new(world.local().await);
    let counted =
        client.count_agents(signet_proto::spire::server::agent::v1::CountAgentsRequest::default());
    assert_eq!(counted.await.unwrap().into_inner().count, 0);
}

#[tokio::test]
async fn a_certificate_of_another_pki_attests_nobody() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let world = ours.world().await;
    let agent = theirs.agent();
    let payload = agent.payload().await.unwrap();
    let request = params("x509pop", &payload, &csr(&key(), &[]));
    let channel = world.remote(None).await;
    let refused = first_answer(&world, channel.clone(), request).await;
    assert_eq!(refusal(refused).0, Code::PermissionDenied);
    let request = params("x509pop", b"{}", &csr(&key(), &[]));
    let refused = first_answer(&world, channel, request).await;
    assert_eq!(refusal(refused).0, Code::InvalidArgument);
}
