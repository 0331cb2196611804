//! Slots that cannot go on: their key is gone or another's, or their place in the bundle is.
//!
//! A restored backup, keys in memory, or a key manager of another server all end here, and then in
//! a new authority. Until there is one, nothing is signed.

use super::fault::AuthorityFault;
use super::reconcile::Reconciler;
use super::shelf::Shelf;
use super::stored;
use crate::state::{Plan, Snapshot};
use signet_ca::slots::{Kind, SlotId};
use signet_datastore::records::{Slot, SlotState};
use signet_model::Change;
use std::sync::Arc;

impl Reconciler {
    /// Gives up the slots of this kind that cannot go on.
    pub(super) async fn give_up_orphans(&self, kind: Kind) -> Result<(), AuthorityFault> {
        for slot in SlotId::BOTH {
            let Some(held) = self.stored(kind, slot) else {
                continue;
            };
            match self.defect(&held).await? {
                Some(reason) => self.give_up(kind, &held, reason).await?,
                None => self.warn_of_the_future(kind, &held),
            }
        }
        Ok(())
    }

    async fn defect(&self, held: &Slot) -> Result<Option<&'static str>, AuthorityFault> {
        let bundle = self.bundle(&self.state.read());
        if !stored::is_published(held, &bundle) {
            return Ok(Some("it is not in the bundle"));
        }
        Ok(match self.keys.get(&held.key_manager_id).await? {
            None => Some("the key manager has no such key"),
            Some(key) if !stored::belongs(key.public_key(), held) => {
                Some("the key manager has another key: is it another server's?")
            }
            Some(_) => None,
        })
    }

    async fn give_up(
        &self,
        kind: Kind,
        held: &Slot,
        reason: &'static str,
    ) -> Result<(), AuthorityFault> {
        tracing::warn!(
            authority_id = held.authority_id,
            kind = %kind,
            reason,
            "an authority is given up; another takes its place"
        );
        if held.state == SlotState::Active {
            self.authorities.withdraw(kind);
        }
        let give_up = |snapshot: &Snapshot| Ok((self.removal(snapshot, kind, held), ()));
        self.state.change(give_up).await
    }

    /// Drops a slot; the bundle loses what was only prepared.
    pub(super) fn removal(&self, snapshot: &Snapshot, kind: Kind, held: &Slot) -> Plan {
        let plan = Plan::default().drop_slot(held);
        let mut bundle = self.bundle(snapshot);
        let (shelf, id) = (Shelf::of(kind), &held.authority_id);
        if held.state != SlotState::Prepared || shelf.find(&bundle, id).is_none() {
            return plan;
        }
        shelf.remove(&mut bundle, id);
        plan.change(Change::PutBundle(Arc::new(bundle)))
    }

    fn warn_of_the_future(&self, kind: Kind, held: &Slot) {
        let now = self.clock.now();
        let is_future = held.issued_at.duration_since(now).ok();
        let Some(ahead) = is_future.filter(|ahead| *ahead > signet_model::lifetime::BACKDATE)
        else {
            return;
        };
        if held.state != SlotState::Old {
            tracing::warn!(
                authority_id = held.authority_id,
                kind = %kind,
                ahead_seconds = ahead.as_secs(),
                "an authority is from the future: the clock was set back, or was wrong when it was \
                 made; another takes its place"
            );
        }
    }
}
