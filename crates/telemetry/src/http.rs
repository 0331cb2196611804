//! The plain HTTP listener for probes and for Prometheus. GET and HEAD only, one small answer
//! each, a bounded number of connections, nothing of the request is used but its path.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use signet_runtime::Tasks;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Probes and scrapers need a handful of connections; more is somebody else.
const MAX_CONNECTIONS: usize = 64;
/// The pause after a failed accept, most often for want of descriptors: asking again at once would
/// only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client that has not sent its request by then is dropped.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What a path answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether the status is 200, else 500 as SPIRE's probes give.
    pub ok: bool,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

type Page = Arc<dyn Fn() -> Answer + Send + Sync>;

/// The paths of one listener.
#[derive(Clone, Default)]
pub struct Pages(BTreeMap<String, Page>);

impl Pages {
    /// No paths yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a path.
    #[must_use]
    pub fn with<F>(mut self, path: &str, page: F) -> Self
    where
        F: Fn() -> Answer + Send + Sync + 'static,
    {
        self.0.insert(path.to_owned(), Arc::new(page));
        self
    }

    /// Adds the two probes of a program.
    #[must_use]
    pub fn with_health(self, live: &str, ready: &str, health: crate::health::Health) -> Self {
        let for_ready = health.clone();
        self.with(live, move || probe(&health.live()))
            .with(ready, move || probe(&for_ready.ready()))
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new());
        }
        match self.0.get(request.uri().path()) {
            None => response(StatusCode::NOT_FOUND, "text/plain", String::new()),
            Some(page) => {
                let Answer {
                    ok,
                    content_type,
                    body,
                } = page();
                let status = if ok {
                    StatusCode::OK
                } else {
                    StatusCode::INTERNAL_SERVER_ERROR
                };
                response(status, content_type, body)
            }
        }
    }
}

fn probe(report: &crate::health::Report) -> Answer {
    let body = report.to_json().to_string();
    Answer {
        ok: report.is_healthy(),
        content_type: "application/json",
        body,
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, value);
    response
}

/// Binds the address; the error names it.
pub async fn bind(address: &str, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((address, port)).await.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on {address}:{port}: {error}"),
        )
    })
}

/// Serves the pages until the stop signal.
pub async fn serve(listener: TcpListener, pages: Pages, tasks: Tasks) -> io::Result<()> {
    let stop = tasks.stop();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted: io::Result<(TcpStream, SocketAddr)> = tokio::select! {
            () = stop.stopped() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue;
        };
        let pages = pages.clone();
        let stop = stop.clone();
        tasks.spawn("http connection", async move {
            let _place = place;
            tokio::select! {
                () = stop.stopped() => {}
                () = connection(stream, pages) => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, pages: Pages) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = pages.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get(pages: Pages, request: &str) -> String {
        let listener = bind("127.0.0.1", 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        tasks.spawn_essential("http", serve(listener, pages, tasks.clone()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(tasks.shutdown(Duration::from_secs(5)).await);
        answer
    }

    fn pages(ok: bool) -> Pages {
        let body = "here".to_owned();
        Pages::new().with("/live", move || Answer {
            ok,
            content_type: "text/plain",
            body: body.clone(),
        })
    }

    #[tokio::test]
    async fn a_healthy_page_answers_200() {
        let answer = get(
            pages(true),
            "GET /live HTTP/1.1\r\nconnection: close\r\n\r\n",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[tokio::test]
    async fn an_unhealthy_page_answers_500_and_others_are_refused() {
        let close = "connection: close\r\n\r\n";
        let ill = get(pages(false), &format!("GET /live HTTP/1.1\r\n{close}")).await;
        assert!(ill.starts_with("HTTP/1.1 500"), "{ill}");
        let missing = get(pages(true), &format!("GET /nope HTTP/1.1\r\n{close}")).await;
        assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
        let post = get(pages(true), &format!("POST /live HTTP/1.1\r\n{close}")).await;
        assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    }
}
