//! `attest --dry-run`: shows what this node can prove, and to whom nothing is sent.

use clap::Args;

use super::RunArgs;

/// What `attest` is told.
#[derive(Args, Clone, Debug)]
pub struct AttestArgs {
    /// The agent's own flags
    #[command(flatten)]
    pub run: RunArgs,
    /// Collect the evidence, check what can be checked here, and send nothing. Required: it is `run`
    /// that attests
    #[arg(long, required = true)]
    dry_run: bool,
}
