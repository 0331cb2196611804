//! The two tables of the redb store, and the transactions over them.
//!
//! `records`: key → revision (8 bytes, big-endian) and value. `meta`: `schema` (u32), `epoch`
//! (16 bytes), `revision` (u64), big-endian. All that a group changes is one transaction.

use std::{io, path::Path};

use bytes::Bytes;
use redb::{
    Builder, CommitError, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError, TransactionError, WriteTransaction,
};
use signet_model::Revision;

use super::Opened;
use crate::{
    Commit, Epoch, Loaded, Record, StoreError,
    committer::Failure,
    migrate::Schema,
    plan::{self, Plan},
};

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const SCHEMA: &str = "schema";
const EPOCH: &str = "epoch";
const REVISION: &str = "revision";

/// Bytes of redb's page cache: the store is read once, at start, so it holds the upper pages of
/// the tree and what one transaction touches.
const CACHE: usize = 4 * 1024 * 1024;

/// The settings every medium opens the database with.
pub(super) fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// What a failed opening means.
pub(super) fn opening(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::HeldElsewhere { path }
        }
        DatabaseError::Storage(StorageError::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
            let detail = e.to_string();
            StoreError::NotAStore { path, detail }
        }
        DatabaseError::Storage(error) => storage("open", &path, error),
        error => {
            let detail = error.to_string();
            StoreError::NotAStore { path, detail }
        }
    }
}

impl Opened<'_> {
    fn database(&self) -> Result<&Database, StoreError> {
        self.guard.as_ref().ok_or(StoreError::Closed)
    }

    /// Makes a new database ready, migrates an older one, refuses a newer one. Answers with the
    /// epoch and the revision.
    pub(super) fn prepare(&self, schema: &Schema) -> Result<(Epoch, Revision), StoreError> {
        match self.number(SCHEMA, u32::from_be_bytes)? {
            None => self.initialize(schema)?,
            Some(found) => self.migrate(schema, found)?,
        }
        let epoch = self.number(EPOCH, Epoch::from_bytes)?;
        Ok((epoch.ok_or_else(|| self.lacks(EPOCH))?, self.revision()?))
    }

    fn initialize(&self, schema: &Schema) -> Result<(), StoreError> {
        if self.has_tables()? {
            let detail = "a redb database without a schema record".to_owned();
            let path = self.path.to_owned();
            return Err(StoreError::NotAStore { path, detail });
        }
        let transaction = self.begin()?;
        let write = |transaction: &WriteTransaction| -> Result<(), Fault> {
            transaction.open_table(RECORDS)?;
            let mut meta = transaction.open_table(META)?;
            meta.insert(EPOCH, Epoch::random().as_bytes().as_slice())?;
            meta.insert(REVISION, 0_u64.to_be_bytes().as_slice())?;
            meta.insert(SCHEMA, schema.version.to_be_bytes().as_slice())?;
            Ok(())
        };
        write(&transaction).map_err(|e| self.failed("create its tables", e))?;
        transaction
            .commit()
            .map_err(|e| self.failed("create its tables", e))
    }

    fn has_tables(&self) -> Result<bool, StoreError> {
        let look = || -> Result<bool, Fault> {
            let transaction = self.database()?.begin_read()?;
            Ok(transaction.list_tables()?.next().is_some())
        };
        look().map_err(|e| self.failed("list its tables", e))
    }

    fn migrate(&self, schema: &Schema, found: u32) -> Result<(), StoreError> {
        let Some(commit) = schema.bring(found, self.path, || self.load())? else {
            return Ok(());
        };
        let plan = plan::trusted(&commit, self.revision()?);
        let transaction = self.begin()?;
        let write = |transaction: &WriteTransaction| -> Result<(), Fault> {
            carry_out(transaction, &plan)?;
            let mut meta = transaction.open_table(META)?;
            meta.insert(SCHEMA, schema.version.to_be_bytes().as_slice())?;
            Ok(())
        };
        write(&transaction).map_err(|e| self.failed("migrate", e))?;
        transaction.commit().map_err(|e| self.failed("migrate", e))
    }

    /// The revision the database stands at.
    pub(super) fn revision(&self) -> Result<Revision, StoreError> {
        let stored = self.number(REVISION, u64::from_be_bytes)?;
        stored.map(Revision).ok_or_else(|| self.lacks(REVISION))
    }

    /// All records, in one read transaction.
    pub(super) fn load(&self) -> Result<Loaded, StoreError> {
        self.scan().map_err(|e| self.failed("load", e))
    }

    fn scan(&self) -> Result<Loaded, Fault> {
        let transaction = self.database()?.begin_read()?;
        let mut records = Vec::new();
        for row in transaction.open_table(RECORDS)?.iter()? {
            let (key, value) = row?;
            records.push(self.record(key.value(), value.value())?);
        }
        let meta = transaction.open_table(META)?;
        let revision = meta.get(REVISION)?.ok_or_else(|| self.lacks(REVISION))?;
        let revision = written_by(revision.value()).ok_or_else(|| self.lacks(REVISION))?;
        Ok(Loaded { records, revision })
    }

    fn record(&self, key: &str, row: &[u8]) -> Result<Record, StoreError> {
        let Some((revision, value)) = row.split_first_chunk::<8>() else {
            return Err(self.damaged(format!("the record {key:?} is cut short")));
        };
        Ok(Record {
            key: key.to_owned(),
            value: Bytes::copy_from_slice(value),
            revision: Revision(u64::from_be_bytes(*revision)),
        })
    }

    /// Judges and writes a group in one transaction, and returns when it is durable.
    pub(super) fn commit(&self, group: &[Commit]) -> Result<Plan, Failure> {
        let start = self.revision()?;
        let transaction = self.begin()?;
        let judge = || -> Result<Plan, Fault> {
            let records = transaction.open_table(RECORDS)?;
            plan::plan(group, start, |key| {
                let stored = records.get(key)?;
                Ok(stored.and_then(|value| written_by(value.value())))
            })
        };
        let plan = judge().map_err(|e| self.failed("read before a commit", e))?;
        if plan.writes.is_empty() && plan.revision == start {
            return Ok(plan);
        }
        let written =
            carry_out(&transaction, &plan).and_then(|()| transaction.commit().map_err(Fault::from));
        match written {
            Ok(()) => Ok(plan),
            Err(fault) => Err(Failure {
                error: self.failed("write a commit", fault),
                plan: Some(Box::new(plan)),
            }),
        }
    }

    /// Writes the revision once more, so that it and all before it are synced.
    pub(super) fn confirm(&self) -> Result<(), StoreError> {
        let revision = self.revision()?;
        let transaction = self.begin()?;
        let write = |transaction: &WriteTransaction| -> Result<(), Fault> {
            let mut meta = transaction.open_table(META)?;
            meta.insert(REVISION, revision.0.to_be_bytes().as_slice())?;
            Ok(())
        };
        write(&transaction).map_err(|e| self.failed("confirm a commit", e))?;
        transaction
            .commit()
            .map_err(|e| self.failed("confirm a commit", e))
    }

    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        let begun = self.database()?.begin_write();
        let mut transaction = begun.map_err(|e| self.failed("begin a commit", e))?;
        transaction.set_quick_repair(true);
        Ok(transaction)
    }

    /// The value of a key of `meta`, which has a fixed length.
    fn number<const N: usize, T>(
        &self,
        key: &str,
        decode: fn([u8; N]) -> T,
    ) -> Result<Option<T>, StoreError> {
        let read = || -> Result<Option<Vec<u8>>, Fault> {
            let transaction = self.database()?.begin_read()?;
            let meta = match transaction.open_table(META) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                table => table?,
            };
            Ok(meta.get(key)?.map(|value| value.value().to_vec()))
        };
        let Some(bytes) = read().map_err(|e| self.failed("read", e))? else {
            return Ok(None);
        };
        let bytes = bytes.try_into();
        let wrong = |_| self.damaged(format!("the {key} record has a wrong length"));
        bytes.map(decode).map(Some).map_err(wrong)
    }

    fn failed(&self, step: &'static str, fault: impl Into<Fault>) -> StoreError {
        match fault.into() {
            Fault::Storage(error) => storage(step, self.path, error),
            Fault::Store(error) => error,
            Fault::Other(detail) => self.damaged(detail),
        }
    }

    fn lacks(&self, key: &str) -> StoreError {
        self.damaged(format!("it has no {key} record"))
    }

    fn damaged(&self, detail: String) -> StoreError {
        let path = self.path.to_owned();
        StoreError::Damaged { path, detail }
    }
}

/// Writes what a plan says, with the revision it ends at.
fn carry_out(transaction: &WriteTransaction, plan: &Plan) -> Result<(), Fault> {
    let mut records = transaction.open_table(RECORDS)?;
    let mut row = Vec::new();
    for (key, write) in &plan.writes {
        match write {
            None => drop(records.remove(key.as_str())?),
            Some(record) => {
                row.clear();
                row.extend_from_slice(&record.revision.0.to_be_bytes());
                row.extend_from_slice(&record.value);
                records.insert(key.as_str(), row.as_slice())?;
            }
        }
    }
    let mut meta = transaction.open_table(META)?;
    meta.insert(REVISION, plan.revision.0.to_be_bytes().as_slice())?;
    Ok(())
}

fn written_by(row: &[u8]) -> Option<Revision> {
    let revision = row.first_chunk::<8>()?;
    Some(Revision(u64::from_be_bytes(*revision)))
}

/// redb's errors, as far as they differ for us.
enum Fault {
    Storage(StorageError),
    Store(StoreError),
    Other(String),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<TableError> for Fault {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => Self::Storage(error),
            error => Self::Other(error.to_string()),
        }
    }
}

impl From<TransactionError> for Fault {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => Self::Storage(error),
            error => Self::Other(error.to_string()),
        }
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            error => Self::Other(error.to_string()),
        }
    }
}

/// Sorts redb's storage errors: those that opening anew may cure are transient.
fn storage(step: &'static str, path: &Path, error: StorageError) -> StoreError {
    let path = path.to_owned();
    match error {
        StorageError::Io(error) => StoreError::from_io(step, path, error),
        StorageError::PreviousIo | StorageError::DatabaseClosed => {
            StoreError::from_io(step, path, io::Error::other(error.to_string()))
        }
        error => {
            let detail = error.to_string();
            StoreError::Damaged { path, detail }
        }
    }
}
