//! Streams in memory between agents and server, with the weather of a network: cut, refused, held
//! back, swallowed.

use futures::future::BoxFuture;
use signet_agent::upstream::{Dial, Stream};
use signet_tls::MemoryDialer;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// Where the server listens now; nowhere while it is down.
pub(crate) type Address = Arc<Mutex<Option<MemoryDialer>>>;

/// How the way between one agent and the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Everything passes.
    Clear,
    /// Open streams are broken and new ones refused.
    Refused,
    /// Nothing passes and nothing is lost: it all comes later.
    Held,
}

/// The way between one agent and the server. Clones are the same way.
#[derive(Clone)]
pub(crate) struct Link {
    address: Address,
    state: Arc<Mutex<State>>,
}

struct State {
    weather: Weather,
    next: u64,
    /// Streams made before this one are broken.
    broken_below: u64,
    /// Streams made before this one take everything and give nothing, for ever.
    swallowed_below: u64,
    wakers: BTreeMap<(u64, Direction), Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    In,
    Out,
}

/// What happens to a stream now.
enum Fate {
    Passes,
    Waits,
    Swallowed,
    Broken,
}

impl Link {
    pub(crate) fn new(address: Address) -> Self {
        let state = State {
            weather: Weather::Clear,
            next: 0,
            broken_below: 0,
            swallowed_below: 0,
            wakers: BTreeMap::new(),
        };
        Self {
            address,
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(crate) fn is_clear(&self) -> bool {
        self.lock().weather == Weather::Clear
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.change(|state| {
            state.weather = weather;
            if weather == Weather::Refused {
                state.broken_below = state.next;
            }
        });
    }

    /// Breaks the open streams; new ones may be opened at once.
    pub(crate) fn cut(&self) {
        self.change(|state| state.broken_below = state.next);
    }

    /// The open streams take everything and give nothing from now on; new ones are as good as ever.
    pub(crate) fn swallow(&self) {
        self.change(|state| state.swallowed_below = state.next);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        for waker in wakers.into_values() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn fate(&self, wire: u64, direction: Direction, cx: &Context<'_>) -> Fate {
        let mut state = self.lock();
        if wire < state.broken_below {
            return Fate::Broken;
        }
        state.wakers.insert((wire, direction), cx.waker().clone());
        if wire < state.swallowed_below {
            Fate::Swallowed
        } else if state.weather == Weather::Clear {
            Fate::Passes
        } else {
            Fate::Waits
        }
    }

    async fn open(self) -> io::Result<Box<dyn Stream>> {
        let weather = self.lock().weather;
        match weather {
            Weather::Clear => {}
            Weather::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
            Weather::Held => std::future::pending().await,
        }
        let server = self.address.lock().unwrap().clone();
        let server = server.ok_or(io::ErrorKind::ConnectionRefused)?;
        let stream = server.dial().await?;
        let number = {
            let mut state = self.lock();
            state.next += 1;
            state.next - 1
        };
        Ok(Box::new(Wire {
            number,
            link: self,
            stream,
        }))
    }
}

impl Dial for Link {
    fn dial(&self) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        Box::pin(self.clone().open())
    }
}

/// One stream over a link.
struct Wire {
    number: u64,
    link: Link,
    stream: DuplexStream,
}

impl Drop for Wire {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        state.wakers.remove(&(self.number, Direction::In));
        state.wakers.remove(&(self.number, Direction::Out));
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.link.fate(self.number, Direction::In, cx) {
            Fate::Passes => Pin::new(&mut self.stream).poll_read(cx, buffer),
            Fate::Waits | Fate::Swallowed => Poll::Pending,
            Fate::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.link.fate(self.number, Direction::Out, cx) {
            Fate::Passes => Pin::new(&mut self.stream).poll_write(cx, bytes),
            Fate::Waits => Poll::Pending,
            Fate::Swallowed => Poll::Ready(Ok(bytes.len())),
            Fate::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
