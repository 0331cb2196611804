//! Keys that behave as if they were elsewhere: they sign only after a wait, and can be cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use signet_crypto::{KeyType, PublicKey, SignatureAlgorithm};

use crate::memory::MemoryKeys;
use crate::{KeyError, KeyManager, Signer};

/// A key manager over memory that hides the private keys.
#[derive(Debug, Default)]
pub struct RemoteKeys {
    keys: MemoryKeys,
    cut_off: Arc<AtomicBool>,
}

impl RemoteKeys {
    /// A manager without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every call fails as unreachable (or no longer does).
    pub fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::SeqCst);
    }

    fn wrap(&self, inner: Arc<dyn Signer>) -> Arc<dyn Signer> {
        Arc::new(RemoteSigner {
            inner,
            cut_off: Arc::clone(&self.cut_off),
        })
    }
}

#[async_trait]
impl KeyManager for RemoteKeys {
    async fn generate(&self, id: &str, key_type: KeyType) -> Result<Arc<dyn Signer>, KeyError> {
        reach(&self.cut_off).await?;
        Ok(self.wrap(self.keys.generate(id, key_type).await?))
    }

    async fn get(&self, id: &str) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        reach(&self.cut_off).await?;
        Ok(self.keys.get(id).await?.map(|inner| self.wrap(inner)))
    }

    async fn list(&self) -> Result<Vec<(String, PublicKey)>, KeyError> {
        reach(&self.cut_off).await?;
        self.keys.list().await
    }
}

/// A key of [`RemoteKeys`].
pub struct RemoteSigner {
    inner: Arc<dyn Signer>,
    cut_off: Arc<AtomicBool>,
}

#[async_trait]
impl Signer for RemoteSigner {
    fn public_key(&self) -> &PublicKey {
        self.inner.public_key()
    }

    async fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        reach(&self.cut_off).await?;
        self.inner.sign(algorithm, message).await
    }
}

/// Yields once, so that callers that forget to wait are found out.
async fn reach(cut_off: &AtomicBool) -> Result<(), KeyError> {
    tokio::task::yield_now().await;
    if cut_off.load(Ordering::SeqCst) {
        return Err(KeyError::Unreachable {
            source: "cut off by the test".into(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use signet_crypto::{KeyType, SignatureAlgorithm};

    use super::RemoteKeys;
    use crate::KeyManager;
    use crate::testing::contract;

    #[tokio::test]
    async fn remote_keys_keep_the_contract() {
        contract::check(async || RemoteKeys::new()).await;
    }

    #[tokio::test]
    async fn a_key_out_of_reach_fails_as_transient() {
        let keys = RemoteKeys::new();
        let signer = keys.generate("id", KeyType::EcP256).await.unwrap();
        keys.cut_off(true);
        let error = signer
            .sign(SignatureAlgorithm::EcdsaP256Sha256, b"m")
            .await
            .unwrap_err();
        assert!(error.is_transient());
    }
}
