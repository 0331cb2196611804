//! What sled leaves undone on the disk: syncs, modes, and the leftover of a crash.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

/// sled's one large file, which it also locks.
const FILE: &str = "db";
/// The folder of values too large for it; such files are written once.
const LARGE: &str = "blobs";
/// The end of the name of a snapshot that was not finished.
const UNFINISHED: &str = ".generating";

/// Makes the folder, for its owner only, and removes an unfinished snapshot.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
        File::open(parent)?.sync_all()?;
    }
    match File::open(path.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        file => remove_unfinished(path, &file?),
    }
}

/// Only while nobody holds the store: a snapshot being written by another process is not ours.
fn remove_unfinished(path: &Path, file: &File) -> io::Result<()> {
    if flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes durable what sled has handed to the kernel.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    let large = path.join(LARGE);
    let mut any = false;
    for entry in fs::read_dir(&large)? {
        File::open(entry?.path())?.sync_all()?;
        any = true;
    }
    if any {
        File::open(&large)?.sync_all()?;
    }
    File::open(path.join(FILE))?.sync_data()?;
    File::open(path)?.sync_all()
}
