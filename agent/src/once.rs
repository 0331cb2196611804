//! An agent for the life of one command: attests, serves the Workload API to it, passes signals on and
//! its exit code back, and leaves nothing behind.
//!
//! Keys are in memory and everything else in a directory of its own, which is removed at the end
//! whatever the end is, save SIGKILL. The server keeps the agent's record until it prunes it.

use crate::assemble::{self, StartError};
use crate::config::{AgentConfig, KeySettings, NodeAttestorSettings};
use signet_node_attestor::oidc::TokenSource;
use signet_runtime::signals::{Passed, is_of_terminal, send};
use signet_runtime::{Readiness, TaskFailed, Tasks};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long calls that are under way have when the command has ended.
const DRAIN: Duration = Duration::from_secs(2);
/// What a shell adds to the number of a signal that ended a command.
const SIGNALLED: i32 = 128;

/// What is done once.
#[derive(Clone, Debug)]
pub struct Once {
    /// The command with its arguments; not empty.
    pub command: Vec<OsString>,
    /// A token in place of the configured attestor.
    pub token: Option<TokenSource>,
    /// How long attestation and the first sync may take.
    pub wait: Duration,
}

/// Why the command was not run.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// There is no place for the socket.
    #[error("could not make a directory for the life of the command")]
    Directory(#[source] io::Error),
    /// Signals cannot be heard.
    #[error("could not listen to signals")]
    Signals(#[source] io::Error),
    /// The agent does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The agent ended by itself.
    #[error(transparent)]
    Agent(#[from] TaskFailed),
    /// It took too long.
    #[error("the agent was not ready within {} s: {blockers} not done; see its log", .limit.as_secs())]
    Late {
        /// The time allowed.
        limit: Duration,
        /// What was missing.
        blockers: String,
    },
    /// A signal came first.
    #[error("stopped by signal {0} before the command was run")]
    Stopped(i32),
    /// The command cannot be run.
    #[error("could not run {}", command.display())]
    Command {
        /// The command.
        command: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs the command with an agent of its own and gives its exit code, as a shell would.
pub async fn run(config: AgentConfig, once: Once) -> Result<u8, OnceError> {
    let mut signals = Passed::listen().map_err(OnceError::Signals)?;
    let directory = tempfile::Builder::new().prefix("signet-").tempdir();
    let directory = directory.map_err(OnceError::Directory)?;
    let config = for_once(config, &once, &directory);
    let socket = config.socket_path.clone();
    let tasks = Tasks::new();
    let outcome = async {
        let readiness = assemble::run(config, &tasks).await?;
        until_ready(&readiness, &tasks, &mut signals, once.wait).await?;
        let child = spawn(&once.command, &socket)?;
        Ok(until_ended(child, &tasks, &mut signals).await)
    };
    let outcome: Result<io::Result<ExitStatus>, OnceError> = outcome.await;
    tasks.shutdown(DRAIN).await;
    if let Err(error) = directory.close() {
        tracing::warn!(%error, "the directory of this agent could not be removed");
    }
    let status = outcome?.map_err(|source| command_failed(&once.command, source))?;
    Ok(exit_code(status))
}

fn for_once(mut config: AgentConfig, once: &Once, directory: &TempDir) -> AgentConfig {
    config.data_dir = directory.path().join("data");
    config.socket_path = directory.path().join("api.sock");
    config.admin_socket_path = None;
    config.keys = KeySettings::Memory;
    config.health = None;
    config.telemetry.prometheus = None;
    if let Some(token) = &once.token {
        config.node_attestor = with_token(config.node_attestor, token);
        config.join_token = None;
    }
    config
}

/// The token takes the place of the configured attestor, or of that part of a combination.
fn with_token(settings: NodeAttestorSettings, token: &TokenSource) -> NodeAttestorSettings {
    let own = NodeAttestorSettings::Oidc(token.clone());
    let NodeAttestorSettings::Combined(parts) = settings else {
        return own;
    };
    let one = |part| match part {
        NodeAttestorSettings::Oidc(_) => own.clone(),
        other => other,
    };
    NodeAttestorSettings::Combined(parts.into_iter().map(one).collect())
}

async fn until_ready(
    readiness: &Readiness,
    tasks: &Tasks,
    signals: &mut Passed,
    limit: Duration,
) -> Result<(), OnceError> {
    tokio::select! {
        biased;
        signal = signals.next() => Err(OnceError::Stopped(signal)),
        failed = tasks.failed() => Err(failed.into()),
        () = readiness.ready() => Ok(()),
        () = tokio::time::sleep(limit) => Err(OnceError::Late {
            limit,
            blockers: readiness.blockers().join(" and "),
        }),
    }
}

fn spawn(command: &[OsString], socket: &std::path::Path) -> Result<Child, OnceError> {
    let (program, arguments) = command.split_first().expect("the command line demands one");
    let endpoint = format!("unix://{}", socket.display());
    let spawned = Command::new(program)
        .args(arguments)
        .env("SPIFFE_ENDPOINT_SOCKET", endpoint)
        .kill_on_drop(true)
        .spawn();
    spawned.map_err(|source| command_failed(command, source))
}

/// Passes signals on until the command ends, save those that it had from the terminal. An agent that
/// ends before it leaves the command what it has.
async fn until_ended(
    mut child: Child,
    tasks: &Tasks,
    signals: &mut Passed,
) -> io::Result<ExitStatus> {
    let process = child.id();
    let mut told = false;
    loop {
        tokio::select! {
            ended = child.wait() => return ended,
            signal = signals.next() => {
                // Not reaped yet, so the number still is the command's.
                if let Some(process) = process.filter(|_| !is_of_terminal(signal)) {
                    send(process, signal);
                }
            }
            failed = tasks.failed(), if !told => {
                tracing::error!(%failed, "the agent ended before the command");
                told = true;
            }
        }
    }
}

fn command_failed(command: &[OsString], source: io::Error) -> OnceError {
    OnceError::Command {
        command: command.first().map(PathBuf::from).unwrap_or_default(),
        source,
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let signalled = || status.signal().map(|signal| SIGNALLED + signal);
    let code = status.code().or_else(signalled).unwrap_or(SIGNALLED);
    u8::try_from(code).unwrap_or(u8::MAX)
}
