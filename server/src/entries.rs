//! Entries: create, update, delete, find.
//!
//! What an entry may say is a rule of `signet_model`; here stands what needs the index: that ids
//! and similar entries are unique, and that a federated bundle exists.

use crate::audit::{self, AuditEventExt};
use crate::caller::Authorized;
use crate::issuer::Issuer;
use crate::state::{Plan, Snapshot, StateError};
use signet_datastore::records::keys;
use signet_model::{Entry, EntryError, EntryId, Selector, SelectorSet};
use signet_spiffe::{SpiffeId, TrustDomain};
use signet_telemetry::audit::AuditError;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why an entry was not written.
#[derive(Debug, thiserror::Error)]
pub enum EntryFault {
    /// The entry itself may not be.
    #[error(transparent)]
    Invalid(#[from] EntryError),
    /// The request cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// Another entry says the same.
    #[error("similar entry already exists")]
    Similar(Arc<Entry>),
    /// The id is in use.
    #[error("entry already exists")]
    IdTaken,
    /// There is no such entry.
    #[error("entry not found")]
    NotFound,
    /// It federates with a trust domain whose bundle the server does not have.
    #[error("unable to find federated bundle \"{0}\": set it with `bundle set` first")]
    NoBundle(TrustDomain),
    /// The change was not stored.
    #[error(transparent)]
    State(#[from] StateError),
    /// The change was stored but its record was not kept.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// How a stored set must relate to a given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The same.
    Exact,
    /// Stored is part of given, and not empty.
    Subset,
    /// Stored holds all given.
    Superset,
    /// They share one at least.
    Any,
}

impl Match {
    /// Whether `stored` relates so to `given`.
    pub fn holds<T: Ord>(self, stored: &BTreeSet<T>, given: &BTreeSet<T>) -> bool {
        match self {
            Self::Exact => stored == given,
            Self::Subset => !stored.is_empty() && stored.is_subset(given),
            Self::Superset => stored.is_superset(given),
            Self::Any => !stored.is_disjoint(given),
        }
    }

    /// As [`Match::holds`], for selectors.
    pub fn selectors(self, stored: &SelectorSet, given: &BTreeSet<Selector>) -> bool {
        self.holds(&stored.iter().cloned().collect(), given)
    }
}

/// Which entries are asked for; all conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct EntryFilter {
    /// With this SPIFFE ID.
    pub spiffe_id: Option<SpiffeId>,
    /// With this parent.
    pub parent_id: Option<SpiffeId>,
    /// With such selectors.
    pub selectors: Option<(Match, BTreeSet<Selector>)>,
    /// That federate so.
    pub federates_with: Option<(Match, BTreeSet<TrustDomain>)>,
    /// With this hint.
    pub hint: Option<String>,
    /// Only entries of downstream servers.
    pub downstream: bool,
}

impl EntryFilter {
    /// Whether the entry is asked for.
    pub fn admits(&self, entry: &Entry) -> bool {
        self.spiffe_id
            .as_ref()
            .is_none_or(|id| *id == entry.spiffe_id)
            && self
                .parent_id
                .as_ref()
                .is_none_or(|id| *id == entry.parent_id)
            && self.hint.as_ref().is_none_or(|hint| *hint == entry.hint)
            && (!self.downstream || entry.downstream)
            && self
                .selectors
                .as_ref()
                .is_none_or(|(how, given)| how.selectors(&entry.selectors, given))
            && self
                .federates_with
                .as_ref()
                .is_none_or(|(how, given)| how.holds(&entry.federates_with, given))
    }
}

impl Issuer {
    /// The entries asked for, in the order of creation.
    pub fn find_entries(&self, filter: &EntryFilter) -> Vec<Arc<Entry>> {
        let snapshot = self.state.read();
        let found = snapshot
            .index
            .entries()
            .filter(|entry| filter.admits(entry));
        found.cloned().collect()
    }

    /// The entry of this id.
    pub fn entry(&self, id: &EntryId) -> Option<Arc<Entry>> {
        self.state.read().index.entry(id).cloned()
    }

    /// Creates an entry. Revision and time of creation are the server's.
    pub async fn create_entry(
        &self,
        by: &Authorized,
        entry: Entry,
    ) -> Result<Arc<Entry>, EntryFault> {
        let record = audit::event(by, "entry.create").of_entry(&entry);
        let created = self.try_create(entry).await;
        self.recorded(record, created)
    }

    async fn try_create(&self, entry: Entry) -> Result<Arc<Entry>, EntryFault> {
        let entry = Entry {
            revision_number: 0,
            created_at: self.clock.now(),
            ..entry
        };
        let entry = Arc::new(signet_model::entry::check(entry, &self.trust_domain)?);
        self.state
            .change(|snapshot| Ok((creation(snapshot, &entry)?, entry.clone())))
            .await
    }

    /// Changes an entry: `edit` makes the new one from the old.
    pub async fn update_entry<F>(
        &self,
        by: &Authorized,
        id: &EntryId,
        edit: F,
    ) -> Result<Arc<Entry>, EntryFault>
    where
        F: Fn(&Entry) -> Result<Entry, EntryFault> + Send + Sync,
    {
        let updated = self.try_update(id, edit).await;
        let record = audit::event(by, "entry.update");
        let record = match &updated {
            Ok(entry) => record.of_entry(entry),
            Err(_) => record.of_entry_id(id),
        };
        self.recorded(record, updated)
    }

    async fn try_update<F>(&self, id: &EntryId, edit: F) -> Result<Arc<Entry>, EntryFault>
    where
        F: Fn(&Entry) -> Result<Entry, EntryFault> + Send + Sync,
    {
        let update = |snapshot: &Snapshot| {
            let old = snapshot.index.entry(id).ok_or(EntryFault::NotFound)?;
            let new = Entry {
                id: old.id.clone(),
                revision_number: old.revision_number + 1,
                created_at: old.created_at,
                ..edit(old)?
            };
            let new = Arc::new(signet_model::entry::check(new, &self.trust_domain)?);
            Ok((replacement(snapshot, old, &new)?, new))
        };
        self.state.change(update).await
    }

    /// Deletes an entry.
    pub async fn delete_entry(&self, by: &Authorized, id: &EntryId) -> Result<(), EntryFault> {
        let delete = |snapshot: &Snapshot| {
            let entry = snapshot.index.entry(id).ok_or(EntryFault::NotFound)?;
            Ok((Plan::default().delete_entry(entry), entry.clone()))
        };
        let deleted = self.state.change(delete).await;
        let record = audit::event(by, "entry.delete");
        let record = match &deleted {
            Ok(entry) => record.of_entry(entry),
            Err(_) => record.of_entry_id(id),
        };
        self.recorded(record, deleted).map(|_| ())
    }

    fn recorded<T>(
        &self,
        record: signet_model::AuditEvent,
        outcome: Result<T, EntryFault>,
    ) -> Result<T, EntryFault> {
        match &outcome {
            Ok(_) => self.audit.record(record)?,
            Err(fault) => self.audit.refused(record.because(fault)),
        }
        outcome
    }
}

fn creation(snapshot: &Snapshot, entry: &Arc<Entry>) -> Result<Plan, EntryFault> {
    if let Some(similar) = snapshot.index.similar(entry) {
        return Err(EntryFault::Similar(similar));
    }
    if snapshot.index.entry(&entry.id).is_some() {
        return Err(EntryFault::IdTaken);
    }
    Ok(bundles_exist(snapshot, entry)?.create_entry(entry))
}

fn replacement(snapshot: &Snapshot, old: &Entry, new: &Arc<Entry>) -> Result<Plan, EntryFault> {
    if !old.is_similar(new)
        && let Some(similar) = snapshot.index.similar(new)
    {
        return Err(EntryFault::Similar(similar));
    }
    Ok(bundles_exist(snapshot, new)?.replace_entry(old, new))
}

/// Demands that the bundles an entry federates with are there, and still are at the commit.
fn bundles_exist(snapshot: &Snapshot, entry: &Entry) -> Result<Plan, EntryFault> {
    entry
        .federates_with
        .iter()
        .try_fold(Plan::default(), |plan, trust_domain| {
            if snapshot.index.bundle(trust_domain).is_none() {
                return Err(EntryFault::NoBundle(trust_domain.clone()));
            }
            Ok(plan.unchanged(keys::bundle(trust_domain)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[u8]) -> BTreeSet<u8> {
        items.iter().copied().collect()
    }

    #[test]
    fn matches_are_those_of_the_standard_filters() {
        let given = set(&[1, 2]);
        let cases = [
            (Match::Exact, &[1, 2][..], true),
            (Match::Exact, &[1], false),
            (Match::Subset, &[1], true),
            (Match::Subset, &[], false),
            (Match::Subset, &[1, 3], false),
            (Match::Superset, &[1, 2, 3], true),
            (Match::Superset, &[1, 3], false),
            (Match::Any, &[2, 9], true),
            (Match::Any, &[9], false),
        ];
        for (how, stored, expected) in cases {
            assert_eq!(
                how.holds(&set(stored), &given),
                expected,
                "{how:?} {stored:?}"
            );
        }
    }
}
