//! A second embedded store, by sled 0.34 (feature `sled`, off by default). **Not power-safe.**
//!
//! Use it only where losing acknowledged records is acceptable. What was found with sled 0.34.7 in
//! long tests under churn, against redb in the same tests:
//!
//! - Its own `flush()` asks the kernel to write (`sync_file_range`), but not the disk to keep: in
//!   simulated power cuts on ext4, 8 of 8 lost every acknowledged record since the last journal
//!   commit. So this adapter calls `fdatasync` on the file after each flush, and `fsync` on what
//!   sled stores as separate files.
//! - Even with an own `fdatasync`, 8 of 559 simulated power cuts with small values lost
//!   acknowledged records or left a store that does not open, and 100 of 150 with large values.
//!   redb failed in none of 1,206.
//! - A crash (`kill -9` is enough) while sled writes its snapshot at opening leaves a file that
//!   makes every later opening fail. The adapter removes such a leftover before it opens.
//! - The file grows and does not shrink: 36 times the live data under skewed updates, against 1.8.
//!   Pages are never relocated without sled's own periodic flush, which must be off, because it
//!   would make records visible that no commit has acknowledged.
//! - A reader takes no consistent picture by itself; here commits wait while the store is loaded.
//!
//! The contract is the same as redb's, and so is the suite.

mod disk;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use bytes::Bytes;
use signet_model::Revision;
use sled::{Batch, Db, IVec};

use crate::{
    ChangeFeed, Commit, Epoch, Loaded, Record, Store, StoreError,
    committer::{Committer, Engine, Failure},
    feed::Publisher,
    migrate::{CURRENT, Schema},
    plan::{self, Plan},
};

/// Before the keys of records in sled's only tree; their values are as in the redb store.
const RECORD: u8 = b'r';
const SCHEMA: &[u8] = b"mschema";
const EPOCH: &[u8] = b"mepoch";
const REVISION: &[u8] = b"mrevision";

/// Bytes of sled's cache; see the redb store for why it is small.
const CACHE: u64 = 4 * 1024 * 1024;

/// A store in one sled folder. See the module for what it cannot promise.
#[derive(Debug)]
pub struct SledStore {
    shared: Arc<Shared>,
    committer: Committer,
    publisher: Publisher,
    epoch: Epoch,
}

impl SledStore {
    /// Opens the store in the folder `path`, or creates it, and warns that it is not power-safe.
    /// Blocks on the disk: call it before serving. Dropping the store waits for the commit under
    /// way.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        tracing::warn!(
            path = %path.display(),
            "the sled store may lose acknowledged records in a power cut; redb, the default, does not"
        );
        Self::open_schema(path, CURRENT)
    }

    fn open_schema(path: PathBuf, schema: Schema) -> Result<Self, StoreError> {
        let database = RwLock::new(Some(open(&path)?));
        let shared = Arc::new(Shared { path, database });
        let (epoch, revision) = shared.with(|open| open.prepare(&schema))?;
        let publisher = Publisher::new(revision);
        let engine = SledEngine(Arc::clone(&shared));
        let committer = Committer::start(engine, publisher.clone())
            .map_err(|e| StoreError::from_io("start its thread", shared.path.clone(), e))?;
        Ok(Self {
            shared,
            committer,
            publisher,
            epoch,
        })
    }
}

#[async_trait]
impl Store for SledStore {
    async fn load(&self) -> Result<Loaded, StoreError> {
        let shared = Arc::clone(&self.shared);
        let load = tokio::task::spawn_blocking(move || shared.with(|open| open.load()));
        load.await.map_err(|_| StoreError::Closed)?
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

fn open(path: &Path) -> Result<Db, StoreError> {
    disk::prepare(path).map_err(|e| StoreError::from_io("open", path.to_owned(), e))?;
    let config = sled::Config::new().path(path).cache_capacity(CACHE);
    let opened = config.flush_every_ms(None).open();
    let database = opened.map_err(|e| failed("open", path, e))?;
    disk::sync(path).map_err(|e| StoreError::from_io("open", path.to_owned(), e))?;
    Ok(database)
}

/// The database while it is open. A load holds the lock to read, a commit to write.
#[derive(Debug)]
struct Shared {
    path: PathBuf,
    database: RwLock<Option<Db>>,
}

impl Shared {
    fn with<T>(
        &self,
        look: impl FnOnce(Opened<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = guard.as_ref().ok_or_else(|| gone(&self.path))?;
        look(Opened {
            database,
            path: &self.path,
        })
    }
}

/// The answer while a failed store could not be opened anew.
fn gone(path: &Path) -> StoreError {
    let error = std::io::Error::other("it could not be opened after a failure");
    StoreError::from_io("answer", path.to_owned(), error)
}

#[derive(Clone, Copy)]
struct Opened<'a> {
    database: &'a Db,
    path: &'a Path,
}

impl Opened<'_> {
    fn prepare(self, schema: &Schema) -> Result<(Epoch, Revision), StoreError> {
        match self.number(SCHEMA, u32::from_be_bytes)? {
            None => self.initialize(schema)?,
            Some(found) => self.migrate(schema, found)?,
        }
        let epoch = self.number(EPOCH, Epoch::from_bytes)?;
        Ok((
            epoch.ok_or_else(|| self.damaged("it has no epoch"))?,
            self.revision()?,
        ))
    }

    fn initialize(self, schema: &Schema) -> Result<(), StoreError> {
        if !self.database.is_empty() {
            return Err(StoreError::NotAStore {
                path: self.path.to_owned(),
                detail: "a sled database without a schema record".to_owned(),
            });
        }
        let mut batch = Batch::default();
        batch.insert(EPOCH, Epoch::random().as_bytes());
        batch.insert(REVISION, &0_u64.to_be_bytes());
        batch.insert(SCHEMA, &schema.version.to_be_bytes());
        self.write(batch)
    }

    fn migrate(self, schema: &Schema, found: u32) -> Result<(), StoreError> {
        let Some(commit) = schema.bring(found, self.path, || self.load())? else {
            return Ok(());
        };
        let mut batch = batch(&plan::trusted(&commit, self.revision()?));
        batch.insert(SCHEMA, &schema.version.to_be_bytes());
        self.write(batch)
    }

    fn commit(self, group: &[Commit]) -> Result<Plan, Failure> {
        let start = self.revision()?;
        let plan = plan::plan(group, start, |key| self.written_by(key))?;
        if plan.revision == start {
            return Ok(plan);
        }
        match self.write(batch(&plan)) {
            Ok(()) => Ok(plan),
            Err(error) => Err(Failure {
                error,
                plan: Some(Box::new(plan)),
            }),
        }
    }

    /// Applies a batch, which sled does atomically, and makes it durable as well as it can be.
    fn write(self, batch: Batch) -> Result<(), StoreError> {
        let applied = self.database.apply_batch(batch);
        applied.map_err(|e| self.failed("write a commit", e))?;
        self.sync()
    }

    fn sync(self) -> Result<(), StoreError> {
        let flushed = self.database.flush();
        flushed.map_err(|e| self.failed("flush a commit", e))?;
        let synced = disk::sync(self.path);
        synced.map_err(|e| StoreError::from_io("sync a commit", self.path.to_owned(), e))
    }

    fn load(self) -> Result<Loaded, StoreError> {
        let rows = self.database.scan_prefix([RECORD]).map(|row| {
            let (key, row) = row.map_err(|e| self.failed("load", e))?;
            self.record(&key[1..], &row)
        });
        Ok(Loaded {
            records: rows.collect::<Result<_, _>>()?,
            revision: self.revision()?,
        })
    }

    fn record(self, key: &[u8], row: &[u8]) -> Result<Record, StoreError> {
        let key = std::str::from_utf8(key).map_err(|_| self.damaged("a key is no text"))?;
        let (revision, value) = split(row).ok_or_else(|| self.damaged("a record is cut short"))?;
        Ok(Record {
            key: key.to_owned(),
            value: Bytes::copy_from_slice(value),
            revision,
        })
    }

    fn written_by(self, key: &str) -> Result<Option<Revision>, StoreError> {
        let row = self.get(&prefixed(key))?;
        Ok(row.and_then(|row| split(&row).map(|(revision, _)| revision)))
    }

    fn revision(self) -> Result<Revision, StoreError> {
        let stored = self.number(REVISION, u64::from_be_bytes)?;
        stored
            .map(Revision)
            .ok_or_else(|| self.damaged("it has no revision"))
    }

    fn number<const N: usize, T>(
        self,
        key: &[u8],
        decode: fn([u8; N]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let Some(stored) = self.get(key)? else {
            return Ok(None);
        };
        let bytes = (*stored).try_into();
        let wrong = |_| self.damaged("a number has a wrong length");
        bytes.map(decode).map(Some).map_err(wrong)
    }

    fn get(self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.database.get(key).map_err(|e| self.failed("read", e))
    }

    fn failed(self, step: &'static str, error: sled::Error) -> StoreError {
        failed(step, self.path, error)
    }

    fn damaged(self, detail: &str) -> StoreError {
        StoreError::Damaged {
            path: self.path.to_owned(),
            detail: detail.to_owned(),
        }
    }
}

fn batch(plan: &Plan) -> Batch {
    let mut batch = Batch::default();
    for (key, write) in &plan.writes {
        match write {
            None => batch.remove(prefixed(key)),
            Some(record) => {
                let row = [&record.revision.0.to_be_bytes(), &*record.value].concat();
                batch.insert(prefixed(key), row);
            }
        }
    }
    batch.insert(REVISION, &plan.revision.0.to_be_bytes());
    batch
}

fn prefixed(key: &str) -> Vec<u8> {
    [&[RECORD], key.as_bytes()].concat()
}

fn split(row: &[u8]) -> Option<(Revision, &[u8])> {
    let (revision, value) = row.split_first_chunk::<8>()?;
    Some((Revision(u64::from_be_bytes(*revision)), value))
}

fn failed(step: &'static str, path: &Path, error: sled::Error) -> StoreError {
    let path = path.to_owned();
    match error {
        // sled tells a held lock only in the text of an error of kind "other".
        sled::Error::Io(e) if e.to_string().starts_with("could not acquire lock") => {
            StoreError::HeldElsewhere { path }
        }
        sled::Error::Io(e) => StoreError::from_io(step, path, e),
        error => StoreError::Damaged {
            path,
            detail: error.to_string(),
        },
    }
}

struct SledEngine(Arc<Shared>);

impl SledEngine {
    /// Runs with the lock held to write, so that nobody loads what is not durable yet.
    fn alone<T, E: From<StoreError>>(
        &self,
        act: impl FnOnce(Opened<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let shared = &self.0;
        let guard = shared.database.write();
        let guard = guard.unwrap_or_else(PoisonError::into_inner);
        let database = guard.as_ref().ok_or_else(|| gone(&shared.path))?;
        act(Opened {
            database,
            path: &shared.path,
        })
    }
}

impl Engine for SledEngine {
    fn commit(&mut self, group: &[Commit]) -> Result<Plan, Failure> {
        self.alone(|open| open.commit(group))
    }

    fn recover(&mut self) -> Result<Revision, StoreError> {
        {
            let slot = self.0.database.write();
            let mut slot = slot.unwrap_or_else(PoisonError::into_inner);
            *slot = None;
            *slot = Some(open(&self.0.path)?);
        }
        self.alone(|open| open.revision())
    }

    fn confirm(&mut self) -> Result<(), StoreError> {
        self.alone(|open| open.sync())
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        let slot = self.0.database.write();
        *slot.unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests;
