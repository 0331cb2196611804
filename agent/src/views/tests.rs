//! What subscribers see, and when.

use super::*;
use crate::testing::{Ca, HOUR, entry, noon, selectors, whole};

struct World {
    ca: Ca,
    cache: Cache,
    views: Views,
}

impl World {
    fn new(entries: &[Entry]) -> Self {
        let ca = Ca::new();
        let mut cache = Cache::new(crate::testing::td());
        cache.apply(whole(entries.to_vec(), vec![ca.bundle()]), noon());
        Self {
            ca,
            cache,
            views: Views::default(),
        }
    }

    fn subscribe(&mut self) -> watch::Receiver<Arc<View>> {
        let workload = selectors(&["unix:uid:1", "unix:gid:1"]);
        self.views.subscribe(&self.cache, &workload, noon())
    }

    fn says(&mut self, entries: &[Entry]) {
        let update = whole(entries.to_vec(), vec![self.ca.bundle()]);
        let changed = self.cache.apply(update, noon());
        self.views.refresh(&self.cache, &changed, noon());
    }

    fn issues(&mut self, entry: &Entry) {
        let svid = Arc::new(self.ca.svid(entry, noon(), HOUR));
        let changed = self.cache.put_svid(&entry.id, svid, noon());
        self.views.refresh(&self.cache, &changed, noon());
    }

    fn refuses(&mut self, entry: &Entry) {
        let changed = self.cache.put_refusal(&entry.id, "no", noon());
        self.views.refresh(&self.cache, &changed, noon());
    }
}

fn shown(view: &watch::Receiver<Arc<View>>) -> Option<Vec<String>> {
    match &view.borrow().x509 {
        X509Answer::Ready(all) => Some(all.iter().map(|one| one.entry.id.to_string()).collect()),
        X509Answer::Pending => Some(vec![]),
        X509Answer::Denied => None,
    }
}

fn web() -> Entry {
    entry("a-web", &["unix:uid:1"])
}

fn db() -> Entry {
    entry("b-db", &["unix:gid:1"])
}

#[test]
fn the_first_answer_waits_for_every_entry_that_was_not_refused() {
    let mut world = World::new(&[web(), db()]);
    let view = world.subscribe();
    world.issues(&db());
    assert_eq!(
        shown(&view),
        Some(vec![]),
        "the default identity must not depend on the order"
    );
    world.issues(&web());
    assert_eq!(
        shown(&view),
        Some(vec!["a-web".to_owned(), "b-db".to_owned()])
    );
}

#[test]
fn an_entry_that_the_server_refuses_does_not_hold_up_the_others() {
    let mut world = World::new(&[web(), db()]);
    let view = world.subscribe();
    world.refuses(&web());
    world.issues(&db());
    assert_eq!(shown(&view), Some(vec!["b-db".to_owned()]));
}

#[test]
fn a_new_entry_does_not_disturb_what_is_shown_until_it_is_ready() {
    let mut world = World::new(&[web()]);
    let view = world.subscribe();
    world.issues(&web());
    world.says(&[web(), db()]);
    assert_eq!(shown(&view), Some(vec!["a-web".to_owned()]));
    world.issues(&db());
    assert_eq!(
        shown(&view),
        Some(vec!["a-web".to_owned(), "b-db".to_owned()])
    );
}

#[test]
fn an_entry_replaced_by_another_with_the_same_id_is_never_missing() {
    let mut world = World::new(&[web(), db()]);
    let view = world.subscribe();
    world.issues(&web());
    world.issues(&db());
    let mut again = entry("z-web", &["unix:uid:1"]);
    again.spiffe_id = web().spiffe_id;
    world.says(&[again.clone(), db()]);
    assert_eq!(
        shown(&view),
        Some(vec!["a-web".to_owned(), "b-db".to_owned()])
    );
    world.issues(&again);
    assert_eq!(
        shown(&view),
        Some(vec!["b-db".to_owned(), "z-web".to_owned()])
    );
}

#[test]
fn a_removed_entry_goes_at_once_and_the_last_one_means_denied() {
    let mut world = World::new(&[web(), db()]);
    let view = world.subscribe();
    world.issues(&web());
    world.issues(&db());
    world.says(&[db()]);
    assert_eq!(shown(&view), Some(vec!["b-db".to_owned()]));
    world.says(&[]);
    assert_eq!(shown(&view), None);
}

#[test]
fn the_removed_one_does_not_linger_when_what_remains_is_refused() {
    let mut world = World::new(&[web(), db()]);
    let view = world.subscribe();
    world.refuses(&db());
    world.issues(&web());
    world.says(&[db()]);
    assert_eq!(shown(&view), Some(vec![]));
}

#[test]
fn an_expired_svid_leaves_the_view() {
    let mut world = World::new(&[web()]);
    let view = world.subscribe();
    world.issues(&web());
    world.views.refresh_all(&world.cache, noon() + HOUR);
    assert_eq!(shown(&view), Some(vec![]));
}

#[test]
fn a_change_that_concerns_others_wakes_nobody() {
    let mut world = World::new(&[web()]);
    let mut view = world.subscribe();
    world.issues(&web());
    view.borrow_and_update();
    world.says(&[web(), entry("other", &["unix:uid:9"])]);
    assert!(!view.has_changed().expect("open"));
}

#[test]
fn a_renewed_svid_wakes_its_subscribers() {
    let mut world = World::new(&[web()]);
    let mut view = world.subscribe();
    world.issues(&web());
    view.borrow_and_update();
    world.issues(&web());
    assert!(view.has_changed().expect("open"));
}

#[test]
fn federated_bundles_are_those_of_the_matching_entries() {
    let mut federated = web();
    let other = TrustDomain::parse("other.example").expect("valid");
    federated.federates_with.insert(other.clone());
    let mut world = World::new(&[federated.clone()]);
    let view = world.subscribe();
    assert!(view.borrow().federated.is_empty());
    let foreign = Bundle::empty(other.clone());
    let update = whole(vec![federated], vec![world.ca.bundle(), foreign]);
    let changed = world.cache.apply(update, noon());
    world.views.refresh(&world.cache, &changed, noon());
    assert!(view.borrow().federated.contains_key(&other));
}

#[test]
fn an_entry_is_wanted_while_somebody_subscribes_with_all_of_its_selectors() {
    let mut world = World::new(&[web(), entry("x", &["unix:uid:1", "unix:uid:9"])]);
    let view = world.subscribe();
    let wanted = world.views.wanted(&world.cache, noon());
    assert_eq!(wanted.into_iter().collect::<Vec<_>>(), [web().id]);
    drop(view);
    assert!(world.views.wanted(&world.cache, noon()).is_empty());
}
