//! Why a store refused.
//!
//! Sorted by who must act: [`StoreError::is_conflict`] is for the caller to decide again,
//! [`StoreError::is_transient`] may pass by itself, all else is for the operator. Cloneable,
//! because one failed disk write answers every commit that was grouped into it.

use std::{io, path::PathBuf, sync::Arc};

use signet_model::Revision;

use crate::migrate::MigrateError;

/// Why a store refused to open, load or commit.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A precondition of the commit does not hold; nothing was written.
    #[error("the record {key:?} is not as the commit expects")]
    Conflict {
        /// The key of the first precondition that failed.
        key: String,
        /// The revision of the record that is there, if one is.
        found: Option<Revision>,
    },
    /// The commit itself is not acceptable; nothing was written.
    #[error("the commit is not acceptable: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// No room for the write. The write was refused; the store accepts writes again by itself as
    /// soon as there is room.
    #[error("the store {} cannot grow: the disk, the quota or the file size limit is used up; make room, then try again", path.display())]
    Full {
        /// The file of the store.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The disk failed. A write that failed so was not acknowledged; if the disk stayed away, it
    /// may still show up later, and then every feed says so by asking for a reload.
    #[error("the store {} failed to {step}", path.display())]
    Io {
        /// What the store was doing.
        step: &'static str,
        /// The file of the store.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Somebody else has the store open.
    #[error("another signet-server (or another process) holds the store {}; stop it first, or give this server its own data directory", path.display())]
    HeldElsewhere {
        /// The file of the store.
        path: PathBuf,
    },
    /// What is there is no store of ours.
    #[error("{} is not a store of signet ({detail}); check the data directory", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        detail: String,
    },
    /// The store is damaged.
    #[error("the store {} is damaged ({detail}); restore it from a backup", path.display())]
    Damaged {
        /// The file of the store.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A newer program wrote the store.
    #[error("the store {} has schema {found}, but this program knows schemas up to {known}; run the version of signet-server that wrote it or a newer one, or restore a backup made before the upgrade", path.display())]
    SchemaTooNew {
        /// The file of the store.
        path: PathBuf,
        /// The schema it has.
        found: u32,
        /// The newest schema this program knows.
        known: u32,
    },
    /// An older store could not be brought up to date; it was left as it was.
    #[error("the store {} has schema {found} and could not be brought to schema {known}; it is unchanged, so the version of signet-server that wrote it still opens it", path.display())]
    Migration {
        /// The file of the store.
        path: PathBuf,
        /// The schema it has.
        found: u32,
        /// The schema it should get.
        known: u32,
        /// The step that failed.
        #[source]
        source: MigrateError,
    },
    /// The store has been closed, or its committing thread ended.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether a precondition failed, so that the caller must look again and decide anew.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether the same commit may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Io { .. })
    }

    /// Sorts a system error into "no room" and "failed".
    pub(crate) fn from_io(step: &'static str, path: PathBuf, error: io::Error) -> Self {
        let source = Arc::new(error);
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { path, source },
            _ => Self::Io { step, path, source },
        }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid {
            reason: reason.into(),
        }
    }
}
