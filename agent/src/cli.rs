//! The command line of `signet-agent`: SPIRE's tree, flags and output. Commands talk to a running
//! agent over its Unix sockets and know nothing of its inside.

mod api;
mod attest;
mod environment;
mod healthcheck;
mod run;
mod run_once;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use signet_cli::{Call, answer};

pub use attest::AttestArgs;
pub use run::RunArgs;
pub use run_once::RunOnceArgs;

const ABOUT_FLAGS: &str = "Flags may be written as SPIRE writes them: -socketPath x, \
                           --socketPath=x and --socket-path x mean the same.";

/// The Signet agent: gives the workloads of its node their identities.
#[derive(Debug, Parser)]
#[command(name = "signet-agent", version, after_help = ABOUT_FLAGS)]
enum Line {
    /// Run the agent
    Run(RunArgs),
    /// Run a command with an agent of its own: attest, serve the Workload API for the life of the
    /// command, pass signals and the exit code, leave nothing behind
    RunOnce(RunOnceArgs),
    /// Show the evidence that this node can offer, and whether it passes the checks that can be made
    /// here
    Attest(AttestArgs),
    /// Check the configuration file, and say everything that is wrong with it
    Validate(RunArgs),
    /// Ask a running agent whether it is healthy
    Healthcheck(Call<healthcheck::Healthcheck>),
    /// Use the Workload API as a workload does
    #[command(subcommand)]
    Api(api::Api),
    /// Explain which identities a process gets, and why not others
    Why(Call<why::Why>),
}

/// What the program does itself.
pub trait Program {
    /// Runs the agent until it is told to end.
    fn run(self, arguments: RunArgs) -> ExitCode;
    /// Runs the agent for the life of a command.
    fn run_once(self, arguments: RunOnceArgs) -> ExitCode;
    /// Shows what this node can prove.
    fn attest(self, arguments: AttestArgs) -> ExitCode;
    /// Checks the configuration and prints what is wrong with it.
    fn validate(self, arguments: RunArgs) -> ExitCode;
}

/// Does what the arguments ask for, the program's name being the first of them.
pub fn main(arguments: impl IntoIterator<Item = OsString>, program: impl Program) -> ExitCode {
    let line = match signet_cli::parse::<Line>(arguments) {
        Ok(line) => line,
        Err(stop) => return answer::stop(&stop),
    };
    match line {
        Line::Run(arguments) => program.run(arguments),
        Line::RunOnce(arguments) => program.run_once(arguments),
        Line::Attest(arguments) => program.attest(arguments),
        Line::Validate(arguments) => program.validate(arguments),
        Line::Healthcheck(call) => call.execute(&environment::workload_socket()),
        Line::Api(command) => command.execute(&environment::workload_socket()),
        Line::Why(call) => call.execute(&environment::admin_socket()),
    }
}

#[cfg(test)]
mod tests;
