//! What a writer must remember of each record beside its content: the revision that wrote it, for
//! preconditions, and the fields it does not know, for rewriting.

use std::collections::BTreeMap;

use bytes::Bytes;
use signet_model::Revision;
use signet_spiffe::TrustDomain;

use super::{Fact, RecordError, Stored, Unknown, encode};
use crate::{Commit, Committed, Record};

/// Revision and unknown fields by key. Fed with everything loaded and committed.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    records: BTreeMap<String, Held>,
}

#[derive(Clone, Debug)]
struct Held {
    revision: Revision,
    unknown: Unknown,
}

impl Ledger {
    /// Takes a loaded record and answers with what it says.
    pub fn take(&mut self, record: &Record, td: &TrustDomain) -> Result<Fact, RecordError> {
        let (fact, unknown) = Fact::read_unknown(record, td)?;
        let revision = record.revision;
        let held = Held { revision, unknown };
        self.records.insert(record.key.clone(), held);
        Ok(fact)
    }

    /// Takes a commit and answers with the facts it puts; those it deletes are forgotten.
    pub fn apply(
        &mut self,
        change: &Committed,
        td: &TrustDomain,
    ) -> Result<Vec<Fact>, RecordError> {
        for key in &change.deletes {
            self.records.remove(key);
        }
        change
            .puts
            .iter()
            .map(|record| self.take(record, td))
            .collect()
    }

    /// The revision that wrote the record with this key.
    pub fn revision(&self, key: &str) -> Option<Revision> {
        self.records.get(key).map(|held| held.revision)
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds `value` to a commit as a new record.
    #[must_use]
    pub fn create<T: Stored>(&self, commit: Commit, value: &T) -> Commit {
        let key = value.key();
        let bytes = encode(value, &Unknown::default());
        commit.absent(key.clone()).put(key, bytes)
    }

    /// Adds `value` to a commit in place of the record this ledger knows under its key, or as a new
    /// one if it knows none. Keeps the unknown fields of the old one.
    #[must_use]
    pub fn replace<T: Stored>(&self, commit: Commit, value: &T) -> Commit {
        let key = value.key();
        match self.records.get(&key) {
            None => self.create(commit, value),
            Some(held) => {
                let bytes: Bytes = encode(value, &held.unknown);
                commit.unchanged(key.clone(), held.revision).put(key, bytes)
            }
        }
    }

    /// Removes the record with `key` in a commit, provided it still is the one this ledger knows.
    /// If it knows none, the commit demands that there is none.
    #[must_use]
    pub fn delete(&self, commit: Commit, key: &str) -> Commit {
        match self.revision(key) {
            None => commit.absent(key),
            Some(revision) => commit.unchanged(key, revision).delete(key),
        }
    }
}
