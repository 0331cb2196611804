//! Bundles: the keys of one trust domain, for checking its SVIDs.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::certificate::CertificateError;
use crate::path::{SignerDefect, check_signer};
use crate::{Certificate, PublicKey, TrustDomain};

/// Longest key ID, in bytes. It is the same limit as for the `kid` of a token, so that every key of
/// a bundle can be named by one.
pub const MAX_KEY_ID_LEN: usize = signet_crypto::jose::MAX_KEY_ID_LEN;

/// A key cannot be part of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Not a certificate that can be used.
    #[error("X.509 authority cannot be read")]
    Certificate(#[from] CertificateError),
    /// A certificate, but not one that may sign others.
    #[error("certificate is no X.509 authority")]
    NotASigner(#[from] SignerDefect),
    /// The library that verifies paths does not accept it as a root.
    #[error("certificate cannot be used as a root")]
    Anchor,
    /// A JWT or WIT key needs an ID (J-07, W-04).
    #[error("key ID is empty or longer than {MAX_KEY_ID_LEN} bytes")]
    BadKeyId,
}

/// Everything published about one trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Whose keys these are.
    pub trust_domain: TrustDomain,
    /// Roots for X.509-SVIDs.
    pub x509_authorities: Vec<X509Authority>,
    /// Keys for JWT-SVIDs.
    pub jwt_authorities: Vec<JwtAuthority>,
    /// Keys for WIT-SVIDs.
    pub wit_authorities: Vec<JwtAuthority>,
    /// How often a consumer should look again; `None` leaves it to the consumer.
    pub refresh_hint: Option<Duration>,
    /// Grows with every change.
    pub sequence: u64,
}

impl Bundle {
    /// A bundle without keys, under which no SVID is valid (B-01).
    #[must_use]
    pub fn empty(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            x509_authorities: Vec::new(),
            jwt_authorities: Vec::new(),
            wit_authorities: Vec::new(),
            refresh_hint: None,
            sequence: 0,
        }
    }

    /// The JWT key with this ID.
    #[must_use]
    pub fn jwt_authority(&self, key_id: &str) -> Option<&JwtAuthority> {
        self.jwt_authorities
            .iter()
            .find(|authority| authority.key_id == key_id)
    }

    /// The WIT key with this ID.
    #[must_use]
    pub fn wit_authority(&self, key_id: &str) -> Option<&JwtAuthority> {
        self.wit_authorities
            .iter()
            .find(|authority| authority.key_id == key_id)
    }
}

/// A root certificate of a trust domain. Cloning is cheap; equality looks at the certificate and
/// the taint.
#[derive(Clone)]
pub struct X509Authority {
    /// The certificate in DER. Only [`X509Authority::from_der`] makes one.
    pub der: Arc<[u8]>,
    /// No longer to be relied on: SVIDs under it are to be replaced, though they still verify.
    pub tainted: bool,
    root: Arc<Root>,
}

struct Root {
    certificate: Certificate,
    anchor: TrustAnchor<'static>,
}

impl X509Authority {
    /// Reads a certificate that may sign others: an authority by basic constraints, allowed to by
    /// key usage (if it says), without the SPIFFE ID of a workload.
    pub fn from_der(der: &[u8]) -> Result<Self, AuthorityError> {
        let certificate = Certificate::parse(der)?;
        check_signer(&certificate)?;
        let anchor = webpki::anchor_from_trusted_cert(&CertificateDer::from(der))
            .map_err(|_| AuthorityError::Anchor)?
            .to_owned();
        Ok(Self {
            der: Arc::clone(certificate.der()),
            tainted: false,
            root: Arc::new(Root {
                certificate,
                anchor,
            }),
        })
    }

    /// The same authority, tainted or not.
    #[must_use]
    pub fn with_taint(mut self, tainted: bool) -> Self {
        self.tainted = tainted;
        self
    }

    /// What the certificate says.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.root.certificate
    }

    /// The certificate's subject key identifier, or the one RFC 5280 would give its key.
    #[must_use]
    pub fn subject_key_id(&self) -> Vec<u8> {
        let certificate = self.certificate();
        certificate
            .subject_key_id
            .clone()
            .unwrap_or_else(|| certificate.public_key.subject_key_id().to_vec())
    }

    /// The authority's key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.certificate().public_key
    }

    /// End of its validity.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.certificate().not_after
    }

    pub(crate) fn anchor(&self) -> &TrustAnchor<'static> {
        &self.root.anchor
    }
}

impl PartialEq for X509Authority {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der && self.tainted == other.tainted
    }
}

impl Eq for X509Authority {}

impl fmt::Debug for X509Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Authority")
            .field(
                "subject_key_id",
                &signet_crypto::hex(&self.subject_key_id()),
            )
            .field("not_after", &self.not_after())
            .field("tainted", &self.tainted)
            .finish()
    }
}

/// A key that signs JWT-SVIDs or WIT-SVIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtAuthority {
    /// Names the key in tokens.
    pub key_id: String,
    /// The key.
    pub public_key: PublicKey,
    /// When its owner stops using it, where that is known; documents do not carry it.
    pub expires_at: Option<SystemTime>,
    /// No longer to be relied on.
    pub tainted: bool,
}

impl JwtAuthority {
    /// A key under its ID.
    pub fn new(key_id: String, public_key: PublicKey) -> Result<Self, AuthorityError> {
        if key_id.is_empty() || key_id.len() > MAX_KEY_ID_LEN {
            return Err(AuthorityError::BadKeyId);
        }
        Ok(Self {
            key_id,
            public_key,
            expires_at: None,
            tainted: false,
        })
    }
}
