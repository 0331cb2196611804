//! Why AWS has no answer.

use std::io;
use std::path::PathBuf;

use http::StatusCode;
use signet_http::HttpError;

/// Why a call to AWS failed. The texts hold nothing that AWS or a file said but an error's code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AwsError {
    /// No source has credentials.
    #[error(
        "no AWS credentials: set access_key_id and secret_access_key or AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY, or give this machine or container a role"
    )]
    NoCredentials,
    /// A file of credentials cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An endpoint from the environment cannot be used.
    #[error("{variable} {problem}")]
    Endpoint {
        /// The environment variable.
        variable: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The service was not reached, or did not answer in time or in bounds.
    #[error("{service} {action} failed")]
    Http {
        /// The service.
        service: &'static str,
        /// What was asked.
        action: &'static str,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// The service said no.
    #[error("{service} {action} was refused with status {status} ({code})")]
    Refused {
        /// The service.
        service: &'static str,
        /// What was asked.
        action: &'static str,
        /// Its status.
        status: StatusCode,
        /// AWS's code for the reason.
        code: String,
    },
    /// The answer has another form than it should, an HTML page for instance.
    #[error("{service} {action} gave an answer of another form than expected")]
    Malformed {
        /// The service.
        service: &'static str,
        /// What was asked.
        action: &'static str,
    },
    /// More pages than are read.
    #[error("{service} {action} has more than {limit} pages")]
    TooManyPages {
        /// The service.
        service: &'static str,
        /// What was asked.
        action: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl AwsError {
    /// True if the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Http { source, .. } => source.is_transient(),
            Self::Refused { status, code, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || matches!(
                        code.as_str(),
                        "RequestLimitExceeded" | "Throttling" | "ThrottlingException"
                    )
            }
            _ => false,
        }
    }
}
