//! The contract on redb, its file and its schema record.

mod faults;

use std::os::unix::fs::PermissionsExt;

use redb::Database;
use signet_model::Revision;
use tempfile::TempDir;

use super::{FileMedium, Medium, RedbStore};
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

fn open(folder: &TempDir) -> RedbStore {
    RedbStore::open(folder.path().join("store.redb")).unwrap()
}

#[tokio::test]
async fn everything_is_kept_over_reopening() {
    let folder = tempfile::tempdir().unwrap();
    contract::keeps_everything_over_reopening(|| open(&folder)).await;
}

#[tokio::test]
async fn two_stores_have_different_epochs() {
    let (one, two) = (make().await, make().await);
    assert_ne!(one.store.epoch(), two.store.epoch());
}

#[test]
fn the_file_is_for_its_owner_only_even_if_it_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    drop(open(&folder));
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&folder));
    assert_eq!(mode(), 0o600);
}

#[test]
fn a_creation_leaves_nothing_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let _store = open(&folder);
    let names = std::fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["store.redb"]);
}

#[test]
fn of_many_that_create_the_file_at_once_one_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let creators: Vec<_> = (0..16)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || RedbStore::open(path))
        })
        .collect();
    let made = creators.into_iter().map(|one| one.join().unwrap());
    let (one, others): (Vec<_>, Vec<_>) = made.partition(Result::is_ok);
    assert_eq!(one.len(), 1, "{others:?}");
    for refused in others.into_iter().filter_map(Result::err) {
        let is_held = matches!(refused, StoreError::HeldElsewhere { .. });
        assert!(is_held, "{refused:?}");
    }
}

#[test]
fn a_second_opener_is_refused_and_told_who_holds_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(&folder);
    let error = RedbStore::open(folder.path().join("store.redb")).unwrap_err();
    assert!(
        matches!(error, StoreError::HeldElsewhere { .. }),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .starts_with("another signet-server (or another process) holds")
    );
}

#[test]
fn a_missing_folder_is_an_error_that_names_the_file() {
    let error = RedbStore::open("/nonexistent/folder/store.redb").unwrap_err();
    assert!(
        error.to_string().contains("/nonexistent/folder/store.redb"),
        "{error}"
    );
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let content = b"SQLite format 3\0 and so on".repeat(1000);
    std::fs::write(&path, &content).unwrap();
    let error = RedbStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), content);
}

#[test]
fn a_redb_file_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let table = redb::TableDefinition::<u64, u64>::new("theirs");
    transaction.open_table(table).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = RedbStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error:?}");
}

#[test]
fn an_empty_file_left_by_a_crash_at_creation_becomes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.redb"), b"").unwrap();
    open(&folder);
}

#[tokio::test]
async fn a_file_that_vanishes_is_not_replaced_by_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let medium = FileMedium::new(&path);
    medium.open(&super::database::builder()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(medium.open(&super::database::builder()).is_err());
    assert!(!path.exists());
}

#[tokio::test]
async fn the_store_closes_even_if_a_feed_is_still_held() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let _feed = store.changes();
    drop(store);
    open(&folder);
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

fn refuse(records: &[Record]) -> Result<Rewrite, MigrateError> {
    Err(MigrateError::Record {
        key: records[0].key.clone(),
        detail: "refused by the test".to_owned(),
    })
}

fn open_schema(folder: &TempDir, schema: Schema) -> Result<RedbStore, StoreError> {
    let medium = FileMedium::new(folder.path().join("store.redb"));
    RedbStore::open_schema(medium, schema)
}

async fn store_with_one_record() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let commit = Commit::new().put("a", "value");
    open(&folder).commit(commit).await.unwrap();
    folder
}

const RENAMED_TWICE: Schema = Schema {
    version: 3,
    steps: &[(1, rename), (2, rename)],
};

#[tokio::test]
async fn an_older_store_is_migrated_step_by_step_in_one_commit() {
    let folder = store_with_one_record().await;
    let store = open_schema(&folder, RENAMED_TWICE).unwrap();
    let loaded = store.load().await.unwrap();
    let keys: Vec<&str> = loaded.records.iter().map(|r| r.key.as_str()).collect();
    assert_eq!(keys, ["new/new/a"]);
    assert_eq!(loaded.revision, Revision(2));
    drop(store);
    let again = open_schema(&folder, RENAMED_TWICE).unwrap();
    assert_eq!(again.load().await.unwrap(), loaded);
}

#[tokio::test]
async fn a_newer_store_is_refused_with_both_versions_and_a_remedy() {
    let folder = store_with_one_record().await;
    drop(open_schema(&folder, RENAMED_TWICE).unwrap());
    let error = RedbStore::open(folder.path().join("store.redb")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("schema 3") && text.contains("schemas up to 1"),
        "{text}"
    );
    assert!(
        text.contains("run the version of signet-server that wrote it"),
        "{text}"
    );
    assert!(open_schema(&folder, RENAMED_TWICE).is_ok());
}

#[tokio::test]
async fn a_failed_migration_leaves_the_store_as_it_was() {
    let folder = store_with_one_record().await;
    for steps in [
        &[(1, refuse as _)][..],
        &[(1, rename as _), (2, refuse as _)],
        &[],
    ] {
        let steps = Box::leak(steps.to_vec().into_boxed_slice());
        let error = open_schema(&folder, Schema { version: 3, steps }).unwrap_err();
        assert!(matches!(error, StoreError::Migration { .. }), "{error:?}");
    }
    let loaded = open(&folder).load().await.unwrap();
    assert_eq!(
        (loaded.records[0].key.as_str(), loaded.revision),
        ("a", Revision(1))
    );
}
