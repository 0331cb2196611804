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
        Ok(self.keys().get(id).map(|signer| Arc::clone(signer) as Arc<dyn Signer>))
    }

    async fn list(&self) -> Result<Vec<(String, PublicKey)>, KeyError> {
        let keys = self.keys();
        Ok(keys.iter().map(|(id, signer)| (id.clone(), signer.public_key().clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryKeys;
    use crate::testing::contract;

    #[tokio::test]
    async fn memory_keys_keep_the_contract() {
        contract::check(async || MemoryKeys::new()).await;
    }
}
