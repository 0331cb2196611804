//! `authority replace`: a whole emergency replacement as one command.

mod replace;

use std::process::ExitCode;

use clap::Subcommand;
use signet_cli::{Call, Target};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Authority {
    /// Replace authorities whose keys are not to be trusted any more
    Replace(Call<replace::Replace>),
}

impl Authority {
    pub(super) fn execute(self, target: &Target) -> ExitCode {
        match self {
            Self::Replace(call) => call.execute(target),
        }
    }
}
