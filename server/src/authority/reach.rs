//! Who has a prepared authority already, and who is waited for before it signs.
//!
//! Agents with a stream acknowledge; those that ask now and then have what they were last given.
//! Whoever was not heard of for three of those intervals is not waited for, and federated peers,
//! who say nothing, have it after three refresh hints. One dead node stops no rotation: it is named.
//!
//! A server that has just started has heard of nobody. It waits as long for every agent in its
//! records: the ones that run come back in that time.

use super::reconcile::Reconciler;
use super::stored;
use signet_ca::rotation::Reach;
use signet_ca::slots::{Kind, SlotId, Status};
use signet_datastore::records::{Slot, Stored};
use signet_model::Revision;
use signet_spiffe::SpiffeId;
use std::time::{Duration, SystemTime};

/// How often a federated peer looks at our bundle if we do not tell it, as SPIRE's do.
const REFRESH_HINT: Duration = Duration::from_secs(5 * 60);
/// Refresh hints after which a federated peer has a new authority.
const REFRESHES: u32 = 3;
/// Names in one log line: enough to begin with, and the count says how many there are.
const NAMED: usize = 10;

/// Who is not known to have an authority.
#[derive(Debug, Default)]
pub struct Lacking {
    /// Connected agents, those heard of a moment ago, and those that may not have come back yet.
    pub awaited: Vec<SpiffeId>,
    /// Agents that were not heard of for a while.
    pub silent: Vec<SpiffeId>,
    /// Trust domains that we federate with, and whose servers may not have fetched it yet.
    pub peers: usize,
}

impl Lacking {
    /// Whether all have it, as far as is known.
    pub fn is_empty(&self) -> bool {
        self.awaited.is_empty() && self.silent.is_empty() && self.peers == 0
    }

    fn names(&self) -> String {
        let agents = self.awaited.iter().chain(&self.silent).take(NAMED);
        let names: Vec<_> = agents.map(ToString::to_string).collect();
        names.join(" ")
    }
}

impl Reconciler {
    /// Whether all who are waited for have the prepared authority of this kind.
    pub(super) fn is_acknowledged(&self, kind: Kind) -> bool {
        let slots = self.slots(kind);
        let Some((slot, _)) = slots.find(Status::Prepared) else {
            return true;
        };
        let Some((held, revision)) = self.published(kind, slot) else {
            return true;
        };
        self.awaited(revision).is_empty() && self.unsure_peers(&held) == 0
    }

    /// Who can have the prepared authority of this kind.
    pub(super) fn reach(&self, kind: Kind) -> Reach {
        Reach {
            acknowledged: self.is_acknowledged(kind),
            since: self.clock.now() - self.online.age(),
        }
    }

    fn awaited(&self, revision: Revision) -> Vec<SpiffeId> {
        let mut awaited = self.online.awaited(revision);
        awaited.extend(self.not_back());
        awaited
    }

    /// The agents in the records that may run, and may not have come back since this server started.
    pub fn not_back(&self) -> Vec<SpiffeId> {
        if !self.online.is_new() {
            return Vec::new();
        }
        let now = self.clock.now();
        let snapshot = self.state.read();
        let agents = snapshot.index.agents();
        let agents = agents.filter(|agent| agent.is_active(now));
        let away = agents.filter(|agent| !self.online.has_heard_of(&agent.id));
        away.map(|agent| agent.id.clone()).collect()
    }

    /// Names, in one line, who is not known to have the authority in the slot, which is to sign now.
    pub(super) fn name_those_without(&self, kind: Kind, slot: SlotId) {
        let lacking = self.lacking(kind, slot);
        if lacking.is_empty() || self.slots(kind).find(Status::Active).is_none() {
            return;
        }
        let (connected, silent) = (lacking.awaited.len(), lacking.silent.len());
        let (agents, federated) = (lacking.names(), lacking.peers);
        tracing::warn!(
            kind = %kind,
            connected,
            silent,
            federated,
            agents,
            "an authority is to sign that is not known to have reached everybody"
        );
    }

    /// Who is not known to have the prepared authority of this kind; nobody, if there is none.
    pub fn who_lacks_the_prepared(&self, kind: Kind) -> Lacking {
        let slots = self.slots(kind);
        let prepared = slots.find(Status::Prepared);
        prepared.map_or_else(Lacking::default, |(slot, _)| self.lacking(kind, slot))
    }

    /// Who is not known to have the authority in the slot.
    pub(super) fn lacking(&self, kind: Kind, slot: SlotId) -> Lacking {
        let Some((held, revision)) = self.published(kind, slot) else {
            return Lacking::default();
        };
        let awaited = self.awaited(revision);
        let peers = self.unsure_peers(&held);
        let now = self.clock.now();
        let snapshot = self.state.read();
        let agents = snapshot.index.agents();
        let agents = agents.filter(|agent| agent.is_active(now));
        let silent = agents
            .map(|agent| &agent.id)
            .filter(|id| !self.online.has(id, revision) && !awaited.contains(id));
        Lacking {
            silent: silent.cloned().collect(),
            peers,
            awaited,
        }
    }

    /// The authority in the slot, and the revision that put it there and into the bundle.
    fn published(&self, kind: Kind, slot: SlotId) -> Option<(Slot, Revision)> {
        let snapshot = self.state.read();
        let held = stored::slot(&snapshot, &self.server_id, kind, slot)?;
        let revision = snapshot.revision_of(&held.key())?;
        Some((held.clone(), revision))
    }

    fn unsure_peers(&self, held: &Slot) -> usize {
        let snapshot = self.state.read();
        let own = snapshot.index.bundle(&self.trust_domain);
        let hint = own.and_then(|own| own.refresh_hint).unwrap_or(REFRESH_HINT);
        match has_passed(held.issued_at, hint * REFRESHES, self.clock.now()) {
            true => 0,
            false => snapshot.index.bundle_count().saturating_sub(1),
        }
    }
}

fn has_passed(since: SystemTime, wait: Duration, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|passed| passed >= wait)
}
