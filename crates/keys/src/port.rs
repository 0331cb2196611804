//! The two ports: [`KeyManager`] and [`Signer`], and the error both speak.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use signet_crypto::{KeyType, PrivateKey, PublicKey, SignatureAlgorithm};

/// One key that signs.
///
/// A signer is bound to its key: when the manager replaces the key of the same id, a signer handed
/// out before keeps signing with the old one or fails, and never signs with the new one. So a
/// signature always belongs to [`Signer::public_key`].
#[async_trait]
pub trait Signer: Send + Sync {
    /// The public half of the key that [`Signer::sign`] uses.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` (which is hashed here, as `algorithm` says). ECDSA signatures are ASN.1 DER.
    ///
    /// # Errors
    /// [`KeyError::Sign`] if key and algorithm do not fit or the key refuses;
    /// [`KeyError::Unreachable`] if a remote key does not answer, [`KeyError::Refused`] if it will not.
    async fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyError>;

    /// The private key itself, if it is in this process: then signing needs no waiting.
    fn local(&self) -> Option<&PrivateKey> {
        None
    }
}

/// Makes keys and finds them again by id.
///
/// Ids are the caller's and opaque here. Calls may overlap; the last [`KeyManager::generate`] of an
/// id to finish wins.
#[async_trait]
pub trait KeyManager: Send + Sync {
    /// Makes a key of `key_type` under `id`, in place of any key of that id. When this returns `Ok`
    /// the key is kept as durably as this manager keeps anything; when it fails the old key stays.
    ///
    /// # Errors
    /// [`KeyError::Generate`] if no such key can be made, [`KeyError::Keep`] if it cannot be kept;
    /// remote keys fail as [`Signer::sign`] does.
    async fn generate(&self, id: &str, key_type: KeyType) -> Result<Arc<dyn Signer>, KeyError>;

    /// The key of `id`, if there is one.
    ///
    /// # Errors
    /// [`KeyError::Unreachable`] if the keys are remote and do not answer.
    async fn get(&self, id: &str) -> Result<Option<Arc<dyn Signer>>, KeyError>;

    /// Every id with its public key, ordered by id.
    ///
    /// # Errors
    /// [`KeyError::Unreachable`] if the keys are remote and do not answer.
    async fn list(&self) -> Result<Vec<(String, PublicKey)>, KeyError>;
}

/// What a key operation failed on.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key could not be made.
    #[error("could not make a key of type {key_type} for {id:?}")]
    Generate {
        /// The id it was meant for.
        id: String,
        /// The type asked for.
        key_type: KeyType,
        /// Why.
        #[source]
        source: signet_crypto::KeyError,
    },
    /// The key was made but could not be kept; the one before is still in place.
    #[error("could not keep the new key {id:?}; the one before stays in use")]
    Keep {
        /// The id it was meant for.
        id: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The key refused to sign.
    #[error("could not sign")]
    Sign {
        /// Why.
        #[source]
        source: signet_crypto::SignError,
    },
    /// Whoever holds the key did not answer, or said that it cannot for now.
    #[error("the key is out of reach")]
    Unreachable {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Whoever holds the keys refuses, and will until somebody changes something there.
    #[error("the key store refuses")]
    Refused {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The work was cut off because the process is stopping.
    #[error("stopped while working on the key {id:?}")]
    Stopped {
        /// The id of the key.
        id: String,
    },
}

impl KeyError {
    /// True if the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Keep { .. })
    }
}
