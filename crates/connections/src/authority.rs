//! Lets clients of gRPC's C core in, those in Python, C++, Ruby and PHP, and the kubelet.
//!
//! Such a client on a Unix socket sends the socket's path, percent-encoded, as the request's
//! `:authority` (`run%2Fapi.sock`), and the kubelet compresses it. HTTP's grammar has no such name, and
//! the HTTP/2 library resets the stream before anybody here sees it. Nothing is decided by the authority
//! of a Unix socket, so the bytes on their way in get a `-` or `.` for each `%` in it. Lengths stay as
//! they are, and so does the client's compression state, in which a later request may refer back to the
//! field.
//!
//! This reads only where header fields begin and end (RFC 9113 section 4 and 6, RFC 7541 section 6).
//! It refuses nothing: what is malformed goes on unchanged to the library, which does.

mod fields;
mod huffman;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use fields::Fields;

/// The client's first bytes, "PRI * HTTP/2.0…" (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// The head of a frame (section 4.1).
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;
/// A stream dependency and a weight.
const PRIORITY_BYTES: usize = 5;

/// A connection whose requests have an authority that HTTP allows.
#[derive(Debug)]
pub struct Lenient<C> {
    connection: C,
    frames: Frames,
}

impl<C> Lenient<C> {
    /// Lets the requests of this connection in.
    pub fn new(connection: C) -> Self {
        Self {
            connection,
            frames: Frames::default(),
        }
    }
}

impl<C: Connected> Connected for Lenient<C> {
    type ConnectInfo = C::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.connect_info()
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Lenient<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.connection).poll_read(context, buffer);
        self.frames.pass(&mut buffer.filled_mut()[before..]);
        read
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Lenient<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

/// Where in the sequence of frames the next byte is.
#[derive(Debug)]
struct Frames {
    /// Bytes to pass before anything is looked at: the preface, a payload, padding.
    skip: usize,
    head: [u8; FRAME_HEAD],
    /// How much of the head has come.
    filled: usize,
    /// The next byte is a pad length.
    padded: bool,
    /// Bytes of header fields before the padding.
    block: usize,
    padding: usize,
    fields: Fields,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            skip: PREFACE,
            head: [0; FRAME_HEAD],
            filled: 0,
            padded: false,
            block: 0,
            padding: 0,
            fields: Fields::Start,
        }
    }
}

impl Frames {
    fn pass(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let taken = if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                skipped
            } else {
                self.look_at(&mut bytes[0]);
                1
            };
            bytes = &mut bytes[taken..];
        }
    }

    fn look_at(&mut self, byte: &mut u8) {
        if self.padded {
            self.padded = false;
            self.padding = usize::from(*byte);
            self.skip = self.priority();
            self.block = self.block.saturating_sub(1 + self.skip + self.padding);
        } else if self.block > 0 {
            self.fields.next(byte);
            self.block -= 1;
        } else {
            self.head[self.filled] = *byte;
            self.filled += 1;
        }
        if self.block == 0 && !self.padded {
            self.skip += std::mem::take(&mut self.padding);
        }
        if self.filled == FRAME_HEAD {
            self.begin();
        }
    }

    fn begin(&mut self) {
        self.filled = 0;
        let length = usize::from(self.head[0]) << 16
            | usize::from(self.head[1]) << 8
            | usize::from(self.head[2]);
        match self.head[3] {
            HEADERS => {
                self.fields = Fields::Start;
                self.padded = self.head[4] & PADDED != 0 && length > 0;
                self.block = length;
                if !self.padded {
                    self.skip = self.priority().min(length);
                    self.block -= self.skip;
                }
            }
            CONTINUATION => self.block = length,
            _ => self.skip = length,
        }
    }

    fn priority(&self) -> usize {
        if self.head[4] & PRIORITY == 0 {
            0
        } else {
            PRIORITY_BYTES
        }
    }
}

#[cfg(test)]
mod tests;
