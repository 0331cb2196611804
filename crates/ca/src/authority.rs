//! An X.509 authority: certificate, key, and what its SVIDs carry along.

use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{CertificateParams, DistinguishedName, KeyIdMethod};
use signet_keys::Signer;
use signet_spiffe::Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::name::{self, NameError};

/// Why a certificate and a key are no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate cannot be one of an authority's.
    #[error("the certificate is not an authority's")]
    Certificate {
        /// Why.
        #[source]
        source: signet_spiffe::AuthorityError,
    },
    /// The key is another one's.
    #[error("the authority's certificate does not belong to its key")]
    OtherKey,
    /// Its name cannot be written into what it signs exactly as it is.
    #[error("the authority's name cannot stand as an issuer")]
    Name(#[from] NameError),
}

/// An authority that signs X509-SVIDs. Cloning is cheap.
#[derive(Clone)]
pub struct X509Authority {
    root: signet_spiffe::X509Authority,
    upstream_chain: Arc<[Arc<[u8]>]>,
    signer: Arc<dyn Signer>,
    issuer: Arc<CertificateParams>,
}

impl X509Authority {
    /// The authority with `certificate` (DER), whose key is `signer`. For one that an upstream signed,
    /// `upstream_chain` is what the SVIDs carry after the leaf: this certificate and its intermediates.
    /// For a self-signed one it is empty.
    ///
    /// # Errors
    /// [`AuthorityError`] if these do not fit.
    pub fn new(
        certificate: &[u8],
        upstream_chain: Vec<Arc<[u8]>>,
        signer: Arc<dyn Signer>,
    ) -> Result<Self, AuthorityError> {
        let root = signet_spiffe::X509Authority::from_der(certificate)
            .map_err(|source| AuthorityError::Certificate { source })?;
        if root.public_key() != signer.public_key() {
            return Err(AuthorityError::OtherKey);
        }
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = issuer_name(root.certificate())?;
        issuer.key_identifier_method = KeyIdMethod::PreSpecified(root.subject_key_id());
        Ok(Self {
            root,
            upstream_chain: upstream_chain.into(),
            signer,
            issuer: Arc::new(issuer),
        })
    }

    /// Its name towards operators: the subject key id in hexadecimal.
    #[must_use]
    pub fn authority_id(&self) -> String {
        signet_crypto::hex(&self.subject_key_id())
    }

    /// Its subject key id.
    #[must_use]
    pub fn subject_key_id(&self) -> Vec<u8> {
        self.root.subject_key_id()
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        self.root.certificate()
    }

    /// Its certificate in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &Arc<[u8]> {
        &self.root.der
    }

    /// How it stands in the bundle, if it is self-signed.
    #[must_use]
    pub fn bundle_entry(&self) -> &signet_spiffe::X509Authority {
        &self.root
    }

    /// What the SVIDs it signs carry after the leaf.
    #[must_use]
    pub fn upstream_chain(&self) -> &[Arc<[u8]>] {
        &self.upstream_chain
    }

    /// Its key.
    #[must_use]
    pub fn signer(&self) -> &Arc<dyn Signer> {
        &self.signer
    }

    /// When it expires; nothing it signs outlives it.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.root.not_after()
    }

    /// Its name and key id as rcgen wants an issuer's.
    pub(crate) fn issuer(&self) -> &CertificateParams {
        &self.issuer
    }
}

impl std::fmt::Debug for X509Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("X509Authority")
            .field("authority_id", &self.authority_id())
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

fn issuer_name(certificate: &Certificate) -> Result<DistinguishedName, NameError> {
    let (_, subject) =
        X509Name::from_der(certificate.subject_der()).map_err(|_| NameError::TextType)?;
    name::reencode(&subject)
}
