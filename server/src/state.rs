//! The state of the trust domain and the only way to change it: a plan made from the index is
//! committed to the store, comes back on the change feed, is applied to the index, and then the
//! agents it concerns are woken.
//!
//! Readers never touch the store. Several plans may be under way at once: each carries
//! preconditions, and one that lost a race is made again from the newer index.

use signet_datastore::records::{Condemnation, Fact, Ledger, RecordError, Slot, Stored, keys};
use signet_datastore::{ChangeFeed, Commit, Committed, FeedError, Store, StoreError};
use signet_model::{Affected, Change, Entry, Index, Revision};
use signet_runtime::Stop;
use signet_spiffe::{SpiffeId, TrustDomain};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::watch;

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

/// What a command wants to change, made from the index. Each record it puts or deletes must still
/// be as the index shows it, else the plan is made again.
#[derive(Debug, Default, Clone)]
pub struct Plan {
    changes: Vec<Change>,
    slots: Vec<Slot>,
    condemned: Vec<Condemnation>,
    dropped: Vec<String>,
    claims: Vec<(String, String)>,
    releases: Vec<String>,
    unchanged: Vec<String>,
}

impl Plan {
    /// Puts or deletes a record of the model.
    #[must_use]
    pub fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Creates an entry, and claims that no other says the same.
    #[must_use]
    pub fn create_entry(self, entry: &Arc<Entry>) -> Self {
        self.change(Change::PutEntry(entry.clone())).claim(entry)
    }

    /// Changes an entry.
    #[must_use]
    pub fn replace_entry(self, old: &Entry, new: &Arc<Entry>) -> Self {
        let plan = self.change(Change::PutEntry(new.clone()));
        match old.is_similar(new) {
            true => plan,
            false => plan.release(old).claim(new),
        }
    }

    /// Deletes an entry.
    #[must_use]
    pub fn delete_entry(self, entry: &Entry) -> Self {
        self.change(Change::DeleteEntry(entry.id.clone()))
            .release(entry)
    }

    /// Puts a slot of an authority.
    #[must_use]
    pub fn put_slot(mut self, slot: Slot) -> Self {
        self.slots.push(slot);
        self
    }

    /// Deletes a slot of an authority.
    #[must_use]
    pub fn drop_slot(mut self, slot: &Slot) -> Self {
        self.dropped.push(slot.key());
        self
    }

    /// Puts what is being replaced.
    #[must_use]
    pub fn condemn(mut self, condemned: Condemnation) -> Self {
        self.condemned.push(condemned);
        self
    }

    /// Deletes what was being replaced: it is done.
    #[must_use]
    pub fn drop_condemnation(mut self, condemned: &Condemnation) -> Self {
        self.dropped.push(condemned.key());
        self
    }

    /// Demands that this record is as the index shows it, be it absent.
    #[must_use]
    pub fn unchanged(mut self, key: String) -> Self {
        self.unchanged.push(key);
        self
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.slots.is_empty()
            && self.condemned.is_empty()
            && self.dropped.is_empty()
    }

    fn claim(mut self, entry: &Entry) -> Self {
        self.claims
            .push((keys::unique_entry(entry), keys::entry(&entry.id)));
        self
    }

    fn release(mut self, entry: &Entry) -> Self {
        self.releases.push(keys::unique_entry(entry));
        self
    }
}

/// The index and what the store knows of each record.
#[derive(Debug)]
pub struct Snapshot {
    /// Who may have what.
    pub index: Index,
    ledger: Ledger,
    slots: BTreeMap<String, Slot>,
    condemned: BTreeMap<String, Condemnation>,
}

impl Snapshot {
    fn new(trust_domain: TrustDomain) -> Self {
        let index = Index::new(trust_domain);
        Self {
            index,
            ledger: Ledger::default(),
            slots: BTreeMap::new(),
            condemned: BTreeMap::new(),
        }
    }

    /// The slots of all authorities of all servers.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    /// The authorities of one kind that a server is replacing.
    pub fn condemned(&self, server_id: &str, kind: &str) -> Option<&Condemnation> {
        self.condemned.get(&keys::condemnation(server_id, kind))
    }

    /// The revision that wrote the record with this key.
    pub fn revision_of(&self, key: &str) -> Option<Revision> {
        self.ledger.revision(key)
    }

    /// What names the form an entry has: the revision that wrote it. Unlike the entry's own revision
    /// number it never comes again in this store, not even for an entry made anew under the same id.
    pub fn form(&self, entry: &Entry) -> i64 {
        let written = self.revision_of(&keys::entry(&entry.id));
        let written = written.map_or(0, |revision| revision.0);
        i64::try_from(written).unwrap_or(i64::MAX)
    }

    fn commit_of(&self, plan: &Plan) -> Commit {
        let mut commit = Commit::new();
        for key in &plan.unchanged {
            commit = match self.ledger.revision(key) {
                Some(revision) => commit.unchanged(key, revision),
                None => commit.absent(key),
            };
        }
        for change in &plan.changes {
            commit = self.add(commit, change);
        }
        for slot in &plan.slots {
            commit = self.ledger.replace(commit, slot);
        }
        for condemned in &plan.condemned {
            commit = self.ledger.replace(commit, condemned);
        }
        for key in &plan.dropped {
            commit = self.ledger.delete(commit, key);
        }
        // What one entry of this plan releases another may claim: the first goes in the form the index
        // shows, so that nobody else has come between.
        let claimed = |key: &&String| plan.claims.iter().any(|(claimed, _)| claimed == *key);
        let handed_on: BTreeSet<&String> = plan.releases.iter().filter(claimed).collect();
        for (key, owner) in &plan.claims {
            if !handed_on.contains(key) {
                commit = commit.absent(key);
            }
            commit = commit.put(key, keys::owner(owner));
        }
        let released = plan.releases.iter().filter(|key| !handed_on.contains(key));
        released.fold(commit, Commit::delete)
    }

    fn add(&self, commit: Commit, change: &Change) -> Commit {
        match change {
            Change::PutEntry(entry) => self.ledger.replace(commit, &**entry),
            Change::PutAgent(agent) => self.ledger.replace(commit, &**agent),
            Change::PutBundle(bundle) => self.ledger.replace(commit, &**bundle),
            Change::PutToken(token) => self.ledger.replace(commit, &**token),
            Change::DeleteEntry(id) => self.ledger.delete(commit, &keys::entry(id)),
            Change::DeleteAgent(id) => self.ledger.delete(commit, &keys::agent(id)),
            Change::DeleteBundle(name) => self.ledger.delete(commit, &keys::bundle(name)),
            Change::DeleteToken(id) => self.ledger.delete(commit, &keys::token(id)),
            Change::PutUsed(used) => self.ledger.replace(commit, &**used),
            Change::DeleteUsed(id) => self.ledger.delete(commit, &keys::used(id)),
        }
    }

    fn take(&mut self, fact: Fact) -> Option<Affected> {
        match fact {
            Fact::Slot(slot) => {
                self.slots.insert(slot.key(), slot);
                None
            }
            Fact::Condemnation(condemned) => {
                self.condemned.insert(condemned.key(), condemned);
                None
            }
            other => other.into_change().map(|change| self.index.apply(&change)),
        }
    }

    fn apply(&mut self, committed: &Committed) -> Result<Vec<Affected>, RecordError> {
        let trust_domain = self.index.trust_domain().clone();
        let mut affected = Vec::new();
        for key in &committed.deletes {
            self.slots.remove(key);
            self.condemned.remove(key);
            affected.extend(keys::deleted(key, &trust_domain).map(|gone| self.index.apply(&gone)));
        }
        for fact in self.ledger.apply(committed, &trust_domain)? {
            affected.extend(self.take(fact));
        }
        Ok(affected)
    }
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
    let mut snapshot = Snapshot::new(trust_domain.clone());
    for record in &loaded.records {
        let fact = snapshot.ledger.take(record, trust_domain)?;
        snapshot.take(fact);
    }
    Ok((snapshot, loaded.revision))
}

/// Who wants to hear of changes, by agent.
#[derive(Debug, Default, Clone)]
struct Listeners(Arc<Mutex<HashMap<SpiffeId, Listened>>>);

/// How many listen, and how they are woken.
type Listened = (usize, watch::Sender<u64>);

impl Listeners {
    fn add(&self, agent: &SpiffeId) -> Listener {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, sender) = all
            .entry(agent.clone())
            .or_insert_with(|| (0, watch::Sender::new(0)));
        *count += 1;
        let mut changes = sender.subscribe();
        changes.mark_unchanged();
        Listener {
            agent: agent.clone(),
            changes,
            listeners: self.clone(),
        }
    }

    fn wake(&self, agent: &SpiffeId) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sender)) = all.get(agent) {
            sender.send_modify(|count| *count += 1);
        }
    }

    fn wake_all(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, sender) in all.values() {
            sender.send_modify(|count| *count += 1);
        }
    }
}

/// Hears of the changes that concern one agent; several between two looks are one.
#[derive(Debug)]
pub struct Listener {
    agent: SpiffeId,
    changes: watch::Receiver<u64>,
    listeners: Listeners,
}

impl Listener {
    /// Waits for a change since the last call.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut all = self
            .listeners
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((count, _)) = all.get_mut(&self.agent) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.agent);
            }
        }
    }
}
