//! Keys in a transit engine: the key manager `hashicorp_vault`.
//!
//! Each key that is made gets a transit key of its own, which is never rotated: its name ends in a
//! number that counts up, and the highest of an id is the key of that id. So a signer is bound to
//! its key whatever happens to others, an operator who rotates a transit key by hand changes nothing,
//! and whoever reads the engine's list sees which server has what. When a key has its place, those
//! before it are deleted.
//!
//! What this server has in the engine is read once, at opening; nobody else makes keys with its
//! identifier. A key that turns out to be gone is looked for again.

mod name;
mod signer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use signet_crypto::{KeyType, PublicKey, pem};
use signet_keys::{KeyError, KeyManager, Signer};

use crate::api::{self, Call};
use crate::client::causes;
use crate::{Identifier, Mount, Vault, VaultError};
use name::Names;
use signer::TransitSigner;

/// The key manager over a transit engine.
#[derive(Debug)]
pub struct TransitKeys {
    engine: Arc<Engine>,
    names: Names,
    known: Mutex<BTreeMap<String, Arc<TransitSigner>>>,
    /// One key is made at a time, so that two never count to the same number.
    making: tokio::sync::Mutex<()>,
}

impl TransitKeys {
    /// The keys that the server called `identifier` has in the engine at `mount`.
    ///
    /// # Errors
    /// [`VaultError`]: the engine's keys cannot be listed or read.
    pub async fn open(
        vault: Arc<Vault>,
        mount: Mount,
        identifier: &Identifier,
    ) -> Result<Self, VaultError> {
        let keys = Self {
            engine: Arc::new(Engine { vault, mount }),
            names: Names::of(identifier),
            known: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        };
        for (id, numbers) in keys.listed().await? {
            if let Some(signer) = keys.newest(&id, &numbers).await? {
                keys.known().insert(id, signer);
            }
        }
        Ok(keys)
    }

    /// This server's ids, each with the numbers of its keys.
    async fn listed(&self) -> Result<BTreeMap<String, Vec<u64>>, VaultError> {
        let mut found = BTreeMap::<String, Vec<u64>>::new();
        for name in self.engine.list().await? {
            if let Some((id, number)) = self.names.parse(&name) {
                found.entry(id).or_default().push(number);
            }
        }
        Ok(found)
    }

    async fn newest(
        &self,
        id: &str,
        numbers: &[u64],
    ) -> Result<Option<Arc<TransitSigner>>, VaultError> {
        let Some(number) = numbers.iter().max() else {
            return Ok(None);
        };
        let name = self.names.key(id, *number);
        match self.engine.public_key(&name).await {
            Ok(key) => Ok(Some(self.signer(name, key))),
            Err(error @ (VaultError::Answer { .. } | VaultError::Refused { .. }))
                if !error.is_transient() && !error.is_denied() =>
            {
                let error = causes(&error);
                tracing::warn!(key = name, error, "a transit key cannot be used");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn make(&self, id: &str, key_type: KeyType) -> Result<Arc<TransitSigner>, VaultError> {
        let _one = self.making.lock().await;
        let before = self.listed().await?.remove(id).unwrap_or_default();
        let number = before.iter().max().map_or(1, |newest| newest + 1);
        let name = self.names.key(id, number);
        self.engine.create(&name, key_type).await?;
        let key = self.engine.public_key(&name).await?;
        if key.key_type() != Some(key_type) {
            let what = "it is a key of another type";
            return Err(api::unusable(&self.engine.key_path(&name), what));
        }
        let signer = self.signer(name, key);
        self.known().insert(id.to_owned(), Arc::clone(&signer));
        for number in before {
            self.delete(&self.names.key(id, number)).await;
        }
        Ok(signer)
    }

    /// A key that stays behind harms nobody, and is tried again at the next one of its id.
    async fn delete(&self, name: &str) {
        if let Err(error) = self.engine.delete(name).await {
            let error = causes(&error);
            tracing::warn!(
                key = name,
                error,
                "a replaced transit key could not be deleted"
            );
        }
    }

    fn signer(&self, name: String, key: PublicKey) -> Arc<TransitSigner> {
        Arc::new(TransitSigner::new(Arc::clone(&self.engine), name, key))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Arc<TransitSigner>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of an id that was last seen gone may have been restored.
    async fn look_again(&self, id: &str) -> Result<Option<Arc<TransitSigner>>, VaultError> {
        let _one = self.making.lock().await;
        let numbers = self.listed().await?.remove(id).unwrap_or_default();
        let found = self.newest(id, &numbers).await?;
        let mut known = self.known();
        match &found {
            Some(signer) => known.insert(id.to_owned(), Arc::clone(signer)),
            None => known.remove(id),
        };
        Ok(found)
    }
}

#[async_trait]
impl KeyManager for TransitKeys {
    async fn generate(&self, id: &str, key_type: KeyType) -> Result<Arc<dyn Signer>, KeyError> {
        let signer = self.make(id, key_type).await.map_err(key_error)?;
        Ok(signer)
    }

    async fn get(&self, id: &str) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        let known = self.known().get(id).cloned();
        let found = match known {
            Some(signer) if signer.is_lost() => self.look_again(id).await.map_err(key_error)?,
            known => known,
        };
        Ok(found.map(|signer| signer as Arc<dyn Signer>))
    }

    async fn list(&self) -> Result<Vec<(String, PublicKey)>, KeyError> {
        let known = self.known();
        let each = known.iter();
        Ok(each
            .map(|(id, signer)| (id.clone(), signer.public_key().clone()))
            .collect())
    }
}

/// What the engine is asked.
#[derive(Debug)]
struct Engine {
    vault: Arc<Vault>,
    mount: Mount,
}

impl Engine {
    async fn list(&self) -> Result<Vec<String>, VaultError> {
        #[derive(Deserialize)]
        struct Names {
            keys: Vec<String>,
        }
        let call = Call::list(format!("{}/keys", self.mount));
        match self.vault.ask::<Names>(&call).await {
            Ok(names) => Ok(names.keys),
            Err(error) if error.is_absent() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, name: &str, key_type: KeyType) -> Result<(), VaultError> {
        let body = json!({"type": type_name(key_type)});
        self.vault
            .tell(&Call::write(self.key_path(name), body))
            .await
    }

    async fn public_key(&self, name: &str) -> Result<PublicKey, VaultError> {
        #[derive(Deserialize)]
        struct Key {
            keys: BTreeMap<String, Version>,
        }
        #[derive(Deserialize)]
        struct Version {
            public_key: String,
        }
        let call = Call::read(self.key_path(name));
        let key: Key = self.vault.ask(&call).await?;
        let version = key.keys.get(signer::VERSION);
        let pem = version.map(|version| version.public_key.as_str());
        pem.and_then(from_pem)
            .ok_or_else(|| api::unusable(call.path(), "it is no key that can sign for us"))
    }

    async fn delete(&self, name: &str) -> Result<(), VaultError> {
        let path = self.key_path(name);
        let allow = json!({"deletion_allowed": true});
        let config = Call::write(format!("{path}/config"), allow);
        self.vault.tell(&config).await?;
        self.vault.tell(&Call::delete(path)).await
    }

    fn key_path(&self, name: &str) -> String {
        format!("{}/keys/{name}", self.mount)
    }
}

fn from_pem(text: &str) -> Option<PublicKey> {
    let blocks = pem::parse(text).ok()?;
    let key = blocks.iter().find(|block| block.label == "PUBLIC KEY")?;
    PublicKey::from_spki_der(key.content.expose()).ok()
}

fn type_name(key_type: KeyType) -> &'static str {
    match key_type {
        KeyType::EcP256 => "ecdsa-p256",
        KeyType::EcP384 => "ecdsa-p384",
        KeyType::Rsa2048 => "rsa-2048",
        KeyType::Rsa4096 => "rsa-4096",
    }
}

fn key_error(error: VaultError) -> KeyError {
    let passes = error.is_transient();
    let source = Box::new(error);
    if passes {
        KeyError::Unreachable { source }
    } else {
        KeyError::Refused { source }
    }
}
