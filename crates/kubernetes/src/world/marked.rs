//! Groups that are to be worked out, in the order in which that is done: what is about a few pods comes
//! before what is about many, so that a pod that starts does not wait for a resource that concerns all.

use std::collections::BTreeSet;

use super::Group;

/// More groups than this at once are many: a node has at most about as many pods.
const FEW: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Marked {
    few: BTreeSet<Group>,
    many: BTreeSet<Group>,
}

impl Marked {
    pub(super) fn insert(&mut self, group: Group) {
        self.many.remove(&group);
        self.few.insert(group);
    }

    /// All of these, for one reason.
    pub(super) fn extend(&mut self, groups: impl IntoIterator<Item = Group>) {
        let groups: Vec<_> = groups.into_iter().collect();
        if groups.len() <= FEW {
            return groups.into_iter().for_each(|group| self.insert(group));
        }
        let new = groups.into_iter().filter(|group| !self.few.contains(group));
        self.many.extend(new);
    }

    pub(super) fn pop(&mut self) -> Option<Group> {
        self.few.pop_first().or_else(|| self.many.pop_first())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }
}
