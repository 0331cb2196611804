//! What is known at one revision, and the commit that a plan made from it becomes.

use super::Plan;
use signet_datastore::records::{Condemnation, Fact, Ledger, RecordError, Slot, Stored, keys};
use signet_datastore::{Commit, Committed, Record};
use signet_model::{Affected, Change, Entry, Index, Revision};
use signet_spiffe::TrustDomain;
use std::collections::{BTreeMap, BTreeSet};

/// The index and what the store knows of each record.
#[derive(Debug)]
pub struct Snapshot {
    /// Who may have what.
    pub index: Index,
    ledger: Ledger,
    slots: BTreeMap<String, Slot>,
    condemned: BTreeMap<String, Condemnation>,
}

impl Snapshot {
    /// Of all records that the store holds.
    pub(super) fn of(records: &[Record], trust_domain: &TrustDomain) -> Result<Self, RecordError> {
        let mut snapshot = Self::new(trust_domain.clone());
        for record in records {
            let fact = snapshot.ledger.take(record, trust_domain)?;
            snapshot.take(fact);
        }
        Ok(snapshot)
    }

    fn new(trust_domain: TrustDomain) -> Self {
        let index = Index::new(trust_domain);
        Self {
            index,
            ledger: Ledger::default(),
            slots: BTreeMap::new(),
            condemned: BTreeMap::new(),
        }
    }

    /// The slots of all authorities of all servers.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    /// The authorities of one kind that a server is replacing.
    pub fn condemned(&self, server_id: &str, kind: &str) -> Option<&Condemnation> {
        self.condemned.get(&keys::condemnation(server_id, kind))
    }

    /// The revision that wrote the record with this key.
    pub fn revision_of(&self, key: &str) -> Option<Revision> {
        self.ledger.revision(key)
    }

    /// What names the form an entry has: the revision that wrote it. Unlike the entry's own revision
    /// number it never comes again in this store, not even for an entry made anew under the same id.
    pub fn form(&self, entry: &Entry) -> i64 {
        let written = self.revision_of(&keys::entry(&entry.id));
        let written = written.map_or(0, |revision| revision.0);
        i64::try_from(written).unwrap_or(i64::MAX)
    }

    pub(super) fn commit_of(&self, plan: &Plan) -> Commit {
        let mut commit = Commit::new();
        for key in &plan.unchanged {
            commit = match self.ledger.revision(key) {
                Some(revision) => commit.unchanged(key, revision),
                None => commit.absent(key),
            };
        }
        for change in &plan.changes {
            commit = self.add(commit, change);
        }
        for slot in &plan.slots {
            commit = self.ledger.replace(commit, slot);
        }
        for condemned in &plan.condemned {
            commit = self.ledger.replace(commit, condemned);
        }
        for key in &plan.dropped {
            commit = self.ledger.delete(commit, key);
        }
        // What one entry of this plan releases another may claim: the first goes in the form the index
        // shows, so that nobody else has come between.
        let claimed = |key: &&String| plan.claims.iter().any(|(claimed, _)| claimed == *key);
        let handed_on: BTreeSet<&String> = plan.releases.iter().filter(claimed).collect();
        for (key, owner) in &plan.claims {
            if !handed_on.contains(key) {
                commit = commit.absent(key);
            }
            commit = commit.put(key, keys::owner(owner));
        }
        let released = plan.releases.iter().filter(|key| !handed_on.contains(key));
        released.fold(commit, Commit::delete)
    }

    fn add(&self, commit: Commit, change: &Change) -> Commit {
        match change {
            Change::PutEntry(entry) => self.ledger.replace(commit, &**entry),
            Change::PutAgent(agent) => self.ledger.replace(commit, &**agent),
            Change::PutBundle(bundle) => self.ledger.replace(commit, &**bundle),
            Change::PutToken(token) => self.ledger.replace(commit, &**token),
            Change::DeleteEntry(id) => self.ledger.delete(commit, &keys::entry(id)),
            Change::DeleteAgent(id) => self.ledger.delete(commit, &keys::agent(id)),
            Change::DeleteBundle(name) => self.ledger.delete(commit, &keys::bundle(name)),
            Change::DeleteToken(id) => self.ledger.delete(commit, &keys::token(id)),
            Change::PutUsed(used) => self.ledger.replace(commit, &**used),
            Change::DeleteUsed(id) => self.ledger.delete(commit, &keys::used(id)),
        }
    }

    fn take(&mut self, fact: Fact) -> Option<Affected> {
        match fact {
            Fact::Slot(slot) => {
                self.slots.insert(slot.key(), slot);
                None
            }
            Fact::Condemnation(condemned) => {
                self.condemned.insert(condemned.key(), condemned);
                None
            }
            other => other.into_change().map(|change| self.index.apply(&change)),
        }
    }

    pub(super) fn apply(&mut self, committed: &Committed) -> Result<Vec<Affected>, RecordError> {
        let trust_domain = self.index.trust_domain().clone();
        let mut affected = Vec::new();
        for key in &committed.deletes {
            self.slots.remove(key);
            self.condemned.remove(key);
            affected.extend(keys::deleted(key, &trust_domain).map(|gone| self.index.apply(&gone)));
        }
        for fact in self.ledger.apply(committed, &trust_domain)? {
            affected.extend(self.take(fact));
        }
        Ok(affected)
    }
}
