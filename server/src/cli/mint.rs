//! `x509 mint`, `jwt mint` and `wit mint`: SVIDs for an administrator, without any entry.

mod jwt;
mod request;
mod wit;
mod x509;

use std::process::ExitCode;

use clap::Subcommand;
use signet_cli::{Call, Failure, Target};
use signet_runtime::{Clock, SystemClock};
use std::time::{Duration, UNIX_EPOCH};

/// The clocks of server and client may differ this much before a lifetime counts as shortened.
const CLOCK_SKEW: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Subcommand)]
pub(super) enum X509 {
    /// Make a key here and have the server sign an X.509-SVID for it
    Mint(Call<x509::Mint>),
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Jwt {
    /// Have the server sign a JWT-SVID
    Mint(Call<jwt::Mint>),
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Wit {
    /// Make a key here and have the server sign a WIT-SVID that is bound to it
    Mint(Call<wit::Mint>),
}

impl X509 {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::Mint(call) => call.execute(target),
        }
    }
}

impl Jwt {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::Mint(call) => call.execute(target),
        }
    }
}

impl Wit {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::Mint(call) => call.execute(target),
        }
    }
}

fn unusable<E: std::error::Error>(subject: &str) -> impl FnOnce(E) -> Failure {
    let subject = subject.to_owned();
    move |error| Failure::Content {
        subject,
        reason: signet_cli::text::with_causes(&error),
    }
}

/// A warning when the server gave less time than was asked for.
fn shortened(what: &str, expires_at: i64, wanted: Option<Duration>) -> String {
    let now = SystemClock
        .now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let end = Duration::from_secs(u64::try_from(expires_at).unwrap_or_default());
    match wanted {
        Some(ttl) if end + CLOCK_SKEW < now.saturating_add(ttl) => format!(
            "Warning: {what} lives shorter than asked for; it ends at {}\n",
            signet_cli::text::timestamp(expires_at)
        ),
        _ => String::new(),
    }
}
