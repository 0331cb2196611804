//! Where the server keeps its records: one port, and the adapters behind it.
//!
//! [`Store`] is the port: conditional commits, dense revisions, a feed of changes. [`redb`] is the
//! default adapter, [`memory`] the one for tests, `sled` (feature `sled`) the alternative. Every
//! adapter runs the same contract suite. [`records`] says what is in the records.

mod committer;
mod error;
mod feed;
mod migrate;
mod plan;
mod port;

#[cfg(any(test, feature = "testing"))]
pub mod contract;
pub mod memory;
pub mod records;
pub mod redb;
#[cfg(feature = "sled")]
pub mod sled;

pub use self::redb::RedbStore;
#[cfg(feature = "sled")]
pub use self::sled::SledStore;
pub use error::StoreError;
pub use feed::{CAPACITY, ChangeFeed, Committed, FeedError};
pub use memory::MemoryStore;
pub use migrate::MigrateError;
pub use port::{
    Commit, Epoch, Loaded, MAX_KEY, MAX_OPERATIONS, MAX_VALUE, Precondition, Record, Store,
};
