//! What an agent should hold, what it holds, and the difference: the way of every push.
//!
//! There is no log of changes. The agent says what it holds, the server compares that with the
//! truth and sends the difference; a restart, a failover and a restored backup are the same path.

use crate::state::Snapshot;
use signet_crypto::sha256;
use signet_model::{Entry, EntryId, Revision, holdings_lines};
use signet_proto::spire::types as wire;
use signet_spiffe::{Bundle, SpiffeId, TrustDomain};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::Instant;

/// After this an agent that is silent is no longer waited for: three intervals of those that ask
/// every five seconds, as SPIRE's do.
const WAITED_FOR: Duration = Duration::from_secs(15);

/// All that one agent should hold at one revision.
#[derive(Debug, Clone)]
pub struct Truth {
    /// The revision it is the truth of.
    pub revision: Revision,
    /// The entries it may serve, each with what names its form.
    pub entries: BTreeMap<EntryId, (i64, Arc<Entry>)>,
    /// Our bundle, and those its entries federate with, each with a stamp of its content.
    pub bundles: BTreeMap<TrustDomain, (u64, Arc<Bundle>)>,
}

impl Truth {
    /// What `agent` should hold now.
    pub fn of(snapshot: &Snapshot, agent: &SpiffeId, revision: Revision, now: SystemTime) -> Self {
        let index = &snapshot.index;
        let entries: BTreeMap<_, _> = index
            .authorized(agent, now)
            .into_iter()
            .map(|entry| (entry.id.clone(), (snapshot.form(&entry), entry)))
            .collect();
        let federated = entries
            .values()
            .flat_map(|(_, entry)| entry.federates_with.iter());
        let wanted = federated.chain([index.trust_domain()]);
        let bundles = wanted
            .filter_map(|name| index.bundle(name))
            .map(|bundle| (bundle.trust_domain.clone(), (stamp(bundle), bundle.clone())))
            .collect();
        Self {
            revision,
            entries,
            bundles,
        }
    }

    /// The holdings of an agent that holds this.
    pub fn holdings(&self) -> Holdings {
        let stamps = self
            .bundles
            .iter()
            .map(|(name, (stamp, _))| (name.clone(), *stamp));
        Holdings {
            entries: self
                .entries
                .iter()
                .map(|(id, (form, entry))| (id.clone(), mark(*form, entry)))
                .collect(),
            bundles: stamps.collect(),
        }
    }

    /// The hash that an agent which holds this sends.
    pub fn hash(&self) -> [u8; 32] {
        let entries = self.entries.values();
        let entries = entries.map(|(form, entry)| (&entry.id, *form, entry.created_at));
        let bundles = self.bundles.iter().map(|(name, (stamp, _))| (name, *stamp));
        sha256(&holdings_lines(entries, bundles))
    }

    /// What must be sent to an agent that holds `held`.
    pub fn since(&self, held: &Holdings) -> Difference {
        let newer = |(id, (form, entry)): &(&EntryId, &(i64, Arc<Entry>))| {
            held.entries.get(*id) != Some(&mark(*form, entry))
        };
        let other = |(name, (stamp, _)): &(&TrustDomain, &(u64, Arc<Bundle>))| {
            held.bundles.get(*name) != Some(stamp)
        };
        let gone = held
            .entries
            .keys()
            .filter(|id| !self.entries.contains_key(*id));
        let unused = held
            .bundles
            .keys()
            .filter(|name| !self.bundles.contains_key(*name));
        Difference {
            entries: self
                .entries
                .iter()
                .filter(newer)
                .map(|(_, entry)| entry.clone())
                .collect(),
            gone: gone.cloned().collect(),
            bundles: self
                .bundles
                .iter()
                .filter(other)
                .map(|(_, b)| b.clone())
                .collect(),
            unused: unused.cloned().collect(),
        }
    }
}

/// What names an entry's form, and its creation.
type Mark = (i64, u64);

fn mark(form: i64, entry: &Entry) -> Mark {
    let created = entry
        .created_at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (form, created.as_secs())
}

/// No entry has it: revisions of the store are never negative.
const UNKNOWN_FORM: Mark = (-1, 0);

/// What stands for a bundle's content. Not its sequence number: that is whatever an administrator
/// gave, and may stay the same over a change.
fn stamp(bundle: &Bundle) -> u64 {
    use prost::Message;
    let wire: wire::Bundle = crate::api::types::bundle(bundle);
    let hash = sha256(&wire.encode_to_vec());
    u64::from_be_bytes(std::array::from_fn(|at| hash[at])) >> 1
}

/// What an agent holds, by marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Entries.
    pub entries: BTreeMap<EntryId, Mark>,
    /// Bundles.
    pub bundles: BTreeMap<TrustDomain, u64>,
}

/// What makes an agent hold the truth.
#[derive(Debug, Clone, Default)]
pub struct Difference {
    /// New or changed entries, each with what names its form.
    pub entries: Vec<(i64, Arc<Entry>)>,
    /// Entries it may no longer serve.
    pub gone: Vec<EntryId>,
    /// New or changed bundles with their stamps.
    pub bundles: Vec<(u64, Arc<Bundle>)>,
    /// Bundles it no longer needs.
    pub unused: Vec<TrustDomain>,
}

impl Holdings {
    /// The same entries and bundles, in forms of which nothing is known.
    pub fn of_another_epoch(self) -> Self {
        let entries = self.entries.into_keys().map(|id| (id, UNKNOWN_FORM));
        Self {
            entries: entries.collect(),
            bundles: self.bundles,
        }
    }
}

impl Difference {
    /// Whether the agent holds the truth.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.gone.is_empty()
            && self.bundles.is_empty()
            && self.unused.is_empty()
    }
}

/// Which agents have an open stream, what each is known to have, and when it was last heard of.
/// Agents without a stream are remembered until they are forgotten.
#[derive(Debug)]
pub struct Online {
    since: Instant,
    agents: Mutex<HashMap<SpiffeId, Seen>>,
    opened: AtomicU64,
    acknowledged: watch::Sender<u64>,
}

#[derive(Debug, Clone)]
struct Seen {
    streams: Vec<Opened>,
    /// What was said over the last stream, once there is none.
    left: Option<Revision>,
    applied: Revision,
    heard: Instant,
}

/// An open stream, and up to which revision the agent said over it that it is ready. What a program
/// served says nothing of the one that was started in its place: its keys are gone.
#[derive(Debug, Clone, Copy)]
struct Opened {
    number: u64,
    ready: Revision,
}

impl Seen {
    fn now() -> Self {
        Self {
            streams: Vec::new(),
            left: None,
            applied: Revision(0),
            heard: Instant::now(),
        }
    }

    /// By the newest stream: the agent opens the next before it leaves one.
    fn ready(&self) -> Option<Revision> {
        self.streams.last().map(|stream| stream.ready)
    }

    /// Up to which revision it serves what follows, as far as is known: of an agent that asks now and
    /// then only what it was given.
    fn serves(&self) -> Revision {
        self.ready().or(self.left).unwrap_or(self.applied)
    }

    fn is_connected(&self) -> bool {
        !self.streams.is_empty()
    }

    fn is_waited_for(&self) -> bool {
        self.is_connected() || self.heard.elapsed() < WAITED_FOR
    }
}

impl Default for Online {
    /// Nobody was heard of yet; agents can be heard from now on.
    fn default() -> Self {
        Self {
            since: Instant::now(),
            agents: Mutex::default(),
            opened: AtomicU64::default(),
            acknowledged: watch::Sender::default(),
        }
    }
}

impl Online {
    /// For how long agents could be heard.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether agents that were connected before a restart may not have come back yet.
    pub fn is_new(&self) -> bool {
        self.age() < WAITED_FOR
    }

    /// Whether the agent was heard of since the start.
    pub fn has_heard_of(&self, agent: &SpiffeId) -> bool {
        self.with(|agents| agents.contains_key(agent))
    }

    /// An agent opened a stream; it counts until the value is dropped.
    pub fn enter(self: &Arc<Self>, agent: &SpiffeId) -> Presence {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let opened = Opened {
            number,
            ready: Revision(0),
        };
        self.with(|agents| {
            let seen = agents.entry(agent.clone()).or_insert_with(Seen::now);
            seen.streams.push(opened);
        });
        Presence {
            agent: agent.clone(),
            number,
            online: self.clone(),
        }
    }

    /// How many agents have a stream.
    pub fn count(&self) -> usize {
        self.with(|agents| agents.values().filter(|seen| seen.is_connected()).count())
    }

    /// An agent that asks now and then, as SPIRE's do, was given our bundle of this revision.
    pub fn fetched(&self, agent: &SpiffeId, revision: Revision) {
        self.with(|agents| {
            let seen = agents.entry(agent.clone()).or_insert_with(Seen::now);
            seen.applied = seen.applied.max(revision);
            seen.heard = Instant::now();
        });
        self.acknowledged.send_modify(|count| *count += 1);
    }

    /// The agents that have not applied this revision yet and are waited for: the connected ones, and
    /// those heard of a moment ago.
    pub fn awaited(&self, revision: Revision) -> Vec<SpiffeId> {
        self.with(|agents| {
            let behind = agents.iter().filter(|(_, seen)| seen.applied < revision);
            let awaited = behind.filter(|(_, seen)| seen.is_waited_for());
            awaited.map(|(id, _)| id.clone()).collect()
        })
    }

    /// Whether the agent is known to have applied this revision.
    pub fn has(&self, agent: &SpiffeId, revision: Revision) -> bool {
        self.with(|agents| {
            agents
                .get(agent)
                .is_some_and(|seen| seen.applied >= revision)
        })
    }

    /// Forgets the agents without a stream that are no longer known.
    pub fn forget(&self, is_known: impl Fn(&SpiffeId) -> bool) {
        self.with(|agents| agents.retain(|id, seen| seen.is_connected() || is_known(id)));
    }

    /// The agents that may serve what follows from an earlier revision: the connected ones, and those
    /// heard of a moment ago.
    pub fn unready(&self, revision: Revision) -> Vec<SpiffeId> {
        self.with(|agents| {
            let behind = agents.iter().filter(|(_, seen)| seen.serves() < revision);
            let unready = behind.filter(|(_, seen)| seen.is_waited_for());
            unready.map(|(id, _)| id.clone()).collect()
        })
    }

    /// Up to which revision this agent serves all that is its; none if it has no stream.
    pub fn ready(&self, agent: &SpiffeId) -> Option<Revision> {
        self.with(|agents| agents.get(agent).and_then(Seen::ready))
    }

    /// Changes with each acknowledgement and each agent that leaves.
    pub fn acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.subscribe()
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<SpiffeId, Seen>) -> T) -> T {
        act(&mut self.agents.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One open stream of an agent.
#[derive(Debug)]
pub struct Presence {
    agent: SpiffeId,
    number: u64,
    online: Arc<Online>,
}

impl Presence {
    /// The agent applied a revision, and is ready once all its SVIDs are served.
    pub fn acknowledge(&self, revision: Revision, ready: bool) {
        self.online.with(|agents| {
            let Some(seen) = agents.get_mut(&self.agent) else {
                return;
            };
            seen.applied = seen.applied.max(revision);
            let mut streams = seen.streams.iter_mut();
            let own = streams.find(|stream| stream.number == self.number);
            if let Some(own) = own.filter(|_| ready) {
                own.ready = own.ready.max(revision);
            }
        });
        self.online.acknowledged.send_modify(|count| *count += 1);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.online.with(|agents| {
            let Some(seen) = agents.get_mut(&self.agent) else {
                return;
            };
            seen.heard = Instant::now();
            let mut left = seen.streams.extract_if(.., |one| one.number == self.number);
            seen.left = left.next().map(|stream| stream.ready);
        });
        self.online.acknowledged.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> SpiffeId {
        SpiffeId::parse("spiffe://example.org/spire/agent/a").unwrap()
    }

    #[tokio::test]
    async fn an_agent_that_was_started_again_is_not_ready_for_what_the_one_before_served() {
        let online = Arc::new(Online::default());
        let before = online.enter(&agent());
        before.acknowledge(Revision(7), true);
        assert_eq!(online.ready(&agent()), Some(Revision(7)));
        // It came back before the server saw the old stream end.
        let after = online.enter(&agent());
        assert_eq!(online.ready(&agent()), Some(Revision(0)));
        assert_eq!(online.unready(Revision(7)), [agent()]);
        drop(before);
        assert_eq!(online.ready(&agent()), Some(Revision(0)));
        after.acknowledge(Revision(7), false);
        assert_eq!(online.ready(&agent()), Some(Revision(0)));
        after.acknowledge(Revision(7), true);
        assert_eq!(online.ready(&agent()), Some(Revision(7)));
        drop(after);
        assert_eq!(online.ready(&agent()), None);
        let back = online.enter(&agent());
        assert_eq!(online.unready(Revision(7)), [agent()]);
        drop(back);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_whose_stream_broke_before_it_was_ready_is_waited_for_a_while() {
        let online = Arc::new(Online::default());
        let stream = online.enter(&agent());
        stream.acknowledge(Revision(3), true);
        stream.acknowledge(Revision(7), false);
        drop(stream);
        assert_eq!(online.unready(Revision(7)), [agent()]);
        assert!(online.unready(Revision(3)).is_empty());
        tokio::time::advance(WAITED_FOR).await;
        assert!(online.unready(Revision(7)).is_empty());
    }

    #[tokio::test]
    async fn a_stream_that_came_to_nothing_leaves_the_older_one_in_force() {
        let online = Arc::new(Online::default());
        let first = online.enter(&agent());
        first.acknowledge(Revision(3), true);
        drop(online.enter(&agent()));
        assert_eq!(online.ready(&agent()), Some(Revision(3)));
        assert_eq!(online.count(), 1);
    }
}
