//! Asking the metadata service of the machine that the agent runs on.
//!
//! It is plain HTTP on an address that only the machine can reach. What answers there instead, such
//! as a proxy's page for people, must not become evidence: the caller checks the form.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use signet_http::{Client, HttpError, Reach, Settings, SetupError};

use crate::AgentError;

/// The services answer within milliseconds, unless they are throttling.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Longest answer: a document with its certificates has 8 KiB, what a machine is 16 KiB.
const MAX_ANSWER: usize = 64 << 10;

/// Why the service did not give it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MetadataError {
    /// No client.
    #[error("the client could not be set up")]
    Setup(#[source] SetupError),
    /// A setting cannot stand in a URL.
    #[error("its address or a name in it makes no URL")]
    Url,
    /// No answer.
    #[error("it does not answer")]
    Http(#[source] HttpError),
    /// A refusal.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// Something else answered.
    #[error("its answer is not {0}; is a proxy in between?")]
    Form(&'static str),
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    url: String,
    header: (&'static str, &'static str),
}

impl Metadata {
    /// At `http://host[:port]`. The header tells the service that no browser was led to it.
    pub(crate) fn new(url: &str, header: (&'static str, &'static str)) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            header,
        }
    }

    /// What stands under a path, if `read` understands it.
    pub(crate) async fn get<T>(
        &self,
        what: &'static str,
        path: &str,
        read: impl FnOnce(&HeaderMap, &Bytes) -> Option<T>,
    ) -> Result<T, AgentError> {
        let answer = self.ask(path).await;
        let read = answer
            .and_then(|(headers, body)| read(&headers, &body).ok_or(MetadataError::Form(what)));
        read.map_err(|error| AgentError::Metadata {
            url: self.url.clone(),
            what,
            source: error.into(),
        })
    }

    async fn ask(&self, path: &str) -> Result<(HeaderMap, Bytes), MetadataError> {
        let client = Client::new(Settings {
            time_limit: TIME_LIMIT,
            max_answer: MAX_ANSWER,
            reach: Reach::Plain,
            ..Settings::default()
        });
        let client = client.map_err(MetadataError::Setup)?;
        let request =
            Request::get(format!("{}{path}", self.url)).header(self.header.0, self.header.1);
        let request = request.body(Bytes::new()).map_err(|_| MetadataError::Url)?;
        let answer = client.send(request).await.map_err(MetadataError::Http)?;
        match answer.status() {
            StatusCode::OK => {
                let (head, body) = answer.into_parts();
                Ok((head.headers, body))
            }
            status => Err(MetadataError::Status(status)),
        }
    }
}

/// With everything but letters, digits, `-`, `.` and `_` percent-encoded.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let each = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    each.collect()
}
