//! The latest complete answer for each set of selectors that somebody subscribed to, shared by all
//! its subscribers.
//!
//! ```text
//! cache changed ─▶ Views::refresh ─▶ watch<Arc<View>> ─▶ every stream with these selectors
//! ```
//!
//! A view never shows less than before only because something is under way: see `next_x509`.

use crate::cache::{Cache, Changed, Held, HeldSvid};
use crate::encoded::Encoded;
use signet_model::{Entry, EntryId, SelectorSet};
use signet_spiffe::{Bundle, SpiffeId, TrustDomain};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// What a workload with certain selectors gets.
#[derive(Debug, Default)]
pub struct View {
    /// The entries that match now, by entry id.
    pub entries: Vec<Arc<Entry>>,
    /// The state of its X509-SVIDs.
    pub x509: X509Answer,
    /// The bundle of the own trust domain.
    pub bundle: Option<Arc<Bundle>>,
    /// The bundles of the domains that its entries federate with.
    pub federated: BTreeMap<TrustDomain, Arc<Bundle>>,
    /// The messages made from it, each serialized at its first use.
    pub encoded: Encoded,
}

/// The X509-SVIDs of a view.
#[derive(Debug, Clone, Default)]
pub enum X509Answer {
    /// No entry matches.
    #[default]
    Denied,
    /// Entries match, but there is nothing to show yet.
    Pending,
    /// These identities, in the order of their entries.
    Ready(Vec<Identity>),
}

/// An entry with a valid SVID.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Its SVID.
    pub svid: Arc<HeldSvid>,
}

impl X509Answer {
    fn identities(&self) -> &[Identity] {
        match self {
            X509Answer::Ready(identities) => identities,
            X509Answer::Denied | X509Answer::Pending => &[],
        }
    }
}

/// All views that have a subscriber.
#[derive(Debug, Default)]
pub struct Views {
    by_selectors: HashMap<SelectorSet, watch::Sender<Arc<View>>>,
}

impl Views {
    /// Follows the view of these selectors.
    pub fn subscribe(
        &mut self,
        cache: &Cache,
        selectors: &SelectorSet,
        now: SystemTime,
    ) -> watch::Receiver<Arc<View>> {
        if let Some(sender) = self.by_selectors.get(selectors) {
            refresh_one(sender, cache, selectors, now);
            return sender.subscribe();
        }
        let first = build(cache, selectors, &X509Answer::Denied, now);
        let (sender, receiver) = watch::channel(Arc::new(first));
        self.by_selectors.insert(selectors.clone(), sender);
        receiver
    }

    /// Rebuilds the views that a change concerns; the others do not stir.
    pub fn refresh(&mut self, cache: &Cache, changed: &Changed, now: SystemTime) {
        self.forget_unused();
        for (selectors, sender) in &self.by_selectors {
            if concerns(changed, selectors, cache, &sender.borrow()) {
                refresh_one(sender, cache, selectors, now);
            }
        }
    }

    /// Rebuilds every view, since time passed.
    pub fn refresh_all(&mut self, cache: &Cache, now: SystemTime) {
        self.forget_unused();
        for (selectors, sender) in &self.by_selectors {
            refresh_one(sender, cache, selectors, now);
        }
    }

    /// The entries that somebody who subscribed may have.
    pub fn wanted(&self, cache: &Cache, now: SystemTime) -> HashSet<EntryId> {
        let live = self.by_selectors.iter();
        let live = live.filter(|(_, sender)| sender.receiver_count() > 0);
        live.flat_map(|(selectors, _)| cache.matching(selectors, now))
            .map(|held| held.entry.id.clone())
            .collect()
    }

    fn forget_unused(&mut self) {
        self.by_selectors
            .retain(|_, sender| sender.receiver_count() > 0);
    }
}

fn concerns(changed: &Changed, selectors: &SelectorSet, cache: &Cache, view: &View) -> bool {
    let mut entries = changed.entries.iter();
    if entries.any(|entry| entry.selectors.is_subset(selectors)) {
        return true;
    }
    let own = cache.own_bundle().map(|bundle| &bundle.trust_domain);
    let mut names = changed.bundles.iter();
    names.any(|name| Some(name) == own || federates(view, name))
}

fn federates(view: &View, name: &TrustDomain) -> bool {
    let mut entries = view.entries.iter();
    entries.any(|entry| entry.federates_with.contains(name))
}

/// Replaces a view by its new form; subscribers wake only when they would see a difference.
fn refresh_one(
    sender: &watch::Sender<Arc<View>>,
    cache: &Cache,
    selectors: &SelectorSet,
    now: SystemTime,
) {
    sender.send_if_modified(|view| {
        let next = build(cache, selectors, &view.x509, now);
        let differs = !shows_the_same(view, &next);
        if differs {
            *view = Arc::new(next);
        }
        differs
    });
}

fn build(cache: &Cache, selectors: &SelectorSet, before: &X509Answer, now: SystemTime) -> View {
    let held = cache.matching(selectors, now);
    let federated = held
        .iter()
        .flat_map(|held| &held.entry.federates_with)
        .filter_map(|name| Some((name.clone(), cache.bundle(name)?.clone())));
    View {
        x509: next_x509(before, &held, now),
        bundle: cache.own_bundle().cloned(),
        federated: federated.collect(),
        entries: held.iter().map(|held| held.entry.clone()).collect(),
        encoded: Encoded::default(),
    }
}

/// The X509-SVIDs to show next.
///
/// A first answer waits for every matching entry that was not refused: what it would show must not
/// depend on which SVID came first. Later, what is ready is shown, and what was shown stays while
/// its replacement is under way: when an entry is replaced by another with the same SPIFFE ID, or
/// all entries by others, the old identities stand until the new ones are ready. So does one whose
/// authority left the bundle, for those who have it already; to others it is not given any more. What
/// has expired is never shown.
fn next_x509(before: &X509Answer, held: &[&Held], now: SystemTime) -> X509Answer {
    if held.is_empty() {
        return X509Answer::Denied;
    }
    let ready: Vec<_> = held.iter().filter_map(|held| identity(held, now)).collect();
    let pending: BTreeSet<_> = held
        .iter()
        .filter(|held| held.usable_svid(now).is_none() && held.is_hopeful())
        .map(|held| &held.entry.spiffe_id)
        .collect();
    let shown: Vec<_> = still_valid(before.identities(), now);
    if shown.is_empty() {
        return first_answer(ready, pending.is_empty());
    }
    let under_way = ready.is_empty() && !pending.is_empty();
    if under_way || loses_one_under_way(&shown, &ready, &pending) {
        return X509Answer::Ready(shown);
    }
    first_answer(ready, true)
}

fn first_answer(ready: Vec<Identity>, complete: bool) -> X509Answer {
    if complete && !ready.is_empty() {
        X509Answer::Ready(ready)
    } else {
        X509Answer::Pending
    }
}

fn identity(held: &Held, now: SystemTime) -> Option<Identity> {
    Some(Identity {
        entry: held.entry.clone(),
        svid: held.usable_svid(now)?.clone(),
    })
}

fn still_valid(identities: &[Identity], now: SystemTime) -> Vec<Identity> {
    let valid = identities.iter().filter(|one| now < one.svid.not_after);
    valid.cloned().collect()
}

fn loses_one_under_way(
    shown: &[Identity],
    ready: &[Identity],
    pending: &BTreeSet<&SpiffeId>,
) -> bool {
    let stays: BTreeSet<_> = ready.iter().map(|one| &one.svid.id).collect();
    let mut lost = shown.iter().filter(|one| !stays.contains(&one.svid.id));
    lost.any(|one| pending.contains(&one.svid.id))
}

/// Two views that give every subscriber the same.
fn shows_the_same(one: &View, other: &View) -> bool {
    let same_svids = match (&one.x509, &other.x509) {
        (X509Answer::Denied, X509Answer::Denied) | (X509Answer::Pending, X509Answer::Pending) => {
            true
        }
        (X509Answer::Ready(a), X509Answer::Ready(b)) => same_identities(a, b),
        _ => false,
    };
    same_svids
        && one.bundle == other.bundle
        && one.federated == other.federated
        && one.entries == other.entries
}

fn same_identities(one: &[Identity], other: &[Identity]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(a, b)| Arc::ptr_eq(&a.svid, &b.svid) && a.entry.hint == b.entry.hint)
}

#[cfg(test)]
mod tests;
