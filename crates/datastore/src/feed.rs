//! The feed of committed changes.
//!
//! Every reader gets every commit in order, or is told that it did not: a reader that falls behind
//! by more than [`CAPACITY`] commits, or whose store could not tell for a while what the disk
//! holds, gets [`FeedError::Lagged`] and must load anew. Nothing is dropped in silence.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use signet_model::Revision;
use tokio::sync::broadcast;

use crate::Record;

/// Commits a reader may be behind before it has to load anew. It bounds the memory a stuck reader
/// can hold; a reader that only applies changes to an index is never this far behind.
pub const CAPACITY: usize = 4096;

/// One durable commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its revision; all its puts carry it.
    pub revision: Revision,
    /// The records as written.
    pub puts: Vec<Record>,
    /// The keys removed.
    pub deletes: Vec<String>,
}

/// Why a feed has no next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Changes were missed; load the store anew and go on with the same feed, which now has the
    /// commits after this answer.
    #[error("changes of the store were missed; it must be loaded anew")]
    Lagged,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// A reader of committed changes.
#[derive(Debug)]
pub struct ChangeFeed {
    receiver: broadcast::Receiver<Signal>,
}

impl ChangeFeed {
    /// Waits for the next commit. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Arc<Committed>, FeedError> {
        match self.receiver.recv().await {
            Ok(signal) => signal.into_change(),
            Err(broadcast::error::RecvError::Lagged(_)) => Err(self.skip()),
            Err(broadcast::error::RecvError::Closed) => Err(FeedError::Closed),
        }
    }

    /// The next commit if there is one already, to catch up without waiting.
    pub fn try_next(&mut self) -> Option<Result<Arc<Committed>, FeedError>> {
        match self.receiver.try_recv() {
            Ok(signal) => Some(signal.into_change()),
            Err(broadcast::error::TryRecvError::Empty) => None,
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Err(self.skip())),
            Err(broadcast::error::TryRecvError::Closed) => Some(Err(FeedError::Closed)),
        }
    }

    /// Goes on with the commits after this moment: those before it are in what the reader loads.
    fn skip(&mut self) -> FeedError {
        self.receiver = self.receiver.resubscribe();
        FeedError::Lagged
    }
}

#[derive(Clone, Debug)]
enum Signal {
    Change(Arc<Committed>),
    Reload,
}

impl Signal {
    fn into_change(self) -> Result<Arc<Committed>, FeedError> {
        match self {
            Self::Change(change) => Ok(change),
            Self::Reload => Err(FeedError::Lagged),
        }
    }
}

/// The writing side of all feeds of one store, and the revision they stand at.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    sender: broadcast::Sender<Signal>,
    revision: Arc<AtomicU64>,
}

impl Publisher {
    pub(crate) fn new(revision: Revision) -> Self {
        Self {
            sender: broadcast::Sender::new(CAPACITY),
            revision: Arc::new(AtomicU64::new(revision.0)),
        }
    }

    /// Tells all readers of a durable commit. Without readers it only moves the revision.
    pub(crate) fn publish(&self, change: Arc<Committed>) {
        let revision = change.revision;
        let _no_readers = self.sender.send(Signal::Change(change));
        self.revision.store(revision.0, Ordering::Release);
    }

    /// Tells all readers to load anew, because the store stands at `revision` in a way that the
    /// published changes do not explain.
    pub(crate) fn reload(&self, revision: Revision) {
        let _no_readers = self.sender.send(Signal::Reload);
        self.revision.store(revision.0, Ordering::Release);
    }

    pub(crate) fn subscribe(&self) -> ChangeFeed {
        ChangeFeed {
            receiver: self.sender.subscribe(),
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }
}
