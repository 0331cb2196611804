//! The certificate and key that this side shows, swapped live.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use signet_crypto::PrivateKey;

/// The X509-SVID that this side shows in handshakes. While there is none, a server refuses
/// handshakes and a client connects without a certificate.
#[derive(Debug, Default)]
pub struct Identity {
    current: ArcSwapOption<CertifiedKey>,
}

/// Why a certificate and key cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The chain is empty.
    #[error("there is no certificate to show")]
    NoCertificate,
    /// TLS cannot sign with the key.
    #[error("TLS cannot use the private key")]
    Key {
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The key is not the certificate's.
    #[error("the private key does not belong to the certificate")]
    Mismatch {
        /// How rustls says it.
        #[source]
        source: rustls::Error,
    },
}

impl Identity {
    /// Nothing to show yet.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Shows `chain`, leaf first, with `key`.
    ///
    /// # Errors
    /// As [`Identity::set`].
    pub fn new(chain: &[impl AsRef<[u8]>], key: &PrivateKey) -> Result<Self, IdentityError> {
        let identity = Self::none();
        identity.set(chain, key)?;
        Ok(identity)
    }

    /// Shows `chain`, leaf first, with `key` from the next handshake on.
    ///
    /// # Errors
    /// [`IdentityError`] if they do not fit; then what was shown before still is.
    pub fn set(&self, chain: &[impl AsRef<[u8]>], key: &PrivateKey) -> Result<(), IdentityError> {
        self.current.store(Some(Arc::new(certified(chain, key)?)));
        Ok(())
    }

    /// Shows nothing from the next handshake on.
    pub fn clear(&self) {
        self.current.store(None);
    }

    /// The leaf certificate shown now, in DER.
    #[must_use]
    pub fn leaf(&self) -> Option<Vec<u8>> {
        self.current
            .load()
            .as_ref()
            .and_then(|key| key.cert.first().map(|leaf| leaf.to_vec()))
    }
}

fn certified(chain: &[impl AsRef<[u8]>], key: &PrivateKey) -> Result<CertifiedKey, IdentityError> {
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate);
    }
    let chain = chain
        .iter()
        .map(|der| CertificateDer::from(der.as_ref().to_vec()))
        .collect();
    let pkcs8 = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.pkcs8_der().expose()));
    let signer = rustls::crypto::ring::sign::any_supported_type(&pkcs8)
        .map_err(|source| IdentityError::Key { source })?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(source) => Err(IdentityError::Mismatch { source }),
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load_full()?;
        current
            .key
            .choose_scheme(schemes)
            .is_some()
            .then_some(current)
    }

    fn has_certs(&self) -> bool {
        self.current.load().is_some()
    }
}
