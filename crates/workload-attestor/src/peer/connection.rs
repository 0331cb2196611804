//! A connection that knows who made it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::transport::server::Connected;

use super::Peer;

/// A byte stream with the process at its other end. Under tonic each request carries the
/// `Arc<Peer>` in its extensions.
#[derive(Debug)]
pub struct PeerConn<IO = UnixStream> {
    io: IO,
    peer: Arc<Peer>,
}

impl<IO> PeerConn<IO> {
    pub(super) fn of(io: IO, peer: Arc<Peer>) -> Self {
        Self { io, peer }
    }

    /// A stream of which a test says who made it.
    #[cfg(any(test, feature = "testing"))]
    pub fn new(io: IO, peer: Arc<Peer>) -> Self {
        Self::of(io, peer)
    }

    /// Who made the connection.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

impl<IO> Connected for PeerConn<IO> {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Arc<Peer> {
        self.peer.clone()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for PeerConn<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for PeerConn<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
