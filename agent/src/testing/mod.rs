//! What the tests of this crate share: an authority that signs, entries, and a server that follows a
//! script.

pub(crate) mod upstream;

use crate::cache::{HeldSvid, Update};
use crate::rotate::make_request;
use crate::upstream::{CallError, Chain, ItemRefused, NewJwt, Server, Signed, X509Request};
use async_trait::async_trait;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SubjectPublicKeyInfo,
};
use serde_json::{Map, json};
use signet_crypto::jose::{self, JwsAlgorithm};
use signet_crypto::{KeyType, PrivateKey, PublicKey};
use signet_model::{Entry, EntryId, Selector, SelectorSet, Stewardship};
use signet_runtime::Clock;
use signet_spiffe::{Bundle, JwtAuthority, SpiffeId, TrustDomain, X509Authority, csr};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// An instant within the validity of every authority here.
pub(crate) fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn td() -> TrustDomain {
    TrustDomain::parse("example.org").expect("valid")
}

pub(crate) fn spiffe_id(path: &str) -> SpiffeId {
    SpiffeId::new(&td(), path).expect("valid")
}

pub(crate) fn selectors(texts: &[&str]) -> SelectorSet {
    let parsed = texts
        .iter()
        .map(|text| Selector::parse(text).expect("valid"));
    parsed.collect()
}

/// An entry with this id, whose SPIFFE ID is `/<id>`.
pub(crate) fn entry(id: &str, of: &[&str]) -> Entry {
    Entry {
        id: EntryId::parse(id).expect("valid"),
        spiffe_id: spiffe_id(&format!("/{id}")),
        parent_id: spiffe_id("/spire/agent/test/node"),
        selectors: selectors(of),
        x509_svid_ttl: None,
        jwt_svid_ttl: None,
        federates_with: BTreeSet::new(),
        admin: false,
        downstream: false,
        store_svid: false,
        expires_at: None,
        dns_names: Vec::new(),
        hint: String::new(),
        revision_number: 0,
        created_at: noon() - HOUR,
        disable_x509_svid_prefetch: false,
        jwt_svid_include_jti: false,
        disabled: false,
        stewardship: Stewardship::default(),
    }
}

/// An update that says that exactly this is true.
pub(crate) fn whole(entries: Vec<Entry>, bundles: Vec<Bundle>) -> Update {
    Update {
        whole: true,
        entries: entries.into_iter().map(Arc::new).collect(),
        bundles: bundles.into_iter().map(Arc::new).collect(),
        ..Update::default()
    }
}

/// An X.509 and JWT authority.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// The root, which is itself unless another one signed it.
    root: Arc<[u8]>,
    /// The certificates that stand between leaf and root.
    above: Chain,
    key: Vec<u8>,
    jwt_key: PrivateKey,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("made");
        Self::with_key(key.serialize_der(), None)
    }

    /// A root, or an intermediate that `signer` signed.
    fn with_key(pkcs8: Vec<u8>, signer: Option<&Self>) -> Self {
        let key = KeyPair::try_from(pkcs8.as_slice()).expect("a key");
        let params = authority_params();
        let own = match signer {
            None => params.self_signed(&key),
            Some(signer) => params.signed_by(&key, &signer.issuer),
        };
        let own: Arc<[u8]> = Arc::from(own.expect("signed").der().as_ref());
        let (root, above) = match signer {
            None => (own, Vec::new()),
            Some(signer) => {
                let above = std::iter::once(own).chain(signer.above.iter().cloned());
                (signer.root.clone(), above.collect())
            }
        };
        Self {
            root,
            above,
            key: pkcs8,
            issuer: Issuer::new(params, key),
            jwt_key: PrivateKey::generate(KeyType::EcP256).expect("made"),
        }
    }

    /// The same key, as an intermediate authority that `other` signed.
    pub(crate) fn signed_by(&self, other: &Self) -> Self {
        Self::with_key(self.key.clone(), Some(other))
    }

    /// The same key with another root certificate.
    pub(crate) fn renewed(&self) -> Self {
        Self::with_key(self.key.clone(), None)
    }

    /// An intermediate authority below a root of its own.
    pub(crate) fn below_another() -> Self {
        Self::new().signed_by(&Self::new())
    }

    /// The root.
    pub(crate) fn authority(&self) -> X509Authority {
        X509Authority::from_der(&self.root).expect("an authority")
    }

    pub(crate) fn bundle(&self) -> Bundle {
        let key = self.jwt_key.public_key().clone();
        Bundle {
            x509_authorities: vec![self.authority()],
            jwt_authorities: vec![JwtAuthority::new("key-1".to_owned(), key).expect("valid")],
            ..Bundle::empty(td())
        }
    }

    pub(crate) fn issue(
        &self,
        id: &SpiffeId,
        key: &PublicKey,
        now: SystemTime,
        life: Duration,
    ) -> Chain {
        let mut params = CertificateParams::default();
        let uri = id.to_string().try_into().expect("ASCII");
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - Duration::from_secs(10)).into();
        params.not_after = (now + life).into();
        let key = SubjectPublicKeyInfo::from_der(key.spki_der()).expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("signed");
        let mut chain = vec![Arc::from(leaf.der().as_ref())];
        chain.extend(self.above.iter().cloned());
        chain
    }

    pub(crate) fn jwt(
        &self,
        id: &SpiffeId,
        audience: &[String],
        now: SystemTime,
        life: Duration,
    ) -> NewJwt {
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let header = object(json!({"alg": "ES256", "kid": "key-1", "typ": "JWT"}));
        let payload = object(json!({
            "sub": id.to_string(), "aud": audience, "exp": seconds(now + life), "iat": seconds(now),
        }));
        let input = jose::encode_signing_input(&header, &payload);
        let algorithm = JwsAlgorithm::from_name("ES256").expect("known");
        let signed = self
            .jwt_key
            .sign(algorithm.signature_algorithm(), input.as_bytes());
        let token = jose::attach_signature(input, algorithm, &signed.expect("signed"));
        NewJwt {
            token: token.expect("encoded").into(),
            issued_at: now,
            expires_at: now + life,
        }
    }

    /// An SVID of this entry, as if the rotator had fetched it.
    pub(crate) fn svid(&self, entry: &Entry, now: SystemTime, life: Duration) -> HeldSvid {
        let (key, _) = make_request(KeyType::EcP256, Some(&entry.spiffe_id)).expect("made");
        HeldSvid {
            id: entry.spiffe_id.clone(),
            chain: self.issue(&entry.spiffe_id, key.public_key(), now, life),
            key,
            not_after: now + life,
            rotate_at: now + life / 2,
            made_for: Arc::new(entry.clone()),
        }
    }
}

/// Each authority has a name of its own, as a name with two keys makes paths hard to find.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = format!("authority {}", rand::random::<u64>());
    params.distinguished_name.push(DnType::CommonName, name);
    let id = "spiffe://example.org".try_into().expect("ASCII");
    params.subject_alt_names = vec![SanType::URI(id)];
    params.not_before = (noon() - 1000 * HOUR).into();
    params.not_after = (noon() + 1000 * HOUR).into();
    params.use_authority_key_identifier_extension = true;
    params
}

fn object(value: serde_json::Value) -> Map<String, serde_json::Value> {
    value.as_object().expect("an object").clone()
}

/// A server that signs what it is told to know, and fails when it is told to.
pub(crate) struct FakeServer {
    pub(crate) ca: Ca,
    /// The authority that signs X509-SVIDs once it is activated.
    pub(crate) next: Ca,
    activated: AtomicBool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) life: Duration,
    pub(crate) entries: Mutex<BTreeMap<EntryId, SpiffeId>>,
    pub(crate) down: Mutex<Option<CallError>>,
    pub(crate) x509_calls: AtomicUsize,
    pub(crate) jwt_calls: AtomicUsize,
    /// How long a JWT-SVID takes.
    pub(crate) jwt_delay: Duration,
}

impl FakeServer {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            ca: Ca::new(),
            next: Ca::new(),
            activated: AtomicBool::new(false),
            clock,
            life: HOUR,
            entries: Mutex::default(),
            down: Mutex::default(),
            x509_calls: AtomicUsize::new(0),
            jwt_calls: AtomicUsize::new(0),
            jwt_delay: Duration::ZERO,
        }
    }

    pub(crate) fn knows(self, entries: &[Entry]) -> Self {
        let known = entries
            .iter()
            .map(|entry| (entry.id.clone(), entry.spiffe_id.clone()));
        self.entries.lock().unwrap().extend(known);
        self
    }

    pub(crate) fn fail_with(&self, error: Option<CallError>) {
        *self.down.lock().unwrap() = error;
    }

    /// From now on the next authority signs.
    pub(crate) fn activate_next(&self) {
        self.activated.store(true, Ordering::SeqCst);
    }

    pub(crate) fn outage() -> CallError {
        CallError::Transient {
            message: "on purpose".to_owned(),
        }
    }

    fn check(&self) -> Result<(), CallError> {
        self.down.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn sign(&self, request: &X509Request) -> Signed {
        let known = self.entries.lock().unwrap().get(&request.entry_id).cloned();
        let id = known.ok_or_else(|| ItemRefused {
            code: 5,
            message: "entry not found or not authorized".to_owned(),
        })?;
        let key = csr::verify(&request.csr)
            .expect("our own request")
            .public_key;
        let activated = self.activated.load(Ordering::SeqCst);
        let ca = if activated { &self.next } else { &self.ca };
        Ok(ca.issue(&id, &key, self.clock.now(), self.life))
    }
}

#[async_trait]
impl Server for FakeServer {
    async fn new_x509_svids(&self, requests: Vec<X509Request>) -> Result<Vec<Signed>, CallError> {
        self.x509_calls.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        Ok(requests.iter().map(|request| self.sign(request)).collect())
    }

    async fn new_jwt_svid(
        &self,
        entry: &EntryId,
        audience: &[String],
    ) -> Result<NewJwt, CallError> {
        self.jwt_calls.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.jwt_delay).await;
        self.check()?;
        let id = self.entries.lock().unwrap()[entry].clone();
        Ok(self.ca.jwt(&id, audience, self.clock.now(), self.life))
    }

    async fn renew_agent(&self, _: Vec<u8>) -> Result<Chain, CallError> {
        Err(Self::outage())
    }
}
