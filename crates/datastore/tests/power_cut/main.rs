//! Power cuts, simulated: what was acknowledged is there, whatever part of the rest is.
//!
//! Each round opens the store on a recording disk, changes it at random from several writers at
//! once, and cuts the power at a random step, which may lie in the opening (a recovery cut again)
//! or in the closing. The disk after the cut holds all that was synced and a random part of what
//! was not, down to single sectors. Then the store must open, hold exactly the state of some
//! revision between the last acknowledged and the last begun, take writes, and keep them. The next
//! round goes on from the raw disk, so that damage would pile up.
//!
//! A failure prints its seed; `SIGNET_SEED=<seed>` runs that one alone.

#![allow(clippy::print_stdout, reason = "a test program")]

mod churn;
mod disk;

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};
use signet_datastore::{Commit, Committed, RedbStore, Store};

use crate::{churn::Round, disk::Disk};

/// Seeds times rounds a seed makes the hundred rounds.
const SEEDS: u64 = 5;
const ROUNDS: usize = 20;

/// Key to value and revision.
type State = BTreeMap<String, (Bytes, u64)>;

#[tokio::test]
async fn no_power_cut_loses_what_was_acknowledged() {
    match seed_given() {
        Some(seed) => age(seed).await,
        None => {
            let first = rand::random::<u32>().into();
            for seed in first..first + SEEDS {
                age(seed).await;
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the way to repeat a failure")]
fn seed_given() -> Option<u64> {
    let seed = std::env::var("SIGNET_SEED").ok()?;
    Some(seed.parse().expect("SIGNET_SEED is a number"))
}

/// One disk through all rounds.
async fn age(seed: u64) {
    println!("SIGNET_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut disk = Disk::new();
    let mut known = Known::default();
    for round in 0..ROUNDS {
        let what = format!("SIGNET_SEED={seed} round {round}");
        let done = churn::run(&disk, &known, &mut random, &what).await;
        let step = random.random_range(0..=disk.steps());
        known = known.after(&done, step);
        disk = disk.cut(step, &mut random);
        examine(&disk.copy(), &known, &what).await;
    }
}

/// What may be on a disk after a cut.
#[derive(Clone, Default)]
struct Known {
    /// The state of the oldest revision that may be found.
    state: State,
    /// Its revision: acknowledged, or shown to a reader.
    revision: u64,
    /// What may be found on top, a prefix of it.
    pending: Vec<Committed>,
}

impl Known {
    /// The state at `revision`, if that may be found.
    fn at(&self, revision: u64) -> Option<State> {
        let more = revision.checked_sub(self.revision)?;
        let mut state = self.state.clone();
        for change in self.pending.get(..more as usize)? {
            apply(&mut state, change);
        }
        Some(state)
    }

    /// What may be found after a cut at `step` of a round.
    fn after(&self, done: &Round, step: usize) -> Self {
        let Some(floor) = done.kept_at(step) else {
            return self.clone();
        };
        let mut changes = done.changes.clone();
        let settled = changes.drain(..(floor - done.start.revision) as usize);
        let mut state = done.start.state.clone();
        settled.for_each(|change| apply(&mut state, &change));
        Self {
            state,
            revision: floor,
            pending: changes,
        }
    }
}

fn apply(state: &mut State, change: &Committed) {
    for record in &change.puts {
        let value = (record.value.clone(), record.revision.0);
        state.insert(record.key.clone(), value);
    }
    for key in &change.deletes {
        state.remove(key);
    }
}

/// Opens a disk after a cut, compares all of it, writes to it and opens it again.
async fn examine(disk: &Disk, known: &Known, what: &str) {
    let store = open(disk, what);
    let (state, revision) = load(&store, what).await;
    assert!(
        known.at(revision).is_some_and(|s| s == state),
        "{what}: wrong state"
    );
    let more = Commit::new().put("after the cut", what.to_owned());
    let next = store
        .commit(more)
        .await
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(next.0, revision + 1, "{what}");
    let before = load(&store, what).await;
    drop(store);
    let again = load(&open(disk, what), what).await;
    assert!(before == again, "{what}: the write after the cut is gone");
}

fn open(disk: &Disk, what: &str) -> RedbStore {
    RedbStore::open_on(disk.clone()).unwrap_or_else(|e| panic!("{what}: does not open: {e:?}"))
}

async fn load(store: &RedbStore, what: &str) -> (State, u64) {
    let loaded = store
        .load()
        .await
        .unwrap_or_else(|e| panic!("{what}: {e:?}"));
    let records = loaded.records.into_iter();
    let state = records.map(|r| (r.key, (r.value, r.revision.0))).collect();
    (state, loaded.revision.0)
}
