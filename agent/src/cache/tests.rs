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

#[test]
fn a_tainted_authority_makes_its_svids_due_and_leaves_them_valid() {
    let (old, new) = (Ca::new(), Ca::new());
    let one = entry("a", &["unix:uid:1"]);
    let mut cache = cache(vec![one.clone()], vec![old.bundle()]);
    cache.put_svid(&id("a"), Arc::new(old.svid(&one, noon(), HOUR)), noon());
    let mut bundle = new.bundle();
    bundle
        .x509_authorities
        .push(old.authority().with_taint(true));
    cache.apply(whole(vec![one.clone()], vec![bundle]), noon());
    let held = cache.get(&id("a")).expect("held");
    assert_eq!(held.due(noon()), Some(Due::Tainted));
    assert!(held.valid_svid(noon()).is_some());
    cache.put_svid(&id("a"), Arc::new(new.svid(&one, noon(), HOUR)), noon());
    assert_eq!(cache.get(&id("a")).expect("held").due(noon()), None);
}

#[test]
fn a_server_that_still_signs_with_a_tainted_authority_is_asked_again_with_patience() {
    let ca = Ca::new();
    let one = entry("a", &["unix:uid:1"]);
    let mut bundle = Ca::new().bundle();
    bundle
        .x509_authorities
        .push(ca.authority().with_taint(true));
    let mut cache = cache(vec![one.clone()], vec![bundle]);
    cache.put_svid(&id("a"), Arc::new(ca.svid(&one, noon(), HOUR)), noon());
    let held = cache.get(&id("a")).expect("held");
    assert_eq!(held.due(noon()), Some(Due::Tainted));
    assert!(held.is_waiting(noon()));
    assert!(!held.is_waiting(noon() + Duration::from_secs(5)));
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
