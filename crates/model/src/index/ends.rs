//! What ends when.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::SystemTime;

/// Things by the time at which they end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ends<T: Ord>(BTreeMap<SystemTime, BTreeSet<T>>);

impl<T: Ord> Default for Ends<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord> Ends<T> {
    pub(super) fn insert(&mut self, end: SystemTime, thing: T) {
        self.0.entry(end).or_default().insert(thing);
    }

    pub(super) fn remove(&mut self, end: SystemTime, thing: &T) {
        if let Some(things) = self.0.get_mut(&end) {
            things.remove(thing);
            if things.is_empty() {
                self.0.remove(&end);
            }
        }
    }

    /// The next end after this time.
    pub(super) fn next(&self, time: SystemTime) -> Option<SystemTime> {
        let mut later = self.0.range((Bound::Excluded(time), Bound::Unbounded));
        later.next().map(|(end, _)| *end)
    }

    /// What ends after `since` and not after `until`. Nothing, if time went backwards.
    pub(super) fn between(&self, since: SystemTime, until: SystemTime) -> impl Iterator<Item = &T> {
        let range = (Bound::Excluded(since), Bound::Included(until.max(since)));
        let ends = (since < until).then(|| self.0.range(range));
        ends.into_iter().flatten().flat_map(|(_, things)| things)
    }
}
