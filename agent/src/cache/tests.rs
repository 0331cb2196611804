//! The cache alone.

use super::*;
use crate::testing::{Ca, HOUR, entry, noon, selectors, whole};
use signet_model::EntryId;
use std::time::Duration;

fn cache(entries: Vec<Entry>, bundles: Vec<Bundle>) -> Cache {
    let mut cache = Cache::new(crate::testing::td());
    cache.apply(whole(entries, bundles), noon());
    cache
}

fn ids(held: &[&Held]) -> Vec<String> {
    held.iter().map(|held| held.entry.id.to_string()).collect()
}

fn id(text: &str) -> EntryId {
    EntryId::parse(text).expect("valid")
}

#[test]
fn entries_match_by_subset_and_come_in_the_order_of_their_ids() {
    let all = vec![
        entry("c", &["unix:uid:1"]),
        entry("a", &["unix:uid:1", "unix:gid:1"]),
        entry("b", &["unix:uid:2"]),
    ];
    let cache = cache(all, vec![]);
    let found = cache.matching(
        &selectors(&["unix:gid:1", "unix:uid:1", "k8s:ns:x"]),
        noon(),
    );
    assert_eq!(ids(&found), ["a", "c"]);
    assert!(
        cache
            .matching(&selectors(&["unix:gid:1"]), noon())
            .is_empty()
    );
    assert!(cache.matching(&selectors(&[]), noon()).is_empty());
}

#[test]
fn expired_and_store_entries_serve_nobody() {
    let mut stored = entry("a", &["unix:uid:1"]);
    stored.store_svid = true;
    let mut ends = entry("b", &["unix:uid:1"]);
    ends.expires_at = Some(noon() + HOUR);
    let cache = cache(vec![stored, ends], vec![]);
    let workload = selectors(&["unix:uid:1"]);
    assert_eq!(ids(&cache.matching(&workload, noon())), ["b"]);
    assert!(cache.matching(&workload, noon() + HOUR).is_empty());
}

#[test]
fn a_whole_update_drops_what_it_does_not_name_and_a_difference_does_not() {
    let (a, b) = (entry("a", &["unix:uid:1"]), entry("b", &["unix:uid:1"]));
    let mut cache = cache(vec![a.clone(), b], vec![]);
    let nothing = cache.apply(Update::default(), noon());
    assert!(nothing.is_empty());
    let changed = cache.apply(whole(vec![a], vec![]), noon());
    assert_eq!(changed.entries[0].id, id("b"));
    assert!(cache.get(&id("b")).is_none());
}

#[test]
fn the_same_again_changes_nothing() {
    let all = vec![entry("a", &["unix:uid:1"])];
    let bundles = vec![Ca::new().bundle()];
    let mut cache = cache(all.clone(), bundles.clone());
    assert!(cache.apply(whole(all, bundles), noon()).is_empty());
}

#[test]
fn an_entry_that_gets_other_selectors_is_found_by_them_only() {
    let mut cache = cache(vec![entry("a", &["unix:uid:1"])], vec![]);
    cache.apply(whole(vec![entry("a", &["unix:uid:2"])], vec![]), noon());
    assert!(
        cache
            .matching(&selectors(&["unix:uid:1"]), noon())
            .is_empty()
    );
    assert_eq!(cache.matching(&selectors(&["unix:uid:2"]), noon()).len(), 1);
}

#[test]
fn an_svid_survives_a_new_revision_but_not_another_spiffe_id() {
    let ca = Ca::new();
    let mut changed = entry("a", &["unix:uid:1"]);
    let mut cache = cache(vec![changed.clone()], vec![ca.bundle()]);
    cache.put_svid(&id("a"), Arc::new(ca.svid(&changed, noon(), HOUR)), noon());
    changed.revision_number = 1;
    cache.apply(whole(vec![changed.clone()], vec![ca.bundle()]), noon());
    let held = cache.get(&id("a")).expect("held");
    assert_eq!(held.due(noon()), Some(Due::Outdated));
    assert!(held.valid_svid(noon()).is_some());
    changed.spiffe_id = crate::testing::spiffe_id("/other");
    cache.apply(whole(vec![changed], vec![ca.bundle()]), noon());
    assert_eq!(
        cache.get(&id("a")).expect("held").due(noon()),
        Some(Due::Missing)
    );
}

#[test]
fn an_svid_for_a_spiffe_id_that_the_entry_no_longer_gives_is_not_taken() {
    let ca = Ca::new();
    let old = entry("a", &["unix:uid:1"]);
    let mut new = old.clone();
    new.spiffe_id = crate::testing::spiffe_id("/other");
    let mut cache = cache(vec![new], vec![ca.bundle()]);
    let late = Arc::new(ca.svid(&old, noon(), HOUR));
    assert!(cache.put_svid(&id("a"), late, noon()).is_empty());
}

#[test]
fn an_expired_svid_is_as_good_as_none() {
    let ca = Ca::new();
    let one = entry("a", &["unix:uid:1"]);
    let mut cache = cache(vec![one.clone()], vec![ca.bundle()]);
    cache.put_svid(&id("a"), Arc::new(ca.svid(&one, noon(), HOUR)), noon());
    let held = cache.get(&id("a")).expect("held");
    assert_eq!(held.due(noon()), None);
    assert_eq!(held.due(noon() + HOUR / 2), Some(Due::Expiring));
    assert_eq!(held.due(noon() + HOUR), Some(Due::Missing));
    assert_eq!(cache.next_expiry(noon()), Some(noon() + HOUR));
}

/// A cache with the SVID of one entry by an old authority, which then has this part in the bundle
/// beside a new one.
struct Rotated {
    old: Ca,
    new: Ca,
    entry: Entry,
    cache: Cache,
}

impl Rotated {
    fn new(part: impl FnOnce(X509Authority) -> Option<X509Authority>) -> Self {
        let (old, new) = (Ca::new(), Ca::new());
        let entry = entry("a", &["unix:uid:1"]);
        let mut cache = cache(vec![entry.clone()], vec![old.bundle()]);
        cache.put_svid(&id("a"), Arc::new(old.svid(&entry, noon(), HOUR)), noon());
        let mut rotated = Self {
            old,
            new,
            entry,
            cache,
        };
        rotated.says(part);
        rotated
    }

    fn says(&mut self, part: impl FnOnce(X509Authority) -> Option<X509Authority>) {
        let mut bundle = self.new.bundle();
        bundle.x509_authorities.extend(part(self.old.authority()));
        let update = whole(vec![self.entry.clone()], vec![bundle]);
        self.cache.apply(update, noon());
    }

    fn issues(&mut self, ca: fn(&Self) -> &Ca) {
        let svid = Arc::new(ca(self).svid(&self.entry, noon(), HOUR));
        self.cache.put_svid(&id("a"), svid, noon());
    }

    fn held(&self) -> &Held {
        self.cache.get(&id("a")).expect("held")
    }
}

fn tainted(old: X509Authority) -> Option<X509Authority> {
    Some(old.with_taint(true))
}

#[test]
fn an_svid_of_a_tainted_authority_is_served_until_its_turn_comes_and_it_is_replaced() {
    let mut rotated = Rotated::new(tainted);
    assert_eq!(rotated.held().standing, Standing::Tainted);
    assert_eq!(rotated.held().due(noon()), None, "not before it is planned");
    let turn = noon() + Duration::from_secs(7);
    rotated.cache.replace_at([(id("a"), turn)]);
    assert_eq!(rotated.held().due(noon()), None);
    assert_eq!(rotated.held().due(turn), Some(Due::Tainted));
    assert!(rotated.held().usable_svid(turn).is_some());
    rotated.issues(|rotated| &rotated.new);
    assert_eq!(rotated.held().standing, Standing::Sound);
    assert_eq!(rotated.held().due(turn), None);
}

#[test]
fn an_svid_whose_authority_left_the_bundle_is_due_at_once_and_given_to_nobody_new() {
    let rotated = Rotated::new(|_| None);
    assert_eq!(rotated.held().standing, Standing::Gone);
    assert_eq!(rotated.held().due(noon()), Some(Due::Revoked));
    assert!(rotated.held().valid_svid(noon()).is_some());
    assert!(rotated.held().usable_svid(noon()).is_none());
}

#[test]
fn a_taint_that_is_taken_back_is_forgotten() {
    let mut rotated = Rotated::new(tainted);
    rotated.cache.replace_at([(id("a"), noon())]);
    rotated.says(Some);
    assert_eq!(rotated.held().standing, Standing::Sound);
    assert_eq!(rotated.held().due(noon()), None);
}

#[test]
fn a_bundle_without_any_authority_condemns_nothing() {
    let mut rotated = Rotated::new(Some);
    let empty = Bundle::empty(crate::testing::td());
    let update = whole(vec![rotated.entry.clone()], vec![empty]);
    rotated.cache.apply(update, noon());
    assert_eq!(rotated.held().standing, Standing::Sound);
}

#[test]
fn a_server_that_still_signs_with_a_tainted_authority_is_asked_again_with_patience() {
    let mut rotated = Rotated::new(tainted);
    rotated.cache.replace_at([(id("a"), noon())]);
    let before = rotated.held().svid.clone().expect("held");
    rotated.issues(|rotated| &rotated.old);
    let after = rotated.held().svid.clone().expect("held");
    assert!(Arc::ptr_eq(&before, &after), "it would gain nothing");
    assert_eq!(rotated.held().due(noon()), Some(Due::Tainted));
    assert!(rotated.held().is_waiting(noon()));
    assert!(!rotated.held().is_waiting(noon() + Duration::from_secs(5)));
}

#[test]
fn where_there_is_no_svid_one_of_a_tainted_authority_is_better_than_none() {
    let mut rotated = Rotated::new(tainted);
    rotated.entry.spiffe_id = crate::testing::spiffe_id("/other");
    rotated.says(tainted);
    assert!(rotated.held().svid.is_none());
    rotated.issues(|rotated| &rotated.old);
    assert!(rotated.held().usable_svid(noon()).is_some());
    assert_eq!(rotated.held().standing, Standing::Tainted);
}

#[test]
fn an_svid_of_an_unknown_authority_waits_for_the_bundle_that_knows_it() {
    let mut rotated = Rotated::new(Some);
    let stranger = Ca::new();
    let svid = Arc::new(stranger.svid(&rotated.entry, noon(), HOUR));
    rotated.cache.put_svid(&id("a"), svid.clone(), noon());
    assert_eq!(
        rotated.held().standing,
        Standing::Sound,
        "the old one stays"
    );
    assert!(rotated.held().is_waiting(noon()) && rotated.held().is_hopeful());
    rotated.says(|_| Some(stranger.authority()));
    assert!(!rotated.held().is_waiting(noon()));
    rotated.cache.put_svid(&id("a"), svid.clone(), noon());
    let held = rotated.held().usable_svid(noon()).expect("taken");
    assert!(Arc::ptr_eq(held, &svid));
}

#[test]
fn an_svid_that_ends_with_its_entry_is_not_renewed_for_nothing() {
    let ca = Ca::new();
    let mut one = entry("a", &["unix:uid:1"]);
    let soon = Duration::from_secs(8);
    one.expires_at = Some(noon() + soon + Duration::from_millis(300));
    let mut cache = cache(vec![one.clone()], vec![ca.bundle()]);
    cache.put_svid(&id("a"), Arc::new(ca.svid(&one, noon(), soon)), noon());
    let held = cache.get(&id("a")).expect("held");
    assert_eq!(held.due(noon() + soon - Duration::from_secs(1)), None);
    one.expires_at = Some(noon() + HOUR);
    cache.apply(whole(vec![one.clone()], vec![ca.bundle()]), noon());
    cache.put_svid(&id("a"), Arc::new(ca.svid(&one, noon(), soon)), noon());
    let held = cache.get(&id("a")).expect("held");
    assert_eq!(held.due(noon() + soon / 2), Some(Due::Expiring));
}

#[test]
fn an_entry_made_again_with_other_content_is_issued_anew_though_its_revision_is_the_same() {
    let ca = Ca::new();
    let mut one = entry("a", &["unix:uid:1"]);
    let mut cache = cache(vec![one.clone()], vec![ca.bundle()]);
    cache.put_svid(&id("a"), Arc::new(ca.svid(&one, noon(), HOUR)), noon());
    one.dns_names = vec!["web.example.org".to_owned()];
    cache.apply(whole(vec![one], vec![ca.bundle()]), noon());
    let held = cache.get(&id("a")).expect("held");
    assert_eq!(held.due(noon()), Some(Due::Outdated));
}

#[test]
fn refusals_are_asked_again_later_and_later() {
    let mut cache = cache(vec![entry("a", &["unix:uid:1"])], vec![]);
    let wait = |cache: &Cache| {
        let refused = cache.get(&id("a")).and_then(|held| held.refused.clone());
        refused
            .expect("refused")
            .retry_at()
            .duration_since(noon())
            .expect("later")
    };
    cache.put_refusal(&id("a"), "no", noon());
    assert_eq!(wait(&cache), Duration::from_secs(5));
    for _ in 0..20 {
        cache.put_refusal(&id("a"), "no", noon());
    }
    assert_eq!(wait(&cache), Duration::from_secs(240));
}

#[test]
fn eviction_takes_the_longest_unused_and_never_what_is_kept() {
    let ca = Ca::new();
    let all: Vec<_> = ["a", "b", "c"]
        .map(|name| entry(name, &["unix:uid:1"]))
        .to_vec();
    let mut cache = cache(all.clone(), vec![ca.bundle()]);
    for one in &all {
        cache.put_svid(&one.id, Arc::new(ca.svid(one, noon(), HOUR)), noon());
    }
    assert_eq!(cache.evict(3, |_| false), 0);
    assert_eq!(cache.evict(1, |entry| entry.id == id("a")), 2);
    assert!(cache.get(&id("a")).expect("held").svid.is_some());
    assert!(cache.get(&id("b")).expect("held").svid.is_none());
}
