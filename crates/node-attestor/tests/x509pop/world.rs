//! Certificates, agents that answer truly and agents that lie.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use signet_crypto::{
    KeyType, PrivateKey, PublicKey, SignatureAlgorithm, SystemRandom, hex, jose, sha1,
};
use signet_node_attestor::x509pop::payload::{Challenge, FormError, Nonce, Payload, Response};
use signet_node_attestor::x509pop::{
    ChainError, EvidenceError, Limits, Mode, Roots, X509PopAgent, X509PopConfig, X509PopFiles,
    X509PopServer,
};
use signet_node_attestor::{
    AgentAttestor, Attested, Challenger, Fault, Peer, Refused, ServerAttestor,
};
use signet_runtime::Clock;
use signet_spiffe::{TrustDomain, pem};

/// 1 June 2026, in the middle of all certificates' validity.
pub(crate) const NOW: u64 = 1_780_272_000;

/// Made by OpenSSL, as a build with ring alone makes no RSA keys.
pub(crate) const RSA_2048_PKCS1: &str =
    include_str!("../../../crypto/tests/fixtures/rsa-2048-pkcs1.pem");
pub(crate) const RSA_3072_PKCS8: &str =
    include_str!("../../../crypto/tests/fixtures/rsa-3072-pkcs8.pem");
pub(crate) const P256_SEC1: &str = include_str!("../../../crypto/tests/fixtures/ec-p256-sec1.pem");
pub(crate) const P384_PKCS8: &str =
    include_str!("../../../crypto/tests/fixtures/ec-p384-pkcs8.pem");

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) struct At(pub(crate) SystemTime);

impl Clock for At {
    fn now(&self) -> SystemTime {
        self.0
    }
}

/// A key for which others make certificates.
pub(crate) struct KeyOf<'a>(&'a PublicKey);

impl rcgen::PublicKeyData for KeyOf<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.key_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self.0.key_type() {
            Some(KeyType::EcP256) => &rcgen::PKCS_ECDSA_P256_SHA256,
            Some(KeyType::EcP384) => &rcgen::PKCS_ECDSA_P384_SHA384,
            _ => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

pub(crate) fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

pub(crate) fn leaf(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc]));
    params
}

pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub(crate) fn root(name: &str) -> Authority {
    CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn below(parent: &Authority, params: CertificateParams) -> Authority {
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), parent).unwrap()
}

pub(crate) fn issue(parent: &Authority, params: &CertificateParams, key: &PublicKey) -> Vec<u8> {
    params
        .signed_by(&KeyOf(key), parent)
        .unwrap()
        .der()
        .to_vec()
}

pub(crate) fn der(authority: &Authority) -> Vec<u8> {
    authority.der().to_vec()
}

pub(crate) fn fingerprint(authority: &Authority) -> String {
    hex(&sha1(authority.der()))
}

/// A root, an intermediate below it, and a leaf's key.
pub(crate) struct World {
    pub(crate) root: Authority,
    pub(crate) intermediate: Authority,
    pub(crate) key: PrivateKey,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_key(PrivateKey::generate(KeyType::EcP256).unwrap())
    }

    pub(crate) fn with_rsa() -> Self {
        Self::with_key(PrivateKey::from_pem(RSA_2048_PKCS1).unwrap())
    }

    pub(crate) fn with_key(key: PrivateKey) -> Self {
        let root = root("root");
        let intermediate = below(&root, authority("intermediate"));
        Self {
            root,
            intermediate,
            key,
        }
    }

    pub(crate) fn chain_of(&self, params: &CertificateParams) -> Vec<Vec<u8>> {
        let leaf = issue(&self.intermediate, params, self.key.public_key());
        vec![leaf, der(&self.intermediate)]
    }

    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        self.chain_of(&leaf("node"))
    }

    pub(crate) fn config(&self) -> X509PopConfig {
        X509PopConfig {
            mode: Mode::ExternalPki(Roots::new([self.root.der()]).unwrap()),
            limits: Limits::default(),
            agent_path_template: None,
            verify_client_ip: false,
        }
    }

    /// The outcome for an agent that holds the leaf's key and shows this chain.
    pub(crate) async fn attest(&self, chain: Vec<Vec<u8>>) -> Result<Attested, Refused> {
        attest(self.config(), &payload(chain), &mut Signs(&self.key)).await
    }
}

pub(crate) fn domain() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

pub(crate) fn server(config: X509PopConfig) -> X509PopServer {
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let random = Arc::new(SystemRandom::new());
    X509PopServer::new(domain(), config, Arc::new(At(now)), random).unwrap()
}

pub(crate) fn payload(certificates: Vec<Vec<u8>>) -> Vec<u8> {
    Payload { certificates }.encode()
}

pub(crate) async fn attest(
    config: X509PopConfig,
    payload: &[u8],
    challenger: &mut dyn Challenger,
) -> Result<Attested, Refused> {
    server(config)
        .attest(payload, &Peer::default(), challenger)
        .await
}

/// Answers with a signature of this key.
pub(crate) struct Signs<'a>(pub(crate) &'a PrivateKey);

#[async_trait]
impl Challenger for Signs<'_> {
    async fn challenge(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let challenge = Challenge::parse(&bytes).unwrap();
        Ok(signed(self.0, challenge.nonce(), Nonce([7; 32])).encode())
    }
}

pub(crate) fn signed(key: &PrivateKey, servers: &Nonce, nonce: Nonce) -> Response {
    let message = servers.with(&nonce);
    let Some(curve) = key.public_key().curve() else {
        let signature = key
            .sign(SignatureAlgorithm::RsaPssSha256, &message)
            .unwrap();
        return Response::Rsa { nonce, signature };
    };
    let der = key.sign_ecdsa_sha256(&message).unwrap();
    let fixed = jose::ecdsa_der_to_fixed(curve, &der).unwrap();
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let (r, s) = (r.to_vec(), s.to_vec());
    Response::Ecdsa { nonce, r, s }
}

/// Answers with these bytes, whatever the challenge is.
pub(crate) struct Says(pub(crate) Vec<u8>);

#[async_trait]
impl Challenger for Says {
    async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
        Ok(self.0.clone())
    }
}

/// Nobody may be asked: the payload alone is enough to refuse.
pub(crate) struct Never;

#[async_trait]
impl Challenger for Never {
    async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
        panic!("a challenge before the payload was checked");
    }
}

/// Our own agent, and what it said.
pub(crate) struct Ours<'a> {
    pub(crate) agent: &'a X509PopAgent,
    pub(crate) said: Vec<Vec<u8>>,
}

#[async_trait]
impl Challenger for Ours<'_> {
    async fn challenge(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let response = self.agent.respond(&bytes).await;
        let response = response.map_err(|error| Refused::Ended(Some(error.into())))?;
        self.said.push(response.clone());
        Ok(response)
    }
}

pub(crate) fn agent(dir: &Path, key: &str, chain: &[Vec<u8>]) -> X509PopAgent {
    std::fs::write(dir.join("key.pem"), key).unwrap();
    std::fs::write(dir.join("leaf.pem"), pem::encode_pem_certs(&chain[..1])).unwrap();
    std::fs::write(dir.join("others.pem"), pem::encode_pem_certs(&chain[1..])).unwrap();
    let files = X509PopFiles {
        private_key: dir.join("key.pem"),
        certificate: dir.join("leaf.pem"),
        intermediates: Some(dir.join("others.pem")),
    };
    X509PopAgent::new(files, Arc::new(SystemRandom::new()))
}

pub(crate) fn texts(attested: &Attested) -> Vec<String> {
    attested
        .selectors
        .iter()
        .map(|selector| selector.expose())
        .collect()
}

pub(crate) fn evidence(refused: Result<Attested, Refused>) -> EvidenceError {
    let refused = refused.unwrap_err();
    assert_eq!(refused.fault(), Fault::NotAllowed);
    match refused {
        Refused::Evidence(error) => *error.downcast().unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn chain_error(refused: Result<Attested, Refused>) -> ChainError {
    match evidence(refused) {
        EvidenceError::Chain(error) => error,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn form_error(refused: Result<Attested, Refused>) -> FormError {
    match refused.unwrap_err() {
        Refused::Payload(error) | Refused::Response(error) => *error.downcast().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Both halves, with the agent's key in this file.
pub(crate) async fn attest_with_key_file(pem: &str) -> Result<(), Refused> {
    let world = World::with_key(PrivateKey::from_pem(pem).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let chain = world.chain();
    let agent = agent(dir.path(), pem, &chain);
    let mut ours = Ours {
        agent: &agent,
        said: Vec::new(),
    };
    let shown = agent.payload().await.unwrap();
    let attested = attest(world.config(), &shown, &mut ours).await?;
    let leaf = hex(&sha1(&chain[0]));
    let expected = format!("spiffe://example.org/spire/agent/x509pop/{leaf}");
    assert_eq!(attested.agent_id.as_str(), expected);
    assert!(attested.can_reattest && attested.token.is_none());
    let expected = [
        "x509pop:subject:cn:node".to_owned(),
        format!(
            "x509pop:ca:fingerprint:{}",
            fingerprint(&world.intermediate)
        ),
        format!("x509pop:ca:fingerprint:{}", fingerprint(&world.root)),
        "x509pop:serialnumber:0abc".to_owned(),
    ];
    assert_eq!(texts(&attested), expected);
    Ok(())
}
