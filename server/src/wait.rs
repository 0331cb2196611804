//! Waiting until agents serve what was written.
//!
//! An agent says of a revision that it is *ready* once all its SVIDs of that revision are served.
//! The wait is for the revision at its beginning: any write made before is part of it. An agent that
//! this write concerns is pushed it anyhow; the others asked for are woken, since an agent
//! acknowledges what it is sent, and a later write may have raised the revision without touching it.

use crate::issuer::Issuer;
use crate::state::Snapshot;
use crate::sync::Online;
use signet_model::{EntryId, Revision};
use signet_spiffe::SpiffeId;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout_at};

/// The longest wait. More is a mistake in the unit; an operator who wants it calls again.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Who serves the revision and who does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Agents that serve it.
    pub ready: BTreeSet<SpiffeId>,
    /// Agents that had a stream at the beginning and have not said yet that they serve it.
    pub missing: BTreeSet<SpiffeId>,
    /// Attested agents that had no stream at the beginning: nothing is expected of them.
    pub offline: BTreeSet<SpiffeId>,
}

impl Standing {
    /// How the agents stand at the beginning; `ready_at` knows those that have a stream.
    pub fn new(
        agents: impl IntoIterator<Item = SpiffeId>,
        revision: Revision,
        ready_at: impl Fn(&SpiffeId) -> Option<Revision>,
    ) -> Self {
        let mut standing = Self::default();
        for agent in agents {
            let group = match ready_at(&agent) {
                None => &mut standing.offline,
                Some(ready) if ready >= revision => &mut standing.ready,
                Some(_) => &mut standing.missing,
            };
            group.insert(agent);
        }
        standing
    }

    /// Takes note of who is ready now. Who was ready once stays so, also when it leaves; who leaves
    /// before may come back, and stays missing until then.
    pub fn look(&mut self, revision: Revision, ready_at: impl Fn(&SpiffeId) -> Option<Revision>) {
        let is_ready = |agent: &SpiffeId| ready_at(agent).is_some_and(|ready| ready >= revision);
        let missing = std::mem::take(&mut self.missing).into_iter();
        let (ready, missing): (BTreeSet<_>, BTreeSet<_>) = missing.partition(is_ready);
        self.missing = missing;
        self.ready.extend(ready);
    }

    /// Whether nothing is awaited any more.
    pub fn is_settled(&self) -> bool {
        self.missing.is_empty()
    }
}

impl Issuer {
    /// Waits until the connected agents that serve these entries, and these further agents, serve
    /// the revision of now; `limit` zero only looks.
    pub async fn wait_for_entries(
        &self,
        entries: &[EntryId],
        further: impl IntoIterator<Item = SpiffeId>,
        limit: Duration,
    ) -> Standing {
        let deadline = Instant::now() + limit.min(LONGEST);
        // Subscribed before the first look, so that no acknowledgement falls between.
        let mut acknowledged = self.online.acknowledged();
        let mut agents = serving(&self.state.read(), entries, self.clock.now());
        agents.extend(further);
        let revision = self.state.revision();
        let mut standing = Standing::new(agents, revision, ready_at(&self.online));
        if !limit.is_zero() {
            self.state.wake(standing.missing.iter().cloned());
        }
        while !standing.is_settled() {
            match timeout_at(deadline, acknowledged.changed()).await {
                Ok(Ok(())) => standing.look(revision, ready_at(&self.online)),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        standing
    }
}

fn ready_at(online: &Online) -> impl Fn(&SpiffeId) -> Option<Revision> {
    |agent| online.ready(agent)
}

fn serving(snapshot: &Snapshot, entries: &[EntryId], now: SystemTime) -> BTreeSet<SpiffeId> {
    let entries = entries.iter().filter_map(|id| snapshot.index.entry(id));
    entries
        .flat_map(|entry| snapshot.index.agents_serving(entry, now))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://example.org/spire/agent/{name}")).unwrap()
    }

    /// Agents with a stream, and up to what they are ready.
    fn online(seen: &[(&str, u64)]) -> impl Fn(&SpiffeId) -> Option<Revision> {
        let seen: Vec<_> = seen.iter().map(|(n, r)| (agent(n), Revision(*r))).collect();
        move |id| seen.iter().find(|(name, _)| name == id).map(|(_, r)| *r)
    }

    fn names(agents: &BTreeSet<SpiffeId>) -> Vec<String> {
        let name = |id: &SpiffeId| id.to_string().rsplit('/').next().map(str::to_owned);
        agents.iter().filter_map(name).collect()
    }

    fn standing(seen: &[(&str, u64)]) -> Standing {
        let agents = ["a", "b", "c"].map(agent);
        Standing::new(agents, Revision(5), online(seen))
    }

    #[test]
    fn agents_are_ready_missing_or_offline() {
        let standing = standing(&[("a", 5), ("b", 4)]);
        assert_eq!(names(&standing.ready), ["a"]);
        assert_eq!(names(&standing.missing), ["b"]);
        assert_eq!(names(&standing.offline), ["c"]);
        assert!(!standing.is_settled());
    }

    #[test]
    fn nothing_is_expected_of_agents_without_a_stream() {
        assert!(standing(&[]).is_settled());
        assert!(standing(&[("a", 9)]).is_settled());
    }

    #[test]
    fn an_agent_that_was_ready_stays_so_when_it_leaves() {
        let mut standing = standing(&[("a", 5), ("b", 4)]);
        standing.look(Revision(5), online(&[("b", 6)]));
        assert_eq!(names(&standing.ready), ["a", "b"]);
        assert!(standing.is_settled());
    }

    #[test]
    fn an_agent_that_leaves_unready_is_missing_until_it_is_back() {
        let mut standing = standing(&[("a", 4)]);
        standing.look(Revision(5), online(&[]));
        assert_eq!(names(&standing.missing), ["a"]);
        standing.look(Revision(5), online(&[("a", 0)]));
        assert!(!standing.is_settled());
        standing.look(Revision(5), online(&[("a", 5)]));
        assert!(standing.is_settled());
    }

    #[test]
    fn an_agent_that_comes_later_is_not_waited_for() {
        let mut standing = standing(&[("a", 4)]);
        standing.look(Revision(5), online(&[("a", 5), ("c", 0)]));
        assert!(standing.is_settled());
        assert_eq!(names(&standing.offline), ["b", "c"]);
    }
}
