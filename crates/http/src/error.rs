//! Why a client cannot be made, and why a request has no answer.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use signet_crypto::{KeyError, pem::PemError};

use crate::tls::SYSTEM_ROOTS;

/// Why a client could not be made of its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file cannot be read.
    #[error("could not read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("{} is not PEM", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PemError,
    },
    /// A file holds no certificate that can be used.
    #[error("{} holds no usable certificate", .path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file holds no private key that can be used.
    #[error("{} holds no usable private key", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The machine's authorities cannot be found.
    #[error("none of the files with the machine's certificate authorities can be read (looked at {})", SYSTEM_ROOTS.join(", "))]
    NoRoots,
    /// TLS cannot be set up so.
    #[error("could not set up TLS")]
    Tls(#[source] tokio_rustls::rustls::Error),
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL cannot be asked.
    #[error("the URL is not usable: {0}")]
    Url(&'static str),
    /// The server cannot be reached, or its certificate is refused.
    #[error("could not connect to {host}")]
    Connect {
        /// The host of the URL.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The connection broke, or what came over it is not HTTP.
    #[error("the exchange with {host} failed")]
    Exchange {
        /// The host of the URL.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer is longer than allowed.
    #[error("the answer of {host} is longer than {limit} bytes")]
    TooLong {
        /// The host of the URL.
        host: String,
        /// The longest allowed.
        limit: usize,
    },
    /// The answer points elsewhere, where the client does not go.
    #[error("{host} answered {status} and points elsewhere, which is not followed")]
    Redirected {
        /// The host of the URL.
        host: String,
        /// What it answered.
        status: StatusCode,
    },
    /// It took too long.
    #[error("no answer of {host} within {} s", .limit.as_secs())]
    Late {
        /// The host of the URL.
        host: String,
        /// The time allowed.
        limit: Duration,
    },
}

impl HttpError {
    /// True if the same request may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Exchange { .. } | Self::Late { .. }
        )
    }
}
