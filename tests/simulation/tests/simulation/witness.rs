//! Follows the store beside the servers, over all their lives, and remembers until when each agent
//! was authorized for each entry.

use signet_datastore::{MemoryStore, Store};
use signet_model::{Entry, EntryId};
use signet_runtime::{Clock, Tasks};
use signet_server::state::State;
use signet_spiffe::{SpiffeId, TrustDomain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// How long the witness rests at most: an agent's own end is not announced.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// That an agent may serve an entry that gives this identity.
pub(crate) type Right = (SpiffeId, EntryId, SpiffeId);

/// What is stored, and what was.
pub(crate) struct Witness {
    pub(crate) state: Arc<State>,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    present: BTreeSet<Right>,
    last: BTreeMap<Right, SystemTime>,
}

impl Witness {
    pub(crate) async fn start(
        store: Arc<MemoryStore>,
        trust_domain: TrustDomain,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let store: Arc<dyn Store> = store;
        let (state, feed) = State::load(store, trust_domain).await.unwrap();
        tasks.spawn_essential("witness feed", state.clone().follow(feed, tasks.stop()));
        let witness = Arc::new(Self {
            state,
            clock,
            memory: Mutex::default(),
        });
        tasks.spawn("witness", witness.clone().watch());
        witness
    }

    async fn watch(self: Arc<Self>) {
        let mut revisions = self.state.revisions();
        loop {
            self.record();
            let now = self.clock.now();
            let next = self.state.read().index.next_expiry(now);
            let rest = next.and_then(|next| next.duration_since(now).ok());
            tokio::select! {
                _ = revisions.changed() => {}
                () = tokio::time::sleep(rest.unwrap_or(LONGEST_REST).min(LONGEST_REST)) => {}
            }
        }
    }

    /// Everything that is committed is seen from now on.
    pub(crate) async fn catch_up(&self) {
        self.state.catch_up().await;
        self.record();
    }

    fn record(&self) {
        let now = self.clock.now();
        let present = self.rights(now);
        let memory = &mut *self.memory.lock().unwrap();
        // What ends now was there until now.
        for right in memory.present.iter().chain(&present) {
            memory.last.insert(right.clone(), now);
        }
        memory.present = present;
    }

    fn rights(&self, now: SystemTime) -> BTreeSet<Right> {
        let snapshot = self.state.read();
        let agents = snapshot.index.agents();
        agents
            .flat_map(|agent| {
                let entries = snapshot.index.authorized(&agent.id, now);
                let right = |entry: Arc<Entry>| {
                    let entry = Entry::clone(&entry);
                    (agent.id.clone(), entry.id, entry.spiffe_id)
                };
                entries.into_iter().map(right)
            })
            .collect()
    }

    /// When the agent had this right last.
    pub(crate) fn last(&self, right: &Right) -> Option<SystemTime> {
        self.memory.lock().unwrap().last.get(right).copied()
    }

    /// The entries that the agent may serve now.
    pub(crate) fn authorized(&self, agent: &SpiffeId) -> Vec<Arc<Entry>> {
        let now = self.clock.now();
        self.state.read().index.authorized(agent, now)
    }
}
