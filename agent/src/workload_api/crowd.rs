//! Bounds how many connections there are, so that no crowd of local processes takes the agent's
//! memory or shuts the others out.

use signet_connections::Preface;
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// Connections at once. With a stream each takes about 26 KiB, so all together about 100 MiB.
pub const MAX_CONNECTIONS: usize = 4096;
/// Connections of one user at once: one user cannot shut the others out.
pub const MAX_CONNECTIONS_OF_USER: usize = 1024;

/// Counts connections by user.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_user: HashMap<u32, usize>,
    /// Whether a refusal was reported since there was room last.
    reported: bool,
}

impl Crowd {
    /// A place for a connection of this user; nothing when there is no room.
    pub(super) fn enter(&self, uid: u32) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = counts.by_user.get(&uid).copied().unwrap_or_default();
        if counts.all >= MAX_CONNECTIONS || of_user >= MAX_CONNECTIONS_OF_USER {
            if !std::mem::replace(&mut counts.reported, true) {
                tracing::warn!(
                    uid,
                    of_user,
                    all = counts.all,
                    "too many connections to the Workload API; new ones are closed"
                );
            }
            return None;
        }
        counts.reported = false;
        counts.all += 1;
        counts.by_user.insert(uid, of_user + 1);
        Some(Place {
            crowd: self.clone(),
            uid,
        })
    }

    fn leave(&self, uid: u32) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(of_user) = counts.by_user.get_mut(&uid) {
            *of_user -= 1;
            if *of_user == 0 {
                counts.by_user.remove(&uid);
            }
        }
    }
}

/// One connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    uid: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.leave(self.uid);
    }
}

/// A connection that holds its place while it lives, and must say that it speaks HTTP/2 before long.
#[derive(Debug)]
pub(super) struct Placed<C> {
    connection: C,
    _place: Place,
    preface: Option<Preface>,
}

impl<C> Placed<C> {
    pub(super) fn new(connection: C, place: Place) -> Self {
        Self {
            connection,
            _place: place,
            preface: Some(Preface::awaited()),
        }
    }

    /// Counts what was read towards the preface.
    fn read(&mut self, bytes: usize) {
        if self
            .preface
            .as_mut()
            .is_some_and(|preface| preface.has_come(bytes))
        {
            self.preface = None;
        }
    }
}

impl<C: Connected> Connected for Placed<C> {
    type ConnectInfo = C::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.connect_info()
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Placed<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(preface) = &mut self.preface
            && preface.poll_late(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.connection).poll_read(cx, buffer);
        self.read(buffer.filled().len() - before);
        polled
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Placed<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signet_connections::PREFACE_TIMEOUT;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const PREFACE_BYTES: usize = 24;

    #[test]
    fn one_user_cannot_shut_the_others_out_and_places_come_free_again() {
        let crowd = Crowd::default();
        let mut places: Vec<_> = std::iter::from_fn(|| crowd.enter(1)).collect();
        assert_eq!(places.len(), MAX_CONNECTIONS_OF_USER);
        assert!(crowd.enter(2).is_some());
        places.pop();
        assert!(crowd.enter(1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_or_dribbles_is_closed_and_a_client_is_not() {
        for (first, closes) in [(0, true), (PREFACE_BYTES - 1, true), (PREFACE_BYTES, false)] {
            let (mut client, server) = tokio::io::duplex(64);
            let place = Crowd::default().enter(1).expect("room");
            let mut placed = Placed::new(server, place);
            client.write_all(&vec![0; first]).await.expect("written");
            let mut read = vec![0; first + 1];
            let reading = placed.read_exact(&mut read);
            let outcome = tokio::time::timeout(2 * PREFACE_TIMEOUT, reading).await;
            assert_eq!(matches!(outcome, Ok(Err(_))), closes, "{first} bytes");
        }
    }

    #[test]
    fn all_users_together_have_a_limit_too() {
        let crowd = Crowd::default();
        let places: Vec<_> = (0..).map_while(|uid| crowd.enter(uid)).collect();
        assert_eq!(places.len(), MAX_CONNECTIONS);
        drop(places);
        assert!(crowd.enter(0).is_some());
    }
}
