//! The connections of a Unix socket, in the form that tonic serves.
//!
//! tonic ends the whole server at most errors of an accept. Want of descriptors passes by itself,
//! and until then the calls of open connections go on.

use std::io;
use std::time::Duration;

use futures::Stream;
use tokio::net::{UnixListener, UnixStream};

/// How long to leave the kernel alone when it has no descriptor or memory left for a connection:
/// asking again at once would only burn a core.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections for ever: an error is logged, and the socket asked again.
pub fn connections(listener: UnixListener) -> impl Stream<Item = io::Result<UnixStream>> + Send {
    futures::stream::unfold(listener, |listener| async move {
        let stream = next(|| listener.accept()).await;
        Some((Ok(stream), listener))
    })
}

/// Asks until there is a connection. A row of errors is told once.
async fn next<A, F>(mut accept: A) -> UnixStream
where
    A: FnMut() -> F,
    F: Future<Output = io::Result<(UnixStream, tokio::net::unix::SocketAddr)>>,
{
    let mut well = true;
    loop {
        match accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                if std::mem::replace(&mut well, false) {
                    tracing::error!(%error, "cannot accept a connection; is the limit on open files too low?");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use tokio::time::Instant;

    #[tokio::test]
    async fn each_client_comes_through() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let mut stream = Box::pin(connections(UnixListener::bind(&path).unwrap()));
        for _ in 0..3 {
            let _client = UnixStream::connect(&path).await.unwrap();
            stream.next().await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn want_of_descriptors_is_waited_out_without_a_busy_loop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let _client = UnixStream::connect(&path).await.unwrap();
        let mut failures = 3;
        let begun = Instant::now();
        let accept = || {
            failures -= 1;
            let fails = failures >= 0;
            let listener = &listener;
            async move {
                if fails {
                    return Err(io::Error::from_raw_os_error(24));
                }
                listener.accept().await
            }
        };
        next(accept).await;
        assert!(begun.elapsed() >= 3 * PAUSE, "{:?}", begun.elapsed());
    }
}
