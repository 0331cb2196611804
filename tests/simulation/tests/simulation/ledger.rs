//! What the operators asked for and were told: the state every entry, bundle and agent may be in.
//! A write that was acknowledged leaves one state; one whose answer got lost leaves two.

use signet_model::{Entry, EntryId, Index};
use signet_spiffe::{Bundle, SpiffeId, TrustDomain};
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

/// The states that one thing may be in; `None` is absent.
type Possible<T> = Vec<Option<T>>;

/// The book of writes.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<EntryId, Possible<Entry>>,
    bundles: BTreeMap<TrustDomain, Possible<Bundle>>,
    /// Agents whose ban was acknowledged.
    banned: BTreeSet<SpiffeId>,
    /// Agents whose eviction was acknowledged.
    evicted: BTreeSet<SpiffeId>,
    /// Entries and bundles with a write under way.
    busy: BTreeSet<String>,
}

impl Ledger {
    /// Entries that exist for sure and have no write under way.
    pub(crate) fn settled_entries(&self) -> Vec<Entry> {
        let settled = self.entries.iter().filter_map(|(id, states)| {
            let [Some(entry)] = states.as_slice() else {
                return None;
            };
            (!self.busy.contains(id.as_str())).then(|| entry.clone())
        });
        settled.collect()
    }

    /// Foreign bundles that exist for sure.
    pub(crate) fn settled_bundles(&self) -> Vec<TrustDomain> {
        let settled = self.bundles.iter().filter_map(|(name, states)| {
            let exists = matches!(states.as_slice(), [Some(_)]);
            (exists && !self.busy.contains(name.name())).then(|| name.clone())
        });
        settled.collect()
    }

    pub(crate) fn is_busy(&self, name: &str) -> bool {
        self.busy.contains(name)
    }

    /// Whether a bundle is being deleted or a write to any entry is under way: such writes meet.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }

    /// Whether no write ever named this entry.
    pub(crate) fn is_new(&self, id: &EntryId) -> bool {
        !self.entries.contains_key(id)
    }

    pub(crate) fn begin_entry(&mut self, id: &EntryId, next: Option<Entry>) {
        self.busy.insert(id.to_string());
        let states = self.entries.entry(id.clone()).or_insert(vec![None]);
        states.push(next);
    }

    /// The write was acknowledged.
    pub(crate) fn entry_is(&mut self, id: &EntryId, now: Option<Entry>) {
        self.busy.remove(id.as_str());
        self.entries.insert(id.clone(), vec![now]);
    }

    /// The write was refused, with nothing written.
    pub(crate) fn entry_stays(&mut self, id: &EntryId) {
        self.busy.remove(id.as_str());
        if let Some(states) = self.entries.get_mut(id) {
            states.pop();
        }
    }

    /// It is not known what became of the write.
    pub(crate) fn entry_unknown(&mut self, id: &EntryId) {
        self.busy.remove(id.as_str());
    }

    pub(crate) fn begin_bundle(&mut self, name: &TrustDomain, next: Option<Bundle>) {
        self.busy.insert(name.name().to_owned());
        let states = self.bundles.entry(name.clone()).or_insert(vec![None]);
        let deleted = next.is_none();
        states.push(next);
        if deleted {
            self.may_dissociate(name);
        }
    }

    pub(crate) fn bundle_is(&mut self, name: &TrustDomain, now: Option<Bundle>) {
        self.busy.remove(name.name());
        if now.is_none() {
            self.dissociated(name);
        }
        self.bundles.insert(name.clone(), vec![now]);
    }

    pub(crate) fn bundle_stays(&mut self, name: &TrustDomain) {
        self.busy.remove(name.name());
        if let Some(states) = self.bundles.get_mut(name) {
            states.pop();
        }
    }

    pub(crate) fn bundle_unknown(&mut self, name: &TrustDomain) {
        self.busy.remove(name.name());
    }

    pub(crate) fn banned(&mut self, id: &SpiffeId) {
        self.banned.insert(id.clone());
    }

    pub(crate) fn evicted(&mut self, id: &SpiffeId) {
        self.evicted.insert(id.clone());
    }

    /// The process died: whatever was under way is not known.
    pub(crate) fn crashed(&mut self) {
        self.busy.clear();
    }

    fn may_dissociate(&mut self, name: &TrustDomain) {
        for states in self.entries.values_mut() {
            let left: Vec<_> = states
                .iter()
                .flatten()
                .filter(|entry| entry.federates_with.contains(name))
                .map(|entry| Some(without(entry, name)))
                .collect();
            states.extend(left);
        }
    }

    fn dissociated(&mut self, name: &TrustDomain) {
        for states in self.entries.values_mut() {
            states.retain(|state| {
                let entry = state.as_ref();
                entry.is_none_or(|entry| !entry.federates_with.contains(name))
            });
        }
    }

    /// Compares with what is stored, and takes what is stored as known from now on.
    pub(crate) fn compare(&mut self, index: &Index, now: SystemTime) -> Result<(), String> {
        for (id, states) in &mut self.entries {
            let found = index.entry(id).map(AsRef::as_ref);
            let pruned = |entry: &Entry| found.is_none() && entry.is_expired(now);
            let fits = states.iter().any(|state| match (state, found) {
                (Some(entry), Some(found)) => same(entry, found),
                (Some(entry), None) => pruned(entry),
                (None, found) => found.is_none(),
            });
            if !fits {
                return Err(format!(
                    "entry {id}: stored is {found:?}, possible is {states:?}"
                ));
            }
            if !self.busy.contains(id.as_str()) {
                *states = vec![found.cloned()];
            }
        }
        for (name, states) in &mut self.bundles {
            let found = index.bundle(name).map(AsRef::as_ref);
            if !states.iter().any(|state| state.as_ref() == found) {
                return Err(format!(
                    "bundle {name}: stored is {found:?}, possible is {states:?}"
                ));
            }
            if !self.busy.contains(name.name()) {
                *states = vec![found.cloned()];
            }
        }
        let forgotten = self.banned.iter().find(|id| {
            let agent = index.agent(id);
            !self.evicted.contains(*id) && agent.is_none_or(|agent| !agent.is_banned())
        });
        if let Some(id) = forgotten {
            return Err(format!("the ban of {id} is lost"));
        }
        let back = self.evicted.iter().find(|id| index.agent(id).is_some());
        if let Some(id) = back {
            return Err(format!("{id} was evicted and is there again"));
        }
        Ok(())
    }
}

/// The server's own fields aside: when it was created.
fn same(one: &Entry, other: &Entry) -> bool {
    let other = Entry {
        created_at: one.created_at,
        ..other.clone()
    };
    *one == other
}

fn without(entry: &Entry, name: &TrustDomain) -> Entry {
    let mut entry = entry.clone();
    entry.federates_with.remove(name);
    entry.revision_number += 1;
    entry
}
