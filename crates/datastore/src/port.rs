//! The store port: what the server asks of any place that keeps its records.
//!
//! A store is a map from key to bytes with three properties. A commit is atomic and conditional;
//! it is answered only when it would survive a power cut; and each commit that changes something
//! gets the next **revision**, without gaps, from the store itself. It knows nothing of entries or
//! agents: rules live above it, encoding in [`crate::records`].

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use signet_model::Revision;
use uuid::Uuid;

use crate::{ChangeFeed, StoreError};

/// Longest key in bytes: a prefix and the longest SPIFFE ID (2048 bytes), with room to spare.
pub const MAX_KEY: usize = 4096;

/// Longest value in bytes. A record comes from one gRPC message (4 MiB at most) or one fetched
/// bundle; four times that leaves room and still bounds what one commit holds in memory.
pub const MAX_VALUE: usize = 16 * 1024 * 1024;

/// Most preconditions, puts and deletes of one commit together. Evicting an agent with all that
/// hangs on it is the largest commit; more than this is a mistake, and would hold up all others.
pub const MAX_OPERATIONS: usize = 65_536;

/// A place that keeps records.
///
/// To follow a store without missing anything: take [`Store::changes`] first, then
/// [`Store::load`], then skip the changes whose revision is not above the loaded one.
#[async_trait]
pub trait Store: Send + Sync {
    /// All records and the revision they stand at, as one consistent picture.
    async fn load(&self) -> Result<Loaded, StoreError>;

    /// Applies all of `commit` or nothing, and answers with its revision once it is durable.
    ///
    /// A commit without puts and deletes only checks its preconditions: it makes no revision and
    /// answers with the latest one. A caller that stops waiting does not undo the commit.
    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError>;

    /// The revision of the latest durable commit. Changes up to it are already in every feed.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// The commits from now on, in order.
    fn changes(&self) -> ChangeFeed;

    /// Which life of the store this is.
    fn epoch(&self) -> Epoch;
}

/// One stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `v1/<kind>/<id>`, or `unique/<hash>`.
    pub key: String,
    /// The encoded record; see [`crate::records`].
    pub value: Bytes,
    /// The commit that wrote this value.
    pub revision: Revision,
}

/// All a store holds at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// In the order of their keys.
    pub records: Vec<Record>,
    /// The latest commit that is in `records`.
    pub revision: Revision,
}

/// What must hold at the moment of a commit, or it is refused with [`StoreError::Conflict`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// No record has this key.
    Absent(String),
    /// The record with this key was last written by this revision.
    Unchanged(String, Revision),
    /// Some record has this key.
    Present(String),
}

impl Precondition {
    /// The key it speaks of.
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::Unchanged(key, _) | Self::Present(key) => key,
        }
    }

    /// Whether it holds for a record written by `found`, or for none.
    pub fn holds(&self, found: Option<Revision>) -> bool {
        match self {
            Self::Absent(_) => found.is_none(),
            Self::Unchanged(_, revision) => found == Some(*revision),
            Self::Present(_) => found.is_some(),
        }
    }
}

/// A conditional, atomic change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// All must hold.
    pub preconditions: Vec<Precondition>,
    /// Key and value of the records to write, new or not.
    pub puts: Vec<(String, Bytes)>,
    /// Keys to remove. Removing what is not there is no error.
    pub deletes: Vec<String>,
}

impl Commit {
    /// A commit that asks and changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Demands that no record has `key`.
    #[must_use]
    pub fn absent(mut self, key: impl Into<String>) -> Self {
        self.preconditions.push(Precondition::Absent(key.into()));
        self
    }

    /// Demands that the record with `key` is still the one that `revision` wrote.
    #[must_use]
    pub fn unchanged(mut self, key: impl Into<String>, revision: Revision) -> Self {
        self.preconditions
            .push(Precondition::Unchanged(key.into(), revision));
        self
    }

    /// Demands that some record has `key`.
    #[must_use]
    pub fn present(mut self, key: impl Into<String>) -> Self {
        self.preconditions.push(Precondition::Present(key.into()));
        self
    }

    /// Writes a record.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.puts.push((key.into(), value.into()));
        self
    }

    /// Removes a record.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.deletes.push(key.into());
        self
    }

    /// Whether it changes nothing.
    pub fn only_checks(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }

    /// The bytes it would write, to bound how much is grouped into one transaction.
    pub(crate) fn size(&self) -> usize {
        self.puts.iter().map(|(k, v)| k.len() + v.len()).sum()
    }
}

/// One life of a store: made at random when a store is created, and anew when one is restored
/// from a backup, so that revisions of two lives are never compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch([u8; 16]);

impl Epoch {
    /// A new random epoch.
    pub fn random() -> Self {
        Self(Uuid::new_v4().into_bytes())
    }

    /// The epoch with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as they are stored and sent.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}
