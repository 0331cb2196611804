//! A program that is run to its end.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

/// No command of an operator takes longer, even on a busy machine.
const LONGEST: Duration = Duration::from_secs(120);

/// What a command left behind.
#[derive(Debug)]
pub struct Output {
    /// The line that was run, for messages.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a program to its end.
///
/// # Panics
/// When it cannot be started or does not end.
pub async fn run<A: AsRef<OsStr>>(program: impl AsRef<Path>, arguments: &[A]) -> Output {
    run_with(program, arguments, &[]).await
}

/// As [`run`], with further environment variables.
///
/// # Panics
/// When it cannot be started or does not end.
pub async fn run_with<A: AsRef<OsStr>>(
    program: impl AsRef<Path>,
    arguments: &[A],
    environment: &[(&str, &OsStr)],
) -> Output {
    let program = program.as_ref();
    let line = line(program, arguments);
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.iter().copied());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(LONGEST, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{line} did not end in {LONGEST:?}"));
    let output = output.unwrap_or_else(|error| panic!("{line} did not start: {error}"));
    Output {
        line,
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn line<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> String {
    let arguments = arguments
        .iter()
        .map(|argument| argument.as_ref().to_string_lossy());
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    std::iter::once(name)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

impl Output {
    /// Standard output of a command that did its work.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{self}");
        self.stdout
    }

    /// Both outputs of a command that refused.
    ///
    /// # Panics
    /// When it did its work.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(!self.status.success(), "this should be refused: {self}");
        self.stdout + &self.stderr
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When the command failed, or it is none.
    #[track_caller]
    pub fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            line,
            status,
            stdout,
            stderr,
        } = self;
        write!(f, "{line}: {status}\n{stdout}\n{stderr}")
    }
}
