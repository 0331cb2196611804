//! The schema of the records, and the steps from one to the next.
//!
//! A store carries the number of the schema it was written with. At opening, an older store is
//! brought up to date in one commit by the steps of [`Schema::steps`], a newer one is refused. The
//! steps see records only, so they are the same for every adapter. Each released schema has a
//! fixture under `tests/fixtures` that every later build must open.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use signet_model::Revision;

use crate::{Commit, Loaded, Record, StoreError};

/// The schema this program writes.
pub(crate) const CURRENT: Schema = Schema {
    version: 1,
    steps: &[],
};

/// One step: from the records of its schema to what must change for the next.
pub(crate) type Step = fn(&[Record]) -> Result<Rewrite, MigrateError>;

/// A schema and the way to it.
#[derive(Clone, Copy)]
pub(crate) struct Schema {
    /// The number stored with the records.
    pub(crate) version: u32,
    /// `(n, step)`: the step from schema `n` to schema `n + 1`.
    pub(crate) steps: &'static [(u32, Step)],
}

/// What a step changes.
#[derive(Debug, Default)]
pub(crate) struct Rewrite {
    pub(crate) puts: Vec<(String, Bytes)>,
    pub(crate) deletes: Vec<String>,
}

/// Why a store could not be brought to the schema of this program.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The program has no way on from a schema.
    #[error("there is no step from schema {from}")]
    NoStep {
        /// The schema without a step.
        from: u32,
    },
    /// A record is not what its schema says.
    #[error("the record {key:?} cannot be read: {detail}")]
    Record {
        /// The key of the record.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl Schema {
    /// What brings a store from schema `found` to this one: nothing, or one commit.
    pub(crate) fn bring(
        &self,
        found: u32,
        path: &Path,
        load: impl FnOnce() -> Result<Loaded, StoreError>,
    ) -> Result<Option<Commit>, StoreError> {
        if found == self.version {
            return Ok(None);
        }
        let (path, known) = (path.to_owned(), self.version);
        if found > known {
            return Err(StoreError::SchemaTooNew { path, found, known });
        }
        let failed = |source| StoreError::Migration {
            path,
            found,
            known,
            source,
        };
        self.walk(found, load()?.records).map(Some).map_err(failed)
    }

    fn walk(&self, found: u32, records: Vec<Record>) -> Result<Commit, MigrateError> {
        let mut now: BTreeMap<String, Record> =
            records.into_iter().map(|r| (r.key.clone(), r)).collect();
        let mut changed: BTreeMap<String, Option<Bytes>> = BTreeMap::new();
        for from in found..self.version {
            let records: Vec<Record> = now.values().cloned().collect();
            let rewrite = self.step(from)?(&records)?;
            for (key, value) in rewrite.puts {
                let revision = Revision(0);
                now.insert(
                    key.clone(),
                    Record {
                        key: key.clone(),
                        value: value.clone(),
                        revision,
                    },
                );
                changed.insert(key, Some(value));
            }
            for key in rewrite.deletes {
                now.remove(&key);
                changed.insert(key, None);
            }
        }
        Ok(changed
            .into_iter()
            .fold(Commit::new(), |commit, (key, value)| match value {
                Some(value) => commit.put(key, value),
                None => commit.delete(key),
            }))
    }

    fn step(&self, from: u32) -> Result<Step, MigrateError> {
        let found = self.steps.iter().find(|(number, _)| *number == from);
        found
            .map(|(_, step)| *step)
            .ok_or(MigrateError::NoStep { from })
    }
}
