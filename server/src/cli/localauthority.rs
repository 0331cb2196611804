//! `localauthority x509|jwt|wit …`: the authorities of this server, step by step. A whole replacement
//! in one go is `authority replace`.

mod act;
pub(super) mod kind;
mod show;
mod text;

use std::process::ExitCode;

use clap::Subcommand;
use signet_cli::{Call, Target};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum LocalAuthority {
    /// The authorities that sign X509-SVIDs
    #[command(subcommand, name = "x509")]
    X509(Act<kind::X509>),
    /// The keys that sign JWT-SVIDs
    #[command(subcommand)]
    Jwt(Act<kind::Jwt>),
    /// The keys that sign WIT-SVIDs
    #[command(subcommand)]
    Wit(Act<kind::Wit>),
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Act<K: kind::Kind> {
    /// Show the active, the prepared and the old authority
    Show(Call<show::Show<K>>),
    /// Make the next authority and publish it; it does not sign yet
    Prepare(Call<act::Prepare<K>>),
    /// Let the prepared authority sign from now on
    Activate(Call<act::Activate<K>>),
    /// Mark an old authority as not to be relied on: agents replace what it signed
    Taint(Call<act::Taint<K>>),
    /// Take a tainted authority out of the bundle: nothing it signed is valid any more
    Revoke(Call<act::Revoke<K>>),
}

impl LocalAuthority {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::X509(act) => act.execute(target),
            Self::Jwt(act) => act.execute(target),
            Self::Wit(act) => act.execute(target),
        }
    }
}

impl<K: kind::Kind> Act<K> {
    fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::Show(call) => call.execute(target),
            Self::Prepare(call) => call.execute(target),
            Self::Activate(call) => call.execute(target),
            Self::Taint(call) => call.execute(target),
            Self::Revoke(call) => call.execute(target),
        }
    }
}
