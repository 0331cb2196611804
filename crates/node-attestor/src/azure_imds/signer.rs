//! From the certificate that a document names as its signer's to one that is trusted.
//!
//! [`TrustedSigner`] is made here alone, and documents are verified with nothing else: so the
//! certificate whose chain holds is the one whose key signed.

use std::time::SystemTime;

use signet_crypto::Verified;
use signet_spiffe::Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::issuers::{FetchError, Issuers};
use crate::pkcs7::{Pkcs7Error, SignedMessage};
use crate::x509pop::chain::{self, Limits};
use crate::x509pop::{ChainError, Roots};

/// What a chain may cost. Microsoft's certificates have RSA keys of 2048 and 4096 bits.
const LIMITS: Limits = Limits {
    max_intermediates: MAX_FETCHED,
    max_rsa_key_size: 4096,
};

/// Most issuers that are fetched for one document: Microsoft's roots are signed across, so that
/// two certificates may stand between the signer's and an older root.
const MAX_FETCHED: usize = 2;

/// Most names of a signer's certificate that are looked at: those seen have two.
const MAX_NAMES: usize = 64;

/// Why a signed document is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The message is no signed document, or its signature does not hold.
    #[error("the attested document is not accepted")]
    Message(#[from] Pkcs7Error),
    /// The signer is nobody who may sign documents.
    #[error("the signer's certificate has no name in allowed_metadata_domains")]
    Name,
    /// The signer's certificate is of another time.
    #[error("the signer's certificate is not valid now")]
    Time,
    /// The signer's certificate leads to no root.
    #[error("the signer's certificate does not verify")]
    Chain(#[from] ChainError),
    /// The certificate of an issuer cannot be had.
    #[error("the signer's chain is incomplete")]
    Issuer(#[from] FetchError),
}

impl SignerError {
    /// Whether the same document may be accepted later without the agent changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Issuer(error) if error.is_transient())
    }
}

/// Who may sign documents.
pub struct Signers {
    roots: Roots,
    domains: Vec<String>,
    issuers: Issuers,
}

/// A certificate whose name is allowed and whose chain held.
struct TrustedSigner(Certificate);

impl Signers {
    /// Certificates below these roots whose name is one of these domains or below one.
    pub fn new(roots: Roots, domains: Vec<String>, issuers: Issuers) -> Self {
        let domains = domains.iter().map(|domain| domain.to_ascii_lowercase());
        Self {
            roots,
            domains: domains.collect(),
            issuers,
        }
    }

    /// The document of a signed message.
    ///
    /// # Errors
    /// [`SignerError`] says which step failed.
    pub async fn verify(
        &self,
        signed: &[u8],
        now: SystemTime,
    ) -> Result<Verified<Vec<u8>>, SignerError> {
        let message = SignedMessage::parse(signed)?;
        let signer = self.trust(message.signer()?, now).await?;
        Ok(message.verified_by(&signer.0)?)
    }

    async fn trust(
        &self,
        signer: Certificate,
        now: SystemTime,
    ) -> Result<TrustedSigner, SignerError> {
        // What costs nothing first: the network is asked for nobody who may not sign anyway.
        if !self.may_sign(&signer) {
            return Err(SignerError::Name);
        }
        if !signer.is_valid_at(now) {
            return Err(SignerError::Time);
        }
        self.check_chain(&signer, now).await?;
        Ok(TrustedSigner(signer))
    }

    /// Adds issuers until the chain holds.
    async fn check_chain(&self, signer: &Certificate, now: SystemTime) -> Result<(), SignerError> {
        let mut chain = vec![signer.der().to_vec()];
        let mut last = signer.clone();
        while let Err(error) = chain::verify(&chain, &self.roots, LIMITS, now) {
            if chain.len() > MAX_FETCHED {
                return Err(error.into());
            }
            last = match self.issuers.of(&last).await {
                Ok(issuer) => issuer,
                // Nothing is missing: the chain is somebody else's.
                Err(FetchError::NoPlace) if chain.len() > 1 => return Err(error.into()),
                Err(error) => return Err(error.into()),
            };
            chain.push(last.der().to_vec());
        }
        Ok(())
    }

    fn may_sign(&self, certificate: &Certificate) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate.der()) else {
            return false;
        };
        let names = parsed.subject_alternative_name().ok().flatten();
        names.is_some_and(|names| {
            let mut names = names.value.general_names.iter().take(MAX_NAMES);
            names.any(|name| matches!(name, GeneralName::DNSName(name) if self.is_allowed(name)))
        })
    }

    fn is_allowed(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.domains.iter().any(|domain| {
            let before = name.strip_suffix(domain.as_str());
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }
}
