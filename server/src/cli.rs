//! The command line of `signet-server`: SPIRE's tree, flags and output, and a few commands of our
//! own. Commands talk to a running server over its Unix socket and know nothing of its inside.

mod agent;
mod authority;
mod bundle;
mod entry;
mod environment;
mod healthcheck;
mod localauthority;
mod matching;
mod mint;
mod run;
mod token;
mod upstreamauthority;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use signet_cli::{Call, answer};

pub use run::RunArgs;

const ABOUT_FLAGS: &str = "Flags may be written as SPIRE writes them: -spiffeID x, --spiffeID=x \
                           and --spiffe-id x mean the same.";

/// The Signet server: issues identities to workloads, and administers who gets which.
#[derive(Debug, Parser)]
#[command(name = "signet-server", version, after_help = ABOUT_FLAGS)]
enum Line {
    /// Run the server
    Run(RunArgs),
    /// Check the configuration file, and say everything that is wrong with it
    Validate(RunArgs),
    /// Ask a running server whether it is healthy
    Healthcheck(Call<healthcheck::Healthcheck>),
    /// Make join tokens, which admit one agent each
    #[command(subcommand)]
    Token(token::Token),
    /// Administer entries: which workload gets which identity
    #[command(subcommand)]
    Entry(Box<entry::Entry>),
    /// Administer attested agents
    #[command(subcommand)]
    Agent(agent::Agent),
    /// Administer bundles: the authorities of trust domains
    #[command(subcommand)]
    Bundle(bundle::Bundle),
    /// X.509-SVIDs without an entry
    #[command(subcommand)]
    X509(mint::X509),
    /// JWT-SVIDs without an entry
    #[command(subcommand)]
    Jwt(mint::Jwt),
    /// WIT-SVIDs without an entry
    #[command(subcommand)]
    Wit(mint::Wit),
    /// Administer this server's authorities: prepare, activate, taint, revoke
    #[command(subcommand, name = "localauthority")]
    LocalAuthority(localauthority::LocalAuthority),
    /// Replace authorities whose keys are not to be trusted any more
    #[command(subcommand)]
    Authority(authority::Authority),
    /// Give up the upstream authority that this server's old X.509 authority hangs on
    #[command(subcommand, name = "upstreamauthority")]
    UpstreamAuthority(upstreamauthority::UpstreamAuthority),
    /// Explain who gets an identity, who does not, and what is missing
    Why(Call<why::Why>),
}

/// What the program does itself.
pub trait Program {
    /// Runs the server until it is told to end.
    fn run(self, arguments: RunArgs) -> ExitCode;
    /// Checks the configuration and prints what is wrong with it.
    fn validate(self, arguments: RunArgs) -> ExitCode;
}

/// Does what the arguments ask for, the program's name being the first of them.
pub fn main(arguments: impl IntoIterator<Item = OsString>, program: impl Program) -> ExitCode {
    let line = match signet_cli::parse::<Line>(arguments) {
        Ok(line) => line,
        Err(stop) => return answer::stop(&stop),
    };
    let target = environment::target();
    match line {
        Line::Run(arguments) => program.run(arguments),
        Line::Validate(arguments) => program.validate(arguments),
        Line::Healthcheck(call) => call.execute(&target),
        Line::Token(command) => command.execute(&target),
        Line::Entry(command) => command.execute(&target),
        Line::Agent(command) => command.execute(&target),
        Line::Bundle(command) => command.execute(&target),
        Line::X509(command) => command.execute(&target),
        Line::Jwt(command) => command.execute(&target),
        Line::Wit(command) => command.execute(&target),
        Line::LocalAuthority(command) => command.execute(&target),
        Line::Authority(command) => command.execute(&target),
        Line::UpstreamAuthority(command) => command.execute(&target),
        Line::Why(call) => call.execute(&target),
    }
}

#[cfg(test)]
mod tests;
