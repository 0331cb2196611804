//! Keys that live as long as the process.
//!
//! After a restart there are none: a server makes new authorities, an agent attests anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use signet_crypto::{KeyType, PublicKey};

use crate::local::{self, LocalSigner};
use crate::{KeyError, KeyManager, Signer};

/// The `memory` key manager.
#[derive(Debug, Default)]
pub struct MemoryKeys {
    keys: Mutex<BTreeMap<String, Arc<LocalSigner>>>,
}

impl MemoryKeys {
    /// A manager without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<String, Arc<LocalSigner>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyManager for MemoryKeys {
    async fn generate(&self, id: &str, key_type: KeyType) -> Result<Arc<dyn Signer>, KeyError> {
        let signer = local::generate(id, key_type).await?;
        self.keys().insert(id.to_owned(), Arc::clone(&signer));
        Ok(signer)
    }

    async fn get(&self, id: &str) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        Ok(self
            .keys()
            .get(id)
            .map(|signer| Arc::clone(signer) as Arc<dyn Signer>))
    }

    async fn list(&self) -> Result<Vec<(String, PublicKey)>, KeyError> {
        let keys = self.keys();
        Ok(keys
            .iter()
            .map(|(id, signer)| (id.clone(), signer.public_key().clone()))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use signet_crypto::KeyType;

    use super::MemoryKeys;
    use crate::testing::contract;
    use crate::{KeyError, KeyManager};

    #[tokio::test]
    async fn memory_keys_keep_the_contract() {
        contract::check(async || MemoryKeys::new()).await;
    }

    #[tokio::test]
    async fn an_rsa_4096_key_is_made_and_signs() {
        if !signet_crypto::HAS_AWS_LC {
            return; // refused by name: the test below
        }
        let signer = MemoryKeys::new()
            .generate("id", KeyType::Rsa4096)
            .await
            .unwrap();
        assert_eq!(signer.public_key().key_type(), Some(KeyType::Rsa4096));
        let algorithm = KeyType::Rsa4096.default_algorithm();
        let signature = signer.sign(algorithm, b"message").await.unwrap();
        signer
            .public_key()
            .verify(algorithm, b"message", &signature)
            .unwrap();
    }

    #[tokio::test]
    async fn an_rsa_key_is_refused_by_the_build_that_cannot_make_one() {
        if signet_crypto::HAS_AWS_LC {
            return; // made and used: the test above
        }
        let refused = MemoryKeys::new()
            .generate("id", KeyType::Rsa2048)
            .await
            .err()
            .unwrap();
        assert!(matches!(
            refused,
            KeyError::Generate {
                key_type: KeyType::Rsa2048,
                ..
            }
        ));
    }
}
