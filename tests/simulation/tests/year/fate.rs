//! A store and a key manager at any write of which the process may die, or only the write fail.

use async_trait::async_trait;
use signet_crypto::{KeyType, PublicKey};
use signet_datastore::{ChangeFeed, Commit, Epoch, Loaded, MemoryStore, Store, StoreError};
use signet_keys::memory::MemoryKeys;
use signet_keys::{KeyError, KeyManager, Signer};
use signet_model::Revision;
use std::io;
use std::sync::{Arc, Mutex};

/// What happens at a write to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blow {
    /// How many writes succeed before.
    pub(crate) after: u32,
    /// Whether the write is made, and only its acknowledgement lost.
    pub(crate) done: bool,
    /// Whether the process dies of it.
    pub(crate) deadly: bool,
}

/// What is to come, shared by the store and the keys of all lives of the server.
#[derive(Debug, Default)]
pub(crate) struct Fate(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: Option<Blow>,
    dead: bool,
}

enum Verdict {
    Live,
    FailFirst,
    FailAfterwards,
}

impl Fate {
    pub(crate) fn strike(&self, blow: Blow) {
        self.0.lock().unwrap().next = Some(blow);
    }

    /// Whether the process has died at a write.
    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().unwrap().dead
    }

    /// Another process starts.
    pub(crate) fn revive(&self) {
        self.0.lock().unwrap().dead = false;
    }

    fn next(&self) -> Verdict {
        let inner = &mut *self.0.lock().unwrap();
        if inner.dead {
            return Verdict::FailFirst;
        }
        match &mut inner.next {
            None => Verdict::Live,
            Some(blow) if blow.after > 0 => {
                blow.after -= 1;
                Verdict::Live
            }
            Some(blow) => {
                inner.dead = blow.deadly;
                let done = blow.done;
                inner.next = None;
                match done {
                    true => Verdict::FailAfterwards,
                    false => Verdict::FailFirst,
                }
            }
        }
    }
}

pub(crate) struct FrailStore {
    pub(crate) inner: MemoryStore,
    pub(crate) fate: Arc<Fate>,
}

impl FrailStore {
    fn failed() -> StoreError {
        StoreError::Io {
            step: "write",
            path: "simulated".into(),
            source: Arc::new(io::Error::other("on purpose")),
        }
    }
}

#[async_trait]
impl Store for FrailStore {
    async fn load(&self) -> Result<Loaded, StoreError> {
        self.inner.load().await
    }

    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        match self.fate.next() {
            Verdict::Live => self.inner.commit(commit).await,
            Verdict::FailFirst => Err(Self::failed()),
            Verdict::FailAfterwards => {
                self.inner.commit(commit).await?;
                Err(Self::failed())
            }
        }
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.inner.revision().await
    }

    fn changes(&self) -> ChangeFeed {
        self.inner.changes()
    }

    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }
}

pub(crate) struct FrailKeys {
    pub(crate) inner: MemoryKeys,
    pub(crate) fate: Arc<Fate>,
}

impl FrailKeys {
    fn failed() -> KeyError {
        KeyError::Unreachable {
            source: "on purpose".into(),
        }
    }
}

#[async_trait]
impl KeyManager for FrailKeys {
    async fn generate(&self, id: &str, key_type: KeyType) -> Result<Arc<dyn Signer>, KeyError> {
        match self.fate.next() {
            Verdict::Live => self.inner.generate(id, key_type).await,
            Verdict::FailFirst => Err(Self::failed()),
            Verdict::FailAfterwards => {
                self.inner.generate(id, key_type).await?;
                Err(Self::failed())
            }
        }
    }

    async fn get(&self, id: &str) -> Result<Option<Arc<dyn Signer>>, KeyError> {
        self.inner.get(id).await
    }

    async fn list(&self) -> Result<Vec<(String, PublicKey)>, KeyError> {
        self.inner.list().await
    }
}
