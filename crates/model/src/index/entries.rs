//! The entries, by everything one of them is looked for.
//!
//! An entry that may not be written (another trust domain, a reserved ID, no selector) and yet is in
//! the store is kept and shown, but stands in none of the tables that grant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use signet_spiffe::{SpiffeId, TrustDomain};

use super::ends::Ends;
use super::groups::Groups;
use crate::entry::{Entry, EntryId};
use crate::role;
use crate::selector::{Selector, SelectorSet};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct EntryTable {
    trust_domain: TrustDomain,
    entries: BTreeMap<EntryId, Arc<Entry>>,
    by_creation: BTreeSet<(SystemTime, EntryId)>,
    ends: Ends<EntryId>,
    by_federated: Groups<TrustDomain, EntryId>,
    by_spiffe_id: Groups<SpiffeId, EntryId>,
    by_parent_and_spiffe_id: Groups<(SpiffeId, SpiffeId), EntryId>,
    /// All but node aliases.
    by_parent: Groups<SpiffeId, EntryId>,
    /// Node aliases by the first of their selectors: an agent with all of them has this one.
    aliases: Groups<Selector, EntryId>,
}

impl EntryTable {
    pub(super) fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            entries: BTreeMap::new(),
            by_creation: BTreeSet::new(),
            ends: Ends::default(),
            by_federated: Groups::default(),
            by_spiffe_id: Groups::default(),
            by_parent_and_spiffe_id: Groups::default(),
            by_parent: Groups::default(),
            aliases: Groups::default(),
        }
    }

    pub(super) fn put(&mut self, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        let old = self.remove(&entry.id);
        let id = &entry.id;
        self.by_creation.insert((entry.created_at, id.clone()));
        if let Some(end) = entry.expires_at {
            self.ends.insert(end, id.clone());
        }
        for trust_domain in &entry.federates_with {
            self.by_federated.insert(trust_domain, id.clone());
        }
        if self.is_linked(entry) {
            self.link(entry);
        }
        self.entries.insert(id.clone(), Arc::clone(entry));
        old
    }

    pub(super) fn remove(&mut self, id: &EntryId) -> Option<Arc<Entry>> {
        let old = self.entries.remove(id)?;
        self.by_creation.remove(&(old.created_at, id.clone()));
        if let Some(end) = old.expires_at {
            self.ends.remove(end, id);
        }
        for trust_domain in &old.federates_with {
            self.by_federated.remove(trust_domain, id);
        }
        if self.is_linked(&old) {
            self.unlink(&old);
        }
        Some(old)
    }

    /// Whether the entry stands in the tables that grant.
    pub(super) fn is_linked(&self, entry: &Entry) -> bool {
        role::workload(&entry.spiffe_id, &self.trust_domain).is_ok()
            && role::member(&entry.parent_id, &self.trust_domain).is_ok()
            && !entry.selectors.is_empty()
    }

    fn link(&mut self, entry: &Entry) {
        let id = &entry.id;
        self.by_spiffe_id.insert(&entry.spiffe_id, id.clone());
        self.by_parent_and_spiffe_id
            .insert(&both(entry), id.clone());
        match alias_key(entry) {
            Some(selector) => self.aliases.insert(selector, id.clone()),
            None => self.by_parent.insert(&entry.parent_id, id.clone()),
        }
    }

    fn unlink(&mut self, entry: &Entry) {
        let id = &entry.id;
        self.by_spiffe_id.remove(&entry.spiffe_id, id);
        self.by_parent_and_spiffe_id.remove(&both(entry), id);
        match alias_key(entry) {
            Some(selector) => self.aliases.remove(selector, id),
            None => self.by_parent.remove(&entry.parent_id, id),
        }
    }

    pub(super) fn get(&self, id: &EntryId) -> Option<&Arc<Entry>> {
        self.entries.get(id)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn by_creation(&self) -> &BTreeSet<(SystemTime, EntryId)> {
        &self.by_creation
    }

    pub(super) fn ends(&self) -> &Ends<EntryId> {
        &self.ends
    }

    /// Entries directly under a parent that is not the server.
    pub(super) fn below<'a>(
        &'a self,
        parent: &'a SpiffeId,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.all_of(self.by_parent.get(parent))
    }

    /// Entries that give this SPIFFE ID, node aliases among them.
    pub(super) fn giving<'a>(&'a self, id: &'a SpiffeId) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.all_of(self.by_spiffe_id.get(id))
    }

    /// Entries under this parent that give this SPIFFE ID.
    pub(super) fn linking(
        &self,
        parent: &SpiffeId,
        id: &SpiffeId,
    ) -> impl Iterator<Item = &Arc<Entry>> {
        self.all_of(
            self.by_parent_and_spiffe_id
                .get(&(parent.clone(), id.clone())),
        )
    }

    /// Entries that federate with this trust domain.
    pub(super) fn federating<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.all_of(self.by_federated.get(trust_domain))
    }

    /// Node aliases all of whose selectors are among these.
    pub(super) fn aliases_of<'a>(
        &'a self,
        selectors: &'a SelectorSet,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.all_of(selectors.iter().flat_map(|s| self.aliases.get(s)))
            .filter(|alias| alias.selectors.is_subset(selectors))
    }

    fn all_of<'a>(
        &'a self,
        ids: impl Iterator<Item = &'a EntryId>,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        ids.filter_map(|id| self.entries.get(id))
    }
}

fn both(entry: &Entry) -> (SpiffeId, SpiffeId) {
    (entry.parent_id.clone(), entry.spiffe_id.clone())
}

/// The selector a node alias is kept under.
fn alias_key(entry: &Entry) -> Option<&Selector> {
    let first = entry.selectors.first();
    first.filter(|_| entry.is_node_alias())
}
