//! Working out one group: who claims which entry, and who wins.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use signet_crypto::hex;
use signet_model::{Entry, EntryId};

use super::kept::Kept;
use super::{Change, Group, Source, World};
use crate::objects::{Kind, Pod};
use crate::rule::{Identity, identity, origin};

/// What a resource has to do with a group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claim {
    pub(super) source: Arc<Source>,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It declares an entry that is to be there.
    Wins {
        identity: Identity,
        /// Of what was last said of the entry; 0 if that is not known.
        fingerprint: u64,
    },
    /// It declares one that an older resource declares too.
    Masked,
    /// Its templates do not go with the pod.
    Failed,
    /// It selects the pod, but has nothing to say: the pod's node is not known yet, or this is a
    /// fallback and others have spoken.
    Silent,
}

/// What a resource says of a group: an entry, why there is none, or nothing.
pub(super) type Claimed = (Arc<Source>, Option<Result<Entry, String>>);

impl Claim {
    /// The entry that is there because of it.
    pub(super) fn wins(&self, prefix: &str) -> Option<(EntryId, u64)> {
        match self.outcome {
            Outcome::Wins {
                identity,
                fingerprint,
            } => {
                let origin = origin(&self.source.created, &self.source.uid);
                let id = format!("{prefix}{origin}.{}", hex(&identity));
                let id = EntryId::parse(&id).expect("made of an id");
                Some((id, fingerprint))
            }
            _ => None,
        }
    }

    pub(super) fn forget(&mut self) {
        if let Outcome::Wins { fingerprint, .. } = &mut self.outcome {
            *fingerprint = 0;
        }
    }
}

/// Of what a resource says of an entry. What is the server's or an operator's own is left out.
pub(super) fn fingerprint(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&entry.spiffe_id, &entry.parent_id).hash(&mut hasher);
    entry.selectors.iter().for_each(|one| one.hash(&mut hasher));
    (entry.x509_svid_ttl, entry.jwt_svid_ttl).hash(&mut hasher);
    (&entry.federates_with, &entry.dns_names, &entry.hint).hash(&mut hasher);
    (entry.admin, entry.downstream, entry.store_svid).hash(&mut hasher);
    hasher.finish().max(1)
}

impl World {
    pub(super) fn work_out(&mut self, group: Group, changes: &mut Vec<Change>) {
        let (claimed, failures) = self.claimed(&group);
        let old = self.groups.remove(&group).unwrap_or_default();
        let (new, entries) = judged(claimed);
        self.note(&old, &new);
        for (source, failure) in failures {
            self.tallies.entry(source.uid.clone()).or_default().sample = Some(failure);
        }
        let prefix = self.settings.id_prefix();
        let mut before: BTreeMap<_, _> =
            old.iter().filter_map(|claim| claim.wins(&prefix)).collect();
        for (source, entry) in entries {
            let known = before.remove(&entry.id);
            if known != Some(fingerprint(&entry)) {
                let by = Source::clone(&source);
                let entry = Box::new(entry);
                changes.push(Change::Set { entry, by });
            }
        }
        for id in before.into_keys() {
            if let Some((source, _)) = self.failed.remove(&id) {
                self.unreported.insert((source.kind, source.uid));
            }
            changes.push(Change::Unset(id));
        }
        if !new.is_empty() {
            self.groups.insert(group, new);
        }
    }

    /// What resources say of a group, and what is wrong with templates.
    fn claimed(&self, group: &Group) -> (Vec<Claimed>, Vec<(Arc<Source>, String)>) {
        let (mut claimed, mut failures) = (Vec::new(), Vec::new());
        if let Group::Pod(uid) = group
            && let Some(pod) = self.watched.pod(uid)
            && !self.settings.ignored.contains(&pod.namespace)
        {
            (claimed, failures) = self.claimed_by_rules(pod);
        }
        let statics = self.statics_of.get(group).into_iter().flatten();
        for held in statics.filter_map(|uid| self.statics.get(uid)) {
            if let Some(found) = held.what() {
                claimed.push((held.source.clone(), Some(Ok(found.entry.clone()))));
            }
        }
        let kept = self.kept.of(group);
        let statics = kept.filter(|kept| kept.source.kind == Kind::StaticEntries);
        claimed.extend(statics.map(Kept::claimed));
        (claimed, failures)
    }

    fn claimed_by_rules(&self, pod: &Pod) -> (Vec<Claimed>, Vec<(Arc<Source>, String)>) {
        let (mut claimed, mut failures) = (Vec::new(), Vec::new());
        let Some(subject) = self.watched.subject(&self.settings, pod) else {
            return (claimed, failures);
        };
        let has_node = subject.parent_id.is_some();
        let rules = self.rules.values();
        let rules = rules.filter_map(|held| Some((&held.source, held.what()?)));
        let selecting = rules.filter(|(_, rule)| rule.selects(&subject));
        let (fallback, others): (Vec<_>, Vec<_>) =
            selecting.partition(|(_, rule)| rule.is_fallback);
        let mut has_spoken = false;
        let group = Group::Pod(pod.uid.clone());
        let kept = self.kept.of(&group);
        for kept in kept.filter(|kept| has_node && kept.source.kind == Kind::SpiffeIds) {
            has_spoken |= !kept.is_fallback;
            claimed.push(kept.claimed());
        }
        for (source, rule) in others.into_iter().chain(fallback) {
            let silent = !has_node || (rule.is_fallback && has_spoken);
            let entry = (!silent).then(|| {
                let origin = origin(&source.created, &source.uid);
                rule.entry(&self.settings, &origin, &subject)
            });
            match &entry {
                Some(Ok(_)) if !rule.is_fallback => has_spoken = true,
                Some(Err(error)) => {
                    let name = subject.pod["metadata"]["name"].as_str().unwrap_or_default();
                    let failure = format!("pod {}/{name}: {error}", pod.namespace);
                    failures.push((source.clone(), failure));
                }
                _ => {}
            }
            claimed.push((source.clone(), entry));
        }
        (claimed, failures)
    }

    pub(super) fn note(&mut self, old: &[Claim], new: &[Claim]) {
        for (claims, number) in [(old, -1), (new, 1)] {
            for claim in claims {
                let source = &claim.source;
                let tally = self.tallies.entry(source.uid.clone()).or_default();
                tally.count(claim.outcome, number);
                let is_over = tally.is_empty() && !self.rules.contains_key(&source.uid);
                if is_over && source.kind == Kind::SpiffeIds {
                    self.tallies.remove(&source.uid);
                }
            }
        }
        let mut reported: Vec<_> = Vec::new();
        for claim in old.iter().chain(new) {
            let same = |other: &&Claim| other.source == claim.source;
            let (before, after) = (old.iter().find(same), new.iter().find(same));
            if before.map(|claim| kind(claim.outcome)) != after.map(|claim| kind(claim.outcome)) {
                reported.push((claim.source.kind, claim.source.uid.clone()));
            }
        }
        self.unreported.extend(reported);
    }
}

/// As far as a status tells.
fn kind(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Wins { .. } => 0,
        Outcome::Masked => 1,
        Outcome::Failed => 2,
        Outcome::Silent => 3,
    }
}

/// Of those that declare the same entry the oldest wins.
fn judged(claimed: Vec<Claimed>) -> (Vec<Claim>, Vec<(Arc<Source>, Entry)>) {
    let mut claims = Vec::new();
    let mut by_identity: BTreeMap<Identity, Vec<(Arc<Source>, Entry)>> = BTreeMap::new();
    for (source, entry) in claimed {
        let outcome = match entry {
            None => Outcome::Silent,
            Some(Err(_)) => Outcome::Failed,
            Some(Ok(entry)) => {
                let identity = identity(&entry.spiffe_id, &entry.parent_id, &entry.selectors);
                by_identity
                    .entry(identity)
                    .or_default()
                    .push((source, entry));
                continue;
            }
        };
        claims.push(Claim { source, outcome });
    }
    let mut entries = Vec::new();
    for (identity, mut all) in by_identity {
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut all = all.into_iter();
        if let Some((source, entry)) = all.next() {
            let outcome = Outcome::Wins {
                identity,
                fingerprint: fingerprint(&entry),
            };
            let winner = source.clone();
            claims.push(Claim {
                source: winner,
                outcome,
            });
            entries.push((source, entry));
        }
        claims.extend(all.map(|(source, _)| Claim {
            source,
            outcome: Outcome::Masked,
        }));
    }
    claims.shrink_to_fit();
    (claims, entries)
}
