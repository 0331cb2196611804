//! The store on a disk that is full, fails or goes away.

use std::{
    io,
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use redb::{Builder, Database, DatabaseError, StorageBackend, backends::FileBackend};
use signet_model::Revision;
use tempfile::TempDir;

use super::open;
use crate::{
    Commit, FeedError, Store, StoreError,
    redb::{FileMedium, Medium, RedbStore},
};

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
