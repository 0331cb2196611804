//! What the agent holds: its authorized entries, the bundles, and the X509-SVID of each entry,
//! shared by all workloads that match it.
//!
//! Plain state: no task, no clock, no randomness. [`Cache::apply`] takes what the server says is
//! true and answers what changed; everything else is a question. Nothing is ever removed here
//! because a refresh failed: an SVID leaves only when its entry leaves, its SPIFFE ID changes, a
//! new one takes its place, it expired, or room is needed and nobody uses it.

mod selectors;
mod svid;

pub use svid::{Due, HeldSvid, Refusal};

use selectors::SelectorIndex;
use signet_model::{Entry, EntryId, SelectorSet};
use signet_spiffe::{Bundle, TrustDomain, X509Authority, x509_svid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

/// Why a new SVID does not settle the matter when a server has not yet heard of the taint.
const STILL_TAINTED: &str = "the server signed with a tainted authority";

/// What the server says is true now, whole or as a difference to what the agent holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    /// Whether entries and bundles that are not named here are gone.
    pub whole: bool,
    /// Entries to put, new or changed.
    pub entries: Vec<Arc<Entry>>,
    /// Entries the agent may no longer serve.
    pub removed_entries: Vec<EntryId>,
    /// Bundles to put: the own one and federated ones.
    pub bundles: Vec<Arc<Bundle>>,
    /// Trust domains whose bundle is gone.
    pub removed_bundles: Vec<TrustDomain>,
}

/// What an update or an issue changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changed {
    /// Each changed entry in its old and its new form, where it has one.
    pub entries: Vec<Arc<Entry>>,
    /// The trust domains whose bundle changed.
    pub bundles: BTreeSet<TrustDomain>,
}

impl Changed {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.bundles.is_empty()
    }
}

/// An entry with what the agent has for it.
#[derive(Debug, Clone)]
pub struct Held {
    /// The entry as the server sent it last.
    pub entry: Arc<Entry>,
    /// Its SVID; may be outdated, tainted or expired.
    pub svid: Option<Arc<HeldSvid>>,
    /// Why the server refused the last request for an SVID, until one succeeds.
    pub refused: Option<Refusal>,
    /// Whether the SVID chains to no untainted authority of the own bundle any more.
    pub tainted: bool,
    /// When somebody last subscribed to it.
    pub used: Option<SystemTime>,
}

impl Held {
    fn new(entry: Arc<Entry>) -> Self {
        Self {
            entry,
            svid: None,
            refused: None,
            tainted: false,
            used: None,
        }
    }

    fn refused_again(&self, why: &str, now: SystemTime) -> Refusal {
        let before = self.refused.as_ref().map_or(0, |refusal| refusal.times);
        Refusal {
            why: why.to_owned(),
            at: now,
            times: before.saturating_add(1),
        }
    }

    /// The SVID, unless it has expired.
    pub fn valid_svid(&self, now: SystemTime) -> Option<&Arc<HeldSvid>> {
        self.svid.as_ref().filter(|svid| now < svid.not_after)
    }
}

/// The state itself.
#[derive(Debug)]
pub struct Cache {
    trust_domain: TrustDomain,
    held: BTreeMap<EntryId, Held>,
    index: SelectorIndex,
    bundles: BTreeMap<TrustDomain, Arc<Bundle>>,
}

impl Cache {
    /// Nothing is held yet.
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            held: BTreeMap::new(),
            index: SelectorIndex::default(),
            bundles: BTreeMap::new(),
        }
    }

    /// Takes over what the server says and answers what that changed.
    pub fn apply(&mut self, update: Update, now: SystemTime) -> Changed {
        let mut changed = Changed::default();
        let trusted = self.own_bundle().cloned();
        let (gone_entries, gone_bundles) = self.gone(&update);
        for entry in update.entries {
            self.put_entry(entry, &mut changed);
        }
        for id in gone_entries {
            self.remove_entry(&id, &mut changed);
        }
        for bundle in update.bundles {
            self.put_bundle(bundle, &mut changed);
        }
        for name in gone_bundles {
            if self.bundles.remove(&name).is_some() {
                changed.bundles.insert(name);
            }
        }
        if self.lost_an_authority(trusted.as_deref()) {
            self.mark_tainted(now);
        }
        changed
    }

    /// Takes over a new SVID of an entry. One that came too late, for an entry that is gone or
    /// names another SPIFFE ID by now, is dropped.
    pub fn put_svid(&mut self, id: &EntryId, svid: Arc<HeldSvid>, now: SystemTime) -> Changed {
        let tainted = self.with_taint(true);
        let Some(held) = self.held.get_mut(id) else {
            return Changed::default();
        };
        if held.entry.spiffe_id != svid.id {
            return Changed::default();
        }
        held.tainted = tainted.is_some_and(|bundle| vouches(&bundle, &svid, now));
        held.refused = held.tainted.then(|| held.refused_again(STILL_TAINTED, now));
        held.svid = Some(svid);
        Changed {
            entries: vec![held.entry.clone()],
            bundles: BTreeSet::new(),
        }
    }

    /// Remembers that the server refused an SVID for this entry.
    pub fn put_refusal(&mut self, id: &EntryId, why: &str, now: SystemTime) -> Changed {
        let Some(held) = self.held.get_mut(id) else {
            return Changed::default();
        };
        held.refused = Some(held.refused_again(why, now));
        Changed {
            entries: vec![held.entry.clone()],
            bundles: BTreeSet::new(),
        }
    }

    /// The entries a workload with these selectors may have, by entry id, as SPIRE orders them.
    /// Entries for SVID stores and expired ones are not among them.
    pub fn matching(&self, selectors: &SelectorSet, now: SystemTime) -> Vec<&Held> {
        let candidates = self.index.candidates(selectors);
        candidates
            .iter()
            .filter_map(|id| self.held.get(id))
            .filter(|held| is_served(&held.entry, now))
            .filter(|held| held.entry.selectors.is_subset(selectors))
            .collect()
    }

    /// Notes that somebody subscribed to the entries that match.
    pub fn touch(&mut self, selectors: &SelectorSet, now: SystemTime) {
        for id in self.index.candidates(selectors) {
            if let Some(held) = self.held.get_mut(&id)
                && held.entry.selectors.is_subset(selectors)
            {
                held.used = Some(now);
            }
        }
    }

    /// Drops the SVIDs that were unused for longest, so that `room` remain; those that `keep`
    /// names stay in any case.
    pub fn evict(&mut self, room: usize, keep: impl Fn(&Entry) -> bool) -> usize {
        let with_svid = self.held.values().filter(|held| held.svid.is_some());
        let surplus = with_svid.count().saturating_sub(room);
        if surplus == 0 {
            return 0;
        }
        let mut idle: Vec<_> = self
            .held
            .values()
            .filter(|held| held.svid.is_some() && !keep(&held.entry))
            .map(|held| (held.used, held.entry.id.clone()))
            .collect();
        idle.sort();
        idle.truncate(surplus);
        for (_, id) in &idle {
            if let Some(held) = self.held.get_mut(id) {
                held.svid = None;
            }
        }
        idle.len()
    }

    /// Everything held, by entry id.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    /// One entry with what is held for it.
    pub fn get(&self, id: &EntryId) -> Option<&Held> {
        self.held.get(id)
    }

    /// The bundle of a trust domain.
    pub fn bundle(&self, name: &TrustDomain) -> Option<&Arc<Bundle>> {
        self.bundles.get(name)
    }

    /// The bundle of the agent's own trust domain.
    pub fn own_bundle(&self) -> Option<&Arc<Bundle>> {
        self.bundles.get(&self.trust_domain)
    }

    /// The bundles that are held, by trust domain.
    pub fn bundles(&self) -> impl Iterator<Item = &Arc<Bundle>> {
        self.bundles.values()
    }

    /// The next instant at which an SVID or an entry stops being valid.
    pub fn next_expiry(&self, now: SystemTime) -> Option<SystemTime> {
        let svids = self.held.values().filter_map(|held| held.svid.as_ref());
        let ends = svids.map(|svid| svid.not_after);
        let entries = self.held.values().filter_map(|held| held.entry.expires_at);
        ends.chain(entries).filter(|end| *end > now).min()
    }

    fn gone(&self, update: &Update) -> (Vec<EntryId>, Vec<TrustDomain>) {
        if !update.whole {
            let entries = update.removed_entries.clone();
            return (entries, update.removed_bundles.clone());
        }
        let named: BTreeSet<_> = update.entries.iter().map(|entry| &entry.id).collect();
        let bundles: BTreeSet<_> = update.bundles.iter().map(|b| &b.trust_domain).collect();
        let entries = self.held.keys().filter(|id| !named.contains(id));
        let names = self.bundles.keys().filter(|name| !bundles.contains(name));
        (entries.cloned().collect(), names.cloned().collect())
    }

    fn put_entry(&mut self, entry: Arc<Entry>, changed: &mut Changed) {
        let id = entry.id.clone();
        let Some(held) = self.held.get_mut(&id) else {
            self.index.insert(&entry);
            changed.entries.push(entry.clone());
            self.held.insert(id, Held::new(entry));
            return;
        };
        if held.entry == entry {
            return;
        }
        self.index.remove(&held.entry);
        self.index.insert(&entry);
        changed.entries.push(held.entry.clone());
        changed.entries.push(entry.clone());
        if held.entry.spiffe_id != entry.spiffe_id {
            held.svid = None;
        }
        held.refused = None;
        held.entry = entry;
    }

    fn remove_entry(&mut self, id: &EntryId, changed: &mut Changed) {
        if let Some(held) = self.held.remove(id) {
            self.index.remove(&held.entry);
            changed.entries.push(held.entry);
        }
    }

    fn put_bundle(&mut self, bundle: Arc<Bundle>, changed: &mut Changed) {
        let name = bundle.trust_domain.clone();
        if self.bundles.get(&name) != Some(&bundle) {
            changed.bundles.insert(name.clone());
            self.bundles.insert(name, bundle);
        }
    }

    /// The own bundle with only its tainted or only its untainted X.509 authorities; nothing when
    /// there are none.
    fn with_taint(&self, tainted: bool) -> Option<Bundle> {
        let mut bundle = Bundle::clone(self.own_bundle()?);
        let authorities = &mut bundle.x509_authorities;
        authorities.retain(|authority| authority.tainted == tainted);
        (!authorities.is_empty()).then_some(bundle)
    }

    /// Whether an authority that counted before does not any more; else no SVID can be worse off.
    fn lost_an_authority(&self, before: Option<&Bundle>) -> bool {
        let after = self.own_bundle().map(|bundle| &bundle.x509_authorities);
        let counts = |one: &&X509Authority| !one.tainted;
        let mut counted = before
            .iter()
            .flat_map(|bundle| &bundle.x509_authorities)
            .filter(counts);
        counted.any(|one| after.is_none_or(|after| !after.contains(one)))
    }

    fn mark_tainted(&mut self, now: SystemTime) {
        let untainted = self.with_taint(false);
        for held in self.held.values_mut() {
            if let Some(svid) = &held.svid {
                let vouched = untainted.as_ref().is_some_and(|b| vouches(b, svid, now));
                held.tainted = !vouched;
            }
        }
    }
}

fn is_served(entry: &Entry, now: SystemTime) -> bool {
    !entry.store_svid && !entry.disabled && entry.expires_at.is_none_or(|end| now < end)
}

/// Whether an authority of this bundle vouches for the SVID.
fn vouches(bundle: &Bundle, svid: &HeldSvid, now: SystemTime) -> bool {
    x509_svid::verify(&svid.chain, bundle, now).is_ok()
}

#[cfg(test)]
mod tests;
