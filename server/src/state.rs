//! The state of the trust domain and the only way to change it: a plan made from the index is
//! committed to the store, comes back on the change feed, is applied to the index, and then the
//! agents it concerns are woken.
//!
//! Readers never touch the store. Several plans may be under way at once: each carries
//! preconditions, and one that lost a race is made again from the newer index.

mod listeners;
mod plan;
mod snapshot;

use listeners::Listeners;
use signet_datastore::records::RecordError;
use signet_datastore::{ChangeFeed, Committed, FeedError, Store, StoreError};
use signet_model::{Affected, Revision};
use signet_runtime::Stop;
use signet_spiffe::{SpiffeId, TrustDomain};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::watch;

pub use listeners::Listener;
pub use plan::Plan;
pub use snapshot::Snapshot;

/// How often a plan is made again after losing a race. Each loss means that somebody else won, so
/// this bounds the wait, not the progress of all.
const MAX_ATTEMPTS: usize = 16;
/// How long a denial waits to learn the store's latest revision before it is given.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store refused.
    #[error("the change was not stored")]
    Store(#[from] StoreError),
    /// Others kept changing the same records.
    #[error("the records kept changing; try again")]
    Contended,
    /// The change feed ended: the program is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// A stored record cannot be read.
    #[error("the store holds a record that cannot be read: restore a backup or remove the record")]
    Record(#[from] RecordError),
}

/// The state of one trust domain.
pub struct State {
    store: Arc<dyn Store>,
    trust_domain: TrustDomain,
    snapshot: RwLock<Snapshot>,
    applied: watch::Sender<Revision>,
    listeners: Listeners,
}

impl State {
    /// Reads the whole store once. The returned feed must be run by [`State::follow`].
    pub async fn load(
        store: Arc<dyn Store>,
        trust_domain: TrustDomain,
    ) -> Result<(Arc<Self>, ChangeFeed), StateError> {
        let feed = store.changes();
        let (snapshot, revision) = read(&*store, &trust_domain).await?;
        let state = Self {
            store,
            trust_domain,
            snapshot: RwLock::new(snapshot),
            applied: watch::Sender::new(revision),
            listeners: Listeners::default(),
        };
        Ok((Arc::new(state), feed))
    }

    /// Applies what the store commits, in order, until the stop signal.
    pub async fn follow(
        self: Arc<Self>,
        mut feed: ChangeFeed,
        stop: Stop,
    ) -> Result<(), StateError> {
        loop {
            let next = tokio::select! {
                () = stop.stopped() => return Ok(()),
                next = feed.next() => next,
            };
            match next {
                Ok(committed) => self.apply(&committed)?,
                Err(FeedError::Lagged) => self.reload().await?,
                Err(FeedError::Closed) => return Err(StateError::Stopping),
            }
        }
    }

    /// The index and the records as of the latest applied revision.
    pub fn read(&self) -> RwLockReadGuard<'_, Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest applied revision.
    pub fn revision(&self) -> Revision {
        *self.applied.borrow()
    }

    /// The store's epoch: a restored backup has another one.
    pub fn epoch(&self) -> [u8; 16] {
        *self.store.epoch().as_bytes()
    }

    /// Makes a change: `plan` looks at the index and says what to change, or refuses. Returns when
    /// the change is durable and applied. A plan that lost a race is made anew.
    pub async fn change<T, E, F>(&self, mut plan: F) -> Result<T, E>
    where
        F: FnMut(&Snapshot) -> Result<(Plan, T), E> + Send,
        T: Send,
        E: From<StateError>,
    {
        for _ in 0..MAX_ATTEMPTS {
            let seen = self.revision();
            let (commit, outcome) = {
                let snapshot = self.read();
                let (plan, outcome) = plan(&snapshot)?;
                if plan.is_empty() {
                    return Ok(outcome);
                }
                (snapshot.commit_of(&plan), outcome)
            };
            match self.store.commit(commit).await {
                Ok(revision) => {
                    self.reached(revision).await?;
                    return Ok(outcome);
                }
                Err(error) if error.is_conflict() => self.newer_than(seen).await,
                Err(error) => return Err(StateError::Store(error).into()),
            }
        }
        Err(StateError::Contended.into())
    }

    /// Waits until the index shows the store's latest revision: the last word before a denial.
    /// Gives up after a moment, so that an ill store makes a denial late, not endless.
    pub async fn catch_up(&self) {
        let _late = tokio::time::timeout(CATCH_UP_LIMIT, self.is_current()).await;
    }

    /// Waits until the index shows the store's latest revision, so also a change whose
    /// acknowledgement was lost.
    pub async fn is_current(&self) -> Result<(), StateError> {
        let revision = self.store.revision().await?;
        self.reached(revision).await
    }

    /// Hears of every change that concerns this agent from now on.
    pub fn listen(&self, agent: &SpiffeId) -> Listener {
        self.listeners.add(agent)
    }

    /// Wakes the streams of agents whose view changed by the passing of time, not by a change.
    pub fn wake(&self, agents: impl IntoIterator<Item = SpiffeId>) {
        for agent in agents {
            self.listeners.wake(&agent);
        }
    }

    /// Wakes every stream.
    pub fn wake_all(&self) {
        self.listeners.wake_all();
    }

    /// Follows the applied revision.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.applied.subscribe()
    }

    async fn reached(&self, revision: Revision) -> Result<(), StateError> {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|now| *now >= revision).await;
        reached.map(|_| ()).map_err(|_| StateError::Stopping)
    }

    async fn newer_than(&self, seen: Revision) {
        let mut applied = self.applied.subscribe();
        let newer = applied.wait_for(|now| *now > seen);
        let _late = tokio::time::timeout(CATCH_UP_LIMIT, newer).await;
    }

    fn apply(&self, committed: &Committed) -> Result<(), StateError> {
        if committed.revision <= self.revision() {
            return Ok(()); // read by `load` already
        }
        let affected = {
            let mut snapshot = self
                .snapshot
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            snapshot.apply(committed)?
        };
        self.applied.send_replace(committed.revision);
        self.tell(affected);
        Ok(())
    }

    fn tell(&self, affected: Vec<Affected>) {
        if affected.iter().any(|affected| affected.bundle.is_some()) {
            return self.listeners.wake_all();
        }
        for agent in affected.iter().flat_map(|affected| &affected.agents) {
            self.listeners.wake(agent);
        }
    }

    async fn reload(&self) -> Result<(), StateError> {
        tracing::warn!("the change feed was overtaken; reading the store anew");
        let (snapshot, revision) = read(&*self.store, &self.trust_domain).await?;
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = snapshot;
        self.applied.send_replace(revision);
        self.listeners.wake_all();
        Ok(())
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

async fn read(
    store: &dyn Store,
    trust_domain: &TrustDomain,
) -> Result<(Snapshot, Revision), StateError> {
    let loaded = store.load().await?;
    let snapshot = Snapshot::of(&loaded.records, trust_domain)?;
    Ok((snapshot, loaded.revision))
}
