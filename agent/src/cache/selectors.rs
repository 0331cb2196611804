//! Finds the entries that may match a workload without looking at all of them.
//!
//! An entry matches when its selectors are a subset of the workload's. So it is enough to file
//! each entry under one of its selectors: whoever lacks that one cannot match.

use signet_model::{Entry, EntryId, Selector, SelectorSet};
use std::collections::{BTreeMap, BTreeSet};

/// Entries by their first selector.
#[derive(Debug, Default)]
pub(super) struct SelectorIndex {
    by_first: BTreeMap<Selector, BTreeSet<EntryId>>,
}

impl SelectorIndex {
    /// Files an entry. One without selectors is never found: it would match everybody.
    pub(super) fn insert(&mut self, entry: &Entry) {
        if let Some(first) = entry.selectors.iter().next() {
            let ids = self.by_first.entry(first.clone()).or_default();
            ids.insert(entry.id.clone());
        }
    }

    /// Takes an entry out, in the form in which it was filed.
    pub(super) fn remove(&mut self, entry: &Entry) {
        let Some(first) = entry.selectors.iter().next() else {
            return;
        };
        if let Some(ids) = self.by_first.get_mut(first) {
            ids.remove(&entry.id);
            if ids.is_empty() {
                self.by_first.remove(first);
            }
        }
    }

    /// The entries that may match, in order; each still has to be checked.
    pub(super) fn candidates(&self, selectors: &SelectorSet) -> BTreeSet<EntryId> {
        let filed = selectors.iter().filter_map(|one| self.by_first.get(one));
        filed.flatten().cloned().collect()
    }
}
