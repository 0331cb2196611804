//! The store as a server process sees it: what is committed stays when the process dies, the disk
//! may be slow, and a write may fail before it is made.

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use signet_datastore::{ChangeFeed, Commit, Epoch, Loaded, MemoryStore, Store, StoreError};
use signet_model::Revision;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How ill the disk is, shared by all lives of the server.
pub(crate) struct Disk {
    state: Mutex<(Illness, StdRng)>,
}

/// What may happen to a commit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Illness {
    /// The longest wait before the write and before its acknowledgement.
    pub(crate) slowest: Duration,
    /// The part of the writes that fail, undone.
    pub(crate) failing: f64,
}

struct Drawn {
    before: Duration,
    after: Duration,
    fails: bool,
}

impl Disk {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let rng = StdRng::seed_from_u64(seed);
        Arc::new(Self {
            state: Mutex::new((Illness::default(), rng)),
        })
    }

    pub(crate) fn set(&self, illness: Illness) {
        self.state.lock().unwrap().0 = illness;
    }

    fn draw(&self) -> Drawn {
        let (illness, rng) = &mut *self.state.lock().unwrap();
        let wait = |part: f64| illness.slowest.mul_f64(part);
        Drawn {
            before: wait(rng.random_range(0.0..1.0)),
            after: wait(rng.random_range(0.0..1.0)),
            fails: rng.random_bool(illness.failing),
        }
    }
}

/// The store in one life of the server.
pub(crate) struct Mount {
    durable: Arc<MemoryStore>,
    disk: Arc<Disk>,
    gone: AtomicBool,
}

impl Mount {
    pub(crate) fn new(durable: Arc<MemoryStore>, disk: Arc<Disk>) -> Arc<Self> {
        Arc::new(Self {
            durable,
            disk,
            gone: AtomicBool::new(false),
        })
    }

    /// The process has died: nothing of it reaches the store any more.
    pub(crate) fn cut_off(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    async fn wait(&self, time: Duration) {
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        if self.gone.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Store for Mount {
    async fn load(&self) -> Result<Loaded, StoreError> {
        self.durable.load().await
    }

    async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        let drawn = self.disk.draw();
        self.wait(drawn.before).await;
        if drawn.fails {
            return Err(StoreError::Io {
                step: "write",
                path: "simulated".into(),
                source: Arc::new(io::Error::other("on purpose")),
            });
        }
        let answer = self.durable.commit(commit).await;
        self.wait(drawn.after).await;
        answer
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.wait(Duration::ZERO).await;
        self.durable.revision().await
    }

    fn changes(&self) -> ChangeFeed {
        self.durable.changes()
    }

    fn epoch(&self) -> Epoch {
        self.durable.epoch()
    }
}
