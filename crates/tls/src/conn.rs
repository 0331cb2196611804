//! One accepted connection after its handshake, as tonic serves it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::established::Place;
use crate::peer::PeerInfo;

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct TlsConn<Io> {
    stream: TlsStream<Io>,
    info: PeerInfo,
    place: Place,
}

impl<Io> TlsConn<Io> {
    pub(crate) fn new(stream: TlsStream<Io>, info: PeerInfo, place: Place) -> Self {
        Self {
            stream,
            info,
            place,
        }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer_info(&self) -> &PeerInfo {
        &self.info
    }
}

impl<Io> Connected for TlsConn<Io> {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsConn<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(why) = self.place.poll_end(cx) {
            return Poll::Ready(Err(why));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.place.read(buf.filled().len() - before);
        polled
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsConn<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
