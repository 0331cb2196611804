//! Sending requests, each within its bounds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use crate::dial::{self, Dial, Route};
use crate::proxy::Proxy;
use crate::{HttpError, Lines, Reach, Redirects, Settings, SetupError, redirect, tls};

/// Requests of one client that run at once; the others wait. A server that grows slow must not have us
/// open connections without end.
const MAX_AT_ONCE: usize = 64;
/// Idle connections are kept this long: most servers keep them longer.
const IDLE: Duration = Duration::from_secs(30);
/// Idle connections that are kept to one server.
const MAX_IDLE: usize = 16;

/// A client of web servers. Cloning is cheap and shares the connections.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<Dial, Full<Bytes>>,
    scheme: &'static str,
    places: Arc<Semaphore>,
    time_limit: Duration,
    max_answer: usize,
    redirects: u8,
}

impl Client {
    /// Reads the files that `settings` name.
    ///
    /// # Errors
    /// [`SetupError`] says what about the settings is wrong.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let route = match settings.reach {
            Reach::Https { roots, certificate } => {
                Route::Tls(tls::config(&roots, certificate.as_ref())?)
            }
            Reach::Plain => Route::Tcp,
            Reach::Socket(path) => Route::Socket(Arc::new(path)),
        };
        let scheme = route.scheme();
        let dial = Dial {
            route,
            addresses: settings.addresses,
            proxy: Proxy::new(&settings.proxies),
        };
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(dial);
        Ok(Self {
            inner,
            scheme,
            places: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            time_limit: settings.time_limit,
            max_answer: settings.max_answer,
            redirects: match settings.redirects {
                Redirects::Refused => 0,
                Redirects::Followed(times) => times,
            },
        })
    }

    /// Sends a request, whose URI is absolute, and reads its answer whole. Every status below 300 or
    /// above 399 is an answer.
    ///
    /// # Errors
    /// [`HttpError`] says which step failed.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let host = dial::host(request.uri()).to_owned();
        let limit = self.time_limit;
        let answer = tokio::time::timeout(limit, self.follow(request)).await;
        answer.unwrap_or(Err(HttpError::Late { host, limit }))
    }

    /// Sends a request and hands over its answer before the body is there, which may then go on for
    /// ever, with no silence longer than `silence`. Its lines have the length of an answer at most.
    /// Redirects are not followed.
    ///
    /// # Errors
    /// [`HttpError`] says which step failed.
    pub async fn open(
        &self,
        request: Request<Bytes>,
        silence: Duration,
    ) -> Result<Response<Lines>, HttpError> {
        let host = dial::host(request.uri()).to_owned();
        let limit = self.time_limit;
        let head = tokio::time::timeout(limit, self.once(request)).await;
        let late = |_| HttpError::Late {
            host: host.clone(),
            limit,
        };
        let answer = head.map_err(late)??;
        if answer.status().is_redirection() {
            let status = answer.status();
            return Err(HttpError::Redirected { host, status });
        }
        Ok(answer.map(|body| Lines::new(host, body, silence, self.max_answer)))
    }

    async fn follow(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let _place = self.places.acquire().await.expect("never closed");
        let mut left = self.redirects;
        loop {
            let answer = self.once(request.clone()).await?;
            let status = answer.status();
            if !status.is_redirection() {
                return self.read(request.uri(), answer).await;
            }
            let (asked, method) = (request.uri(), request.method());
            let next = redirect::target(asked, method, status, answer.headers());
            let Some(next) = next.filter(|_| left > 0) else {
                let host = dial::host(asked).to_owned();
                return Err(HttpError::Redirected { host, status });
            };
            left -= 1;
            *request.uri_mut() = next;
        }
    }

    async fn once(&self, request: Request<Bytes>) -> Result<Response<Incoming>, HttpError> {
        let uri = request.uri();
        if uri.scheme_str() != Some(self.scheme) {
            return Err(HttpError::Url("it has the wrong scheme"));
        }
        let host = dial::host(uri).to_owned();
        if host.is_empty() {
            return Err(HttpError::Url("it has no host"));
        }
        let sent = self.inner.request(request.map(Full::new)).await;
        sent.map_err(|error| failed(host, error))
    }

    async fn read(
        &self,
        asked: &Uri,
        answer: Response<Incoming>,
    ) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = answer.into_parts();
        let limit = self.max_answer;
        let host = dial::host(asked).to_owned();
        if body.size_hint().lower() > limit as u64 {
            return Err(HttpError::TooLong { host, limit });
        }
        let body = Limited::new(body, limit).collect().await;
        let body = body.map_err(|source| {
            if source.is::<LengthLimitError>() {
                HttpError::TooLong { host, limit }
            } else {
                HttpError::Exchange { host, source }
            }
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

fn failed(host: String, error: legacy::Error) -> HttpError {
    let source = Box::new(error);
    if source.is_connect() {
        HttpError::Connect { host, source }
    } else {
        HttpError::Exchange { host, source }
    }
}
