//! One round of random changes, with a note of when each was acknowledged.

use std::sync::Mutex;

use rand::{Rng, SeedableRng, rngs::StdRng};
use signet_datastore::{Commit, Committed, RedbStore, Store};

use crate::{Known, disk::Disk, load, open};

/// Writers at once, so that groups of many sizes form.
const WRITERS: usize = 6;
/// Commits of each writer in a round, at most.
const COMMITS: usize = 12;
/// Few keys, so that most writes replace and the file is reused page by page.
const KEYS: u32 = 150;

/// What happened in a round.
pub(crate) struct Round {
    /// What the store held when it had opened.
    pub(crate) start: Known,
    /// The commits of the round, in order.
    pub(crate) changes: Vec<Committed>,
    /// The step of the disk at which the opening was done.
    opened: usize,
    /// The step of the disk at which a revision was known to be acknowledged.
    acknowledged: Vec<(usize, u64)>,
}

impl Round {
    /// The revision that must survive a cut at `step`, or none if the opening was not done.
    pub(crate) fn kept_at(&self, step: usize) -> Option<u64> {
        let earlier = self.acknowledged.iter().filter(|(at, _)| *at <= step);
        let latest = earlier.map(|(_, revision)| *revision).max();
        (self.opened <= step).then(|| latest.unwrap_or(self.start.revision))
    }
}

/// Opens the store on `disk`, checks that it holds what is known, changes it and closes it.
pub(crate) async fn run(disk: &Disk, known: &Known, random: &mut StdRng, what: &str) -> Round {
    let store = open(disk, what);
    let (state, revision) = load(&store, what).await;
    assert!(
        known.at(revision).is_some_and(|s| s == state),
        "{what}: wrong state"
    );
    let opened = disk.steps();
    let mut feed = store.changes();
    let notes = Mutex::new(Vec::new());
    let writers = (0..random.random_range(1..=WRITERS))
        .map(|_| write(&store, disk, StdRng::from_rng(random), &notes));
    futures::future::join_all(writers).await;
    drop(store);
    let mut changes = Vec::new();
    while let Ok(change) = feed.next().await {
        changes.push(Committed::clone(&change));
    }
    Round {
        start: Known {
            state,
            revision,
            pending: Vec::new(),
        },
        changes,
        opened,
        acknowledged: notes.into_inner().expect("no writer panicked"),
    }
}

async fn write(
    store: &RedbStore,
    disk: &Disk,
    mut random: StdRng,
    notes: &Mutex<Vec<(usize, u64)>>,
) {
    for _ in 0..random.random_range(0..COMMITS) {
        let revision = store.commit(change(&mut random)).await;
        let revision = revision.expect("a commit without preconditions succeeds").0;
        let mut notes = notes.lock().expect("no writer panicked");
        notes.push((disk.steps(), revision));
    }
}

/// A commit of one to eight puts and deletes: small values mostly, now and then large ones.
fn change(random: &mut StdRng) -> Commit {
    let keys = rand::seq::index::sample(random, KEYS as usize, 8);
    let keys = keys.into_iter().take(random.random_range(1..=8));
    keys.fold(Commit::new(), |commit, key| {
        let key = format!("v1/entry/{key}");
        let largest = *[100, 100, 600, 600, 3_000, 20_000]
            .get(random.random_range(0..6))
            .expect("the index is below the length");
        match random.random_ratio(1, 5) {
            true => commit.delete(key),
            false => {
                let mut value = vec![0; random.random_range(0..largest)];
                random.fill(&mut value[..]);
                commit.put(key, value)
            }
        }
    })
}
