//! A signer whose key is in this process, and the making of such keys.

use std::sync::Arc;

use async_trait::async_trait;
use signet_crypto::{KeyType, PrivateKey, PublicKey, SignatureAlgorithm};

use crate::{KeyError, Signer};

/// A private key in memory as a [`Signer`].
#[derive(Debug)]
pub struct LocalSigner(PrivateKey);

impl LocalSigner {
    /// Wraps `key`.
    #[must_use]
    pub fn new(key: PrivateKey) -> Self {
        Self(key)
    }

    /// The key.
    #[must_use]
    pub fn private_key(&self) -> &PrivateKey {
        &self.0
    }
}

#[async_trait]
impl Signer for LocalSigner {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    async fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        self.0
            .sign(algorithm, message)
            .map_err(|source| KeyError::Sign { source })
    }

    fn local(&self) -> Option<&PrivateKey> {
        Some(&self.0)
    }
}

/// Makes a key for `id`. RSA keys take up to seconds, so they are made on the blocking pool; EC keys
/// take microseconds and are made in place.
pub(crate) async fn generate(id: &str, key_type: KeyType) -> Result<Arc<LocalSigner>, KeyError> {
    let made = match key_type {
        KeyType::EcP256 | KeyType::EcP384 => PrivateKey::generate(key_type),
        KeyType::Rsa2048 | KeyType::Rsa4096 => {
            tokio::task::spawn_blocking(move || PrivateKey::generate(key_type))
                .await
                .map_err(|_| KeyError::Stopped { id: id.to_owned() })?
        }
    };
    made.map(|key| Arc::new(LocalSigner::new(key)))
        .map_err(|source| KeyError::Generate {
            id: id.to_owned(),
            key_type,
            source,
        })
}
