//! Bare HTTP and gRPC, without the programs' own clients.

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

/// A port that nobody listens on. Another process may take it before the program under test does;
/// that is rare, and shows as a program that does not start.
///
/// # Panics
/// When the machine has no port left.
pub async fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a free port");
    listener
        .local_addr()
        .expect("the address of a listener")
        .port()
}

/// The answer to `GET`, head and body; `None` when nobody listens.
pub async fn http_get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// A gRPC channel over a Unix socket.
///
/// # Errors
/// When nobody listens.
pub async fn channel(socket: &Path) -> Result<Channel, tonic::transport::Error> {
    let connect = Connect(socket.to_owned());
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connect)
        .await
}

struct Connect(std::path::PathBuf);

impl tower::Service<Uri> for Connect {
    type Response = TokioIo<UnixStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
    }
}

/// A Workload API request with the header that the standard asks for.
pub fn workload_request<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let value = tonic::metadata::MetadataValue::from_static("true");
    request.metadata_mut().insert("workload.spiffe.io", value);
    request
}
