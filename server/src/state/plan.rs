//! What a command wants to change.

use signet_datastore::records::{Condemnation, Slot, Stored, keys};
use signet_model::{Change, Entry};
use signet_spiffe::{Bundle, TrustDomain};
use std::sync::Arc;

/// What a command wants to change, made from the index. Each record it puts or deletes must still
/// be as the index shows it, else the plan is made again.
#[derive(Debug, Default, Clone)]
pub struct Plan {
    pub(super) changes: Vec<Change>,
    pub(super) slots: Vec<Slot>,
    pub(super) condemned: Vec<Condemnation>,
    pub(super) dropped: Vec<String>,
    pub(super) claims: Vec<(String, String)>,
    pub(super) releases: Vec<String>,
    pub(super) unchanged: Vec<String>,
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

    /// Puts a bundle, and a mark that tells whose it is as long as nobody else changes it.
    #[must_use]
    pub fn put_marked_bundle(mut self, bundle: Arc<Bundle>, mark: String) -> Self {
        let owner = keys::bundle(&bundle.trust_domain);
        self.releases.push(mark.clone());
        self.claims.push((mark, owner));
        self.change(Change::PutBundle(bundle))
    }

    /// Deletes a bundle with its mark.
    #[must_use]
    pub fn delete_marked_bundle(mut self, trust_domain: &TrustDomain, mark: String) -> Self {
        self.releases.push(mark);
        self.change(Change::DeleteBundle(trust_domain.clone()))
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
