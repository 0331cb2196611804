//! An authority, its clock and approved grants.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use signet_ca::{JwtAuthorityKey, NewAuthority, WitAuthorityKey, X509Authority, new_self_signed};
use signet_crypto::jose::JwsAlgorithm;
use signet_crypto::{KeyType, PrivateKey, PublicKey, SeededRandom, SignatureAlgorithm};
use signet_keys::testing::RemoteKeys;
use signet_keys::{KeyError, KeyManager, LocalSigner, Signer};
use signet_model::Approved;
use signet_model::approve::{
    JwtGrant, Moment, Policy, ProofKey, WitGrant, X509Grant, mint_jwt, mint_wit, mint_x509,
};
use signet_spiffe::csr::Csr;
use signet_spiffe::{Bundle, SpiffeId, TrustDomain};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// 2027-01-15T08:00:00Z.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn td() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

pub(crate) fn id(path: &str) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://example.org{path}")).unwrap()
}

pub(crate) fn random() -> SeededRandom {
    SeededRandom::new(1)
}

pub(crate) fn local(key_type: KeyType) -> Arc<dyn Signer> {
    Arc::new(LocalSigner::new(PrivateKey::generate(key_type).unwrap()))
}

pub(crate) async fn remote() -> (RemoteKeys, Arc<dyn Signer>) {
    let keys = RemoteKeys::new();
    let signer = keys.generate("remote", KeyType::EcP256).await.unwrap();
    (keys, signer)
}

pub(crate) fn wanted() -> NewAuthority {
    NewAuthority {
        trust_domain: td(),
        subject: None,
        extensions: Vec::new(),
        ttl: DAY,
    }
}

pub(crate) async fn authority(signer: Arc<dyn Signer>) -> X509Authority {
    new_self_signed(wanted(), signer, &random(), now())
        .await
        .unwrap()
}

pub(crate) fn bundle(authority: &X509Authority) -> Bundle {
    let mut bundle = Bundle::empty(td());
    bundle
        .x509_authorities
        .push(authority.bundle_entry().clone());
    bundle
}

pub(crate) fn workload_key() -> PublicKey {
    PrivateKey::generate(KeyType::EcP256)
        .unwrap()
        .public_key()
        .clone()
}

pub(crate) fn policy() -> Policy {
    Policy {
        trust_domain: td(),
        default_x509_svid_ttl: Duration::from_secs(3600),
        default_jwt_svid_ttl: Duration::from_secs(300),
        agent_ttl: None,
        jwt_issuer: None,
        wit_issuer: None,
    }
}

pub(crate) fn moment(authority_not_after: SystemTime) -> Moment {
    Moment {
        now: now(),
        authority_not_after,
    }
}

/// A request that is approved as it stands.
pub(crate) fn request() -> Csr {
    Csr {
        spiffe_ids: vec![id("/web")],
        uri_count: 1,
        subject: Vec::new(),
        dns_names: Vec::new(),
        public_key: workload_key(),
    }
}

pub(crate) fn approved(asked: Csr) -> Approved<X509Grant> {
    mint_x509(&policy(), moment(now() + DAY), asked, None).unwrap()
}

pub(crate) fn jwt_key(signer: Arc<dyn Signer>) -> JwtAuthorityKey {
    JwtAuthorityKey {
        key_id: "kid".to_owned(),
        signer,
        not_after: now() + DAY,
    }
}

pub(crate) fn approved_jwt(audience: &[&str]) -> Approved<JwtGrant> {
    let audience = audience.iter().map(|&one| one.to_owned()).collect();
    mint_jwt(&policy(), moment(now() + DAY), id("/web"), audience, None).unwrap()
}

/// A remote key that signs something else than it was asked to.
pub(crate) struct LyingSigner(pub(crate) Arc<dyn Signer>);

#[async_trait::async_trait]
impl Signer for LyingSigner {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    async fn sign(&self, algorithm: SignatureAlgorithm, _: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.0.sign(algorithm, b"something else").await
    }
}

pub(crate) fn wit_key(signer: Arc<dyn Signer>) -> WitAuthorityKey {
    WitAuthorityKey {
        key_id: "wit-kid".to_owned(),
        signer,
        not_after: now() + DAY,
    }
}

pub(crate) fn proof_key() -> ProofKey {
    let public_key = workload_key();
    let algorithm = JwsAlgorithm::default_for(&public_key);
    ProofKey {
        public_key,
        algorithm,
    }
}

pub(crate) fn approved_wit(proof_key: ProofKey) -> Approved<WitGrant> {
    mint_wit(&policy(), moment(now() + DAY), id("/web"), proof_key, None).unwrap()
}
