//! The store that forgets: for tests, for simulation, and for a server that may start empty.
//!
//! It keeps the whole contract but durability. It has no thread and no timer, so it is
//! deterministic under a paused runtime.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use signet_model::Revision;

use crate::{
    ChangeFeed, Commit, Epoch, Loaded, Record, Store, StoreError,
    feed::Publisher,
    plan::{Verdict, plan},
};

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    epoch: Epoch,
    records: Mutex<BTreeMap<String, Record>>,
    publisher: Publisher,
}

impl MemoryStore {
    /// An empty store with a random epoch.
    pub fn new() -> Self {
        Self::with_epoch(Epoch::random())
    }

    /// An empty store with a given epoch, for runs that must repeat exactly.
    pub fn with_epoch(epoch: Epoch) -> Self {
        Self {
            epoch,
            records: Mutex::default(),
            publisher: Publisher::new(Revision(0)),
        }
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self) -> Result<Loaded, StoreError> {
        let records = self.records();
        Ok(Loaded {
            records: records.values().cloned().collect(),
            revision: self.publisher.revision(),
        })
    }

    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        let mut records = self.records();
        let stored = |key: &str| Ok::<_, Infallible>(records.get(key).map(|r| r.revision));
        let Ok(mut plan) = plan(&[commit], self.publisher.revision(), stored);
        for (key, write) in plan.writes {
            match write {
                Some(record) => records.insert(key, record),
                None => records.remove(&key),
            };
        }
        let verdict = plan.verdicts.remove(0);
        if let Verdict::Committed(change) = &verdict {
            self.publisher.publish(Arc::clone(change));
        }
        verdict.into_answer()
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.publisher.revision())
    }

    fn changes(&self) -> ChangeFeed {
        self.publisher.subscribe()
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryStore;
    use crate::contract::Fixture;

    async fn make() -> Fixture {
        Fixture::new(MemoryStore::new(), ())
    }

    crate::store_contract!(make);
}
