//! Keys in one JSON file, in SPIRE's form: the server's `keys_path`, the agent's `keys.json`.
//!
//! The file is read once, at opening, and written as a whole at each new key. One process owns the
//! file; that it is the only one is the affair of whoever locks the data directory.

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use signet_crypto::{KeyType, PublicKey};
use tokio::sync::Mutex;

pub use file::DiskError;
#[cfg(feature = "testing")]
pub(crate) use file::{encode, parse};

use crate::local::{self, LocalSigner};
use crate::{KeyError, KeyManager, Signer};

pub(crate) type Keys = BTreeMap<String, Arc<LocalSigner>>;

/// The name of the key file in an agent's key directory.
const AGENT_FILE: &str = "keys.json";

/// The `disk` key manager.
#[derive(Debug)]
pub struct DiskKeys {
    path: PathBuf,
    keys: Mutex<Keys>,
    warnings: Vec<String>,
}

impl DiskKeys {
    /// Opens the key file at `path`; no file means no keys yet. The directory must exist and be
    /// writable: this is tried here, so that a key is not lost at the first rotation.
    ///
    /// # Errors
    /// [`DiskError`] names the file, what is wrong with it, and the remedy.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DiskError> {
        let path = path.into();
        file::probe(&path)?;
        let loaded = file::read(&path)?;
        Ok(Self {
            path,
            keys: Mutex::new(loaded.keys),
            warnings: loaded.warnings,
        })
    }

    /// Opens `keys.json` in `directory`, which is made with mode 0700 if it is not there.
    ///
    /// # Errors
    /// As [`DiskKeys::open`].
    pub fn open_in(directory: &Path) -> Result<Self, DiskError> {
        file::make_directory(directory)?;
        Self::open(directory.join(AGENT_FILE))
    }

    /// What the operator should hear about the file, though it can be used.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[async_trait]
impl KeyManager for DiskKeys {
    async fn generate(&self, id: &str, key_type: KeyType) -> Result<Arc<dyn Signer>, KeyError> {
        let signer = local::generate(id, key_type).await?;
        let mut keys = self.keys.lock().await;
        let mut next = keys.clone();
        next.insert(id.to_owned(), Arc::clone(&signer));
        let path = self.path.clone();
        *keys = tokio::task::spawn_blocking(move || file::write(&path, &next).map(|()| next))
            .await
            .map_err(|_| KeyError::Stopped { id: id.to_owned() })?
            .map_err(|error| KeyError::Keep {
                id: id.to_owned(),
                source: Box::new(error),
            })?;
        Ok(signer)
    }

    async fn get(&self, id: &str) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        let keys = self.keys.lock().await;
        Ok(keys
            .get(id)
            .map(|signer| Arc::clone(signer) as Arc<dyn Signer>))
    }

    async fn list(&self) -> Result<Vec<(String, PublicKey)>, KeyError> {
        let keys = self.keys.lock().await;
        Ok(keys
            .iter()
            .map(|(id, signer)| (id.clone(), signer.public_key().clone()))
            .collect())
    }
}

#[cfg(test)]
mod tests;
