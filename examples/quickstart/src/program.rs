//! A program of Signet as a child process: started, awaited, asked, stopped.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// How long a program may take until it answers, with room for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long it may take to stop by itself: more than it gives calls that are under way.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// So much of a log is shown when its program fails.
const LAST_LINES: usize = 15;

/// A step with a program failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("{path} is not there; build it first with: cargo build --bins")]
    NotBuilt { path: PathBuf },
    #[error("{name} could not be started")]
    Start {
        name: &'static str,
        #[source]
        cause: io::Error,
    },
    #[error("{name} ended ({status}) with these last words:\n{log}")]
    Ended {
        name: &'static str,
        status: ExitStatus,
        log: String,
    },
    #[error("{name} did not answer within {READY_WITHIN:?}; its log ends with:\n{log}")]
    NotReady { name: &'static str, log: String },
    #[error("{name} {command} failed: {complaint}")]
    Command {
        name: &'static str,
        command: String,
        complaint: String,
    },
}

/// One that runs.
pub(crate) struct Program {
    name: &'static str,
    folder: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts it with its output in a file.
    pub(crate) fn start(
        name: &'static str,
        folder: &Path,
        args: &[&str],
        log: &Path,
    ) -> Result<Self, ProgramError> {
        let failed = |cause| ProgramError::Start { name, cause };
        let output = File::create(log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let child = command(name, folder)?
            .args(args)
            // A group of its own: Ctrl-C reaches the quickstart, which then stops them in order.
            .process_group(0)
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            name,
            folder: folder.to_owned(),
            log: log.to_owned(),
            child,
        })
    }

    /// Runs a command to its end and returns what it printed.
    pub(crate) async fn command(
        name: &'static str,
        folder: &Path,
        args: &[&str],
    ) -> Result<String, ProgramError> {
        let output = command(name, folder)?
            .args(args)
            .output()
            .await
            .map_err(|cause| ProgramError::Start { name, cause })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(ProgramError::Command {
            name,
            command: args.join(" "),
            complaint: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// Waits until it says at this socket that it is healthy.
    pub(crate) async fn ready(&mut self, socket: &str) -> Result<(), ProgramError> {
        let healthcheck = ["healthcheck", "--socket-path", socket];
        let deadline = Instant::now() + READY_WITHIN;
        while Self::command(self.name, &self.folder, &healthcheck)
            .await
            .is_err()
        {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ProgramError::Ended {
                    name: self.name,
                    status,
                    log: self.last_words(),
                });
            }
            if Instant::now() > deadline {
                return Err(ProgramError::NotReady {
                    name: self.name,
                    log: self.last_words(),
                });
            }
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    /// Asks it to stop, and ends it when it does not.
    pub(crate) async fn stop(mut self) -> io::Result<()> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        match timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(ended) => ended.map(drop),
            Err(_) => self.child.kill().await,
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

fn command(name: &'static str, folder: &Path) -> Result<Command, ProgramError> {
    let path = folder.join(name);
    if !path.exists() {
        return Err(ProgramError::NotBuilt { path });
    }
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}
