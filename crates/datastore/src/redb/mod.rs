//! The default store: one file, by redb.
//!
//! Every commit has redb's full durability: it is answered after the sync of the file. Commits
//! that wait at the same time share a transaction (`committer`). `quick_repair` is on, so that a
//! store opens in milliseconds after a crash, at the price of a second sync per transaction. The
//! cache is small, because the store is read once, at start; after that it is written only.
//!
//! A disk error poisons a redb database. The adapter then opens it anew by itself, so that a full
//! disk costs the writes that met it and nothing else.

mod database;
mod medium;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use async_trait::async_trait;
use redb::Database;
use signet_model::Revision;

pub use self::medium::{FileMedium, Medium};
use crate::{
    ChangeFeed, Commit, Epoch, Loaded, Store, StoreError,
    committer::{Committer, Engine, Failure},
    feed::Publisher,
    migrate::{CURRENT, Schema},
    plan::Plan,
};

/// A store in one redb file.
#[derive(Debug)]
pub struct RedbStore {
    shared: Arc<Shared>,
    committer: Committer,
    publisher: Publisher,
    epoch: Epoch,
}

impl RedbStore {
    /// Opens the store at `path`, or creates it. Blocks on the disk: call it before serving.
    ///
    /// The folder must exist. The file is readable by its owner only, as selectors and attestation
    /// facts are in it. Dropping the store waits for the commit under way.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_on(FileMedium::new(path))
    }

    /// Opens the store on a medium of the caller's, such as a disk that fails on purpose.
    pub fn open_on(medium: impl Medium) -> Result<Self, StoreError> {
        Self::open_schema(medium, CURRENT)
    }

    fn open_schema(medium: impl Medium, schema: Schema) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(medium));
        let (epoch, revision) = shared.open()?.prepare(&schema)?;
        let publisher = Publisher::new(revision);
        let engine = RedbEngine(Arc::clone(&shared));
        let committer = Committer::start(engine, publisher.clone())
            .map_err(|e| StoreError::from_io("start its thread", shared.path(), e))?;
        Ok(Self {
            shared,
            committer,
            publisher,
            epoch,
        })
    }

    async fn scan(&self) -> Result<Loaded, StoreError> {
        let shared = Arc::clone(&self.shared);
        let scan = tokio::task::spawn_blocking(move || shared.open()?.load());
        scan.await.map_err(|_| StoreError::Closed)?
    }
}

#[async_trait]
impl Store for RedbStore {
    /// After a disk error the database may be closed; an empty commit makes the committing thread
    /// open it anew, which is what the second try is for.
    async fn load(&self) -> Result<Loaded, StoreError> {
        match self.scan().await {
            Err(error) if error.is_transient() => {
                self.committer.commit(Commit::new()).await?;
                self.scan().await
            }
            done => done,
        }
    }

    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        self.committer.commit(commit).await
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

/// The database while it is open, and how to open it again.
struct Shared {
    medium: Box<dyn Medium>,
    database: RwLock<Option<Database>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shared").field(&self.path()).finish()
    }
}

impl Shared {
    fn new(medium: impl Medium) -> Self {
        Self {
            medium: Box::new(medium),
            database: RwLock::new(None),
        }
    }

    fn path(&self) -> PathBuf {
        self.medium.path().to_owned()
    }

    /// The open database; it is opened if it is not.
    fn open(&self) -> Result<Opened<'_>, StoreError> {
        if self.read().is_none() {
            self.fill(&mut self.write())?;
        }
        Ok(Opened {
            guard: self.read(),
            path: self.medium.path(),
        })
    }

    /// Closes what is open, distrusts what is cached, opens again.
    fn reopen(&self) -> Result<Opened<'_>, StoreError> {
        {
            let mut slot = self.write();
            *slot = None;
            self.medium.distrust_cache();
            self.fill(&mut slot)?;
        }
        self.open()
    }

    fn fill(&self, slot: &mut Option<Database>) -> Result<(), StoreError> {
        if slot.is_none() {
            let opened = self.medium.open(&database::builder());
            *slot = Some(opened.map_err(|e| database::opening(self.medium.path(), e))?);
        }
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Database>> {
        self.database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look at the open database; it cannot be closed meanwhile.
struct Opened<'a> {
    guard: RwLockReadGuard<'a, Option<Database>>,
    path: &'a Path,
}

struct RedbEngine(Arc<Shared>);

impl Engine for RedbEngine {
    fn commit(&mut self, group: &[Commit]) -> Result<Plan, Failure> {
        self.0.open()?.commit(group)
    }

    fn recover(&mut self) -> Result<Revision, StoreError> {
        self.0.reopen()?.revision()
    }

    fn confirm(&mut self) -> Result<(), StoreError> {
        self.0.open()?.confirm()
    }
}

impl Drop for RedbEngine {
    /// The thread ends: close the file now, not when the last reader of the store lets go.
    fn drop(&mut self) {
        *self.0.write() = None;
    }
}

#[cfg(test)]
mod tests;
