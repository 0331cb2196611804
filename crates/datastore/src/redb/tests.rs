//! The contract on redb, its file, its schema record, and its behaviour on a disk that fails.

use std::{
    io,
    ops::Range,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use redb::{Builder, Database, DatabaseError, StorageBackend, backends::FileBackend};
use signet_model::Revision;
use tempfile::TempDir;

use super::{FileMedium, Medium, RedbStore};
use crate::{
    Commit, FeedError, MigrateError, Record, Store, StoreError, contract,
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

/// A file on a disk with faults that a test switches on and off.
#[derive(Clone, Debug, Default)]
struct Faults {
    /// Bytes the disk has; 0 stands for no limit.
    room: Arc<AtomicU64>,
    fail_sync: Arc<AtomicBool>,
    /// Syncs, counted from now, that say they failed although the data went through.
    doubtful: Arc<Mutex<Range<u32>>>,
    gone: Arc<AtomicBool>,
}

#[derive(Debug)]
struct FaultyFile {
    file: FileBackend,
    faults: Faults,
}

struct FaultyMedium {
    file: FileMedium,
    faults: Faults,
}

impl Medium for FaultyMedium {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn open(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        self.faults.check_gone()?;
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path())?;
        builder.create_with_backend(FaultyFile {
            file: FileBackend::new(file)?,
            faults: self.faults.clone(),
        })
    }
}

impl Faults {
    fn check_gone(&self) -> io::Result<()> {
        match self.gone.load(Ordering::SeqCst) {
            true => Err(io::Error::other("the disk is gone")),
            false => Ok(()),
        }
    }

    fn check_doubtful(&self) -> io::Result<()> {
        let mut range = self.doubtful.lock().unwrap();
        let fails = range.contains(&1);
        *range = range.start.saturating_sub(1)..range.end.saturating_sub(1);
        match fails {
            true => Err(io::Error::other("the sync failed, it said")),
            false => Ok(()),
        }
    }

    fn check_room(&self, end: u64) -> io::Result<()> {
        match self.room.load(Ordering::SeqCst) {
            0 => Ok(()),
            room if end <= room => Ok(()),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

impl StorageBackend for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.faults.check_gone()?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.check_gone()?;
        self.faults.check_room(len)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.check_gone()?;
        if self.faults.fail_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("the sync failed"));
        }
        self.file.sync_data()?;
        self.faults.check_doubtful()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.check_gone()?;
        self.faults.check_room(offset + data.len() as u64)?;
        self.file.write(offset, data)
    }
}

struct FaultyStore {
    store: RedbStore,
    faults: Faults,
    folder: TempDir,
}

fn faulty() -> FaultyStore {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let medium = FaultyMedium {
        file: FileMedium::new(folder.path().join("store.redb")),
        faults: faults.clone(),
    };
    let store = RedbStore::open_on(medium).unwrap();
    FaultyStore {
        store,
        faults,
        folder,
    }
}

fn big(key: &str) -> Commit {
    Commit::new().put(key, vec![7; 3_000_000])
}

#[tokio::test]
async fn a_full_disk_refuses_the_write_keeps_reading_and_recovers_by_itself() {
    let FaultyStore {
        store,
        faults,
        folder,
    } = faulty();
    let mut feed = store.changes();
    store
        .commit(Commit::new().put("kept", "value"))
        .await
        .unwrap();
    let length = std::fs::metadata(folder.path().join("store.redb"))
        .unwrap()
        .len();
    faults.room.store(length, Ordering::SeqCst);
    for _ in 0..3 {
        let error = store.commit(big("refused")).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert!(error.is_transient());
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.records.len(), loaded.revision), (1, Revision(1)));
    }
    faults.room.store(0, Ordering::SeqCst);
    assert_eq!(store.commit(big("fits")).await.unwrap(), Revision(2));
    assert_eq!(feed.next().await.unwrap().revision, Revision(1));
    assert_eq!(feed.next().await.unwrap().revision, Revision(2));
}

#[tokio::test]
async fn a_small_write_still_fits_on_a_disk_that_refused_a_large_one() {
    let FaultyStore {
        store,
        faults,
        folder,
    } = faulty();
    let length = std::fs::metadata(folder.path().join("store.redb"))
        .unwrap()
        .len();
    faults.room.store(length, Ordering::SeqCst);
    store.commit(big("refused")).await.unwrap_err();
    let small = store.commit(Commit::new().put("small", "value")).await;
    assert_eq!(small.unwrap(), Revision(1));
}

#[tokio::test]
async fn a_failed_sync_refuses_the_write_and_the_next_one_succeeds() {
    let FaultyStore {
        store,
        faults,
        folder,
    } = faulty();
    store.commit(Commit::new().put("a", "1")).await.unwrap();
    faults.fail_sync.store(true, Ordering::SeqCst);
    let error = store.commit(Commit::new().put("a", "2")).await.unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    faults.fail_sync.store(false, Ordering::SeqCst);
    let next = store.commit(Commit::new().put("b", "3")).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!(
        (loaded.revision, next),
        (next, store.revision().await.unwrap())
    );
    drop(store);
    assert_eq!(open(&folder).load().await.unwrap(), loaded);
}

/// A commit has two syncs: of its data, and of the header that makes it the latest.
const HEADER_SYNC: u32 = 2;

#[tokio::test]
async fn a_commit_that_reached_the_disk_after_all_is_acknowledged() {
    let FaultyStore {
        store,
        faults,
        folder,
    } = faulty();
    let mut feed = store.changes();
    *faults.doubtful.lock().unwrap() = HEADER_SYNC..HEADER_SYNC + 1;
    let answer = store.commit(Commit::new().put("a", "1")).await;
    assert_eq!(answer.unwrap(), Revision(1));
    assert_eq!(feed.next().await.unwrap().revision, Revision(1));
    drop(store);
    assert_eq!(open(&folder).load().await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn a_write_that_was_refused_but_shows_up_later_makes_every_feed_reload() {
    let FaultyStore {
        store,
        faults,
        folder: _folder,
    } = faulty();
    let mut feed = store.changes();
    *faults.doubtful.lock().unwrap() = HEADER_SYNC..u32::MAX;
    let refused = store.commit(Commit::new().put("a", "1")).await;
    assert!(refused.unwrap_err().is_transient());
    *faults.doubtful.lock().unwrap() = 0..0;
    let next = store.commit(Commit::new().put("b", "2")).await.unwrap();
    assert_eq!(next, Revision(2));
    assert_eq!(store.load().await.unwrap().records.len(), 2);
    assert_eq!(feed.next().await, Err(FeedError::Lagged));
    assert_eq!(feed.next().await.unwrap().revision, next);
}

#[tokio::test]
async fn while_the_disk_is_gone_everything_is_refused_and_then_goes_on() {
    let FaultyStore {
        store,
        faults,
        folder: _folder,
    } = faulty();
    store.commit(Commit::new().put("a", "1")).await.unwrap();
    faults.gone.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let write = store.commit(Commit::new().put("b", "2")).await;
        assert!(write.unwrap_err().is_transient());
        assert!(store.load().await.unwrap_err().is_transient());
        assert_eq!(store.revision().await.unwrap(), Revision(1));
    }
    faults.gone.store(false, Ordering::SeqCst);
    assert_eq!(store.load().await.unwrap().revision, Revision(1));
    assert_eq!(
        store.commit(Commit::new().put("b", "2")).await.unwrap(),
        Revision(2)
    );
}

#[tokio::test]
async fn a_reader_alone_gets_over_a_disk_error() {
    let FaultyStore {
        store,
        faults,
        folder: _folder,
    } = faulty();
    store.commit(big("a")).await.unwrap();
    faults.gone.store(true, Ordering::SeqCst);
    store.load().await.unwrap_err();
    faults.gone.store(false, Ordering::SeqCst);
    assert_eq!(store.load().await.unwrap().revision, Revision(1));
}
