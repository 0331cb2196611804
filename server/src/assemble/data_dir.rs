//! What the server has of its own in the file system: its data directory, its id, its admin socket.

use super::StartError;
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use tokio::net::UnixListener;

/// The admin socket is for its owner and group, as SPIRE's.
const SOCKET_MODE: u32 = 0o770;

/// The directory of the admin socket, if the server makes it.
const SOCKET_DIR_MODE: u32 = 0o750;

/// The data directory, if the server makes it: keys are in it.
const DATA_DIR_MODE: u32 = 0o750;

/// Binds the admin socket. A socket file that nobody listens on any more is replaced.
pub(super) fn admin_socket(path: &Path) -> Result<UnixListener, StartError> {
    if let Some(directory) = path.parent() {
        make_dir(directory, SOCKET_DIR_MODE, "the admin socket's directory")?;
    }
    let listen = |source| StartError::Listen {
        address: path.display().to_string(),
        source,
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(listen(io::ErrorKind::AddrInUse.into()));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(listen(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(listen)?;
    let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
    std::fs::set_permissions(path, mode).map_err(listen)?;
    Ok(listener)
}

fn make_dir(path: &Path, mode: u32, what: &'static str) -> Result<(), StartError> {
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(at(what, path))
}

/// The data directory is ours while this lives.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    pub(super) fn take(directory: &Path) -> Result<Self, StartError> {
        make_dir(directory, DATA_DIR_MODE, "data_dir")?;
        let path = directory.join(".signet-server.lock");
        let file = File::create(&path).map_err(at("lock file", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse(directory.to_owned())),
            Err(std::fs::TryLockError::Error(error)) => Err(at("lock file", &path)(error)),
        }
    }
}

/// Which server this is: drawn once, kept in the data directory.
pub(super) fn server_id(directory: &Path) -> Result<String, StartError> {
    let path = directory.join("server-id");
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at("server id", &path)(error));
        }
        _ => {}
    }
    let id = uuid::Uuid::new_v4().to_string();
    std::fs::write(&path, format!("{id}\n")).map_err(at("server id", &path))?;
    Ok(id)
}

pub(super) fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::File { what, path, source }
}
