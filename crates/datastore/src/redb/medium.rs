//! What a redb store lives on: a file, or in tests a disk that records, fails or loses power.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use redb::{Builder, Database, DatabaseError, backends::FileBackend};
use rustix::fs::{Advice, fadvise};

/// Owner only: the store holds selectors and attestation facts.
const MODE: u32 = 0o600;

/// Where a redb database is opened, as often as needed.
pub trait Medium: Send + Sync + 'static {
    /// The name for messages.
    fn path(&self) -> &Path;

    /// Opens or creates the database with the settings of `builder`.
    fn open(&self, builder: &Builder) -> Result<Database, DatabaseError>;

    /// Called between closing and opening after a failure: what a cache holds of the medium may
    /// never have reached it.
    fn distrust_cache(&self) {}
}

/// A file.
#[derive(Debug)]
pub struct FileMedium {
    path: PathBuf,
    /// Set at the first opening: a file that goes away later is not replaced by an empty one.
    found: AtomicBool,
}

impl FileMedium {
    /// The medium for the file at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            found: AtomicBool::new(false),
        }
    }

    fn file(&self) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(!self.found.load(Ordering::Relaxed))
            .truncate(false)
            .mode(MODE)
            .open(&self.path)?;
        if file.metadata()?.permissions().mode() & 0o777 != MODE {
            file.set_permissions(fs::Permissions::from_mode(MODE))?;
        }
        sync_folder(&self.path)?;
        self.found.store(true, Ordering::Relaxed);
        Ok(file)
    }
}

impl Medium for FileMedium {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        builder.create_with_backend(FileBackend::new(self.file()?)?)
    }

    /// After a failed write-back Linux keeps the pages, marked as if they were on disk. Dropping
    /// them makes the next look read the disk itself. Best effort: a failing disk may refuse.
    fn distrust_cache(&self) {
        if let Ok(file) = File::open(&self.path) {
            let _best_effort = fadvise(&file, 0, None, Advice::DontNeed);
        }
    }
}

/// Makes the name of the file durable. At every opening, because a process killed right after it
/// created the file did not get this far.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}
