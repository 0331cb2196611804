//! Why a Vault did not do what it was asked.

use std::io;
use std::path::PathBuf;

use http::StatusCode;
use signet_http::{HttpError, SetupError};

/// Most messages of one answer that are shown.
const MAX_MESSAGES: usize = 4;
/// Most characters of one message that are shown.
const MAX_MESSAGE: usize = 200;

/// Why a Vault did not do what it was asked. What it says for itself is shown, cut short; tokens and
/// other secrets stand in no variant.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The files for TLS cannot be used.
    #[error("could not set up the connection to Vault")]
    SetUp(#[source] SetupError),
    /// The file with the credential cannot be read.
    #[error("could not read the credential for Vault from {}", .path.display())]
    Credential {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be asked.
    #[error("could not ask Vault for {path}")]
    Http {
        /// The path, without `/v1/`.
        path: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// It answered that it does not.
    #[error("Vault answered {path} with {status}{}", said(messages))]
    Refused {
        /// The path, without `/v1/`.
        path: String,
        /// The status.
        status: StatusCode,
        /// Why, in its words, cut short.
        messages: Vec<String>,
    },
    /// What it answered is not what a Vault answers.
    #[error("what Vault answered to {path} cannot be used: {what}")]
    Answer {
        /// The path, without `/v1/`.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The token cannot be renewed, and this way of logging in gives no other.
    #[error("the token for Vault cannot be renewed and ends with its lease; configure a new one")]
    Expired,
}

impl VaultError {
    /// The answer with a status that is no success.
    pub(crate) fn refused(path: &str, status: StatusCode, messages: Vec<String>) -> Self {
        let shown = messages.into_iter().take(MAX_MESSAGES);
        Self::Refused {
            path: path.to_owned(),
            status,
            messages: shown.map(|message| shorten(&message)).collect(),
        }
    }

    /// True if the same request may succeed later without anyone changing anything in Vault's
    /// configuration: it is down, sealed, starting, or asks for patience.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Http { source, .. } => source.is_transient(),
            Self::Refused { status, .. } => is_passing(*status),
            _ => false,
        }
    }

    /// True if a moment later is late enough: the whole wait is not used up already.
    pub(crate) fn may_be_repeated(&self) -> bool {
        let late = matches!(
            self,
            Self::Http {
                source: HttpError::Late { .. },
                ..
            }
        );
        self.is_transient() && !late
    }

    /// True if the token may have been the reason.
    pub(crate) fn is_denied(&self) -> bool {
        self.has_status(StatusCode::FORBIDDEN)
    }

    /// True if there is nothing at the path: neither key nor engine gave a reason.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(
            self,
            Self::Refused { status, messages, .. }
                if *status == StatusCode::NOT_FOUND && messages.is_empty()
        )
    }

    fn has_status(&self, wanted: StatusCode) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }
}

/// 412 is a Vault cluster's "not yet here", 472 and 473 are its standby nodes.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::PRECONDITION_FAILED
        || matches!(status.as_u16(), 472 | 473)
}

fn said(messages: &[String]) -> String {
    if messages.is_empty() {
        String::new()
    } else {
        format!(": {}", messages.join("; "))
    }
}

/// On one line, without control characters.
fn shorten(message: &str) -> String {
    let words = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = words.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE);
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, messages: &[&str]) -> VaultError {
        let status = StatusCode::from_u16(status).unwrap();
        let messages = messages.iter().map(ToString::to_string).collect();
        VaultError::refused("transit/keys/a", status, messages)
    }

    #[test]
    fn what_a_vault_says_is_shown_on_one_line_and_cut_short() {
        let error = refused(400, &["1 error occurred:\n\t* bad\u{1b}[31m"]);
        assert_eq!(
            error.to_string(),
            "Vault answered transit/keys/a with 400 Bad Request: 1 error occurred: * bad[31m"
        );
        let long = "x".repeat(10_000);
        let many = vec![long.as_str(); 1000];
        assert!(refused(400, &many).to_string().len() < 1000);
    }

    #[test]
    fn sealed_busy_and_standby_pass_and_a_refusal_stays() {
        for status in [429, 500, 502, 503, 412, 472, 473] {
            assert!(refused(status, &[]).is_transient(), "{status}");
        }
        for status in [400, 403, 404, 405] {
            assert!(!refused(status, &[]).is_transient(), "{status}");
        }
    }

    #[test]
    fn a_missing_key_is_told_from_a_missing_engine() {
        assert!(refused(404, &[]).is_absent());
        assert!(!refused(404, &["no handler for route"]).is_absent());
    }
}
