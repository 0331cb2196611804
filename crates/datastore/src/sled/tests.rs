//! The contract on sled, and what is special about its folder.

use std::os::unix::fs::PermissionsExt;

use signet_model::Revision;
use tempfile::TempDir;

use super::SledStore;
use crate::{
    Commit, MigrateError, Record, Store, StoreError, contract,
    contract::Fixture,
    migrate::{Rewrite, Schema},
};

async fn make() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    Fixture::new(open(&folder), folder)
}

crate::store_contract!(make);

fn open(folder: &TempDir) -> SledStore {
    SledStore::open(folder.path().join("store")).unwrap()
}

#[tokio::test]
async fn everything_is_kept_over_reopening() {
    let folder = tempfile::tempdir().unwrap();
    contract::keeps_everything_over_reopening(|| open(&folder)).await;
}

#[tokio::test]
async fn a_value_too_large_for_its_file_is_kept_over_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let value = vec![7; 2_000_000];
    let commit = Commit::new().put("large", value.clone());
    open(&folder).commit(commit).await.unwrap();
    let loaded = open(&folder).load().await.unwrap();
    assert_eq!(loaded.records[0].value, value);
}

#[test]
fn a_second_opener_is_refused_and_told_who_holds_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(&folder);
    let error = SledStore::open(folder.path().join("store")).unwrap_err();
    assert!(
        matches!(error, StoreError::HeldElsewhere { .. }),
        "{error:?}"
    );
}

#[test]
fn the_folder_is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let _store = open(&folder);
    let mode = std::fs::metadata(folder.path().join("store")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_snapshot_left_unfinished_by_a_crash_does_not_keep_the_store_from_opening() {
    let folder = tempfile::tempdir().unwrap();
    let commit = Commit::new().put("a", "kept");
    open(&folder).commit(commit).await.unwrap();
    let leftover = folder.path().join("store/snap.0000000000000001.generating");
    std::fs::write(&leftover, b"half").unwrap();
    assert_eq!(open(&folder).load().await.unwrap().records.len(), 1);
    assert!(!leftover.exists());
}

#[test]
fn a_sled_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let theirs = sled::open(&path).unwrap();
    theirs.insert("their", "record").unwrap();
    drop(theirs);
    // Its own tasks let go of it a moment later.
    let error = loop {
        match SledStore::open(&path).unwrap_err() {
            StoreError::HeldElsewhere { .. } => std::thread::yield_now(),
            error => break error,
        }
    };
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error:?}");
}

fn rename(records: &[Record]) -> Result<Rewrite, MigrateError> {
    let mut rewrite = Rewrite::default();
    for record in records {
        rewrite.deletes.push(record.key.clone());
        rewrite
            .puts
            .push((format!("new/{}", record.key), record.value.clone()));
    }
    Ok(rewrite)
}

#[tokio::test]
async fn an_older_store_is_migrated_and_then_too_new_for_an_older_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let commit = Commit::new().put("a", "value");
    open(&folder).commit(commit).await.unwrap();
    let next = Schema {
        version: 2,
        steps: &[(1, rename)],
    };
    let store = SledStore::open_schema(path.clone(), next).unwrap();
    let loaded = store.load().await.unwrap();
    let found = (loaded.records[0].key.as_str(), loaded.revision);
    assert_eq!(found, ("new/a", Revision(2)));
    drop(store);
    let error = SledStore::open(path).unwrap_err();
    assert!(
        matches!(error, StoreError::SchemaTooNew { .. }),
        "{error:?}"
    );
}
