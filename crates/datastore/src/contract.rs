//! What every adapter must do, as one suite (feature `testing`).
//!
//! An adapter names a function that makes a fresh, empty [`Fixture`] and calls
//! [`store_contract!`](crate::store_contract); each rule below becomes a test of its own. What only
//! a durable store can be asked is in [`keeps_everything_over_reopening`].

#![allow(missing_docs, reason = "the name of a rule says it all")]

use std::{any::Any, collections::BTreeMap, sync::Arc};

use signet_model::Revision;

use crate::{Commit, FeedError, Loaded, MAX_KEY, MAX_OPERATIONS, MAX_VALUE, Store, StoreError};

/// A store under test, and what must live as long as it does.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    _keep: Box<dyn Any>,
}

impl Fixture {
    /// A fixture of `store`, with a folder or the like to keep.
    pub fn new(store: impl Store + 'static, keep: impl Any) -> Self {
        Self {
            store: Arc::new(store),
            _keep: Box::new(keep),
        }
    }
}

/// Makes a `#[tokio::test]` of each rule of the contract, from an `async fn() -> Fixture`.
#[macro_export]
macro_rules! store_contract {
    ($make:path) => {
        $crate::store_contract!(@rules $make;
            a_new_store_is_empty_at_revision_zero
            a_commit_is_loaded_with_its_revision
            revisions_are_dense
            records_are_loaded_in_the_order_of_their_keys
            a_put_replaces_and_a_delete_removes
            deleting_what_is_not_there_is_no_error
            an_absent_key_that_exists_is_a_conflict
            an_unchanged_key_that_changed_is_a_conflict
            an_unchanged_key_that_is_gone_is_a_conflict
            a_present_key_that_is_gone_is_a_conflict
            preconditions_that_hold_let_the_commit_through
            one_failed_precondition_leaves_everything_as_it_was
            a_commit_that_only_checks_makes_no_revision
            a_malformed_commit_is_refused_and_changes_nothing
            the_largest_key_and_an_empty_value_are_kept
            of_many_commits_for_one_absent_key_one_wins
            counting_with_unchanged_loses_no_count
            the_feed_has_every_commit_in_order
            the_feed_has_a_change_before_its_commit_is_answered
            a_feed_starts_with_the_next_commit
            a_refused_commit_is_not_in_the_feed
            a_feed_left_behind_lags_and_goes_on
            a_feed_closes_with_its_store
            the_epoch_stays
        );
    };
    (@rules $make:path; $($rule:ident)+) => {
        $(
            #[tokio::test]
            async fn $rule() {
                $crate::contract::$rule($make().await).await;
            }
        )+
    };
}

async fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    let commit = Commit::new().put(key, value.to_owned());
    store
        .commit(commit)
        .await
        .expect("an unconditional put succeeds")
}

async fn load(store: &dyn Store) -> Loaded {
    store.load().await.expect("the store loads")
}

/// Key, value and revision of all records, in short.
async fn rows(store: &dyn Store) -> Vec<(String, String, u64)> {
    let row = |r: crate::Record| {
        let value = String::from_utf8_lossy(&r.value).into_owned();
        (r.key, value, r.revision.0)
    };
    load(store).await.records.into_iter().map(row).collect()
}

fn row(key: &str, value: &str, revision: u64) -> (String, String, u64) {
    (key.to_owned(), value.to_owned(), revision)
}

#[track_caller]
fn assert_conflict(answer: Result<Revision, StoreError>, key: &str, found: Option<u64>) {
    match answer {
        Err(StoreError::Conflict {
            key: at,
            found: seen,
        }) => {
            assert_eq!((at.as_str(), seen), (key, found.map(Revision)));
        }
        other => panic!("expected a conflict about {key}, got {other:?}"),
    }
}

pub async fn a_new_store_is_empty_at_revision_zero(fixture: Fixture) {
    let loaded = load(&*fixture.store).await;
    assert_eq!((loaded.records.len(), loaded.revision), (0, Revision(0)));
    assert_eq!(
        fixture.store.revision().await.expect("it answers"),
        Revision(0)
    );
}

pub async fn a_commit_is_loaded_with_its_revision(fixture: Fixture) {
    let store = &*fixture.store;
    assert_eq!(put(store, "v1/entry/a", "one").await, Revision(1));
    assert_eq!(rows(store).await, [row("v1/entry/a", "one", 1)]);
    assert_eq!(load(store).await.revision, Revision(1));
}

pub async fn revisions_are_dense(fixture: Fixture) {
    let store = &*fixture.store;
    for expected in 1..=20 {
        let _refused = store
            .commit(Commit::new().present("none").put("x", "y"))
            .await;
        assert_eq!(put(store, "key", "value").await, Revision(expected));
    }
    assert_eq!(store.revision().await.expect("it answers"), Revision(20));
}

pub async fn records_are_loaded_in_the_order_of_their_keys(fixture: Fixture) {
    let store = &*fixture.store;
    for key in ["b", "a/2", "a/10", "a", "ä"] {
        put(store, key, "").await;
    }
    let keys: Vec<String> = load(store)
        .await
        .records
        .into_iter()
        .map(|r| r.key)
        .collect();
    assert_eq!(keys, ["a", "a/10", "a/2", "b", "ä"]);
}

pub async fn a_put_replaces_and_a_delete_removes(fixture: Fixture) {
    let store = &*fixture.store;
    put(store, "a", "old").await;
    put(store, "b", "gone").await;
    let commit = Commit::new().put("a", "new").delete("b").put("c", "added");
    assert_eq!(store.commit(commit).await.expect("it commits"), Revision(3));
    assert_eq!(
        rows(store).await,
        [row("a", "new", 3), row("c", "added", 3)]
    );
}

pub async fn deleting_what_is_not_there_is_no_error(fixture: Fixture) {
    let store = &*fixture.store;
    let answer = store.commit(Commit::new().delete("nothing")).await;
    assert_eq!(answer.expect("it commits"), Revision(1));
    assert!(rows(store).await.is_empty());
}

pub async fn an_absent_key_that_exists_is_a_conflict(fixture: Fixture) {
    let store = &*fixture.store;
    put(store, "a", "first").await;
    let commit = Commit::new().absent("a").put("a", "second");
    assert_conflict(store.commit(commit).await, "a", Some(1));
    assert_eq!(rows(store).await, [row("a", "first", 1)]);
}

pub async fn an_unchanged_key_that_changed_is_a_conflict(fixture: Fixture) {
    let store = &*fixture.store;
    let seen = put(store, "a", "seen").await;
    put(store, "a", "changed").await;
    let commit = Commit::new().unchanged("a", seen).put("a", "lost update");
    assert_conflict(store.commit(commit).await, "a", Some(2));
    assert_eq!(rows(store).await, [row("a", "changed", 2)]);
}

pub async fn an_unchanged_key_that_is_gone_is_a_conflict(fixture: Fixture) {
    let store = &*fixture.store;
    let seen = put(store, "a", "seen").await;
    let gone = store.commit(Commit::new().delete("a")).await;
    assert_eq!(gone.expect("it commits"), Revision(2));
    let commit = Commit::new().unchanged("a", seen).put("a", "back");
    assert_conflict(store.commit(commit).await, "a", None);
}

pub async fn a_present_key_that_is_gone_is_a_conflict(fixture: Fixture) {
    let commit = Commit::new().present("a").put("b", "child");
    assert_conflict(fixture.store.commit(commit).await, "a", None);
    assert!(rows(&*fixture.store).await.is_empty());
}

pub async fn preconditions_that_hold_let_the_commit_through(fixture: Fixture) {
    let store = &*fixture.store;
    let seen = put(store, "a", "seen").await;
    let commit = Commit::new()
        .unchanged("a", seen)
        .present("a")
        .absent("b")
        .put("b", "new");
    assert_eq!(store.commit(commit).await.expect("it commits"), Revision(2));
}

pub async fn one_failed_precondition_leaves_everything_as_it_was(fixture: Fixture) {
    let store = &*fixture.store;
    put(store, "a", "kept").await;
    let commit = Commit::new()
        .present("a")
        .absent("b")
        .present("c")
        .put("b", "no")
        .delete("a");
    assert_conflict(store.commit(commit).await, "c", None);
    assert_eq!(rows(store).await, [row("a", "kept", 1)]);
    assert_eq!(load(store).await.revision, Revision(1));
}

pub async fn a_commit_that_only_checks_makes_no_revision(fixture: Fixture) {
    let store = &*fixture.store;
    put(store, "a", "here").await;
    let answer = store.commit(Commit::new().present("a")).await;
    assert_eq!(answer.expect("it holds"), Revision(1));
    assert_conflict(store.commit(Commit::new().absent("a")).await, "a", Some(1));
    assert_eq!(load(store).await.revision, Revision(1));
}

pub async fn a_malformed_commit_is_refused_and_changes_nothing(fixture: Fixture) {
    let store = &*fixture.store;
    let long = "k".repeat(MAX_KEY + 1);
    let many = (0..=MAX_OPERATIONS).map(|n| n.to_string()).collect();
    let commits = [
        Commit::new().put("", "empty key"),
        Commit::new().delete(""),
        Commit::new().present("").put("a", "b"),
        Commit::new().put(long.clone(), "long key"),
        Commit::new().delete(long),
        Commit::new().put("a", "once").put("a", "twice"),
        Commit::new().put("a", "put").delete("a"),
        Commit::new().put("a", vec![0; MAX_VALUE + 1]),
        Commit {
            deletes: many,
            ..Commit::new()
        },
    ];
    for commit in commits {
        let answer = store.commit(commit).await;
        assert!(
            matches!(answer, Err(StoreError::Invalid { .. })),
            "{answer:?}"
        );
    }
    assert_eq!(load(store).await.revision, Revision(0));
}

pub async fn the_largest_key_and_an_empty_value_are_kept(fixture: Fixture) {
    let store = &*fixture.store;
    let key = "k".repeat(MAX_KEY);
    put(store, &key, "").await;
    assert_eq!(rows(store).await, [row(&key, "", 1)]);
}

pub async fn of_many_commits_for_one_absent_key_one_wins(fixture: Fixture) {
    let store = &fixture.store;
    let tries = (0..50).map(|n| {
        let commit = Commit::new()
            .absent("unique/x")
            .put("unique/x", n.to_string());
        store.commit(commit)
    });
    let answers = futures::future::join_all(tries).await;
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    let lost = answers
        .iter()
        .filter(|a| a.as_ref().is_err_and(StoreError::is_conflict));
    assert_eq!((won, lost.count()), (1, 49));
    assert_eq!(load(&**store).await.revision, Revision(1));
}

pub async fn counting_with_unchanged_loses_no_count(fixture: Fixture) {
    let store = &*fixture.store;
    put(store, "n", "0").await;
    let add_five = || async {
        for _ in 0..5 {
            while !add_one(store).await {}
        }
    };
    futures::future::join_all((0..4).map(|_| add_five())).await;
    let [(_, count, _)] = &rows(store).await[..] else {
        panic!("there is one record");
    };
    assert_eq!(count, "20");
}

async fn add_one(store: &dyn Store) -> bool {
    let [(_, count, revision)] = &rows(store).await[..] else {
        panic!("there is one record");
    };
    let next = count.parse::<u32>().expect("it is a number") + 1;
    let commit = Commit::new().unchanged("n", Revision(*revision));
    match store.commit(commit.put("n", next.to_string())).await {
        Ok(_) => true,
        Err(error) if error.is_conflict() => false,
        Err(error) => panic!("{error}"),
    }
}

pub async fn the_feed_has_every_commit_in_order(fixture: Fixture) {
    let store = &fixture.store;
    let mut feed = store.changes();
    let commits = (0..100).map(|n| {
        let commit = Commit::new().put(format!("key/{}", n % 7), n.to_string());
        store.commit(commit.delete(format!("key/{}", (n + 1) % 7)))
    });
    for answer in futures::future::join_all(commits).await {
        answer.expect("it commits");
    }
    let mut mirror = BTreeMap::new();
    for expected in 1..=100 {
        let change = feed.next().await.expect("nothing was missed");
        assert_eq!(change.revision, Revision(expected));
        for record in &change.puts {
            assert_eq!(record.revision, change.revision);
            mirror.insert(record.key.clone(), record.clone());
        }
        for key in &change.deletes {
            mirror.remove(key);
        }
    }
    let mirror: Vec<_> = mirror.into_values().collect();
    assert_eq!(mirror, load(&**store).await.records);
}

pub async fn the_feed_has_a_change_before_its_commit_is_answered(fixture: Fixture) {
    let mut feed = fixture.store.changes();
    let revision = put(&*fixture.store, "a", "b").await;
    let change = feed
        .try_next()
        .expect("it is there")
        .expect("nothing was missed");
    assert_eq!(change.revision, revision);
    assert!(feed.try_next().is_none());
}

pub async fn a_feed_starts_with_the_next_commit(fixture: Fixture) {
    put(&*fixture.store, "before", "").await;
    let mut feed = fixture.store.changes();
    put(&*fixture.store, "after", "").await;
    let change = feed.next().await.expect("nothing was missed");
    assert_eq!(change.revision, Revision(2));
}

pub async fn a_refused_commit_is_not_in_the_feed(fixture: Fixture) {
    let mut feed = fixture.store.changes();
    let refused = fixture
        .store
        .commit(Commit::new().present("a").put("b", "c"));
    assert!(refused.await.is_err());
    let checked = fixture.store.commit(Commit::new().absent("a"));
    assert!(checked.await.is_ok());
    assert!(feed.try_next().is_none());
}

pub async fn a_feed_left_behind_lags_and_goes_on(fixture: Fixture) {
    let store = &fixture.store;
    let mut feed = store.changes();
    let total = crate::CAPACITY + 1;
    let commits = (0..total).map(|_| store.commit(Commit::new().put("a", "b")));
    for answer in futures::future::join_all(commits).await {
        answer.expect("it commits");
    }
    assert_eq!(feed.next().await, Err(FeedError::Lagged));
    let revision = put(&**store, "a", "last").await;
    let change = feed.next().await.expect("it goes on after what was missed");
    assert_eq!(change.revision, revision);
}

pub async fn a_feed_closes_with_its_store(fixture: Fixture) {
    let mut feed = fixture.store.changes();
    put(&*fixture.store, "a", "b").await;
    drop(fixture);
    assert!(feed.next().await.is_ok());
    assert_eq!(feed.next().await, Err(FeedError::Closed));
    assert_eq!(feed.try_next(), Some(Err(FeedError::Closed)));
}

pub async fn the_epoch_stays(fixture: Fixture) {
    let epoch = fixture.store.epoch();
    put(&*fixture.store, "a", "b").await;
    assert_eq!(fixture.store.epoch(), epoch);
}

/// For durable adapters: `open` opens the same store again and again.
pub async fn keeps_everything_over_reopening<S: Store>(open: impl Fn() -> S) {
    let store = open();
    let epoch = store.epoch();
    for n in 0..20 {
        put(&store, &format!("key/{n}"), &n.to_string()).await;
    }
    let deleted = store.commit(Commit::new().delete("key/3")).await;
    assert_eq!(deleted.expect("it commits"), Revision(21));
    let before = load(&store).await;
    drop(store);
    let store = open();
    assert_eq!((load(&store).await, store.epoch()), (before, epoch));
    assert_eq!(put(&store, "next", "").await, Revision(22));
}
