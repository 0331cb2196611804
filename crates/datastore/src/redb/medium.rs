//! What a redb store lives on: a file, or in tests a disk that records, fails or loses power.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::PermissionsExt,
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

    /// Makes an empty database beside and gives it its name when it is whole: redb does not open
    /// what is left where a creation was cut before its end.
    fn create(&self, builder: &Builder) -> Result<(), DatabaseError> {
        let new = tempfile::Builder::new()
            .prefix(".creating-")
            .tempfile_in(folder(&self.path))?;
        drop(builder.create_with_backend(FileBackend::new(new.reopen()?)?)?);
        match new.persist_noclobber(&self.path) {
            Err(e) if e.error.kind() != io::ErrorKind::AlreadyExists => Err(e.error.into()),
            // Another process was faster.
            _ => Ok(()),
        }
    }

    fn file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&self.path)?;
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
        if !self.found.load(Ordering::Relaxed) && !self.path.try_exists()? {
            self.create(builder)?;
        }
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
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
