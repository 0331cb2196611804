//! Who has a prepared authority already, and who is waited for before it signs.

use super::reconcile::Reconciler;
use super::stored;
use signet_ca::slots::{Kind, SlotId, Status};
use signet_datastore::records::Stored;
use signet_model::Revision;
use signet_spiffe::SpiffeId;

impl Reconciler {
    /// Whether all who are waited for have the prepared authority of this kind.
    pub(super) fn is_acknowledged(&self, kind: Kind) -> bool {
        let prepared = self.slots(kind);
        let prepared = prepared.find(Status::Prepared).map(|(slot, _)| slot);
        prepared.is_none_or(|slot| self.behind(kind, slot).is_empty())
    }

    /// Names the agents that lack the authority in the slot, which is to sign now.
    pub(super) fn name_those_without(&self, kind: Kind, slot: SlotId) {
        let behind = self.behind(kind, slot);
        if behind.is_empty() || self.slots(kind).find(Status::Active).is_none() {
            return;
        }
        let first = behind.first().map(ToString::to_string);
        tracing::warn!(
            kind = %kind,
            count = behind.len(),
            first,
            "agents lack the authority to be activated"
        );
    }

    fn behind(&self, kind: Kind, slot: SlotId) -> Vec<SpiffeId> {
        let published = self.published_at(kind, slot);
        published.map_or_else(Vec::new, |revision| self.online.behind(revision))
    }

    /// The revision that put the authority into its slot and into the bundle.
    fn published_at(&self, kind: Kind, slot: SlotId) -> Option<Revision> {
        let snapshot = self.state.read();
        let held = stored::slot(&snapshot, &self.server_id, kind, slot)?;
        snapshot.revision_of(&held.key())
    }
}
