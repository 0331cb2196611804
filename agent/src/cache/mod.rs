//! What the agent holds: its authorized entries, the bundles, and the X509-SVID of each entry,
//! shared by all workloads that match it.
//!
//! Plain state: no task, no clock, no randomness. [`Cache::apply`] takes what the server says is
//! true and answers what changed; everything else is a question. Nothing is ever removed here
//! because a refresh failed: an SVID leaves only when its entry leaves, its SPIFFE ID changes, a
//! new one takes its place, it expired, or room is needed and nobody uses it. One whose authority
//! left the bundle stays here until it is replaced, but is given to nobody new: see [`Standing`].

mod selectors;
mod standing;
mod svid;

pub use standing::{Authorities, Standing};
pub use svid::{Due, HeldSvid, Refusal};

use selectors::SelectorIndex;
use signet_model::{Entry, EntryId, SelectorSet};
use signet_spiffe::{Bundle, TrustDomain, X509Authority};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

/// Why a new SVID does not settle the matter when a server has not yet heard of the taint, or when
/// the agent has not yet heard of the authority.
const STILL_TAINTED: &str = "the server signed with a tainted authority";
const NOT_IN_BUNDLE: &str = "the server signed with an authority that is not in its bundle";

/// What the server says is true now, whole or as a difference to what the agent holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    /// Whether entries and bundles that are not named here are gone.
    pub whole: bool,
    /// Entries to put, new or changed.
    pub entries: Vec<Arc<Entry>>,
    /// What the server calls the form of an entry, where that is not its revision number.
    pub marks: BTreeMap<EntryId, i64>,
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
    /// How the SVID stands with the own bundle.
    pub standing: Standing,
    /// When a tainted SVID is to be replaced, once that is planned.
    pub replace_at: Option<SystemTime>,
    /// What the server calls this form of the entry.
    pub mark: i64,
    /// When somebody last subscribed to it.
    pub used: Option<SystemTime>,
}

impl Held {
    fn new(entry: Arc<Entry>, mark: i64) -> Self {
        Self {
            entry,
            svid: None,
            refused: None,
            standing: Standing::Sound,
            replace_at: None,
            mark,
            used: None,
        }
    }

    /// The SVID, unless it has expired.
    pub fn valid_svid(&self, now: SystemTime) -> Option<&Arc<HeldSvid>> {
        self.svid.as_ref().filter(|svid| now < svid.not_after)
    }

    /// The SVID, unless it has expired or its authority is gone: peers refuse it then.
    pub fn usable_svid(&self, now: SystemTime) -> Option<&Arc<HeldSvid>> {
        let usable = self.standing != Standing::Gone;
        self.valid_svid(now).filter(|_| usable)
    }

    /// Whether it is served to anybody, and with an SVID that is not sound.
    pub fn serves_unsound(&self, now: SystemTime) -> bool {
        let unsound = self.standing != Standing::Sound;
        unsound && self.valid_svid(now).is_some() && self.is_served(now)
    }

    /// Whether workloads get it: it is not for SVID stores, not disabled and not at its end.
    pub fn is_served(&self, now: SystemTime) -> bool {
        let entry = &self.entry;
        !entry.store_svid && !entry.disabled && entry.expires_at.is_none_or(|end| now < end)
    }

    fn judge(&mut self, standing: Standing) {
        if self.standing != standing {
            self.standing = standing;
            self.replace_at = None;
        }
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
            let mark = update.marks.get(&entry.id).copied();
            self.put_entry(entry, mark, &mut changed);
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
        if changed.bundles.contains(&self.trust_domain) {
            self.judge(trusted.as_deref(), now);
        }
        changed
    }

    /// Takes over a new SVID of an entry. One that came too late, for an entry that is gone or
    /// names another SPIFFE ID by now, is dropped. One that is no better than the one it would
    /// replace is not taken either, and counts as a refusal until the bundle changes.
    pub fn put_svid(&mut self, id: &EntryId, svid: Arc<HeldSvid>, now: SystemTime) -> Changed {
        let bundle = self.own_bundle();
        let standing = bundle.map_or(Standing::Sound, |bundle| {
            Authorities::of(bundle).standing(&svid.chain, now)
        });
        let Some(held) = self.held.get_mut(id) else {
            return Changed::default();
        };
        if held.entry.spiffe_id != svid.id {
            return Changed::default();
        }
        held.refused = match standing {
            Standing::Sound => None,
            Standing::Tainted => Some(held.unusable_again(STILL_TAINTED, now)),
            Standing::Gone => Some(held.unusable_again(NOT_IN_BUNDLE, now)),
        };
        if held.takes(standing, now) {
            held.svid = Some(svid);
            held.standing = standing;
            held.replace_at = None;
        }
        Changed {
            entries: vec![held.entry.clone()],
            bundles: BTreeSet::new(),
        }
    }

    /// Sets when tainted SVIDs are to be replaced.
    pub fn replace_at(&mut self, plan: impl IntoIterator<Item = (EntryId, SystemTime)>) {
        for (id, at) in plan {
            if let Some(held) = self.held.get_mut(&id) {
                held.replace_at = Some(at);
            }
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
            .filter(|held| held.is_served(now))
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

    fn put_entry(&mut self, entry: Arc<Entry>, mark: Option<i64>, changed: &mut Changed) {
        let id = entry.id.clone();
        let mark = mark.unwrap_or(entry.revision_number);
        let Some(held) = self.held.get_mut(&id) else {
            self.index.insert(&entry);
            changed.entries.push(entry.clone());
            self.held.insert(id, Held::new(entry, mark));
            return;
        };
        held.mark = mark;
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

    /// Looks anew at how the SVIDs stand with the bundle, and gives refusals that a bundle may
    /// settle another chance. As long as no authority was lost, nothing sound can be worse off.
    fn judge(&mut self, before: Option<&Bundle>, now: SystemTime) {
        let Some(bundle) = self.own_bundle() else {
            return;
        };
        let mut authorities = Authorities::of(bundle);
        let lost = self.lost_an_authority(before);
        for held in self.held.values_mut() {
            held.refused = held.refused.take().filter(|refusal| !refusal.by_bundle);
            if let Some(svid) = &held.svid
                && (lost || held.standing != Standing::Sound)
            {
                let standing = authorities.standing(&svid.chain, now);
                held.judge(standing);
            }
        }
    }
}

#[cfg(test)]
mod tests;
