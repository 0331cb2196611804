//! Entries of resources that are refused, and were when this server began: what they declared before
//! stands nowhere, so the entries that came of it stay as they are. Each goes with its pod; all go when
//! the resource is understood again, which then says what is declared, or is gone.

use std::collections::HashMap;
use std::sync::Arc;

use signet_model::Entry;

use super::claim::{Claim, Claimed, Outcome, fingerprint};
use super::report::group;
use super::{Group, Source, World};
use crate::objects::Kind;
use crate::rule::{identity, origin};

/// An entry that stays.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) source: Arc<Source>,
    /// Whether the resource only spoke where no other did.
    pub(super) is_fallback: bool,
    entry: Arc<Entry>,
}

impl Kept {
    pub(super) fn claimed(&self) -> Claimed {
        let entry = Entry::clone(&self.entry);
        (self.source.clone(), Some(Ok(entry)))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct AllKept(HashMap<Group, Vec<Kept>>);

impl AllKept {
    pub(super) fn of(&self, group: &Group) -> impl Iterator<Item = &Kept> {
        self.0.get(group).into_iter().flatten()
    }

    /// Where an entry of this resource stays.
    pub(super) fn group_of(&self, uid: &str) -> Option<&Group> {
        let mut all = self.0.iter();
        let found = all.find(|(_, kept)| kept.iter().any(|one| &*one.source.uid == uid));
        found.map(|(group, _)| group)
    }

    /// A pod's end is that of what was declared for all pods.
    pub(super) fn pod_ended(&mut self, group: &Group) {
        if let Some(all) = self.0.get_mut(group) {
            all.retain(|kept| kept.source.kind != Kind::SpiffeIds);
            if all.is_empty() {
                self.0.remove(group);
            }
        }
    }

    /// Where entries of this resource stayed until now.
    fn let_go(&mut self, uid: &str) -> Vec<Group> {
        let mut left = Vec::new();
        self.0.retain(|group, all| {
            let before = all.len();
            all.retain(|kept| &*kept.source.uid != uid);
            if all.len() < before {
                left.push(group.clone());
            }
            !all.is_empty()
        });
        left
    }
}

impl World {
    /// Has the entries stay, of those that the server has, which came of resources that are refused and
    /// whose good form nobody knows. To be called when everything was listed, before anything is worked
    /// out or removed.
    pub fn keep<'a>(&mut self, owned: impl IntoIterator<Item = &'a Arc<Entry>>) {
        let lost = self.lost();
        if lost.is_empty() {
            return;
        }
        let prefix = self.settings.id_prefix();
        for entry in owned {
            let text = entry.id.as_str().strip_prefix(&prefix);
            let origin = text.and_then(|text| text.rsplit_once('.'));
            let Some((source, is_fallback)) = origin.and_then(|(origin, _)| lost.get(origin))
            else {
                continue;
            };
            let (source, is_fallback) = (source.clone(), *is_fallback);
            let entry = entry.clone();
            self.keep_one(
                &prefix,
                Kept {
                    source,
                    is_fallback,
                    entry,
                },
            );
        }
    }

    fn keep_one(&mut self, prefix: &str, kept: Kept) {
        let entry = &kept.entry;
        let group = group(entry);
        let is_known = self.kept.of(&group).any(|known| known.entry.id == entry.id);
        let claim = Claim {
            source: kept.source.clone(),
            outcome: Outcome::Wins {
                identity: identity(&entry.spiffe_id, &entry.parent_id, &entry.selectors),
                fingerprint: fingerprint(entry),
            },
        };
        // One whose identity was changed by hand is not what was declared.
        let is_as_declared = claim.wins(prefix).is_some_and(|(id, _)| id == entry.id);
        let is_over = match &group {
            Group::Pod(uid) if kept.source.kind == Kind::SpiffeIds => {
                self.watched.pod(uid).is_none()
            }
            _ => false,
        };
        if is_known || is_over || !is_as_declared {
            return;
        }
        self.note(&[], std::slice::from_ref(&claim));
        self.groups.entry(group.clone()).or_default().push(claim);
        self.kept.0.entry(group.clone()).or_default().push(kept);
        self.marked.insert(group);
    }

    /// A resource is gone, or says by itself what is declared: nothing stays only because it did.
    pub(super) fn let_go(&mut self, uid: &str) {
        let left = self.kept.let_go(uid);
        self.marked.extend(left);
    }

    /// The resources by what the ids of their entries say of them.
    fn lost(&self) -> HashMap<String, (Arc<Source>, bool)> {
        let rules = self.rules.values().filter(|held| held.is_lost());
        let rules = rules.map(|held| (&held.source, held.is_fallback));
        let statics = self.statics.values().filter(|held| held.is_lost());
        let statics = statics.map(|held| (&held.source, false));
        let all = rules.chain(statics);
        all.map(|(source, is_fallback)| {
            let origin = origin(&source.created, &source.uid);
            (origin, (source.clone(), is_fallback))
        })
        .collect()
    }
}
