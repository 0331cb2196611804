//! A Unix socket that local processes connect to.
//!
//! The socket file stays when the listener is dropped: its successor, which may already be running,
//! owns it then. A file that nobody listens on is replaced at [`PeerListener::bind`].

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use tokio::net::UnixListener;
use tokio_stream::Stream;

use super::{Peer, PeerConn, PeerRefused, ProcRoot};

/// Connections the kernel keeps for us while we are busy. It caps this at `net.core.somaxconn`
/// (4,096 by default). Workloads of a node that boots all connect within a moment.
const BACKLOG: i32 = 4096;

/// How long to leave the kernel alone when it has no descriptor or memory left for a connection:
/// asking again at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every process of the machine: the Workload API.
    Public,
    /// The agent's user and group: administration.
    Admin,
}

/// A listening Unix socket.
#[derive(Debug)]
pub struct PeerListener {
    listener: UnixListener,
    proc: ProcRoot,
    path: PathBuf,
}

/// Why no socket could be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The directory does not exist and could not be made.
    #[error("cannot create the socket's directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// Somebody listens already.
    #[error("another process listens on {}; stop it, or choose another socket path", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// There is a file, but it is no socket. It is left alone.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The socket that a process left behind could not be removed.
    #[error("cannot remove the stale socket {}", path.display())]
    Stale {
        /// The socket.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The kernel refused.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// Why a connection was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The kernel gave none, most often for want of descriptors.
    #[error("cannot accept a connection")]
    Accept(#[source] io::Error),
    /// The peer cannot be known; its connection is closed.
    #[error("refused a connection")]
    Refused(#[source] PeerRefused),
}

impl PeerListener {
    /// Listens at `path`; must be called inside a tokio runtime. Missing directories are made. A
    /// socket file that nobody listens on is removed first. Nobody can connect before the
    /// mode of the file is set.
    pub fn bind(path: impl Into<PathBuf>, access: Access) -> Result<Self, BindError> {
        let path = path.into();
        make_directories(&path, access)?;
        remove_stale(&path)?;
        match open(&path, access) {
            Ok(listener) => Ok(Self {
                listener,
                proc: ProcRoot::default(),
                path,
            }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(BindError::InUse { path })
            }
            Err(source) => Err(BindError::Listen { path, source }),
        }
    }

    /// Reads the facts of peers from another process file system than `/proc`.
    #[must_use]
    pub fn with_proc_root(self, proc: ProcRoot) -> Self {
        Self { proc, ..self }
    }

    /// The next connection. A refused peer is an error here, after which the listener can be asked
    /// again; [`into_stream`](Self::into_stream) does that by itself.
    pub async fn accept(&self) -> Result<PeerConn, AcceptError> {
        let (stream, _) = self.listener.accept().await.map_err(AcceptError::Accept)?;
        let peer = Peer::of_socket(&stream, &self.proc).map_err(AcceptError::Refused)?;
        Ok(PeerConn::of(stream, Arc::new(peer)))
    }

    /// Connections for ever, in the form that tonic serves. What cannot be accepted is logged: the
    /// first refusal loudly, as a wrong deployment (PID namespaces) shows there, later ones at
    /// debug level, as any process of the machine can cause them.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<PeerConn>> + Send {
        futures::stream::unfold((self, false), |(listener, warned)| async move {
            let (connection, warned) = listener.next(warned).await;
            Some((Ok(connection), (listener, warned)))
        })
    }

    async fn next(&self, mut warned: bool) -> (PeerConn, bool) {
        loop {
            match self.accept().await {
                Ok(connection) => return (connection, warned),
                Err(AcceptError::Refused(reason)) => {
                    self.report(&reason, warned);
                    warned = true;
                }
                Err(AcceptError::Accept(error)) => {
                    tracing::error!(path = %self.path.display(), %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn report(&self, reason: &PeerRefused, quietly: bool) {
        let path = self.path.display();
        let cause = std::error::Error::source(reason).map(ToString::to_string);
        if quietly {
            tracing::debug!(%path, %reason, cause, "refused a connection");
        } else {
            tracing::warn!(%path, %reason, cause, "refused a connection");
        }
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Access {
    /// Mode of the socket file. Connecting needs the right to write.
    fn socket_mode(self) -> u32 {
        match self {
            Self::Public => 0o777,
            Self::Admin => 0o770,
        }
    }

    /// Mode of directories that we make for it.
    fn directory_mode(self) -> u32 {
        match self {
            Self::Public => 0o755,
            Self::Admin => 0o750,
        }
    }
}

/// Makes the missing directories above `socket`, each with the wanted mode whatever the umask is.
/// Directories that exist are left as they are.
fn make_directories(socket: &Path, access: Access) -> Result<(), BindError> {
    let mode = access.directory_mode();
    let missing: Vec<&Path> = socket
        .ancestors()
        .skip(1)
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        .collect();
    for dir in missing.into_iter().rev() {
        make_directory(dir, mode).map_err(|source| BindError::Directory {
            path: dir.to_path_buf(),
            source,
        })?;
    }
    Ok(())
}

fn make_directory(dir: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(dir) {
        Ok(()) => std::fs::set_permissions(dir, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a socket that nobody listens on. Connecting is the only way to tell.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let stale = |source| BindError::Stale {
        path: path.to_path_buf(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(stale(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket {
                path: path.to_path_buf(),
            });
        }
        Ok(_) => {}
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(stale)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(stale(error)),
        Ok(_) | Err(_) => Err(BindError::InUse {
            path: path.to_path_buf(),
        }),
    }
}

/// Binds, sets the mode, and only then listens.
fn open(path: &Path, access: Access) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &address)?;
    std::fs::set_permissions(path, Permissions::from_mode(access.socket_mode()))?;
    listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn the_public_socket_is_open_to_all_and_so_is_the_way_to_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b/api.sock");
        PeerListener::bind(&path, Access::Public).unwrap();
        assert_eq!(mode(&path), 0o777);
        assert_eq!(mode(&temp.path().join("a")), 0o755);
        assert_eq!(mode(&temp.path().join("a/b")), 0o755);
    }

    #[tokio::test]
    async fn the_admin_socket_is_closed_to_others() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("private/admin.sock");
        PeerListener::bind(&path, Access::Admin).unwrap();
        assert_eq!(mode(&path), 0o770);
        assert_eq!(mode(&temp.path().join("private")), 0o750);
    }

    #[tokio::test]
    async fn an_existing_directory_keeps_its_mode() {
        let temp = tempfile::tempdir().unwrap();
        let before = mode(temp.path());
        PeerListener::bind(temp.path().join("api.sock"), Access::Public).unwrap();
        assert_eq!(mode(temp.path()), before);
    }

    #[tokio::test]
    async fn a_second_listener_is_refused_while_the_first_lives() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("api.sock");
        let first = PeerListener::bind(&path, Access::Public).unwrap();
        let second = PeerListener::bind(&path, Access::Public);
        assert!(matches!(second, Err(BindError::InUse { .. })));
        drop(first);
        PeerListener::bind(&path, Access::Public).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("api.sock");
        std::fs::write(&path, "precious").unwrap();
        let refused = PeerListener::bind(&path, Access::Public);
        assert!(matches!(refused, Err(BindError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_path_longer_than_the_kernel_takes_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let refused = PeerListener::bind(temp.path().join("x".repeat(120)), Access::Public);
        assert!(matches!(refused, Err(BindError::Listen { .. })));
    }

    #[tokio::test]
    async fn a_connection_carries_the_peer_that_made_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("api.sock");
        let listener = PeerListener::bind(&path, Access::Public).unwrap();
        let _client = StdUnixStream::connect(&path).unwrap();
        let connection = listener.accept().await.unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(connection.peer().pid(), pid);
        assert!(connection.peer().still_same().is_ok());
    }
}
