//! A disk in memory that records every step and can lose power at any of them.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use rand::{Rng, rngs::StdRng};
use redb::{Builder, Database, DatabaseError, StorageBackend};
use signet_datastore::redb::Medium;

/// The unit a disk writes as a whole.
const SECTOR: usize = 512;

/// The disk; clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    /// What was on it at the beginning of the recording.
    start: Vec<u8>,
    steps: Vec<Step>,
    /// What a reader sees now.
    now: Vec<u8>,
}

#[derive(Clone)]
enum Step {
    Write(usize, Vec<u8>),
    SetLen(usize),
    Sync,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, {} steps", self.now.len(), self.steps.len())
    }
}

impl Disk {
    /// A disk with an empty database, as a new file has when it gets its name.
    pub(crate) fn new() -> Self {
        let disk = Self(Arc::default());
        drop(disk.open(&Database::builder()).expect("a whole disk"));
        disk.copy()
    }

    fn with(image: Vec<u8>) -> Self {
        let content = Content {
            start: image.clone(),
            steps: Vec::new(),
            now: image,
        };
        Self(Arc::new(Mutex::new(content)))
    }

    /// Another disk with the same content and nothing recorded.
    pub(crate) fn copy(&self) -> Self {
        Self::with(self.content().now.clone())
    }

    /// How many steps are recorded.
    pub(crate) fn steps(&self) -> usize {
        self.content().steps.len()
    }

    /// The disk as a power cut after `step` steps may leave it: the synced ones whole, of the
    /// others any part.
    pub(crate) fn cut(&self, step: usize, random: &mut StdRng) -> Self {
        let content = self.content();
        let steps = &content.steps[..step];
        let synced = steps.iter().rposition(|s| matches!(s, Step::Sync));
        let (sure, unsure) = steps.split_at(synced.map_or(0, |at| at + 1));
        let mut image = content.start.clone();
        sure.iter().for_each(|step| step.apply(&mut image));
        // How much the cache of this disk tends to have written back by itself.
        let share = [0.0, 0.1, 0.5, 0.9, 1.0][random.random_range(0..5)];
        for step in unsure {
            step.apply_part(&mut image, share, random);
        }
        Self::with(image)
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no user of the disk panicked")
    }

    fn take(&self, step: Step) {
        let mut content = self.content();
        step.apply(&mut content.now);
        content.steps.push(step);
    }
}

impl Step {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => put(image, *offset, data),
            Self::SetLen(length) => image.resize(*length, 0),
            Self::Sync => {}
        }
    }

    fn apply_part(&self, image: &mut Vec<u8>, share: f64, random: &mut StdRng) {
        match self {
            Self::Write(offset, data) if random.random_ratio(1, 4) => {
                for (number, sector) in data.chunks(SECTOR).enumerate() {
                    if random.random_bool(share) {
                        put(image, offset + number * SECTOR, sector);
                    }
                }
            }
            step if random.random_bool(share) => step.apply(image),
            _ => {}
        }
    }
}

/// Writes, and grows the image where a lost change of length left it short.
fn put(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(data);
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.content();
        let offset = offset as usize;
        let data = content.now.get(offset..offset + out.len());
        out.copy_from_slice(data.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.take(Step::SetLen(length as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.take(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.take(Step::Write(offset as usize, data.to_vec()));
        Ok(())
    }
}

impl Medium for Disk {
    fn path(&self) -> &Path {
        Path::new("simulated disk")
    }

    fn open(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        builder.create_with_backend(self.clone())
    }
}
