//! An organisation's own PKI in memory: a root, any number of intermediates, and their keys.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    SubjectPublicKeyInfo,
};
use signet_crypto::{KeyType, PrivateKey};
use signet_spiffe::{TrustDomain, X509Authority, csr};

use crate::MintedCa;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// What is made is valid since this long before.
const BACKDATE: Duration = Duration::from_secs(10);

/// Authorities from the root down; the last one signs what is asked for.
pub struct Pki {
    authorities: Vec<Authority>,
    now: SystemTime,
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    der: Arc<[u8]>,
}

impl Pki {
    /// A root that is valid from `now` for a year.
    #[must_use]
    pub fn new(name: &str, now: SystemTime) -> Self {
        Self::with_root(name, now, |_| {})
    }

    /// As [`Pki::new`], with a root that `change` spoils.
    pub fn with_root(
        name: &str,
        now: SystemTime,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = authority(name, now);
        change(&mut params);
        let der = params.self_signed(&key).unwrap().der().as_ref().into();
        let authorities = vec![Authority { params, key, der }];
        Self { authorities, now }
    }

    /// One more intermediate below, which `change` may spoil.
    #[must_use]
    pub fn below(mut self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = authority(name, self.now);
        change(&mut params);
        let der = params.signed_by(&key, &self.issuer()).unwrap();
        let der = der.der().as_ref().into();
        self.authorities.push(Authority { params, key, der });
        self
    }

    /// Signs the request, after `change` has had its way with the certificate.
    pub fn mint(
        &self,
        request: &[u8],
        ttl: Duration,
        now: SystemTime,
        change: impl FnOnce(&mut CertificateParams),
    ) -> MintedCa {
        let request = csr::verify(request).unwrap();
        let key = SubjectPublicKeyInfo::from_der(request.public_key.spki_der()).unwrap();
        let mut params = authority("ours", now);
        params.not_after = (now + ttl).into();
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        for id in &request.spiffe_ids {
            let uri = id.to_string().try_into().unwrap();
            params.subject_alt_names.push(SanType::URI(uri));
        }
        change(&mut params);
        let made = params.signed_by(&key, &self.issuer()).unwrap();
        let mut chain = vec![made.der().as_ref().into()];
        let intermediates = self.authorities.iter().skip(1).rev();
        chain.extend(intermediates.map(|one| Arc::clone(&one.der)));
        MintedCa {
            chain,
            roots: vec![self.root()],
        }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> X509Authority {
        X509Authority::from_der(&self.authorities[0].der).unwrap()
    }

    /// Certificates in DER, root first.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.authorities.iter().map(|one| &one.der)
    }

    /// The key of the authority that signs, as PKCS#8 in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.signing().key.serialize_pem()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        let signing = self.signing();
        Issuer::from_params(&signing.params, &signing.key)
    }

    fn signing(&self) -> &Authority {
        self.authorities.last().unwrap()
    }
}

fn authority(name: &str, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + YEAR).into();
    params
}

/// A request for an authority of `trust_domain` with a new key.
#[must_use]
pub fn request(trust_domain: &TrustDomain, key_type: KeyType) -> (PrivateKey, Vec<u8>) {
    let key = PrivateKey::generate(key_type).unwrap();
    let signs = KeyPair::try_from(key.pkcs8_der().expose()).unwrap();
    let mut params = CertificateParams::default();
    let uri = trust_domain.id_string().try_into().unwrap();
    params.subject_alt_names.push(SanType::URI(uri));
    let request = params.serialize_request(&signs).unwrap();
    (key, request.der().to_vec())
}
