//! A map from a key to an ordered set, which forgets keys without members.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Sets by key. A key without members is not kept, so that two groups with the same members are
/// equal whatever happened before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Groups<K: Hash + Eq, V: Ord>(HashMap<K, BTreeSet<V>>);

impl<K: Hash + Eq, V: Ord> Default for Groups<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone, V: Ord> Groups<K, V> {
    pub(super) fn insert(&mut self, key: &K, value: V) {
        match self.0.get_mut(key) {
            Some(members) => {
                members.insert(value);
            }
            None => {
                self.0.insert(key.clone(), BTreeSet::from([value]));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &K, value: &V) {
        if let Some(members) = self.0.get_mut(key) {
            members.remove(value);
            if members.is_empty() {
                self.0.remove(key);
            }
        }
    }

    pub(super) fn get(&self, key: &K) -> impl Iterator<Item = &V> + use<'_, K, V> {
        self.0.get(key).into_iter().flatten()
    }

    pub(super) fn count(&self, key: &K) -> usize {
        self.0.get(key).map_or(0, BTreeSet::len)
    }
}
