//! Where raw connections come from: a TCP socket, or memory in simulations.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A source of raw connections.
pub trait Listener: Send + 'static {
    /// The raw stream.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection and the address it comes from. Cancel-safe. `None` when there will be no
    /// more; an error concerns one connection or passes by itself (no descriptors left).
    fn accept(
        &mut self,
    ) -> impl Future<Output = Option<io::Result<(Self::Io, Option<SocketAddr>)>>> + Send;
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> Option<io::Result<(TcpStream, Option<SocketAddr>)>> {
        Some(TcpListener::accept(self).await.and_then(|(stream, addr)| {
            // gRPC writes small frames that must not wait for each other.
            stream.set_nodelay(true)?;
            Ok((stream, Some(addr)))
        }))
    }
}

/// Bytes in flight in each direction of a stream in memory, about a socket's buffer.
const MEMORY_BUFFER_BYTES: usize = 64 * 1024;

/// Connections in memory that wait to be accepted, about a socket's backlog.
const MEMORY_BACKLOG: usize = 128;

/// A listener in memory and the way to dial it.
#[must_use]
pub fn memory() -> (MemoryDialer, MemoryListener) {
    let (dialled, accepted) = mpsc::channel(MEMORY_BACKLOG);
    (MemoryDialer(dialled), MemoryListener(accepted))
}

/// The accepting end of [`memory`].
#[derive(Debug)]
pub struct MemoryListener(mpsc::Receiver<DuplexStream>);

impl Listener for MemoryListener {
    type Io = DuplexStream;

    async fn accept(&mut self) -> Option<io::Result<(DuplexStream, Option<SocketAddr>)>> {
        self.0.recv().await.map(|stream| Ok((stream, None)))
    }
}

/// The dialling end of [`memory`]. Clones dial the same listener.
#[derive(Debug, Clone)]
pub struct MemoryDialer(mpsc::Sender<DuplexStream>);

impl MemoryDialer {
    /// A new connection to the listener.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] when the listener is gone.
    pub async fn dial(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(MEMORY_BUFFER_BYTES);
        match self.0.send(theirs).await {
            Ok(()) => Ok(ours),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}
