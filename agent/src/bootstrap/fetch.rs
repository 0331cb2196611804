//! One GET over HTTPS, verified with the machine's authorities, or over a Unix socket.

use super::MAX_BYTES;
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use signet_http::{Client, HttpError, Reach, Roots, Settings, SetupError};
use std::path::Path;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL cannot be asked.
    #[error("the URL is not usable: {0}")]
    Url(&'static str),
    /// HTTPS cannot be set up.
    #[error("could not set up HTTPS")]
    SetUp(#[source] SetupError),
    /// The request failed.
    #[error("the request failed")]
    Http(#[source] HttpError),
    /// The server does not have it.
    #[error("the server answered {0}")]
    Status(StatusCode),
}

/// Fetches an HTTPS URL from a server that the authorities in the file vouch for, or else those that
/// the machine trusts.
pub(super) async fn https(url: &Uri, authorities: Option<&Path>) -> Result<Bytes, FetchError> {
    let roots = authorities.map_or(Roots::System, |path| Roots::File(path.to_owned()));
    let settings = Settings {
        reach: Reach::Https {
            roots,
            certificate: None,
        },
        ..Settings::default()
    };
    get(settings, url).await
}

/// Fetches an HTTP URL over a Unix socket.
pub(super) async fn over_socket(url: &Uri, socket: &Path) -> Result<Bytes, FetchError> {
    let settings = Settings {
        reach: Reach::Socket(socket.to_owned()),
        ..Settings::default()
    };
    get(settings, url).await
}

async fn get(settings: Settings, url: &Uri) -> Result<Bytes, FetchError> {
    let settings = Settings {
        max_answer: MAX_BYTES,
        ..settings
    };
    let client = Client::new(settings).map_err(FetchError::SetUp)?;
    let request = Request::get(url)
        .body(Bytes::new())
        .expect("a parsed URL makes a request");
    let answer = client.send(request).await.map_err(FetchError::Http)?;
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        status => Err(FetchError::Status(status)),
    }
}
