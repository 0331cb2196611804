//! Both halves of `x509pop` against each other, and against agents that lie.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use signet_crypto::{
    KeyType, PrivateKey, PublicKey, SignatureAlgorithm, SystemRandom, hex, jose, sha1,
};
use signet_node_attestor::x509pop::payload::{Challenge, FormError, Nonce, Payload, Response};
use signet_node_attestor::x509pop::{
    ChainError, ConfigError, DEFAULT_SPIFFE_PREFIX, EvidenceError, Limits, Mode, Roots,
    TrustBundle, X509PopAgent, X509PopConfig, X509PopFiles, X509PopServer,
};
use signet_node_attestor::{
    AgentAttestor, AgentError, Attested, Challenger, Fault, Peer, Refused, ServerAttestor,
};
use signet_runtime::Clock;
use signet_spiffe::{Bundle, TrustDomain, X509Authority, pem};

/// 1 June 2026, in the middle of all certificates' validity.
const NOW: u64 = 1_780_272_000;

/// Made by OpenSSL, as a build with ring alone makes no RSA keys.
const RSA_2048_PKCS1: &str = include_str!("../../crypto/tests/fixtures/rsa-2048-pkcs1.pem");
const RSA_3072_PKCS8: &str = include_str!("../../crypto/tests/fixtures/rsa-3072-pkcs8.pem");
const P256_SEC1: &str = include_str!("../../crypto/tests/fixtures/ec-p256-sec1.pem");
const P384_PKCS8: &str = include_str!("../../crypto/tests/fixtures/ec-p384-pkcs8.pem");

type Authority = CertifiedIssuer<'static, KeyPair>;

struct At(SystemTime);

impl Clock for At {
    fn now(&self) -> SystemTime {
        self.0
    }
}

/// A key for which others make certificates.
struct KeyOf<'a>(&'a PublicKey);

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

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn leaf(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc]));
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn root(name: &str) -> Authority {
    CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap()
}

fn below(parent: &Authority, params: CertificateParams) -> Authority {
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), parent).unwrap()
}

fn issue(parent: &Authority, params: &CertificateParams, key: &PublicKey) -> Vec<u8> {
    params
        .signed_by(&KeyOf(key), parent)
        .unwrap()
        .der()
        .to_vec()
}

fn der(authority: &Authority) -> Vec<u8> {
    authority.der().to_vec()
}

fn fingerprint(authority: &Authority) -> String {
    hex(&sha1(authority.der()))
}

/// A root, an intermediate below it, and a leaf's key.
struct World {
    root: Authority,
    intermediate: Authority,
    key: PrivateKey,
}

impl World {
    fn new() -> Self {
        Self::with_key(PrivateKey::generate(KeyType::EcP256).unwrap())
    }

    fn with_rsa() -> Self {
        Self::with_key(PrivateKey::from_pem(RSA_2048_PKCS1).unwrap())
    }

    fn with_key(key: PrivateKey) -> Self {
        let root = root("root");
        let intermediate = below(&root, authority("intermediate"));
        Self {
            root,
            intermediate,
            key,
        }
    }

    fn chain_of(&self, params: &CertificateParams) -> Vec<Vec<u8>> {
        let leaf = issue(&self.intermediate, params, self.key.public_key());
        vec![leaf, der(&self.intermediate)]
    }

    fn chain(&self) -> Vec<Vec<u8>> {
        self.chain_of(&leaf("node"))
    }

    fn config(&self) -> X509PopConfig {
        X509PopConfig {
            mode: Mode::ExternalPki(Roots::new([self.root.der()]).unwrap()),
            limits: Limits::default(),
            agent_path_template: None,
            verify_client_ip: false,
        }
    }

    /// The outcome for an agent that holds the leaf's key and shows this chain.
    async fn attest(&self, chain: Vec<Vec<u8>>) -> Result<Attested, Refused> {
        attest(self.config(), &payload(chain), &mut Signs(&self.key)).await
    }
}

fn domain() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

fn server(config: X509PopConfig) -> X509PopServer {
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let random = Arc::new(SystemRandom::new());
    X509PopServer::new(domain(), config, Arc::new(At(now)), random).unwrap()
}

fn payload(certificates: Vec<Vec<u8>>) -> Vec<u8> {
    Payload { certificates }.encode()
}

async fn attest(
    config: X509PopConfig,
    payload: &[u8],
    challenger: &mut dyn Challenger,
) -> Result<Attested, Refused> {
    server(config)
        .attest(payload, &Peer::default(), challenger)
        .await
}

/// Answers with a signature of this key.
struct Signs<'a>(&'a PrivateKey);

#[async_trait]
impl Challenger for Signs<'_> {
    async fn challenge(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let challenge = Challenge::parse(&bytes).unwrap();
        Ok(signed(self.0, challenge.nonce(), Nonce([7; 32])).encode())
    }
}

fn signed(key: &PrivateKey, servers: &Nonce, nonce: Nonce) -> Response {
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
struct Says(Vec<u8>);

#[async_trait]
impl Challenger for Says {
    async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
        Ok(self.0.clone())
    }
}

/// Nobody may be asked: the payload alone is enough to refuse.
struct Never;

#[async_trait]
impl Challenger for Never {
    async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
        panic!("a challenge before the payload was checked");
    }
}

/// Our own agent, and what it said.
struct Ours<'a> {
    agent: &'a X509PopAgent,
    said: Vec<Vec<u8>>,
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

fn agent(dir: &Path, key: &str, chain: &[Vec<u8>]) -> X509PopAgent {
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

fn texts(attested: &Attested) -> Vec<String> {
    attested
        .selectors
        .iter()
        .map(|selector| selector.expose())
        .collect()
}

fn evidence(refused: Result<Attested, Refused>) -> EvidenceError {
    let refused = refused.unwrap_err();
    assert_eq!(refused.fault(), Fault::NotAllowed);
    match refused {
        Refused::Evidence(error) => *error.downcast().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn chain_error(refused: Result<Attested, Refused>) -> ChainError {
    match evidence(refused) {
        EvidenceError::Chain(error) => error,
        other => panic!("{other:?}"),
    }
}

fn form_error(refused: Result<Attested, Refused>) -> FormError {
    match refused.unwrap_err() {
        Refused::Payload(error) | Refused::Response(error) => *error.downcast().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Both halves, with the agent's key in this file.
async fn attest_with_key_file(pem: &str) -> Result<(), Refused> {
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

#[tokio::test]
async fn an_agent_with_each_kind_of_key_in_each_form_is_attested() {
    let made = PrivateKey::generate(KeyType::EcP256).unwrap().pkcs8_pem();
    for pem in [made.expose(), P256_SEC1, RSA_2048_PKCS1, RSA_3072_PKCS8] {
        attest_with_key_file(pem).await.unwrap();
    }
}

#[tokio::test]
async fn a_p384_key_signs_where_aws_lc_is_there_and_names_it_where_not() {
    let outcome = attest_with_key_file(P384_PKCS8).await;
    if signet_crypto::HAS_AWS_LC {
        outcome.unwrap();
    } else {
        let Err(Refused::Ended(Some(error))) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(matches!(error.downcast_ref(), Some(AgentError::Sign(_))));
    }
}

#[tokio::test]
async fn a_recorded_answer_is_worth_nothing_in_the_next_exchange() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path(), world.key.pkcs8_pem().expose(), &world.chain());
    let mut ours = Ours {
        agent: &agent,
        said: Vec::new(),
    };
    let shown = agent.payload().await.unwrap();
    attest(world.config(), &shown, &mut ours).await.unwrap();
    let mut replay = Says(ours.said.remove(0));
    let refused = attest(world.config(), &shown, &mut replay).await;
    assert!(matches!(evidence(refused), EvidenceError::Signature(_)));
}

#[tokio::test]
async fn a_signature_by_another_certificate_of_the_chain_is_refused() {
    let world = World::new();
    let second = PrivateKey::generate(KeyType::EcP256).unwrap();
    let mut chain = world.chain();
    chain.push(issue(
        &world.intermediate,
        &leaf("second"),
        second.public_key(),
    ));
    assert!(world.attest(chain.clone()).await.is_ok());
    let refused = attest(world.config(), &payload(chain), &mut Signs(&second)).await;
    assert!(matches!(evidence(refused), EvidenceError::Signature(_)));
}

#[tokio::test]
async fn a_signature_by_a_foreign_key_is_refused() {
    let ec = PrivateKey::generate(KeyType::EcP256).unwrap();
    let rsa = PrivateKey::from_pem(RSA_3072_PKCS8).unwrap();
    for (world, foreign) in [(World::new(), ec), (World::with_rsa(), rsa)] {
        let refused = attest(
            world.config(),
            &payload(world.chain()),
            &mut Signs(&foreign),
        )
        .await;
        assert!(matches!(evidence(refused), EvidenceError::Signature(_)));
    }
}

#[tokio::test]
async fn an_answer_for_another_kind_of_key_is_refused() {
    let world = World::with_rsa();
    let foreign = PrivateKey::generate(KeyType::EcP256).unwrap();
    let refused = attest(
        world.config(),
        &payload(world.chain()),
        &mut Signs(&foreign),
    )
    .await;
    assert!(matches!(evidence(refused), EvidenceError::WrongKind));
}

#[tokio::test]
async fn numbers_that_are_no_signature_are_refused() {
    let world = World::new();
    for (r, s) in [
        (vec![], vec![]),
        (vec![0; 32], vec![0; 32]),
        (vec![1; 33], vec![1; 32]),
    ] {
        let nonce = Nonce([7; 32]);
        let mut says = Says(Response::Ecdsa { nonce, r, s }.encode());
        let refused = attest(world.config(), &payload(world.chain()), &mut says).await;
        assert!(matches!(evidence(refused), EvidenceError::Signature(_)));
    }
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_the_callers_fault() {
    let world = World::new();
    for bytes in [&b""[..], b"{}", b"null", &[b' '; 1 << 20]] {
        let mut says = Says(bytes.to_vec());
        let refused = attest(world.config(), &payload(world.chain()), &mut says).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Refused::Response(_)));
        assert_eq!(refused.fault(), Fault::Caller);
    }
}

#[tokio::test]
async fn an_agent_that_leaves_is_not_attested() {
    struct Leaves;
    #[async_trait]
    impl Challenger for Leaves {
        async fn challenge(&mut self, _: Vec<u8>) -> Result<Vec<u8>, Refused> {
            Err(Refused::Ended(None))
        }
    }
    let world = World::new();
    let refused = attest(world.config(), &payload(world.chain()), &mut Leaves).await;
    assert!(matches!(refused, Err(Refused::Ended(None))));
}

#[tokio::test]
async fn payloads_over_the_limits_are_refused_before_anything_is_parsed() {
    type IsExpected = fn(&FormError) -> bool;
    let world = World::new();
    let garbage = |count| payload(vec![vec![0; 10]; count]);
    let cases: [(Vec<u8>, IsExpected); 6] = [
        (Vec::new(), |error| matches!(error, FormError::Json(_))),
        (vec![b'['; 10 << 20], |error| {
            matches!(error, FormError::TooLong { .. })
        }),
        (garbage(0), |error| {
            matches!(error, FormError::NoCertificate)
        }),
        (garbage(6), |error| {
            matches!(error, FormError::TooManyCertificates { count: 6, limit: 5 })
        }),
        (garbage(100), |error| {
            matches!(error, FormError::TooManyCertificates { .. })
        }),
        (payload(vec![vec![0; 40 << 10]]), |error| {
            matches!(error, FormError::CertificateTooLong { index: 0, .. })
        }),
    ];
    for (bytes, is_expected) in cases {
        let error = form_error(attest(world.config(), &bytes, &mut Never).await);
        assert!(is_expected(&error), "{error:?}");
    }
}

#[tokio::test]
async fn a_chain_of_as_many_certificates_as_allowed_is_followed_and_of_one_more_not() {
    let world = World::new();
    let mut authorities = vec![below(&world.root, authority("1"))];
    for name in ["2", "3", "4"] {
        authorities.push(below(authorities.last().unwrap(), authority(name)));
    }
    let last = authorities.last().unwrap();
    let mut chain = vec![issue(last, &leaf("node"), world.key.public_key())];
    chain.extend(authorities.iter().rev().map(der));
    let attested = world.attest(chain.clone()).await.unwrap();
    let authorities = texts(&attested)
        .into_iter()
        .filter(|text| text.contains("ca:fingerprint"));
    assert_eq!(authorities.count(), 5);
    chain.push(der(&world.root));
    let error = form_error(world.attest(chain).await);
    assert!(matches!(error, FormError::TooManyCertificates { .. }));
}

#[tokio::test]
async fn what_is_no_certificate_is_refused() {
    let world = World::new();
    for (chain, at) in [
        (vec![b"not a certificate".to_vec()], 0),
        (vec![world.chain().remove(0), vec![]], 1),
    ] {
        let refused = attest(world.config(), &payload(chain), &mut Never).await;
        let error = chain_error(refused);
        assert!(matches!(error, ChainError::Certificate { index, .. } if index == at));
    }
}

/// An RSA key of 16,384 bits that nobody has.
struct HugeKey(Vec<u8>);

impl HugeKey {
    fn new() -> Self {
        let modulus = [&[0x02, 0x82, 0x08, 0x01, 0][..], &[0xff; 2048]].concat();
        let numbers = [&modulus[..], &[0x02, 0x03, 1, 0, 1]].concat();
        let length = u16::try_from(numbers.len()).unwrap().to_be_bytes();
        Self([&[0x30, 0x82][..], &length, &numbers].concat())
    }
}

impl rcgen::PublicKeyData for HugeKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

#[tokio::test]
async fn an_rsa_key_of_16_kibibits_is_refused_wherever_it_stands() {
    let world = World::new();
    let huge = leaf("huge")
        .signed_by(&HugeKey::new(), &world.intermediate)
        .unwrap();
    let huge = huge.der().to_vec();
    let as_leaf = vec![huge.clone(), der(&world.intermediate)];
    let beside = [world.chain(), vec![huge]].concat();
    for (chain, at) in [(as_leaf, 0), (beside, 2)] {
        let refused = attest(world.config(), &payload(chain), &mut Never).await;
        let error = chain_error(refused);
        assert!(matches!(error, ChainError::Certificate { index, .. } if index == at));
    }
}

#[tokio::test]
async fn the_configured_size_of_rsa_keys_is_kept() {
    let world = World::with_rsa();
    for (limit, is_fine) in [(2048, true), (2047, false)] {
        let mut config = world.config();
        config.limits.max_rsa_key_size = limit;
        let outcome = attest(config, &payload(world.chain()), &mut Signs(&world.key)).await;
        assert_eq!(outcome.is_ok(), is_fine);
        if !is_fine {
            let error = chain_error(outcome);
            assert!(matches!(
                error,
                ChainError::RsaKeyTooLarge { bits: 2048, .. }
            ));
        }
    }
}

#[tokio::test]
async fn certificates_outside_their_validity_are_refused() {
    let world = World::new();
    let mut expired = leaf("node");
    expired.not_after = date_time_ymd(2026, 5, 31);
    let mut early = leaf("node");
    early.not_before = date_time_ymd(2026, 6, 2);
    for params in [expired, early] {
        let error = chain_error(world.attest(world.chain_of(&params)).await);
        assert!(matches!(error, ChainError::Path(_)));
    }
    let mut expired = authority("expired");
    expired.not_after = date_time_ymd(2026, 5, 31);
    let expired = below(&world.root, expired);
    let chain = vec![
        issue(&expired, &leaf("node"), world.key.public_key()),
        der(&expired),
    ];
    assert!(matches!(
        chain_error(world.attest(chain).await),
        ChainError::Path(_)
    ));
}

#[tokio::test]
async fn an_expired_root_is_no_root() {
    let mut expired = authority("root");
    expired.not_after = date_time_ymd(2026, 5, 31);
    let key = KeyPair::generate().unwrap();
    let mut world = World::new();
    world.root = CertifiedIssuer::self_signed(expired, key).unwrap();
    world.intermediate = below(&world.root, authority("intermediate"));
    let error = chain_error(world.attest(world.chain()).await);
    assert!(matches!(error, ChainError::NoAuthority));
}

#[tokio::test]
async fn a_leaf_that_is_not_for_signing_is_refused() {
    let world = World::new();
    for usages in [vec![], vec![KeyUsagePurpose::KeyAgreement]] {
        let mut params = leaf("node");
        params.key_usages = usages;
        let error = chain_error(world.attest(world.chain_of(&params)).await);
        assert!(matches!(error, ChainError::NotForSigning));
    }
}

#[tokio::test]
async fn chains_that_lead_nowhere_are_refused() {
    let world = World::new();
    let other = World::new();
    let key = world.key.public_key();
    let without_intermediate = vec![world.chain().remove(0)];
    let foreign = vec![
        issue(&other.intermediate, &leaf("node"), key),
        der(&other.intermediate),
    ];
    let impostor = below(&other.root, authority("intermediate"));
    let same_names = vec![
        issue(&impostor, &leaf("node"), key),
        der(&world.intermediate),
    ];
    for chain in [without_intermediate, foreign, same_names] {
        assert!(matches!(
            chain_error(world.attest(chain).await),
            ChainError::Path(_)
        ));
    }
}

#[tokio::test]
async fn a_certificate_that_is_no_authority_signs_nothing() {
    let world = World::new();
    let mut unfit = authority("unfit");
    unfit.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    for params in [leaf("a leaf"), unfit] {
        let signer = below(&world.intermediate, params);
        let node = issue(&signer, &leaf("node"), world.key.public_key());
        let chain = vec![node, der(&signer), der(&world.intermediate)];
        assert!(matches!(
            chain_error(world.attest(chain).await),
            ChainError::Path(_)
        ));
    }
}

#[tokio::test]
async fn an_authority_is_no_leaf() {
    let world = World::new();
    let mut both = authority("both");
    both.key_usages.push(KeyUsagePurpose::DigitalSignature);
    let error = chain_error(world.attest(world.chain_of(&both)).await);
    assert!(matches!(error, ChainError::Path(_)));
}

#[tokio::test]
async fn all_authorities_above_the_leaf_are_told_each_once() {
    let world = World::new();
    let second = root("second");
    let crossed = authority("root")
        .signed_by(world.root.key(), &second)
        .unwrap();
    let mut config = world.config();
    config.mode = Mode::ExternalPki(Roots::new([world.root.der(), second.der()]).unwrap());
    let mut chain = world.chain();
    chain.push(crossed.der().to_vec());
    let attested = attest(config, &payload(chain), &mut Signs(&world.key))
        .await
        .unwrap();
    let mut found = texts(&attested);
    found.retain(|text| text.contains("ca:fingerprint"));
    let expected = [
        fingerprint(&world.intermediate),
        fingerprint(&world.root),
        hex(&sha1(crossed.der())),
        fingerprint(&second),
    ];
    assert_eq!(
        found,
        expected.map(|print| format!("x509pop:ca:fingerprint:{print}"))
    );
}

fn with_uris(name: &str, uris: &[&str]) -> CertificateParams {
    let mut params = leaf(name);
    let uris = uris
        .iter()
        .map(|uri| SanType::URI((*uri).try_into().unwrap()));
    params.subject_alt_names = uris.collect();
    params
}

#[tokio::test]
async fn uri_names_of_our_trust_domain_become_selectors_and_part_of_the_id() {
    let world = World::new();
    let uris = [
        "x509pop://example.org/zone/a1",
        "x509pop://other.org/zone/b",
        "x509pop://example.org/lonely",
        "x509pop://example.org/path/x/y",
        "https://example.org/zone/c",
    ];
    let mut config = world.config();
    let template = "/{{ .PluginName }}/{{ .URISanSelectors.zone }}-{{ .SerialNumberHex }}";
    config.agent_path_template = Some(template.to_owned());
    let shown = payload(world.chain_of(&with_uris("node", &uris)));
    let attested = attest(config, &shown, &mut Signs(&world.key))
        .await
        .unwrap();
    assert_eq!(attested.agent_id.path(), "/spire/agent/x509pop/a1-0abc");
    let mut sans = texts(&attested);
    sans.retain(|text| text.starts_with("x509pop:san:"));
    assert_eq!(sans, ["x509pop:san:zone:a1", "x509pop:san:path:x/y"]);
}

#[tokio::test]
async fn a_name_that_is_no_path_segment_gives_no_id() {
    let world = World::new();
    for name in ["../../spire/server", "a/b", "..", "a%2fb", "a b"] {
        let mut config = world.config();
        config.agent_path_template = Some("/x/{{ .Subject.CommonName }}".to_owned());
        let shown = payload(world.chain_of(&leaf(name)));
        let refused = attest(config, &shown, &mut Signs(&world.key)).await;
        assert!(matches!(refused, Err(Refused::AgentId(_))), "{name}");
    }
}

#[tokio::test]
async fn the_agents_address_must_be_in_the_certificate_if_so_configured() {
    let world = World::new();
    let mut params = leaf("node");
    params.subject_alt_names = ["10.0.0.7", "fd00::7"]
        .map(|address| SanType::IpAddress(address.parse().unwrap()))
        .to_vec();
    let shown = payload(world.chain_of(&params));
    for (address, is_fine) in [
        (Some("10.0.0.7"), true),
        (Some("::ffff:10.0.0.7"), true),
        (Some("fd00::7"), true),
        (Some("10.0.0.8"), false),
        (Some("fd00::8"), false),
        (None, false),
    ] {
        let mut config = world.config();
        config.verify_client_ip = true;
        let addr = address.map(|address| address.parse::<IpAddr>().unwrap());
        let server = server(config);
        let outcome = server
            .attest(&shown, &Peer { addr }, &mut Signs(&world.key))
            .await;
        assert_eq!(outcome.is_ok(), is_fine, "{address:?}");
        if !is_fine {
            assert!(matches!(evidence(outcome), EvidenceError::Address));
        }
    }
}

struct OneBundle(Arc<Bundle>);

impl TrustBundle for OneBundle {
    fn bundle(&self) -> Arc<Bundle> {
        self.0.clone()
    }
}

fn spiffe_mode(root: &Authority) -> X509PopConfig {
    let mut bundle = Bundle::empty(domain());
    bundle
        .x509_authorities
        .push(X509Authority::from_der(root.der()).unwrap());
    X509PopConfig {
        mode: Mode::Spiffe {
            bundle: Arc::new(OneBundle(Arc::new(bundle))),
            prefix: DEFAULT_SPIFFE_PREFIX.to_owned(),
        },
        limits: Limits::default(),
        agent_path_template: None,
        verify_client_ip: false,
    }
}

#[tokio::test]
async fn an_svid_with_the_prefix_is_exchanged_for_an_agent() {
    let world = World::new();
    let uris = ["spiffe://example.org/spire-exchange/rack/7"];
    let shown = payload(world.chain_of(&with_uris("node", &uris)));
    let config = spiffe_mode(&world.root);
    let attested = attest(config, &shown, &mut Signs(&world.key))
        .await
        .unwrap();
    assert_eq!(attested.agent_id.path(), "/spire/agent/x509pop/rack/7");
}

#[tokio::test]
async fn an_svid_without_the_prefix_or_of_another_domain_is_refused() {
    let world = World::new();
    for uris in [
        &["spiffe://example.org/workload"][..],
        &["spiffe://example.org/spire-exchange"],
        &["spiffe://other.org/spire-exchange/rack"],
        &[
            "spiffe://example.org/workload",
            "spiffe://example.org/spire-exchange/rack",
        ],
        &["spiffe://example.org/spire-exchange/../server"],
        &[],
    ] {
        let shown = payload(world.chain_of(&with_uris("node", uris)));
        let refused = attest(spiffe_mode(&world.root), &shown, &mut Never).await;
        assert!(
            matches!(evidence(refused), EvidenceError::Prefix),
            "{uris:?}"
        );
    }
}

#[tokio::test]
async fn an_svid_under_another_bundle_is_refused() {
    let (world, other) = (World::new(), World::new());
    let uris = ["spiffe://example.org/spire-exchange/rack"];
    let shown = payload(world.chain_of(&with_uris("node", &uris)));
    let refused = attest(spiffe_mode(&other.root), &shown, &mut Never).await;
    assert!(matches!(chain_error(refused), ChainError::Path(_)));
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let world = World::new();
    let build = |config| {
        let (clock, random) = (Arc::new(At(UNIX_EPOCH)), Arc::new(SystemRandom::new()));
        X509PopServer::new(domain(), config, clock, random)
            .err()
            .unwrap()
    };
    let mut config = world.config();
    config.mode = Mode::ExternalPki(Roots::new::<&[u8]>([]).unwrap());
    assert!(matches!(build(config), ConfigError::NoAuthority));
    let mut config = world.config();
    config.agent_path_template = Some("/{{ .Nonsense }}".to_owned());
    assert!(matches!(build(config), ConfigError::Template(_)));
    let mut config = spiffe_mode(&world.root);
    if let Mode::Spiffe { prefix, .. } = &mut config.mode {
        *prefix = "spire-exchange".to_owned();
    }
    assert!(matches!(build(config), ConfigError::Prefix));
}

#[test]
fn a_bundle_with_what_is_no_authority_is_refused() {
    let world = World::new();
    let refused = Roots::new([der(&world.root), world.chain().remove(0)]);
    assert!(matches!(
        refused,
        Err(ChainError::NotAnAuthority { index: 1 })
    ));
    let refused = Roots::new([b"nonsense"]);
    assert!(matches!(
        refused,
        Err(ChainError::Certificate { index: 0, .. })
    ));
}

#[tokio::test]
async fn the_agent_says_which_of_its_files_is_wrong() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let good = world.key.pkcs8_pem();

    let other = PrivateKey::generate(KeyType::EcP256).unwrap();
    let mismatched = agent(dir.path(), other.pkcs8_pem().expose(), &world.chain());
    assert!(matches!(
        mismatched.payload().await,
        Err(AgentError::KeyMismatch { .. })
    ));

    let no_key = agent(dir.path(), "hunter2", &world.chain());
    let error = no_key.payload().await.unwrap_err();
    assert!(matches!(&error, AgentError::Content { path, .. } if *path == at("key.pem")));
    assert!(!format!("{error:?}").contains("hunter2"));

    let fine = agent(dir.path(), good.expose(), &world.chain());
    fine.payload().await.unwrap();
    std::fs::write(at("others.pem"), "").unwrap();
    let error = fine.payload().await.unwrap_err();
    assert!(matches!(error, AgentError::Content { path, .. } if path == at("others.pem")));
    std::fs::remove_file(at("leaf.pem")).unwrap();
    let error = fine.payload().await.unwrap_err();
    assert!(matches!(error, AgentError::File { path, .. } if path == at("leaf.pem")));
}

#[tokio::test]
async fn an_operator_is_told_for_how_long_the_certificate_is_good() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path(), world.key.pkcs8_pem().expose(), &world.chain());
    let leaf = signet_spiffe::Certificate::parse(&world.chain()[0]).unwrap();
    let second = Duration::from_secs(1);
    for (now, holds) in [
        (leaf.not_before - second, false),
        (leaf.not_before, true),
        (leaf.not_after, true),
        (leaf.not_after + second, false),
    ] {
        let found = agent.findings(&[], now).await.unwrap();
        assert_eq!(found[0].holds, holds, "{}", found[0].text);
        assert!(found[1..].iter().all(|one| one.holds));
    }
}

#[tokio::test]
async fn the_agent_answers_only_challenges_that_fit() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path(), world.key.pkcs8_pem().expose(), &world.chain());
    let (ecdsa, rsa) = (
        Challenge::Ecdsa(Nonce([1; 32])),
        Challenge::Rsa(Nonce([1; 32])),
    );
    let refused = |answer| matches!(answer, Err(AgentError::Challenge(_)));
    assert!(
        refused(agent.respond(&ecdsa.encode()).await),
        "before it has shown a certificate"
    );
    agent.payload().await.unwrap();
    assert!(agent.respond(&ecdsa.encode()).await.is_ok());
    assert!(refused(agent.respond(&rsa.encode()).await));
    assert!(refused(agent.respond(b"{}").await));
    assert!(refused(agent.respond(&[b' '; 1 << 20]).await));
}

#[tokio::test]
async fn the_agent_never_signs_with_the_same_nonce_twice() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path(), world.key.pkcs8_pem().expose(), &world.chain());
    agent.payload().await.unwrap();
    let challenge = Challenge::Ecdsa(Nonce([1; 32])).encode();
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let response = agent.respond(&challenge).await.unwrap();
        let Response::Ecdsa { nonce, .. } = Response::parse(&response).unwrap() else {
            panic!("an EC key signs ECDSA");
        };
        nonces.push(nonce);
    }
    assert_ne!(nonces[0], nonces[1]);
}
